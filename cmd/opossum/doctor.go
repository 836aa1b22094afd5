package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"opossum"
)

// diagnosis is the report of doctor for programs.
type diagnosis struct {
	Dir string `json:"dir"`
	opossum.Storage
	UsualFrom time.Duration `json:"usualFromNs"` // of the class
	UsualTo   time.Duration `json:"usualToNs"`
	GroupWait time.Duration `json:"groupWaitNs"` // of FlushAuto
	Warnings  []string      `json:"warnings"`
}

func newDoctor(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor [DIRECTORY]",
		Short: "Measure the disk under a directory and say what it is like",
		Long: `doctor measures how long the disk under a directory takes to make a few bytes durable, and shows it beside what is usual for
disks of that class: nvme below 1 ms, ssd below 5 ms, hdd below 20 ms, network above; a disk with a protected cache counts as a
better class. Then it shows what the system says of file system and device, what FlushAuto makes of it, and what speaks against
keeping events there. Warnings do not change the exit status.

The directory, which is the argument or --dir, has to exist. It may be a store, with or without an owner, whose appends it shares the disk with for up to a second,
or a place where a store shall be. It changes nothing but a file of its own, which it removes.

A device that acknowledges flushes and does not do them looks like a fast one. That cannot be told from inside; doctor says
where a figure is too good to be plausible, and no warning proves nothing. Only cutting the power would.`,
		Example: "  opossum doctor demo-data\n  opossum doctor --json .",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := a.measuredDir(args)
			if err != nil {
				return err
			}
			m, err := opossum.MeasureStorage(cmd.Context(), dir)
			if _, missing := os.Stat(dir); errors.Is(missing, fs.ErrNotExist) {
				return &reworded{fmt.Sprintf("there is no directory %s: doctor measures where a store is or shall be", dir), err}
			}
			if err != nil {
				return err
			}
			d := diagnose(dir, m)
			if a.json {
				return writeJSON(cmd.OutOrStdout(), d)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), d.text())
			return err
		},
	}
}

// measuredDir returns the directory that is the argument, if there is one, else what --dir or the environment names.
func (a *app) measuredDir(args []string) (string, error) {
	switch {
	case len(args) == 0:
		return a.storeDir()
	case a.dir != "" && a.dir != args[0]:
		return "", usagef("two directories: the argument %s and --dir %s", args[0], a.dir)
	}
	return args[0], nil
}

func diagnose(dir string, m opossum.Storage) diagnosis {
	d := diagnosis{Dir: dir, Storage: m, GroupWait: m.Class.GroupWait(), Warnings: append([]string{}, m.Warnings()...)}
	d.UsualFrom, d.UsualTo = m.Class.Usual()
	return d
}

func (d diagnosis) text() string {
	text := aligned(
		section{"Disk under " + d.Dir, []labelled{
			{"flush", fmt.Sprintf("median %s, fastest %s, slowest %s (%d timed)", flushText(d.Median), flushText(d.Fastest), flushText(d.Slowest), d.Flushes)},
			{"class", fmt.Sprintf("%s, which usually takes %s to %s", d.Class, durationText(d.UsualFrom), durationText(d.UsualTo))},
			{"flush auto", autoText(opossum.FlushBatch, d.GroupWait) + ": syncs before it acknowledges"},
		}},
		section{"What the system says", []labelled{
			{"file system", saidText(d.FileSystem)},
			{"device", saidText(d.Device)},
			{"rotational", answerText(d.Rotational)},
			{"write cache", cacheText(d.WriteCache)},
			{"FUA", answerText(d.FUA)},
		}},
	)
	for _, w := range d.Warnings {
		text += "\nWarning: " + printable(w) + "\n"
	}
	return text
}

// flushText shows what a flush took. One of memory takes nanoseconds.
func flushText(d time.Duration) string {
	if d < 10*time.Microsecond {
		return d.String()
	}
	return durationText(d)
}

const unsaid = "not known"

func saidText(s string) string {
	if s == "" {
		return unsaid
	}
	return printable(s)
}

func cacheText(s string) string {
	switch s {
	case "write back":
		return s + ": volatile, and every flush empties it"
	case "write through":
		return s + ": what is written is not only in it"
	}
	return saidText(s)
}

func answerText(yes *bool) string {
	switch {
	case yes == nil:
		return unsaid
	case *yes:
		return "yes"
	default:
		return "no"
	}
}
