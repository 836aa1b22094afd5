package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"opossum"
)

func newRebuildIndex(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rebuild-index",
		Short: "Write the index anew from the events",
		Long: `rebuild-index writes the index anew from event files and packs, whatever is there, for whoever does not trust it. It is never
needed for safety: what is missing is built at the next opening, and what is damaged is an error of the read that meets it.
Events that are not filed yet are indexed from the log at the next opening.

A damaged ledger or event is an error, with status 4: then repair comes first. It may be interrupted: the store works
with whatever index there is. No process may own the store meanwhile.`,
		Example: "  opossum rebuild-index --dir demo-data\n  opossum rebuild-index --dir demo-data --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.existingStore()
			if err != nil {
				return err
			}
			tell, end := a.watch(cmd, "indexing")
			r, err := opossum.RebuildIndex(cmd.Context(), dir, &opossum.RebuildOptions{Progress: tell})
			end()
			if err != nil {
				return repairFirst(restError(err, "rebuild-index", "the store works with the index that is there; run it again for a new one"))
			}
			if a.json {
				return writeJSON(cmd.OutOrStdout(), r)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), rebuiltText(r))
			return err
		},
	}
}

func rebuiltText(r opossum.RebuildReport) string {
	if r.Positions == 0 {
		return "Nothing to index: no event is filed yet.\n"
	}
	return fmt.Sprintf("Indexed %s in %s (%s).\n", counted(r.Positions, "event"), counted(r.Segments, "segment"), durationText(r.Took))
}
