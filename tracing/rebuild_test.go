package tracing_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"opossum"
	"opossum/projection"
	"opossum/tracing"
)

func TestSpansOfRebuilds(t *testing.T) {
	r, tp := recorder()
	e := openStore(t, nil)
	for range 3 {
		_, err := e.Append(ctxb, []opossum.Event{event("a")}, nil)
		require.NoError(t, err)
	}
	require.NoError(t, e.Sync(ctxb)) // only what is durable enters
	runner, err := e.Projections(&projection.Options{
		Stores: projection.Memory(), AtStart: projection.RebuildNone, Attempts: 1, BudgetBytes: 1, MinDelay: time.Microsecond, MaxDelay: time.Microsecond,
		Tracer: tracing.NewRebuilds(tp, attribute.String("opossum.context", "sales")),
	})
	require.NoError(t, err)
	defer runner.Close()
	fails := atomic.Bool{}
	fails.Store(true)
	count := 0
	_, err = projection.Add(runner, projection.Definition[int]{
		Name: "counts", Version: 1, Query: opossum.AllEvents(), Key: func(opossum.SequencedEvent) string { return "all" },
		Apply: func(s *int, e projection.Event) (*int, error) {
			if e.Position == 3 && fails.Load() {
				return nil, errors.New("odd")
			}
			count++
			return &count, nil
		},
	})
	require.NoError(t, err)
	ctx, parent := tp.Tracer("test").Start(context.Background(), "parent")
	failed := runner.Rebuild(ctx, projection.Rebuilding{})
	require.Error(t, failed)
	fails.Store(false)
	require.NoError(t, runner.Rebuild(ctx, projection.Rebuilding{Unfit: true}))
	parent.End()

	same := []attribute.KeyValue{
		attribute.String("db.system.name", "opossum"), attribute.String("db.operation.name", "rebuild"), attribute.String("opossum.context", "sales"),
		attribute.String("opossum.projection", "counts"),
	}
	spans := r.Ended()[:2]
	for i, want := range []struct {
		attrs  []attribute.KeyValue
		status codes.Code
	}{
		{[]attribute.KeyValue{
			attribute.Bool("opossum.rebuild.resumed", false), attribute.Int64("opossum.position", 2), attribute.Int64("opossum.events_processed", 2),
		}, codes.Error},
		{[]attribute.KeyValue{
			attribute.Bool("opossum.rebuild.resumed", true), attribute.Int64("opossum.rebuild.resume_from", 2), attribute.Int64("opossum.position", 3),
			attribute.Int64("opossum.events_processed", 3),
		}, codes.Unset},
	} {
		require.Equal(t, "Projection.Rebuild", spans[i].Name())
		require.ElementsMatch(t, append(append([]attribute.KeyValue{}, same...), want.attrs...), spans[i].Attributes())
		require.Equal(t, want.status, spans[i].Status().Code)
		require.Equal(t, parent.SpanContext().SpanID(), spans[i].Parent().SpanID())
	}
}
