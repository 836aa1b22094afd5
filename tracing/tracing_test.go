package tracing_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"opossum"
	"opossum/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctxb = context.Background()

// recorder keeps the spans that ended.
func recorder(opts ...sdk.TracerProviderOption) (*tracetest.SpanRecorder, *sdk.TracerProvider) {
	r := tracetest.NewSpanRecorder()
	return r, sdk.NewTracerProvider(append(opts, sdk.WithSpanProcessor(r))...)
}

func openStore(t testing.TB, tp trace.TracerProvider, attrs ...attribute.KeyValue) *opossum.Engine {
	t.Helper()
	o := &opossum.Options{Flush: opossum.FlushDisabled}
	if tp != nil {
		o.Tracer = tracing.New(tp, attrs...)
	}
	e, err := opossum.Open(filepath.Join(t.TempDir(), "store"), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

func event(tags ...opossum.Tag) opossum.Event { return opossum.Event{Type: "T", Tags: tags} }

// want is what a span should say, beside the attributes that all have.
type want struct {
	name, operation string
	attrs           []attribute.KeyValue
	status          sdk.Status
	events          []string // their names
}

func TestSpansSayWhatHappened(t *testing.T) {
	r, tp := recorder()
	sales := attribute.String("opossum.context", "sales")
	e := openStore(t, tp, sales)
	tagged := &opossum.Condition{FailIfExists: opossum.ByTags("a")}
	ended, cancel := context.WithCancel(ctxb)
	read := func(ctx context.Context, q opossum.Query) *opossum.View {
		v, err := e.Read(ctx, q, opossum.ReadOptions{})
		require.NoError(t, err)
		return v
	}
	failed := func(err error) sdk.Status { return sdk.Status{Code: codes.Error, Description: err.Error()} }

	for _, step := range []struct {
		name string
		do   func(*testing.T) want
	}{
		{"append", func(t *testing.T) want {
			_, err := e.Append(ctxb, []opossum.Event{event("a"), event(), event()}, nil)
			require.NoError(t, err)
			return want{name: "EventStore.Append", operation: "append", attrs: []attribute.KeyValue{
				attribute.Int("opossum.event_count", 3), attribute.Int64("opossum.position", 3),
			}}
		}},
		{"an append that exists", func(t *testing.T) want {
			_, err := e.Append(ctxb, []opossum.Event{event("a"), event()}, tagged)
			require.ErrorIs(t, err, opossum.ErrAlreadyExists)
			return want{name: "EventStore.Append", operation: "append", attrs: []attribute.KeyValue{
				attribute.Int("opossum.event_count", 2), attribute.Bool("opossum.append.conflict", true),
			}}
		}},
		{"an append that came too late", func(t *testing.T) want {
			_, err := e.Append(ctxb, []opossum.Event{event("a")}, &opossum.Condition{FailIfMatch: opossum.ByTags("a")})
			require.ErrorIs(t, err, opossum.ErrConditionFailed)
			return want{name: "EventStore.Append", operation: "append", attrs: []attribute.KeyValue{
				attribute.Int("opossum.event_count", 1), attribute.Bool("opossum.append.conflict", true),
			}}
		}},
		{"an append that is invalid", func(t *testing.T) want {
			_, err := e.Append(ctxb, []opossum.Event{{}}, nil)
			require.ErrorIs(t, err, opossum.ErrInvalidEvent)
			return want{name: "EventStore.Append", operation: "append", attrs: []attribute.KeyValue{
				attribute.Int("opossum.event_count", 1),
			}, status: failed(err), events: []string{"exception"}}
		}},
		{"a read", func(t *testing.T) want {
			for _, err := range read(ctxb, opossum.AllEvents()).All() {
				require.NoError(t, err)
			}
			return want{name: "EventStore.Read", operation: "read", attrs: []attribute.KeyValue{attribute.Int("opossum.event_count", 3)}}
		}},
		{"a read of nothing", func(t *testing.T) want {
			for range read(ctxb, opossum.ByTags("b")).All() {
				t.Fatal("an event")
			}
			return want{name: "EventStore.Read", operation: "read", attrs: []attribute.KeyValue{attribute.Int("opossum.event_count", 0)}}
		}},
		{"a read whose loop is left", func(t *testing.T) want {
			for range read(ctxb, opossum.AllEvents()).All() {
				break
			}
			return want{name: "EventStore.Read", operation: "read", attrs: []attribute.KeyValue{attribute.Int("opossum.event_count", 1)}}
		}},
		{"a read whose loop panics", func(t *testing.T) want {
			require.Panics(t, func() {
				for range read(ctxb, opossum.AllEvents()).All() {
					panic("in the body")
				}
			})
			return want{name: "EventStore.Read", operation: "read", attrs: []attribute.KeyValue{attribute.Int("opossum.event_count", 1)}}
		}},
		{"a read whose caller gives up", func(t *testing.T) want {
			v := read(ended, opossum.AllEvents())
			cancel()
			for _, err := range v.All() {
				require.ErrorIs(t, err, context.Canceled)
			}
			return want{name: "EventStore.Read", operation: "read", attrs: []attribute.KeyValue{attribute.Int("opossum.event_count", 0)},
				status: failed(context.Canceled), events: []string{"exception"}}
		}},
		{"the last", func(t *testing.T) want {
			_, err := e.ReadLast(ctxb, opossum.AllEvents())
			require.NoError(t, err)
			return want{name: "EventStore.ReadLast", operation: "read_last", attrs: []attribute.KeyValue{attribute.Int("opossum.event_count", 1)}}
		}},
		{"the last of none", func(t *testing.T) want {
			_, err := e.ReadLast(ctxb, opossum.ByTags("b"))
			require.ErrorIs(t, err, opossum.ErrNotFound)
			return want{name: "EventStore.ReadLast", operation: "read_last", attrs: []attribute.KeyValue{attribute.Int("opossum.event_count", 0)}}
		}},
	} {
		t.Run(step.name, func(t *testing.T) {
			r.Reset()
			want := step.do(t)
			require.Len(t, r.Started(), 1)
			require.Len(t, r.Ended(), 1)
			span := r.Ended()[0]
			require.Equal(t, want.name, span.Name())
			require.Equal(t, tracing.Scope, span.InstrumentationScope().Name)
			require.ElementsMatch(t, append([]attribute.KeyValue{
				sales, attribute.String("db.system.name", "opossum"), attribute.String("db.operation.name", want.operation),
				attribute.String("opossum.store", e.Dir()),
			}, want.attrs...), span.Attributes())
			require.Equal(t, want.status, span.Status())
			var events []string
			for _, e := range span.Events() {
				events = append(events, e.Name)
			}
			require.Equal(t, want.events, events)
			require.Equal(t, trace.SpanKindInternal, span.SpanKind())
			require.False(t, span.Parent().IsValid(), "nobody asked")
		})
	}
}

func TestSpansAreChildrenOfTheirCallers(t *testing.T) {
	r, tp := recorder()
	e := openStore(t, tp)
	ctx, parent := tp.Tracer("of the program").Start(ctxb, "request")
	_, err := e.Append(ctx, []opossum.Event{event()}, nil)
	require.NoError(t, err)
	v, err := e.Read(ctx, opossum.AllEvents(), opossum.ReadOptions{})
	require.NoError(t, err)
	for range v.All() {
		_, err := e.ReadLast(ctx, opossum.AllEvents())
		require.NoError(t, err)
	}
	parent.End()
	var ended []string
	for _, span := range r.Ended() {
		ended = append(ended, span.Name())
		if span.Name() != "request" {
			require.Equal(t, parent.SpanContext(), span.Parent(), span.Name())
		}
	}
	require.Equal(t, []string{"EventStore.Append", "EventStore.ReadLast", "EventStore.Read", "request"}, ended)
}

// samples looks at what a sampler is given.
type samples struct {
	seen   []attribute.KeyValue
	parent trace.SpanContext
}

func (s *samples) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	s.seen, s.parent = p.Attributes, trace.SpanContextFromContext(p.ParentContext)
	return sdk.SamplingResult{Decision: sdk.Drop}
}

func (s *samples) Description() string { return "drops" }

func TestSamplersKnowWhatBegins(t *testing.T) {
	s := new(samples)
	r, tp := recorder(sdk.WithSampler(s))
	e := openStore(t, tp)
	_, err := e.Append(ctxb, []opossum.Event{event(), event()}, nil)
	require.NoError(t, err)
	require.Contains(t, s.seen, attribute.String("db.operation.name", "append"))
	require.Contains(t, s.seen, attribute.String("opossum.store", e.Dir()))
	require.Contains(t, s.seen, attribute.Int("opossum.event_count", 2))
	require.Empty(t, r.Ended(), "it was dropped")
}

// BenchmarkAppend tells what a tracer adds to an append that is not synced.
func BenchmarkAppend(b *testing.B) {
	_, dropping := recorder(sdk.WithSampler(sdk.NeverSample()))
	for _, p := range []struct {
		name string
		tp   trace.TracerProvider
	}{{"none", nil}, {"noop", noop.NewTracerProvider()}, {"dropping", dropping}} {
		b.Run(p.name, func(b *testing.B) {
			e := openStore(b, p.tp)
			events := []opossum.Event{event("a")}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Append(ctxb, events, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTracer is the tracer alone.
func BenchmarkTracer(b *testing.B) {
	tr := tracing.New(noop.NewTracerProvider())
	op := opossum.Operation{Name: opossum.OperationAppend, Store: "/s", Events: 1}
	b.ReportAllocs()
	for b.Loop() {
		tr.Start(ctxb, op)(opossum.Outcome{Events: 1, Position: 1})
	}
}
