package sabotage

import (
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/crashlab/internal/variant"
)

// An edit that no longer fits the code, or no longer compiles, is a bug that is silently gone.
func TestEveryEditFitsAndCompiles(t *testing.T) {
	root, err := variant.Root()
	require.NoError(t, err)
	for _, s := range All {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			texts, err := variant.Apply(root, s.Edits)
			require.NoError(t, err)
			if testing.Short() {
				return
			}
			overlay, err := variant.Overlay(root, t.TempDir(), s.Edits)
			require.NoError(t, err)
			args := []string{"build", "-overlay", overlay}
			for file := range maps.Keys(texts) {
				args = append(args, "./"+path.Dir(file))
			}
			cmd := exec.CommandContext(t.Context(), "go", args...)
			cmd.Dir = root
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
		})
	}
}

func TestTheListIsInOrder(t *testing.T) {
	names := map[string]bool{}
	for _, s := range All {
		require.False(t, names[s.Name], "%s stands there twice", s.Name)
		names[s.Name] = true
		require.NotEmpty(t, s.Edits, s.Name)
		require.NotEmpty(t, s.By, s.Name)
		require.True(t, strings.HasSuffix(s.About, "."), s.Name)
	}
	some, err := Chosen([]string{All[1].Name})
	require.NoError(t, err)
	require.Equal(t, All[1].Name, some[0].Name)
	_, err = Chosen([]string{"none"})
	require.ErrorContains(t, err, "none")
	require.True(t, slices.EqualFunc(All, must(Chosen(nil)), func(a, b Sabotage) bool { return a.Name == b.Name }))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
