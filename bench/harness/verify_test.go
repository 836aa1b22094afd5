package harness

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum"
)

func TestEveryWayOfReadingIsVerified(t *testing.T) {
	dir := made(t, small)
	for _, w := range ReadWays() {
		require.NoError(t, withReader(w, dir, func(r Reader) error { return small.Verify(t.Context(), r) }), w.Name)
	}
}

func TestWhatMatchesIsWhatTheHistorySays(t *testing.T) {
	var events []opossum.SequencedEvent
	for e := range small.events() {
		events = append(events, kept(e))
	}
	require.Len(t, events, small.Events)
	for _, o := range ReadOperations() {
		queries := o.Queries(small)
		for i, got := range small.matching(queries) {
			var want matching
			for _, e := range events {
				if queries[i].Matches(e.Event) {
					want = matching{want.events + 1, e.Position}
				}
			}
			require.Equal(t, want, got, "%s, %v", o.Name, queries[i].Items())
		}
	}
}

// forger answers with what its function makes of the right answer.
type forger struct {
	Reader
	forge func([]opossum.SequencedEvent)
}

func (f forger) Read(ctx context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error {
	var all []opossum.SequencedEvent
	if err := f.Reader.Read(ctx, q, newest, func(e opossum.SequencedEvent) { all = append(all, e) }); err != nil {
		return err
	}
	f.forge(all)
	for _, e := range all {
		if e.Position > 0 {
			yield(e)
		}
	}
	return nil
}

func TestWrongAnswersAreNoticed(t *testing.T) {
	type answer = []opossum.SequencedEvent
	product := func(h History, r *rand.Rand) opossum.Query { return opossum.ByTags(productTag(r.IntN(h.products()))) }
	oldestFirst := ReadOperation{draws: 1, draw: product, do: all, yields: each}
	newestFirst := ReadOperation{draws: 1, draw: product, do: newest10, yields: each, newestFirst: true}
	newest := func(a answer) int {
		if a[0].Position > a[1].Position {
			return 0
		}
		return len(a) - 1
	}
	dir := made(t, small)
	for name, forge := range map[string]func(answer){
		"one missing":    func(a answer) { a[5] = opossum.SequencedEvent{} },
		"one twice":      func(a answer) { a[5] = a[4] },
		"in no order":    func(a answer) { a[4], a[5] = a[5], a[4] },
		"turned around":  func(a answer) { slices.Reverse(a) },
		"not the newest": func(a answer) { a[newest(a)].Position-- },
		"does not match": func(a answer) { a[5].Event.Tags = []opossum.Tag{"other"} },
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, withReader(ReadWays()[0], dir, func(r Reader) error {
				for _, o := range []ReadOperation{oldestFirst, newestFirst} {
					q := o.Queries(small)
					m := small.matching(q)[0]
					require.NoError(t, o.verify(t.Context(), r, q[0], m))
					require.Error(t, o.verify(t.Context(), forger{r, forge}, q[0], m))
				}
				return nil
			}))
		})
	}
	t.Run("another event", func(t *testing.T) {
		require.NoError(t, withReader(ReadWays()[0], dir, func(r Reader) error {
			for _, forge := range []func(answer){
				func(a answer) { a[5].Event.Data = []byte("{}") },
				func(a answer) { a[5].Position = 0 },
				func(a answer) { a[199].Position = 0 },
			} {
				require.Error(t, small.verifyAll(t.Context(), forger{r, forge}))
			}
			require.Error(t, History{Workload: Default, Events: 100}.verifyAll(t.Context(), r), "more than there are")
			return nil
		}))
	})
	t.Run("in the whole", func(t *testing.T) {
		other := func(a answer) {
			if len(a) == small.Events {
				a[5].Event.Data = []byte("{}")
			}
		}
		require.Error(t, withReader(ReadWays()[0], dir, func(r Reader) error { return small.Verify(t.Context(), forger{r, other}) }))
	})
}
