package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"opossum/bench/harness"
)

// lab is the place where a report is made.
type lab struct {
	ctx      context.Context
	dir      string
	made     bool // dir did not exist before
	quick    bool
	progress io.Writer
	report   report
}

// open makes the directory if need be and refuses one that is not on a disk.
func (l *lab) open() error {
	if _, err := os.Stat(l.dir); errors.Is(err, fs.ErrNotExist) {
		l.made = true
	}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return err
	}
	var err error
	if l.report.Environment, err = harness.Inspect(l.dir); err != nil {
		return errors.Join(err, l.close())
	}
	return nil
}

// close removes the directory if open made it. What was measured in it has been removed before.
func (l *lab) close() error {
	if !l.made {
		return nil
	}
	return os.Remove(l.dir)
}

// cell is one way under one shape of load, in all rounds.
type cell struct {
	Way             string           `json:"way"`
	What            string           `json:"what"`
	Writers         int              `json:"writers"`
	EventsPerAppend int              `json:"events_per_append"`
	Rate            harness.Spread   `json:"events_per_second"`
	Rounds          []harness.Result `json:"rounds"`
}

// shape is a number of writers and of events per append.
type shape struct{ writers, events int }

func (s shape) String() string {
	return count(s.writers, "writer") + " x " + count(s.events, "event")
}

// contender is a way and what its writers do.
type contender struct {
	harness.Way
	load harness.Load
}

// what names a contender in a table.
func (c contender) what() string {
	if c.load.Name == harness.Append.Name {
		return c.What
	}
	return c.What + ", " + c.load.What
}

// appending makes contenders of ways that append without condition.
func appending(ways ...harness.Way) (all []contender) {
	for _, w := range ways {
		all = append(all, contender{w, harness.Append})
	}
	return all
}

// measure runs the contenders in turn, round after round, under one shape of load.
func (l *lab) measure(s shape, contenders ...contender) ([]cell, error) {
	fmt.Fprintf(l.progress, "%v: %s\n", s, count(len(contenders), "way"))
	var measures []func() (harness.Result, error)
	for _, way := range contenders {
		measures = append(measures, func() (harness.Result, error) {
			c := harness.Cell{Way: way.Way, Load: way.load, Workload: harness.Default, Writers: s.writers, EventsPerAppend: s.events, Time: l.report.Time}
			r, err := c.Measure(l.ctx, l.dir)
			if err != nil {
				err = fmt.Errorf("%s, %v: %w", way.Name, s, err)
			}
			return r.Result, err
		})
	}
	results, err := harness.Interleave(l.report.Rounds, measures...)
	if err != nil {
		return nil, err
	}
	var cells []cell
	for i, way := range contenders {
		rate := harness.SpreadOf(results[i], harness.Result.Rate)
		cells = append(cells, cell{way.Name, way.what(), s.writers, s.events, rate, results[i]})
	}
	l.report.Cells = append(l.report.Cells, cells...)
	return cells, nil
}

// median returns the median of one number of the cell's rounds.
func (c cell) median(number func(harness.Result) float64) float64 {
	return harness.SpreadOf(c.Rounds, number).Median
}
