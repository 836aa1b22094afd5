package metrics

import (
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"opossum"
)

// A limit of the size of files makes a write of the log fail.
func TestAPoisonedEngineCanBeScraped(t *testing.T) {
	e, err := opossum.Open(t.TempDir(), nil)
	require.NoError(t, err)
	r := registry(t, NewCollector(e, nil))
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1, Max: limit.Max}))
	_, err = e.Append(ctxb, []opossum.Event{{Type: "T"}}, nil)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	require.ErrorIs(t, err, opossum.ErrOutcomeUnknown)
	for range 2 {
		require.NoError(t, testutil.GatherAndCompare(r, strings.NewReader(`
# HELP opossum_flush_failures_total Writes and fsyncs of the log that failed. The first one poisons the engine.
# TYPE opossum_flush_failures_total counter
opossum_flush_failures_total 1
# HELP opossum_poisoned 1 after a write or sync has failed: no append succeeds until the store is opened again.
# TYPE opossum_poisoned gauge
opossum_poisoned 1
`), "opossum_flush_failures_total", "opossum_poisoned"))
		require.Len(t, values(t, r), len(rows))
		require.NoError(t, e.Close()) // and then it is scraped again
	}
}
