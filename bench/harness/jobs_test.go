package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum"
)

// makeJob has the test's own program make a job.
func makeJob(t *testing.T, root string, j Job) (Outcome, error) {
	self, err := os.Executable()
	require.NoError(t, err)
	return j.Run(t.Context(), self, root)
}

// requireTidy checks that jobs have left nothing but directories of their own.
func requireTidy(t *testing.T, dir string) {
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, d := range left {
		require.True(t, d.IsDir() && strings.HasPrefix(d.Name(), "cell-"), "%s", d.Name())
	}
}

func TestReadsOfAStoreAreMeasured(t *testing.T) {
	root := t.TempDir()
	outcome, err := makeJob(t, root, Job{Way: "opossum", Reads: &ReadsJob{Bytes: 256, Events: 50, Time: time.Millisecond}})
	require.NoError(t, err)
	requireTidy(t, root)
	r := outcome.Reads
	require.Len(t, r.Opens, opens)
	require.Len(t, r.Results, len(ReadOperations()))
	full := r.Results[len(r.Results)-1]
	require.Equal(t, 50*full.Reads, full.Events)
	require.Positive(t, r.Made.Append)
	require.Positive(t, r.Memory.Heap)
	require.Equal(t, runtime.GOOS == "linux", r.Memory.Resident > 0)

	for want, wrong := range map[string]Job{
		"want a multiple of 10":   {Way: "opossum", Reads: &ReadsJob{Bytes: 256, Events: 55}},
		"at least 50":             {Way: "opossum", Reads: &ReadsJob{Bytes: 256, Events: 40}},
		"bare-log cannot be read": {Way: "bare-log", Reads: &ReadsJob{Bytes: 256, Events: 50}},
	} {
		_, err := makeJob(t, root, wrong)
		require.ErrorContains(t, err, want)
	}
	requireTidy(t, root)
}

// forgetful never answers with the event at position 7.
type forgetful struct{ *engine }

func (f forgetful) Read(ctx context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error {
	return f.engine.Read(ctx, q, newest, func(e opossum.SequencedEvent) {
		if e.Position != 7 {
			yield(e)
		}
	})
}

func TestTheSpeedOfWrongAnswersIsNotMeasured(t *testing.T) {
	root := t.TempDir()
	w := Way{Name: "forgetful", Store: true, Open: func(dir string, _ OpenOptions) (Target, error) {
		e, err := openEngine(dir, nil)
		return forgetful{e}, err
	}}
	_, err := ReadsJob{Bytes: 256, Events: 50, Time: time.Millisecond}.measure(t.Context(), root, w)
	require.ErrorContains(t, err, "forgetful answers wrongly")
	requireTidy(t, root)
}

func TestAnOpenIsMeasuredAfterACloseAndAfterAKill(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	root := t.TempDir()
	const events = 1_050
	for _, fill := range []FillJob{{Kill: true}, {}, {Settle: true}} {
		fill.Bytes, fill.Events = 256, events
		r, err := OpenAfter(t.Context(), self, root, "opossum", fill)
		require.NoError(t, err)
		require.Equal(t, events, r.Acknowledged)
		if fill.Kill {
			require.GreaterOrEqual(t, r.Head, events+killAfter*historyAppend, "it went on until it was killed")
		} else {
			require.Equal(t, events, r.Head)
		}
		require.Positive(t, r.Open)
		require.Greater(t, r.Ready, r.Open)
		require.Positive(t, r.Memory.Heap)
		requireTidy(t, root)
	}
	_, err = OpenAfter(t.Context(), self, root, "bare-log", FillJob{Bytes: 256, Events: events})
	require.ErrorContains(t, err, "cannot be read")
	_, err = OpenAfter(t.Context(), self, root, "opossum", FillJob{Bytes: 256, Kill: true})
	require.ErrorContains(t, err, opossum.ErrNoEvents.Error())
	requireTidy(t, root)
}

func TestAFilledStoreIsLeftThere(t *testing.T) {
	root := t.TempDir()
	outcome, err := makeJob(t, root, Job{Way: "opossum", Fill: &FillJob{Bytes: 100, Events: 20, Settle: true}})
	require.NoError(t, err)
	require.Equal(t, 20, outcome.Fill.Acknowledged)
	require.Len(t, readOpossum(t, filepath.Join(root, historyStore)), 20)
}

func TestAStoreThatForgetsIsNoticed(t *testing.T) {
	root := t.TempDir()
	_, err := makeJob(t, root, Job{Way: "opossum", Fill: &FillJob{Bytes: 100, Events: 200}})
	require.NoError(t, err)
	outcome, err := makeJob(t, root, Job{Way: "opossum", Open: &OpenJob{Acknowledged: 200}})
	require.NoError(t, err)
	require.Equal(t, 200, outcome.Open.Head)
	_, err = makeJob(t, root, Job{Way: "opossum", Open: &OpenJob{Acknowledged: 201}})
	require.ErrorContains(t, err, "has forgotten")
	_, err = makeJob(t, t.TempDir(), Job{Way: "opossum", Open: &OpenJob{}})
	require.ErrorContains(t, err, opossum.ErrNotFound.Error())
}

func TestADeathThatWasNotOrderedIsAnError(t *testing.T) {
	fails := errors.New("not today")
	l, n := deadly(func() error { return fails }), 0
	for err := error(nil); err == nil; n++ {
		_, err = l.step(t.Context(), deaf{}, nil, nil)
		require.True(t, err == nil || errors.Is(err, fails))
	}
	require.Equal(t, killAfter, n)
}

// deaf takes everything and keeps nothing.
type deaf struct{ settle func(context.Context) error }

func (deaf) Append(context.Context, []opossum.Event, *opossum.Condition) error { return nil }
func (deaf) Close() error                                                      { return nil }
func (d deaf) Settle(ctx context.Context) error                                { return d.settle(ctx) }
func (deaf) Lag() uint64                                                       { return 7 }

func deafWay(settle func(context.Context) error) Way {
	return Way{Name: "deaf", Open: func(string, OpenOptions) (Target, error) { return deaf{settle}, nil }}
}

const plenty = 1 << 40

func freely() (uint64, error) { return plenty, nil }

func TestAGrowthIsMeasured(t *testing.T) {
	root := t.TempDir()
	job := GrowthJob{Load: "unique", Bytes: 256, Writers: 2, EventsPerAppend: 100, Events: 3_050, Time: time.Minute, KeepFree: 1, Settle: true}
	outcome, err := makeJob(t, root, Job{Way: "opossum", Growth: &job})
	require.NoError(t, err)
	requireTidy(t, root)
	g := outcome.Growth
	require.Equal(t, EndedEvents, g.Ended)
	require.Equal(t, 3_050, g.Events)
	require.Zero(t, g.Lag)
	require.Greater(t, g.Disk, uint64(3_050*256))
	if _, counted := readDevice(root); counted {
		require.Greater(t, g.Life.Bytes, uint64(3_050*256))
	}
	require.Positive(t, g.Memory.Heap)
}

func TestAGrowthIsBounded(t *testing.T) {
	hour := GrowthJob{Load: "append", Bytes: 100, Writers: 2, EventsPerAppend: 1, Events: 1 << 40, Time: time.Hour, KeepFree: 1_000, Window: time.Millisecond}
	t.Run("by time", func(t *testing.T) {
		j := hour
		j.Time = 200 * time.Millisecond
		g, err := j.grow(t.Context(), t.TempDir(), deafWay(nil), freely)
		require.NoError(t, err)
		require.Equal(t, EndedTime, g.Ended)
		require.EqualValues(t, 7, g.Lag)
		require.NotEmpty(t, g.Windows)
		require.Len(t, g.Milestones, 1)
		require.Positive(t, g.Milestones[0].Rate)
	})
	t.Run("by space", func(t *testing.T) {
		for _, end := range []error{nil, errors.New("unreadable")} {
			asked := 0
			shrinking := func() (uint64, error) {
				if asked++; asked <= 3 {
					return 1_000, nil
				}
				if end != nil {
					return plenty, end
				}
				return 999, nil
			}
			j := hour
			j.Settle = true
			g, err := j.grow(t.Context(), t.TempDir(), deafWay(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }), shrinking)
			require.NoError(t, err)
			require.Equal(t, EndedSpace, g.Ended)
			require.Positive(t, g.Events)
		}
	})
	t.Run("while it settles", func(t *testing.T) {
		j := hour
		j.Settle, j.Events, j.Time = true, 10, 50*time.Millisecond
		g, err := j.grow(t.Context(), t.TempDir(), deafWay(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }), freely)
		require.NoError(t, err)
		require.Equal(t, EndedEvents, g.Ended)
		broken := errors.New("broken")
		_, err = j.grow(t.Context(), t.TempDir(), deafWay(func(context.Context) error { return broken }), freely)
		require.ErrorIs(t, err, broken)
	})
	t.Run("by the caller", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		asked := 0
		_, err := hour.grow(ctx, t.TempDir(), deafWay(nil), func() (uint64, error) {
			if asked++; asked > 2 {
				cancel()
			}
			return freely()
		})
		require.ErrorIs(t, err, context.Canceled)

		ctx, cancel = context.WithCancel(t.Context())
		j := hour
		j.Settle, j.Events = true, 10
		_, err = j.grow(ctx, t.TempDir(), deafWay(func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() }), freely)
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("or refused", func(t *testing.T) {
		for name, change := range map[string]func(*GrowthJob){
			"events":   func(j *GrowthJob) { j.Events = 0 },
			"time":     func(j *GrowthJob) { j.Time = 0 },
			"KeepFree": func(j *GrowthJob) { j.KeepFree = 0 },
			"space":    func(j *GrowthJob) { j.KeepFree = 1 << 41 },
			"load":     func(j *GrowthJob) { j.Load = "decide" },
		} {
			j := hour
			change(&j)
			_, err := j.grow(t.Context(), t.TempDir(), deafWay(nil), freely)
			require.Error(t, err, name)
		}
	})
}

func TestMilestonesAreTheWindowsAboutThem(t *testing.T) {
	var windows []Window
	for i, events := range []int{10, 20, 30, 40, 50, 60, 70} { // 10, 30, 60, 100, 150, 210, 280 in all
		windows = append(windows, Window{At: time.Duration(i+1) * time.Second, Events: events, P99: time.Duration(i)})
	}
	for _, c := range []struct {
		at   int
		want []Milestone
	}{
		{0, []Milestone{{0, 20, 2}}},
		{30, []Milestone{{30, 25, 3}}},
		{31, []Milestone{{31, 30, 4}}},
		{100, []Milestone{{100, 40, 5}}},
		{280, []Milestone{{280, 60, 6}}},
		{281, nil},
	} {
		require.Equal(t, c.want, milestones(windows, []int{c.at}), "at %d", c.at)
	}
	require.Len(t, milestones(windows, []int{0, 5, 100, 1_000}), 3)
	require.Empty(t, milestones(nil, growthMilestones))
}

func TestTheDeviceIsMeasured(t *testing.T) {
	root := t.TempDir()
	outcome, err := makeJob(t, root, Job{Device: &DeviceJob{Time: 20 * time.Millisecond}})
	require.NoError(t, err)
	requireTidy(t, root)
	d := outcome.Device
	require.Positive(t, d.Sequential)
	require.Positive(t, d.Syncs)
	require.LessOrEqual(t, d.P50, d.P99)
	require.LessOrEqual(t, d.P99, d.Max)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, d.sequential(ctx, root, time.Hour), context.Canceled)
	require.ErrorIs(t, d.syncs(ctx, root, time.Hour), context.Canceled)
}

func TestWhatADirectoryOccupies(t *testing.T) {
	dir := t.TempDir()
	empty, err := occupied(dir)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	for _, name := range []string{"a/1", "a/b/2"} {
		file, err := os.Create(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, errors.Join(prewrite(file, 1<<20), file.Sync(), file.Close()))
	}
	full, err := occupied(dir)
	require.NoError(t, err)
	require.InDelta(t, 2<<20, full-empty, 64<<10)
	_, err = occupied(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestWhatIsResident(t *testing.T) {
	const status = "Name:\tbench\nVmHWM:\t   12000 kB\nVmRSS:\t   11572 kB\nRssAnon:\t    3000 kB\n"
	for name, kib := range map[string]uint64{"VmHWM": 12_000, "VmRSS": 11_572, "RssAnon": 3_000, "VmSwap": 0} {
		require.Equal(t, kib<<10, statusBytes(status, name), name)
	}
	for _, none := range []string{"", "VmRSS:", "VmRSS: x kB"} {
		require.Zero(t, statusBytes(none, "VmRSS"), "%q", none)
	}
	if runtime.GOOS == "linux" {
		now := readResident()
		require.Positive(t, now.Anon)
		require.Greater(t, now.Most, now.Anon)
	}
}

func TestAJobSaysWhatItIs(t *testing.T) {
	for want, j := range map[string]Job{
		"opossum, unique, 4 x 1 of 256 bytes, without flush": {Way: "opossum", Load: &LoadJob{Load: "unique", Bytes: 256, Writers: 4, EventsPerAppend: 1, NoFlush: true}},
		"opossum, reads of 50 events":                        {Way: "opossum", Reads: &ReadsJob{Events: 50}},
		"opossum, filled with 50 events":                     {Way: "opossum", Fill: &FillJob{Events: 50}},
		"opossum, opened with 50 events":                     {Way: "opossum", Open: &OpenJob{50}},
		"opossum, growing to 50 events, append":              {Way: "opossum", Growth: &GrowthJob{Load: "append", Events: 50}},
		"the device":                                         {Device: &DeviceJob{}},
		"opossum, 50 events until the last is checkpointed":  {Way: "opossum", Sustained: &SustainedJob{Events: 50}},
		"opossum, the bare files of 50 events":               {Way: "opossum", Files: &FilesJob{Events: 50}},
		"opossum, opened again, cold":                        {Way: "opossum", Reopen: &ReopenJob{Cold: true}},
		"opossum, opened again, killed after 5 events":       {Way: "opossum", Reopen: &ReopenJob{After: &AbandonJob{Events: 5}}},
		"opossum, killed after 5 events":                     {Way: "opossum", Abandon: &AbandonJob{Events: 5}},
		"opossum, questions to 50 events":                    {Way: "opossum", Ask: &AskJob{Acknowledged: 50}},
		"opossum, append to an empty store":                  {Way: "opossum", Append: &AppendJob{Load: "append"}},
		"opossum, append to large":                           {Way: "opossum", Shared: "large", Append: &AppendJob{Load: "append"}},
	} {
		require.Equal(t, want, j.String())
	}
}
