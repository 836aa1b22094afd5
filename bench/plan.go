package main

import (
	"cmp"
	"slices"
	"time"

	"opossum/bench/harness"
)

// size says how much is measured: everything, or enough to see that it works.
type size struct {
	rounds    int
	time      time.Duration // measured, of a cell of appends
	writers   []int
	batches   []int // events an append
	bytes     []int // of data an event
	some      []int // writers, where not all numbers of them are needed
	claims    []int // appends of a lone writer that the original's claims speak of
	prefill   int   // events before decisions and mixes
	history   int   // events that are read
	readTime  time.Duration
	opened    int // events in a store that is opened
	rate      float64
	scheduled time.Duration // of a schedule of that rate
	sustained time.Duration
	growth    int           // events
	growTime  time.Duration // at most
	keepFree  uint64        // bytes of the disk that growth leaves alone
	scale     scaleSize
	models    modelsSize
	jobAtMost time.Duration // after which a job is given up: no store may keep the others from being measured
}

var (
	full = size{
		rounds: 3, time: 600 * time.Millisecond,
		writers: []int{1, 4, 16, 64, 256, 1024}, batches: []int{1, 10, 100, 1000}, bytes: []int{100, 256, 1 << 10, 16 << 10}, some: []int{1, 16, 64}, claims: []int{100, 1000},
		prefill: 20_000, history: 100_000, readTime: 300 * time.Millisecond, opened: 100_000,
		rate: 1_000, scheduled: 6 * time.Second, sustained: time.Minute, growth: 3_000_000, growTime: 30 * time.Second, keepFree: 20 << 30,
		scale: scaleSize{
			sustained: 3_000_000, loose: 200_000, store: 10_000_000, tail: 1_000_000, window: 500 * time.Millisecond,
			ask: 2 * time.Second, cold: 20, mixed: time.Minute, append: 10 * time.Second, keepFree: 10 << 30,
		},
		models:    modelsSize{events: 1_000_000, follow: 500, pause: 5 * time.Millisecond},
		jobAtMost: 20 * time.Minute,
	}
	quick = size{
		rounds: 1, time: 150 * time.Millisecond,
		writers: []int{1, 64}, batches: []int{1, 100}, bytes: []int{256, 16 << 10}, some: []int{64}, claims: []int{100},
		prefill: 2_000, history: 2_000, readTime: 20 * time.Millisecond, opened: 2_000,
		rate: 500, scheduled: time.Second, sustained: 3 * time.Second, growth: 100_000, growTime: 3 * time.Second, keepFree: 1 << 30,
		scale: scaleSize{
			sustained: 20_000, loose: 2_000, store: 25_000, tail: 5_000, window: 100 * time.Millisecond,
			ask: 20 * time.Millisecond, cold: 1, mixed: 200 * time.Millisecond, append: 200 * time.Millisecond, keepFree: 1 << 30,
		},
		models:    modelsSize{events: 5_000, follow: 20, pause: time.Millisecond},
		jobAtMost: time.Minute,
	}
)

// The rest of a load where an experiment is about something else.
const (
	fewWriters  = 16
	manyWriters = 64
	eventBytes  = 256
)

// ways are what can be measured, by what it can do.
type ways struct {
	files  []string // of harness.Ways: sequential against random, the ceiling last
	stores []string // opossum, then the rivals that check conditions and answer queries
	plain  []string // opossum without condition, then the rivals without an index
}

// experiment is a question, and the jobs that answer it.
type experiment struct {
	name   string
	rounds int // at most; 0: as many as the size says
	// groups are the jobs. Those of a group take turns, round after round.
	groups func(s size, w ways) [][]harness.Job
}

// experiments may have the same name: then they are parts of one, that differ in their rounds. They come in the order of the report, except that what leaves millions of files to delete is measured last: a file system is slow for
// minutes after that.
func experiments() []experiment {
	return []experiment{
		{"device", 0, deviceJobs},
		{"writers", 0, func(s size, w ways) [][]harness.Job {
			return each(s.writers, func(n int) []harness.Job { return load(w.files, s, with{writers: n}) })
		}},
		{"batches", 0, func(s size, w ways) (groups [][]harness.Job) {
			for _, writers := range []int{1, fewWriters} {
				for _, n := range s.batches {
					names := w.files
					if writers > 1 { // a file per event serves one append at a time: 16 writers of 1,000 events would take half a minute to be answered once
						names = shared(names)
					}
					groups = append(groups, load(names, s, with{writers: writers, events: n}))
				}
			}
			return groups
		}},
		{"bytes", 0, func(s size, w ways) [][]harness.Job {
			return each(s.bytes, func(n int) []harness.Job { return load(w.files, s, with{bytes: n}) })
		}},
		{"unflushed", 0, func(s size, w ways) [][]harness.Job {
			return each(s.some, func(n int) []harness.Job { return load(w.files, s, with{writers: n, noFlush: true}) })
		}},
		{"claims", 0, func(s size, w ways) (groups [][]harness.Job) {
			// The original's claims are about one caller and events with two tags.
			names := []string{"file-per-event-indexed", "file-per-event", "growing-file", "bare-log", "opossum"}
			for _, n := range s.claims {
				groups = append(groups, slices.Concat(load(names, s, with{writers: 1, tags: 2, count: n}), load(names, s, with{writers: 1, tags: 2, count: n, noFlush: true})))
			}
			return groups
		}},
		{"conditional", 0, func(s size, w ways) [][]harness.Job {
			return each(s.writers, func(n int) []harness.Job { return load(w.stores, s, with{load: harness.AppendUnique, writers: n}) })
		}},
		{"plain", 0, func(s size, w ways) [][]harness.Job {
			return each(s.writers, func(n int) []harness.Job { return load(w.plain, s, with{writers: n}) })
		}},
		{"conditional-batches", 0, func(s size, w ways) [][]harness.Job {
			return each(s.batches, func(n int) []harness.Job { return load(w.stores, s, with{load: harness.AppendUnique, events: n}) })
		}},
		{"decide", 0, func(s size, w ways) [][]harness.Job {
			return [][]harness.Job{
				load(w.stores, s, with{load: harness.DecideUniform, prefill: s.prefill}),
				load(w.stores, s, with{load: harness.DecideHot, prefill: s.prefill}),
				load(w.stores, s, with{load: harness.Mixed, prefill: s.prefill}),
				seatJobs(s),
			}
		}},
		{"latency", 2, func(s size, w ways) [][]harness.Job {
			return [][]harness.Job{load(w.stores, s, with{load: harness.AppendUnique, rate: s.rate, time: s.scheduled})}
		}},
		{"written", 0, func(s size, w ways) [][]harness.Job {
			return [][]harness.Job{
				load(w.files, s, with{settle: true}),
				load(w.stores, s, with{load: harness.AppendUnique, settle: true}),
			}
		}},
		{"reads", 2, readJobs},
		{"opens", 0, openJobs},
		{"sustained", 1, func(s size, _ ways) (groups [][]harness.Job) {
			for _, n := range []int{16, 64} {
				groups = append(groups, load([]string{"opossum", "opossum-paused"}, s, with{writers: n, time: s.sustained, window: time.Second}))
			}
			return groups
		}},
		{"growth", 1, growthJobs},
		{"models", 1, modelStoreJobs},
		{"models", 3, modelJobs},
		{"scale", 1, drainJobs},
		{"scale", 3, looseJobs},
		{"scale", 1, storeJobs},
		{"scale", 3, closedJobs},
		{"scale", 1, askJobs},
		{"scale", 3, appendJobs},
		{"scale", 2, killedJobs}, // last, for it leaves more in the store than it was built with
	}
}

// seatJobs ask whether deciders who have nothing to do with each other are slowed down by others who are all after the same. Others who have nothing to do with
// anybody are measured, too: those also want their part of the processors and of the log.
func seatJobs(s size) (jobs []harness.Job) {
	for _, beside := range []string{"", harness.SeatsOwn.Name, harness.SeatsHot.Name} {
		jobs = append(jobs, load([]string{"opossum"}, s, with{load: harness.SeatsOwn, writers: manyWriters, beside: beside})...)
	}
	return append(jobs, load([]string{"opossum"}, s, with{load: harness.SeatsHot, writers: manyWriters})...)
}

// with is how a load differs from the usual one.
type with struct {
	load            harness.Load
	writers, events int
	bytes, prefill  int
	tags, count     int // count: of events, instead of a time
	noFlush, settle bool
	beside          string
	rate            float64
	time, window    time.Duration
}

// load makes the same job for each of the ways.
func load(names []string, s size, o with) (jobs []harness.Job) {
	job := harness.LoadJob{Tags: o.tags, Events: o.count,
		Load: cmp.Or(o.load.Name, harness.Append.Name), Bytes: cmp.Or(o.bytes, eventBytes), NoFlush: o.noFlush, Writers: cmp.Or(o.writers, fewWriters),
		EventsPerAppend: cmp.Or(o.events, 1), Time: cmp.Or(o.time, s.time), Prefill: o.prefill, Rate: o.rate, Window: o.window, Beside: o.beside, Settle: o.settle,
	}
	if o.count > 0 {
		job.Time = 0
	}
	for _, name := range names {
		jobs = append(jobs, harness.Job{Way: name, Load: &job})
	}
	return jobs
}

func each(values []int, jobs func(int) []harness.Job) (groups [][]harness.Job) {
	for _, v := range values {
		groups = append(groups, jobs(v))
	}
	return groups
}
