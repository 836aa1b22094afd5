package recovery

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/index"
	"opossum/ledger"
	"opossum/wal"
)

// ward is a store of the positions 1 to 9, three a generation, with an unused successor. Up to 5 they are filed and checkpointed,
// 6 has a provisional file, and the index covers 1 to 3 and 4 to 6.
func ward(t *testing.T) *fixture {
	t.Helper()
	f := threeGenerations(t)
	f.file(1, 6)
	f.indexed(1, 3)
	f.indexed(4, 6)
	f.ledger(func(l *ledger.State) { l.Materialized = 5 })
	require.NoError(t, wal.WriteAcked(f.walDir, f.id, wal.Acked{Gen: 3, Offset: 1, Position: 9}))
	return f
}

func (f *fixture) verify() VerifyReport {
	f.Helper()
	before := tree(f.T, f.dir)
	r, err := Verify(f.Context(), f.dir, VerifyOptions{})
	require.NoError(f, err)
	require.Equal(f, before, tree(f.T, f.dir), "verify has changed something")
	return r
}

func (f *fixture) event(p dcb.Position) string { return f.files.Path(p) }
func (f *fixture) segment(a, b dcb.Position) string {
	return f.dir + "/index/" + fmt.Sprintf("%020d-%020d.idx", a, b)
}

// flip changes one bit of a file.
func (f *fixture) flip(path string, at int) {
	f.Helper()
	b, err := os.ReadFile(path)
	require.NoError(f, err)
	b[(at+len(b))%len(b)] ^= 1
	f.put(path, b)
}

func (f *fixture) put(path string, b []byte) {
	f.Helper()
	require.NoError(f, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(f, os.WriteFile(path, b, 0o644))
}

func (f *fixture) get(path string) []byte {
	f.Helper()
	b, err := os.ReadFile(path)
	require.NoError(f, err)
	return b
}

// swap exchanges two files.
func (f *fixture) swap(a, b string) {
	f.Helper()
	x, y := f.get(a), f.get(b)
	f.put(a, y)
	f.put(b, x)
}

func (f *fixture) remove(path string) {
	f.Helper()
	require.NoError(f, os.RemoveAll(path))
}

// rotFrame flips a bit in the body of a commit frame of a generation and returns the frame.
func (f *fixture) rotFrame(gen uint64, i int) (frame wal.Frame) {
	f.Helper()
	f.damage(gen, func(b []byte) []byte {
		frame = wal.Scan(b, f.id, gen).Commits[i]
		b[frame.BodyOffset+20] ^= 1
		return b
	})
	return frame
}

func TestASoundStoreHasNoFindings(t *testing.T) {
	f := ward(t)
	r := f.verify()
	require.Empty(t, r.Findings)
	require.True(t, r.Sound())
	r.Took = 0
	require.Equal(t, VerifyReport{
		Dir: f.dir, Store: r.Store, Epoch: 1, Head: 9, Materialized: 5, Files: 6, Records: 9, Segments: 2, Findings: []Finding{},
	}, r)
	require.Contains(t, r.String(), "sound; head 9, checkpoint 5")

	requireNothingToDo(t, f)
}

func TestVerifyNamesEveryKindOfDamage(t *testing.T) {
	const sound, damaged = true, false
	for name, c := range map[string]struct {
		do    func(f *fixture)
		sound bool
		want  func(f *fixture) Finding // Detail: what it must contain
	}{
		"a missing event file": {func(f *fixture) { f.remove(f.event(3)) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Missing, File: f.event(3), First: 3, Last: 3, Detail: "no event file"}
		}},
		"several of them": {func(f *fixture) { f.remove(f.event(2)); f.remove(f.event(3)) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Missing, File: f.event(2), First: 2, Last: 3, Detail: "no event file"}
		}},
		"all event files": {func(f *fixture) { f.remove(filepath.Join(f.dir, EventsDir)) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Missing, File: f.event(1), First: 1, Last: 5, Detail: "no event file"}
		}},
		"an altered event file": {func(f *fixture) { f.flip(f.event(3), 60) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.event(3), First: 3, Last: 3, Detail: "checksum does not match"}
		}},
		"a short event file": {func(f *fixture) { f.put(f.event(3), f.get(f.event(3))[:100]) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.event(3), Offset: 59, First: 3, Last: 3, Detail: "does not end in a checksum line"}
		}},
		"an intact event file that the log contradicts": {func(f *fixture) { f.writeOther(5) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.event(5), First: 5, Last: 5, Detail: "the log has another event"}
		}},
		"an event file in the place of another": {func(f *fixture) { f.put(f.event(3), f.get(f.event(2))) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Misplaced, File: f.event(3), First: 3, Last: 3, Detail: "holds event 2"}
		}},
		"no file at all": {func(f *fixture) { f.remove(f.event(3)); require.NoError(f, os.Mkdir(f.event(3), 0o755)) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.event(3), First: 3, Last: 3, Detail: "not a regular file"}
		}},
		"an altered provisional file": {func(f *fixture) { f.flip(f.event(6), 60) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.event(6), First: 6, Last: 6, Detail: "will be written again"}
		}},
		"a file beyond the end": {func(f *fixture) { f.put(f.event(20), []byte("x")) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: f.event(20), Offset: 1, First: 20, Last: 20, Detail: "beyond the last one"}
		}},
		"an intact file beyond the end": {func(f *fixture) { f.writeOther(12) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Missing, File: f.path(3), Offset: f.size(3), First: 10, Last: 12, Detail: "the event file " + f.event(12) + " proves"}
		}},
		"a second copy": {func(f *fixture) { f.put(f.event(3)+".bak", f.get(f.event(3))) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Doubled, File: f.event(3) + ".bak", First: 3, Last: 3, Detail: "a copy"}
		}},
		"the only copy": {func(f *fixture) { require.NoError(f, os.Rename(f.event(3), filepath.Join(f.dir, EventsDir, "3.json"))) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Misplaced, File: filepath.Join(f.dir, EventsDir, "3.json"), First: 3, Last: 3, Detail: "own file is not intact", Harmless: true}
		}},
		"a foreign name": {func(f *fixture) { f.put(filepath.Join(f.dir, EventsDir, "x", "y"), nil) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: filepath.Join(f.dir, EventsDir, "x"), Detail: "not a name"}
		}},
		"a temporary file": {func(f *fixture) { f.put(filepath.Join(filepath.Dir(f.event(1)), ".tmp-1"), nil) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: filepath.Join(filepath.Dir(f.event(1)), ".tmp-1"), Detail: "temporary"}
		}},
		"a probe of the disk": {func(f *fixture) { f.put(filepath.Join(f.dir, "storage.probe-0123456789abcdef"), nil) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: filepath.Join(f.dir, "storage.probe-0123456789abcdef"), Detail: "did not finish"}
		}},
		"what looks like a probe": {func(f *fixture) { f.put(filepath.Join(f.dir, "storage.probe-mine"), nil) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: filepath.Join(f.dir, "storage.probe-mine"), Detail: "not a name"}
		}},
		"a foreign name in the store": {func(f *fixture) { f.put(filepath.Join(f.dir, "notes"), nil) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: filepath.Join(f.dir, "notes"), Detail: "not a name"}
		}},
		"a rotten frame": {func(f *fixture) { f.rotFrame(3, 0) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.path(3), Offset: 218, First: 7, Last: 7, Detail: "checksum does not match"}
		}},
		"a rotten frame in the middle": {func(f *fixture) { f.rotFrame(2, 0) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.path(2), Offset: 218, First: 4, Last: 9, Detail: "checksum does not match"}
		}},
		"a rotten frame that is filed": {func(f *fixture) { f.rotFrame(1, 0) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.path(1), Offset: 218, First: 1, Last: 1, Detail: "nothing in it is needed"}
		}},
		"a torn tail": {func(f *fixture) { f.put(f.path(3), append(f.get(f.path(3)), "torn"...)) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Torn, File: f.path(3), Offset: f.size(3) - 4, Detail: "nothing proves"}
		}},
		"a lost tail": {func(f *fixture) { f.put(f.path(3), f.get(f.path(3))[:218]) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Missing, File: f.path(3), Offset: 218, First: 7, Last: 9, Detail: "ACKED proves"}
		}},
		"a missing generation": {func(f *fixture) { f.remove(filepath.Dir(f.path(2))) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Missing, File: f.path(2), First: 6, Last: 6, Detail: "is missing"}
		}},
		"a missing log": {func(f *fixture) { f.remove(f.walDir) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Missing, File: f.walDir, First: 6, Last: 6, Detail: "no generation in use"}
		}},
		"a log that is a file": {func(f *fixture) { f.remove(f.walDir); f.put(f.walDir, nil) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.walDir, Detail: "not a directory"}
		}},
		"an empty generation": {func(f *fixture) { f.put(f.path(3), nil) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.path(3), First: 0, Last: 0, Detail: "the file is empty"}
		}},
		"a file that deceives": {func(f *fixture) { f.put(filepath.Join(filepath.Dir(f.path(3)), "00000000000000000900.START"), nil) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: filepath.Join(filepath.Dir(f.path(3)), "00000000000000000900.START"), Detail: "take for its own"}
		}},
		"a generation being built": {func(f *fixture) { f.put(filepath.Join(f.walDir, "00000005.tmp", "x"), nil) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: filepath.Join(f.walDir, "00000005.tmp"), Detail: "being built"}
		}},
		"a foreign name in the log": {func(f *fixture) { f.put(filepath.Join(f.walDir, "x"), nil) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: filepath.Join(f.walDir, "x"), Detail: "not a name"}
		}},
		"an altered witness": {func(f *fixture) { f.flip(wal.AckedPath(f.walDir), 3) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: wal.AckedPath(f.walDir), Detail: "not what was written"}
		}},
		"an altered ledger": {func(f *fixture) { f.flip(filepath.Join(f.dir, ledger.FileName), 60) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: filepath.Join(f.dir, ledger.FileName), Detail: "checksum"}
		}},
		"a missing ledger": {func(f *fixture) { f.remove(filepath.Join(f.dir, ledger.FileName)) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Missing, File: filepath.Join(f.dir, ledger.FileName), Detail: "missing"}
		}},
		"another store's ledger": {func(f *fixture) {
			other := newFixture(f.T)
			f.put(filepath.Join(f.dir, ledger.FileName), other.get(filepath.Join(other.dir, ledger.FileName)))
		}, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: filepath.Join(f.dir, ledger.FileName), Detail: "another store"}
		}},
		"a ledger being written": {func(f *fixture) { f.put(filepath.Join(f.dir, ledger.FileName+".tmp"), nil) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: filepath.Join(f.dir, ledger.FileName+".tmp"), Detail: "being written"}
		}},
		"a stale ledger": {func(f *fixture) {
			f.remove(filepath.Dir(f.path(1)))
			f.ledger(func(l *ledger.State) { l.Materialized = 1 })
		}, damaged, func(f *fixture) Finding {
			return Finding{Kind: Missing, File: f.path(1), First: 2, Last: 3, Detail: "is missing"}
		}},
		"an altered segment": {func(f *fixture) { f.flip(f.segment(1, 3), 50) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.segment(1, 3), First: 1, Last: 3}
		}},
		"a short segment": {func(f *fixture) { f.put(f.segment(1, 3), f.get(f.segment(1, 3))[:50]) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.segment(1, 3), Offset: 0, First: 1, Last: 3}
		}},
		"a missing segment": {func(f *fixture) { f.remove(f.segment(1, 3)) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Missing, File: filepath.Join(f.dir, IndexDir), First: 1, Last: 3, Detail: "no index segment"}
		}},
		"a segment that knows too little": {func(f *fixture) { f.misindex(1, 3, func(e *dcb.Event) { e.Tags = e.Tags[1:] }) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.segment(1, 3), First: 1, Last: 3, Detail: `the tag "all"`}
		}},
		"a segment that knows too much": {func(f *fixture) { f.misindex(1, 3, func(e *dcb.Event) { e.Tags = append(e.Tags, "more") }) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.segment(1, 3), First: 1, Last: 3, Detail: "it has 12 postings, where its events have 9"}
		}},
		"a segment that knows too little of events that are only in the log": {func(f *fixture) {
			f.misindex(7, 9, func(e *dcb.Event) { e.Tags = e.Tags[1:] })
		}, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.segment(7, 9), First: 7, Last: 9, Detail: `the tag "all"`}
		}},
		"a segment that knows too much of events that are only in the log": {func(f *fixture) {
			f.misindex(7, 9, func(e *dcb.Event) { e.Tags = append(e.Tags, "more") })
		}, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.segment(7, 9), First: 7, Last: 9, Detail: "it has 12 postings, where its events have 9"}
		}},
		"a segment that knows another type": {func(f *fixture) { f.misindex(4, 6, func(e *dcb.Event) { e.Type = "Other" }) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.segment(4, 6), First: 4, Last: 6, Detail: "the type"}
		}},
		"a superseded segment": {func(f *fixture) { f.indexed(2, 3) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: f.segment(2, 3), Detail: "superseded"}
		}},
		"a segment beyond the end": {func(f *fixture) { f.indexed(7, 11) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Missing, File: f.path(3), Offset: f.size(3), First: 10, Last: 11, Detail: "the index segment"}
		}},
		"a foreign name in the index": {func(f *fixture) { f.put(filepath.Join(f.dir, IndexDir, "x"), nil) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: filepath.Join(f.dir, IndexDir, "x"), Detail: "not a name"}
		}},
		"a repair that did not finish": {func(f *fixture) { f.put(filepath.Join(f.dir, QuarantineDir, unfinishedDir, "x"), nil) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: filepath.Join(f.dir, QuarantineDir, unfinishedDir), Detail: "repair again"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := ward(t)
			c.do(f)
			r := f.verify()
			want := c.want(f)
			if c.sound {
				want.Harmless = true
			}
			i := slices.IndexFunc(r.Findings, func(x Finding) bool { return x.Kind == want.Kind && x.File == want.File })
			require.GreaterOrEqual(t, i, 0, "%v", r.Findings)
			got := r.Findings[i]
			require.Contains(t, got.Detail, want.Detail)
			got.Detail = want.Detail
			if want.Offset == 0 && got.Kind == Altered && strings.HasSuffix(got.File, ".idx") {
				got.Offset = 0 // which block it is, package segment knows
			}
			require.Equal(t, want, got)
			require.Equal(t, c.sound, r.Sound(), "%v", r.Findings)
			if c.sound {
				require.Contains(t, got.String(), "harmless")
			}
		})
	}
}

// writeOther files an intact event at p that is not the one the store has there.
func (f *fixture) writeOther(p dcb.Position) {
	f.Helper()
	other := newFixture(f.T)
	e := event(p)
	e.Data = []byte(`"other"`)
	other.fileEvent(p, e)
	f.put(f.event(p), other.get(other.event(p)))
}

func (f *fixture) size(gen uint64) int64 { return int64(len(f.get(f.path(gen)))) }

// misindex replaces a segment by a sound one of other events.
func (f *fixture) misindex(first, last dcb.Position, change func(e *dcb.Event)) {
	f.Helper()
	_, err := index.Build(f.Context(), filepath.Join(f.dir, IndexDir), f.id.Seed(), between(first, last), func(p dcb.Position) (dcb.Event, error) {
		e := event(p)
		change(&e)
		return e, nil
	})
	require.NoError(f, err)
}

func TestVerifyOfADirectoryThatIsNoStore(t *testing.T) {
	_, err := Verify(t.Context(), filepath.Join(t.TempDir(), "absent"), VerifyOptions{})
	require.ErrorIs(t, err, os.ErrNotExist)
	empty := t.TempDir()
	_, err = Verify(t.Context(), empty, VerifyOptions{})
	require.ErrorIs(t, err, dcb.ErrNotStore)
	require.NoError(t, os.WriteFile(filepath.Join(empty, LockFile), nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(empty, "storage.probe"), nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(empty, "storage.json"), nil, 0o644))
	require.ErrorIs(t, CheckStore(empty), dcb.ErrNotStore, "a directory where the disk was measured")
	require.NoError(t, os.WriteFile(filepath.Join(empty, "notes"), nil, 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(empty, WALDir), 0o755))
	_, err = Verify(t.Context(), empty, VerifyOptions{})
	require.ErrorIs(t, err, dcb.ErrNotStore, "a directory that has a wal as well")
	require.ErrorContains(t, err, "notes")
}

func TestVerifyOfANewerStore(t *testing.T) {
	f := ward(t)
	path := filepath.Join(f.dir, ledger.FileName)
	f.put(path, bytes.Replace(f.get(path), []byte(`"version": 1`), []byte(`"version": 2`), 1))
	_, err := Verify(t.Context(), f.dir, VerifyOptions{})
	require.ErrorIs(t, err, dcb.ErrVersion)
}

func TestAStoreThatWasNotBornIsSound(t *testing.T) {
	f := newFixture(t)
	f.remove(filepath.Join(f.dir, ledger.FileName))
	r := f.verify()
	require.True(t, r.Sound())
	require.Contains(t, r.Findings[0].Detail, "begins anew")
	requireNothingToDo(t, f)
}

// Only a store without a ledger was not born; one that has a ledger and a log in which nothing happened is as sound as it says.
// Events in the log alone are events: a store that has lost its ledger and nothing else is not begun anew.
func TestAStoreWithEventsInTheLogAloneWasBorn(t *testing.T) {
	f := newFixture(t)
	f.append(2, 5)
	f.remove(filepath.Join(f.dir, ledger.FileName))
	r := f.verify()
	require.False(t, r.Sound(), "%v", r.Findings)
	require.EqualValues(t, 5, r.Head)
	f.repair(RepairOptions{})
	f.requireAll(5)
}

// Whatever is wrong with one file, those behind it are looked at as well.
func TestEachOfSeveralDamagedFilesIsNamed(t *testing.T) {
	f := ward(t)
	f.writeOther(1)
	f.put(f.event(2), []byte("rot"))
	f.put(f.event(3), f.get(f.event(4)))
	f.remove(f.event(4))
	require.NoError(t, os.Mkdir(f.event(4), 0o755))
	f.flip(f.event(5), 60)
	named := map[string]bool{}
	for _, x := range f.verify().Findings {
		named[x.File] = true
	}
	for p := dcb.Position(1); p <= 5; p++ {
		require.True(t, named[f.event(p)], "event file %d", p)
	}
}

func TestABornStoreWithoutEventsIsNotBegunAnew(t *testing.T) {
	f := newFixture(t)
	r := f.verify()
	require.True(t, r.Sound())
	for _, x := range r.Findings {
		require.NotContains(t, x.Detail, "begins anew")
	}
	s, err := gather(t.Context(), f.dir, newMeter(nil))
	require.NoError(t, err)
	require.False(t, s.unborn)
}

func requireNothingToDo(t *testing.T, f *fixture) {
	t.Helper()
	before := tree(t, f.dir)
	rep, err := Repair(t.Context(), f.dir, RepairOptions{})
	require.NoError(t, err)
	require.Empty(t, rep.Steps)
	require.True(t, rep.Done)
	require.Equal(t, before, tree(t, f.dir))
}

func TestVerifyHeedsItsContextAndTellsItsProgress(t *testing.T) {
	f := ward(t)
	ctx, cancel := context.WithCancel(t.Context())
	var done, total uint64
	_, err := Verify(ctx, f.dir, VerifyOptions{Progress: func(d, n uint64) {
		require.GreaterOrEqual(t, d, done)
		require.GreaterOrEqual(t, n, total)
		require.LessOrEqual(t, d, n)
		done, total = d, n
	}})
	require.NoError(t, err)
	require.Positive(t, total)
	require.Equal(t, total, done)
	for calls := 1; ; calls++ { // cancelled at each step
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		_, err = Verify(ctx, f.dir, VerifyOptions{Progress: func(uint64, uint64) {
			if n++; n == calls {
				cancel()
			}
		}})
		cancel()
		if n < calls {
			break
		}
		if err != nil { // the last call may be behind the last look
			require.ErrorIs(t, err, context.Canceled)
		}
	}
	cancel()
	_, err = Verify(ctx, f.dir, VerifyOptions{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestAFindingIsOneLine(t *testing.T) {
	f := Finding{Kind: Altered, File: "a\nb", Offset: 7, First: 2, Last: 4, Detail: "d\x1b[31m", Harmless: true}
	require.Equal(t, `altered   "a\nb" at offset 7, positions 2 to 4: "d\x1b[31m" (harmless)`, f.String())
	require.Equal(t, `missing   x, position 2: y`, Finding{Kind: Missing, File: "x", First: 2, Last: 2, Detail: "y"}.String())
	b, err := json.Marshal(f)
	require.NoError(t, err)
	require.JSONEq(t, `{"kind":"altered","file":"a\nb","offset":7,"first":2,"last":4,"detail":"d\u001b[31m","harmless":true}`, string(b))
}

func TestSpans(t *testing.T) {
	s := union([]Span{{7, 9}, {1, 2}, {3, 3}, {8, 12}, {20, 1<<64 - 1}, {1<<64 - 1, 1<<64 - 1}})
	require.Equal(t, spans{{1, 3}, {7, 12}, {20, 1<<64 - 1}}, s)
	require.Equal(t, spans{{4, 6}, {13, 19}}, s.gaps(1, 1<<64-1))
	require.Equal(t, spans{{5, 6}}, s.gaps(5, 8))
	require.Empty(t, s.gaps(8, 9))
	require.Empty(t, s.gaps(9, 8))
	require.Equal(t, spans{{2, 3}, {7, 8}}, s.within(2, 8))
	require.Equal(t, spans{{1, 3}, {7, 8}, {11, 12}}, s.without(spans{{9, 10}, {15, 1<<64 - 1}}))
	require.EqualValues(t, 9, s[:2].count())
	require.Equal(t, []dcb.Position{1, 2, 3, 7}, slices.Collect(spans{{1, 3}, {7, 7}}.positions()))
	require.True(t, s.has(7) && s.has(12) && s.has(1<<64-1))
	require.False(t, s.has(0) || s.has(4) || s.has(13))
	require.Zero(t, spans(nil).last())
	require.Equal(t, "position 7", Span{7, 7}.String())
}

// ends is a context that ends just before it is asked for the at-th time.
type ends struct {
	context.Context
	at    int64
	asked *atomic.Int64
}

func (c ends) Err() error {
	if c.asked.Add(1) >= c.at {
		return context.Canceled
	}
	return nil
}

// TestASurveyThatIsEndedIsNoWholeOne, wherever it is ended: also in the last that it looks at.
func TestASurveyThatIsEndedIsNoWholeOne(t *testing.T) {
	for name, last := range map[string][]string{"a stray": {EventsDir, "stray", "deep"}, "a repair that died": {QuarantineDir, unfinishedDir, "stray"}} {
		t.Run(name, func(t *testing.T) {
			f := hard(t, true)
			f.remove(filepath.Join(f.dir, QuarantineDir))
			f.put(filepath.Join(f.walDir, "00000009.tmp", "00000000000000000001"), []byte("x"))
			f.put(filepath.Join(append([]string{f.dir}, last...)...), []byte("x"))
			requireNoHalfSurvey(t, f)
		})
	}
}

func requireNoHalfSurvey(t *testing.T, f *fixture) {
	for name, do := range map[string]func(context.Context) error{
		"verify": func(ctx context.Context) error {
			_, err := Verify(ctx, f.dir, VerifyOptions{})
			return err
		},
		"repair": func(ctx context.Context) error {
			_, err := Repair(ctx, f.dir, RepairOptions{DryRun: true})
			return err
		},
	} {
		for at := int64(1); ; at++ {
			asked := new(atomic.Int64)
			err := do(ends{context.Background(), at, asked})
			if asked.Load() < at {
				require.NoError(t, err, name)
				require.Greater(t, at, int64(20), name)
				break
			}
			require.ErrorIs(t, err, context.Canceled, "%s, asked %d times", name, at)
		}
	}
	v, err := Verify(t.Context(), f.dir, VerifyOptions{})
	require.NoError(t, err)
	require.Equal(t, f.dir, v.Dir)
	r, err := Repair(t.Context(), f.dir, RepairOptions{DryRun: true})
	require.NoError(t, err)
	require.Equal(t, f.dir, r.Dir)
}
