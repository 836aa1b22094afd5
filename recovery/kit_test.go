package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
	"opossum/internal/index"
	"opossum/ledger"
	"opossum/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// now is the only time in these tests.
var now = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// Sizes of the frames that the tests make up.
const (
	headerEnd = 97              // 1 + 72 + 24
	linkEnd   = headerEnd + 121 // 1 + 72 + 48
	commitLen = 174             // 2 + 72 + 100
)

// scanned makes up what a scan of generation gen finds: header, link, and commits of so many events each, from base on.
// Each frame knows that everything before it is durable.
func scanned(gen uint64, base dcb.Position, counts ...uint32) wal.Scanned {
	s := wal.Scanned{Gen: gen, Header: true, Linked: true, Base: base, Valid: linkEnd, Sum: sumOf(gen, 2)}
	for i, n := range counts {
		f := wal.Frame{
			Kind: wal.KindCommit, No: uint64(3 + i), First: s.Next(), Count: n, Durable: s.Next() - 1, DurableOff: uint64(s.Valid),
			Sum: sumOf(gen, 3+i), Offset: s.Valid, End: s.Valid + commitLen,
		}
		s.Commits, s.Valid, s.Sum = append(s.Commits, f), f.End, f.Sum
	}
	s.Size = s.Valid
	return s
}

func sumOf(gen uint64, no int) uint64 { return gen<<32 | uint64(no) }

// unused is a generation built beforehand.
func unused(gen uint64) wal.Scanned {
	return wal.Scanned{Gen: gen, Header: true, Valid: headerEnd, Size: headerEnd, Sum: sumOf(gen, 1)}
}

// after links g to the generation before it.
func after(prev, g wal.Scanned) wal.Scanned {
	g.Link.Prev, g.Link.PrevEnd, g.Link.PrevSum = prev.Gen, uint64(prev.Size), prev.Sum
	return g
}

var errTest = errors.New("the frame is cut short")

// torn adds n bytes to g that are no frame.
func torn(g wal.Scanned, n int64) wal.Scanned {
	g.Size, g.Stop = g.Valid+n, errTest
	return g
}

// witnessed is the ledger's witness of a clean close with the log ending in g.
func witnessed(g wal.Scanned) *ledger.End {
	return &ledger.End{Generation: g.Gen, Offset: g.Valid, Sum: sumText(g.Sum), Head: g.Next() - 1}
}

// fixture is a store in a directory, built piece by piece.
type fixture struct {
	*testing.T
	dir    string
	walDir string
	files  *eventfile.Store
	id     wal.StoreID
	salt   string // if set, bodies are not those of event
}

// newFixture creates a store the way Open does.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := openFixture(t, t.TempDir())
	o, plan, err := f.recover()
	require.NoError(t, err)
	require.Equal(t, Created, plan.Outcome)
	f.id = wal.StoreID(o.Ledger.Store)
	return f
}

// openFixture works on the directory dir, whatever is in it.
func openFixture(t *testing.T, dir string) *fixture {
	t.Helper()
	files, err := eventfile.Open(filepath.Join(dir, EventsDir))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, files.Close()) })
	f := &fixture{T: t, dir: dir, walDir: filepath.Join(dir, WALDir), files: files}
	if led, err := ledger.Load(dir); err == nil {
		f.id = wal.StoreID(led.Store)
	}
	return f
}

// clone copies the directory as a crash at this moment would leave it.
func (f *fixture) clone() *fixture {
	f.Helper()
	dir := f.TempDir()
	require.NoError(f, os.CopyFS(dir, os.DirFS(f.dir)))
	return openFixture(f.T, dir)
}

// event is the event that the tests put at p.
func event(p dcb.Position) dcb.Event {
	return dcb.Event{
		ID: uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "event %d", p)), Type: fmt.Sprintf("T%d", p%3),
		Tags: []dcb.Tag{"all", dcb.Tag(fmt.Sprintf("p:%d", p))}, Data: fmt.Appendf(nil, `{"p":%d}`, p), Time: now,
	}
}

// bodies encodes the events of positions first to last as one body each.
func (f *fixture) bodies(first, last dcb.Position) [][]byte {
	var out [][]byte
	for p := first; p <= last; p++ {
		e := event(p)
		if f.salt != "" {
			e.Data = []byte(f.salt)
		}
		b := codec.AppendRecord(nil, e)
		codec.Stamp(b, f.id.Seed(), p)
		out = append(out, b)
	}
	return out
}

// frame is a commit frame of positions first to last, for generation.
func (f *fixture) frame(first, last dcb.Position) wal.Frame {
	var body []byte
	for _, b := range f.bodies(first, last) {
		body = append(body, b...)
	}
	return wal.Frame{First: first, Count: uint32(last - first + 1), Body: body}
}

// generation publishes a generation; with a nil link it is an unused successor.
func (f *fixture) generation(gen uint64, link *wal.Link, base dcb.Position, frames ...wal.Frame) wal.Built {
	f.Helper()
	b, err := wal.BuildGeneration(f.walDir, f.id, gen, now, link, base, frames)
	require.NoError(f, err)
	return b
}

// linkTo is the link of a generation that continues b.
func linkTo(b wal.Built) *wal.Link {
	return &wal.Link{Prev: b.Gen, PrevEnd: uint64(b.End), PrevSum: b.Sum}
}

// open recovers and opens the log for appends. It never rotates on its own: when that happens would be chance.
func (f *fixture) open() (*wal.Log, Opened) {
	f.Helper()
	o, _, err := f.recover()
	require.NoError(f, err)
	log, err := wal.Open(f.walDir, f.id, o.Live, o.Tail, o.TailNo, wal.Options{RotateBytes: wal.MaxRotateBytes})
	require.NoError(f, err)
	return log, o
}

// append opens the store, writes and syncs one frame for each last position, and leaves it as a killed process would.
func (f *fixture) append(lasts ...dcb.Position) {
	f.Helper()
	log, o := f.open()
	first := o.Report.Head + 1
	for _, last := range lasts {
		_, err := log.Append(first, uint32(last-first+1), f.bodies(first, last))
		require.NoError(f, err)
		require.NoError(f, log.Sync())
		first = last + 1
	}
	require.NoError(f, log.Close())
}

// file writes event files.
func (f *fixture) file(first, last dcb.Position) {
	f.Helper()
	for p := first; p <= last; p++ {
		f.fileEvent(p, event(p))
	}
}

func (f *fixture) fileEvent(p dcb.Position, e dcb.Event) {
	f.Helper()
	require.NoError(f, f.files.Write(p, codec.AppendText(nil, dcb.SequencedEvent{Position: p, Event: e})))
}

// ledger changes ledger.json.
func (f *fixture) ledger(change func(*ledger.State)) {
	f.Helper()
	s, err := ledger.Load(f.dir)
	require.NoError(f, err)
	change(&s)
	require.NoError(f, ledger.Store(f.dir, s))
}

// closeClean records a clean close of the log as it is. REQUIRES: it is whole.
func (f *fixture) closeClean() {
	f.Helper()
	s, err := Inspect(f.dir, f.files, false)
	require.NoError(f, err)
	f.ledger(func(l *ledger.State) { l.Clean = witnessed(s.Generations[len(s.Generations)-1]) })
}

// recover inspects, decides and applies.
func (f *fixture) recover() (Opened, Plan, error) {
	s, err := Inspect(f.dir, f.files, true)
	if err != nil {
		return Opened{}, Plan{}, err
	}
	p, err := Decide(s)
	if err != nil {
		return Opened{}, Plan{}, err
	}
	o, err := Apply(f.dir, s, p, f.files, s.Ledger.Relaxed, now)
	return o, p, err
}

// path of a generation's file.
func (f *fixture) path(gen uint64) string { return wal.GenerationPath(f.walDir, gen) }

// damage changes the bytes of a generation's file.
func (f *fixture) damage(gen uint64, change func(b []byte) []byte) {
	f.Helper()
	b, err := os.ReadFile(f.path(gen))
	require.NoError(f, err)
	require.NoError(f, os.WriteFile(f.path(gen), change(b), 0o644))
}

// tree is everything under dir: names, and contents of files.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			out[path+"/"] = ""
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		out[path] = string(b)
		return err
	}))
	return out
}

// requireEvents recovers twice: the store then has exactly the events 1 to head, indexed and readable where the log
// says, and the second recovery is clean and changes nothing.
func (f *fixture) requireEvents(head dcb.Position) (first Opened) {
	f.Helper()
	first, _, err := f.recover()
	require.NoError(f, err)
	before := tree(f.T, f.dir)
	o, plan, err := f.recover()
	require.NoError(f, err, "the second recovery")
	require.Equal(f, Clean, plan.Outcome, "the second recovery")
	require.Equal(f, before, tree(f.T, f.dir), "the second recovery changed something")
	require.Equal(f, head, o.Report.Head)

	places := index.NewPlaces(o.Report.Materialized)
	loaded, err := f.load(o, places)
	require.NoError(f, err)
	defer loaded.Index.Close()
	view, err := loaded.Index.Acquire()
	require.NoError(f, err)
	defer view.Release()
	for p := dcb.Position(1); p <= head; p++ {
		at, err := view.FirstMatch(dcb.ByTags(dcb.Tag(fmt.Sprintf("p:%d", p))), 0, head)
		require.NoError(f, err)
		require.Equal(f, p, at, "index of position %d", p)
		require.Equal(f, event(p), f.read(p, o, places), "event at position %d", p)
	}
	at, err := view.FirstMatch(dcb.ByTags("all"), head, head+1000)
	require.NoError(f, err)
	require.Zero(f, at, "an event beyond the head")
	return first
}

// load loads what was opened, with an index beside the store, so that the store stays as it is.
func (f *fixture) load(o Opened, places *index.Places) (Loaded, error) {
	return Load(o, index.Found{}, f.files, index.Config{
		Dir: filepath.Join(f.TempDir(), IndexDir), Seed: wal.StoreID(o.Ledger.Store).Seed(), RecentBytes: 1 << 20, Damaged: func() {},
	}, places)
}

func (f *fixture) read(p dcb.Position, o Opened, places *index.Places) dcb.Event {
	f.Helper()
	if p <= o.Report.Materialized {
		e, err := f.files.Read(p)
		require.NoError(f, err)
		return e.Event
	}
	at, ok := places.Get(p)
	require.True(f, ok, "position %d has no place in the log", p)
	b, err := os.ReadFile(f.path(uint64(at.Gen)))
	require.NoError(f, err)
	e, err := codec.DecodeRecord(b[at.Off:at.Off+at.Len], f.id.Seed(), p)
	require.NoError(f, err)
	return e
}

// requireCorrupt checks that err names a file and an offset, and says what is expected.
func requireCorrupt(t *testing.T, err error, file string, offset int64, says string) {
	t.Helper()
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	var ce *dcb.CorruptError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, file, ce.File)
	require.Equal(t, offset, ce.Offset)
	require.Contains(t, ce.Reason, says)
}
