package index

import (
	"context"
	"fmt"
	"slices"

	"opossum/dcb"
	"opossum/internal/segment"
)

// Leading returns the ranges that follow each other without a gap from position 1 on, and where they end. The ranges are disjoint and
// ascend.
func Leading(ranges []segment.Range) ([]segment.Range, dcb.Position) {
	base := dcb.Position(0)
	for i, r := range ranges {
		if r.First != base+1 {
			return ranges[:i], base
		}
		base = r.Last
	}
	return ranges, base
}

// Adopt publishes segments that another process has written, in the place of those that it took over before: they are adjacent and begin at
// position 1. What memory holds of their range is let go. Nothing happens if they reach less far than the present ones,
// and after an error, which is as that of Open.
//
// REQUIRES: the caller stages, staged is the last position staged, and what is staged from now on is above Base; Seal, Merge and
// Rebuild are not used.
func (ix *Index) Adopt(ranges []segment.Range, staged dcb.Position) error {
	ix.publish.Lock()
	defer ix.publish.Unlock()
	old := ix.view.Load()
	base, all, err := ix.holdAll(ranges, old.files.all)
	if err != nil {
		return err
	}
	if base < old.base {
		return closeHeld(all, nil)
	}
	if base >= staged && base > ix.Active().base {
		ix.Rotate(base) // the active part has nothing that they lack
	}
	ix.show(old, base, all)
	return nil
}

// holdAll opens the segments of the ranges, but takes those that are in have and sound as they are.
func (ix *Index) holdAll(ranges []segment.Range, have []*held) (base dcb.Position, all []*held, err error) {
	for _, r := range ranges {
		if r.First != base+1 {
			return 0, nil, closeHeld(all, fmt.Errorf("index: segments leave a gap between positions %d and %d", base, r.First))
		}
		i := slices.IndexFunc(have, func(h *held) bool { return h.Range() == r && !h.damaged.Load() })
		if i >= 0 {
			all = append(all, have[i])
		} else if h, err := ix.hold(r); err != nil {
			return 0, nil, closeHeld(all, err)
		} else {
			all = append(all, h)
		}
		base = r.Last
	}
	return base, all, nil
}

// closeHeld closes the segments that no view has, and returns err, which is the one that counts.
func closeHeld(all []*held, err error) error {
	for _, h := range all {
		if h.refs.Load() == 0 {
			_ = h.Close()
		}
	}
	return err
}

// Fill stages the positions above from and up to upto from their events: for what has no segment, and for who may not write one.
// REQUIRES: the caller stages, and from is the last position staged, or Base.
func (ix *Index) Fill(from, upto dcb.Position, fetch Fetch) error {
	for from < upto {
		r := segment.Range{First: from + 1, Last: min(from+buildPositions, upto)}
		if err := stageFetched(context.Background(), ix.Active(), r, fetch); err != nil {
			return fmt.Errorf("index: positions %d to %d: %w", r.First, r.Last, err)
		}
		ix.Staged(r.Last)
		from = r.Last
	}
	return nil
}
