package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"opossum"
)

// storeStat is what `stat` knows about a store.
type storeStat struct {
	Dir          string                 `json:"dir"`
	StoreID      string                 `json:"storeId"`
	Epoch        uint64                 `json:"epoch"`
	Head         opossum.Position       `json:"head"`
	Materialized opossum.Position       `json:"materialized"`
	Lag          opossum.Position       `json:"lag"`
	Recovery     opossum.RecoveryReport `json:"recovery"`
	Disk         storeUse               `json:"disk"`
	Metrics      map[string]any         `json:"metrics"`

	metrics []metric // the same in order
}

func newStat(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stat",
		Short: "Show what a store is made of",
		Long: `stat opens the store and shows its positions, what opening it had to recover, its sizes on disk, and the engine's
metrics, which begin with the opening. The lag is the number of events that are durable in the log and not yet files;
filing them goes on while the store is open.`,
		Example: "  opossum stat --dir demo-data\n  opossum stat --dir demo-data --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd, refuseAbsent, func(_ context.Context, e *opossum.Engine) error {
				st, err := statStore(e)
				if err != nil {
					return err
				}
				if a.json {
					return writeJSON(cmd.OutOrStdout(), st)
				}
				_, err = io.WriteString(cmd.OutOrStdout(), st.text())
				return err
			})
		},
	}
}

func statStore(e *opossum.Engine) (storeStat, error) {
	st := storeStat{
		Dir:          e.Dir(),
		StoreID:      e.StoreID(),
		Epoch:        e.Recovery().Epoch,
		Materialized: e.Materialized(), // before the head, which it never passes
		Head:         e.Head(),
		Recovery:     e.Recovery(),
		metrics:      metricsOf(e.Metrics()),
	}
	st.Lag = st.Head - st.Materialized
	st.Metrics = metricsJSON(st.metrics)
	var err error
	st.Disk, err = measureStore(st.Dir)
	return st, err
}

func (st storeStat) text() string {
	return aligned(
		section{"Store " + st.Dir, []labelled{
			{"id", st.StoreID},
			{"epoch", comma(st.Epoch)},
			{"head", comma(st.Head)},
			{"materialized", comma(st.Materialized)},
			{"lag", comma(st.Lag)},
			{"recovery", fmt.Sprint(st.Recovery)},
		}},
		section{"On disk", st.Disk.lines()},
		section{"Since it was opened", metricsLines(st.metrics)},
	)
}
