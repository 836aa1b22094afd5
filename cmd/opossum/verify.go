package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"opossum"
)

func newVerify(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Check everything in a store and name what is wrong",
		Long: `verify reads all of a store at rest, ledger, log, event files, packs and index, and compares them with each other. It changes
nothing. Every finding is a line: its kind, the file, the offset, the positions, and what is wrong. Findings that are harmless
are marked so: the next opening mends them, or nothing needs them. The last line is the verdict.

The kinds are missing, altered, misplaced (an intact event in another one's place), doubled (a second copy), leftover (nothing
refers to it) and torn (written halfway and never acknowledged, as a crash leaves it).

If everything acknowledged is there and right, the status is 0; if not, it is 4, and ` + "`opossum repair --dry-run`" + ` says what can
be done. No process may own the store meanwhile.`,
		Example: "  opossum verify --dir demo-data\n  opossum verify --dir demo-data --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.existingStore()
			if err != nil {
				return err
			}
			tell, end := a.watch(cmd, "verifying")
			r, err := opossum.Verify(cmd.Context(), dir, &opossum.VerifyOptions{Progress: tell})
			end()
			if err != nil {
				return restError(err, "verify", "nothing was changed")
			}
			if err := a.printVerdict(cmd.OutOrStdout(), r); err != nil {
				return err
			}
			if !r.Sound() {
				return &reworded{"the store is damaged: 'opossum repair --dry-run' says what can be done", opossum.ErrCorrupt}
			}
			return nil
		},
	}
}

// verdict is the report of verify for programs.
type verdict struct {
	Sound bool `json:"sound"`
	opossum.VerifyReport
}

func (a *app) printVerdict(w io.Writer, r opossum.VerifyReport) error {
	if a.json {
		return writeJSON(w, verdict{r.Sound(), r})
	}
	out := bufio.NewWriter(w)
	for _, f := range r.Findings {
		fmt.Fprintln(out, f)
	}
	fmt.Fprintln(out, r)
	return out.Flush()
}

// restError words an error of a command that needs a store at rest. interrupted says what an interruption leaves behind.
func restError(err error, command, interrupted string) error {
	switch {
	case errors.Is(err, context.Canceled):
		return &reworded{interrupted, err}
	case errors.Is(err, opossum.ErrLocked):
		return fmt.Errorf("%w; stop the owner first: %s needs a store at rest", err, command)
	case errors.Is(err, opossum.ErrDiskFull):
		return fmt.Errorf("%w; nothing is lost: make room and %s again", err, command)
	}
	return err
}

// repairFirst says of damage what has to be done about it first.
func repairFirst(err error) error {
	if errors.Is(err, opossum.ErrCorrupt) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; 'opossum repair' comes first", err)
	}
	return err
}
