package harness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"

	"opossum"
)

// AskJob asks a store that a [SustainedJob] has left in the directory store of the job's all that [Questions] can ask. First the answers are verified as far as that costs
// no second copy of them.
type AskJob struct {
	Acknowledged int           `json:"acknowledged"` // at least so many events must be there
	Time         time.Duration `json:"time_ns"`      // of each question, warm
	Cold         int           `json:"cold"`         // times at most that each is asked cold: of a store that was just opened, when the system has forgotten what it had read
	Mixed        time.Duration `json:"mixed_ns"`     // of the mixed load
}

// AskResult is what the answers cost. Answers are in the order of [Questions].
type AskResult struct {
	Head    int       `json:"head"`
	Answers []Answer  `json:"answers"`
	Mixed   MixedRead `json:"mixed"`
	Missing string    `json:"missing,omitempty"` // why nothing was asked cold
}

// Answer is what one question cost.
type Answer struct {
	Warm ReadResult  `json:"warm"`
	Cold *ReadResult `json:"cold,omitempty"`
}

// MixedRead is what the mixed load showed: four readers who ask for students, tags that nobody has and the newest thousand of a type, and one who reads everything, over and over.
type MixedRead struct {
	Reads   int           `json:"reads"`
	Events  int           `json:"events"`
	Elapsed time.Duration `json:"elapsed_ns"`
	Most    uint64        `json:"most_anon_bytes"` // of what was looked at meanwhile
	Memory  Resident      `json:"memory"`          // in the end
}

// Question is one kind of question. Each time another one is drawn.
type Question struct {
	Name string // short, no spaces
	What string // one line for people

	draw func(r *rand.Rand) opossum.Query
	do   func(ctx context.Context, r Reader, q opossum.Query, yield func(opossum.SequencedEvent)) error
}

// Questions returns all of them, in the order of the table.
func Questions() []Question {
	return []Question{
		{"last", "ReadLast, a student", oneStudent, lastIfAny},
		{"student", "all events of a student", oneStudent, all},
		{"absent", "a tag that no event has, by Read with limit 1", nobody, newest1},
		{"type", "all events of a type, one of four", oneType, all},
		{"scan", "all events", func(*rand.Rand) opossum.Query { return opossum.AllEvents() }, all},
	}
}

func oneStudent(r *rand.Rand) opossum.Query { return opossum.ByTags(studentTag(r.IntN(students))) }

func oneType(r *rand.Rand) opossum.Query { return opossum.ByTypes(types[r.IntN(len(types))]) }

// nobody asks for a tag among those of writers who exist, and in no other way conspicuous, but with a number that none of them reaches.
func nobody(r *rand.Rand) opossum.Query {
	return opossum.ByTags(opossum.Tag(ownTag(r.IntN(8)) + strconv.Itoa(1_000_000_000+r.IntN(1_000_000_000))))
}

// lastIfAny takes it for an answer that there is none: in a small store a student may have no event.
func lastIfAny(ctx context.Context, r Reader, q opossum.Query, yield func(opossum.SequencedEvent)) error {
	if err := last(ctx, r, q, yield); !errors.Is(err, opossum.ErrNotFound) {
		return err
	}
	return nil
}

func newest1(ctx context.Context, r Reader, q opossum.Query, yield func(opossum.SequencedEvent)) error {
	return r.Read(ctx, q, 1, yield)
}

func (j AskJob) measure(ctx context.Context, root string, way Way) (result *AskResult, err error) {
	if err := readThrough(filepath.Join(root, historyStore)); err != nil {
		return nil, err
	}
	if result, err = j.askWarm(ctx, root, way); err != nil {
		return nil, err
	}
	for i, q := range Questions() {
		cold, missing, err := j.askCold(ctx, root, way, q)
		if err != nil {
			return nil, err
		}
		result.Answers[i].Cold, result.Missing = cold, missing
	}
	return result, nil
}

func (j AskJob) askWarm(ctx context.Context, root string, way Way) (result *AskResult, err error) {
	s, err := way.openStore(root)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	result = &AskResult{Head: int(s.Head())}
	if result.Head < j.Acknowledged {
		return nil, fmt.Errorf("%s has %d events, and %d were acknowledged", way.Name, result.Head, j.Acknowledged)
	}
	if err := verifyAnswers(ctx, storeReader{s}); err != nil {
		return nil, fmt.Errorf("%s answers wrongly: %w", way.Name, err)
	}
	for i, q := range Questions() {
		random, warm := rand.New(rand.NewPCG(1, uint64(i))), newTally()
		for warm.Elapsed < j.Time || warm.Reads == 0 {
			if err := warm.ask(ctx, storeReader{s}, q, random); err != nil {
				return nil, err
			}
		}
		result.Answers = append(result.Answers, Answer{Warm: warm.result()})
	}
	result.Mixed, err = j.mixed(ctx, s, filepath.Join(root, historyStore))
	return result, err
}

// coldEnough is how long all answers to a question together may take before it is asked again, cold.
const coldEnough = time.Second

// askCold asks a store each time that was just opened, so that it knows nothing by heart, either: what is mapped is not forgotten otherwise.
func (j AskJob) askCold(ctx context.Context, root string, way Way, q Question) (cold *ReadResult, missing string, err error) {
	random, all := rand.New(rand.NewPCG(2, 0)), newTally()
	for n := 0; n < j.Cold && all.Elapsed < coldEnough; n++ {
		if err := forgetFiles(); err != nil {
			return nil, err.Error(), nil
		}
		s, err := way.openStore(root)
		if err != nil {
			return nil, "", err
		}
		if err := errors.Join(all.ask(ctx, storeReader{s}, q, random), s.Close()); err != nil {
			return nil, "", err
		}
	}
	sum := all.result()
	return &sum, "", nil
}

// verifyAnswers asks each question and checks that the events of an answer match and come in order, and for everything and for the types, which divide it, also their number.
func verifyAnswers(ctx context.Context, s storeReader) error {
	random := rand.New(rand.NewPCG(0, 0))
	for _, q := range Questions() {
		if _, err := checked(ctx, s, q, q.draw(random)); err != nil {
			return err
		}
	}
	divided := 0
	for _, t := range types {
		n, err := checked(ctx, s, Question{Name: "type", do: all}, opossum.ByTypes(t))
		if err != nil {
			return err
		}
		divided += n
	}
	whole, err := checked(ctx, s, Question{Name: "scan", do: all}, opossum.AllEvents())
	if head := int(s.Head()); err == nil && (whole != head || divided != head) {
		err = fmt.Errorf("%d events in all, %d in those of each type, and the head is %d", whole, divided, head)
	}
	return err
}

// checked returns the number of events in an answer.
func checked(ctx context.Context, r Reader, q Question, query opossum.Query) (events int, err error) {
	var wrong error
	before := opossum.Position(0)
	err = q.do(ctx, r, query, func(e opossum.SequencedEvent) {
		if wrong == nil && (e.Position <= before || !query.Matches(e.Event)) {
			wrong = fmt.Errorf("%s, %v: event %d after %d, of type %s", q.Name, query.Items(), e.Position, before, e.Event.Type)
		}
		before = e.Position
		events++
	})
	if q.Name == "absent" && events > 0 {
		wrong = fmt.Errorf("%v is absent and has %d events", query.Items(), events)
	}
	return events, errors.Join(err, wrong)
}

// tally sums up the answers to one question.
type tally struct {
	ReadResult
	latencies *hdrhistogram.Histogram
}

func newTally() *tally { return &tally{latencies: hdrhistogram.New(1, int64(10*time.Minute), 3)} }

func (t *tally) ask(ctx context.Context, r Reader, q Question, random *rand.Rand) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	query := q.draw(random)
	before := time.Now()
	err := q.do(ctx, r, query, func(opossum.SequencedEvent) { t.Events++ })
	took := time.Since(before)
	t.Reads++
	t.Elapsed += took
	return errors.Join(err, t.latencies.RecordValue(int64(took)))
}

// result tells nothing of allocations.
func (t *tally) result() ReadResult {
	r := t.ReadResult
	r.P50, r.P99, r.Max = time.Duration(t.latencies.ValueAtQuantile(50)), time.Duration(t.latencies.ValueAtQuantile(99)), time.Duration(t.latencies.Max())
	return r
}

const (
	mixedReaders = 4
	mixedNewest  = 1_000
)

// mixed is the load that memory is looked at under.
func (j AskJob) mixed(ctx context.Context, s Store, dir string) (result MixedRead, err error) {
	var reads, events atomic.Int64
	count := func(opossum.SequencedEvent) { events.Add(1) }
	limited, cancel := context.WithTimeout(ctx, j.Mixed)
	defer cancel()
	stop := observe(ctx, s, dir, watchEvery)
	start := time.Now()
	g, limited := errgroup.WithContext(limited)
	until := func(read func() error) {
		g.Go(func() error {
			for limited.Err() == nil {
				if err := read(); err != nil {
					if over := limited.Err(); over != nil && errors.Is(err, over) {
						return nil
					}
					return err
				}
				reads.Add(1)
			}
			return nil
		})
	}
	until(func() error { return s.Read(limited, opossum.AllEvents(), 0, count) })
	for i := range mixedReaders {
		random := rand.New(rand.NewPCG(3, uint64(i)))
		until(func() error {
			switch n := random.IntN(20); {
			case n < 10:
				return lastIfAny(limited, storeReader{s}, oneStudent(random), count)
			case n < 16:
				return s.Read(limited, oneStudent(random), 0, count)
			case n < 19:
				return s.Read(limited, nobody(random), 1, count)
			default:
				return s.Read(limited, oneType(random), mixedNewest, count)
			}
		})
	}
	err = g.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	watched := stop()
	return MixedRead{Reads: int(reads.Load()), Events: int(events.Load()), Elapsed: time.Since(start), Most: watched.Most.Anon, Memory: readResident()}, err
}
