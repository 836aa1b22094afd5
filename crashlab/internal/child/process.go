package child

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"opossum"
	"opossum/crashlab/internal/lab"
	"opossum/internal/workload"
)

// Patience is how long a child may take for a task that has an end. A hang is a finding, not a wait.
const Patience = 60 * time.Second

// Process is a running child. Its methods are for one goroutine.
type Process struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	reports *os.File
	lines   *bufio.Scanner
	stderr  bytes.Buffer

	Acks    int              // reported so far
	Head    opossum.Position // as the child found it
	Errs    []string         // errors that it reported
	Took    time.Duration    // opening
	Opened  bool
	Steps   []string       // that it reported (package internal/step)
	Early   int            // so many of these before it was open
	Kept    map[string]int // read models that could be read, and their versions
	Poison  bool           // it reported that the engine is poisoned
	wrong   string
	verdict []byte
}

// Option changes how a child is started.
type Option func(*exec.Cmd)

// Env gives a child an environment variable, "NAME=value".
func Env(v string) Option { return func(c *exec.Cmd) { c.Env = append(c.Env, v) } }

// Start runs a child of the binary worker. Its reports are read with Next.
func Start(worker string, t Task, options ...Option) (*Process, error) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p, err := start(worker, t, theirs, options)
	err = errors.Join(err, theirs.Close())
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	p.reports = ours
	p.lines = bufio.NewScanner(ours)
	p.lines.Buffer(nil, 64<<20)
	return p, nil
}

// StartReportingTo runs a child that reports to a file of the caller's, who reads it later.
func StartReportingTo(worker string, t Task, reports *os.File, options ...Option) (*Process, error) {
	return start(worker, t, reports, options)
}

func start(worker string, t Task, reports *os.File, options []Option) (*Process, error) {
	p := &Process{cmd: exec.Command(worker)}
	p.cmd.ExtraFiles, p.cmd.Stderr = []*os.File{reports}, &p.stderr
	p.cmd.Env = os.Environ()
	for _, o := range options {
		o(p.cmd)
	}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	task, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := p.stdin.Write(append(task, '\n')); err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	return p, nil
}

// Next returns the next report, after noting in w (if not nil) what it says; false at the end, when the child is gone.
func (p *Process) Next(w *workload.Witness) (string, bool) {
	if !p.lines.Scan() {
		return "", false
	}
	line := p.lines.Text()
	p.note(line, w)
	return line, true
}

func (p *Process) note(line string, w *workload.Witness) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "ack":
		p.Acks++
	case "error":
		p.Errs = append(p.Errs, unquote(rest))
	case "open":
		var micros int64
		_, _ = fmt.Sscanf(line, lineOpen, &p.Head, &micros)
		p.Took, p.Opened, p.Early = time.Duration(micros)*time.Microsecond, true, len(p.Steps)
	case "step":
		p.Steps = append(p.Steps, line)
	case "kept":
		name, version := "", 0
		_, _ = fmt.Sscanf(line, lineKept, &name, &version)
		if p.Kept == nil {
			p.Kept = map[string]int{}
		}
		p.Kept[name] = version
	case linePoison:
		p.Poison = true
	case "violation":
		p.wrong = unquote(rest)
	case "verdict":
		p.verdict = []byte(rest)
	}
	if w != nil {
		w.Note(line)
	}
}

func unquote(s string) string {
	if u, err := strconv.Unquote(s); err == nil {
		return u
	}
	return s
}

// Violation returns what the child found, "" if nothing.
func (p *Process) Violation() string { return p.wrong }

// Complains reports whether a report says that a call failed, or that errors must pass now.
func Complains(line string) bool {
	return strings.HasPrefix(line, "error ") || line == lineWaiting
}

// Signal sends the child SIGKILL and does not wait.
func (p *Process) Signal() error { return p.cmd.Process.Kill() }

// Quit ends a child that hangs. It says to standard error where its goroutines are.
func (p *Process) Quit() error { return p.cmd.Process.Signal(syscall.SIGQUIT) }

// Drain takes all reports that are left. It returns when the child is gone.
func (p *Process) Drain(w *workload.Witness) {
	for {
		if _, ok := p.Next(w); !ok {
			return
		}
	}
}

// Kill kills the child and reaps it. What it had reported and nobody has read is given up.
func (p *Process) Kill() error {
	err := p.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return errors.Join(err, p.reap())
}

// reap waits for a child that was killed or has ended. How it ended is told by Wait only.
func (p *Process) reap() error {
	err := p.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// Wait waits for the end of the child. The error says how it ended, if not with status 0, and what it wrote to standard error.
func (p *Process) Wait() error {
	err := p.cmd.Wait()
	if p.reports != nil {
		_ = p.reports.Close()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && p.stderr.Len() > 0 {
		return fmt.Errorf("%w; it said: %.4000s", err, p.stderr.String())
	}
	return err
}

// Killed reports whether err of Wait is that of a process that was killed with SIGKILL.
func Killed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// Run runs a child to its end and returns it with everything it reported, noted in w. A child that hangs, panics or is killed
// is an error.
func Run(ctx context.Context, worker string, t Task, w *workload.Witness, options ...Option) (*Process, error) {
	return Attend(ctx, worker, t, w, func(string) error { return nil }, options...)
}

// Attend is Run, and calls see with each report. An error of see ends the child and is returned.
func Attend(ctx context.Context, worker string, t Task, w *workload.Witness, see func(line string) error, options ...Option) (*Process, error) {
	t.End = true
	p, err := Start(worker, t, options...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, fmt.Errorf("it hangs: no end after %v", Patience))
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = p.Quit() })()
	for {
		line, ok := p.Next(w)
		if !ok {
			break
		}
		if err := see(line); err != nil {
			return p, errors.Join(err, p.Kill())
		}
	}
	if err := p.Wait(); err != nil {
		return p, errors.Join(context.Cause(ctx), err)
	}
	return p, nil
}

// Complete runs a child that must come to its end without an error, since nothing is wrong with what it has. The error Is lab.ErrUnprovoked if it is the child's.
func Complete(ctx context.Context, worker string, t Task, w *workload.Witness) error {
	p, err := Run(ctx, worker, t, w)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case p == nil:
		return err
	case err == nil && len(p.Errs) > 0:
		err = errors.New(p.Errs[0])
	}
	return lab.Unprovoked(err)
}

// Judge runs a child that checks a store. A violation is in the Result; the error is one of the lab's. A child that panics or hangs is
// a violation.
func Judge(ctx context.Context, worker string, t Task, options ...Option) (r Result, err error) {
	t.Do = Check
	r.Violation, err = judge(ctx, worker, t, &r.Verdict, options)
	return r, err
}

// Examine runs a child that looks at a damaged store, as Judge does.
func Examine(ctx context.Context, worker string, t Task) (e Examined, err error) {
	t.Do = Rot
	e.Violation, err = judge(ctx, worker, t, &e.Diagnosis, nil)
	return e, err
}

// JudgeModels runs a child that checks the read models of a store, as Judge does.
func JudgeModels(ctx context.Context, worker string, t Task) (m ModelsJudged, err error) {
	t.Do = CheckModels
	m.Violation, err = judge(ctx, worker, t, &m.Verdict, nil)
	return m, err
}

// Mended runs a child that looks at a store that is, or has yet to be, repaired. The violation and the error are as those of Judge.
func Mended(ctx context.Context, worker string, t Task) (violation string, err error) {
	t.Do = Look
	return judge(ctx, worker, t, &struct{}{}, nil)
}

func judge(ctx context.Context, worker string, t Task, verdict any, options []Option) (violation string, err error) {
	p, err := Run(ctx, worker, t, nil, options...)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if p == nil {
		return "", err
	}
	violation = p.wrong
	if err != nil {
		violation = err.Error()
	}
	if p.verdict == nil {
		if violation == "" {
			return "", errors.New("a check ended without a verdict")
		}
		return violation, nil
	}
	if err := json.Unmarshal(p.verdict, verdict); err != nil && violation == "" { // else half of it was written
		return "", err
	}
	return violation, nil
}
