package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"opossum"
)

// storeStat is what `stat` knows about a store: what the disk tells. What an owner is doing is known to its own metrics only.
type storeStat struct {
	Dir          string           `json:"dir"`
	StoreID      string           `json:"storeId"`
	Epoch        uint64           `json:"epoch"`
	Head         opossum.Position `json:"head"`
	Indexed      opossum.Position `json:"indexed"`
	Materialized opossum.Position `json:"materialized"`
	Lag          opossum.Position `json:"lag"`
	Generations  int              `json:"generations"`
	Segments     int              `json:"segments"`
	SegmentBytes int64            `json:"segmentBytes"`
	Disk         storeUse         `json:"disk"`
	Storage      *storageStat     `json:"storage,omitempty"` // absent: nobody has measured it yet
}

// storageStat is what the store's first owner found the disk to be like, and what FlushAuto makes of it.
type storageStat struct {
	opossum.Storage
	AutoFlush     opossum.Flush `json:"autoFlush"`
	AutoGroupWait time.Duration `json:"autoGroupWaitNs"`
}

func newStat(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stat",
		Short: "Show what a store is made of",
		Long: `stat shows the positions of the store, its parts, and their sizes on disk. The head is the last event; up to indexed the
index is on disk; up to materialized every event is durably a file of its own. The lag is the number of events that are
in the log and not yet files. The disk is as the store's owner found it when it was first opened there, with what the flush
strategy auto makes of that; 'opossum doctor' measures anew.

It works beside an owner, and shows what is on disk. How many appends the owner has taken, how large its groups are, whether it
stalls: that is in no file, but only in the process itself, which asks Engine.Metrics.`,
		Example: "  opossum stat --dir demo-data\n  opossum stat --dir demo-data --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withReader(cmd, func(_ context.Context, e *opossum.Engine) error {
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
	m := e.Metrics()
	st := storeStat{
		Dir:     e.Dir(),
		StoreID: e.StoreID(),
		Epoch:   e.Recovery().Epoch,
		// Read one after the other while an owner may go on, and in order all the same.
		Head:         max(m.Visible, m.Indexed, m.Materialized),
		Indexed:      max(m.Indexed, m.Materialized),
		Materialized: m.Materialized,
		Generations:  m.Generations,
		Segments:     m.Segments,
		SegmentBytes: m.SegmentBytes,
	}
	st.Lag = st.Head - st.Materialized
	if m, known := e.Storage(); known {
		st.Storage = &storageStat{m, opossum.FlushBatch, m.Class.GroupWait()}
	}
	var err error
	st.Disk, err = measureStore(st.Dir)
	return st, err
}

func (st storeStat) text() string {
	parts := []labelled{
		{"log", counted(st.Generations, "generation")},
		{"index", fmt.Sprintf("%s, %s", counted(st.Segments, "segment"), bytesText(st.SegmentBytes))},
	}
	return aligned(
		section{"Store " + st.Dir, []labelled{
			{"id", st.StoreID},
			{"epoch", comma(st.Epoch)},
			{"head", comma(st.Head)},
			{"indexed", comma(st.Indexed)},
			{"materialized", comma(st.Materialized)},
			{"lag", comma(st.Lag)},
		}},
		section{"In use", parts},
		section{"On disk", st.Disk.lines()},
		section{"The disk", st.Storage.lines()},
	)
}

func (s *storageStat) lines() []labelled {
	if s == nil {
		return []labelled{{"storage", "not measured yet: its next owner will"}}
	}
	lines := []labelled{
		{"storage", fmt.Sprintf("%s: a flush takes %s, on %s", s.Class, flushText(s.Median), saidText(s.FileSystem))},
		{"flush auto", autoText(s.AutoFlush, s.AutoGroupWait)},
	}
	if reason := s.Unfit(); reason != "" {
		lines = append(lines, labelled{"warning", reason})
	}
	return lines
}

// autoText says what FlushAuto comes to.
func autoText(flush opossum.Flush, wait time.Duration) string {
	if wait == 0 {
		return fmt.Sprintf("%s, no group wait", flush)
	}
	return fmt.Sprintf("%s, group wait %s", flush, durationText(wait))
}
