package main

import (
	"fmt"
	"slices"
	"time"

	"opossum/bench/chart"
	"opossum/bench/harness"
	"opossum/bench/page"
)

// scaleSize says how much of scale is measured.
type scaleSize struct {
	sustained, loose int // events, appended and drained
	store            int // events in the store that all else is measured on
	tail             int // events appended before it is killed
	window           time.Duration
	ask, mixed       time.Duration
	cold             int // times that a question is asked cold
	append           time.Duration
	keepFree         uint64 // bytes of the disk
}

// What must hold of scale, full size: issue 7.
const (
	drainFloor    = 100_000 // events a second
	looseFloor    = 0.7     // of the bare files' rate
	closedCeiling = 200 * time.Millisecond
	killedCeiling = 2 * time.Second
	openCeiling   = 100e6 // bytes of anonymous memory
	mixedCeiling  = 300e6
	diskCeiling   = 0.5 // of what loose files take
	appendFloor   = 0.9 // of the rate on an empty store
)

// questionFloors say by when a question is answered, or how many events a second an answer has.
var questionFloors = map[string]struct {
	within time.Duration
	rate   float64
}{
	"last":    {within: 150 * time.Microsecond},
	"student": {within: 2 * time.Millisecond},
	"absent":  {within: 30 * time.Microsecond},
	"type":    {rate: 500_000},
	"scan":    {rate: 1_000_000},
}

const (
	packing      = "opossum"
	loose        = "opossum-loose"
	scaleStore   = "scale" // where those who share the store meet
	scaleWriters = 64
	scaleAppend  = 10  // events
	inodeBytes   = 256 // of an inode of ext4, as it is made by default; other file systems need more
)

func sustainedJob(s size, way, shared string, events int) harness.Job {
	return harness.Job{Way: way, Shared: shared, Sustained: &harness.SustainedJob{
		Bytes: eventBytes, Writers: scaleWriters, EventsPerAppend: scaleAppend, Events: events, Window: s.scale.window, KeepFree: s.scale.keepFree,
	}}
}

func drainJobs(s size, _ ways) [][]harness.Job {
	return [][]harness.Job{{sustainedJob(s, packing, "", s.scale.sustained)}}
}

func looseJobs(s size, _ ways) [][]harness.Job {
	return [][]harness.Job{{
		{Way: loose, Files: &harness.FilesJob{Bytes: eventBytes, Events: s.scale.loose, KeepFree: s.scale.keepFree}},
		sustainedJob(s, loose, "", s.scale.loose),
	}}
}

func storeJobs(s size, _ ways) [][]harness.Job {
	return [][]harness.Job{{sustainedJob(s, packing, scaleStore, s.scale.store)}}
}

func reopenJobs(s size, after *harness.AbandonJob) [][]harness.Job {
	var jobs []harness.Job
	for _, cold := range []bool{false, true} {
		jobs = append(jobs, harness.Job{Way: packing, Shared: scaleStore, Reopen: &harness.ReopenJob{Acknowledged: s.scale.store, Cold: cold, After: after}})
	}
	return [][]harness.Job{jobs}
}

func closedJobs(s size, _ ways) [][]harness.Job { return reopenJobs(s, nil) }

func killedJobs(s size, _ ways) [][]harness.Job {
	return reopenJobs(s, &harness.AbandonJob{Bytes: eventBytes, Writers: scaleWriters, EventsPerAppend: scaleAppend, Events: s.scale.tail})
}

func askJobs(s size, _ ways) [][]harness.Job {
	return [][]harness.Job{{{Way: packing, Shared: scaleStore, Ask: &harness.AskJob{Acknowledged: s.scale.store, Time: s.scale.ask, Cold: s.scale.cold, Mixed: s.scale.mixed}}}}
}

func appendJobs(s size, _ ways) (groups [][]harness.Job) {
	for _, l := range []harness.Load{harness.Append, harness.AppendUnique} {
		job := harness.AppendJob{Load: l.Name, Bytes: eventBytes, Writers: scaleWriters, EventsPerAppend: scaleAppend, Time: s.scale.append}
		groups = append(groups, []harness.Job{{Way: packing, Shared: scaleStore, Append: &job}, {Way: packing, Append: &job}})
	}
	return groups
}

// scaled are the cells of scale by what they showed; nil where it was not measured.
type scaled struct {
	drained, loose, built, files *cell
	opens                        []cell // after a close, then after a kill; warm, then cold
	ask                          *cell
	upon, empty                  []cell // appends upon the store, and the same loads upon none
}

func (r results) scaled() (s scaled) {
	for _, c := range r.of("scale") {
		switch j := c.Job; {
		case j.Files != nil:
			s.files = &c
		case j.Sustained != nil && j.Shared != "":
			s.built = &c
		case j.Sustained != nil && j.Way == loose:
			s.loose = &c
		case j.Sustained != nil:
			s.drained = &c
		case j.Reopen != nil:
			s.opens = append(s.opens, c)
		case j.Ask != nil:
			s.ask = &c
		case j.Append != nil && j.Shared != "":
			s.upon = append(s.upon, c)
		case j.Append != nil:
			s.empty = append(s.empty, c)
		}
	}
	return s
}

func drainRate(o harness.Outcome) float64 { return o.Sustained.DrainRate() }

// scale shows what holds of a store that is large.
func scale(r results) page.Section {
	s := page.Section{Title: "Scale"}
	m := r.scaled()
	promises := m.promises()
	if len(r.of("scale")) == 0 {
		return s
	}
	s.Blocks = append(s.Blocks, text("Events of 256 bytes with three tags: a course, one of 1,000, a student, one of 100,000, and one that no other event has. Writers append as fast as they are answered. An event is in its place when "+
		"it is in a pack or a file of its own and the checkpoint has passed it: what is drained needs the log no more."))
	if len(promises) > 0 {
		t := page.Table{Title: "What must hold", Head: []string{"what", "bound", "here", "cold", "verdict"}}
		for _, p := range promises {
			t.Rows = append(t.Rows, page.Row(p.what, p.bound(), spread(p.unit, p.here), p.cold, p.verdict()))
		}
		s.Blocks = append(s.Blocks, page.Block{Table: &t})
		if r.Quick {
			s.Blocks = append(s.Blocks, note("The bounds are those of the full size."))
		}
	}
	if m.drained != nil {
		s.Blocks = append(s.Blocks, figure("scale-sustained", drainChart(*m.drained)))
	}
	for _, t := range []page.Table{r.drainTable(m), m.diskTable(), m.openTable(), m.askTable(), m.appendTable()} {
		if len(t.Rows) > 0 {
			s.Blocks = append(s.Blocks, page.Block{Table: &t})
		}
	}
	if m.files != nil {
		s.Blocks = append(s.Blocks, note("The bare files are those of the same events, written as opossum writes them, with no log and no index, and synced once in the end; the ratio is to the best of one and two goroutines, in the same round."))
	}
	for _, missing := range m.missing() {
		s.Blocks = append(s.Blocks, note("Not measured cold: %s.", missing))
	}
	if m.ask != nil {
		x := m.ask.Rounds[0].Ask.Mixed
		s.Blocks = append(s.Blocks, text("A mixed load of %v: one reader of everything, over and over, and four who ask for students, for tags that nobody has and for the newest thousand events of a type: %s answers, %s events a second; "+
			"anonymous memory of %s at most, and of %s in the end.", x.Elapsed.Round(time.Second/10), chart.Plain.Cell(float64(x.Reads)), chart.Plain.Cell(float64(x.Events)/x.Elapsed.Seconds()),
			chart.Bytes.Text(float64(x.Most)), chart.Bytes.Text(float64(x.Memory.Anon))))
		s.Blocks = append(s.Blocks, note("Warm is what lies in the page cache; each question draws its student or tag anew. Cold is the first question to a store that was opened after the system's caches were dropped. "+
			"That a tag is absent is asked by Read with limit 1: a condition on it finds out in the same way, but an append would hide that behind its sync."))
	}
	return s
}

// promise is a figure with a bound.
type promise struct {
	what  string
	unit  chart.Unit
	limit float64
	least bool // the limit is the least that it may be; else it must be below it
	here  harness.Spread
	cold  string
}

func (p promise) bound() string {
	if p.least {
		return "at least " + p.unit.Cell(p.limit)
	}
	return "under " + p.unit.Cell(p.limit)
}

func (p promise) verdict() string {
	if p.least && p.here.Median >= p.limit || !p.least && p.here.Median < p.limit {
		return "met"
	}
	return "missed"
}

// promises are those of which something was measured.
func (m scaled) promises() (all []promise) {
	add := func(p promise) { all = append(all, p) }
	if c := m.drained; c != nil {
		add(promise{what: fmt.Sprintf("%s events, appended, in their place and checkpointed: a second", chart.Plain.Cell(float64(c.Job.Sustained.Events))), limit: drainFloor, least: true, here: c.spread(drainRate)})
	}
	if share, ok := m.looseShare(); ok {
		add(promise{what: "the same without packs, as a share of the bare files' rate", limit: looseFloor, least: true, here: share})
	}
	var anon []harness.ReopenResult
	for i, c := range m.opens {
		for _, o := range c.Rounds {
			if o.Reopen.Missing == "" {
				anon = append(anon, *o.Reopen)
			}
		}
		if c.Job.Reopen.Cold {
			continue
		}
		p := promise{what: "open after a clean close", unit: chart.Seconds, limit: closedCeiling.Seconds(), here: c.spread(openTime)}
		if c.Job.Reopen.After != nil {
			p.what, p.limit = "open after a kill", killedCeiling.Seconds()
		}
		if i+1 < len(m.opens) && m.opens[i+1].Job.Reopen.Cold && m.opens[i+1].Rounds[0].Reopen.Missing == "" {
			p.cold = spread(chart.Seconds, m.opens[i+1].spread(openTime))
		}
		add(p)
	}
	if len(anon) > 0 {
		here := harness.SpreadOf(anon, func(o harness.ReopenResult) float64 { return float64(o.Memory.Anon) })
		here.Median = here.Max // each of them must hold
		add(promise{what: "anonymous memory when it is open, the most of all opens", unit: chart.Bytes, limit: openCeiling, here: here})
	}
	if c := m.ask; c != nil {
		add(promise{what: "the same under a mixed load of reads, at most", unit: chart.Bytes, limit: mixedCeiling, here: c.spread(func(o harness.Outcome) float64 { return float64(o.Ask.Mixed.Most) })})
	}
	if share, ok := m.diskShare(); ok {
		add(promise{what: "disk, as a share of what loose files need", limit: diskCeiling, here: harness.Spread{Median: share, Min: share, Max: share}})
	}
	if c := m.ask; c != nil {
		for i, q := range harness.Questions() {
			f, warm, cold := questionFloors[q.Name], func(o harness.Outcome) harness.ReadResult { return o.Ask.Answers[i].Warm }, c.Rounds[0].Ask.Answers[i].Cold
			p := promise{what: q.What + ", median", unit: chart.Seconds, limit: f.within.Seconds(), here: c.spread(func(o harness.Outcome) float64 { return warm(o).P50.Seconds() })}
			if cold != nil {
				p.cold = latency(cold.P50)
			}
			if f.rate > 0 {
				p = promise{what: q.What + ", events a second", limit: f.rate, least: true, here: c.spread(func(o harness.Outcome) float64 { return warm(o).Rate() })}
				if cold != nil {
					p.cold = chart.Plain.Cell(cold.Rate())
				}
			}
			add(p)
		}
	}
	for i, c := range m.upon {
		if i < len(m.empty) && c.Job.Append.Load == harness.Append.Name {
			add(promise{what: "rate of appends, as a share of that on an empty store", limit: appendFloor, least: true, here: harness.Ratios(c.Rounds, m.empty[i].Rounds, appendRate)})
		}
	}
	return all
}

func openTime(o harness.Outcome) float64   { return o.Reopen.Open.Seconds() }
func appendRate(o harness.Outcome) float64 { return o.Append.Rate() }

// looseShare compares what an engine without packs drains with the bare files of the same rounds.
func (m scaled) looseShare() (share harness.Spread, ok bool) {
	if m.loose == nil || m.files == nil || len(m.loose.Rounds) != len(m.files.Rounds) {
		return share, false
	}
	events := float64(m.files.Job.Files.Events)
	return harness.Ratios(m.loose.Rounds, m.files.Rounds, func(o harness.Outcome) float64 {
		if o.Files != nil {
			return events / o.Files.Best().Durable.Seconds()
		}
		return drainRate(o)
	}), true
}

// looseBytes is what the store would occupy if each event had a file of its own and the rest were the same; known if bare files were measured.
func (m scaled) looseBytes() (bytes float64, ok bool) {
	if m.built == nil || m.files == nil {
		return 0, false
	}
	for _, p := range m.built.Rounds[0].Sustained.Parts {
		if p.Name != "events" && p.Name != "packs" {
			bytes += withInodes(p)
		}
	}
	return bytes + float64(m.built.Job.Sustained.Events)*(m.files.Rounds[0].Files.Occupied+inodeBytes), true
}

func withInodes(p harness.Part) float64 { return float64(p.Bytes) + float64(p.Files+p.Dirs)*inodeBytes }

func (m scaled) diskShare() (share float64, ok bool) {
	loose, ok := m.looseBytes()
	if !ok {
		return 0, false
	}
	for _, p := range m.built.Rounds[0].Sustained.Parts {
		share += withInodes(p) / loose
	}
	return share, true
}

// missing says why nothing was measured cold.
func (m scaled) missing() (all []string) {
	for _, c := range m.opens {
		all = append(all, c.Rounds[0].Reopen.Missing)
	}
	if m.ask != nil {
		all = append(all, m.ask.Rounds[0].Ask.Missing)
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == "" })
}

// drainChart shows a run over time, until everything is in its place.
func drainChart(c cell) chart.Chart {
	o := c.Rounds[0].Sustained
	one := func(points []chart.Point) []chart.Series {
		return []chart.Series{{Name: packing, Ours: true, Points: points}}
	}
	var rates, p99 []chart.Point
	var before time.Duration
	for _, w := range o.Windows {
		rates = append(rates, chart.Point{X: w.At.Seconds(), Y: float64(w.Events) / (w.At - before).Seconds()})
		p99 = append(p99, chart.Point{X: w.At.Seconds(), Y: w.P99.Seconds()})
		before = w.At
	}
	moments := func(number func(harness.Moment) uint64) (points []chart.Point) {
		for _, at := range o.Watched.Moments {
			points = append(points, chart.Point{X: at.At.Seconds(), Y: float64(number(at))})
		}
		return points
	}
	return chart.Chart{
		Title: fmt.Sprintf("%s events: acknowledged in %s, all in their place after %s, which is %s a second",
			chart.Plain.Cell(float64(o.Events)), chart.Seconds.Text(o.Elapsed.Seconds()), chart.Seconds.Text(o.Drained.Seconds()), chart.Plain.Cell(o.DrainRate())),
		Note: fmt.Sprintf("%d writers, %d events an append, %d bytes an event; each point is %v", c.Job.Sustained.Writers, c.Job.Sustained.EventsPerAppend, c.Job.Sustained.Bytes, c.Job.Sustained.Window),
		X:    chart.Axis{Label: "seconds"}, Y: chart.Axis{Label: "events acknowledged a second"}, Series: one(rates),
		Below: &chart.Chart{Y: chart.Axis{Label: "p99 of an append", Unit: chart.Seconds, Scale: chart.Log}, Series: one(p99),
			Below: &chart.Chart{Y: chart.Axis{Label: "events not in their place"}, Series: one(moments(func(m harness.Moment) uint64 { return m.Lag })),
				Below: &chart.Chart{Y: chart.Axis{Label: "bytes of the log", Unit: chart.Bytes}, Series: one(moments(func(m harness.Moment) uint64 { return m.Log })),
					Below: &chart.Chart{Y: chart.Axis{Label: "anonymous memory", Unit: chart.Bytes}, Series: one(moments(func(m harness.Moment) uint64 { return m.Anon }))}}}},
	}
}

// drainTable shows what loads that are drained cost, and the bare files.
func (r results) drainTable(m scaled) page.Table {
	t := page.Table{Title: "Appended and drained", Head: []string{"way", "events", "acknowledged a second", "drained a second", "p50", "p99", "longest", "most not in their place", "most of the log", "most anonymous memory", "CPU µs an event"}}
	for _, c := range []*cell{m.drained, m.loose, m.built} {
		if c == nil {
			continue
		}
		of := func(u chart.Unit, n func(*harness.SustainedResult) float64) string {
			return spread(u, c.spread(func(o harness.Outcome) float64 { return n(o.Sustained) }))
		}
		t.Rows = append(t.Rows, append([]page.Cell{{Text: r.look(c.Job.Way).Name, Ours: c.Job.Way == packing}}, page.Row(
			chart.Plain.Cell(float64(c.Job.Sustained.Events)),
			of(chart.Plain, func(o *harness.SustainedResult) float64 { return o.Rate() }),
			of(chart.Plain, (*harness.SustainedResult).DrainRate),
			of(chart.Seconds, func(o *harness.SustainedResult) float64 { return o.P50.Seconds() }),
			of(chart.Seconds, func(o *harness.SustainedResult) float64 { return o.P99.Seconds() }),
			of(chart.Seconds, func(o *harness.SustainedResult) float64 { return o.Max.Seconds() }),
			of(chart.Plain, func(o *harness.SustainedResult) float64 { return float64(o.Watched.Most.Lag) }),
			of(chart.Bytes, func(o *harness.SustainedResult) float64 { return float64(o.Watched.Most.Log) }),
			of(chart.Bytes, func(o *harness.SustainedResult) float64 { return float64(o.Watched.Most.Anon) }),
			of(chart.Plain, func(o *harness.SustainedResult) float64 { return o.AllCPU.Seconds() * 1e6 / float64(o.Events) }),
		)...))
	}
	if m.files == nil {
		return t
	}
	for i, run := range m.files.Rounds[0].Files.Runs {
		events := float64(m.files.Job.Files.Events)
		row := page.Row("bare files, "+count(run.Goroutines, "goroutine"), chart.Plain.Cell(events),
			spread(chart.Plain, m.files.spread(func(o harness.Outcome) float64 { return events / o.Files.Runs[i].Created.Seconds() }))+" not synced",
			spread(chart.Plain, m.files.spread(func(o harness.Outcome) float64 { return events / o.Files.Runs[i].Durable.Seconds() })))
		t.Rows = append(t.Rows, append(row, make([]page.Cell, len(t.Head)-len(row))...))
	}
	return t
}

// diskTable shows where the bytes of the store are.
func (m scaled) diskTable() page.Table {
	t := page.Table{Title: "On the disk, closed", Head: []string{"part", "files", "directories", "bytes", "bytes an event"}}
	if m.built == nil {
		return t
	}
	var all harness.Part
	events := float64(m.built.Job.Sustained.Events)
	row := func(name string, p harness.Part) {
		t.Rows = append(t.Rows, page.Row(name, chart.Plain.Cell(float64(p.Files)), chart.Plain.Cell(float64(p.Dirs)), chart.Bytes.Text(float64(p.Bytes)), chart.Bytes.Text(float64(p.Bytes)/events)))
	}
	for _, p := range m.built.Rounds[0].Sustained.Parts {
		all.Files, all.Dirs, all.Bytes = all.Files+p.Files, all.Dirs+p.Dirs, all.Bytes+p.Bytes
		if p.Name == "" {
			p.Name = "the rest"
		}
		row(p.Name, p)
	}
	row("in all", all)
	if bytes, ok := m.looseBytes(); ok {
		t.Rows = append(t.Rows, page.Row(fmt.Sprintf("with a file for each event, computed, with %d bytes an inode", inodeBytes), chart.Plain.Cell(events), "", chart.Bytes.Text(bytes), chart.Bytes.Text(bytes/events)))
	}
	return t
}

// openTable shows what it costs to open the store.
func (m scaled) openTable() page.Table {
	t := page.Table{Title: "Opened", Head: []string{"how it was left", "page cache", "open", "first answer", "anonymous memory", "most resident", "events", "of them in the log's tail"}}
	for _, c := range m.opens {
		how, cache := "closed", "warm"
		if a := c.Job.Reopen.After; a != nil {
			how = fmt.Sprintf("killed after %s more events", chart.Plain.Cell(float64(a.Events)))
		}
		if c.Job.Reopen.Cold {
			cache = "cold"
		}
		if c.Rounds[0].Reopen.Missing != "" {
			t.Rows = append(t.Rows, append(page.Row(how, cache, "not measured"), make([]page.Cell, len(t.Head)-3)...))
			continue
		}
		of := func(u chart.Unit, n func(*harness.ReopenResult) float64) string {
			return spread(u, c.spread(func(o harness.Outcome) float64 { return n(o.Reopen) }))
		}
		t.Rows = append(t.Rows, page.Row(how, cache,
			of(chart.Seconds, func(o *harness.ReopenResult) float64 { return o.Open.Seconds() }),
			of(chart.Seconds, func(o *harness.ReopenResult) float64 { return o.Ready.Seconds() }),
			of(chart.Bytes, func(o *harness.ReopenResult) float64 { return float64(o.Memory.Anon) }),
			of(chart.Bytes, func(o *harness.ReopenResult) float64 { return float64(o.Memory.Most) }),
			of(chart.Plain, func(o *harness.ReopenResult) float64 { return float64(o.Head) }),
			of(chart.Plain, func(o *harness.ReopenResult) float64 { return float64(o.Tail) })))
	}
	return t
}

// askTable shows what answers cost.
func (m scaled) askTable() page.Table {
	var t page.Table
	if m.ask == nil {
		return t
	}
	a := m.ask.Rounds[0].Ask
	t = page.Table{Title: fmt.Sprintf("Answers of a store of %s events", chart.Plain.Cell(float64(a.Head))), Head: []string{"question", "warm, p50", "p99", "events a second", "cold, p50", "longest", "events a second"}}
	rate := func(q harness.Question, r harness.ReadResult) string {
		if questionFloors[q.Name].rate == 0 { // of answers of a few events it says nothing that the time does not
			return ""
		}
		return chart.Plain.Cell(r.Rate())
	}
	for i, q := range harness.Questions() {
		row := page.Row(q.What, latency(a.Answers[i].Warm.P50), latency(a.Answers[i].Warm.P99), rate(q, a.Answers[i].Warm), "not measured", "", "")
		if c := a.Answers[i].Cold; c != nil {
			row = append(row[:4], page.Row(latency(c.P50), latency(c.Max), rate(q, *c))...)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// appendTable shows appends upon the store and upon none.
func (m scaled) appendTable() page.Table {
	t := page.Table{Title: "Appends upon the store, and upon an empty one", Head: []string{"load", "events in it", "events a second", "p99", "empty: events a second", "p99", "ratio"}}
	p99 := func(o harness.Outcome) float64 { return o.Append.P99.Seconds() }
	for i, c := range m.upon {
		if i >= len(m.empty) {
			break
		}
		e := m.empty[i]
		t.Rows = append(t.Rows, page.Row(c.Job.Append.Load, chart.Plain.Cell(c.spread(func(o harness.Outcome) float64 { return float64(o.Append.Before) }).Min),
			spread(chart.Plain, c.spread(appendRate)), spread(chart.Seconds, c.spread(p99)),
			spread(chart.Plain, e.spread(appendRate)), spread(chart.Seconds, e.spread(p99)), spread(chart.Times, harness.Ratios(c.Rounds, e.Rounds, appendRate))))
	}
	return t
}
