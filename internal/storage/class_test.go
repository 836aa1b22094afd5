package storage

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		flush time.Duration
		want  Class
	}{
		{0, NVMe}, {500 * time.Microsecond, NVMe}, {ms - 1, NVMe},
		{ms, SSD}, {3 * ms, SSD}, {5*ms - 1, SSD},
		{5 * ms, HDD}, {12 * ms, HDD}, {20*ms - 1, HDD},
		{20 * ms, Network}, {time.Hour, Network},
	} {
		require.Equal(t, c.want, Classify(c.flush), "%v", c.flush)
	}
}

func TestWhatAClassMeans(t *testing.T) {
	for c, want := range map[Class]struct {
		name           string
		from, to, wait time.Duration
	}{
		Unknown: {"unknown", 0, 0, 0},
		NVMe:    {"nvme", ms / 2, ms, 0},
		SSD:     {"ssd", ms, 3 * ms, 0},
		HDD:     {"hdd", 8 * ms, 12 * ms, ms},
		Network: {"network", 10 * ms, 50 * ms, 2 * ms},
		99:      {"unknown", 0, 0, 0},
	} {
		from, to := c.Usual()
		require.Equal(t, want.name, c.String())
		require.Equal(t, want.from, from, "%s", c)
		require.Equal(t, want.to, to, "%s", c)
		require.Equal(t, want.wait, c.GroupWait(), "%s", c)
	}
}

func TestClassesHaveNamesInJSON(t *testing.T) {
	for c := Unknown; c <= Network; c++ {
		text, err := json.Marshal(c)
		require.NoError(t, err)
		require.Equal(t, `"`+c.String()+`"`, string(text))
		got := Class(77)
		require.NoError(t, json.Unmarshal(text, &got))
		require.Equal(t, c, got)
	}
	var c Class
	require.Error(t, json.Unmarshal([]byte(`"floppy"`), &c))
	require.Error(t, json.Unmarshal([]byte(`""`), &c))
}
