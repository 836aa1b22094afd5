package harness

import (
	"context"
	"fmt"

	"opossum"
)

// Guard makes the condition of an append; nil means none. It is called on the writer's goroutine, as part of the append.
type Guard struct {
	What      string
	condition func(e *opossum.Engine, events []opossum.Event) *opossum.Condition
}

// Guards whose conditions always hold and must be checked all the same: "no event has the tag that only mine has".
var (
	Unconditional = Guard{"no condition", func(*opossum.Engine, []opossum.Event) *opossum.Condition { return nil }}
	// GuardAll looks at all of history.
	GuardAll = Guard{"condition after 0", func(_ *opossum.Engine, events []opossum.Event) *opossum.Condition {
		return &opossum.Condition{FailIfMatch: uniqueTag(events)}
	}}
	// GuardNew looks at what was appended since the writer last looked, which it does just before.
	GuardNew = Guard{"condition after head", func(e *opossum.Engine, events []opossum.Event) *opossum.Condition {
		return &opossum.Condition{FailIfMatch: uniqueTag(events), After: e.Head()}
	}}
)

// uniqueTag asks for the tag of the first event that no other event has.
func uniqueTag(events []opossum.Event) opossum.Query { return opossum.ByTags(events[0].Tags[0]) }

// Opossum is the engine with default options: conditions can be checked, events are filed in the background.
func Opossum(guard Guard) Way {
	return Way{"opossum", "opossum, " + guard.What, func(dir string) (Target, error) { return openEngine(dir, nil, guard) }}
}

// OpossumFlushing is the engine with a flush strategy, and default options else. Relaxed ones are measured for what they acknowledge, which is not durable yet.
func OpossumFlushing(flush opossum.Flush) Way {
	what := "opossum, " + flush.String()
	switch flush {
	case opossum.FlushPeriodic:
		what += fmt.Sprintf(", every %v", opossum.DefaultFlushInterval)
	case opossum.FlushCount:
		what += fmt.Sprintf(", every %d events", opossum.DefaultFlushEvery)
	}
	return Way{"opossum-" + flush.String(), what, func(dir string) (Target, error) {
		return openEngine(dir, &opossum.Options{Flush: flush}, Unconditional)
	}}
}

func openEngine(dir string, o *opossum.Options, guard Guard) (Target, error) {
	e, err := opossum.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return &engine{e, guard}, nil
}

type engine struct {
	*opossum.Engine
	guard Guard
}

func (t *engine) Append(ctx context.Context, events []opossum.Event) error {
	_, err := t.Engine.Append(ctx, events, t.guard.condition(t.Engine, events))
	return err
}
