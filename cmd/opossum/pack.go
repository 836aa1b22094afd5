package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"opossum"
)

func newPack(a *app) *cobra.Command {
	return repacking(a, &cobra.Command{
		Use:   "pack",
		Short: "Put old events into packs now",
		Long: `pack puts events into packs now: every 10,000 of them that are all materialized become one file of compressed blocks, which
takes a fraction of the room of their files. An owner does the same by itself with all but its newest events, of which
--loose-events stay files of their own. Nothing reads differently: cat, read and tail show an event wherever it lives.

It may be interrupted: what is packed stays packed. It owns the store meanwhile.`,
		Example: "  opossum pack --dir demo-data\n  opossum pack --dir demo-data --json",
	}, repack{
		doing: "packing", done: "Packed", nothing: "Nothing to pack: no 10,000 events that belong together are all files.",
		interrupted: "what is packed stays packed; run it again for the rest",
		do:          (*opossum.Engine).Pack,
	})
}

func newUnpack(a *app) *cobra.Command {
	return repacking(a, &cobra.Command{
		Use:   "unpack",
		Short: "Turn packs back into event files",
		Long: `unpack writes each event in a pack to a file of its own again, for people and tools that want files, and removes the packs.
It takes the time and the room of so many files. An owner packs old events again, unless it has --loose-events=-1.

It may be interrupted: what is unpacked stays so. It owns the store meanwhile.`,
		Example: "  opossum unpack --dir demo-data\n  opossum unpack --dir demo-data --json",
	}, repack{
		doing: "unpacking", done: "Unpacked", nothing: "Nothing to unpack: there are no packs.",
		interrupted: "what is unpacked stays so; run it again for the rest",
		loose:       true, do: (*opossum.Engine).Unpack,
	})
}

// repack is what pack and unpack differ in.
type repack struct {
	doing, done, nothing, interrupted string

	loose bool // the engine must not pack by itself
	do    func(e *opossum.Engine, ctx context.Context, progress func(done, total uint64)) error
}

// repacked is the report for programs.
type repacked struct {
	Dir    string        `json:"dir"`
	Events uint64        `json:"events"`
	Took   time.Duration `json:"tookNs"`
}

func repacking(a *app, cmd *cobra.Command, r repack) *cobra.Command {
	engine := addEngineFlags(cmd, slog.LevelWarn)
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, err := a.existingStore()
		if err != nil {
			return err
		}
		if r.loose {
			if cmd.Flags().Changed("loose-events") && engine.options.LooseEvents != opossum.KeepLoose {
				return usagef("%s leaves every event a file of its own: --loose-events can only be %d", cmd.Name(), opossum.KeepLoose)
			}
			engine.options.LooseEvents = opossum.KeepLoose
		}
		report := repacked{Dir: dir}
		err = a.withOwnStore(cmd, engine, func(ctx context.Context, e *opossum.Engine) error {
			start := time.Now()
			tell, end := a.watch(cmd, r.doing)
			defer end()
			err := r.do(e, ctx, func(done, total uint64) {
				report.Events = done
				if tell != nil {
					tell(done, total)
				}
			})
			report.Took = time.Since(start)
			return err
		})
		if err != nil {
			return repairFirst(restError(err, cmd.Name(), r.interrupted))
		}
		if a.json {
			return writeJSON(cmd.OutOrStdout(), report)
		}
		text := r.nothing
		if report.Events > 0 {
			text = fmt.Sprintf("%s %s (%s).", r.done, counted(report.Events, "event"), durationText(report.Took))
		}
		_, err = io.WriteString(cmd.OutOrStdout(), text+"\n")
		return err
	}
	return cmd
}
