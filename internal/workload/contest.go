package workload

import (
	"fmt"

	"opossum/dcb"
)

// Contested, added to the number of an append, makes it compete for a seat: the n-th appends of all writers of a session want the same one,
// under conditions that exclude each other.
const Contested = 1 << 41

// Seat is the tag of the seat that append id competes for.
func Seat(id uint64) dcb.Tag { return dcb.Tag(fmt.Sprintf("seat:%d", id%IDsPerWriter)) }

// contest is the condition of a contested append: nobody has had the seat, or nobody since the head that its writer had seen.
func contest(id uint64, head dcb.Position) *dcb.Condition {
	seat := dcb.ByTags(Seat(id))
	if exclusive(id) {
		return &dcb.Condition{FailIfExists: seat}
	}
	return &dcb.Condition{FailIfMatch: seat, After: head}
}

// exclusive reports whether one append at most may ever have the seat of append id.
func exclusive(id uint64) bool { return id%2 == 0 }

// Contest is what is known of contested appends. The zero value knows nothing.
type Contest struct {
	Heads  map[uint64]dcb.Position // append to the head that its condition rests on
	Beaten map[uint64]dcb.Position // append to the position that it was refused for: that of another
}

// HeadLine reports, before a contested append, the head that its condition rests on; BeatenLine the position that it was refused for.
func HeadLine(id uint64, head dcb.Position) string { return fmt.Sprintf("head %d %d", id, head) }

// BeatenLine is HeadLine's companion.
func BeatenLine(id uint64, p dcb.Position) string { return fmt.Sprintf("beaten %d %d", id, p) }

// note takes a line, and reports whether it was about a contest.
func (c *Contest) note(line string) bool {
	var (
		id uint64
		p  dcb.Position
	)
	if n, _ := fmt.Sscanf(line, "head %d %d", &id, &p); n == 2 {
		set(&c.Heads, id, p)
		return true
	}
	if n, _ := fmt.Sscanf(line, "beaten %d %d", &id, &p); n == 2 {
		set(&c.Beaten, id, p)
		return true
	}
	return false
}

func set(m *map[uint64]dcb.Position, id uint64, p dcb.Position) {
	if *m == nil {
		*m = map[uint64]dcb.Position{}
	}
	(*m)[id] = p
}

// check returns the first condition that was passed or refused wrongly, given all events. found is where the last event of each append is.
func (c *Contest) check(all []dcb.SequencedEvent, found map[uint64]dcb.Position) error {
	seats := map[dcb.Tag][]dcb.Position{} // where its events are, ascending
	for _, ev := range all {
		if id, _, _ := Origin(ev.Event.ID); id&Contested != 0 {
			seats[Seat(id)] = append(seats[Seat(id)], ev.Position)
		}
	}
	for id, last := range found {
		if id&Contested == 0 {
			continue
		}
		first := last - dcb.Position(len(Events(id))) + 1
		after, known := c.Heads[id]
		if exclusive(id) {
			after, known = 0, true
		}
		for _, p := range seats[Seat(id)] {
			if known && p > after && p < first {
				return fmt.Errorf("append %d stands at %d, though its condition, on what is after %d, forbids it because of position %d", id, first, after, p)
			}
		}
	}
	for id, p := range c.Beaten {
		if found[id] != 0 || int(p) > len(all) || p == 0 {
			return fmt.Errorf("append %d was refused for position %d, and is at %d (0: nowhere); head %d", id, p, found[id], len(all))
		}
		if other, _, _ := Origin(all[p-1].Event.ID); other&Contested == 0 || Seat(other) != Seat(id) || !exclusive(id) && p <= c.Heads[id] {
			return fmt.Errorf("append %d, on what is after %d, was refused for position %d, which has nothing to do with it", id, c.Heads[id], p)
		}
	}
	return nil
}
