package powercut

import (
	"math/rand/v2"
	"time"

	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/readmodel"
	"opossum/internal/workload"
)

// life is what one store goes through.
type life struct {
	shape  string
	cycles []cycle
}

// cycle is appends, a power cut, the recovery and its check.
type cycle struct {
	append   child.Task // without the directory
	cut      moment
	recovery []moment // each cuts the power again
	// settle: a child recovers the store and is killed, or loses its power, before the check, which must find nothing to do.
	settle settling
	loose  int // LooseEvents of the recoveries and of the check
	beside bool
	deep   bool
	// another is the number of an append that the check makes, 0: none.
	another uint64
	after   bool // the power is cut once more when the check has closed the store
	// writeBack: the disk has taken some pages that nobody synced.
	writeBack bool
	settled   bool // what was written in the cycles before has reached the disk
	seed      uint64
}

// moment is when the power is cut: a while after the n-th report of a kind, at the latest when the child has done everything.
type moment struct {
	report string
	n      int
	after  time.Duration
	trim   bool // or sooner: that while after the log was trimmed
}

// numbersPerCycle are the numbers of a cycle's appends: those of its writers and some.
const numbersPerCycle = 2 * maxWriters * workload.IDsPerWriter

type settling int

const (
	unsettled settling = iota
	killed             // after it was open
	cutOff             // after it was open
)

// Bounds of a store: checks read all of it, and large events fill its disk.
const (
	maxWriters    = 8
	cyclesPerLife = 10
	modelCycles   = 5
	modelAppends  = 300 // in a cycle
	largePerLife  = 120 // appends
	largePerCycle = 60  // which fill two generations of the log, about
)

// draw draws a life.
func draw(r *rand.Rand) life {
	l := life{shape: invariant.Draw(r).Name}
	cycles := 1 // the first moments of a store
	if r.IntN(8) > 0 {
		cycles = 4 + r.IntN(cyclesPerLife-3)
	}
	large, number := largePerLife, uint64(0)
	for range cycles {
		number++
		c := cycle{seed: r.Uint64(), append: child.Task{
			Do: child.Append, First: number * numbersPerCycle, Writers: 1 + r.IntN(maxWriters), Appends: 2000,
			Filing: pick(r, child.AsItComes, child.AsItComes, child.Prompted, child.Prompted, child.Paused, child.Waited, child.Resumed), Assure: pick(r, 0, 0, 25),
			Loose: invariant.DrawLoose(r),
		}}
		c.loose = invariant.DrawLoose(r)
		if c.append.Filing != child.Paused {
			c.append.Repack = pick(r, child.Never, child.Beside, child.AtLast)
		}
		c.drawCut(r, &large)
		c.drawRecovery(r)
		c.beside, c.deep, c.after, c.writeBack = r.IntN(3) == 0, r.IntN(4) == 0, r.IntN(4) == 0, r.IntN(2) == 0
		if r.IntN(3) == 0 {
			c.another = number*numbersPerCycle + maxWriters*workload.IDsPerWriter
		}
		l.cycles = append(l.cycles, c)
	}
	return l
}

// drawModels draws a life in which read models are kept, by one plan after the other. The power goes while they are followed, rebuilt, recovered.
func drawModels(r *rand.Rand) life {
	l, version := draw(r), 1
	l.cycles = l.cycles[:min(len(l.cycles), modelCycles)]
	for i := range l.cycles {
		c := &l.cycles[i]
		plan := readmodel.DrawPlan(r, version)
		version = plan.Version
		c.append.Models = &plan
		c.append.First &^= workload.Large // each is read by every rebuild
		c.append.Pace = pick(r, 0, 0, 200*time.Microsecond, 2*time.Millisecond)
		c.append.Writers = 1 + c.append.Writers%3
		c.append.Appends = min(c.append.Appends, modelAppends/c.append.Writers)
		if r.IntN(3) == 0 {
			c.cut = moment{report: "kept", n: 1 + r.IntN(4), after: within(r, 20*time.Millisecond)}
		}
		for n := range c.recovery {
			c.recovery[n] = moment{report: "open", n: 1, after: within(r, 15*time.Millisecond)}
		}
		c.settled = r.IntN(3) > 0
		c.deep = c.deep && i == len(l.cycles)-1
	}
	return l
}

// drawRecovery draws what is done to recoveries before one is judged.
func (c *cycle) drawRecovery(r *rand.Rand) {
	for r.IntN(4) == 0 {
		c.recovery = append(c.recovery, moment{report: "begin", n: 1, after: within(r, 6*time.Millisecond)})
	}
	c.settle = pick(r, unsettled, unsettled, unsettled, killed, cutOff)
}

// drawCut draws what is appended when the power goes. large is how many large appends the store may still get.
func (c *cycle) drawCut(r *rand.Rand, large *int) {
	acks := 1 + r.IntN(pick(r, 3, 40, 40, 150))
	c.cut = moment{report: "ack", n: acks, after: soon(r)}
	if r.IntN(8) == 0 && *large >= largePerCycle {
		*large -= largePerCycle
		c.append.First += workload.Large
		acks = 1 + r.IntN(largePerCycle)
		c.cut.n = acks
		if r.IntN(2) == 0 {
			c.cut = moment{report: "ack", n: largePerCycle, trim: true, after: within(r, 4*time.Millisecond)}
			c.append.Writers, c.append.Filing = 1+r.IntN(3), child.Prompted
			return
		}
	}
	if c.append.Repack == child.AtLast { // and the power goes meanwhile
		c.append.Appends, c.append.Filing = 1+acks/c.append.Writers, pick(r, child.Waited, child.Resumed)
		c.cut = moment{report: "filed", n: 1, after: within(r, 12*time.Millisecond)}
		return
	}
	switch r.IntN(10) {
	case 0:
		c.cut = moment{report: "begin", n: 1, after: within(r, 6*time.Millisecond)}
	case 1, 2:
		c.append.Appends, c.append.Close = 1+acks/c.append.Writers, true
		c.cut = moment{report: "closing", n: 1, after: within(r, 4*time.Millisecond)}
	case 3:
		c.append.Appends = 1 + acks/c.append.Writers
		c.cut = moment{report: "done", n: 1, after: soon(r)}
	}
}

func within(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }

// soon is mostly at once, which is when what was acknowledged too early is lost.
func soon(r *rand.Rand) time.Duration {
	if r.IntN(2) == 0 {
		return 0
	}
	return time.Duration(r.ExpFloat64() * float64(2*time.Millisecond))
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }
