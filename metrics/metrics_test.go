package metrics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"opossum"
	buckets "opossum/internal/histogram"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctxb = context.Background()

// fixed is a source that always says the same.
type fixed opossum.Metrics

func (f fixed) Metrics() opossum.Metrics { return opossum.Metrics(f) }

// sample has another value in each field.
func sample() opossum.Metrics {
	return opossum.Metrics{
		Assigned: 105, Visible: 104, Durable: 103, Indexed: 102, Materialized: 101,
		Flush: opossum.FlushCount, GroupWait: 1500 * time.Microsecond,
		Appends: 11, Events: 12, Bytes: 13, Rejected: 14, Repeated: 15, Returned: 16,
		Groups:     opossum.Sizes{Count: 7, Sum: 5000, P50: 1, P90: 2, P99: 3, Max: 4000, Buckets: []buckets.Bucket[int64]{{UpTo: 1, Count: 3}, {UpTo: 1024, Count: 6}}},
		CommitTime: 2500 * time.Millisecond, Stalled: 3 * time.Second,
		Flushes: opossum.Latencies{Count: 9, Sum: 4250 * time.Millisecond, Max: 3 * time.Second, Buckets: []buckets.Bucket[time.Duration]{
			{UpTo: 100 * time.Microsecond, Count: 0}, {UpTo: 2500 * time.Microsecond, Count: 5}, {UpTo: time.Second, Count: 8},
		}},
		FlushedEvents: 21, FlushedBytes: 22, LastFlush: time.Unix(1_700_000_000, 250_000_000), FlushFailures: 23, LastFlushError: errors.New("EIO"),
		LagEvents: 31, LagBytes: 32, LagTime: 333 * time.Millisecond, Held: 34,
		RecentBytes: 41, RecentBudget: 141, PlacesBytes: 142, CacheBytes: 143, CacheBudget: 144, CacheHits: 145, CacheMisses: 146, OpenPacks: 147, Segments: 42, SegmentBytes: 43, Seals: 44, Merges: 45, Rebuilt: 46,
		Files: 51, Packs: 151, PackedEvents: 152, Checkpoints: 52, Generations: 53, Rotations: 54, Trimmed: 55, FilingStalled: true,
		LogReads: 61, FileReads: 62, Subscriptions: 63,
		Poisoned: true, DiskFull: true,
	}
}

// registry returns one with the collectors.
func registry(t testing.TB, collectors ...prometheus.Collector) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	for _, c := range collectors {
		require.NoError(t, r.Register(c))
	}
	return r
}

// values returns what is gathered, by name, as text.
func values(t testing.TB, r prometheus.Gatherer) map[string]string {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	out := make(map[string]string)
	for _, f := range families {
		out[f.GetName()] = fmt.Sprint(f.GetType(), f.GetMetric())
	}
	return out
}

// What Prometheus gets is in testdata/sample.prom, each value of it put there by hand in sample.
func TestWhatPrometheusGets(t *testing.T) {
	want, err := os.Open(filepath.Join("testdata", "sample.prom"))
	require.NoError(t, err)
	defer want.Close()
	r := registry(t, NewCollector(fixed(sample()), prometheus.Labels{"context": "sales"}))
	require.NoError(t, testutil.GatherAndCompare(r, want))
}

func TestConventions(t *testing.T) {
	problems, err := testutil.CollectAndLint(NewCollector(fixed(sample()), nil))
	require.NoError(t, err)
	require.Equal(t, []promlint.Problem(nil), problems)
	seen := map[string]bool{}
	for _, r := range rows {
		require.True(t, strings.HasPrefix(r.name, "opossum_"), r.name)
		require.False(t, seen[r.name], "%s is there twice", r.name)
		seen[r.name] = true
		require.Equal(t, r.kind == counter, strings.HasSuffix(r.name, "_total"), r.name)
		require.Equal(t, r.kind == info, strings.HasSuffix(r.name, "_info"), r.name)
		base := strings.TrimSuffix(r.name, "_total")
		require.Equal(t, strings.HasPrefix(r.unit, "seconds"), strings.HasSuffix(base, "_seconds"), r.name)
		require.Equal(t, r.unit == "bytes", strings.HasSuffix(base, "_bytes"), r.name)
	}
}

// Each field of opossum.Metrics moves its own metric and no other; those in unexported move none.
func TestEachFieldIsOneMetric(t *testing.T) {
	nothing := values(t, registry(t, NewCollector(fixed{}, nil)))
	exported := map[string]string{}
	for _, r := range rows {
		require.NotContains(t, exported, r.field, "a field has one metric")
		exported[r.field] = r.name
	}
	fields := reflect.TypeFor[opossum.Metrics]()
	for i := range fields.NumField() {
		f := fields.Field(i)
		t.Run(f.Name, func(t *testing.T) {
			var m opossum.Metrics
			switch v := reflect.ValueOf(&m).Elem().Field(i).Addr().Interface().(type) {
			case *opossum.Position:
				*v = 7
			case *opossum.Flush:
				*v = opossum.FlushCount
			case *time.Duration:
				*v = time.Minute
			case *time.Time:
				*v = time.Unix(7, 0)
			case *uint64:
				*v = 7
			case *int64:
				*v = 7
			case *int:
				*v = 7
			case *bool:
				*v = true
			case *error:
				*v = errors.New("EIO")
			case *opossum.Sizes:
				v.Count, v.Sum = 1, 7
			case *opossum.Latencies:
				v.Count, v.Sum = 1, time.Minute
			case *[]opossum.SegmentTier:
				*v = []opossum.SegmentTier{{Segments: 7}}
			default:
				t.Fatalf("a new kind of field: %T", v)
			}
			var moved []string
			for name, value := range values(t, registry(t, NewCollector(fixed(m), nil))) {
				if value != nothing[name] {
					moved = append(moved, name)
				}
			}
			if unexported[f.Name] != "" {
				require.Empty(t, moved)
				return
			}
			require.Equal(t, []string{exported[f.Name]}, moved)
		})
		delete(exported, f.Name)
	}
	require.Empty(t, exported, "metrics of fields that do not exist")
}

func TestSeveralEnginesShareARegistry(t *testing.T) {
	a, b := sample(), sample()
	b.Appends = 99
	single := registry(t,
		NewCollector(fixed(a), prometheus.Labels{"context": "a"}),
		NewCollector(fixed(b), prometheus.Labels{"context": "b"}))
	require.Error(t, single.Register(NewCollector(fixed(b), prometheus.Labels{"context": "b"})), "twice the same labels")
	contexts := map[string]fixed{"a": fixed(a), "b": fixed(b)}
	together := registry(t, NewContextsCollector(maps.All(contexts), nil))
	require.Equal(t, values(t, single), values(t, together), "two ways to say the same")
	delete(contexts, "a")
	require.Equal(t, values(t, registry(t, NewCollector(fixed(b), prometheus.Labels{"context": "b"}))), values(t, together))

	problems, err := testutil.CollectAndLint(NewContextsCollector(maps.All(contexts), prometheus.Labels{"host": "h"}))
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestAContextThatCannotBeToldApartFailsTheScrape(t *testing.T) {
	for name, names := range map[string][]string{"not UTF-8": {"\xff"}, "twice": {"a", "a"}} {
		t.Run(name, func(t *testing.T) {
			r := registry(t, NewContextsCollector(func(yield func(string, fixed) bool) {
				for _, n := range names {
					if !yield(n, fixed(sample())) {
						return
					}
				}
			}, nil))
			_, err := r.Gather()
			require.Error(t, err)
		})
	}
}

func TestNoFlushIsNotOneOfLongAgo(t *testing.T) {
	r := registry(t, NewCollector(fixed{}, nil))
	require.Contains(t, values(t, r)["opossum_last_flush_timestamp_seconds"], "gauge:{value:0}")
}

// counted counts how often it is asked.
type counted struct {
	opossum.Metrics
	calls int
}

func (c *counted) metrics() opossum.Metrics { c.calls++; return c.Metrics }

// asked makes a source of a method.
type asked func() opossum.Metrics

func (a asked) Metrics() opossum.Metrics { return a() }

func TestAScrapeIsOneLook(t *testing.T) {
	c := new(counted)
	r := registry(t, NewCollector(asked(c.metrics), nil))
	require.Zero(t, c.calls, "to register is not to scrape")
	_, err := r.Gather()
	require.NoError(t, err)
	require.Equal(t, 1, c.calls)
}

func TestAnEngineCanBeScrapedUnderLoad(t *testing.T) {
	e, err := opossum.Open(t.TempDir(), &opossum.Options{Flush: opossum.FlushPeriodic})
	require.NoError(t, err)
	defer e.Close()
	r := registry(t, NewCollector(e, nil))
	const writers, each = 4, 200
	var load, scrapes sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		scrapes.Go(func() {
			for last := 0.0; ; {
				families, err := r.Gather()
				if err != nil {
					t.Error(err)
					return
				}
				for _, f := range families {
					switch f.GetName() {
					case "opossum_appends_total":
						now := f.GetMetric()[0].GetCounter().GetValue()
						if now < last {
							t.Errorf("a counter fell from %v to %v", last, now)
						}
						last = now
					case "opossum_group_size_appends", "opossum_flush_duration_seconds":
						h := f.GetMetric()[0].GetHistogram()
						below := uint64(0)
						for _, b := range h.GetBucket() {
							if b.GetCumulativeCount() < below || b.GetCumulativeCount() > h.GetSampleCount() {
								t.Errorf("%s is not cumulative: %v", f.GetName(), h)
							}
							below = b.GetCumulativeCount()
						}
					}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range writers {
		load.Go(func() {
			for range each {
				if _, err := e.Append(ctxb, []opossum.Event{{Type: "T"}}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	load.Wait()
	close(stop)
	scrapes.Wait()
	require.NoError(t, testutil.GatherAndCompare(r, strings.NewReader(fmt.Sprintf(`
# HELP opossum_appends_total Appends committed.
# TYPE opossum_appends_total counter
opossum_appends_total %d
`, writers*each)), "opossum_appends_total"))
}

// An engine that does not append any more, or never did, can be looked at all the same.
func TestEnginesThatDoNotAppend(t *testing.T) {
	dir := t.TempDir()
	e, err := opossum.Open(dir, nil)
	require.NoError(t, err)
	_, err = e.Append(ctxb, []opossum.Event{{Type: "T"}, {Type: "T"}}, nil)
	require.NoError(t, err)
	reader, err := opossum.Open(dir, &opossum.Options{ReadOnly: true})
	require.NoError(t, err)
	defer reader.Close()
	ofReader := registry(t, NewCollector(reader, nil))
	head := func(p int) string {
		return fmt.Sprintf("# HELP opossum_visible_position Highest readable position: the head.\n# TYPE opossum_visible_position gauge\nopossum_visible_position %d\n", p)
	}
	require.NoError(t, testutil.GatherAndCompare(ofReader, strings.NewReader(head(2)), "opossum_visible_position"))
	require.Len(t, values(t, ofReader), len(rows))

	of := registry(t, NewCollector(e, nil))
	require.NoError(t, e.Close())
	require.NoError(t, testutil.GatherAndCompare(of, strings.NewReader(head(2)), "opossum_visible_position"))
	require.Len(t, values(t, of), len(rows))
	require.NoError(t, reader.Close())
	require.Len(t, values(t, ofReader), len(rows))
}

// pageRow is a row of the table in docs/metrics.md, for a metric.
func pageRow(r row) string {
	unit := r.unit
	if r.kind == info {
		unit = "label `" + unit + "`"
	}
	return fmt.Sprintf("| `%s` | `%s` | %s | %s | %s |", r.field, r.name, r.kind, unit, r.help)
}

// The page has a row for every metric, in their order, and one for every field that is none; and no others.
func TestThePageListsEveryMetric(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "metrics.md"))
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(page), "<!-- metrics")
	require.True(t, ok)
	table, _, ok = strings.Cut(table, "<!-- end of metrics -->")
	require.True(t, ok)
	var listed, want []string
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| `") {
			listed = append(listed, strings.TrimSpace(line))
		}
	}
	for _, r := range rows {
		want = append(want, pageRow(r))
	}
	for _, field := range slices.Sorted(maps.Keys(unexported)) {
		want = append(want, fmt.Sprintf("| `%s` | | | | %s |", field, unexported[field]))
	}
	require.Equal(t, want, listed)
}
