package recovery

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"opossum/dcb"
)

// Kind says in which way something is not as it should be.
type Kind string

// The kinds of findings.
const (
	Missing   Kind = "missing"   // it should be there
	Altered   Kind = "altered"   // it is not what was written
	Misplaced Kind = "misplaced" // it is an intact event in another event's place, or at a place where no event is looked for
	Doubled   Kind = "doubled"   // a second copy of an event whose own file is intact
	Leftover  Kind = "leftover"  // nothing refers to it
	Torn      Kind = "torn"      // written halfway, never acknowledged
)

// Finding is one thing that is not as it should be, and where.
type Finding struct {
	Kind   Kind         `json:"kind"`
	File   string       `json:"file"`
	Offset int64        `json:"offset,omitempty"` // in bytes of the file
	First  dcb.Position `json:"first,omitempty"`  // the positions concerned; 0: none
	Last   dcb.Position `json:"last,omitempty"`
	Detail string       `json:"detail"`
	// Harmless: no event and no answer depends on it. The next Open mends it, or nothing needs it.
	Harmless bool `json:"harmless"`
}

// String returns the finding as one line for people.
func (f Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-9s %s", f.Kind, oneLine(f.File))
	if f.Offset > 0 {
		fmt.Fprintf(&b, " at offset %d", f.Offset)
	}
	if f.First > 0 {
		fmt.Fprintf(&b, ", %v", Span{f.First, max(f.First, f.Last)})
	}
	fmt.Fprintf(&b, ": %s", oneLine(f.Detail))
	if f.Harmless {
		b.WriteString(" (harmless)")
	}
	return b.String()
}

// oneLine quotes what would break a line or play tricks on a terminal: names of foreign files may hold anything.
func oneLine(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		return strconv.Quote(s)
	}
	return s
}
