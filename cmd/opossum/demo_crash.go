package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"
)

// childPatience is how long the child may take to do what takes seconds.
const childPatience = 2 * time.Minute

// crash runs the load in a child process and kills it without warning when it has reported killAfter acknowledgements.
// What it reported goes to the witness. It returns the number of these acks; they are more than killAfter, because the
// child keeps appending until the signal arrives. onAck is called killAfter times.
func crash(ctx context.Context, child *exec.Cmd, killAfter int, w *witness, onAck func() error) (acks int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, childPatience, fmt.Errorf("the child did not get far enough in %v", childPatience))
	defer cancel()

	// The child holds the reading end of a pipe whose writing end is closed when this process ends, however it ends.
	lifeline, err := child.StdinPipe()
	if err != nil {
		return 0, err
	}
	defer lifeline.Close()
	reports, err := child.StdoutPipe()
	if err != nil {
		return 0, err
	}
	var complaint bytes.Buffer
	child.Stderr = &complaint
	if err := child.Start(); err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = child.Process.Kill() }) // it may have ended just now
	defer stop()

	acks, err = collect(reports, w, func(n int) error {
		if n > killAfter {
			return nil
		}
		if err := onAck(); err != nil || n < killAfter {
			return err
		}
		// At a moment that no acknowledgement chose, while this loop keeps the pipe from filling up.
		time.AfterFunc(rand.N(3*time.Millisecond), func() { _ = child.Process.Kill() })
		return nil
	})
	if err != nil {
		_ = child.Process.Kill() // err is what counts
	}
	_ = child.Wait()                                                                         // an error is the aim; how the child ended is in its state
	byItself := acks < killAfter || child.ProcessState.Exited() && runtime.GOOS != "windows" // where to be killed is to exit
	switch {
	case ctx.Err() != nil:
		return acks, context.Cause(ctx)
	case err != nil:
		return acks, fmt.Errorf("the child's report: %w", err)
	case byItself:
		return acks, fmt.Errorf("the child ended by itself (%v) after %d of %d acknowledgements: %s",
			child.ProcessState, acks, killAfter, bytes.TrimSpace(complaint.Bytes()))
	}
	return acks, nil
}

// collect gives the witness what is reported until the reports end, and calls each with the number of every ack.
func collect(reports io.Reader, w *witness, each func(n int) error) (n int, err error) {
	r := bufio.NewReaderSize(reports, 1<<20)
	for {
		a, err := receiveAck(r)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		w.add(a)
		n++
		if err := each(n); err != nil {
			return n, err
		}
	}
}

// childCommand is this program as the process to be killed.
func childCommand(dir string, events, writers int, more []string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{demoChildName, "--dir", dir, "--events", strconv.Itoa(events), "--writers", strconv.Itoa(writers)}
	cmd := exec.Command(self, append(args, more...)...)
	cmd.Args[0] = os.Args[0] // the name that this program was started by, not that of the file that it is in
	return cmd, nil
}
