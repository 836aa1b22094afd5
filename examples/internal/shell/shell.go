// Package shell makes a program of an example: one command on a store in a directory, a session of them or, without arguments, a story on a store that is gone afterwards.
package shell

import (
	"bufio"
	"context"
	crand "crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"opossum"
	"opossum/projection"
)

// World is what a command works with.
type World struct {
	Store  *opossum.Engine
	Models *projection.Runner // nil if the program has no read models
	Now    func() time.Time
	Rand   io.Reader // of secrets and identities

	terminal *os.File // for what moves; nil: nobody looks
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
	// Models adds the read models, if there are any. The shell has commands to look after them.
	Models func(*projection.Runner) error
	// Story is lines of commands. "later 1h" lets time pass, and a line that begins with "#" is for those who read it.
	Story []string
}

// Main runs the program and ends the process.
func (p Program) Main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := p.Run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.Name, err)
		os.Exit(1)
	}
}

// Run does what the arguments say: "--dir DIR COMMAND ARGUMENT..."; for the command "session", what the lines of in say; or, if there are no arguments, the story.
func (p Program) Run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return p.story(ctx, out)
	}
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // what is wrong is in the error
	dir := flags.String("dir", p.Name+"-data", "the directory of the store")
	flags.Usage = func() {
		fmt.Fprintf(out, "usage: %s [--dir DIR] COMMAND; without arguments, a story. The commands:\n", p.Name)
		for _, c := range p.commands() {
			fmt.Fprintf(out, "  %s\n", c.Usage)
		}
		fmt.Fprintln(out, "  session, which takes a command from each line of its input")
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	words := flags.Args()
	if slices.Equal(words, []string{"session"}) {
		return p.open(*dir, func(w World) error { return p.session(ctx, w, in, out) })
	}
	run, err := p.command(words)
	if err != nil {
		flags.Usage()
		return err
	}
	return p.open(*dir, func(w World) error {
		answer, err := run(ctx, w)
		if err == nil {
			fmt.Fprintln(out, answer)
		}
		return err
	})
}

// session does what each line says, until there are no more. What is refused does not end it.
func (p Program) session(ctx context.Context, w World, in io.Reader, out io.Writer) error {
	lines, failed := make(chan string), make(chan error, 1)
	go func() { // a read from a terminal cannot be interrupted: when ctx ends, this is left behind, and the process ends
		defer close(lines)
		scanner := bufio.NewScanner(in)
		for scanner.Scan() {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				failed <- nil
				return
			}
		}
		failed <- scanner.Err()
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-lines:
			if !ok {
				return <-failed
			}
			if words := strings.Fields(line); len(words) > 0 {
				fmt.Fprintln(out, p.answer(ctx, w, words))
			}
		}
	}
}

// answer is what a person is told: the answer, or why there is none.
func (p Program) answer(ctx context.Context, w World, words []string) string {
	run, err := p.command(words)
	if err != nil {
		return err.Error()
	}
	answer, err := run(ctx, w)
	if err != nil {
		return "refused: " + err.Error()
	}
	return answer
}

// story runs the lines of the story. An error is part of it: it is shown, and the story goes on.
func (p Program) story(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", p.Name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return p.open(dir, func(w World) error {
		// The same clock and the same dice for every telling.
		now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
		w.Now, w.Rand, w.terminal = func() time.Time { return now }, rand.NewChaCha8([32]byte{}), nil
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
			if _, err := p.command(words); err != nil {
				return err
			}
			fmt.Fprintf(out, "$ %s\n  %s\n", line, strings.ReplaceAll(p.answer(ctx, w, words), "\n", "\n  "))
		}
		return nil
	})
}

// commands are those of the program, and those for its read models.
func (p Program) commands() []Command {
	if p.Models == nil {
		return p.Commands
	}
	return slices.Concat(p.Commands, administration())
}

// command returns what the words ask for.
func (p Program) command(words []string) (func(ctx context.Context, w World) (string, error), error) {
	if len(words) == 0 {
		return nil, errors.New("which command?")
	}
	for _, c := range p.commands() {
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

// open lends a store, and the read models that follow it.
func (p Program) open(dir string, use func(World) error) (err error) {
	store, err := opossum.Open(dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	w := World{Store: store, Now: time.Now, Rand: crand.Reader, terminal: os.Stderr}
	if p.Models != nil {
		if w.Models, err = store.Projections(nil); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.Models.Close()) }() // before the store
		if err := p.Models(w.Models); err != nil {
			return err
		}
	}
	return use(w)
}
