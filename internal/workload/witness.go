package workload

import (
	"fmt"
	"maps"
	"reflect"

	"opossum/dcb"
)

// Place is what was read at a position: an event of an append.
type Place struct {
	ID    uint64
	Index int
}

// Witness is what is known of a store outside it: what must be found after every crash. It is for one goroutine at a time.
type Witness struct {
	Acked   map[uint64]dcb.Position // append to the position of its last event
	Read    map[dcb.Position]Place
	Refused map[uint64]bool // appends of which the answer was that they were certainly not written
	Contest
}

// NewWitness returns a witness that knows nothing.
func NewWitness() *Witness {
	return &Witness{Acked: map[uint64]dcb.Position{}, Read: map[dcb.Position]Place{}, Refused: map[uint64]bool{}}
}

// AckLine, RefusedLine and ReadLine are the lines in which a crashing process reports. What was reported before the crash counts.
func AckLine(id uint64, p dcb.Position) string { return fmt.Sprintf("ack %d %d", id, p) }

// RefusedLine reports that an append was certainly not written.
func RefusedLine(id uint64) string { return fmt.Sprintf("refused %d", id) }

// ReadLine reports that an event was read.
func ReadLine(e dcb.SequencedEvent) string {
	id, index, _ := Origin(e.Event.ID)
	return fmt.Sprintf("read %d %d %d", e.Position, id, index)
}

// Note takes a line, and reports whether it was one for a witness.
func (w *Witness) Note(line string) bool {
	var (
		p  dcb.Position
		id uint64
		i  int
	)
	if n, _ := fmt.Sscanf(line, "ack %d %d", &id, &p); n == 2 {
		w.Acked[id] = p
		return true
	}
	if n, _ := fmt.Sscanf(line, "read %d %d %d", &p, &id, &i); n == 3 {
		w.Read[p] = Place{id, i}
		return true
	}
	if n, _ := fmt.Sscanf(line, "refused %d", &id); n == 1 {
		w.Refused[id] = true
		return true
	}
	return w.note(line)
}

// Check returns the first thing that must not be after a crash, given all events of the store: positions are dense; every
// append is there wholly, unaltered and once, or not at all; what was acknowledged is there, at its position; what was read is there; what was
// refused is not.
func (w *Witness) Check(all []dcb.SequencedEvent) error {
	found, err := appends(all)
	if err != nil {
		return err
	}
	for id, p := range w.Acked {
		if found[id] != p {
			return fmt.Errorf("append %d, acknowledged at position %d, is at %d (0: lost); head %d", id, p, found[id], len(all))
		}
	}
	for id := range w.Refused {
		if found[id] != 0 {
			return fmt.Errorf("append %d was refused as certainly not written, and is at position %d", id, found[id])
		}
	}
	for p, was := range w.Read {
		if int(p) > len(all) {
			return fmt.Errorf("position %d was read once and is lost; head %d", p, len(all))
		}
		if id, index, _ := Origin(all[p-1].Event.ID); was != (Place{id, index}) {
			return fmt.Errorf("position %d was read as %v, now it is %v", p, was, Place{id, index})
		}
	}
	return w.check(all, found)
}

// Head is the highest position that it knows.
func (w *Witness) Head() dcb.Position {
	head := dcb.Position(0)
	for _, p := range w.Acked {
		head = max(head, p)
	}
	for p := range w.Read {
		head = max(head, p)
	}
	return head
}

// Lost counts what was acknowledged or read above head: a store that ends there has lost it.
func (w *Witness) Lost(head dcb.Position) int {
	n := 0
	for _, p := range w.Acked {
		if p > head {
			n++
		}
	}
	for p := range w.Read {
		if p > head {
			n++
		}
	}
	return n
}

// Forget forgets everything above head, as a store does that may: relaxed flushing, after a power cut. Its positions are given anew.
func (w *Witness) Forget(head dcb.Position) {
	maps.DeleteFunc(w.Acked, func(_ uint64, p dcb.Position) bool { return p > head })
	maps.DeleteFunc(w.Read, func(p dcb.Position, _ Place) bool { return p > head })
	maps.DeleteFunc(w.Beaten, func(_ uint64, p dcb.Position) bool { return p > head })
}

// appends returns the position of the last event of each append.
func appends(all []dcb.SequencedEvent) (map[uint64]dcb.Position, error) {
	found := map[uint64]dcb.Position{}
	for i := 0; i < len(all); {
		id, index, count := Origin(all[i].Event.ID)
		want := Events(id)
		switch {
		case index != 0:
			return nil, fmt.Errorf("position %d: append %d is there in part: its beginning is missing", i+1, id)
		case len(want) != count:
			return nil, fmt.Errorf("position %d: an event that nobody appended", i+1)
		case i+count > len(all):
			return nil, fmt.Errorf("append %d at position %d is there in part: its end is missing", id, i+1)
		case found[id] != 0:
			return nil, fmt.Errorf("append %d is there twice, at positions %d and %d", id, found[id], i+count)
		}
		for j := range want {
			got := all[i+j]
			if got.Position != dcb.Position(i+j+1) {
				return nil, fmt.Errorf("positions are not dense: %d follows %d", got.Position, i+j)
			}
			if !reflect.DeepEqual(want[j], got.Event) {
				return nil, fmt.Errorf("position %d, event %d of append %d is altered: %.500q, not %.500q", got.Position, j, id, fmt.Sprint(got.Event), fmt.Sprint(want[j]))
			}
		}
		i += count
		found[id] = dcb.Position(i)
	}
	return found, nil
}

// All returns the events of a store that has what was acknowledged and nothing else. It is an error if what was acknowledged is not dense.
func (w *Witness) All() ([]dcb.SequencedEvent, error) {
	n := 0
	for _, p := range w.Acked {
		n = max(n, int(p))
	}
	all := make([]dcb.SequencedEvent, n)
	for id, last := range w.Acked {
		events := Events(id)
		for i, e := range events {
			p := int(last) - len(events) + 1 + i
			if p < 1 {
				return nil, fmt.Errorf("append %d of %d events was acknowledged at position %d", id, len(events), last)
			}
			all[p-1] = dcb.SequencedEvent{Position: dcb.Position(p), Event: e}
		}
	}
	return all, w.Check(all)
}
