package opossum

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// tracer keeps what it is told.
type tracer struct {
	mu    sync.Mutex
	begun int
	ended []traced
}

type traced struct {
	Operation
	Outcome
	ctx context.Context
}

func (tr *tracer) Start(ctx context.Context, op Operation) func(Outcome) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.begun++
	return func(out Outcome) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.ended = append(tr.ended, traced{op, out, ctx})
	}
}

// last returns what ended last, and wants all that began to have ended.
func (tr *tracer) last(t *testing.T) traced {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	require.Len(t, tr.ended, tr.begun)
	return tr.ended[tr.begun-1]
}

func TestATracerSeesOperationsBeginAndEnd(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		tr, dir := new(tracer), t.TempDir()
		e := openStore(t, dir, &Options{Tracer: tr}, hooks{})
		type key struct{}
		ctx := context.WithValue(ctxb, key{}, "of the caller")

		p, err := e.Append(ctx, []Event{event("T", "a"), event("T"), event("U")}, nil)
		require.NoError(t, err)
		got := tr.last(t)
		require.Equal(t, Operation{Name: OperationAppend, Store: e.Dir(), Events: 3}, got.Operation)
		require.Equal(t, Outcome{Events: 3, Position: p}, got.Outcome)
		require.Equal(t, "of the caller", got.ctx.Value(key{}))

		_, err = e.Append(ctx, []Event{event("T")}, &Condition{FailIfExists: ByTags("a")})
		require.ErrorIs(t, err, ErrAlreadyExists)
		got = tr.last(t)
		require.Equal(t, Outcome{Err: err}, got.Outcome)

		if readOnly {
			require.NoError(t, e.Close())
			e = openStore(t, dir, &Options{Tracer: tr, ReadOnly: true}, hooks{})
		}
		v, err := e.Read(ctx, ByTypes("T"), ReadOptions{})
		require.NoError(t, err)
		require.Equal(t, OperationAppend, tr.last(t).Name, "a read begins when its events are asked for")
		for range v.All() {
			require.NotEqual(t, tr.begun, len(tr.ended))
		}
		got = tr.last(t)
		require.Equal(t, Operation{Name: OperationRead, Store: e.Dir()}, got.Operation)
		require.Equal(t, Outcome{Events: 2}, got.Outcome)

		v, err = e.Read(ctx, AllEvents(), ReadOptions{})
		require.NoError(t, err)
		for range v.All() {
			break
		}
		require.Equal(t, Outcome{Events: 1}, tr.last(t).Outcome, "where the loop ended")

		v, err = e.Read(ctx, AllEvents(), ReadOptions{})
		require.NoError(t, err)
		require.Panics(t, func() {
			for range v.All() {
				panic("in the body of the loop")
			}
		})
		require.Equal(t, 1, tr.last(t).Outcome.Events, "even so")

		_, err = e.ReadLast(ctx, ByTypes("T"))
		require.NoError(t, err)
		got = tr.last(t)
		require.Equal(t, OperationReadLast, got.Name)
		require.Equal(t, Outcome{Events: 1}, got.Outcome)

		ended, cancel := context.WithCancelCause(ctx)
		v, err = e.Read(ended, AllEvents(), ReadOptions{})
		require.NoError(t, err)
		cancel(errors.New("enough"))
		for _, err := range v.All() {
			require.ErrorIs(t, err, context.Canceled)
		}
		require.ErrorIs(t, tr.last(t).Err, context.Canceled)
	}
}
