package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/bench/harness"
)

// TestMain lets the test's own program make the jobs.
func TestMain(m *testing.M) {
	if harness.IsJob(os.Args[1:]) {
		if err := harness.Serve(context.Background(), os.Args[1:], own(), os.Stdout); err != nil {
			fmt.Fprint(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// someWays are opossum's and two rivals that do not exist.
var someWays = append(own(), harness.Way{Name: "pebble", What: "a rival", Store: true, Settings: "none"}, harness.Way{Name: "pebble-plain", What: "a rival"})

// invented returns results of the plan's own jobs, as if they had been measured.
func invented(s size) results {
	random := rand.New(rand.NewPCG(1, 1))
	some := func(most int) time.Duration { return time.Duration(1 + random.IntN(most)) }
	r := results{Version: resultsVersion, Commit: "abc", Began: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Took: time.Hour, Ways: someWays}
	cellResult := func(window time.Duration) *harness.CellResult {
		c := &harness.CellResult{Life: harness.Device{Bytes: 1 << 20, Flushes: 9}, LifeEvents: 1 + random.IntN(1000), Run: harness.Device{Flushes: 5}}
		c.Result = harness.Result{Events: 1 + random.IntN(1e6), Steps: 1 + random.IntN(1e6), Conflicts: random.IntN(100), Elapsed: some(1e9), CPU: some(1e9), Allocs: 7, P50: some(1e6), P99: some(1e7), Max: some(1e8)}
		for _, p := range []float64{0, 50, 90, 99, 99.9, 100} {
			c.Quantiles = append(c.Quantiles, harness.Quantile{Percent: p, Latency: time.Duration(p*1000) + some(1e6)})
		}
		for i := range 5 {
			if window > 0 {
				c.Windows = append(c.Windows, harness.Window{At: time.Duration(i+1) * window, Events: random.IntN(1e5), P50: some(1e6), P99: some(1e7), Lag: uint64(random.IntN(1e6))})
			}
		}
		return c
	}
	for _, e := range experiments() {
		for _, group := range e.groups(s, divide(someWays[len(own()):])) {
			for _, job := range group {
				c := cell{Experiment: e.name, Job: job}
				for range 3 {
					c.Rounds = append(c.Rounds, inventedOutcome(job, cellResult, some))
				}
				r.Cells = append(r.Cells, c)
			}
		}
	}
	return r
}

func inventedOutcome(j harness.Job, load func(time.Duration) *harness.CellResult, some func(int) time.Duration) (o harness.Outcome) {
	switch {
	case j.Load != nil:
		o.Load = load(j.Load.Window)
	case j.Reads != nil:
		o.Reads = &harness.ReadsResult{}
		for range harness.ReadOperations() {
			o.Reads.Results = append(o.Reads.Results, harness.ReadResult{P50: some(1e6)})
		}
	case j.Fill != nil:
		o.Open = &harness.OpenResult{Ready: some(1e8)}
	case j.Growth != nil:
		c := load(j.Growth.Window)
		o.Growth = &harness.GrowthResult{Result: c.Result, Ended: harness.EndedTime, Disk: 1 << 30}
	case j.Device != nil:
		o.Device = &harness.DeviceResult{Sequential: 1e9, Syncs: 1e4, P50: some(1e5), P99: some(1e6)}
	default:
		o = inventedScale(j, load(time.Second).Result, some)
	}
	return o
}

func inventedScale(j harness.Job, run harness.Result, some func(int) time.Duration) (o harness.Outcome) {
	size := func() uint64 { return uint64(some(1e9)) }
	switch {
	case j.Sustained != nil:
		o.Sustained = &harness.SustainedResult{Result: run, Drained: run.Elapsed + some(1e9), AllCPU: some(1e9), Parts: []harness.Part{{Name: "packs", Files: 7, Dirs: 1, Bytes: size()}, {Files: 3, Bytes: size()}}}
		for i := range 4 {
			o.Sustained.Watched.Moments = append(o.Sustained.Watched.Moments, harness.Moment{At: time.Duration(i+1) * time.Second, Lag: size(), Log: size(), Anon: size()})
		}
	case j.Files != nil:
		o.Files = &harness.FilesResult{Runs: []harness.FilesRun{{Goroutines: 1, Created: some(1e9), Durable: some(1e9)}, {Goroutines: 2, Created: some(1e9), Durable: some(1e9)}}, Occupied: 4200}
	case j.Reopen != nil:
		o.Reopen = &harness.ReopenResult{Head: 1000, Tail: 10, Open: some(1e8), Ready: some(1e9), Memory: harness.Resident{Anon: size(), Most: size()}}
		if j.Reopen.Cold && j.Reopen.After != nil {
			o.Reopen = &harness.ReopenResult{Missing: "not root"}
		}
	case j.Ask != nil:
		o.Ask = &harness.AskResult{Head: 1000, Missing: "not root", Mixed: harness.MixedRead{Reads: 10, Events: 100, Elapsed: some(1e9), Most: size(), Memory: harness.Resident{Anon: size()}}}
		for i := range harness.Questions() {
			answer := harness.Answer{Warm: harness.ReadResult{Reads: 1, Events: 10, Elapsed: some(1e9), P50: some(1e6), P99: some(1e6)}}
			if i%2 == 0 {
				answer.Cold = &harness.ReadResult{Reads: 1, Events: 10, Elapsed: some(1e9), P50: some(1e6), Max: some(1e6)}
			}
			o.Ask.Answers = append(o.Ask.Answers, answer)
		}
	case j.Append != nil:
		o.Append = &harness.AppendResult{Result: run, Before: 1000}
	case j.Models != nil:
		o.Models = &harness.ModelsResult{Events: 1000, States: 100, Rebuild: some(1e9), CPU: some(1e9), Most: size(), Follow: harness.ReadResult{Reads: 10, P50: some(1e6), P99: some(1e6), Max: some(1e6)}}
	}
	return o
}

func TestPromisesOfScaleAreJudged(t *testing.T) {
	sustained := func(way, shared string, took time.Duration, parts ...harness.Part) cell {
		o := &harness.SustainedResult{Result: harness.Result{Events: 1000}, Drained: took, Parts: parts}
		return cell{Experiment: "scale", Job: harness.Job{Way: way, Shared: shared, Sustained: &harness.SustainedJob{Events: 1000}}, Rounds: []harness.Outcome{{Sustained: o}}}
	}
	files := cell{Experiment: "scale", Job: harness.Job{Way: loose, Files: &harness.FilesJob{Events: 1000}}, Rounds: []harness.Outcome{{Files: &harness.FilesResult{
		Runs: []harness.FilesRun{{Goroutines: 1, Durable: 20 * time.Millisecond}, {Goroutines: 2, Durable: 10 * time.Millisecond}}, Occupied: 4096 + 4096 - inodeBytes}}}}
	r := results{Cells: []cell{
		sustained(packing, "", 10*time.Millisecond), // 100,000 a second
		sustained(loose, "", 20*time.Millisecond),   // half of the better of the bare ones
		files,
		// A tenth of each event's 8 KiB, and of the rest as much beside either.
		sustained(packing, scaleStore, time.Second, harness.Part{Name: "packs", Bytes: 819_200}, harness.Part{Name: "index", Bytes: 819_200}),
	}}
	for _, anon := range []uint64{99e6, 101e6} {
		for _, cold := range []bool{false, true} {
			job := harness.Job{Shared: scaleStore, Reopen: &harness.ReopenJob{Cold: cold, After: &harness.AbandonJob{}}}
			r.Cells = append(r.Cells, cell{Experiment: "scale", Job: job, Rounds: []harness.Outcome{{Reopen: &harness.ReopenResult{Open: time.Second, Memory: harness.Resident{Anon: anon}}}}})
		}
	}
	verdicts := map[string]string{}
	for _, p := range r.scaled().promises() {
		verdicts[p.what] = p.verdict() + " " + p.unit.Text(p.here.Median)
	}
	require.Equal(t, map[string]string{
		"1,000 events, appended, in their place and checkpointed: a second": "met 100\u00a0k",
		"the same without packs, as a share of the bare files' rate":        "missed 0.5",
		"open after a kill": "met 1\u00a0s",
		"anonymous memory when it is open, the most of all opens": "missed 96.3\u00a0MiB",
		"disk, as a share of what loose files need":               "met 0.182",
	}, verdicts)
}

func TestEveryExperimentIsReported(t *testing.T) {
	for _, s := range []size{full, quick} {
		r := invented(s)
		d := r.document()
		require.Len(t, d.Sections, 14)
		for _, section := range d.Sections {
			require.NotEmpty(t, section.Blocks, section.Title)
		}
		html, err := d.HTML()
		require.NoError(t, err)
		require.Contains(t, string(html), "Pebble")
		for _, missing := range []string{"NaN", "Inf", "%!"} {
			require.NotContains(t, string(html), missing)
		}
		measured := map[string]bool{}
		for _, c := range r.Cells {
			measured[c.Experiment] = true
		}
		for name := range measured { // each can be missing, or be all there is
			only, without := r, r
			only.Cells = nil
			without.Cells = nil
			for _, c := range r.Cells {
				if c.Experiment == name {
					only.Cells = append(only.Cells, c)
				} else {
					without.Cells = append(without.Cells, c)
				}
			}
			for _, part := range []results{only, without} {
				d := part.document()
				html, err := d.HTML()
				require.NoError(t, err, name)
				require.NotContains(t, string(html), "NaN", name)
				require.NotContains(t, string(html), "%!", name)
			}
			require.NotEmpty(t, only.document().Sections, name)
		}
	}
}

func TestResultsAreReportedAgain(t *testing.T) {
	dir := t.TempDir()
	r := invented(quick)
	kept := filepath.Join(dir, "results.json")
	require.NoError(t, r.save(kept))
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"--from", kept, "--out", filepath.Join(dir, "again")}, &out, io.Discard))
	require.Equal(t, filepath.Join(dir, "again", "index.html")+"\n", out.String())
	for _, name := range []string{"index.html", "report.md", "results.json", "benchmarks/conditional.svg", "benchmarks/conditional.png"} {
		require.FileExists(t, filepath.Join(dir, "again", name))
	}
	same, err := os.ReadFile(filepath.Join(dir, "again", "results.json"))
	require.NoError(t, err)
	first, err := os.ReadFile(kept)
	require.NoError(t, err)
	require.Equal(t, string(first), string(same))

	for name, text := range map[string]string{"no JSON": "{", "version 7": `{"version": 7}`} {
		path := filepath.Join(dir, "bad.json")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		require.ErrorContains(t, run(t.Context(), []string{"--from", path, "--out", dir}, io.Discard, io.Discard), "bad.json", name)
	}
	require.ErrorIs(t, run(t.Context(), []string{"--from", "none"}, io.Discard, io.Discard), os.ErrNotExist)
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	for want, args := range map[string][]string{
		"there are no arguments": {"file"},
		`there is no "speed"`:    {"--only", "writers,speed"},
		"flag provided but not":  {"--speed"},
	} {
		_, err := parse(args, io.Discard)
		require.ErrorContains(t, err, want)
	}
	s, err := parse([]string{"--only", "writers,reads"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []string{"writers", "reads"}, s.only)
}

func TestEachSectionNamesWhatMeasuresIt(t *testing.T) {
	for i, part := range parts {
		if part.experiments == "" {
			continue
		}
		s, err := parse([]string{"--only", part.experiments}, io.Discard)
		require.NoError(t, err)
		r := results{Ways: someWays}
		for _, c := range invented(quick).Cells {
			if slices.Contains(s.only, c.Experiment) {
				r.Cells = append(r.Cells, c)
			}
		}
		require.Equal(t, len(part.section(invented(quick)).Blocks), len(part.section(r).Blocks), "section %d needs no other experiment", i)
	}
}

func TestGroupsTakeTurns(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	var progress strings.Builder
	l := &lab{dir: t.TempDir(), programs: map[string]string{}, size: quick, progress: &progress, began: time.Now()}
	l.size.rounds = 2
	for _, w := range own() {
		l.programs[w.Name] = self
	}
	l.programs["absent"] = "no such program"
	jobs := load([]string{"bare-log", "opossum", "absent"}, size{time: 250 * time.Millisecond}, with{writers: 2})
	require.NoError(t, l.group(t.Context(), experiment{name: "writers"}, jobs))
	require.Len(t, l.results.Cells, 3)
	require.Len(t, l.results.of("writers"), 2, "what has failed is not measured")
	require.Contains(t, l.results.Cells[2].Failed, "no such program")
	for _, c := range l.results.of("writers") {
		require.Len(t, c.Rounds, 2)
		require.Positive(t, eventRate(c.Rounds[0]))
	}
	var turns []string
	for line := range strings.Lines(progress.String()) {
		_, after, found := strings.Cut(line, ": ")
		if name, _, ok := strings.Cut(after, ","); found && ok && strings.Contains(line, "round") {
			turns = append(turns, name)
		}
	}
	require.Equal(t, []string{"bare-log", "opossum", "absent", "bare-log", "opossum"}, turns)

	require.Error(t, l.group(t.Context(), experiment{name: "writers"}, load([]string{"opossum"}, size{}, with{load: harness.Load{Name: "none"}})), "ours may not fail")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, l.group(ctx, experiment{name: "writers"}, jobs), context.Canceled)
}

// script makes a program of its own.
func script(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755))
	return path
}

func TestTimeIsDividedWhereAppendsAreHeldBack(t *testing.T) {
	windows := []harness.Window{
		{At: 1 * time.Second, Events: 10, P99: 1 * time.Millisecond, Lag: 10},
		{At: 2 * time.Second, Events: 30, P99: 3 * time.Millisecond, Lag: 990_000},
		{At: 4 * time.Second, Events: 50, P99: 5 * time.Millisecond, Lag: 20},
	}
	free, held := divideByLag(windows)
	require.Equal(t, windows[:1], free)
	require.Equal(t, windows[1:], held, "also when it is less for a moment")
	require.InDelta(t, 0.004, p99Of(held), 1e-9)
	require.InDelta(t, 80.0/3, rateOf(held, endOf(free)), 1e-9)
	free, held = divideByLag(windows[:1])
	require.Len(t, free, 1)
	require.Empty(t, held)
}

func TestLargeFilesDoNotStay(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI must prove it: %v", err)
		t.Skip("no shell")
	}
	l := &lab{dir: t.TempDir(), size: quick, programs: map[string]string{
		"greedy": script(t, `mkdir "$2/cell"; echo small > "$2/cell/small"; head -c 65536 /dev/zero > "$2/cell/large"; echo '{}'`),
	}}
	_, err := l.job(t.Context(), load([]string{"greedy"}, l.size, with{})[0])
	require.NoError(t, err)
	small, err := filepath.Glob(filepath.Join(l.dir, "*", "cell", "*"))
	require.NoError(t, err)
	require.Len(t, small, 1)
	require.Equal(t, "small", filepath.Base(small[0]))
}

func TestSomeJobsShareADirectory(t *testing.T) {
	l := &lab{dir: t.TempDir()}
	var dirs []string
	for _, shared := range []string{"a", "b", "a", "", ""} {
		dir, leave, err := l.place(harness.Job{Shared: shared})
		require.NoError(t, err)
		require.DirExists(t, dir)
		large := filepath.Join(dir, "large")
		require.NoError(t, os.WriteFile(large, make([]byte, largeFile), 0o644))
		require.NoError(t, leave())
		if shared != "" {
			require.FileExists(t, large, "others go on with it")
		} else {
			require.NoFileExists(t, large)
		}
		dirs = append(dirs, dir)
	}
	require.Equal(t, dirs[0], dirs[2])
	slices.Sort(dirs)
	require.Len(t, slices.Compact(dirs), 4)
}

func TestNoJobSpoilsTheOthers(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI must prove it: %v", err)
		t.Skip("no shell")
	}
	l := &lab{dir: t.TempDir(), size: quick, programs: map[string]string{
		"panics": script(t, `yes goroutine | head -c 100000 >&2; exit 2`),
		"stuck":  script(t, `exec sleep 60`),
	}}
	l.size.jobAtMost = time.Second
	job := func(way string) harness.Job { return load([]string{way}, l.size, with{})[0] }
	_, err := l.job(t.Context(), job("panics"))
	require.ErrorContains(t, err, "goroutine")
	require.Less(t, len(err.Error()), 1500)
	_, err = l.job(t.Context(), job("stuck"))
	require.ErrorContains(t, err, "given up after 1s")
}

func TestWhoCannotKeepUpIsNamed(t *testing.T) {
	r := results{Ways: someWays}
	for name, took := range map[string]time.Duration{"opossum": 1001 * time.Millisecond, "pebble": 2 * time.Second} {
		load := harness.LoadJob{Rate: 100, Time: time.Second}
		r.Cells = append(r.Cells, cell{Job: harness.Job{Way: name, Load: &load}, Rounds: []harness.Outcome{{Load: &harness.CellResult{Result: harness.Result{Elapsed: took}}}}})
	}
	require.Equal(t, []string{"Pebble"}, r.late(r.Cells))
}

func TestInterruptedRunsKeepWhatTheyHave(t *testing.T) {
	dir := t.TempDir()
	r := invented(quick)
	r.Cells, r.Broken = r.Cells[:20], "interrupted"
	require.NoError(t, write(r, dir, io.Discard))
	again, err := loadResults(filepath.Join(dir, "results.json"))
	require.NoError(t, err)
	require.Len(t, again.Cells, 20)
	text, err := os.ReadFile(filepath.Join(dir, "report.md"))
	require.NoError(t, err)
	require.Contains(t, string(text), "broken off: interrupted")
	for n := range len(invented(quick).Cells) { // wherever it is
		part := invented(quick)
		part.Cells = part.Cells[:n]
		_, err := part.document().Markdown("pictures")
		require.NoError(t, err, n)
	}
}

func TestWhoLeadsIsSaid(t *testing.T) {
	rates := func(ours, theirs int) results {
		r := results{Ways: someWays}
		for i, name := range []string{"opossum", "pebble"} {
			for w, writers := range []int{1, 16} {
				load := harness.LoadJob{Writers: writers}
				o := harness.Outcome{Load: &harness.CellResult{Result: harness.Result{Events: []int{ours, theirs}[i] + w*1000*(1-i), Elapsed: time.Second}}}
				r.Cells = append(r.Cells, cell{Experiment: "conditional", Job: harness.Job{Way: name, Load: &load}, Rounds: []harness.Outcome{o}})
			}
		}
		return r
	}
	standing := func(r results) string {
		return measured{r, r.of("conditional"), writersOf, eventRate}.standing("appends")
	}
	require.Equal(t, "opossum leads in appends at every number of writers: 2.0 to 3.0 times the best rival", standing(rates(2000, 1000)))
	require.Equal(t, "Appends by writers: opossum leads with 16; trails with 1 (Pebble, 0.50)", standing(rates(500, 1000)))
	require.Equal(t, "Appends by writers: opossum trails with 1 (Pebble, 0.01), 16 (Pebble, 0.11)", standing(rates(100, 10000)))
	require.Equal(t, "Appends by writers: opossum leads with 16; is level with a rival with 1 (Pebble, 1.00)", standing(rates(1000, 1000)))
	disagree := rates(2000, 1000) // in a second round, where opossum is slower
	for i, c := range disagree.Cells {
		disagree.Cells[i].Rounds = append(c.Rounds, rates(500, 2500).Cells[i].Rounds...)
	}
	require.Equal(t, "Appends by writers: opossum is level with a rival with 1 (Pebble, 1.10), 16 (Pebble, 1.80)", standing(disagree))
	require.Contains(t, rates(1000, 9000).headline(), "opossum makes 2,000 conditional appends of tagged events a second durable; the best of the others, Pebble, 9,000.")
	require.Equal(t, "less here", judge(1, 5, 10))
	require.Equal(t, "reproduced", judge(10.5, 5, 10))
	require.Equal(t, "more here", judge(12, 5, 10))
}
