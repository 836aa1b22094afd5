package decision_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
	"opossum/decision"
)

var (
	someEvent = rapid.Custom(func(t *rapid.T) dcb.Event {
		e := event(rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "type"))
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(1, 3), 0, 3, rapid.ID[int]).Draw(t, "tags") {
			e.Tags = append(e.Tags, tag("x", n))
		}
		return e
	})
	someQuery = rapid.Custom(func(t *rapid.T) dcb.Query {
		if rapid.IntRange(0, 9).Draw(t, "all") == 0 {
			return dcb.AllEvents()
		}
		return dcb.Match(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) dcb.QueryItem {
			it := dcb.QueryItem{Types: rapid.SliceOfN(rapid.SampledFrom([]string{"A", "B", "C"}), 0, 2).Draw(t, "types")}
			for _, n := range rapid.SliceOfN(rapid.IntRange(1, 3), 0, 2).Draw(t, "tags") {
				it.Tags = append(it.Tags, tag("x", n))
			}
			if len(it.Types)+len(it.Tags) == 0 {
				it.Types = []string{"A"}
			}
			return it
		}), 1, 3).Draw(t, "items")...)
	})
)

func folded[S any](t require.TestingT, p decision.Projection[S], events []dcb.Event) S {
	s, err := decision.Fold(p, events...)
	require.NoError(t, err)
	return s
}

func TestJoinedIsEachAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(someEvent, 0, 30).Draw(t, "events")
		q := rapid.SliceOfN(someQuery, 3, 3).Draw(t, "queries")
		a, b, c := count(q[0]), list(q[1]), histogram(q[2])

		two := folded(t, decision.Join2(a, b), events)
		require.Equal(t, decision.Pair[int, []dcb.Position]{First: folded(t, a, events), Second: folded(t, b, events)}, two)

		three := folded(t, decision.Join3(a, b, c), events)
		require.Equal(t, folded(t, a, events), three.First)
		require.Equal(t, folded(t, b, events), three.Second)
		require.Equal(t, folded(t, c, events), three.Third)

		require.Equal(t, three, func() (flat decision.Triple[int, []dcb.Position, map[string]int]) {
			nested := folded(t, decision.Join2(decision.Join2(a, b), c), events)
			flat.First, flat.Second, flat.Third = nested.First.First, nested.First.Second, nested.Second
			return flat
		}())

		all := folded(t, decision.JoinAll(count(q[0]), count(q[1]), count(q[2]), count(q[0])), events)
		require.Equal(t, []int{folded(t, count(q[0]), events), folded(t, count(q[1]), events), folded(t, count(q[2]), events), folded(t, count(q[0]), events)}, all)
	})
}

func TestTheJoinedQueryMatchesWhatAnyPartMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := rapid.SliceOfN(someQuery, 3, 3).Draw(t, "queries")
		e := someEvent.Draw(t, "event")
		any3 := q[0].Matches(e) || q[1].Matches(e) || q[2].Matches(e)
		for _, joined := range []dcb.Query{
			decision.Join3(count(q[0]), list(q[1]), histogram(q[2])).Query,
			decision.Join2(count(q[0]), decision.Join2(list(q[1]), histogram(q[2]))).Query,
			decision.JoinAll(count(q[0]), count(q[1]), count(q[2])).Query,
		} {
			require.NoError(t, joined.Validate())
			require.Equal(t, any3, joined.Matches(e))
		}
		require.Equal(t, q[0].Matches(e) || q[1].Matches(e), decision.Join2(count(q[0]), list(q[1])).Query.Matches(e))
	})
}

func TestAnItemThatSeveralPartsHaveIsAskedOnce(t *testing.T) {
	item := func(types []string, tags ...dcb.Tag) dcb.QueryItem { return dcb.QueryItem{Types: types, Tags: tags} }
	a, b := item([]string{"A"}, "x:1"), item([]string{"A"}, "x:1", "x:2")
	joined := decision.JoinAll(count(dcb.Match(a, b)), count(dcb.Match(b)), count(dcb.Match(a, a)), count(dcb.ByTags("x:1", "x:2")))
	require.Equal(t, []dcb.QueryItem{a, b, item(nil, "x:1", "x:2")}, joined.Query.Items())

	// What looks alike when it is joined with a separator is not the same.
	c, d := item([]string{"A B"}), item([]string{"A", "B"})
	require.Len(t, decision.JoinAll(count(dcb.Match(c)), count(dcb.Match(d)), count(dcb.ByTypes(`A" "B`))).Query.Items(), 3)

	// And the limit counts different ones.
	var many []decision.Projection[int]
	for i := range dcb.MaxQueryItems {
		p := count(dcb.ByTags(tag("x", i)))
		many = append(many, p, p)
	}
	require.NoError(t, decision.JoinAll(many...).Validate())
	err := decision.JoinAll(append(many, count(dcb.ByTags("one:more")))...).Validate()
	require.ErrorIs(t, err, decision.ErrInvalidProjection)
	require.ErrorIs(t, err, dcb.ErrTooManyItems)
}

func TestJoinAllKeepsNothingOfItsCaller(t *testing.T) {
	all := []decision.Projection[int]{count(dcb.ByTypes("A")), count(dcb.ByTypes("B"))}
	joined := decision.JoinAll(all...)
	all[1] = decision.Projection[int]{}
	events := []dcb.Event{event("A"), event("B"), event("B")}
	require.Equal(t, []int{1, 2}, folded(t, joined, events))
	require.Equal(t, []int{1, 2}, folded(t, joined, events), "each fold begins with states of its own")
}

func TestInvalidProjectionsAreNamed(t *testing.T) {
	ok, noQuery := count(dcb.ByTypes("A")), count(dcb.Query{})
	noApply := decision.Projection[int]{Name: "seats", Query: dcb.ByTypes("A")}
	nameless := decision.Projection[int]{Query: dcb.ByTypes("A")}
	for name, c := range map[string]struct {
		valid error
		want  string
	}{
		"fine":           {ok.Validate(), ""},
		"no apply":       {noApply.Validate(), `invalid projection "seats": it has no Apply`},
		"zero":           {decision.Projection[int]{}.Validate(), `invalid projection: it has no Apply`},
		"no query":       {noQuery.Validate(), `invalid projection "count": query without items (use AllEvents to match everything)`},
		"no items":       {count(dcb.Match()).Validate(), `invalid projection "count": query without items (use AllEvents to match everything)`},
		"empty item":     {count(dcb.Match(dcb.QueryItem{})).Validate(), `invalid projection "count": query item 0: query item with neither types nor tags`},
		"joined":         {decision.Join2(ok, noApply).Validate(), `invalid projection "seats": it has no Apply`},
		"first of two":   {decision.Join2(nameless, ok).Validate(), `the first of those joined: invalid projection: it has no Apply`},
		"second of two":  {decision.Join2(ok, nameless).Validate(), `the second of those joined: invalid projection: it has no Apply`},
		"third":          {decision.Join3(ok, ok, nameless).Validate(), `the third of those joined: invalid projection: it has no Apply`},
		"zero query":     {decision.Join2(ok, noQuery).Validate(), `invalid projection "count": query without items (use AllEvents to match everything)`},
		"beside all":     {decision.Join3(count(dcb.AllEvents()), ok, noQuery).Validate(), `invalid projection "count": query without items (use AllEvents to match everything)`},
		"one of many":    {decision.JoinAll(ok, ok, nameless).Validate(), `number 2 of those joined: invalid projection: it has no Apply`},
		"zero of many":   {decision.JoinAll(ok, noQuery).Validate(), `invalid projection "count": query without items (use AllEvents to match everything)`},
		"none":           {decision.JoinAll[int]().Validate(), `invalid projection: JoinAll of none`},
		"deep":           {decision.Join2(ok, decision.Join2(ok, decision.JoinAll(ok, nameless))).Validate(), `the second of those joined: the second of those joined: number 1 of those joined: invalid projection: it has no Apply`},
		"deep and valid": {decision.Join2(ok, decision.Join2(ok, decision.JoinAll(ok, ok))).Validate(), ""},
	} {
		if c.want == "" {
			require.NoError(t, c.valid, name)
			continue
		}
		require.ErrorIs(t, c.valid, decision.ErrInvalidProjection, name)
		require.EqualError(t, c.valid, c.want, name)
	}
	require.ErrorIs(t, noQuery.Validate(), dcb.ErrInvalidQuery)

	_, err := decision.Fold(decision.Join2(ok, noQuery))
	require.ErrorIs(t, err, decision.ErrInvalidProjection)
	require.ErrorContains(t, err, "opossum: decision: invalid projection")
}

func TestAPanicNamesTheInnermostProjection(t *testing.T) {
	boom := errors.New("boom")
	fine := count(dcb.AllEvents())
	apply := count(dcb.ByTypes("B"))
	apply.Name, apply.Apply = "apply", func(int, dcb.SequencedEvent) int { panic(boom) }
	initial := count(dcb.ByTypes("B"))
	initial.Name, initial.Initial = "initial", func() int { panic(boom) }
	nameless := apply
	nameless.Name = ""
	outer := decision.Join2(decision.JoinAll(fine, apply), fine)
	outer.Name = "outer"
	events := []dcb.Event{event("A"), event("B")}
	for name, c := range map[string]struct {
		fold func() error
		want decision.PanicError
		text string
	}{
		"alone":    {folding(apply, events), decision.PanicError{Projection: "apply", Position: 2}, `opossum: decision: projection panicked "apply" at position 2: boom`},
		"nameless": {folding(nameless, events), decision.PanicError{Position: 2}, `opossum: decision: projection panicked at position 2: boom`},
		"initial":  {folding(initial, nil), decision.PanicError{Projection: "initial"}, `opossum: decision: projection panicked "initial" in Initial: boom`},
		"nested":   {folding(outer, events), decision.PanicError{Projection: "apply", Position: 2}, `opossum: decision: projection panicked "apply" at position 2: boom`},
		"of three": {folding(decision.Join3(fine, fine, initial), events), decision.PanicError{Projection: "initial"}, `opossum: decision: projection panicked "initial" in Initial: boom`},
	} {
		err := c.fold()
		require.ErrorIs(t, err, decision.ErrProjectionPanicked, name)
		require.EqualError(t, err, c.text, name)
		var p *decision.PanicError
		require.ErrorAs(t, err, &p)
		require.Contains(t, string(p.Stack), "projection_test.go", name)
		require.Equal(t, boom, p.Value)
		p.Stack, p.Value = nil, nil
		require.Equal(t, c.want, *p, name)
	}
	require.NoError(t, folding(apply, events[:1])(), "what it does not match it never gets")
}

func folding[S any](p decision.Projection[S], events []dcb.Event) func() error {
	return func() error {
		_, err := decision.Fold(p, events...)
		return err
	}
}

func TestAMissingInitialIsTheZeroState(t *testing.T) {
	p := decision.Projection[map[string]int]{Query: dcb.AllEvents(), Apply: func(m map[string]int, _ dcb.SequencedEvent) map[string]int { return m }}
	require.Nil(t, folded(t, p, []dcb.Event{event("A")}))
	require.Equal(t, []map[string]int{nil, nil}, folded(t, decision.JoinAll(p, p), nil))
}
