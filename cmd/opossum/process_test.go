package main

import (
	"bufio"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// processes are what a script began and has not yet ended.
type processes struct {
	env  *testscript.Env
	live map[string]*process
}

const processesKey = "processes"

// patience bounds waiting for what a broken program never does.
const patience = time.Minute

// process is a program that runs beside a script.
type process struct {
	cmd            *exec.Cmd
	stdin          io.Closer
	stdout, stderr strings.Builder
	drained        chan struct{} // closed when standard output has ended
}

// begin is the script command `begin NAME INPUT PATTERN PROGRAM ARGS...`: it starts the program with the file INPUT ("-":
// nothing) as the beginning of its standard input, which stays open, and returns when a line of its standard output matches.
func begin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: begin NAME INPUT PATTERN PROGRAM ARGS...")
	}
	all := ts.Value(processesKey).(*processes)
	p := &process{cmd: exec.Command(args[3], args[4:]...), drained: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = ts.MkAbs("."), all.env.Vars, &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	ts.Check(err)
	stdin, err := p.cmd.StdinPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	p.stdin = stdin
	ts.Defer(p.end)
	all.live[args[0]] = p
	matched := make(chan struct{})
	go p.drain(stdout, regexp.MustCompile(args[2]), matched)
	if args[1] != "-" {
		_, err := io.WriteString(stdin, ts.ReadFile(args[1]))
		ts.Check(err)
	}
	select {
	case <-matched:
	case <-p.drained:
		ts.Fatalf("%s ended before a line matched %s\n[stdout]\n%s[stderr]\n%s", args[0], args[2], &p.stdout, &p.stderr)
	case <-time.After(patience):
		ts.Fatalf("%s printed no line that matches %s in %v", args[0], args[2], patience)
	}
}

// drain reads all of standard output, and closes matched at the first line that matches.
func (p *process) drain(r io.Reader, pattern *regexp.Regexp, matched chan struct{}) {
	defer close(p.drained)
	found := false
	for lines := bufio.NewScanner(r); lines.Scan(); {
		p.stdout.WriteString(lines.Text() + "\n")
		if !found && pattern.MatchString(lines.Text()) {
			found = true
			close(matched)
		}
	}
}

// end kills the process if it still runs.
func (p *process) end() {
	_ = p.cmd.Process.Kill()
	<-p.drained
	_ = p.cmd.Wait()
	_ = p.stdin.Close()
}

// finish is the script command `finish NAME INT|TERM STATUS`: it sends the signal, waits, compares the status, and writes
// NAME.stdout and NAME.stderr.
func finish(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: finish NAME INT|TERM STATUS")
	}
	all := ts.Value(processesKey).(*processes)
	p := all.live[args[0]]
	if p == nil {
		ts.Fatalf("nothing called %s was begun", args[0])
	}
	delete(all.live, args[0])
	signal := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM}[args[1]]
	ts.Check(p.cmd.Process.Signal(signal))
	select {
	case <-p.drained:
	case <-time.After(patience):
		ts.Fatalf("%s went on for %v after the signal", args[0], patience)
	}
	_ = p.cmd.Wait() // the state tells
	write(ts, args[0]+".stdout", p.stdout.String())
	write(ts, args[0]+".stderr", p.stderr.String())
	if got := p.cmd.ProcessState.ExitCode(); strconv.Itoa(got) != args[2] {
		ts.Fatalf("%s ended with status %d, want %s\n[stderr]\n%s", args[0], got, args[2], &p.stderr)
	}
}
