package lab

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRunTakesEachCaseOnceAndNamesItInFindings(t *testing.T) {
	technique := Technique{Name: "a/b", Case: func(_ context.Context, env Env, seed, index uint64) (Tally, error) {
		entries, err := os.ReadDir(env.Scratch)
		if err != nil || len(entries) > 0 {
			return Tally{}, errors.Join(err, errors.New("a case has its scratch directory for itself"))
		}
		if err := os.WriteFile(env.Scratch+"/file", nil, 0o644); err != nil {
			return Tally{}, err
		}
		if index == 20 {
			return Tally{}, ErrEnd
		}
		var tally Tally
		tally.Crash(int(index))
		tally.Meet("it")
		if index == 13 {
			tally.Find("here", "this")
		}
		return tally, nil
	}}
	env := Env{Scratch: t.TempDir()}
	out, err := Run(t.Context(), technique, env, 5, Bound{Cases: 10, First: 5}, 3)
	require.NoError(t, err)
	require.Equal(t, Tally{Cases: 10, Crashes: 10, Acked: 95, Met: Counts{"it": 10}, Findings: []Finding{{Technique: "a/b", Seed: 5, Index: 13, At: "here", What: "this"}}}, out.Tally)

	out, err = Run(t.Context(), technique, env, 5, Bound{}, 1)
	require.NoError(t, err)
	require.EqualValues(t, 20, out.Cases, "the technique has an end")

	out, err = Run(t.Context(), technique, env, 5, Bound{Findings: 1}, 1)
	require.NoError(t, err)
	require.EqualValues(t, 14, out.Cases, "the first finding ends the run")

	technique.Case = func(context.Context, Env, uint64, uint64) (Tally, error) { return Tally{}, os.ErrClosed }
	_, err = Run(t.Context(), technique, env, 5, Bound{}, 2)
	require.ErrorIs(t, err, os.ErrClosed, "a failure of the lab is not a finding")
	require.ErrorContains(t, err, "a/b, seed 5, case")

	technique.Case = func(context.Context, Env, uint64, uint64) (Tally, error) { return Tally{}, Unprovoked(os.ErrClosed) }
	_, err = Run(t.Context(), technique, env, 5, Bound{}, 1)
	require.ErrorIs(t, err, os.ErrClosed, "of the true engine it is one of the lab")
	env.Sabotaged = true
	out, err = Run(t.Context(), technique, env, 5, Bound{Findings: 1}, 1)
	require.NoError(t, err)
	require.Len(t, out.Findings, 1, "a bug that was built in has shown itself")
	require.Contains(t, out.Findings[0].What, os.ErrClosed.Error())
	require.NoError(t, Unprovoked(nil))
}
