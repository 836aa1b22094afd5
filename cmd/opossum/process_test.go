package main

import (
	"bufio"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	lines   lines
	stderr  strings.Builder
	drained chan struct{} // closed when standard output has ended
}

// lines are those of standard output, as they come.
type lines struct {
	sync.Mutex
	all  []string
	more chan struct{} // closed when there is one more
}

func (l *lines) add(line string) {
	l.Lock()
	defer l.Unlock()
	l.all = append(l.all, line)
	close(l.more)
	l.more = make(chan struct{})
}

// find reports whether a line matches; if none does, more is closed when there is another one.
func (l *lines) find(pattern *regexp.Regexp) (found bool, more <-chan struct{}) {
	l.Lock()
	defer l.Unlock()
	return slices.ContainsFunc(l.all, pattern.MatchString), l.more
}

func (l *lines) String() string {
	l.Lock()
	defer l.Unlock()
	return strings.Join(append(slices.Clone(l.all), ""), "\n")
}

// begin is the script command `begin NAME INPUT PATTERN PROGRAM ARGS...`: it starts the program with the file INPUT ("-":
// nothing) as the beginning of its standard input, which stays open, and returns when a line of its standard output matches.
func begin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: begin NAME INPUT PATTERN PROGRAM ARGS...")
	}
	all := ts.Value(processesKey).(*processes)
	p := &process{cmd: exec.Command(args[3], args[4:]...), lines: lines{more: make(chan struct{})}, drained: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = ts.MkAbs("."), all.env.Vars, &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	ts.Check(err)
	p.stdin, err = p.cmd.StdinPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	ts.Defer(p.end)
	all.live[args[0]] = p
	go p.drain(stdout)
	if args[1] != "-" {
		feed(ts, false, []string{args[0], args[1]})
	}
	await(ts, false, []string{args[0], args[2]})
}

// feed is the script command `feed NAME FILE`: the process gets the file on its standard input.
func feed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: feed NAME FILE")
	}
	_, err := io.WriteString(begun(ts, args[0]).stdin, ts.ReadFile(args[1]))
	ts.Check(err)
}

// await is the script command `await NAME PATTERN`: it returns when the process has printed a line that matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await NAME PATTERN")
	}
	p, pattern := begun(ts, args[0]), regexp.MustCompile(args[1])
	for late := time.After(patience); ; {
		found, more := p.lines.find(pattern)
		if found {
			return
		}
		select {
		case <-more:
		case <-p.drained:
			if found, _ := p.lines.find(pattern); !found {
				ts.Fatalf("%s ended before a line matched %s\n[stdout]\n%s[stderr]\n%s", args[0], pattern, &p.lines, &p.stderr)
			}
		case <-late:
			ts.Fatalf("%s printed no line that matches %s in %v\n[stdout]\n%s", args[0], pattern, patience, &p.lines)
		}
	}
}

// begun returns the process that a script called name.
func begun(ts *testscript.TestScript, name string) *process {
	p := ts.Value(processesKey).(*processes).live[name]
	if p == nil {
		ts.Fatalf("nothing called %s was begun", name)
	}
	return p
}

// drain reads all of standard output.
func (p *process) drain(r io.Reader) {
	defer close(p.drained)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		p.lines.add(lines.Text())
	}
}

// end kills the process if it still runs.
func (p *process) end() {
	_ = p.cmd.Process.Kill()
	<-p.drained
	_ = p.cmd.Wait()
	_ = p.stdin.Close()
}

// finish is the script command `finish NAME INT|TERM|KILL STATUS`: it sends the signal, waits, compares the status, and writes
// NAME.stdout and NAME.stderr.
func finish(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: finish NAME INT|TERM|KILL STATUS")
	}
	p := begun(ts, args[0])
	delete(ts.Value(processesKey).(*processes).live, args[0])
	signal := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}[args[1]]
	ts.Check(p.cmd.Process.Signal(signal))
	select {
	case <-p.drained:
	case <-time.After(patience):
		ts.Fatalf("%s went on for %v after the signal", args[0], patience)
	}
	_ = p.cmd.Wait() // the state tells
	write(ts, args[0]+".stdout", p.lines.String())
	write(ts, args[0]+".stderr", p.stderr.String())
	if got := p.cmd.ProcessState.ExitCode(); strconv.Itoa(got) != args[2] {
		ts.Fatalf("%s ended with status %d, want %s\n[stderr]\n%s", args[0], got, args[2], &p.stderr)
	}
}
