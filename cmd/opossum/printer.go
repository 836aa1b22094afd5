package main

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"strings"

	"opossum"
)

// printer prints events, a line each: text for people, or the JSON form.
type printer struct {
	out     *bufio.Writer
	json    bool
	line    []byte // reused
	printed int
}

func newPrinter(w io.Writer, json bool) *printer {
	return &printer{out: bufio.NewWriter(w), json: json}
}

// print prints ev; it may wait in the buffer for flush.
func (p *printer) print(ev opossum.SequencedEvent) (err error) {
	if !p.json {
		p.line = appendText(p.line[:0], ev)
	} else if p.line, err = appendLine(p.line[:0], ev); err != nil {
		return err
	}
	if _, err = p.out.Write(append(p.line, '\n')); err == nil {
		p.printed++
	}
	return err
}

// all prints the events. What came before an error is out, in whole lines, when it returns the error.
func (p *printer) all(events iter.Seq2[opossum.SequencedEvent, error]) error {
	for ev, err := range events {
		if err == nil {
			err = p.print(ev)
		}
		if err != nil {
			return firstError(p.out.Flush(), err)
		}
	}
	return p.out.Flush()
}

// each prints the events and lets out every one at once, for those who wait for it.
func (p *printer) each(events iter.Seq2[opossum.SequencedEvent, error]) error {
	for ev, err := range events {
		if err == nil {
			err = firstError(p.print(ev), p.out.Flush())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// appendText appends the line for people to buf.
func appendText(buf []byte, ev opossum.SequencedEvent) []byte {
	tags := make([]string, len(ev.Event.Tags))
	for i, tag := range ev.Event.Tags {
		tags[i] = word(string(tag))
	}
	line := fmt.Sprintf("%8d  %s  %s  [%s]  %s", ev.Position, ev.Event.Time.UTC().Format("2006-01-02T15:04:05.000Z"),
		word(ev.Event.Type), strings.Join(tags, " "), excerpt(ev.Event.Data))
	return append(buf, strings.TrimRight(line, " ")...)
}
