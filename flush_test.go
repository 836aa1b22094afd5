package opossum

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/internal/sequencer"
)

func TestEachStrategyIsAPolicy(t *testing.T) {
	const interval, every, wait = time.Second, 7, time.Millisecond
	for f, want := range map[Flush]sequencer.FlushPolicy{
		FlushBatch:     {Every: 1, GroupWait: wait},
		FlushImmediate: {Every: 1, Alone: true},
		FlushPeriodic:  {Every: math.MaxUint64, Interval: interval},
		FlushCount:     {Every: every, Interval: interval},
		FlushDisabled:  {Every: math.MaxUint64, Interval: sequencer.Never},
		FlushAuto:      {Every: 1, GroupWait: wait},
	} {
		p := Options{Flush: f, FlushInterval: interval, FlushEvery: every, GroupWait: wait}.policy()
		require.Equal(t, want, p, f)
		require.Equal(t, f == FlushPeriodic || f == FlushCount || f == FlushDisabled, p.Relaxed(), f)
	}
	require.False(t, Options{Flush: FlushCount, FlushEvery: 1}.policy().Relaxed(), "a sync before every event")
}

func TestStrategiesHaveNames(t *testing.T) {
	for f := range flushes {
		text, err := f.MarshalText()
		require.NoError(t, err)
		require.Equal(t, f.String(), string(text))
		var back Flush
		require.NoError(t, back.UnmarshalText(text))
		require.Equal(t, f, back)
		require.True(t, f.Valid())
	}
	f := FlushCount
	require.ErrorContains(t, f.UnmarshalText([]byte("Batch")), `"Batch"`)
	require.Equal(t, FlushCount, f)
	_, err := flushes.MarshalText()
	require.Error(t, err)
	require.False(t, flushes.Valid())
	require.Equal(t, "Flush(200)", Flush(200).String())
}
