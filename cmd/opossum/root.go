package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"opossum"
)

// dirVariable names the environment variable that stands in for --dir.
const dirVariable = "OPOSSUM_DIR"

// app is what the commands of one invocation share: the flags that all of them have.
type app struct {
	dir  string
	json bool
}

func newRoot() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:   "opossum",
		Short: "An embeddable event store with Dynamic Consistency Boundaries",
		Long: "opossum appends events to a store, reads them, shows what a store is made of and what disk it is on, and mends it on a bad day.\n\n" +
			"A store is a directory, named by --dir or " + dirVariable + ". One process owns it at a time: append, pack, unpack and demo do. read, tail, cat and\n" +
			"stat work beside an owner and never change anything; doctor measures the disk under any directory. verify, repair and\n" +
			"rebuild-index need a store at rest.\n" +
			"Output is text for people, or JSON for programs with --json. Errors go to standard error.\n\n" + statusHelp,
		Example:       "  opossum demo --events 1000\n  opossum read --dir demo-data --match tag=course:t1-7",
		SilenceUsage:  true, // an error is one line; the help is there for those who ask
		SilenceErrors: true, // printed once, in main
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		root.Version = versionText(info)
	}
	root.SetVersionTemplate("opossum {{.Version}}\n")
	root.PersistentFlags().StringVar(&a.dir, "dir", "", "directory of the store (default: $"+dirVariable+")")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON for programs instead of text for people")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newAppend(a), newRead(a), newTail(a), newCat(a), newStat(a), newDoctor(a), newVerify(a), newRepair(a), newRebuildIndex(a), newPack(a), newUnpack(a), newDemo(a), newDemoChild(a), newQueryTopic())
	addCobraCommands(root)
	markErrors(root)
	return root
}

// markErrors marks the errors of every command that runs, to tell them from those of the command line.
func markErrors(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := run(cmd, args); err != nil {
				return &commandError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		markErrors(sub)
	}
}

// storeDir returns the directory that --dir or else the environment names.
func (a *app) storeDir() (string, error) {
	if a.dir != "" {
		return a.dir, nil
	}
	if dir := os.Getenv(dirVariable); dir != "" {
		return dir, nil
	}
	return "", usagef("no store named: give --dir DIRECTORY or set %s", dirVariable)
}

// existingStore returns the directory of a store that has to be there.
func (a *app) existingStore() (string, error) {
	dir, err := a.storeDir()
	if err != nil {
		return "", err
	}
	return dir, requireStore(dir)
}

// withOwnStore owns the store while f runs. It is created if it does not exist.
func (a *app) withOwnStore(cmd *cobra.Command, engine *engineFlags, f func(context.Context, *opossum.Engine) error) error {
	if err := engine.check(); err != nil {
		return err
	}
	dir, err := a.storeDir()
	if err != nil {
		return err
	}
	e, err := engine.open(dir, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	return use(cmd.Context(), e, f)
}

// withReader shows the store to f as it is, beside an owner or without one. Nothing is locked, created or changed: a mistyped name
// leaves no empty store behind.
func (a *app) withReader(cmd *cobra.Command, f func(context.Context, *opossum.Engine) error) error {
	dir, err := a.existingStore()
	if err != nil {
		return err
	}
	e, err := opossum.Open(dir, &opossum.Options{ReadOnly: true, Logger: logTo(cmd.ErrOrStderr(), slog.LevelWarn)})
	if err != nil {
		return err
	}
	return use(cmd.Context(), e, f)
}

// use runs f with an engine, and closes it. An error of closing counts if f had none.
func use(ctx context.Context, e *opossum.Engine, f func(context.Context, *opossum.Engine) error) (err error) {
	defer func() {
		if closing := e.Close(); err == nil {
			err = closing
		}
	}()
	return f(ctx, e)
}

// logTo returns what prints what an engine says from level on.
func logTo(stderr io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
}

// requireStore says in plain words that there is nothing at all. Whether a directory that holds something holds a store is for the
// engine to judge, which knows damage from absence.
func requireStore(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no store at %s: there is no such directory", dir)
	case err != nil:
		return fmt.Errorf("no store at %s: %w", dir, err)
	case len(entries) == 0:
		return fmt.Errorf("no store at %s: the directory is empty", dir)
	}
	return nil
}
