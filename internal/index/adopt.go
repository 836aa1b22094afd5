package index

import (
	"context"
	"errors"
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

// adopt is Tail.Adopt. staged is the last position staged.
func (ix *Index) adopt(ranges []segment.Range, staged dcb.Position) error {
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

// holdAll opens the segments of the ranges, but takes those that are in have as they are, unless they are in doubt.
func (ix *Index) holdAll(ranges []segment.Range, have []*held) (base dcb.Position, all []*held, err error) {
	for _, r := range ranges {
		if r.First != base+1 {
			return 0, nil, closeHeld(all, fmt.Errorf("index: segments leave a gap between positions %d and %d", base, r.First))
		}
		i := slices.IndexFunc(have, func(h *held) bool { return h.Range() == r })
		if i >= 0 && !have[i].inDoubt() {
			base, all = r.Last, append(all, have[i])
			continue
		}
		h, err := ix.hold(r)
		if err != nil {
			return 0, nil, closeHeld(all, err)
		}
		h.again = i >= 0
		base, all = r.Last, append(all, h)
	}
	return base, all, nil
}

// inDoubt reports whether h is damaged, or stands for one that was: its owner may build it anew under the same name.
func (h *held) inDoubt() bool { return h.again || h.damaged.Load() }

// closeHeld closes the segments that no view has, and returns err with what that brings.
func closeHeld(all []*held, err error) error {
	for _, h := range all {
		if h.refs.Load() == 0 {
			err = errors.Join(err, h.Close())
		}
	}
	return err
}

// stageAll stages the positions above from and up to upto from their events: for who may not write the segments that are missing. It
// returns the last position staged, from where it can be called again after an error.
// REQUIRES: the caller stages; from is the last position staged, or Base if that is higher.
func (ix *Index) stageAll(from, upto dcb.Position, fetch Fetch) (dcb.Position, error) {
	for from < upto {
		r := segment.Range{First: from + 1, Last: min(from+buildPositions, upto)}
		last, err := stageFetched(context.Background(), ix.Active(), r, fetch)
		if err != nil {
			return last, fmt.Errorf("index: positions %d to %d: %w", r.First, r.Last, err)
		}
		ix.Staged(last)
		from = last
	}
	return from, nil
}
