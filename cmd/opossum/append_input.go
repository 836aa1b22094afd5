package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"opossum"
)

// Bounds of the input, above what a store accepts: data of 15 MiB, every byte of it escaped, fits into one line.
const (
	maxLineBytes  = 128 << 20
	maxBatchBytes = 128 << 20
)

// inputEvent is an event with the line that it came from.
type inputEvent struct {
	event opossum.Event
	place string // for error messages: "line 3", or "file.jsonl line 3"
	size  int    // of the line, in bytes
}

// readEvents yields the events of the files one after the other; of stdin without files or for the name "-". The first
// error is the last thing it yields, and names the line.
func readEvents(ctx context.Context, files []string, stdin io.Reader) iter.Seq2[inputEvent, error] {
	if len(files) == 0 {
		files = []string{"-"}
	}
	return func(yield func(inputEvent, error) bool) {
		for _, name := range files {
			if !readFile(ctx, name, stdin, yield) {
				return
			}
		}
	}
}

func readFile(ctx context.Context, name string, stdin io.Reader, yield func(inputEvent, error) bool) (more bool) {
	if name == "-" {
		return readLines(ctx, &interruptible{ctx: ctx, r: stdin}, "", yield)
	}
	f, err := os.Open(name)
	if err != nil {
		return yield(inputEvent{}, err) && false
	}
	defer f.Close()
	return readLines(ctx, &interruptible{ctx: ctx, r: f}, name+" ", yield) // a file can be a pipe, and block
}

func readLines(ctx context.Context, r io.Reader, name string, yield func(inputEvent, error) bool) (more bool) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLineBytes)
	n := 0
	for lines.Scan() {
		n++
		place := fmt.Sprintf("%sline %d", name, n)
		if err := ctx.Err(); err != nil {
			return yield(inputEvent{}, fmt.Errorf("%s: %w", place, err)) && false
		}
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		event, err := parseEvent(line)
		if err != nil {
			return yield(inputEvent{}, fmt.Errorf("%s: %w", place, err)) && false
		}
		if !yield(inputEvent{event, place, len(line)}, nil) {
			return false
		}
	}
	err := lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("longer than %s: %w", bytesText(maxLineBytes), opossum.ErrTooLarge)
	}
	if err != nil {
		return yield(inputEvent{}, fmt.Errorf("%sline %d: %w", name, n+1, err)) && false
	}
	return true
}

// interruptible reads from r until ctx ends, even if r blocks, as a terminal does. A read that is given up goes on into
// a buffer that nobody looks at any more.
type interruptible struct {
	ctx context.Context
	r   io.Reader
	buf []byte
}

func (i *interruptible) Read(p []byte) (int, error) {
	if len(i.buf) == 0 {
		i.buf = make([]byte, 64<<10)
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := i.r.Read(i.buf[:min(len(i.buf), len(p))])
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		return copy(p, i.buf[:r.n]), r.err
	case <-i.ctx.Done():
		return 0, i.ctx.Err()
	}
}
