package harness

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum"
)

// positions returns those of what a reader answers.
func positions(t *testing.T, r Reader, q opossum.Query, newest int) (all []int) {
	require.NoError(t, r.Read(t.Context(), q, newest, func(e opossum.SequencedEvent) { all = append(all, int(e.Position)) }))
	return all
}

func TestEachWayAnswersRightly(t *testing.T) {
	dir := made(t, small)
	for _, w := range ReadWays() {
		t.Run(w.Name, func(t *testing.T) {
			r, err := w.Open(dir)
			require.NoError(t, err)
			product := opossum.ByTags("product:7")
			require.Equal(t, []int{8, 28, 48, 68, 88, 108, 128, 148, 168, 188}, positions(t, r, product, 0))
			require.Equal(t, []int{188, 168, 148}, positions(t, r, product, 3))
			require.Len(t, positions(t, r, product, 11), 10)

			first, err := r.Last(t.Context(), opossum.ByTags("order:0-0"))
			require.NoError(t, err)
			require.EqualValues(t, 1, first.Position)
			both := opossum.Match(opossum.QueryItem{Types: []string{first.Event.Type}, Tags: first.Event.Tags})
			require.Equal(t, []int{1}, positions(t, r, both, 0), "type and tags")
			require.Equal(t, []int{1}, positions(t, r, both, 10))

			absent := opossum.ByTags("product:20")
			require.Empty(t, positions(t, r, absent, 0))
			_, err = r.Last(t.Context(), absent)
			require.ErrorIs(t, err, opossum.ErrNotFound)
			require.ErrorIs(t, r.Refuse(t.Context(), product), opossum.ErrConditionFailed)
			require.NotErrorIs(t, r.Refuse(t.Context(), absent), opossum.ErrConditionFailed)
			require.NoError(t, r.Close())
		})
	}
}

func TestAllWaysAgreeAndAreMeasured(t *testing.T) {
	dir := made(t, small)
	require.NoError(t, Agree(t.Context(), small, dir, ReadWays()))
	for _, w := range ReadWays() {
		round, err := w.Measure(t.Context(), small, dir, time.Millisecond)
		require.NoError(t, err)
		require.Len(t, round.Opens, opens)
		for i, o := range ReadOperations() {
			result := round.Results[i]
			require.Positive(t, result.Reads)
			require.LessOrEqual(t, result.P50, result.P99)
			require.LessOrEqual(t, result.P99, result.Max)
			switch o.Name {
			case "last-of-1", "last-of-10":
				require.Equal(t, result.Reads, result.Events)
			case "all-of-10":
				require.Equal(t, 10*result.Reads, result.Events)
			case "absent", "refused":
				require.Zero(t, result.Events)
			default:
				require.Positive(t, result.Events)
			}
		}
	}
}

// liar answers as the reader in it does, but for what its functions change.
type liar struct {
	Reader
	event func(e *opossum.SequencedEvent) (keep bool)
	err   func(error) error
}

func (l liar) Read(ctx context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error {
	return l.err(l.Reader.Read(ctx, q, newest, func(e opossum.SequencedEvent) {
		if l.event(&e) {
			yield(e)
		}
	}))
}

func (l liar) Last(ctx context.Context, q opossum.Query) (opossum.SequencedEvent, error) {
	e, err := l.Reader.Last(ctx, q)
	l.event(&e)
	return e, l.err(err)
}

func (l liar) Refuse(ctx context.Context, q opossum.Query) error {
	return l.err(l.Reader.Refuse(ctx, q))
}

func TestWaysThatDisagreeAreNoticed(t *testing.T) {
	dir := made(t, small)
	broken := errors.New("broken")
	same := func(err error) error { return err }
	keep := func(*opossum.SequencedEvent) bool { return true }
	liars := map[string]liar{
		"loses one":         {event: func(e *opossum.SequencedEvent) bool { return e.Position != 48 }, err: same},
		"loses all":         {event: func(*opossum.SequencedEvent) bool { return false }, err: same},
		"other position":    {event: func(e *opossum.SequencedEvent) bool { e.Position++; return true }, err: same},
		"other type":        {event: func(e *opossum.SequencedEvent) bool { e.Event.Type = "X"; return true }, err: same},
		"other tags":        {event: func(e *opossum.SequencedEvent) bool { e.Event.Tags = e.Event.Tags[:3]; return true }, err: same},
		"other data":        {event: func(e *opossum.SequencedEvent) bool { e.Event.Data = nil; return true }, err: same},
		"other time":        {event: func(e *opossum.SequencedEvent) bool { e.Event.Time = time.Time{}; return true }, err: same},
		"other ID":          {event: func(e *opossum.SequencedEvent) bool { e.Event.ID[0]++; return true }, err: same},
		"other metadata":    {event: func(e *opossum.SequencedEvent) bool { e.Event.Metadata = map[string]string{"a": "b"}; return true }, err: same},
		"fails":             {event: keep, err: func(error) error { return broken }},
		"finds what is not": {event: keep, err: func(error) error { return nil }},
	}
	for name, l := range liars {
		t.Run(name, func(t *testing.T) {
			ways := ReadWays()
			honest := ways[2].Open
			ways[2].Open = func(dir string) (Reader, error) {
				r, err := honest(dir)
				l.Reader = r
				return l, err
			}
			require.Error(t, Agree(t.Context(), small, dir, ways))
		})
	}
}

// answers gives every question the same error, and no event.
type answers struct {
	Reader
	err error
}

func (a answers) Read(context.Context, opossum.Query, int, func(opossum.SequencedEvent)) error {
	return a.err
}
func (a answers) Last(context.Context, opossum.Query) (opossum.SequencedEvent, error) {
	return opossum.SequencedEvent{}, a.err
}
func (a answers) Refuse(context.Context, opossum.Query) error { return a.err }

func TestAnswersOfTheWrongKindAreErrors(t *testing.T) {
	for _, o := range ReadOperations() {
		for _, given := range []error{nil, opossum.ErrNotFound, opossum.ErrConditionFailed, opossum.ErrCorrupt} {
			err := o.answer(t.Context(), answers{err: given}, opossum.AllEvents(), func(opossum.SequencedEvent) {})
			require.Equal(t, given == o.want, err == nil, "%s: %v", o.Name, given)
		}
	}
}

func TestACancelledMeasureEnds(t *testing.T) {
	dir := made(t, small)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, w := range ReadWays() {
		_, err := w.Measure(ctx, small, dir, time.Hour)
		require.ErrorIs(t, err, context.Canceled)
		r, err := w.Open(dir)
		require.NoError(t, err)
		o := ReadOperations()[0]
		_, err = o.Measure(ctx, r, o.Queries(small), time.Hour)
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, r.Close())
	}
}

// BenchmarkRead asks each way the same queries of one history of 200,000 events, which takes a while to be made. It needs a
// disk: set TMPDIR if the default one lies in memory.
func BenchmarkRead(b *testing.B) {
	h := History{Workload: Default, Events: 200_000}
	dir := made(b, h)
	for _, w := range ReadWays() {
		b.Run("way="+w.Name+"/read=open", func(b *testing.B) {
			for b.Loop() {
				r, err := w.Open(dir)
				require.NoError(b, err)
				require.NoError(b, r.Close())
			}
		})
		r, err := w.Open(dir)
		require.NoError(b, err)
		for _, o := range ReadOperations() {
			b.Run("way="+w.Name+"/read="+o.Name, func(b *testing.B) { benchmarkRead(b, r, o, o.Queries(h)) })
		}
		require.NoError(b, r.Close())
	}
}

func benchmarkRead(b *testing.B, r Reader, o ReadOperation, queries []opossum.Query) {
	events := 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := o.answer(b.Context(), r, queries[i%len(queries)], func(opossum.SequencedEvent) { events++ }); err != nil {
			b.Fatal(err) // without require, which would allocate more than the map does
		}
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
