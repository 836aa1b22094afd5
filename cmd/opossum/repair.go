package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"opossum"
)

// repairFlags are the flags of `repair`.
type repairFlags struct{ dryRun, acceptLoss bool }

func newRepair(a *app) *cobra.Command {
	var f repairFlags
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Bring a damaged store back, from what is intact anywhere",
		Long: `repair prints its plan and carries it out: it writes event files again from intact copies, also those of a damaged pack, begins
the log anew where it cannot be gone on from, rebuilds ledger and index, and clears away what does not belong to the store. What it replaces or
removes it keeps in quarantine, in the directory of the store, and says where. With --dry-run it prints the plan only.

If acknowledged events are intact nowhere, it names their positions, writes at most event files that are missing, and ends
with status 4. Look for copies of them first. With --accept-loss the store ends before them, or, where intact events follow, an
event of type opossum.lost takes the place of each.

It may be interrupted, or run out of space, at any point: run it again, and it goes on. With --json it prints one report, of
what it did or with --dry-run would do, when it is over. No process may own the store meanwhile.`,
		Example: "  opossum repair --dir demo-data --dry-run\n  opossum repair --dir demo-data\n  opossum repair --dir demo-data --accept-loss --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.existingStore()
			if err != nil {
				return err
			}
			r := &repairs{app: a, flags: f, cmd: cmd, dir: dir, out: cmd.OutOrStdout()}
			if a.json {
				return r.forPrograms()
			}
			return r.forPeople()
		},
	}
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the plan and change nothing")
	cmd.Flags().BoolVar(&f.acceptLoss, "accept-loss", false, "give up the events that are intact nowhere")
	return cmd
}

// repairs is one run of `repair`.
type repairs struct {
	app   *app
	flags repairFlags
	cmd   *cobra.Command
	dir   string
	out   io.Writer
}

// forPeople shows the plan before anything is changed, and then what came of it. The store is surveyed once for each, because in
// between it belongs to nobody.
func (r *repairs) forPeople() error {
	plan, err := r.repair(true)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(r.out, planText(plan)); err != nil {
		return err
	}
	if r.flags.dryRun || len(plan.Steps)+len(plan.Lost) == 0 {
		return r.consent(plan, nil)
	}
	done, err := r.repair(false)
	_, printing := io.WriteString(r.out, doneText(done))
	return firstError(r.consent(done, err), printing)
}

// forPrograms prints the one report, also beside an error, as far as it goes.
func (r *repairs) forPrograms() error {
	report, err := r.repair(r.flags.dryRun)
	if report.Steps == nil { // there is no plan
		return err
	}
	return firstError(writeJSON(r.out, report), r.consent(report, err))
}

func (r *repairs) repair(dryRun bool) (opossum.RepairReport, error) {
	what, interrupted := "repairing", "repair again: it goes on from here"
	if dryRun {
		what, interrupted = "planning", "nothing was changed"
	}
	tell, end := r.app.watch(r.cmd, what)
	defer end()
	report, err := opossum.Repair(r.cmd.Context(), r.dir, &opossum.RepairOptions{
		DryRun: dryRun, AcceptLoss: r.flags.acceptLoss, Progress: tell,
	})
	return report, restError(err, "repair", interrupted)
}

// consent says of losses without consent what can be done. A dry run has no error of its own for them.
func (r *repairs) consent(report opossum.RepairReport, err error) error {
	const advice = "look for copies of them first; --accept-loss gives them up"
	switch {
	case len(report.Lost) == 0 || r.flags.acceptLoss:
		return err
	case err == nil:
		return &reworded{"acknowledged events would be lost: " + advice, opossum.ErrCorrupt}
	case errors.Is(err, opossum.ErrCorrupt):
		return fmt.Errorf("%w; %s", err, advice)
	}
	return err
}

func planText(plan opossum.RepairReport) string {
	if len(plan.Steps)+len(plan.Lost) == 0 {
		return fmt.Sprintf("Nothing to repair: the store ends at position %d.\n", plan.Head)
	}
	var b strings.Builder
	b.WriteString("Plan\n")
	for _, step := range plan.Steps {
		fmt.Fprintf(&b, "  %s\n", step)
	}
	if len(plan.Steps) == 0 {
		b.WriteString("  nothing, without consent to losses\n")
	}
	writeLosses(&b, "Would be lost", plan.Lost)
	return b.String()
}

// doneText says what came of the repair, as far as it came.
func doneText(r opossum.RepairReport) string {
	var b strings.Builder
	if r.Done {
		fmt.Fprintf(&b, "Done: the store ends at position %d (%s).\n", r.Head, durationText(r.Took))
		writeLosses(&b, "Lost", r.Lost)
	}
	if r.Quarantine != "" {
		fmt.Fprintf(&b, "What was replaced and removed is in %s. Delete that when you trust the result.\n", r.Quarantine)
	}
	return b.String()
}

func writeLosses(b *strings.Builder, title string, lost []opossum.Loss) {
	if len(lost) == 0 {
		return
	}
	b.WriteString(title + "\n")
	for _, l := range lost {
		fmt.Fprintf(b, "  %v\n", l)
	}
}
