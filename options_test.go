package opossum

import (
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// badOptions has, for each field that can be wrong, values just outside its range, and what the error says of the range.
var badOptions = []struct {
	field  string
	wrong  []Options
	within []Options // the values next to them that are allowed
	says   string
}{
	{"Flush", []Options{{Flush: FlushAuto + 1}, {Flush: 255}}, []Options{{Flush: FlushAuto}}, "FlushBatch, FlushImmediate, FlushPeriodic"},
	{
		"FlushInterval",
		[]Options{{FlushInterval: -1}, {FlushInterval: time.Millisecond - 1}, {FlushInterval: time.Hour + 1}},
		[]Options{{FlushInterval: time.Millisecond}, {FlushInterval: time.Hour}}, "from 1ms to 1h0m0s",
	},
	{"FlushEvery", []Options{{FlushEvery: -1}, {FlushEvery: 1_000_001}}, []Options{{FlushEvery: 1}, {FlushEvery: 1_000_000}}, "from 1 to 1000000"},
	{"GroupWait", []Options{{GroupWait: -1}, {GroupWait: 20*time.Millisecond + 1}}, []Options{{GroupWait: 20 * time.Millisecond}}, "from 0 to 20ms"},
	{"MaxLagEvents", []Options{{MaxLagEvents: -1}}, []Options{{MaxLagEvents: 1}, {MaxLagEvents: math.MaxInt}}, "at least 1"},
	{"MaxLagBytes", []Options{{MaxLagBytes: -5}}, []Options{{MaxLagBytes: 1}}, "at least 1"},
	{"MinFreeBytes", []Options{{MinFreeBytes: -2}}, []Options{{MinFreeBytes: -1}}, "at least 1, -1 for no floor"},
	{"LooseEvents", []Options{{LooseEvents: -2}}, []Options{{LooseEvents: KeepLoose}, {LooseEvents: 1}}, "KeepLoose"},
	{"CacheBytes", []Options{{CacheBytes: -1}}, []Options{{CacheBytes: 1}}, "at least 1"},
	{"RecentBytes", []Options{{RecentBytes: -1}, {RecentBytes: MinRecentBytes - 1}}, []Options{{RecentBytes: MinRecentBytes}}, "at least 4096"},
}

func TestValidateNamesTheFieldTheValueAndTheRange(t *testing.T) {
	for _, c := range badOptions {
		for _, o := range c.wrong {
			err := o.Validate()
			require.ErrorIs(t, err, ErrInvalidOption, c.field)
			require.ErrorContains(t, err, c.field+" is ")
			require.ErrorContains(t, err, c.says)
		}
		for _, o := range c.within {
			require.NoError(t, o.Validate(), "%+v", o)
		}
	}
	all := Options{Flush: 77, FlushInterval: -1, FlushEvery: -1, GroupWait: -1, MaxLagEvents: -1, MaxLagBytes: -1, MinFreeBytes: -2, LooseEvents: -2, CacheBytes: -1, RecentBytes: -1}
	lines := strings.Split(all.Validate().Error(), "\n")
	require.Len(t, lines, len(badOptions), "every bad field has its line")
	require.NoError(t, new(Options).Validate())
}

// Fields that no range limits. A new field joins badOptions or these.
func TestEveryOptionIsValidated(t *testing.T) {
	known := map[string]bool{"ReadOnly": true, "Tracer": true, "Logger": true, "Clock": true}
	for _, c := range badOptions {
		known[c.field] = true
	}
	for f := range reflect.TypeFor[Options]().Fields() {
		require.True(t, known[f.Name], f.Name)
		delete(known, f.Name)
	}
	require.Empty(t, known)
}

func TestDefaultsArePutInPlaceOnce(t *testing.T) {
	var none *Options
	o := none.filled()
	require.NoError(t, o.Validate())
	require.Equal(t, FlushBatch, o.Flush)
	require.Equal(t, 100*time.Millisecond, o.FlushInterval)
	require.Equal(t, 10, o.FlushEvery)
	require.Zero(t, o.GroupWait)
	require.Equal(t, 1_000_000, o.MaxLagEvents)
	require.EqualValues(t, 512<<20, o.MaxLagBytes)
	require.EqualValues(t, 128<<20, o.MinFreeBytes)
	require.EqualValues(t, 64<<20, o.RecentBytes)
	require.EqualValues(t, 32<<20, o.CacheBytes)
	require.Equal(t, 100_000, o.LooseEvents)
	require.NotNil(t, o.Logger)
	require.NotNil(t, o.Clock)
	again := o.filled()
	again.Logger, again.Clock, o.Logger, o.Clock = nil, nil, nil, nil
	require.Equal(t, o, again)
}

func TestBadOptionsAreRefusedBeforeAnythingIsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	for _, c := range badOptions {
		_, err := Open(dir, &c.wrong[0])
		require.ErrorIs(t, err, ErrInvalidOption)
		require.ErrorContains(t, err, c.field)
	}
	_, err := os.Stat(dir)
	require.ErrorIs(t, err, fs.ErrNotExist)
}
