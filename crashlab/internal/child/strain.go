package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"opossum"
	"opossum/internal/workload"
)

// How long a stalled store may take to go on when nothing hinders it, and how long one is looked at that may be hindered for ever.
const (
	toGoOn = 20 * time.Second
	toStay = 300 * time.Millisecond
)

// strain appends, with a checkpoint after every third append, on and on through whatever errors there are, and demands that every answer is true:
// each error is one that the call may return, what is poisoned stays so, everything acknowledged is readable and nothing else, and Close returns.
func (c *child) strain() {
	if c.Limit > 0 {
		if err := limitFiles(c.Limit); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(exitTask)
		}
	}
	e := c.open()
	if err := c.strained(e); err != nil {
		c.say(lineWrong, quote(err))
	}
	c.say(lineClosing)
	if err := e.Close(); err != nil {
		c.say(lineError, quote(err))
	}
	if _, err := e.Append(context.Background(), workload.Events(1), nil); !errors.Is(err, opossum.ErrClosed) {
		c.say(lineWrong, quote(fmt.Errorf("an append after Close: %w", err)))
	}
	c.finish()
}

func (c *child) strained(e *opossum.Engine) error {
	ctx := context.Background()
	known := workload.NewWitness()
	tell := func(line string) {
		known.Note(line)
		c.say("%s", line)
	}
	before := e.Head()
	last := opossum.Position(0)
	poisoned, stalled := 0, false
	for n := range c.Appends {
		id := c.First + uint64(n)
		p, err := e.Append(ctx, workload.Events(id), workload.Condition(id, last))
		switch {
		case err == nil && poisoned > 0:
			return fmt.Errorf("append %d succeeds in a poisoned engine", id)
		case err == nil:
			tell(workload.AckLine(id, p))
			last = p
		case errors.Is(err, opossum.ErrOutcomeUnknown) && poisoned == 0:
			poisoned++
		case errors.Is(err, opossum.ErrPoisoned):
			tell(workload.RefusedLine(id))
			poisoned++
		case errors.Is(err, opossum.ErrDiskFull) && poisoned == 0:
			tell(workload.RefusedLine(id))
		default:
			return fmt.Errorf("append %d, after %d refusals of a poisoned engine: %w", id, poisoned, err)
		}
		if err != nil {
			c.say(lineError, quote(err))
		}
		if poisoned > 4 { // it stays so
			break
		}
		if n%3 == 2 && !stalled {
			stalled, err = c.filed(ctx, e, poisoned > 0, toStay)
			if err != nil {
				return err
			}
		}
	}
	if c.Passes {
		c.say(lineWaiting)
		if _, err := c.filed(ctx, e, poisoned > 0, toGoOn); err != nil {
			return err
		}
	}
	if c.Repack == AtLast {
		if err := c.repacked(ctx, e); err != nil {
			return err
		}
	}
	if poisoned > 0 {
		c.say(linePoison)
	}
	all, err := readThrough(ctx, e)
	if err != nil {
		return fmt.Errorf("reading after errors: %w", err)
	}
	if int(e.Head()) != len(all) {
		return fmt.Errorf("the head is %d, and %d events are readable", e.Head(), len(all))
	}
	if err := known.Check(all); err != nil {
		return err
	}
	if end := max(before, last); e.Head() != end {
		return fmt.Errorf("%d is readable and nobody was told; the last answer was %d", e.Head(), end)
	}
	return nil
}

// repacked packs what can be packed, or unpacks, whatever errors there are. If errors pass, it must succeed at last, unless the engine is poisoned. While they hold
// filing up it may wait with it.
func (c *child) repacked(ctx context.Context, e *opossum.Engine) error {
	do := e.Pack
	if c.Loose == opossum.KeepLoose {
		do = e.Unpack
	}
	for range mostErrors {
		patience := toStay
		if c.Passes {
			patience = toGoOn
		}
		within, cancel := context.WithTimeout(ctx, patience)
		err := do(within, nil)
		cancel()
		if err == nil || !c.Passes && errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		c.say(lineError, quote(err))
		if errors.Is(err, opossum.ErrCorrupt) {
			return fmt.Errorf("an error of the disk passes for damage: %w", err)
		}
		// There are events, else there was nothing to pack: this append is refused, one way or the other.
		if _, err := e.Append(ctx, workload.Events(1), &opossum.Condition{FailIfMatch: opossum.AllEvents()}); errors.Is(err, opossum.ErrPoisoned) {
			c.say(linePoison)
			return nil
		}
	}
	if c.Passes {
		return fmt.Errorf("nothing hinders packing or unpacking any more, and it fails %d times", mostErrors)
	}
	return nil
}

// mostErrors is more than one call of packing meets of errors that pass.
const mostErrors = 3

// filed waits until everything is checkpointed, for a while, and reports whether that was in vain. It must not be in vain if errors pass.
func (c *child) filed(ctx context.Context, e *opossum.Engine, poisoned bool, patience time.Duration) (stalled bool, err error) {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch err := e.WaitMaterialized(within, e.Head()); {
	case err == nil:
		return false, nil
	case errors.Is(err, opossum.ErrPoisoned):
		c.say(linePoison)
		return true, nil
	case errors.Is(err, context.DeadlineExceeded) && patience == toStay:
		return true, nil
	default:
		return true, fmt.Errorf("nothing hinders filing any more, poisoned: %t: %w", poisoned, err)
	}
}

func readThrough(ctx context.Context, e *opossum.Engine) (all []opossum.SequencedEvent, err error) {
	v, err := e.Read(ctx, opossum.AllEvents(), opossum.ReadOptions{})
	if err != nil {
		return nil, err
	}
	for ev, err := range v.All() {
		if err != nil {
			return nil, err
		}
		all = append(all, ev)
	}
	return all, nil
}
