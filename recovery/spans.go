package recovery

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"opossum/dcb"
	"opossum/internal/pack"
)

// Span is a closed range of positions.
type Span struct {
	First dcb.Position `json:"first"`
	Last  dcb.Position `json:"last"`
}

func (s Span) String() string {
	if s.First == s.Last {
		return fmt.Sprintf("position %d", s.First)
	}
	return fmt.Sprintf("positions %d to %d", s.First, s.Last)
}

// spans is a set of positions. INVARIANT: ascending, and none touches the next.
type spans []Span

// spanOf returns the set of the positions from first to last; empty if last is below first.
func spanOf(first, last dcb.Position) spans {
	if first > last {
		return nil
	}
	return spans{{first, last}}
}

// union returns the set of all positions in s, in any order.
func union(s []Span) spans {
	s = slices.Clone(s)
	slices.SortFunc(s, func(a, b Span) int { return cmp.Compare(a.First, b.First) })
	var out spans
	for _, next := range s {
		if n := len(out); n > 0 && (next.First <= out[n-1].Last || next.First-1 == out[n-1].Last) {
			out[n-1].Last = max(out[n-1].Last, next.Last)
		} else {
			out = append(out, next)
		}
	}
	return out
}

// spansOf returns the set of all positions in ranges.
func spansOf(ranges []pack.Range) spans {
	all := make([]Span, len(ranges))
	for i, r := range ranges {
		all[i] = Span(r)
	}
	return union(all)
}

// at returns the index of the first span that ends at or behind p.
func (s spans) at(p dcb.Position) int {
	i, _ := slices.BinarySearchFunc(s, p, func(x Span, p dcb.Position) int { return cmp.Compare(x.Last, p) })
	return i
}

func (s spans) has(p dcb.Position) bool {
	i := s.at(p)
	return i < len(s) && s[i].First <= p
}

// gaps returns what is not in s from first to last.
func (s spans) gaps(first, last dcb.Position) spans {
	var out spans
	for _, x := range s[s.at(first):] {
		if x.First > last {
			break
		}
		if x.First > first {
			out = append(out, Span{first, x.First - 1})
		}
		if first = x.Last + 1; first == 0 { // the last position that there can be
			return out
		}
	}
	if first <= last {
		out = append(out, Span{first, last})
	}
	return out
}

// within returns what is in s from first to last.
func (s spans) within(first, last dcb.Position) spans {
	return spanOf(first, last).without(s.gaps(first, last))
}

// without returns what is in s and not in x.
func (s spans) without(x spans) spans {
	var out spans
	for _, part := range s {
		out = append(out, x.gaps(part.First, part.Last)...)
	}
	return out
}

// count returns how many positions there are in s.
func (s spans) count() (n uint64) {
	for _, x := range s {
		n += uint64(x.Last - x.First + 1)
	}
	return n
}

// positions yields what is in s, ascending.
func (s spans) positions() iter.Seq[dcb.Position] {
	return func(yield func(dcb.Position) bool) {
		for _, x := range s {
			for p := x.First; ; p++ {
				if !yield(p) {
					return
				}
				if p == x.Last {
					break
				}
			}
		}
	}
}

// last returns the highest position, 0 if there is none.
func (s spans) last() dcb.Position {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].Last
}
