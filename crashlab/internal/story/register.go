package story

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/google/uuid"

	"opossum/crashlab/internal/child"
)

// chapter is one registration, and who wants the address when the power is back: somebody else under either clause of a condition, and
// the one who has it, by repeating the append.
type chapter struct {
	first child.Registration
	again []child.Registration
}

// draw draws the chapter of the i-th address.
func draw(r *rand.Rand, i int) chapter {
	address := fmt.Sprintf("ann-%d@example.org", i)
	first := child.Registration{Address: address, ID: identity(r), Match: r.IntN(2) == 0}
	others := []child.Registration{{Address: address, ID: identity(r)}, {Address: address, ID: identity(r), Match: true}}
	r.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	return chapter{first: first, again: append(others, first)}
}

func identity(r *rand.Rand) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:], r.Uint64())
	binary.BigEndian.PutUint64(id[8:], r.Uint64())
	return id
}

// end is how a chapter ended.
type end string

const (
	kept  end = "kept"                 // the address is taken, and who has it may say so again
	lost  end = "lost without syncing" // the next one got it
	wrong end = "neither kept nor lost"
)

// read tells how a chapter ended, from what came of registering again.
func read(outcomes []string) end {
	switch {
	case slices.Equal(outcomes, []string{child.Taken, child.Taken, child.Registered}):
		return kept
	case slices.Equal(outcomes, []string{child.Registered, child.Taken, child.Taken}):
		return lost
	}
	return wrong
}
