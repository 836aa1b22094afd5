package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"opossum"
)

func fewSustained(events int) *SustainedJob {
	return &SustainedJob{Bytes: 256, Writers: 8, EventsPerAppend: 10, Events: events, Window: 20 * time.Millisecond, KeepFree: 1}
}

func partNamed(parts []Part, name string) (found Part) {
	for _, p := range parts {
		if p.Name == name {
			found = p
		}
	}
	return found
}

func TestAStoreIsBuiltAndOthersGoOnWithIt(t *testing.T) {
	root := t.TempDir()
	const events = 1_050
	make := func(j Job) Outcome {
		t.Helper()
		outcome, err := makeJob(t, root, j)
		require.NoError(t, err)
		return outcome
	}
	built := make(Job{Way: "opossum", Sustained: fewSustained(events)}).Sustained
	require.Equal(t, events, built.Events)
	require.Greater(t, built.Drained, built.Elapsed)
	require.GreaterOrEqual(t, built.AllCPU, built.CPU)
	end := built.Watched.Moments[len(built.Watched.Moments)-1]
	require.Zero(t, end.Lag, "it ends when all is in its place")
	require.Positive(t, end.Log)
	require.GreaterOrEqual(t, built.Watched.Most.Log, end.Log)
	require.Equal(t, runtime.GOOS == "linux", end.Anon > 0)
	require.Equal(t, events, partNamed(built.Parts, "events").Files+10_000*partNamed(built.Parts, "packs").Files, "too few for a pack")
	require.Positive(t, partNamed(built.Parts, "wal").Bytes)
	_, err := makeJob(t, root, Job{Way: "opossum", Sustained: fewSustained(events)})
	require.ErrorContains(t, err, "a store that is not new")

	opened := make(Job{Way: "opossum", Reopen: &ReopenJob{Acknowledged: events}}).Reopen
	require.Equal(t, events, opened.Head)
	require.Positive(t, opened.Open)
	require.Greater(t, opened.Ready, opened.Open)
	require.Equal(t, runtime.GOOS == "linux", opened.Memory.Anon > 0)
	_, err = makeJob(t, root, Job{Way: "opossum", Reopen: &ReopenJob{Acknowledged: events + 1}})
	require.ErrorContains(t, err, "has forgotten")

	asked := make(Job{Way: "opossum", Ask: &AskJob{Acknowledged: events, Time: time.Millisecond, Mixed: 10 * time.Millisecond}}).Ask
	require.Equal(t, events, asked.Head)
	require.Len(t, asked.Answers, len(Questions()))
	for i, q := range Questions() {
		require.Positive(t, asked.Answers[i].Warm.P50, q.Name)
		if q.Name == "scan" {
			require.Equal(t, events*asked.Answers[i].Warm.Reads, asked.Answers[i].Warm.Events)
		}
	}
	require.Positive(t, asked.Mixed.Reads)
	require.Equal(t, runtime.GOOS == "linux", asked.Mixed.Most > 0)
	_, err = makeJob(t, root, Job{Way: "opossum", Ask: &AskJob{Acknowledged: events + 1}})
	require.ErrorContains(t, err, "has 1050 events, and 1051 were acknowledged")

	models := make(Job{Way: "opossum", Models: &ModelsJob{Acknowledged: events, Bytes: 256, Follow: 5}}).Models
	require.EqualValues(t, events, models.Events)
	require.Positive(t, models.States)
	require.Positive(t, models.RebuildRate())
	require.Equal(t, 5, models.Follow.Reads)
	require.Positive(t, models.Follow.P50)
	_, err = makeJob(t, root, Job{Way: "opossum", Models: &ModelsJob{Acknowledged: events + 6}})
	require.ErrorContains(t, err, "has 1055 events, and 1056 were acknowledged")

	appended := make(Job{Way: "opossum", Append: &AppendJob{Load: "unique", Bytes: 256, Writers: 4, EventsPerAppend: 10, Time: 10 * time.Millisecond}}).Append
	require.Equal(t, events+5, appended.Before)
	require.Positive(t, appended.Rate())
	require.Zero(t, appended.Conflicts, "its tags are nobody else's")

	killed := make(Job{Way: "opossum", Reopen: &ReopenJob{After: &AbandonJob{Bytes: 256, Writers: 4, EventsPerAppend: 10, Events: 100}}}).Reopen
	require.GreaterOrEqual(t, killed.Head, events+appended.Events+100+killAfter*10, "it went on until it was killed")
	require.LessOrEqual(t, killed.Tail, killed.Head)
}

func TestAStoreThatForgetsWhenItIsKilledIsNoticed(t *testing.T) {
	root, other := t.TempDir(), t.TempDir()
	_, err := makeJob(t, other, Job{Way: "opossum", Fill: &FillJob{Bytes: 100, Events: 1}})
	require.NoError(t, err)
	forgetting := Way{Name: "opossum", Store: true, Open: func(string, OpenOptions) (Target, error) {
		return openEngine(filepath.Join(other, historyStore), nil)
	}}
	_, err = ReopenJob{After: &AbandonJob{Bytes: 100, Writers: 1, EventsPerAppend: 1, Events: 20}}.measure(t.Context(), root, forgetting)
	require.ErrorContains(t, err, "its last event is at 1, its head 1, and 20 were acknowledged")
}

func TestAStoreIsObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := observe(t.Context(), deaf{}, t.TempDir(), 250*time.Millisecond)
		time.Sleep(1060 * time.Millisecond) // of the bubble's own clock
		w := stop()
		var at []time.Duration
		for _, m := range w.Moments {
			at = append(at, m.At)
			require.EqualValues(t, 7, m.Lag)
		}
		ms := time.Millisecond
		require.Equal(t, []time.Duration{300 * ms, 500 * ms, 800 * ms, 1000 * ms, 1060 * ms}, at)
		require.EqualValues(t, 7, w.Most.Lag)
		require.GreaterOrEqual(t, w.Most.Anon, w.Moments[0].Anon)
	})
}

func TestWhatIsAskedColdIsAskedOfAStoreThatWasJustOpened(t *testing.T) {
	root := t.TempDir()
	_, err := makeJob(t, root, Job{Way: "opossum", Sustained: fewSustained(100)})
	require.NoError(t, err)
	outcome, err := makeJob(t, root, Job{Way: "opossum", Reopen: &ReopenJob{Cold: true}})
	require.NoError(t, err)
	asked, err := makeJob(t, root, Job{Way: "opossum", Ask: &AskJob{Time: 1, Cold: 2, Mixed: time.Millisecond}})
	require.NoError(t, err)
	if outcome.Reopen.Missing != "" { // only root may have the system forget
		require.Contains(t, outcome.Reopen.Missing, "the caches cannot be dropped")
		require.Zero(t, outcome.Reopen.Open)
		require.Contains(t, asked.Ask.Missing, "the caches cannot be dropped")
		require.Nil(t, asked.Ask.Answers[0].Cold)
		return
	}
	require.Positive(t, outcome.Reopen.Open)
	require.Empty(t, asked.Ask.Missing)
	for i, q := range Questions() {
		require.Equal(t, 2, asked.Ask.Answers[i].Cold.Reads, q.Name)
	}
	opens := 0
	w := Way{Name: "counted", Store: true, Open: func(dir string, _ OpenOptions) (Target, error) {
		opens++
		return openEngine(dir, nil)
	}}
	_, _, err = AskJob{Cold: 3}.askCold(t.Context(), root, w, Questions()[0])
	require.NoError(t, err)
	require.Equal(t, 3, opens)
}

func TestTheBareFilesAreThoseOfTheWay(t *testing.T) {
	root := t.TempDir()
	outcome, err := makeJob(t, root, Job{Way: "opossum-loose", Files: &FilesJob{Bytes: 256, Events: 51, KeepFree: 1}})
	require.NoError(t, err)
	requireTidy(t, root)
	f := outcome.Files
	require.Len(t, f.Runs, 2)
	for i, run := range f.Runs {
		require.Equal(t, i+1, run.Goroutines)
		require.GreaterOrEqual(t, run.Durable, run.Created)
		require.LessOrEqual(t, f.Best().Durable, run.Durable)
	}
	require.Greater(t, f.Occupied, 256.0)
	texts := func(pattern string) (all []string) {
		paths, err := filepath.Glob(filepath.Join(root, "cell-*", pattern))
		require.NoError(t, err)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			all = append(all, string(text))
		}
		return all
	}
	theirs, ours := texts("store/events/*/*.json"), texts("[0-9]*/*.json")
	require.True(t, len(theirs) == 51 && len(ours) == 2*51, "%d and %d", len(theirs), len(ours))
	slices.Sort(ours)
	slices.Sort(theirs)
	require.True(t, slices.Equal(theirs, slices.Compact(ours)), "each of theirs, and nothing else")

	_, err = makeJob(t, root, Job{Way: "opossum-loose", Files: &FilesJob{Bytes: 256, Events: 1, KeepFree: 1}})
	require.ErrorContains(t, err, "want at least 2")
	_, _, err = readTexts(t.TempDir())
	require.ErrorContains(t, err, "has no event files")
}

func TestNoDiskIsFilledForScale(t *testing.T) {
	for name, j := range map[string]Job{
		"sustained": {Way: "opossum", Sustained: &SustainedJob{Events: 10, KeepFree: 1 << 62}},
		"files":     {Way: "opossum", Files: &FilesJob{Events: 10, KeepFree: 1 << 62}},
	} {
		root := t.TempDir()
		_, err := makeJob(t, root, j)
		require.ErrorContains(t, err, errLowSpace.Error(), name)
		left, err := os.ReadDir(root)
		require.NoError(t, err)
		require.Empty(t, left, name)
	}
	err := withSpace(t.Context(), t.TempDir(), 1, func(ctx context.Context) error { return ctx.Err() })
	require.NoError(t, err)
	broken := errors.New("broken")
	err = withSpace(t.Context(), t.TempDir(), 1, func(context.Context) error { return broken })
	require.Equal(t, broken, err)
}

// wrong answers otherwise than it should.
type wrong struct {
	Store
	yields func(opossum.Query, opossum.SequencedEvent) []opossum.SequencedEvent
}

func (w wrong) Read(ctx context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error {
	return w.Store.Read(ctx, q, newest, func(e opossum.SequencedEvent) {
		for _, e := range w.yields(q, e) {
			yield(e)
		}
	})
}

func TestAnswersOfALargeStoreAreVerified(t *testing.T) {
	s, err := openEngine(t.TempDir(), nil)
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, s.Append(t.Context(), school(256).Stream(0).Next(100), nil))
	require.NoError(t, verifyAnswers(t.Context(), storeReader{s}))
	for want, yields := range map[string]func(opossum.Query, opossum.SequencedEvent) []opossum.SequencedEvent{
		"100 events in all, 99 in those of each type": func(q opossum.Query, e opossum.SequencedEvent) []opossum.SequencedEvent {
			if e.Position == 7 && !q.IsAll() {
				return nil
			}
			return []opossum.SequencedEvent{e}
		},
		"99 events in all, 100 in": func(q opossum.Query, e opossum.SequencedEvent) []opossum.SequencedEvent {
			if e.Position == 7 && q.IsAll() {
				return nil
			}
			return []opossum.SequencedEvent{e}
		},
		"event 7 after 7": func(_ opossum.Query, e opossum.SequencedEvent) []opossum.SequencedEvent {
			if e.Position == 7 {
				return []opossum.SequencedEvent{e, e}
			}
			return []opossum.SequencedEvent{e}
		},
		"of type Other": func(_ opossum.Query, e opossum.SequencedEvent) []opossum.SequencedEvent {
			e.Event.Type = "Other"
			return []opossum.SequencedEvent{e}
		},
	} {
		require.ErrorContains(t, verifyAnswers(t.Context(), storeReader{wrong{s, yields}}), want)
	}
	present := Question{Name: "absent", do: all}
	_, err = checked(t.Context(), storeReader{s}, present, opossum.AllEvents())
	require.ErrorContains(t, err, "is absent and has 100 events")
}

func TestASchoolHasCoursesAndStudents(t *testing.T) {
	seen := map[string]map[opossum.Tag]int{"order": {}, "course": {}, "student": {}}
	for _, e := range take(school(256).Stream(0), 20_000, 1_000) {
		require.Len(t, e.Tags, 3)
		for i, kind := range []string{"order", "course", "student"} {
			name, _, _ := strings.Cut(string(e.Tags[i]), ":")
			require.Equal(t, kind, name)
			seen[kind][e.Tags[i]]++
		}
	}
	require.Len(t, seen["order"], 20_000)
	require.Len(t, seen["course"], courses)
	require.InDelta(t, 18_127, len(seen["student"]), 300, "of 100,000, drawn 20,000 times")
	for tag := range seen["student"] {
		require.Contains(t, schoolTags()[1], tag)
		break
	}
	require.Equal(t, studentTag(7), schoolTags()[1][7])
}

func TestPartsOfAStore(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "b", "c"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	for _, name := range []string{"a", "b/1", "b/c/2", "b/3", "e"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), letters(1<<20), 0o644))
	}
	parts, err := partsOf(dir)
	require.NoError(t, err)
	var bytes uint64
	for i := range parts {
		bytes += parts[i].Bytes
		parts[i].Bytes = 0
	}
	require.Equal(t, []Part{{Name: "b", Files: 3, Dirs: 2}, {Name: "d", Dirs: 1}, {Files: 2, Dirs: 1}}, parts)
	whole, err := occupied(dir)
	require.NoError(t, err)
	require.Equal(t, whole, bytes)
	require.Equal(t, whole, bytesIn(dir))
	require.Zero(t, bytesIn(filepath.Join(dir, "none")))
	_, err = partsOf(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
