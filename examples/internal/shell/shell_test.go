package shell

import (
	"context"
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum"
	"opossum/projection"
)

var errNever = errors.New("never")

var program = Program{
	Name: "test",
	Commands: []Command{
		{Usage: "add TYPE", Run: func(ctx context.Context, w World, args []string) (string, error) {
			_, err := w.Store.Append(ctx, []opossum.Event{{Type: args[0], Time: w.Now()}}, nil)
			return "added " + args[0], err
		}},
		{Usage: "time", Run: func(ctx context.Context, w World, _ []string) (string, error) {
			last, err := w.Store.ReadLast(ctx, opossum.AllEvents())
			return last.Event.Type + " " + w.Now().Sub(last.Event.Time).String(), err
		}},
		{Usage: "fail", Run: func(context.Context, World, []string) (string, error) { return "", errNever }},
		{Usage: "join WORD...", Run: func(_ context.Context, _ World, args []string) (string, error) { return strings.Join(args, "+"), nil }},
	},
}

func run(t *testing.T, p Program, args ...string) (string, error) {
	return session(t, p, "", args...)
}

func session(t *testing.T, p Program, in string, args ...string) (string, error) {
	var out strings.Builder
	err := p.Run(t.Context(), args, strings.NewReader(in), &out)
	return out.String(), err
}

func TestCommands(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		line, out, err string
	}{
		{"add A", "added A\n", ""},
		{"add", "usage", "the command is: add TYPE"},
		{"add A B", "usage", "the command is: add TYPE"},
		{"join a", "a\n", ""},
		{"join a b c", "a+b+c\n", ""},
		{"join", "usage", "the command is: join WORD..."},
		{"fail", "", errNever.Error()},
		{"dance", "usage", `there is no command "dance"`},
		{"", "usage", "which command?"},
	} {
		out, err := run(t, program, append([]string{"--dir", dir}, strings.Fields(c.line)...)...)
		if c.err == "" {
			require.NoError(t, err, c.line)
			require.Equal(t, c.out, out, c.line)
			continue
		}
		require.EqualError(t, err, c.err, c.line)
		require.True(t, strings.HasPrefix(out, c.out), out)
	}
	out, err := run(t, program, "--help")
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Contains(t, out, "add TYPE\n")
	out, err = run(t, program, "--speed", "9")
	require.ErrorContains(t, err, "-speed")
	require.Contains(t, out, "add TYPE\n")

	store, err := opossum.Open(dir, nil)
	require.NoError(t, err)
	require.EqualValues(t, 1, store.Head(), "the store stays, and holds what the only good command has added")
	require.NoError(t, store.Close())
}

func TestStory(t *testing.T) {
	p := program
	p.Story = []string{"# Once upon a time", "add A", "later 90m", "time", "fail", "join and so on"}
	out, err := run(t, p)
	require.NoError(t, err)
	require.Equal(t, "\n# Once upon a time\n$ add A\n  added A\n  ... 90m later\n$ time\n  A 1h30m0s\n$ fail\n  refused: never\n$ join and so on\n  and+so+on\n", out)

	for _, line := range []string{"dance", "later today", "add"} {
		p.Story = []string{line}
		_, err := run(t, p)
		require.Error(t, err, "a story that cannot be told: %s", line)
	}
}

// withModels counts the events of each type.
func withModels() Program {
	p := program
	var counts *projection.Model[int]
	p.Commands = append(slices.Clone(p.Commands), Command{Usage: "wait", Run: func(ctx context.Context, w World, _ []string) (string, error) {
		return "there", counts.Wait(ctx, w.Store.Head())
	}})
	p.Models = func(r *projection.Runner) (err error) {
		counts, err = projection.Add(r, projection.Definition[int]{
			Name: "counts", Version: 1, Query: opossum.AllEvents(),
			Key: func(e opossum.SequencedEvent) string { return e.Event.Type },
			Apply: func(n *int, e projection.Event) (*int, error) {
				if e.Event.Type == "bad" {
					return nil, errNever
				}
				if n == nil {
					n = new(int)
				}
				*n++
				return n, nil
			},
		})
		return err
	}
	return p
}

func TestModels(t *testing.T) {
	dir := t.TempDir()
	p := withModels()
	for _, c := range []struct{ in, out string }{
		{"add A\nadd A\nadd B\nwait\nmodels", "counts: version 1, following, at position 3, 0 behind, 2 states"},
		{"\npause counts\nadd B\nmodels", "counts: version 1, paused, at position 3, 1 behind, 2 states"},
		{"wait\nmodels", "counts: version 1, following, at position 4, 0 behind, 2 states"},
		{"pause counts\nadd C\nresume counts\nwait\nmodels", "counts: version 1, following, at position 5, 0 behind, 3 states"},
		{"rebuild counts", "counts: 5 events were applied, up to position 5"},
		{"rebuild-all", "counts: 5 events were applied, up to position 5"},
		{"rebuild-unfit", "nothing had to be rebuilt"},
		{"rebuild others", `refused: opossum: projections: no such read model: "others"`},
		{"pause others", `refused: opossum: projections: no such read model: "others"`},
		{"resume others", `refused: opossum: projections: no such read model: "others"`},
		{"dance", `there is no command "dance"`},
	} {
		out, err := session(t, p, c.in, "--dir", dir, "session")
		require.NoError(t, err, c.in)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		require.Equal(t, c.out, lines[len(lines)-1], c.in)
	}
	out, err := run(t, p, "--dir", dir, "models")
	require.NoError(t, err)
	require.Contains(t, out, "counts: version 1, ")
	_, err = run(t, program, "--dir", dir, "models")
	require.EqualError(t, err, `there is no command "models"`)
	require.Contains(t, statusLine(projection.Status{Name: "x", State: projection.Parked, Error: "position 3: never", Rebuild: &projection.Progress{Position: 1, Until: 4}}), "parked, at position 0, 0 behind, 0 states, rebuilt by 25 %, after position 3: never")
}

// Ctrl-C ends a session whose input does not end.
func TestASessionEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in, open := io.Pipe()
	ended := make(chan error)
	go func() { ended <- program.Run(ctx, []string{"--dir", t.TempDir(), "session"}, in, io.Discard) }()
	_, err := io.WriteString(open, "add A\n")
	require.NoError(t, err)
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, open.Close())
}
