package opossum

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/internal/codec"
	"opossum/internal/eventfile"
	"opossum/internal/workload"
	"opossum/ledger"
	"opossum/recovery"
	"opossum/wal"
)

// This file is shared by crash_test.go and damage_test.go: appends that can be recomputed from their number, children
// that make them and report what was acknowledged, and the check of everything that must hold after a crash.

func init() {
	childMains["crash-writer"] = crashWriter
	childMains["crash-opener"] = crashOpener
}

// crashSeed returns OPOSSUM_SEED if it is set, else a new seed, and logs it.
func crashSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("OPOSSUM_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("OPOSSUM_SEED=%d", seed)
	return seed
}

// crashConfig is what a child is told, as JSON in OPOSSUM_CRASH.
type crashConfig struct {
	Dir     string
	Flush   Flush
	Rotate  int64  // size of a generation
	Loose   int    // Options.LooseEvents
	First   uint64 // number of the first append, a multiple of workload.IDsPerWriter
	Writers int
	Appends int    // of each writer
	Repack  bool   // pack and unpack, as Loose allows, over and over
	Filing  string // "paused", "prompted": checkpoints on demand, as often as they go; "waited": all is checkpointed before "done"; "": as it comes
	Point   string // where the child announces itself and blocks
	At      int64  // the how-manyth time
	Close   bool   // close the store before "done"
}

// options keep little of the index in memory, so that kills meet sealing and merging.
func (c crashConfig) options() *Options {
	return &Options{Flush: c.Flush, MinFreeBytes: -1, RecentBytes: testRecentBytes, LooseEvents: c.Loose}
}

// The points at which a child can block. The log's come in the order in which an append meets them. A child that repacks blocks between two shards.
var crashPoints = []string{"snapshotted", "before write", "after write", "before sync", "after sync", "before a successor", "repacking"}

// crashChild is the child's side of the pipe.
type crashChild struct {
	crashConfig
	mu  sync.Mutex
	out *os.File
	met atomic.Int64
}

func newCrashChild() *crashChild {
	c := &crashChild{out: os.NewFile(3, "reports")}
	c.must(json.Unmarshal([]byte(os.Getenv("OPOSSUM_CRASH")), &c.crashConfig))
	go func() { // nobody is left behind if the parent dies
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(4)
	}()
	return c
}

// say reports one line with one write, so that a kill leaves whole lines.
func (c *crashChild) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.out.Write(fmt.Appendf(nil, format+"\n", args...)); err != nil {
		os.Exit(4)
	}
}

func (c *crashChild) must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(5)
	}
}

func (c *crashChild) block() { select {} }

// point blocks here if this is where the child is to be killed.
func (c *crashChild) point(name string) {
	if name == c.Point && c.met.Add(1) == c.At {
		c.say("point")
		c.block()
	}
}

func (c *crashChild) open() *Engine {
	h := hooks{snapshotted: func() { c.point("snapshotted") }}
	h.wal = wal.Options{
		RotateBytes: c.Rotate,
		Write: func(real func() error) error {
			c.point("before write")
			err := real()
			c.point("after write")
			return err
		},
		Fdatasync: func(f *os.File) error {
			c.point("before sync")
			err := f.Sync()
			c.point("after sync")
			return err
		},
		Now: func() time.Time {
			c.point("before a successor")
			return time.Now()
		},
	}
	start := time.Now()
	e, err := open(c.Dir, c.options(), h)
	c.must(err)
	c.say("open %d %d", e.Head(), time.Since(start).Microseconds())
	return e
}

// crashOpener only opens the store.
func crashOpener() {
	c := newCrashChild()
	c.say("begin")
	c.open()
	c.block()
}

// crashWriter appends and reports until it is killed.
func crashWriter() {
	c := newCrashChild()
	e := c.open()
	if c.Filing == "paused" {
		_, err := e.PauseFiling(ctxb)
		c.must(err)
	}
	sub, err := e.Subscribe(ctxb, AllEvents(), e.Head()-min(e.Head(), 10))
	c.must(err)
	go func() {
		for ev, err := range sub.All() {
			if c.Close && errors.Is(err, ErrClosed) {
				return
			}
			c.must(err)
			if id, _, _ := workload.Origin(ev.Event.ID); id%3 == 0 { // some are enough
				c.say("%s", workload.ReadLine(ev))
			}
		}
	}()
	prompts := make(chan Position, 1)
	go func() {
		for p := range prompts {
			c.must(e.WaitMaterialized(ctxb, p))
		}
	}()
	repacks := make(chan struct{}, 1)
	go func() {
		for range repacks {
			progress := func(uint64, uint64) { c.point("repacking") }
			do := e.Pack
			if c.Loose == KeepLoose {
				do = e.Unpack
			}
			if err := do(ctxb, progress); !c.Close || !errors.Is(err, ErrClosed) {
				c.must(err)
			}
		}
	}()
	var done sync.WaitGroup
	for w := range c.Writers {
		done.Go(func() {
			last := Position(0)
			for n := range c.Appends {
				id := c.First + uint64(w*workload.IDsPerWriter+n)
				p, err := e.Append(ctxb, workload.Events(id), workload.Condition(id, last))
				c.must(err)
				c.say("%s", workload.AckLine(id, p))
				last = p
				if c.Repack && n%4 == 0 {
					select {
					case repacks <- struct{}{}:
					default:
					}
				}
				if c.Filing == "prompted" && n%8 == 7 {
					select {
					case prompts <- p:
					default:
					}
				}
			}
		})
	}
	done.Wait()
	if c.Filing == "waited" {
		c.must(e.WaitMaterialized(ctxb, e.Head()))
	}
	if c.Close {
		c.say("closing")
		c.must(e.Close())
	}
	c.say("done")
	c.block()
}

// witness is what the parent knows of a store: what it must find after every crash.
type witness struct {
	*workload.Witness
	openTime time.Duration // as measured by the last child
	head     Position      // as the last child found it
}

func newWitness() *witness {
	return &witness{Witness: workload.NewWitness(), openTime: 20 * time.Millisecond}
}

// note takes one report.
func (w *witness) note(line string) error {
	if w.Note(line) {
		return nil
	}
	var (
		head   Position
		micros int64
	)
	if n, _ := fmt.Sscanf(line, "open %d %d", &head, &micros); n == 2 {
		w.head, w.openTime = head, time.Duration(micros)*time.Microsecond
	} else if line != "point" && line != "done" && line != "begin" && line != "closing" {
		return fmt.Errorf("report %q is not understood", line)
	}
	return nil
}

// runChild runs a child until kill says so for one of its reports, kills it with SIGKILL, and takes all its reports. It returns
// how many appends were acknowledged and the last report before the kill.
func (w *witness) runChild(t *testing.T, name string, c crashConfig, kill func(acks int, line string) bool) (acks int, last string) {
	t.Helper()
	config, err := json.Marshal(c)
	require.NoError(t, err)
	reports, theirs, err := os.Pipe()
	require.NoError(t, err)
	var stderr bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "OPOSSUM_TEST_CHILD="+name, "OPOSSUM_CRASH="+string(config))
	cmd.ExtraFiles, cmd.Stderr = []*os.File{theirs}, &stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer stdin.Close()
	defer reports.Close()
	require.NoError(t, theirs.Close())

	killed := false
	var bad error
	for in := bufio.NewScanner(reports); in.Scan(); {
		line := in.Text()
		if err := w.note(line); err != nil {
			bad = err
		}
		if line[0] == 'a' {
			acks++
		}
		if !killed {
			last = line
			if bad != nil || kill(acks, line) {
				killed = true
				require.NoError(t, cmd.Process.Kill())
			}
		}
	}
	err = cmd.Wait() // the pipe is at its end: the child is gone
	require.NoError(t, bad)
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "the child ended by itself; it said:\n%s", stderr.String())
	require.True(t, killed && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL, "the child was not killed: %v; it said:\n%s", err, stderr.String())
	return acks, last
}

// checkStore opens the store, checks everything that must hold after a crash, and closes it cleanly. It returns the
// events, and up to which position they are surely filed.
func (w *witness) checkStore(t *testing.T, c crashConfig, r *rand.Rand, fileAll bool) (all []SequencedEvent, filed Position) {
	t.Helper()
	shown := w.beforeRecovery(t, c.Dir)
	e, err := open(c.Dir, c.options(), hooks{wal: wal.Options{RotateBytes: c.Rotate}})
	require.NoError(t, err, "the store does not open")
	defer func() { require.NoError(t, e.Close()) }()
	all = readAll(t, e, AllEvents(), ReadOptions{})
	require.Equal(t, int(e.Head()), len(all), "the head is not that of the events")
	require.NoError(t, w.Check(all))
	checkFollowing(t, shown, e, all)
	checkIndex(t, e, all, r)
	checkConditions(t, e, all, r)
	if fileAll {
		filed = e.Head()
		require.NoError(t, e.WaitMaterialized(ctxb, filed))
	}
	// Last, something new: it may go where lost appends had been.
	id := c.First + workload.IDsPerWriter - 1
	events := workload.Events(id)
	p, err := e.Append(ctxb, events, &Condition{FailIfMatch: AllEvents(), After: e.Head(), FailIfExists: workload.Unique(id)})
	require.NoError(t, err, "an append with a condition that holds")
	require.Equal(t, Position(len(all)+len(events)), p)
	w.Acked[id] = p
	for i, ev := range events {
		all = append(all, SequencedEvent{Position: Position(len(all) + 1), Event: ev})
		w.Read[all[len(all)-1].Position] = workload.Place{ID: id, Index: i}
	}
	return all, filed
}

// beforeRecovery opens what a killed process left without owning it: everything acknowledged is there. nil if there is no store yet.
func (w *witness) beforeRecovery(t *testing.T, dir string) *Engine {
	t.Helper()
	before := storeTree(t, dir)
	r, err := Open(dir, &Options{ReadOnly: true})
	if errors.Is(err, ErrNotStore) { // killed while the store was created
		require.Empty(t, w.Acked)
		return nil
	}
	require.NoError(t, err, "the store does not open read-only")
	t.Cleanup(func() { _ = r.Close() })
	require.NoError(t, w.Check(readAll(t, r, AllEvents(), ReadOptions{})))
	require.Equal(t, before, storeTree(t, dir), "a read-only engine changed something")
	return r
}

// checkFollowing: an engine that was open read-only while e recovered shows what e has, unless e had to raise the epoch.
func checkFollowing(t *testing.T, r, e *Engine, all []SequencedEvent) {
	t.Helper()
	if r == nil {
		return
	}
	err := r.Refresh(ctxb)
	if e.Recovery().EpochRaised {
		require.ErrorIs(t, err, ErrReopen)
		_, err = r.Read(ctxb, AllEvents(), ReadOptions{})
		require.ErrorIs(t, err, ErrReopen)
	} else {
		require.NoError(t, err)
		require.Equal(t, all, readAll(t, r, AllEvents(), ReadOptions{}))
	}
	require.NoError(t, r.Close())
}

// checkIndex compares answers with the plainest scan.
func checkIndex(t *testing.T, e *Engine, all []SequencedEvent, r *rand.Rand) {
	t.Helper()
	term := func() Query {
		switch r.IntN(5) {
		case 0:
			return ByTypes(fmt.Sprintf("T%d", r.IntN(6)), fmt.Sprintf("T%d", r.IntN(6)))
		case 1:
			return ByTags(Tag(fmt.Sprintf("k:%d", r.IntN(12))))
		case 2:
			if len(all) > 0 {
				id, _, _ := workload.Origin(all[r.IntN(len(all))].Event.ID)
				return workload.Unique(id)
			}
			fallthrough
		case 3:
			return Match(QueryItem{Types: []string{fmt.Sprintf("T%d", r.IntN(workload.Types))}, Tags: []Tag{Tag(fmt.Sprintf("k:%d", r.IntN(11)))}})
		}
		return AllEvents()
	}
	for range 8 {
		q := term()
		if r.IntN(2) == 0 {
			q = q.Or(term())
		}
		o := ReadOptions{Backwards: r.IntN(2) == 0}
		if q.IsAll() { // was read before
			o.Limit = 20
		}
		if r.IntN(2) == 0 {
			o.After, o.Before, o.Limit = Position(r.IntN(len(all)+2)), Position(r.IntN(len(all)+3)), r.IntN(5)
		}
		var want []Position
		for _, ev := range all {
			if ev.Position > o.After && (o.Before == 0 || ev.Position < o.Before) && q.Matches(ev.Event) {
				want = append(want, ev.Position)
			}
		}
		if o.Backwards {
			slices.Reverse(want)
		}
		if o.Limit > 0 && len(want) > o.Limit {
			want = want[:o.Limit]
		}
		got := positionsOf(readAll(t, e, q, o))
		require.True(t, slices.Equal(want, got), "query %v with %+v: the index says %v, a scan says %v", q.Items(), o, got, want)
	}
}

// checkConditions: the surviving events decide, and an append that survived can be repeated by its IDs.
func checkConditions(t *testing.T, e *Engine, all []SequencedEvent, r *rand.Rand) {
	t.Helper()
	for range min(3, len(all)) {
		ev := all[r.IntN(len(all))]
		id, index, count := workload.Origin(ev.Event.ID)
		first := ev.Position - Position(index)
		last := first + Position(count) - 1
		other := []Event{{Type: "other", Tags: ev.Event.Tags}}
		var failed *ConditionFailedError

		_, err := e.Append(ctxb, other, &Condition{FailIfExists: workload.Unique(id)})
		require.ErrorIs(t, err, ErrAlreadyExists, "append %d at position %d is there", id, last)
		require.ErrorAs(t, err, &failed)
		require.Equal(t, first, failed.Position)

		_, err = e.Append(ctxb, other, &Condition{FailIfMatch: workload.Unique(id), After: last - 1})
		require.ErrorIs(t, err, ErrConditionFailed, "append %d at position %d is there", id, last)
		require.ErrorAs(t, err, &failed)
		require.Equal(t, last, failed.Position)

		p, err := e.Append(ctxb, workload.Events(id), &Condition{FailIfExists: workload.Unique(id)})
		require.NoError(t, err, "append %d, repeated by its IDs", id)
		require.Equal(t, last, p, "append %d, repeated by its IDs", id)
	}
	require.Equal(t, Position(len(all)), e.Head(), "a refused or repeated append changed the head")
}

// checkFiles compares the event files up to the checkpoint, which is at filed at least, with the events: those that are loose, and what is read. REQUIRES: the
// store is closed.
func checkFiles(t *testing.T, dir string, all []SequencedEvent, filed Position) {
	t.Helper()
	led, err := ledger.Load(dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, led.Materialized, filed)
	files, err := eventfile.Open(filepath.Join(dir, recovery.EventsDir))
	require.NoError(t, err)
	defer func() { require.NoError(t, files.Close()) }()
	require.NoError(t, files.Bind(wal.StoreID(led.Store).Seed()))
	for _, want := range all[max(0, int(led.Materialized)-400):led.Materialized] { // Open has verified all
		got, err := files.Read(want.Position)
		require.NoError(t, err, "position %d is below the checkpoint %d", want.Position, led.Materialized)
		require.Equal(t, want, got)
		text, err := os.ReadFile(files.Path(want.Position))
		if errors.Is(err, fs.ErrNotExist) && files.Packed(want.Position) {
			continue
		}
		require.NoError(t, err, "position %d is below the checkpoint %d", want.Position, led.Materialized)
		if !bytes.Equal(codec.AppendText(nil, want), text) {
			require.Equal(t, string(codec.AppendText(nil, want)), string(text), "the event file of position %d", want.Position)
		}
	}
	highest, path, err := files.HighestValid(0)
	require.NoError(t, err)
	require.LessOrEqual(t, int(highest), len(all), "%s is of an event that does not exist", path)
	for _, shard := range files.PackedShards() {
		require.NoError(t, files.VerifyPack(ctxb, shard))
	}
}

// recoverTwice recovers the store by itself and checks that a second recovery finds nothing to do. It returns the first report.
func recoverTwice(t *testing.T, c crashConfig) recovery.Report {
	t.Helper()
	files, err := eventfile.Open(filepath.Join(c.Dir, recovery.EventsDir))
	require.NoError(t, err)
	defer func() { require.NoError(t, files.Close()) }()
	once := func() (recovery.Plan, recovery.Report) {
		s, err := recovery.Inspect(c.Dir, files, true)
		require.NoError(t, err)
		p, err := recovery.Decide(s)
		require.NoError(t, err)
		o, err := recovery.Apply(c.Dir, s, p, files, c.Flush == FlushDisabled, time.Now())
		require.NoError(t, err)
		return p, o.Report
	}
	_, first := once()
	before := storeTree(t, c.Dir)
	plan, second := once()
	require.Equal(t, first.Head, second.Head, "the second recovery found another head")
	if c.Flush != FlushDisabled { // whose unclean ends raise the epoch each time
		require.Equal(t, recovery.Clean, plan.Outcome, "the second recovery: %v", plan)
		require.Equal(t, before, storeTree(t, c.Dir), "the second recovery changed something")
	}
	return first
}

// storeTree is everything in a store but its lock; of event files only the names.
func storeTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == recovery.LockFile {
			return err
		}
		if filepath.Ext(path) == ".json" && path != ledger.FileName {
			out[path] = ""
			return nil
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		out[path] = string(b)
		return err
	}))
	return out
}

// scanLog scans all generations of a closed or dead store, ascending.
func scanLog(t testing.TB, dir string) []wal.Scanned {
	t.Helper()
	led, err := ledger.Load(dir)
	require.NoError(t, err)
	walDir := filepath.Join(dir, recovery.WALDir)
	list, err := wal.List(walDir)
	require.NoError(t, err)
	var out []wal.Scanned
	for _, gen := range list.Generations {
		b, err := wal.ReadGeneration(walDir, gen, false)
		require.NoError(t, err)
		out = append(out, wal.Scan(b, wal.StoreID(led.Store), gen))
	}
	return out
}

// logEnd returns the generation in which the log ends.
func logEnd(t testing.TB, dir string) wal.Scanned {
	t.Helper()
	all := scanLog(t, dir)
	for _, g := range slices.Backward(all) {
		if g.Linked {
			return g
		}
	}
	require.FailNow(t, "the log has no generation in use")
	return wal.Scanned{}
}

// generationFile is the path of a generation's file.
func generationFile(dir string, gen uint64) string {
	return wal.GenerationPath(filepath.Join(dir, recovery.WALDir), gen)
}
