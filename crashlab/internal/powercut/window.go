package powercut

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/lab"
)

// strategies returns a shape for each flush strategy: the first one there is.
func strategies() []invariant.Shape {
	var out []invariant.Shape
	for _, s := range invariant.Shapes {
		if !slices.ContainsFunc(out, func(have invariant.Shape) bool { return have.Strategy() == s.Strategy() }) {
			out = append(out, s)
		}
	}
	return out
}

// cyclesPerWindow is how often the power of a store is cut that is to show what its strategy may lose. Until then it appends for toShow at most, which is
// several intervals of the periodic shape, and not more than mostToShow times: checks read all of it.
const (
	cyclesPerWindow = 6
	toShow          = 80 * time.Millisecond
	mostToShow      = 400
)

// drawWindows draws a life in which the power is cut among appends that come in all paces, from one after the other to such that an interval passes
// between two. Nothing else makes the store sync, but for the calls that ask for it, and those are few.
func drawWindows(r *rand.Rand, shape string) life {
	l := life{shape: shape}
	for i := range cyclesPerWindow {
		c := cycle{seed: r.Uint64(), append: child.Task{
			Do: child.Append, First: uint64(1+i) * numbersPerCycle, Writers: pick(r, 1, 1, 2, 3, maxWriters), Appends: 2000, Filing: pick(r, child.AsItComes, child.AsItComes, child.Paused),
			Pace: pick(r, 0, 0, 200*time.Microsecond, time.Millisecond, 4*time.Millisecond, 40*time.Millisecond), Assure: pick(r, 0, 0, 0, 40, 6),
		}}
		most := pick(r, 10, 100, mostToShow)
		if c.append.Pace > 0 { // a rest takes half of it, on average
			most = min(mostToShow, c.append.Writers*int(2*toShow/c.append.Pace))
		}
		c.cut = moment{report: "ack", n: 1 + r.IntN(most), after: soon(r)}
		c.drawRecovery(r)
		c.writeBack = r.IntN(4) == 0
		l.cycles = append(l.cycles, c)
	}
	return l
}

// least is how many power cuts must have met acknowledged events of a strategy before its losses prove anything.
const least = 10

// Unproved names every strategy of which the power cuts of a run have proved too little: there were too few, or those of a relaxed one took nothing, so that
// nobody knows whether they can.
func Unproved(losses lab.Losses) error {
	var errs []error
	for _, s := range strategies() {
		switch l := losses[s.Strategy()]; {
		case l.Cuts < least:
			errs = append(errs, fmt.Errorf("flush strategy %s met %d power cuts, and a run must meet %d", s.Strategy(), l.Cuts, least))
		case s.Relaxed() && l.Lossy == 0:
			errs = append(errs, fmt.Errorf("flush strategy %s lost nothing in %d power cuts, though it may: they cannot see a loss", s.Strategy(), l.Cuts))
		}
	}
	return errors.Join(errs...)
}

// Summary says what the power cuts of a run took, a line for each strategy, in the order of their names.
func Summary(losses lab.Losses) []string {
	var out []string
	for _, strategy := range slices.Sorted(maps.Keys(losses)) {
		l := losses[strategy]
		out = append(out, fmt.Sprintf("flush %-10s %5d power cuts %8d events acknowledged, %5d cuts took some, %5d at most, up to %v old; it may lose %s",
			strategy, l.Cuts, l.Acked, l.Lossy, l.Most, l.Age.Round(100*time.Microsecond), l.Window))
	}
	return out
}
