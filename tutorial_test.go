package opossum_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tutorialBlock is a fenced block of the tutorial, with what its marker says: a file's name, run, or prints.
type tutorialBlock struct{ what, text string }

// tutorialBlocks returns the blocks in their order. A block without a marker is none that readers are told to do, and there is none.
func tutorialBlocks(t *testing.T, page string) (blocks []tutorialBlock) {
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("(?m)^<!-- tutorial: (.*) -->\n```[a-z]+\n((?s:.*?))^```$").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, tutorialBlock{m[1], m[2]})
	}
	require.Equal(t, strings.Count(string(text), "\n```\n"), len(blocks), "every block has a marker")
	return blocks
}

// TestTutorial does what the tutorial says, from an empty directory on.
func TestTutorial(t *testing.T) {
	clone, err := os.Getwd()
	require.NoError(t, err)
	beside := t.TempDir()
	dir, printed := beside, ""
	places := strings.NewReplacer("../opossum", clone, "../courses", filepath.Join(beside, "courses"))
	for _, b := range tutorialBlocks(t, "docs/tutorial.md") {
		switch b.what {
		case "prints":
			require.Equal(t, b.text, printed)
		case "run":
			for line := range strings.Lines(b.text) {
				words := strings.Fields(places.Replace(line))
				switch words[0] {
				case "mkdir":
					require.NoError(t, os.Mkdir(filepath.Join(dir, words[1]), 0o755))
				case "cd":
					dir = filepath.Join(dir, words[1])
				default:
					printed = runTutorial(t, dir, words)
				}
			}
		default:
			require.NoError(t, os.WriteFile(filepath.Join(dir, b.what), []byte(b.text), 0o644))
		}
	}
	require.Empty(t, runTutorial(t, dir, []string{"gofmt", "-l", "."}))
}

func runTutorial(t *testing.T, dir string, words []string) string {
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%v: %s", words, out)
	return string(out)
}
