package shell

import (
	"context"
	"errors"
	"flag"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum"
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
	var out strings.Builder
	err := p.Run(t.Context(), args, &out)
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
