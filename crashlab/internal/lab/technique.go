package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Technique is one way to crash or damage a store.
type Technique struct {
	Name  string // as in "cuts/ext4": how, and on which file system
	About string // one sentence
	// Quick is how many cases make a run for CI; Share is how much of a soak's time belongs to this technique, relative to the others (0: it
	// has an end, and is run once).
	Quick uint64
	Share int
	// Case runs one case. Everything random about it comes from the two numbers, but for what the kernel's timing adds. It returns ErrEnd if
	// there are only so many cases and index is beyond the last one. Any other error is a failure of the lab, not a finding; ErrUnprovoked tells those that are the
	// engine's. It is called from several goroutines at once.
	Case func(ctx context.Context, env Env, seed, index uint64) (Tally, error)
}

// ErrEnd says that a technique has no case of that index, nor any beyond.
var ErrEnd = errors.New("there are no more cases")

// ErrUnprovoked marks the error of a case that came to nothing because the engine failed before anything was done to it: it was to make a store, or to go on with one that is
// in order. Nothing can be judged then, so it ends a run; but it says what a sabotage is to say, and there it is a finding.
var ErrUnprovoked = errors.New("the engine fails by itself")

// Unprovoked marks an error with ErrUnprovoked; nil stays nil.
func Unprovoked(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnprovoked, err)
}

// Env is what a case may use.
type Env struct {
	Scratch string // a directory of its own on a file system in memory; it is removed after the case
	Worker  string // the binary to be crashed
	Points  string // the same with kill points compiled in (package internal/step)
	Keep    string // where a case puts what helps to look at a finding; empty: nowhere
	// Sabotaged: the engine in the binaries has a known bug.
	Sabotaged bool
}

// Rand returns the random source of a case.
func Rand(seed, index uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, index)) }

// Tally is what a case, or many of them, met.
type Tally struct {
	Cases    uint64    `json:"cases"`
	Crashes  uint64    `json:"crashes"` // power cuts, kills, errors, replayed states, damages: each followed by a recovery and its check
	Acked    uint64    `json:"acked"`   // acknowledged appends that were verified, summed over all checks
	Met      Counts    `json:"met"`     // situations, by name: a run that never met one proves nothing about it
	Losses   Losses    `json:"losses,omitempty"`
	Findings []Finding `json:"findings"`
}

// Counts counts situations by name.
type Counts map[string]uint64

// Finding is a violation of what must hold.
type Finding struct {
	Technique string `json:"technique"`
	Seed      uint64 `json:"seed"`
	Index     uint64 `json:"index"`
	At        string `json:"at"`             // where in the case, for people
	What      string `json:"what"`           // the violation
	Kept      string `json:"kept,omitempty"` // a directory with what is needed to look at it
}

// Losses are what power cuts took of what was acknowledged, by flush strategy.
type Losses map[string]Loss

// Loss is what the power cuts took of one flush strategy.
type Loss struct {
	Window string        `json:"window"` // what they may take
	Cuts   uint64        `json:"cuts"`   // after an acknowledgement
	Acked  uint64        `json:"acked"`  // events that were acknowledged between opening the store and the cut
	Lossy  uint64        `json:"lossy"`  // cuts that took some of these
	Lost   uint64        `json:"lost"`   // events that they took
	Most   uint64        `json:"most"`   // events that one of them took
	Age    time.Duration `json:"ageNs"`  // how long the oldest had been acknowledged when an append was begun that was acknowledged too
}

// Add adds what other cuts took.
func (l Losses) Add(strategy string, o Loss) {
	s := l[strategy]
	l[strategy] = Loss{
		Window: o.Window, Cuts: s.Cuts + o.Cuts, Acked: s.Acked + o.Acked, Lossy: s.Lossy + o.Lossy, Lost: s.Lost + o.Lost,
		Most: max(s.Most, o.Most), Age: max(s.Age, o.Age),
	}
}

// Crash counts a crash of which acked acknowledged appends were verified.
func (t *Tally) Crash(acked int) {
	t.Crashes++
	t.Acked += uint64(acked)
}

// Meet counts a situation.
func (t *Tally) Meet(what string) {
	if t.Met == nil {
		t.Met = Counts{}
	}
	t.Met[what]++
}

// Lose counts a power cut after which so many of the acked events were lost, if any were acknowledged at all.
func (t *Tally) Lose(strategy, window string, acked, lost uint64, age time.Duration) {
	if acked == 0 {
		return
	}
	l := Loss{Window: window, Cuts: 1, Acked: acked, Lost: lost, Most: lost, Age: age}
	if lost > 0 {
		l.Lossy = 1
	}
	t.lose(strategy, l)
}

func (t *Tally) lose(strategy string, l Loss) {
	if t.Losses == nil {
		t.Losses = Losses{}
	}
	t.Losses.Add(strategy, l)
}

// Find adds a finding; the runner fills in which case it was.
func (t *Tally) Find(at, what string) { t.Findings = append(t.Findings, Finding{At: at, What: what}) }

// Add adds the tally of another case.
func (t *Tally) Add(o Tally) {
	t.Cases += o.Cases
	t.Crashes += o.Crashes
	t.Acked += o.Acked
	for what, n := range o.Met {
		if t.Met == nil {
			t.Met = Counts{}
		}
		t.Met[what] += n
	}
	for strategy, l := range o.Losses {
		t.lose(strategy, l)
	}
	t.Findings = append(t.Findings, o.Findings...)
}

// Outcome is what a run of a technique came to.
type Outcome struct {
	Technique string `json:"technique"`
	Seed      uint64 `json:"seed"`
	Tally
	Took time.Duration `json:"tookNs"`
}
