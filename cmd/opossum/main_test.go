package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"opossum": main})
}

// The scripts run the program itself, as a process.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv(dirVariable, "") // what the caller's shell has must not matter
			// A process with the race detector lingers for a second before it exits, and the scripts start many.
			env.Setenv("GORACE", "atexit_sleep_ms=10 "+os.Getenv("GORACE"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"waitfor": waitFor},
	})
}

// waitFor is the script command `waitfor FILE`: it returns when the file exists.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	const patience = time.Minute
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfor FILE")
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("no file %s after %v", args[0], patience)
}

func TestEveryCommandIsExplained(t *testing.T) {
	root := newRoot()
	for _, cmd := range append([]*cobra.Command{root}, root.Commands()...) {
		name := fmt.Sprintf("%s: ", cmd.Name())
		assert.NotEmpty(t, cmd.Short, name+"short help")
		assert.NotEmpty(t, cmd.Long, name+"long help")
		if !cmd.Hidden {
			assert.Contains(t, cmd.Example, "opossum", name+"example")
		}
	}
}
