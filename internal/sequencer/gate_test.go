package sequencer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/ledger"
)

// gateFor is a gate over a ledger with three events that are not filed, and no free space but what a test gives it.
func gateFor(limits Limits) (g *gate, free *uint64, failing *error) {
	free, failing = new(uint64), new(error)
	g = &gate{
		limits: limits, ledger: ledger.New(7, 7, 10), hurry: func() {}, excess: func() bool { return false },
		free: func() (uint64, error) { return *free, *failing },
	}
	return g, free, failing
}

func TestRoomIsTheFloorAndWhatTheBacklogWillNeed(t *testing.T) {
	g, free, failing := gateFor(Limits{FloorBytes: 1000})
	g.lagBytes.Store(500)
	const floor = 1000 + 3*(4096+512) + 500
	s := new(Sequencer)
	s.gate.limits, s.gate.ledger, s.gate.free = g.limits, g.ledger, func() (uint64, error) { return floor + 7, nil }
	s.gate.lagBytes.Store(500)
	spare, err := s.Spare()
	require.NoError(t, err)
	require.EqualValues(t, 7, spare)
	*free = floor
	got, want, err := g.look()
	require.NoError(t, err)
	require.EqualValues(t, floor, got)
	require.EqualValues(t, floor, want)
	require.NoError(t, g.room(), "at the floor there is room")

	*free = floor - 1
	require.NoError(t, g.room(), "nobody has looked")
	_, _, err = g.look()
	require.NoError(t, err)
	require.ErrorIs(t, g.room(), dcb.ErrDiskFull)
	held, err := g.enter(t.Context(), nil)
	require.ErrorIs(t, err, dcb.ErrDiskFull)
	require.False(t, held, "nobody stood in a line")
	*free = floor
	require.NoError(t, g.room(), "while it is full, each looks itself")

	*failing = errors.New("no answer")
	_, _, err = g.look()
	require.ErrorIs(t, err, *failing)
	require.ErrorIs(t, g.room(), *failing, "not known is not there")
	*failing = nil
	require.NoError(t, g.room())

	g.noSpace(true)
	require.ErrorIs(t, g.room(), dcb.ErrDiskFull, "whatever is free")
	g.noSpace(false)
	require.NoError(t, g.room())
}

func TestTheLimitsOfLag(t *testing.T) {
	for _, c := range []struct {
		limits Limits
		behind bool
	}{
		{Limits{LagEvents: 4, LagBytes: 501}, false},
		{Limits{LagEvents: 3, LagBytes: 501}, true},
		{Limits{LagEvents: 4, LagBytes: 500}, true},
	} {
		g, _, _ := gateFor(c.limits)
		g.lagBytes.Store(500)
		require.Equal(t, c.behind, g.behind())
		require.Equal(t, c.behind, g.lagging())
	}
	g, _, _ := gateFor(Limits{LagEvents: 4, LagBytes: 501})
	g.excess = func() bool { return true }
	require.False(t, g.behind())
	require.True(t, g.lagging(), "for sealing")
}

// The disk is looked at when so much was written, or so long ago that somebody else may have.
func TestTheCommitterLooksNowAndThen(t *testing.T) {
	looks := 0
	g, free, _ := gateFor(Limits{})
	*free = 1 << 40
	g.free = func() (uint64, error) { looks++; return *free, nil }
	at := now
	g.committed(1, at)
	require.Equal(t, 1, looks, "never looked before")
	g.committed(lookBytes-1, at.Add(lookEvery-1))
	require.Equal(t, 1, looks)
	g.committed(1, at.Add(lookEvery-1))
	require.Equal(t, 2, looks, "so much")
	g.committed(lookBytes-1, at.Add(lookEvery))
	require.Equal(t, 2, looks, "what was seen counts anew, and so does the time")
	g.committed(0, at.Add(2*lookEvery-1))
	require.Equal(t, 3, looks, "so long")
	*free = 0
	g.committed(lookBytes, at.Add(3*lookEvery))
	require.Equal(t, 4, looks)
	require.ErrorIs(t, g.room(), dcb.ErrDiskFull)
	require.Equal(t, 5, looks)
	g.committed(lookBytes, at.Add(9*lookEvery))
	require.Equal(t, 5, looks, "while it is full, those look who want to append")
}

var now = time.Unix(1_700_000_000, 0)

// TestNobodyWhoLeavesTheLineIsCounted: the gate is as if he had never come, and he says truly whether he had been let through.
func TestNobodyWhoLeavesTheLineIsCounted(t *testing.T) {
	g, free, _ := gateFor(Limits{LagEvents: 3, LagBytes: 1 << 40})
	*free = 1 << 40
	quiet := func(context.Context) error { return nil }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	held, err := g.enter(ctx, quiet)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, held)
	require.Zero(t, g.held.Load())
	require.EqualValues(t, 1, g.holds.Load())

	noSync := errors.New("no sync")
	held, err = g.enter(t.Context(), func(context.Context) error { return noSync })
	require.ErrorIs(t, err, noSync)
	require.False(t, held)
	require.Zero(t, g.held.Load())

	// Let through while he gives up: then his room is his to give back.
	held, err = g.enter(t.Context(), func(context.Context) error {
		g.ledger.Advance(ledger.Indexed, 10)
		g.ledger.Advance(ledger.Materialized, 8)
		g.next()
		return noSync
	})
	require.ErrorIs(t, err, noSync)
	require.True(t, held)
	require.EqualValues(t, 1, g.held.Load())
	g.through()
	require.Zero(t, g.held.Load())

	// The disk filled up while he stood in line.
	g.ledger.Advance(ledger.Assigned, 11)
	held, err = g.enter(t.Context(), func(context.Context) error {
		g.ledger.Advance(ledger.Visible, 11)
		g.ledger.Advance(ledger.Durable, 11)
		g.ledger.Advance(ledger.Indexed, 11)
		g.ledger.Advance(ledger.Materialized, 9)
		*free = 0
		_, _, err := g.look()
		return err
	})
	require.ErrorIs(t, err, dcb.ErrDiskFull)
	require.True(t, held)
	g.through()
	*free = 1 << 40
	require.NoError(t, g.room())

	held, err = g.enter(t.Context(), quiet)
	require.NoError(t, err)
	require.False(t, held, "there is room, and no line")

	g.release(dcb.ErrClosed)
	g.release(dcb.ErrPoisoned)
	g.ledger.Advance(ledger.Visible+1, 20)
	held, err = g.enter(t.Context(), quiet)
	require.ErrorIs(t, err, dcb.ErrClosed, "the first reason counts")
	require.NotErrorIs(t, err, dcb.ErrPoisoned)
	require.False(t, held)
	require.Zero(t, g.held.Load())
}

func TestWhoWaitsForFilingIsSentAwayWhenItIsStopped(t *testing.T) {
	g, free, _ := gateFor(Limits{LagEvents: 3, LagBytes: 1 << 40})
	*free = 1 << 40
	s := new(Sequencer)
	s.gate.limits, s.gate.ledger = g.limits, g.ledger
	require.False(t, s.Held(), "behind, but nobody waits")
	s.gate.held.Add(1)
	require.True(t, s.Held())

	answers := make(chan error, 2)
	for range cap(answers) {
		go func() {
			_, err := g.enter(ctxb, func(context.Context) error { return nil })
			answers <- err
		}()
	}
	eventually(t, "both wait", func() bool { return g.held.Load() == 2 })
	g.noSpace(true)
	for range cap(answers) {
		require.ErrorIs(t, get(t, answers), dcb.ErrDiskFull)
	}
	require.Zero(t, g.held.Load())
	g.noSpace(false)
	g.ledger.Advance(ledger.Indexed, 10)
	g.ledger.Advance(ledger.Materialized, 10)
	held, err := g.enter(ctxb, nil)
	require.NoError(t, err)
	require.False(t, held)
}
