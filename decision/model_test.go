package decision_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
	"opossum/decision"
)

var errBroken = errors.New("broken")

type model = decision.Pair[[]dcb.Position, map[string]int]

func modelled(a, b dcb.Query) decision.Projection[model] {
	return decision.Join2(list(a), histogram(b))
}

// Whatever is appended between, and wherever reads break, a model goes on to what a fold from scratch comes to.
func TestARefreshedModelIsOneFoldedFromScratch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := storeOf(rapid.SliceOfN(someEvent, 0, 10).Draw(t, "before")...)
		p := modelled(someQuery.Draw(t, "a"), someQuery.Draw(t, "b"))
		built, err := decision.Build(ctxb, m, p)
		require.NoError(t, err)
		for range rapid.IntRange(0, 6).Draw(t, "refreshes") {
			m.add(rapid.SliceOfN(someEvent, 0, 5).Draw(t, "more")...)
			broken := rapid.Bool().Draw(t, "broken")
			at := rapid.IntRange(0, 5).Draw(t, "at")
			m.breakAt = func(int) (int, error) {
				if broken {
					return at, errBroken
				}
				return 0, nil
			}
			before := built.Head()
			err := built.Refresh(ctxb)
			require.Equal(t, before, m.reads[len(m.reads)-1].after, "only what is newer is read")
			if broken {
				require.Equal(t, errBroken, err)
			} else {
				require.NoError(t, err)
				require.EqualValues(t, len(m.events), built.Head())
			}
			// State and head belong together even in the middle of a read.
			require.LessOrEqual(t, int(built.Head()), len(m.events))
			require.Equal(t, folded(t, p, plain(m.events[:built.Head()])), built.State())
			require.Equal(t, &dcb.Condition{FailIfMatch: p.Query, After: built.Head()}, built.Condition())
		}
	})
}

func TestAModelReadsOnceAndThenOnlyWhatIsNewer(t *testing.T) {
	m := storeOf(event("A"), event("B"), event("A"), event("C"))
	p := decision.Join2(count(dcb.ByTypes("A")), count(dcb.ByTypes("B")))
	built, err := decision.Build(ctxb, m, p)
	require.NoError(t, err)
	require.Equal(t, decision.Pair[int, int]{First: 2, Second: 1}, built.State())
	require.EqualValues(t, 4, built.Head(), "the head of the view, not the last match")
	m.add(event("B"), event("C"))
	require.NoError(t, built.Refresh(ctxb))
	require.NoError(t, built.Refresh(ctxb))
	require.Equal(t, decision.Pair[int, int]{First: 2, Second: 2}, built.State())
	require.Equal(t, []asked{{p.Query, 0, 3}, {p.Query, 4, 1}, {p.Query, 6, 0}}, m.reads)
}

func TestAModelThatCannotBeRead(t *testing.T) {
	m := storeOf(event("A"))
	m.readErr = func(int) error { return errBroken }
	_, err := decision.Build(ctxb, m, count(dcb.ByTypes("A")))
	require.Equal(t, errBroken, err, "as the store says it")
	m.readErr, m.breakAt = nil, func(int) (int, error) { return 1, errBroken }
	_, err = decision.Build(ctxb, m, count(dcb.ByTypes("A")))
	require.Equal(t, errBroken, err)

	_, err = decision.Build(ctxb, nil, decision.Projection[int]{})
	require.ErrorIs(t, err, decision.ErrInvalidProjection, "the store is not asked")
	_, err = decision.Build(ctxb, nil, decision.Join2(count(dcb.AllEvents()), count(dcb.Query{})))
	require.ErrorIs(t, err, dcb.ErrInvalidQuery)
}

func TestAModelIsOfNoUseAfterAPanic(t *testing.T) {
	m := storeOf(event("A"))
	p := count(dcb.ByTypes("A", "B"))
	p.Apply = func(n int, e dcb.SequencedEvent) int {
		if e.Event.Type == "B" {
			panic("boom")
		}
		return n + 1
	}
	built, err := decision.Build(ctxb, m, p)
	require.NoError(t, err)
	m.add(event("A"), event("B"), event("A"))
	first := built.Refresh(ctxb)
	require.ErrorIs(t, first, decision.ErrProjectionPanicked)
	reads := len(m.reads)
	require.Equal(t, first, built.Refresh(ctxb))
	require.Len(t, m.reads, reads)
	_, err = decision.Build(ctxb, m, p)
	require.ErrorIs(t, err, decision.ErrProjectionPanicked)
}

// A panic that is no projection's is a fault elsewhere, and not hidden.
func TestAPanicOfTheStoreGoesOn(t *testing.T) {
	m := storeOf(event("A"))
	m.yieldPanics = true
	require.PanicsWithValue(t, "store", func() { _, _ = decision.Build(ctxb, m, count(dcb.AllEvents())) })
}
