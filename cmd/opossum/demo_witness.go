package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"opossum"
)

// ack is one acknowledged append, as the one who was told remembers it: writer, position, and the whole event.
type ack struct {
	writer int
	pos    opossum.Position
	line   string // the event in its JSON form, position included
}

// witness remembers acknowledgements outside of the store that gave them. It is safe for concurrent use; the acks of
// one writer are in the order in which that writer got them.
type witness struct {
	mu   sync.Mutex
	acks []ack
}

func (w *witness) add(a ack) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acks = append(w.acks, a)
}

// newAck remembers that writer was told that ev was appended.
func newAck(writer int, ev opossum.SequencedEvent) (ack, error) {
	line, err := appendLine(nil, ev)
	return ack{writer, ev.Position, string(line)}, err
}

// send writes a as one line with one Write, so that a process killed meanwhile leaves a whole line or a piece without
// a line end.
func (a ack) send(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d %d %s\n", a.writer, a.pos, a.line)
	return err
}

// receiveAck reads the next ack that was sent. It returns io.EOF at the end, also if it is in the middle of a line:
// what was not wholly told was not told.
func receiveAck(r *bufio.Reader) (ack, error) {
	text, err := r.ReadString('\n')
	if err != nil {
		return ack{}, err
	}
	number, rest, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
	position, line, _ := strings.Cut(rest, " ")
	writer, err1 := strconv.Atoi(number)
	pos, err2 := strconv.ParseUint(position, 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return ack{}, fmt.Errorf("acknowledgement %q: %w", text, err)
	}
	return ack{writer, opossum.Position(pos), line}, nil
}
