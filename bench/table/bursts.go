package main

import (
	"fmt"
	"time"

	"opossum/bench/harness"
)

// The burst that appends have to bear, and how long its filing is watched afterwards.
const (
	burstTime       = 5 * time.Second
	burstFollow     = 2 * time.Minute
	burstRoundsMost = 3 // each leaves hundreds of thousands of files to remove
)

var burstShape = shape{64, 1}

// bursts are the rounds of the burst, with filing and without.
type bursts struct {
	Filing []harness.BurstResult `json:"filing"`
	Paused []harness.BurstResult `json:"paused"`
}

// bursts measures what appends lose to filing. The last round with filing is followed until everything is filed.
func (l *lab) bursts() error {
	length, rounds := burstTime, min(l.report.Rounds, burstRoundsMost)
	if l.quick {
		length = l.report.Time
	}
	fmt.Fprintf(l.progress, "bursts of %v: filing on and paused\n", length)
	burst := harness.Burst{Workload: harness.Default, Writers: burstShape.writers, Time: length}
	filed := 0
	results, err := harness.Interleave(rounds,
		func() (harness.BurstResult, error) {
			filing := burst
			if filed++; filed == rounds {
				filing.Follow = burstFollow
			}
			return filing.Measure(l.ctx, l.dir)
		},
		func() (harness.BurstResult, error) {
			paused := burst
			paused.Paused = true
			return paused.Measure(l.ctx, l.dir)
		})
	if err != nil {
		return fmt.Errorf("burst: %w", err)
	}
	l.report.Bursts = &bursts{Filing: results[0], Paused: results[1]}
	rate := func(r harness.BurstResult) float64 { return r.Rate() }
	l.floor(fmt.Sprintf("%v of filing on / paused", length), burstShape, harness.Ratios(results[0], results[1], rate), filingFloor)
	l.report.tables = append(l.report.tables, lagTable(results[0][rounds-1].Samples))
	return nil
}

// lagTable shows a burst about once a second, and how filing catches up.
func lagTable(samples []harness.Sample) table {
	t := table{
		title: "The last burst with filing on, and how filing catches up",
		head:  []string{"after", "events/s", "files/s", "lag in events", "appends held back"},
	}
	last := samples[0]
	for i, s := range samples {
		seconds := (s.At - last.At).Seconds()
		if isLast := i == len(samples)-1; seconds < 0.99 && !isLast || seconds == 0 {
			continue
		}
		t.rows = append(t.rows, []string{
			fmt.Sprintf("%.1f s", s.At.Seconds()),
			number(float64(s.Events-last.Events) / seconds),
			number(float64(s.Filed-last.Filed) / seconds),
			number(float64(s.Lag)), number(float64(s.Held)),
		})
		last = s
	}
	return t
}
