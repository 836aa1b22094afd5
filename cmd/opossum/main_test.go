package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"opossum"
)

func TestMain(m *testing.M) {
	testscript.Main(leakless{m}, map[string]func(){"opossum": main})
}

// leakless are tests that leave no goroutine behind.
type leakless struct{ *testing.M }

func (m leakless) Run() int {
	code := m.M.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// The scripts run the program itself, as a process.
func TestScripts(t *testing.T) {
	testscript.Run(t, scripts("testdata/script"))
}

// scripts returns how scripts run here: what they have beside testscript's commands.
func scripts(dir string) testscript.Params {
	return testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Setenv(dirVariable, "") // what the caller's shell has must not matter
			// A process with the race detector lingers for a second before it exits, and the scripts start many.
			env.Setenv("GORACE", "atexit_sleep_ms=10 "+os.Getenv("GORACE"))
			env.Values[processesKey] = &processes{env, make(map[string]*process)}
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "ondisk" { // an engine complains about being in memory
				return false, fmt.Errorf("there is no condition %q", name)
			}
			m, err := opossum.MeasureStorage(context.Background(), os.TempDir()) // where scripts run
			return m.Unfit() == "", err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"begin": begin, "feed": feed, "await": await, "finish": finish,
			"status": status, "ordinary": ordinary, "replace": replace, "file": file,
		},
	}
}

// status is the script command `status N PROGRAM ARGS...`: it runs the program, which has to exit with N, and writes
// the files out and err.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N PROGRAM ARGS...")
	}
	expect(ts, args[0], exec.Command(args[1], args[2:]...))
}

// expect runs cmd as scripts do, writes the files out and err, and compares the exit status.
func expect(ts *testscript.TestScript, want string, cmd *exec.Cmd) {
	var stdout, stderr strings.Builder
	cmd.Dir, cmd.Env = ts.MkAbs("."), ts.Value(processesKey).(*processes).env.Vars
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // the state tells
	write(ts, "out", stdout.String())
	write(ts, "err", stderr.String())
	if cmd.ProcessState == nil || strconv.Itoa(cmd.ProcessState.ExitCode()) != want {
		ts.Fatalf("%s: %v, want status %s\n[stderr]\n%s", cmd, cmd.ProcessState, want, &stderr)
	}
}

// replace is the script command `replace FILE OLD NEW`: the file contains OLD.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not contain %q", args[0], args[1])
	}
	write(ts, args[0], strings.ReplaceAll(text, args[1], args[2]))
}

func write(ts *testscript.TestScript, name, text string) {
	ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
}

// commands returns root and all commands below it, cobra's own included.
func commands(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, cmd := range root.Commands() {
		all = append(all, commands(cmd)...)
	}
	return all
}

func TestEveryCommandIsExplained(t *testing.T) {
	all := commands(newRoot())
	for _, cmd := range all {
		name := fmt.Sprintf("%s: ", cmd.CommandPath())
		assert.NotEmpty(t, cmd.Short, name+"short help")
		assert.NotEmpty(t, cmd.Long, name+"long help")
		if !cmd.Hidden {
			assert.Contains(t, cmd.Example, "opossum", name+"example")
		}
	}
	assert.True(t, slices.ContainsFunc(all, func(c *cobra.Command) bool { return c.CommandPath() == "opossum completion bash" }))
}

// file is the script command `file DIR`: it opens the store until each of its events is a file.
func file(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: file DIR")
	}
	e, err := opossum.Open(ts.MkAbs(args[0]), nil)
	ts.Check(err)
	ts.Check(e.WaitMaterialized(context.Background(), e.Head()))
	ts.Check(e.Close())
}
