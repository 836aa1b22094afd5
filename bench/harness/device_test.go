package harness

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatTheSystemCountsForADevice(t *testing.T) {
	const stat = "  118243   31190  8151114   27393  9230341  1720122  512345672  1933840        0   982342  2310131    1121        0  8218    1132  2398112   348765\n"
	d, ok := parseDevice(stat)
	require.True(t, ok)
	require.Equal(t, Device{Writes: 9230341, Bytes: 512345672 * 512, Flushes: 2398112}, d)
	require.Equal(t, Device{Bytes: 512, Writes: 1, Flushes: 12}, Device{Bytes: 1024, Writes: 2, Flushes: 14}.since(Device{Bytes: 512, Writes: 1, Flushes: 2}))
	for _, bad := range []string{"", "1 2 3", "a b c d e f g h i j k l m n o p q"} {
		_, ok := parseDevice(bad)
		require.False(t, ok, "%q", bad)
	}
}
