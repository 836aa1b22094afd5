// Package scenario runs tables of given, when and then on a real engine: what has happened, what is asked for, what happens or why nothing does.
package scenario

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum"
	"opossum/examples/internal/payload"
)

// Now is the time in every scenario.
var Now = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// Clock returns Now.
func Clock() time.Time { return Now }

// Ago is p some time before now.
func Ago(d time.Duration, p payload.Payload) payload.Payload { return past{p, d} }

type past struct {
	payload.Payload
	ago time.Duration
}

// Run runs one line of a table on a store of its own: given what has happened (now, if it is not wrapped by Ago), when that is asked for, then this happens (now), or nothing does
// and the error is err.
func Run[App any](t *testing.T, name string, app func(store *opossum.Engine) App,
	given []payload.Payload, when func(ctx context.Context, app App) error, then []payload.Payload, err error) {
	t.Run(name, func(t *testing.T) {
		store := Store(t)
		Given(t, store, given...)
		head := store.Head()
		require.ErrorIs(t, when(t.Context(), app(store)), err)
		require.Equal(t, facts(events(t, then)), facts(Events(t, store, opossum.AllEvents(), head)))
	})
}

// Store returns an empty store, which is closed with the test.
func Store(t *testing.T) *opossum.Engine {
	store, err := opossum.Open(t.TempDir(), &opossum.Options{Flush: opossum.FlushDisabled}) // for tests: nobody cuts the power here
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// Given appends what has happened.
func Given(t *testing.T, store *opossum.Engine, payloads ...payload.Payload) {
	for _, e := range events(t, payloads) {
		_, err := store.Append(t.Context(), []opossum.Event{e}, nil)
		require.NoError(t, err)
	}
}

// Events returns what matches q after a position.
func Events(t *testing.T, store *opossum.Engine, q opossum.Query, after opossum.Position) []opossum.Event {
	view, err := store.Read(t.Context(), q, opossum.ReadOptions{After: after})
	require.NoError(t, err)
	var found []opossum.Event
	for e, err := range view.All() {
		require.NoError(t, err)
		found = append(found, e.Event)
	}
	return found
}

// Race lets n commands go at the same moment and returns how many of them succeed. All others must fail for one of the reasons.
func Race(t *testing.T, n int, command func(i int) error, reasons ...error) (won int) {
	errs := make([]error, n)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			errs[i] = command(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		require.True(t, slices.ContainsFunc(reasons, func(reason error) bool { return errors.Is(err, reason) }), "%v", err)
	}
	return won
}

// Happened returns the events of what has happened, now or [Ago], for projection.Fold.
func Happened(t *testing.T, payloads ...payload.Payload) []opossum.Event { return events(t, payloads) }

func events(t *testing.T, payloads []payload.Payload) []opossum.Event {
	var all []opossum.Event
	for _, p := range payloads {
		at := Now
		if before, ok := p.(past); ok {
			p, at = before.Payload, Now.Add(-before.ago)
		}
		one, err := payload.Events(at, p)
		require.NoError(t, err)
		all = append(all, one...)
	}
	return all
}

// fact is what counts of an event, in a form that is readable when a test fails.
type fact struct {
	Type, Data string
	Tags       []opossum.Tag
	Time       time.Time
}

func facts(events []opossum.Event) []fact {
	out := make([]fact, len(events))
	for i, e := range events {
		out[i] = fact{e.Type, string(e.Data), e.Tags, e.Time}
	}
	return out
}
