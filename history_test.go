package opossum

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// A recorded history of concurrent operations is checked against the plainest store there is: a sequence of events, one byte each,
// whose lowest bits are the tags and whose next ones are the type.

const historyTags = 3

type historyOp struct {
	read   bool
	events string // of an append
	query  byte   // bits of the tags, and of the type if it is not 0
	exists bool   // the condition's clause is FailIfExists
	cond   bool
	after  int
}

type historyResult struct {
	kind string // "ok", "conflict", "exists", "unknown", "not written"
	p    Position
	head Position // of a read
	seen string   // positions that a read saw
}

// kindOf makes a byte of an event: a type of 1 or 2 and a set of tags.
func kindOf(typ int, tags byte) byte { return byte(typ)<<historyTags | tags }

func historyEvent(k byte) Event {
	e := Event{Type: fmt.Sprint("T", k>>historyTags)}
	for i := range historyTags {
		if k&(1<<i) != 0 {
			e.Tags = append(e.Tags, Tag(fmt.Sprint("t", i)))
		}
	}
	return e
}

func historyQuery(k byte) Query {
	if k == 0 {
		return AllEvents()
	}
	var it QueryItem
	e := historyEvent(k)
	it.Tags = e.Tags
	if k>>historyTags != 0 {
		it.Types = []string{e.Type}
	}
	return Match(it)
}

// matchByte is written without Query.Matches, so that the two check each other.
func matchByte(query, event byte) bool {
	const tags = 1<<historyTags - 1
	typ := query >> historyTags
	return query&tags&^event == 0 && (typ == 0 || typ == event>>historyTags)
}

func firstByte(state string, query byte, after int) int {
	for i := max(after, 0); i < len(state); i++ {
		if matchByte(query, state[i]) {
			return i + 1
		}
	}
	return 0
}

func seenOf(state string, query byte) string {
	out := ""
	for i := range len(state) {
		if matchByte(query, state[i]) {
			out += fmt.Sprint(i+1, " ")
		}
	}
	return out
}

var historyModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{""} },
	Step: func(s, in, out any) []any {
		state, op, res := s.(string), in.(historyOp), out.(historyResult)
		if op.read {
			if int(res.head) == len(state) && res.seen == seenOf(state, op.query) {
				return []any{state}
			}
			return nil
		}
		after := op.after
		if op.exists {
			after = 0
		}
		match := 0
		if op.cond {
			match = firstByte(state, op.query, after)
		}
		next := state + op.events
		switch {
		case res.kind == "ok" && match == 0 && int(res.p) == len(next):
			return []any{next}
		case res.kind == "conflict" && match == int(res.p) && match > 0 && !op.exists,
			res.kind == "exists" && match == int(res.p) && match > 0 && op.exists,
			res.kind == "not written":
			return []any{state}
		case res.kind == "unknown" && match == 0:
			return []any{state, next}
		case res.kind == "unknown":
			return []any{state}
		}
		return nil
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
}

// recordHistory runs clients against e and returns what they did and saw.
func recordHistory(e *Engine, r *rand.Rand, clients, each int, cancels bool) []porcupine.Operation {
	var mu sync.Mutex
	var history []porcupine.Operation
	start := time.Now()
	seeds := make([]uint64, clients)
	for i := range seeds {
		seeds[i] = r.Uint64()
	}
	race(clients, func(c int) {
		r := rng(seeds[c])
		for range each {
			op := historyOp{query: byte(r.IntN(3<<historyTags)) & byte(r.IntN(256)), read: r.IntN(4) == 0}
			if !op.read {
				for range 1 + r.IntN(2) {
					op.events += string([]byte{kindOf(1+r.IntN(2), byte(r.IntN(1<<historyTags)))})
				}
				op.cond = r.IntN(5) > 0
				op.exists = op.cond && r.IntN(6) == 0
				op.after = int(e.Head()) - r.IntN(3)
			}
			ctx, cancel := context.WithCancel(ctxb)
			if cancels && r.IntN(8) == 0 {
				go cancel()
			}
			call := time.Since(start)
			res := perform(ctx, e, op)
			back := time.Since(start)
			cancel()
			if res.kind == "unknown" {
				back = math.MaxInt64 / 2 // it may take effect later
			}
			mu.Lock()
			history = append(history, porcupine.Operation{ClientId: c, Input: op, Output: res, Call: int64(call), Return: int64(back)})
			mu.Unlock()
		}
	})
	return history
}

func perform(ctx context.Context, e *Engine, op historyOp) historyResult {
	if op.read {
		v, err := e.Read(ctxb, historyQuery(op.query), ReadOptions{})
		if err != nil {
			return historyResult{kind: err.Error()}
		}
		res := historyResult{kind: "ok", head: v.Head()}
		for ev, err := range v.All() {
			if err != nil {
				return historyResult{kind: err.Error()}
			}
			res.seen += fmt.Sprint(ev.Position, " ")
		}
		return res
	}
	var events []Event
	for i := range len(op.events) {
		events = append(events, historyEvent(op.events[i]))
	}
	var cond *Condition
	switch {
	case op.exists:
		cond = failIfExists(historyQuery(op.query))
	case op.cond:
		cond = failIfMatch(historyQuery(op.query), Position(max(op.after, 0)))
	}
	p, err := e.Append(ctx, events, cond)
	var failed *ConditionFailedError
	switch {
	case err == nil:
		return historyResult{kind: "ok", p: p}
	case errors.As(err, &failed) && errors.Is(err, ErrAlreadyExists):
		return historyResult{kind: "exists", p: failed.Position}
	case errors.As(err, &failed):
		return historyResult{kind: "conflict", p: failed.Position}
	case errors.Is(err, ErrOutcomeUnknown):
		return historyResult{kind: "unknown"}
	case errors.Is(err, context.Canceled):
		return historyResult{kind: "not written"}
	}
	return historyResult{kind: err.Error()}
}

func TestARecordedConcurrentHistoryIsLinearizable(t *testing.T) {
	seed := randomSeed(t)
	model := historyModel.ToModel()
	seeds := 24
	if testing.Short() {
		seeds = 6
	}
	for i := range seeds {
		r := rng(seed + uint64(i))
		opts := &Options{Flush: []Flush{FlushBatch, FlushDisabled}[i%2]}
		e := openStore(t, t.TempDir(), opts, hooks{})
		stop := repacking(t, e)
		history := recordHistory(e, r, 3+r.IntN(6), 30, i%3 == 2)
		stop()
		result, info := porcupine.CheckOperationsVerbose(model, history, testPatience)
		if result != porcupine.Ok {
			path := filepath.Join(os.TempDir(), fmt.Sprintf("opossum-history-%d.html", seed)) // stays for who looks into it
			err := porcupine.VisualizePath(model, info, path)
			require.FailNow(t, "not linearizable", "result %v, OPOSSUM_TEST_SEED=%d, run %d, see %s (%v)", result, seed, i, path, err)
		}
		require.NoError(t, e.Close())
	}
}

func TestTheHistoryModelHasBite(t *testing.T) {
	model := historyModel.ToModel()
	a := string([]byte{kindOf(1, 1)})
	op := func(client int, call, ret int64, in historyOp, out historyResult) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Input: in, Output: out, Call: call, Return: ret}
	}
	one := historyOp{events: a, cond: true, query: 1}
	cases := map[string][]porcupine.Operation{
		"two winners":                  {op(0, 0, 10, one, historyResult{kind: "ok", p: 1}), op(1, 0, 10, one, historyResult{kind: "ok", p: 2})},
		"a false conflict":             {op(0, 0, 10, one, historyResult{kind: "conflict", p: 1})},
		"a stale read":                 {op(0, 0, 1, one, historyResult{kind: "ok", p: 1}), op(1, 2, 3, historyOp{read: true, query: 1}, historyResult{kind: "ok", head: 0})},
		"half a batch":                 {op(0, 0, 9, historyOp{events: a + a}, historyResult{kind: "ok", p: 2}), op(1, 0, 9, historyOp{read: true, query: 1}, historyResult{kind: "ok", head: 1, seen: "1 "})},
		"what was not written is read": {op(0, 0, 1, one, historyResult{kind: "not written"}), op(1, 2, 3, historyOp{read: true, query: 1}, historyResult{kind: "ok", head: 1, seen: "1 "})},
	}
	for name, history := range cases {
		require.False(t, porcupine.CheckOperations(model, history), name)
	}
}

// evidence is what the first event of a batch says about its decision.
type evidence struct {
	Types []string
	Tags  []Tag
	After Position
	Size  int
}

// Every decision is recomputed from the log afterwards: larger than what a linearizability checker bears.
func TestEveryStoredDecisionHoldsWhenRecomputedFromTheLog(t *testing.T) {
	seed := randomSeed(t)
	for run, opts := range []*Options{{}, {Flush: FlushDisabled}, {MaxLagEvents: 300}} {
		dir := t.TempDir()
		e := openStore(t, dir, opts, hooks{})
		const writers = 24
		each := rounds(150)
		stop := repacking(t, e)
		race(writers, func(w int) {
			r := rng(seed + uint64(run*1000+w))
			for range each {
				decide(t, e, r)
			}
		})
		verify := func() {
			all := checkDense(t, e)
			for i := 0; i < len(all); {
				var ev evidence
				require.NoError(t, json.Unmarshal(all[i].Event.Data, &ev))
				q := Match(QueryItem{Types: ev.Types, Tags: ev.Tags})
				for _, before := range all[:i] {
					if before.Position > ev.After && q.Matches(before.Event) {
						require.FailNow(t, "a condition was passed wrongly", "OPOSSUM_TEST_SEED=%d: batch at %d, after %d, but %d matches", seed, i+1, ev.After, before.Position)
					}
				}
				for _, rest := range all[i+1 : i+ev.Size] {
					require.Equal(t, "Rest", rest.Event.Metadata["part"], "a batch is wholly there and adjacent")
				}
				i += ev.Size
			}
		}
		stop()
		verify()
		for range 2 {
			require.NoError(t, e.Close())
			e = openStore(t, dir, opts, hooks{})
			require.NoError(t, repack(ctxb, e))
			verify()
		}
	}
}

func decide(t *testing.T, e *Engine, r *rand.Rand) {
	types, tags := []string{"A", "B", "C"}, []Tag{"x", "y", "z", "w"}
	pick := func() Event {
		ev := Event{Type: types[r.IntN(len(types))]}
		for _, tag := range tags {
			if r.IntN(5) == 0 {
				ev.Tags = append(ev.Tags, tag)
			}
		}
		return ev
	}
	var it QueryItem
	switch like := pick(); {
	case len(like.Tags) == 0:
		it.Types = []string{like.Type}
	case r.IntN(2) == 0:
		it.Types, it.Tags = []string{like.Type, "A"}, like.Tags
	default:
		it.Tags = like.Tags
	}
	q := Match(it)
	v, err := e.Read(ctxb, q, ReadOptions{Backwards: true, Limit: 1})
	if err != nil {
		t.Error(err)
		return
	}
	after := v.Head()
	if r.IntN(2) == 0 { // the position of the last match is as good
		after = 0
		for ev, err := range v.All() {
			if err != nil {
				t.Error(err)
			}
			after = ev.Position
		}
	}
	events := []Event{pick()}
	for range r.IntN(3) {
		ev := pick()
		ev.Metadata = map[string]string{"part": "Rest"}
		events = append(events, ev)
	}
	events[0].Data, err = json.Marshal(evidence{it.Types, it.Tags, after, len(events)})
	if err != nil {
		t.Error(err)
	}
	if _, err := e.Append(ctxb, events, failIfMatch(q, after)); err != nil {
		var failed *ConditionFailedError
		if !errors.As(err, &failed) {
			t.Error(err)
			return
		}
		got, err := e.Read(ctxb, q, ReadOptions{After: failed.Position - 1, Before: failed.Position + 1})
		if err != nil {
			t.Error(err)
			return
		}
		if at, err := collect(got.All()); err != nil || len(at) != 1 || failed.Position <= after {
			t.Errorf("a false conflict: after %d, position %d, %v, %v", after, failed.Position, at, err)
		}
	}
}
