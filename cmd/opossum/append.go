package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/spf13/cobra"

	"opossum"
)

// Bounds of the input, above what a store accepts: data of 15 MiB, every byte of it escaped, fits into one line.
const (
	maxLineBytes  = 128 << 20
	maxBatchBytes = 128 << 20
)

func newAppend(a *app) *cobra.Command {
	var batch bool
	cmd := &cobra.Command{
		Use:   "append [FILE...]",
		Short: "Append events, one JSON object a line",
		Long: `append reads events from the files, or from standard input, and appends them to the store, which it creates
if the directory does not exist or is empty. Each line is one event:

  {"type": "...", "tags": ["..."], "data": ANY JSON, "id": "UUID", "metadata": {"key": "value"}, "time": "RFC 3339"}

Only type is required. Instead of data, dataText takes a text and dataBase64 binary data. The members position and
checksum, which read and event files add, are ignored; any other member is an error. Empty lines are skipped.

Each event is appended on its own, in order; with --batch all of them become one append, which is there wholly or not at
all (at most 16 MiB). The position of each event is printed as soon as the event is durable; with --json, one object
for each append with the position of its last event and the number of its events.

The first bad line ends the command. The error names the line and what was appended before it.`,
		Example: `  echo '{"type":"CourseCreated","tags":["course:c1"],"data":{"capacity":30}}' | opossum append --dir store
  opossum read --dir old --json | opossum append --dir new --batch`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, files []string) error {
			return a.withStore(cmd, createAbsent, func(ctx context.Context, e *opossum.Engine) error {
				p := &appender{ctx: ctx, engine: e, out: cmd.OutOrStdout(), json: a.json}
				err := p.run(readEvents(ctx, files, cmd.InOrStdin()), batch)
				if err != nil {
					return fmt.Errorf("%w (%s)", err, p.done())
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&batch, "batch", false, "append all events as one: wholly or not at all")
	return cmd
}

// appender appends what it is given and remembers what is durable.
type appender struct {
	ctx    context.Context
	engine *opossum.Engine
	out    io.Writer
	json   bool

	first, last opossum.Position // of what was appended; 0 if nothing was
}

func (p *appender) run(events iter.Seq2[inputEvent, error], batch bool) error {
	var gathered []opossum.Event
	size := 0
	for in, err := range events {
		if err != nil {
			return err
		}
		if !batch {
			if err := p.append([]opossum.Event{in.event}); err != nil {
				return fmt.Errorf("%s: %w", in.place, err)
			}
			continue
		}
		gathered = append(gathered, in.event)
		if size += in.size; size > maxBatchBytes {
			return fmt.Errorf("%s: the batch exceeds %s: %w", in.place, bytesText(maxBatchBytes), opossum.ErrTooLarge)
		}
	}
	if !batch {
		return nil
	}
	return p.append(gathered)
}

// append appends the events as one and prints where they are.
func (p *appender) append(events []opossum.Event) error {
	last, err := p.engine.Append(p.ctx, events, nil)
	if err != nil {
		return err
	}
	first := last - opossum.Position(len(events)) + 1
	if p.first == 0 {
		p.first = first
	}
	p.last = last
	return p.print(first, last)
}

func (p *appender) print(first, last opossum.Position) error {
	if p.json {
		return json.NewEncoder(p.out).Encode(struct {
			Position opossum.Position `json:"position"`
			Events   int              `json:"events"`
		}{last, int(last - first + 1)})
	}
	var text []byte
	for pos := first; pos <= last; pos++ {
		text = fmt.Appendln(text, pos)
	}
	_, err := p.out.Write(text)
	return err
}

// done says what was appended before an error. The positions are contiguous: this process owns the store.
func (p *appender) done() string {
	switch p.last {
	case 0:
		return "nothing was appended"
	case p.first:
		return fmt.Sprintf("appended before: position %d", p.first)
	default:
		return fmt.Sprintf("appended before: positions %d to %d", p.first, p.last)
	}
}

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
	return readLines(ctx, f, name+" ", yield)
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
