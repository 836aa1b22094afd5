package opossum

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/ledger"
)

// The oracle: a slice of events and Query.Matches. Vocabularies are small, so that random queries match and random conditions conflict.
var (
	oracleTypes = []string{"A", "B", "C", "a", "A "}
	oracleTags  = []Tag{"x", "y", "z", "x/y", "y:z", "xy", "\x00", "🦫"}
)

func drawEvent(t *rapid.T) Event {
	e := Event{
		Type: rapid.SampledFrom(oracleTypes).Draw(t, "type"),
		Tags: rapid.SliceOfNDistinct(rapid.SampledFrom(oracleTags), 0, 4, rapid.ID[Tag]).Draw(t, "tags"),
		Data: rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "data"),
	}
	if rapid.Bool().Draw(t, "id") {
		e.ID = uuid.New()
	}
	return e
}

func drawQuery(t *rapid.T) Query {
	if rapid.IntRange(0, 9).Draw(t, "all") == 0 {
		return AllEvents()
	}
	var items []QueryItem
	for range rapid.IntRange(1, 4).Draw(t, "items") {
		it := QueryItem{
			Types: rapid.SliceOfN(rapid.SampledFrom(append([]string{"Unknown"}, oracleTypes...)), 0, 3).Draw(t, "types"),
			Tags:  rapid.SliceOfN(rapid.SampledFrom(append([]Tag{"unknown"}, oracleTags...)), 0, 3).Draw(t, "tags"),
		}
		if len(it.Types)+len(it.Tags) == 0 {
			it.Tags = []Tag{"x"}
		}
		items = append(items, it)
	}
	return Match(items...)
}

// oracle is what a store should hold.
type oracle []Event

// match returns the first position in (after, ...] that matches, 0 if none does.
func (m oracle) match(q Query, after Position) Position {
	for i, e := range m {
		if p := Position(i + 1); p > after && q.Matches(e) {
			return p
		}
	}
	return 0
}

// judge returns what a condition says.
func (m oracle) judge(c *Condition) string {
	if c == nil {
		return "passes"
	}
	if p := m.match(c.FailIfExists, 0); p > 0 {
		return fmt.Sprint("exists=true at ", p)
	}
	if p := m.match(c.FailIfMatch, c.After); p > 0 {
		return fmt.Sprint("exists=false at ", p)
	}
	return "passes"
}

func (m oracle) read(q Query, o ReadOptions) []Position {
	out := []Position{}
	for i, e := range m {
		p := Position(i + 1)
		if q.Matches(e) && p > o.After && (o.Before == 0 || p < o.Before) {
			out = append(out, p)
		}
	}
	if o.Backwards {
		slices.Reverse(out)
	}
	if o.Limit > 0 && len(out) > o.Limit {
		out = out[:o.Limit]
	}
	return out
}

func outcome(err error) string {
	if err == nil {
		return "passes"
	}
	return conditionError(err)
}

// oracleRun is one random history of one store. Events are filed, only in the log, or staged, as it goes on.
type oracleRun struct {
	t     *rapid.T
	tb    testing.TB // for directories and cleanup only
	e     *Engine
	dir   string
	flush Flush
	model oracle
	valve *valve
	pause func()
	dirs  []string
}

func (r *oracleRun) open() {
	h := hooks{}
	r.valve = new(valve)
	h.wal.Write = r.valve.write
	h.wal.RotateBytes = 4096 // so that generations are rotated and trimmed as well
	e, err := open(r.dir, &Options{Flush: r.flush, LooseEvents: rapid.SampledFrom(looseEvents).Draw(r.t, "loose")}, h)
	if err != nil {
		r.t.Fatalf("open: %v", err)
	}
	r.e = e
	if got := e.Head(); got != Position(len(r.model)) {
		r.t.Fatalf("opened at %d, want %d; %v", got, len(r.model), e.Recovery())
	}
}

func (r *oracleRun) close() {
	r.resume()
	if err := r.e.Close(); err != nil {
		r.t.Fatalf("close: %v", err)
	}
}

func (r *oracleRun) resume() {
	if r.pause != nil {
		r.pause()
		r.pause = nil
	}
}

func (r *oracleRun) drawAfter(name string) Position {
	return Position(rapid.IntRange(0, len(r.model)+2).Draw(r.t, name))
}

func (r *oracleRun) drawCondition() *Condition {
	switch rapid.IntRange(0, 3).Draw(r.t, "condition") {
	case 0:
		return nil
	case 1:
		return failIfMatch(drawQuery(r.t), r.drawAfter("after"))
	case 2:
		return failIfExists(drawQuery(r.t))
	}
	return &Condition{FailIfMatch: drawQuery(r.t), After: r.drawAfter("after"), FailIfExists: drawQuery(r.t)}
}

func (r *oracleRun) append() {
	events := rapid.SliceOfN(rapid.Custom(drawEvent), 1, 5).Draw(r.t, "events")
	cond := r.drawCondition()
	want := r.model.judge(cond)
	p, err := r.e.Append(ctxb, events, cond)
	if got := outcome(err); got != want {
		r.t.Fatalf("append says %q (%v), the oracle %q", got, err, want)
	}
	if err == nil {
		r.model = append(r.model, events...)
		if p != Position(len(r.model)) {
			r.t.Fatalf("appended at %d, want %d", p, len(r.model))
		}
	}
}

// read compares random reads. It holds whatever is staged, because what is staged is not in the model yet.
func (r *oracleRun) read() {
	for range 3 {
		q := drawQuery(r.t)
		o := ReadOptions{
			After: r.drawAfter("after"), Before: r.drawAfter("before"),
			Backwards: rapid.Bool().Draw(r.t, "backwards"), Limit: rapid.IntRange(0, 5).Draw(r.t, "limit"),
		}
		if rapid.Bool().Draw(r.t, "wide") {
			o.After, o.Before = 0, 0
		}
		r.compare(q, o)
		last, err := r.e.ReadLast(ctxb, q)
		switch want := r.model.read(q, ReadOptions{Backwards: true, Limit: 1}); {
		case len(want) == 0 && !errors.Is(err, ErrNotFound):
			r.t.Fatalf("read last: %v, %v where nothing matches", last, err)
		case len(want) == 1 && (err != nil || last.Position != want[0]):
			r.t.Fatalf("read last: %v, %v, want %v", last.Position, err, want)
		}
	}
}

func (r *oracleRun) compare(q Query, o ReadOptions) {
	v, err := r.e.Read(ctxb, q, o)
	if err != nil {
		r.t.Fatalf("read: %v", err)
	}
	if v.Head() != Position(len(r.model)) {
		r.t.Fatalf("the view is pinned at %d, want %d", v.Head(), len(r.model))
	}
	got, err := collect(v.All())
	if err != nil {
		r.t.Fatalf("read: %v", err)
	}
	if want := r.model.read(q, o); !slices.Equal(positionsOf(got), want) {
		r.t.Fatalf("read %+v %+v: %v, want %v", q.Items(), o, positionsOf(got), want)
	}
	for _, ev := range got {
		want := r.model[ev.Position-1]
		if ev.Event.ID != want.ID || ev.Event.Type != want.Type || !slices.Equal(ev.Event.Tags, want.Tags) ||
			!slices.Equal(ev.Event.Data, want.Data) || !maps.Equal(ev.Event.Metadata, want.Metadata) {
			r.t.Fatalf("event %d is %+v, want %+v", ev.Position, ev.Event, want)
		}
	}
}

// staged judges conditions while an append hangs in the log: it counts, and nobody reads it.
func (r *oracleRun) staged() {
	entered, open := r.valve.shut()
	defer open()
	events := rapid.SliceOfN(rapid.Custom(drawEvent), 1, 5).Draw(r.t, "staged")
	first := appendAsync(ctxb, r.e, nil, events...)
	<-entered
	model := append(slices.Clone(r.model), events...)
	r.read()
	var wants []string
	var done []<-chan result
	for range rapid.IntRange(1, 3).Draw(r.t, "conditional") {
		more := rapid.SliceOfN(rapid.Custom(drawEvent), 1, 3).Draw(r.t, "events")
		cond := r.drawCondition()
		want := model.judge(cond)
		// The clauses are judged at the snapshot first, and then over what is staged: existence that is only staged comes second.
		if visible := r.model.judge(cond); visible != "passes" {
			want = visible
		}
		wants = append(wants, want)
		done = append(done, appendAsync(ctxb, r.e, cond, more...))
		if want == "passes" {
			model = append(model, more...)
			if err := r.e.ledger.Wait(ctxb, ledger.Assigned, Position(len(model))); err != nil {
				r.t.Fatal(err)
			}
			continue
		}
		// A rejected append changes nothing, so it does not matter when exactly it is judged.
	}
	r.read()
	open()
	if res := <-first; res.err != nil {
		r.t.Fatalf("the staged append: %v", res.err)
	}
	for i, c := range done {
		res := <-c
		got := outcome(res.err)
		if got != wants[i] && !(wants[i] != "passes" && got != "passes") {
			r.t.Fatalf("conditional append %d says %q, the oracle %q", i, got, wants[i])
		}
	}
	r.model = model
	if r.e.Head() != Position(len(model)) {
		r.t.Fatalf("head %d, want %d", r.e.Head(), len(model))
	}
}

func (r *oracleRun) abandon() {
	to := copyStore(r.tb, r.e)
	r.dirs = append(r.dirs, to)
	r.close()
	r.dir = to
	r.open()
	if got := r.e.Recovery().Outcome; got == "created" {
		r.t.Fatalf("opened a copy: %s", got)
	}
}

func TestResultsEqualAScanWithMatches(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "oracle")
		require.NoError(t, err)
		r := &oracleRun{t: rt, tb: t, dir: dir, dirs: []string{dir}, flush: FlushDisabled}
		if rapid.IntRange(0, 3).Draw(rt, "flush") == 0 {
			r.flush = FlushBatch
		}
		defer func() {
			r.resume()
			_ = r.e.Close()
			for _, d := range r.dirs {
				_ = os.RemoveAll(d)
			}
		}()
		r.open()
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch step := rapid.IntRange(0, 16).Draw(rt, "step"); step {
			case 16:
				if r.pause == nil {
					if err := repack(ctxb, r.e); err != nil {
						rt.Fatal(err)
					}
				}
			case 0:
				if r.pause == nil {
					if err := r.e.WaitMaterialized(ctxb, r.e.Head()); err != nil {
						rt.Fatal(err)
					}
				}
			case 1:
				if r.pause == nil {
					if r.pause, err = r.e.PauseFiling(ctxb); err != nil {
						rt.Fatal(err)
					}
				}
			case 2:
				r.resume()
			case 3:
				r.close()
				r.open()
				if got := r.e.Recovery().Outcome; got != "clean" && len(r.model) > 0 {
					rt.Fatalf("closed and opened: %s", got)
				}
			case 4:
				if r.pause == nil {
					r.abandon()
				}
			case 5, 6, 7:
				r.staged()
			case 8, 9, 10, 11, 12:
				r.append()
			default:
				r.read()
			}
		}
		r.read()
		r.compare(AllEvents(), ReadOptions{})
	})
}
