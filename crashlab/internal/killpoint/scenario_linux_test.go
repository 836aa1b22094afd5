package killpoint

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/lab"
	"opossum/crashlab/internal/variant"
)

// TestEveryStepHasAClass: a step of a class that is not listed would never be crashed, and a class that nothing meets is that of a step that is gone.
func TestEveryStepHasAClass(t *testing.T) {
	ctx := context.Background()
	root, err := variant.Root()
	require.NoError(t, err)
	dir := t.TempDir()
	env := lab.Env{Worker: filepath.Join(dir, "worker"), Points: filepath.Join(dir, "points")}
	require.NoError(t, variant.Build(ctx, root, variant.Worker, env.Worker, t.TempDir(), nil, nil))
	require.NoError(t, variant.Build(ctx, root, variant.Worker, env.Points, t.TempDir(), []string{"crashlab"}, nil))

	met := map[class]bool{theEnd: true}
	for _, s := range append(slices.Clone(scenarios), models) {
		home := t.TempDir()
		f, err := bench{scenario: s}.makeFixture(ctx, env, t.TempDir())
		require.NoError(t, err, s.name)
		require.NoError(t, f.copyTo(home))
		for _, c := range classesOf(t, env, s.task(storeOf(home))) {
			met[c] = true
			require.Contains(t, slices.Concat(s.classes, s.elsewhere), c, s.name)
		}
	}
	for _, c := range slices.Concat(serving, recovering, packing, unpacking, repairing, keeping) {
		require.True(t, met[c], "no scenario has a step %q", c)
	}
}

// classesOf runs a task to its end and returns the classes of its steps.
func classesOf(t *testing.T, env lab.Env, task child.Task) []class {
	task.End = true
	p, err := child.Start(env.Points, task, order(map[string]any{"do": "trace"}))
	require.NoError(t, err)
	var all []class
	for {
		line, more := p.Next(nil)
		if !more {
			break
		}
		var k uint64
		var kind, when, path string
		if n, _ := fmt.Sscanf(line, "step %d %s %s %s", &k, &kind, &when, &path); n == 4 {
			all = append(all, classOf(task.Dir, kind, path))
		}
	}
	require.NoError(t, p.Wait())
	require.Empty(t, p.Errs)
	return all
}
