package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"opossum/bench/harness"
)

// results are everything that was measured, as it is kept in results.json.
type results struct {
	Version     int                 `json:"version"`
	Environment harness.Environment `json:"environment"`
	Commit      string              `json:"commit"` // of opossum; with a + if files were changed since
	Began       time.Time           `json:"began"`
	Took        time.Duration       `json:"took_ns"`
	Quick       bool                `json:"quick"`
	Broken      string              `json:"broken,omitempty"` // why not all was measured
	Ways        []harness.Way       `json:"ways"`
	Cells       []cell              `json:"cells"`
}

const resultsVersion = 1

// cell is one job in all its rounds.
type cell struct {
	Experiment string            `json:"experiment"`
	Job        harness.Job       `json:"job"`
	Rounds     []harness.Outcome `json:"rounds"`
	Failed     string            `json:"failed,omitempty"` // why there are no rounds: a rival that cannot, or does not end, is no reason to measure nothing
}

func loadResults(path string) (r results, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	if r.Version != resultsVersion {
		return r, fmt.Errorf("%s: version %d, not %d", path, r.Version, resultsVersion)
	}
	return r, nil
}

func (r results) save(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// of returns the cells of an experiment that were measured.
func (r results) of(experiment string) (cells []cell) {
	for _, c := range r.Cells {
		if c.Experiment == experiment && len(c.Rounds) > 0 {
			cells = append(cells, c)
		}
	}
	return cells
}

// spread sums up one number of the rounds.
func (c cell) spread(number func(harness.Outcome) float64) harness.Spread {
	return harness.SpreadOf(c.Rounds, number)
}

func eventRate(o harness.Outcome) float64 { return o.Load.Rate() }
