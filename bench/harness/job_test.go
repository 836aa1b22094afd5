package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test's own program make the jobs.
func TestMain(m *testing.M) {
	if IsJob(os.Args[1:]) {
		if err := Serve(context.Background(), os.Args[1:], append(Ways(), OpossumLoose()), os.Stdout); err != nil {
			_, _ = os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestAJobIsMadeByAProcessOfItsOwn(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	root := t.TempDir()
	job := Job{Way: "opossum", Load: &LoadJob{Load: "unique", Bytes: 256, Writers: 4, EventsPerAppend: 1, Time: 50 * time.Millisecond, Settle: true}}
	outcome, err := job.Run(t.Context(), self, root)
	require.NoError(t, err)
	require.Positive(t, outcome.Load.Events)
	requireTidy(t, root)
	cell := Cell{Way: Opossum(), Load: Append, Workload: Default, Writers: 1, EventsPerAppend: 1, Time: 50 * time.Millisecond}
	for _, keep := range []bool{true, false} {
		root := t.TempDir()
		cell.Keep = keep
		_, err := cell.Measure(t.Context(), root)
		require.NoError(t, err)
		left, err := os.ReadDir(root)
		require.NoError(t, err)
		require.Equal(t, keep, len(left) == 1)
	}

	for want, wrong := range map[string]Job{
		`no way is called "rocks"`:    {Way: "rocks", Load: job.Load},
		`no load is called "heavy"`:   {Way: "opossum", Load: &LoadJob{Load: "heavy"}},
		"a job without a part":        {Way: "opossum"},
		"cannot bear the load decide": {Way: "bare-log", Load: &LoadJob{Load: "decide"}},
	} {
		_, err := wrong.Run(t.Context(), self, root)
		require.ErrorContains(t, err, want)
	}
	_, err = job.Run(t.Context(), "no such program", root)
	require.Error(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = job.Run(ctx, self, root)
	require.ErrorIs(t, err, context.Canceled)
}

func TestServeRefusesWhatIsNoJob(t *testing.T) {
	require.False(t, IsJob([]string{"--quick"}))
	require.ErrorContains(t, Serve(t.Context(), []string{jobArgument, t.TempDir(), "{"}, Ways(), &bytes.Buffer{}), "job")
	text, err := json.Marshal(Job{Way: "bare-log", Load: &LoadJob{Load: "decide"}})
	require.NoError(t, err)
	require.True(t, errors.Is(Serve(t.Context(), []string{jobArgument, t.TempDir(), string(text)}, Ways(), &bytes.Buffer{}), errors.ErrUnsupported))
}
