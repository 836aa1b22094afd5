package main

import (
	"log/slog"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"opossum"
)

var words = regexp.MustCompile("[A-Z][a-z]*")

// flagOf is the one rule for the names of flags.
func flagOf(field string) string {
	return strings.ToLower(strings.Join(words.FindAllString(field, -1), "-"))
}

func TestEveryOptionIsAFlag(t *testing.T) {
	f := addEngineFlags(&cobra.Command{}, slog.LevelWarn)
	flags := map[string]bool{}
	f.set.VisitAll(func(flag *pflag.Flag) { flags[flag.Name] = true })
	for field := range reflect.TypeFor[opossum.Options]().Fields() {
		name := flagOf(field.Name)
		switch field.Name {
		case "ReadOnly", "Tracer", "Clock":
			require.NotContains(t, flags, name)
		default:
			require.Contains(t, flags, name)
			delete(flags, name)
		}
	}
	require.Empty(t, flags)
}

// What is not given is the default of the engine, and what is given reaches another process.
func TestFlagsAreOptions(t *testing.T) {
	given := []string{
		"--cache-bytes=9", "--flush=count", "--flush-every=7", "--flush-interval=3s", "--group-wait=2ms", "--logger=ERROR", "--loose-events=-1",
		"--max-lag-bytes=3", "--max-lag-events=2", "--min-free-bytes=-1", "--recent-bytes=5000",
	}
	cmd := &cobra.Command{}
	f := addEngineFlags(cmd, slog.LevelWarn)
	require.Empty(t, f.args())
	require.NoError(t, f.check())
	require.NoError(t, cmd.ParseFlags(given)) // as the program does
	require.NoError(t, f.check())
	require.Equal(t, given, f.args())
	require.Equal(t, opossum.Options{
		CacheBytes: 9, LooseEvents: opossum.KeepLoose,
		Flush: opossum.FlushCount, FlushEvery: 7, FlushInterval: 3e9, GroupWait: 2e6, MaxLagBytes: 3, MaxLagEvents: 2, MinFreeBytes: -1, RecentBytes: 5000,
	}, f.options)
	require.Equal(t, slog.LevelError, f.level)
}
