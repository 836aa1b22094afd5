package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"opossum"
	"opossum/internal/pack"
)

// storeStat is what `stat` knows about a store: what the disk tells. What an owner is doing is known to its own metrics only.
type storeStat struct {
	Dir          string                `json:"dir"`
	StoreID      string                `json:"storeId"`
	Epoch        uint64                `json:"epoch"`
	Head         opossum.Position      `json:"head"`
	Indexed      opossum.Position      `json:"indexed"`
	Materialized opossum.Position      `json:"materialized"`
	Lag          opossum.Position      `json:"lag"`
	Loose        int                   `json:"looseEvents"`  // that are files of their own
	Packed       uint64                `json:"packedEvents"` // in packs; while shards are packed, some are both
	Packs        int                   `json:"packs"`
	Generations  int                   `json:"generations"`
	Segments     int                   `json:"segments"`
	SegmentBytes int64                 `json:"segmentBytes"`
	Tiers        []opossum.SegmentTier `json:"segmentTiers"` // those that have segments
	Memory       memoryUse             `json:"memory"`
	Disk         storeUse              `json:"disk"`
	Storage      *storageStat          `json:"storage,omitempty"` // absent: nobody has measured it yet
}

// memoryUse is what this look at the store takes of the budgets of memory that engines have by default; of its owner's, only its own metrics know.
type memoryUse struct {
	RecentBytes  int64 `json:"recentBytes"`
	RecentBudget int64 `json:"recentBudget"`
	CacheBytes   int64 `json:"cacheBytes"`
	CacheBudget  int64 `json:"cacheBudget"`
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
index is on disk; up to materialized every event is durably filed: loose, as a file of its own, or packed, in one file with
9,999 others. The lag is the number of events that are in the log and not yet filed. The disk is as the store's owner found it when it was first opened there, with what the flush
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
		Tiers:        []opossum.SegmentTier{},
	}
	for _, t := range m.SegmentTiers {
		if t.Segments > 0 {
			st.Tiers = append(st.Tiers, t)
		}
	}
	st.Lag = st.Head - st.Materialized
	if m, known := e.Storage(); known {
		st.Storage = &storageStat{m, opossum.FlushBatch, m.Class.GroupWait()}
	}
	st.Memory = memoryUse{m.RecentBytes, m.RecentBudget, m.CacheBytes, m.CacheBudget}
	var err error
	if st.Disk, err = measureStore(st.Dir); err != nil {
		return st, err
	}
	st.Loose = st.Disk.EventFiles.Files
	list, err := pack.ListDir(filepath.Join(st.Dir, "packs"))
	for _, r := range list.Ranges {
		st.Packs++
		st.Packed += r.Len()
	}
	return st, err
}

func (st storeStat) text() string {
	parts := []labelled{
		{"loose", counted(st.Loose, "event")},
		{"packed", fmt.Sprintf("%s in %s", counted(st.Packed, "event"), counted(st.Packs, "pack"))},
		{"log", counted(st.Generations, "generation")},
		{"index", fmt.Sprintf("%s, %s", counted(st.Segments, "segment"), bytesText(st.SegmentBytes))},
	}
	for _, t := range st.Tiers {
		parts = append(parts, labelled{fmt.Sprintf("  tier %d", t.Tier), fmt.Sprintf("%s of up to %s positions, %s", counted(t.Segments, "segment"), comma(t.Most), bytesText(t.Bytes))})
	}
	parts = append(parts, labelled{"memory", fmt.Sprintf("%s of %s for the newest events, %s of %s for blocks of packs", bytesText(st.Memory.RecentBytes),
		bytesText(st.Memory.RecentBudget), bytesText(st.Memory.CacheBytes), bytesText(st.Memory.CacheBudget))})
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
