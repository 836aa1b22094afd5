package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"opossum"
)

// engineFlags are the options of an engine as flags. There is one rule for their names: FlushInterval is --flush-interval. ReadOnly is no flag, because
// the command decides it; Tracer and Clock are not, because they are values of a Go program; of Logger the flag is the level.
type engineFlags struct {
	set     *pflag.FlagSet
	options opossum.Options
	level   slog.Level
}

// addEngineFlags gives a command that owns stores the flags. What the engine says is printed from level on, unless --logger says otherwise.
func addEngineFlags(cmd *cobra.Command, level slog.Level) *engineFlags {
	f := &engineFlags{set: pflag.NewFlagSet("options", pflag.ContinueOnError)}
	o := &f.options
	f.set.TextVar(&o.Flush, "flush", opossum.FlushBatch, "when an append is acknowledged: `strategy` batch, immediate, periodic, count, disabled or auto")
	f.set.DurationVar(&o.FlushInterval, "flush-interval", opossum.DefaultFlushInterval, "periodic, count: how long an event may be without a sync")
	f.set.IntVar(&o.FlushEvery, "flush-every", opossum.DefaultFlushEvery, "count: sync before so many acknowledged events are without one")
	f.set.DurationVar(&o.GroupWait, "group-wait", 0, "batch, auto: how long a commit waits for the writers of the one before (auto: 0 is what the storage asks for)")
	f.set.IntVar(&o.MaxLagEvents, "max-lag-events", opossum.DefaultMaxLagEvents, "so many acknowledged events without a file make appends wait")
	f.set.Int64Var(&o.MaxLagBytes, "max-lag-bytes", opossum.DefaultMaxLagBytes, "so many bytes of them, too")
	f.set.IntVar(&o.LooseEvents, "loose-events", opossum.DefaultLooseEvents, "so many of the newest events stay files of their own, older ones are packed; -1: all stay")
	f.set.Int64Var(&o.MinFreeBytes, "min-free-bytes", opossum.DefaultMinFreeBytes, "free space that appends leave; -1: none, 0: the default")
	f.set.Int64Var(&o.RecentBytes, "recent-bytes", opossum.DefaultRecentBytes, "memory for the index of the newest events")
	f.set.Int64Var(&o.CacheBytes, "cache-bytes", opossum.DefaultCacheBytes, "memory for blocks of packs that were read")
	f.set.TextVar(&f.level, "logger", level, "print what the engine says from this `level` on: debug, info, warn or error")
	cmd.Flags().AddFlagSet(f.set)
	return f
}

// check refuses values that are out of range.
func (f *engineFlags) check() error {
	if err := f.options.Validate(); err != nil {
		return usagef("%v", err)
	}
	return nil
}

// open owns the store in dir.
func (f *engineFlags) open(dir string, stderr io.Writer) (*opossum.Engine, error) {
	o := f.options
	o.Logger = logTo(stderr, f.level)
	return opossum.Open(dir, &o)
}

// args returns those that were given, for a process that shall have the same.
func (f *engineFlags) args() []string {
	var out []string
	f.set.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed { // Visit knows only of those that this set has parsed itself
			out = append(out, fmt.Sprintf("--%s=%s", flag.Name, flag.Value))
		}
	})
	return out
}
