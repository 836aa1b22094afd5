package readmodel

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"opossum"
	"opossum/internal/workload"
	"opossum/projection"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// events are those of some appends.
func events(appends int) (all []opossum.SequencedEvent) {
	for id := range uint64(appends) {
		for _, e := range workload.Events(id) {
			all = append(all, opossum.SequencedEvent{Position: opossum.Position(len(all) + 1), Event: e})
		}
	}
	return all
}

// An owner who rebuilds, pauses, fails and saves in pieces leaves what the judge accepts; so the fold from scratch, the runner and the rebuild agree.
func TestWhatAnOwnerLeavesIsAccepted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	e, err := opossum.Open(dir, nil)
	require.NoError(t, err)
	kept := make(chan string, 100)
	k := Keep(e, Plan{Version: 1, Budget: 1, Pieces: true, Fails: true, Seed: 1}, func(name string, _ int) { kept <- name }, func(err error) { t.Error(err) })
	for id := range uint64(120) {
		_, err := e.Append(t.Context(), workload.Events(id), nil)
		require.NoError(t, err)
		if id%10 == 9 {
			k.Act(t.Context())
		}
	}
	k.Finish(t.Context(), true)
	require.NotEmpty(t, kept)
	require.NoError(t, e.Close())
	v, err := Check(t.Context(), Order{Dir: dir, Version: 1, Kept: map[string]int{Lists: 1, Lives: 1, Appends: 1}, Seed: 1, Append: 1000})
	require.NoError(t, err)
	require.Greater(t, v.Appended, v.Head-20)
	require.Greater(t, v.States, 40)
	require.Subset(t, v.Found, []string{"live: right"})

	t.Run("another version is built, and nothing excuses that of one that was there", func(t *testing.T) {
		_, err := Check(t.Context(), Order{Dir: dir, Version: 2, Kept: map[string]int{Lists: 2}})
		require.ErrorContains(t, err, "lists could be read before the kill")
		v, err := Check(t.Context(), Order{Dir: dir, Version: 2})
		require.NoError(t, err)
		require.Contains(t, v.Found, "live: unfit: the version is")
	})
	t.Run("what lies about is named", func(t *testing.T) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "projections", "stray"), nil, 0o644))
		_, err := Check(t.Context(), Order{Dir: dir, Version: 2})
		require.ErrorContains(t, err, "stray lies beside")
	})
}

// TestABuildOpenedWhileEventsAreAppendedIsJudgedByAllOfThem: a rebuild that was interrupted begins whenever it has its turn.
func TestABuildOpenedWhileEventsAreAppendedIsJudgedByAllOfThem(t *testing.T) {
	e, err := opossum.Open(t.TempDir(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	for id := range uint64(50) {
		_, err := e.Append(t.Context(), workload.Events(id), nil)
		require.NoError(t, err)
	}
	c := &check{Order: Order{Version: 1, Append: 50}, e: e, v: &Verdict{}, mayBeUnfit: true}
	require.NoError(t, c.fold(t.Context()))
	stores, err := projection.Files(t.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, stores.Close()) }()
	id := projection.Identity{Name: Lives, Version: 1}
	s, err := stores.Build(id, true)
	require.NoError(t, err)
	require.NoError(t, s.Save(recordsOf(c.past[Lives].asOf(c.v.Head)), projection.Checkpoint{Position: c.v.Head, Events: c.past[Lives].events(c.v.Head)}))

	w := &watched{Stores: stores, check: c}
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		close(ready)
		var err error
		for ; err == nil && c.Append < 100; c.Append++ {
			err = c.goOn(t.Context())
		}
		done <- err
	}()
	<-ready
	for {
		require.NoError(t, w.audit("build", id, s))
		select {
		case err := <-done:
			require.NoError(t, err)
			require.NoError(t, c.wrong())
			return
		default:
		}
	}
}

func TestDefinitionsMakeEverySortOfState(t *testing.T) {
	all := events(400)
	shared := map[string]string{}
	for name, d := range definitions(1) {
		require.NoError(t, d.Validate())
		p, err := foldAll(d, all)
		require.NoError(t, err)
		require.Greater(t, len(p.turns), 5, name)
		deleted, related := 0, 0
		for key, turns := range p.turns {
			require.Empty(t, shared[key], "no key is of two read models")
			shared[key] = name
			for i, n := range turns {
				require.True(t, i == 0 || n.info.Position > turns[i-1].info.Position)
				if !n.there() {
					deleted++
					require.True(t, turns[i-1].there())
				}
				related += len(n.info.Tags)
			}
		}
		require.Equal(t, name != Lists, deleted > 5, name)
		require.Equal(t, name != Lists, related > 0, name)
		require.Len(t, p.asOf(all[len(all)-1].Position), p.lenAt(t, all[len(all)-1].Position))
	}
}

func (p past) lenAt(t *testing.T, at opossum.Position) (n int) {
	for key := range p.turns {
		if p.last(key, at).there() {
			n++
		}
	}
	require.Positive(t, n)
	return n
}

// TestTheAuditSees: what a store must not hold when it is opened, each thing put there on purpose.
func TestTheAuditSees(t *testing.T) {
	all := events(60)
	head := all[len(all)-1].Position
	p, err := foldAll(definitions(1)[Lives], all)
	require.NoError(t, err)
	mid := head / 2
	states := p.asOf(mid)
	ahead := p.asOf(head)[0]
	for name, c := range map[string]struct {
		change func(records []projection.Record, at *projection.Checkpoint) []projection.Record
		wrong  string
	}{
		"nothing": {func(r []projection.Record, _ *projection.Checkpoint) []projection.Record { return r }, ""},
		"a state above it": {func(r []projection.Record, _ *projection.Checkpoint) []projection.Record {
			return with(r, recordsOf([]turn{ahead})[0])
		}, ""},
		"a state is missing": {func(r []projection.Record, _ *projection.Checkpoint) []projection.Record { return r[1:] }, "is missing"},
		"too old": {func(r []projection.Record, at *projection.Checkpoint) []projection.Record {
			at.Position, at.Events = head, p.events(head)
			return r
		}, "a fold from scratch has"},
		"beyond the head": {func(r []projection.Record, at *projection.Checkpoint) []projection.Record {
			at.Position = head + 1
			return r
		}, "the head is"},
		"events are not right": {func(r []projection.Record, at *projection.Checkpoint) []projection.Record { at.Events++; return r }, "has applied"},
		"applied twice":        {func(r []projection.Record, _ *projection.Checkpoint) []projection.Record { r[0].Version++; return r }, "a fold from scratch has"},
		"another state": {func(r []projection.Record, _ *projection.Checkpoint) []projection.Record {
			r[0].State = []byte("{}")
			return r
		}, "a fold from scratch has"},
		"another's": {func(r []projection.Record, _ *projection.Checkpoint) []projection.Record {
			return with(r, projection.Record{Key: "x", Position: 1, State: []byte("1")})
		}, "which has never been"},
	} {
		t.Run(name, func(t *testing.T) {
			at := projection.Checkpoint{Position: mid, Events: p.events(mid)}
			records := c.change(recordsOf(states), &at)
			stores, err := projection.Files(t.TempDir(), slog.New(slog.DiscardHandler))
			require.NoError(t, err)
			defer func() { require.NoError(t, stores.Close()) }()
			s, err := stores.Build(projection.Identity{Name: Lives, Version: 1}, true)
			require.NoError(t, err)
			require.NoError(t, s.Save(records, at))
			err = p.audit(s, head, false)
			if c.wrong == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.wrong)
			}
		})
	}
}

func recordsOf(turns []turn) (records []projection.Record) {
	for _, t := range turns {
		i := t.info
		records = append(records, projection.Record{Key: i.Key, Position: i.Position, Created: i.Created, Updated: i.Updated, Version: i.Version, State: t.text, Tags: i.Tags})
	}
	return records
}

// with puts a record in the place of that of its key.
func with(all []projection.Record, r projection.Record) []projection.Record {
	for i := range all {
		if all[i].Key == r.Key {
			all[i] = r
			return all
		}
	}
	return append(all, r)
}

func TestPlansVary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[Plan]bool{}
	for range 200 {
		p := DrawPlan(r, 3)
		require.Contains(t, []int{3, 4}, p.Version)
		p.Seed = 0
		seen[p] = true
	}
	require.Greater(t, len(seen), 20)
}
