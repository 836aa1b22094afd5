package main

import (
	"fmt"
	"time"

	"opossum/bench/harness"
)

const (
	readEvents      = 200_000
	readEventsQuick = 5_000
)

// readGoals are what reads of opossum should take at most at the median, with readEvents events.
var readGoals = map[string]time.Duration{
	"last-of-1": 100 * time.Microsecond, "last-of-10": 100 * time.Microsecond, "all-of-10": 100 * time.Microsecond,
	"absent": 20 * time.Microsecond,
}

const openGoal = 100 * time.Millisecond

// reads are the rounds of all ways of reading one history.
type reads struct {
	Events int          `json:"events"`
	Made   harness.Made `json:"made"`
	Ways   []readWay    `json:"ways"`
}

// readWay is one way of reading, in all rounds.
type readWay struct {
	Way    string              `json:"way"`
	What   string              `json:"what"`
	Rounds []harness.ReadRound `json:"rounds"`
}

// reads makes a history, makes sure that all ways give the same answers, and measures them in turn.
func (l *lab) reads() error {
	h := harness.History{Workload: harness.Default, Events: readEvents}
	if l.quick {
		h.Events = readEventsQuick
		l.report.Time /= 10
	}
	l.report.load = fmt.Sprintf("%s with %d bytes of data and 4 tags, each in its file; one reader, all in the page cache; %d interleaved rounds of %v a cell",
		count(h.Events, "event"), h.Workload.Bytes, l.report.Rounds, l.report.Time)
	return harness.InDir(l.dir, func(dir string) error {
		fmt.Fprintf(l.progress, "making a store of %s\n", count(h.Events, "event"))
		made, err := h.Make(l.ctx, dir)
		if err != nil {
			return err
		}
		l.report.Reads = &reads{Events: h.Events, Made: made}
		return l.readRounds(h, dir)
	})
}

func (l *lab) readRounds(h harness.History, dir string) error {
	ways := harness.ReadWays()
	fmt.Fprintf(l.progress, "comparing the answers of %s\n", count(len(ways), "way"))
	if err := harness.Agree(l.ctx, h, dir, ways); err != nil {
		return err
	}
	var measures []func() (harness.ReadRound, error)
	for _, w := range ways {
		measures = append(measures, func() (harness.ReadRound, error) {
			fmt.Fprintf(l.progress, "reading: %s\n", w.What)
			return w.Measure(l.ctx, h, dir, l.report.Time)
		})
	}
	results, err := harness.Interleave(l.report.Rounds, measures...)
	if err != nil {
		return err
	}
	for i, w := range ways {
		l.report.Reads.Ways = append(l.report.Reads.Ways, readWay{w.Name, w.What, results[i]})
	}
	l.report.tables = append(l.report.tables, l.report.Reads.tables()...)
	return nil
}
