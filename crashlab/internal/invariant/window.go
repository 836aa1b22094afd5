package invariant

import (
	"fmt"
	"math"
	"time"

	"opossum"
	"opossum/internal/workload"
)

// Window is what a power cut may take of what was acknowledged: that much, and only from the end. The zero Window is that of a strict strategy: nothing.
type Window struct {
	// Events: fewer than so many acknowledged events are lost. 0: none is.
	Events uint64
	// Interval: what was acknowledged is not lost if an append that was begun so long afterwards, or later, was acknowledged too. 0: it may be.
	Interval time.Duration
}

// Unbounded is for Window.Events.
const Unbounded = math.MaxUint64

// String says it for people.
func (w Window) String() string {
	s := ""
	switch w.Events {
	case 0:
		return "nothing"
	case Unbounded:
		if w.Interval == 0 {
			return "everything since the last sync"
		}
	default:
		s = fmt.Sprintf("fewer than %d events", w.Events)
		if w.Interval == 0 {
			return s
		}
		s += ", "
	}
	return s + fmt.Sprintf("what is younger than %v", w.Interval)
}

// Ack is an append that was acknowledged, as the process that made it saw it. Times are by the clock of that process, which has one beginning and does
// not jump.
type Ack struct {
	ID      uint64
	Last    opossum.Position // of its last event
	Events  uint64
	Begun   time.Duration    // when Append was called
	Acked   time.Duration    // when it had returned
	Durable opossum.Position // what Durable returned after that
	Assured bool             // it was made with WhenDurable
}

// ackRest is what stands in the line of an Ack behind that of workload.AckLine.
const ackRest = " %d %d %d %d %t"

// AckLine is the line in which a crashing process reports an Ack. A workload.Witness understands it too.
func AckLine(a Ack) string {
	return workload.AckLine(a.ID, a.Last) + fmt.Sprintf(ackRest, a.Events, int64(a.Begun), int64(a.Acked), a.Durable, a.Assured)
}

// durableLine says that everything up to a position is durable.
const durableLine = "durable %d"

// DurableLine is the line in which a crashing process reports that the engine has called everything up to p durable.
func DurableLine(p opossum.Position) string { return fmt.Sprintf(durableLine, p) }

// History is what a process reported, before the power was cut, of its appends since it opened the store.
type History struct {
	Acks    []Ack
	Durable opossum.Position // the highest position that was called durable
}

// Note takes a line, and reports whether it was one for a history.
func (h *History) Note(line string) bool {
	var (
		a            Ack
		begun, acked int64
		p            opossum.Position
	)
	if n, _ := fmt.Sscanf(line, "ack %d %d"+ackRest, &a.ID, &a.Last, &a.Events, &begun, &acked, &a.Durable, &a.Assured); n == 7 {
		a.Begun, a.Acked = time.Duration(begun), time.Duration(acked)
		h.Acks = append(h.Acks, a)
		h.Durable = max(h.Durable, a.Durable)
		return true
	}
	if n, _ := fmt.Sscanf(line, durableLine, &p); n == 1 {
		h.Durable = max(h.Durable, p)
		return true
	}
	return false
}

// Loss is what a power cut took of a history.
type Loss struct {
	Acked uint64        // events that were acknowledged
	Lost  uint64        // of the acknowledged events up to the newest
	Age   time.Duration // how long the oldest lost append had been acknowledged when the last one was begun that was acknowledged
}

// Judge tells what a power cut took, given the head after recovery. The error names the first thing that it must not have taken: what was called durable,
// what was appended with WhenDurable, more than the window.
//
// It is exact, with no allowance for a slow machine: an engine looks at the number and the age of what is not synced when it has written an append and not
// yet acknowledged it, so whatever it acknowledges bears witness for what it acknowledged before.
func (w Window) Judge(h History, head opossum.Position) (Loss, error) {
	var loss Loss
	if head < h.Durable {
		return loss, fmt.Errorf("the head is %d, and everything up to %d was called durable", head, h.Durable)
	}
	var newest, last Ack // the one with the highest position, the one that was begun last
	for _, a := range h.Acks {
		loss.Acked += a.Events
		if a.Last > newest.Last {
			newest = a
		}
		if a.Begun >= last.Begun {
			last = a
		}
	}
	if newest.Last > head { // and none between is outstanding: an append is published after those before it
		loss.Lost = uint64(newest.Last - head)
	}
	if loss.Lost > 0 && loss.Lost >= w.Events {
		return loss, fmt.Errorf("the head is %d, and append %d was acknowledged at %d: %d events are lost; the window is %v", head, newest.ID, newest.Last, loss.Lost, w)
	}
	for _, a := range h.Acks {
		if a.Last <= head {
			continue
		}
		if a.Assured {
			return loss, fmt.Errorf("append %d, made with WhenDurable and acknowledged at %d, is lost; head %d", a.ID, a.Last, head)
		}
		age := last.Begun - a.Acked
		loss.Age = max(loss.Age, age)
		if w.Interval > 0 && age >= w.Interval {
			return loss, fmt.Errorf("append %d, acknowledged at %d, is lost, and append %d was begun %v later and acknowledged at %d; head %d; the window is %v",
				a.ID, a.Last, last.ID, age, last.Last, head, w)
		}
	}
	return loss, nil
}
