// Package shell makes a program of an example: one command on a store in a directory or, without arguments, a story on a store that is gone afterwards.
package shell

import (
	"context"
	crand "crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"time"

	"opossum"
)

// World is what a command works with.
type World struct {
	Store *opossum.Engine
	Now   func() time.Time
	Rand  io.Reader // of secrets and identities
}

// Command is one thing that can be asked for.
type Command struct {
	Usage string // its name and those of its arguments, such as "define COURSE CAPACITY"; "..." at the end: the last one any number of times
	Run   func(ctx context.Context, w World, args []string) (answer string, err error)
}

// Program is an example.
type Program struct {
	Name     string
	Commands []Command
	// Story is lines of commands. "later 1h" lets time pass, and a line that begins with "#" is for those who read it.
	Story []string
}

// Main runs the program and ends the process.
func (p Program) Main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := p.Run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.Name, err)
		os.Exit(1)
	}
}

// Run does what the arguments say: "--dir DIR COMMAND ARGUMENT..." or, if there are none, the story.
func (p Program) Run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return p.story(ctx, out)
	}
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // what is wrong is in the error
	dir := flags.String("dir", p.Name+"-data", "the directory of the store")
	flags.Usage = func() {
		fmt.Fprintf(out, "usage: %s [--dir DIR] COMMAND; without arguments, a story. The commands:\n", p.Name)
		for _, c := range p.Commands {
			fmt.Fprintf(out, "  %s\n", c.Usage)
		}
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	run, err := p.command(flags.Args())
	if err != nil {
		flags.Usage()
		return err
	}
	return open(*dir, func(store *opossum.Engine) error {
		answer, err := run(ctx, World{Store: store, Now: time.Now, Rand: crand.Reader})
		if err == nil {
			fmt.Fprintln(out, answer)
		}
		return err
	})
}

// story runs the lines of the story. An error is part of it: it is shown, and the story goes on.
func (p Program) story(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", p.Name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return open(dir, func(store *opossum.Engine) error {
		// The same clock and the same dice for every telling.
		now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
		w := World{Store: store, Now: func() time.Time { return now }, Rand: rand.NewChaCha8([32]byte{})}
		for _, line := range p.Story {
			words := strings.Fields(line)
			switch words[0] {
			case "#":
				fmt.Fprintf(out, "\n%s\n", line)
				continue
			case "later":
				pause, err := time.ParseDuration(words[1])
				if err != nil {
					return err
				}
				now = now.Add(pause)
				fmt.Fprintf(out, "  ... %s later\n", words[1])
				continue
			}
			run, err := p.command(words)
			if err != nil {
				return err
			}
			answer, err := run(ctx, w)
			if err != nil {
				answer = "refused: " + err.Error()
			}
			fmt.Fprintf(out, "$ %s\n  %s\n", line, answer)
		}
		return nil
	})
}

// command returns what the words ask for.
func (p Program) command(words []string) (func(ctx context.Context, w World) (string, error), error) {
	if len(words) == 0 {
		return nil, errors.New("which command?")
	}
	for _, c := range p.Commands {
		usage := strings.Fields(c.Usage)
		if usage[0] != words[0] {
			continue
		}
		given, wanted := len(words)-1, len(usage)-1
		if many := strings.HasSuffix(c.Usage, "..."); given < wanted || given > wanted && !many {
			return nil, fmt.Errorf("the command is: %s", c.Usage)
		}
		return func(ctx context.Context, w World) (string, error) { return c.Run(ctx, w, words[1:]) }, nil
	}
	return nil, fmt.Errorf("there is no command %q", words[0])
}

// open lends a store.
func open(dir string, use func(*opossum.Engine) error) (err error) {
	store, err := opossum.Open(dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return use(store)
}
