package harness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"opossum"
)

// ReadOperation is one kind of question to a history.
type ReadOperation struct {
	Name string // short, for benchmark names: no spaces
	What string // one line for people

	draws int // different queries, at most
	draw  func(h History, r *rand.Rand) opossum.Query
	do    func(ctx context.Context, r Reader, q opossum.Query, yield func(opossum.SequencedEvent)) error
	want  error // the answer, where the answer is an error
	// yields is the number of events in an answer to a query that so many events match.
	yields      func(matching int) int
	newestFirst bool
}

// ReadOperations returns all of them, in the order of the table.
func ReadOperations() []ReadOperation {
	order := func(h History, r *rand.Rand) opossum.Query { return opossum.ByTags(orderTag(r.IntN(h.Events))) }
	product := func(h History, r *rand.Rand) opossum.Query { return opossum.ByTags(productTag(r.IntN(h.products()))) }
	return []ReadOperation{
		{Name: "last-of-1", What: "ReadLast, a tag of 1 event", draws: many, draw: order, do: last, yields: one},
		{Name: "last-of-10", What: "ReadLast, a tag of 10 events", draws: many, draw: product, do: last, yields: one},
		{Name: "all-of-10", What: "all 10 events of a tag", draws: many, draw: product, do: all, yields: each},
		{Name: "newest-10", What: "newest 10 of a type and a tag of a 1,000th", draws: many, draw: typeAndCustomer, do: newest10, yields: tenAtMost, newestFirst: true},
		{Name: "absent", What: "ReadLast, a tag of no event", draws: many, draw: absentProduct, do: last, yields: none, want: opossum.ErrNotFound},
		{Name: "refused", What: "append refused by its condition, a tag of 10", draws: many, draw: product, do: refuse, yields: none, want: opossum.ErrConditionFailed},
		{Name: "all-of-20th", What: "all events of a tag of a 20th", draws: few, draw: region, do: all, yields: each},
		{Name: "full-scan", What: "all events of the history", draws: 1, draw: everything, do: all, yields: each},
	}
}

func one(int) int { return 1 }

func none(int) int { return 0 }

func each(matching int) int { return matching }

func tenAtMost(matching int) int { return min(10, matching) }

func everything(History, *rand.Rand) opossum.Query { return opossum.AllEvents() }

func typeAndCustomer(_ History, r *rand.Rand) opossum.Query {
	return opossum.Match(opossum.QueryItem{
		Types: []string{types[r.IntN(len(types))]},
		Tags:  []opossum.Tag{customerTags[r.IntN(customers)]},
	})
}

// absentProduct asks for tags that begin like those that exist and are in no other way conspicuous.
func absentProduct(h History, r *rand.Rand) opossum.Query {
	return opossum.ByTags(productTag(h.products() + r.IntN(h.Events)))
}

func region(_ History, r *rand.Rand) opossum.Query {
	return opossum.ByTags(regionTags[r.IntN(regions)])
}

func all(ctx context.Context, r Reader, q opossum.Query, yield func(opossum.SequencedEvent)) error {
	return r.Read(ctx, q, 0, yield)
}

func newest10(ctx context.Context, r Reader, q opossum.Query, yield func(opossum.SequencedEvent)) error {
	return r.Read(ctx, q, 10, yield)
}

func last(ctx context.Context, r Reader, q opossum.Query, yield func(opossum.SequencedEvent)) error {
	e, err := r.Last(ctx, q)
	if err == nil {
		yield(e)
	}
	return err
}

func refuse(ctx context.Context, r Reader, q opossum.Query, _ func(opossum.SequencedEvent)) error {
	return r.Refuse(ctx, q)
}

// How many queries are asked in turn. Many: enough that no cache of some answers would do, and few enough that what they need is
// warm when it is measured. Few: where an answer takes long, and of slow ways when answers are compared.
const (
	many = 500
	few  = 5
)

// Queries draws the queries of the operation. The same history gives the same.
func (o ReadOperation) Queries(h History) []opossum.Query {
	r := rand.New(rand.NewPCG(h.Workload.Seed, 0))
	queries := make([]opossum.Query, o.draws)
	for i := range queries {
		queries[i] = o.draw(h, r)
	}
	return queries
}

// answer asks r and makes an error of every answer of the wrong kind.
func (o ReadOperation) answer(ctx context.Context, r Reader, q opossum.Query, yield func(opossum.SequencedEvent)) error {
	err := o.do(ctx, r, q, yield)
	if o.want == nil && err == nil || o.want != nil && errors.Is(err, o.want) {
		return nil
	}
	return fmt.Errorf("%s, %v: the answer is %v, want %v", o.Name, q.Items(), err, o.want)
}

// ReadResult is what one operation showed in one round. Allocations are those of the whole process.
type ReadResult struct {
	Reads      int           `json:"reads"`
	Events     int           `json:"events"` // in all answers together
	Elapsed    time.Duration `json:"elapsed_ns"`
	P50        time.Duration `json:"p50_ns"` // latency of a read: from the question to the last event of the answer
	P99        time.Duration `json:"p99_ns"`
	Max        time.Duration `json:"max_ns"`
	Allocs     uint64        `json:"allocs"`
	AllocBytes uint64        `json:"alloc_bytes"`
}

// Rate returns events per second.
func (r ReadResult) Rate() float64 { return float64(r.Events) / r.Elapsed.Seconds() }

// Measure asks r the queries in turn, one after the other, for at least the time of limit and at least once. A
// fifth of it runs before, to warm up.
func (o ReadOperation) Measure(ctx context.Context, r Reader, queries []opossum.Query, limit time.Duration) (ReadResult, error) {
	if _, err := o.ask(ctx, r, queries, limit/5); err != nil {
		return ReadResult{}, err
	}
	return o.ask(ctx, r, queries, limit)
}

func (o ReadOperation) ask(ctx context.Context, r Reader, queries []opossum.Query, limit time.Duration) (result ReadResult, err error) {
	latencies := hdrhistogram.New(1, int64(10*time.Minute), 3)
	yield := func(opossum.SequencedEvent) { result.Events++ }
	runtime.GC() // what earlier reads left behind is not collected at this one's cost
	used, start := readUsage(), time.Now()
	for result.Elapsed < limit || result.Reads == 0 {
		if ctx.Err() != nil {
			return result, context.Cause(ctx)
		}
		before := time.Now()
		err := o.answer(ctx, r, queries[result.Reads%len(queries)], yield)
		after := time.Now()
		if err = errors.Join(err, latencies.RecordValue(int64(after.Sub(before)))); err != nil {
			return result, err
		}
		result.Reads++
		result.Elapsed = after.Sub(start)
	}
	used = readUsage().since(used)
	result.Allocs, result.AllocBytes = used.allocs, used.allocBytes
	result.P50 = time.Duration(latencies.ValueAtQuantile(50))
	result.P99 = time.Duration(latencies.ValueAtQuantile(99))
	result.Max = time.Duration(latencies.Max())
	return result, nil
}
