// Package variant builds the process that is crashed, as it is or with a bug put into the engine on purpose.
//
// A bug is an edit of the source that only this build sees (go build -overlay): nothing of it stands in the engine's code, so none can reach a
// normal build, and an edit that no longer fits the code is an error and not a bug that is silently gone. Build tags were the other way;
// they would have put a branch for each bug beside the very lines that must be right.
package variant

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// smallShards is a tag of all that is built here: shards have some dozens of positions, so that a store of some hundred events has packs. What reads such a store must be
// built with it, too, and so only these builds do.
const smallShards = "smallshards"

// Worker is the package of the process that is crashed.
const Worker = "./crashlab/worker"

// Edit replaces a text, which must occur exactly once, in a file of the module.
type Edit struct {
	File string // relative to the module's root
	Old  string
	New  string
}

// Root returns the directory of the module, which the working directory must be in.
func Root() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("the crash lab builds what it crashes, and so must run in a clone: go list -m: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Build builds pkg of the module at root into the file out, with small shards, more build tags, and edits. scratch is for temporary files.
func Build(ctx context.Context, root, pkg, out, scratch string, tags []string, edits []Edit) error {
	overlay, err := Overlay(root, scratch, edits)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-tags", strings.Join(append([]string{smallShards}, tags...), ","), "-o", out, pkg)
	cmd.Dir = root
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, msg)
	}
	return nil
}

// Overlay writes the edited files and the list of them that the go command wants, into scratch. It returns the list's path.
func Overlay(root, scratch string, edits []Edit) (string, error) {
	texts, err := Apply(root, edits)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, text := range texts {
		edited := filepath.Join(scratch, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(edited, []byte(text), 0o644); err != nil {
			return "", err
		}
		replace[filepath.Join(root, file)] = edited
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(scratch, "overlay.json")
	return path, os.WriteFile(path, list, 0o644)
}

// Apply returns the texts of the edited files. An edit whose text does not occur exactly once is an error that names it.
func Apply(root string, edits []Edit) (map[string]string, error) {
	texts := map[string]string{}
	for _, e := range edits {
		text, ok := texts[e.File]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, e.File))
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.Old); n != 1 {
			return nil, fmt.Errorf("%s has the text %d times that is to be edited, not once:\n%s", e.File, n, e.Old)
		}
		texts[e.File] = strings.Replace(text, e.Old, e.New, 1)
	}
	return texts, nil
}
