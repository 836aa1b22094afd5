//go:build !smallshards

// These tests count in shards of 10,000 positions.

package recovery

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/internal/eventfile"
	"opossum/internal/index"
	"opossum/internal/pack"
	"opossum/ledger"
	"opossum/wal"
)

// whole is the range of the pack that the tests damage.
var whole = pack.Range{First: 1, Last: eventfile.ShardPositions}

// vault is a store of the positions 1 to 10,006. The first shard is a pack; 10,001 to 10,003 are files and checkpointed, 10,004 has a provisional file. The
// log has what is above 9,997, the index what is checkpointed.
func vault(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	require.NoError(t, wal.RemoveGeneration(f.walDir, 1))
	f.generation(2, &wal.Link{Checkpoint: 9_997}, 9_998, f.frame(9_998, 10_000), f.frame(10_001, 10_003), f.frame(10_004, 10_006))
	f.packShard(1)
	f.file(10_001, 10_004)
	f.indexed(1, 10_000)
	f.indexed(10_001, 10_003)
	f.ledger(func(l *ledger.State) { l.Materialized = 10_003 })
	require.NoError(t, wal.WriteAcked(f.walDir, f.id, wal.Acked{Gen: 2, Offset: 1, Position: 10_006}))
	return f
}

// packShard writes the pack of the shard that begins at first.
func (f *fixture) packShard(first dcb.Position, change ...func(dcb.Position, *dcb.Event)) {
	f.Helper()
	require.NoError(f, f.files.Bind(f.id.Seed()))
	w, err := f.files.Pack(first)
	require.NoError(f, err)
	var rec []byte
	for p := first; p < first+eventfile.ShardPositions; p++ {
		e := event(p)
		for _, c := range change {
			c(p, &e)
		}
		rec = codec.AppendRecord(rec[:0], e)
		codec.Stamp(rec, f.id.Seed(), p)
		require.NoError(f, w.Add(rec))
	}
	require.NoError(f, w.Commit())
}

func (f *fixture) pack(first dcb.Position) string {
	return filepath.Join(f.dir, PacksDir, pack.Name(pack.Range{First: first, Last: first + eventfile.ShardPositions - 1}))
}

// blockOf returns what block i of the first pack holds, and where in the file its middle is.
func (f *fixture) block(i int) (at pack.Range, middle int) {
	f.Helper()
	p, err := pack.Open(filepath.Join(f.dir, PacksDir), f.id.Seed(), whole)
	require.NoError(f, err)
	defer p.Close()
	b, n := f.get(p.Path()), 0
	for j := range p.Blocks() { // blocks begin with the magic of their frames
		next := n + 4 + strings.Index(string(b[n+4:]), "\x28\xb5\x2f\xfd")
		if n == 0 {
			next = strings.Index(string(b), "\x28\xb5\x2f\xfd")
		}
		if n = next; j == i {
			break
		}
	}
	if i == p.Blocks()-1 {
		return p.Positions(i), n + 40 // it is short
	}
	return p.Positions(i), n + 1000
}

// rotBlock flips a bit in a block of the first pack, and returns its positions.
func (f *fixture) rotBlock(i int) Span {
	f.Helper()
	at, middle := f.block(i)
	f.flip(f.pack(1), middle)
	return Span(at)
}

func TestAStoreWithPacksIsSound(t *testing.T) {
	f := vault(t)
	for name, more := range map[string]func(){
		"a pack":                          func() {},
		"and some of its events in files": func() { f.file(1, 300) },
		"and what a crash in packing left": func() {
			f.file(9_999, 10_000)
			f.put(filepath.Join(f.dir, PacksDir, ".tmp-0123456789abcdef"), []byte("half"))
		},
		"and a file that is damaged as well": func() { f.file(7, 7); f.flip(f.event(7), 60) },
	} {
		t.Run(name, func(t *testing.T) {
			more()
			r := f.verify()
			require.True(t, r.Sound(), "%v", r.Findings)
			require.Equal(t, 1, r.Packs)
			require.EqualValues(t, 10_000, r.Packed)
			require.Contains(t, r.String(), "10000 events in 1 pack")
		})
	}
	f = vault(t)
	r := f.verify()
	require.Empty(t, r.Findings)
	require.EqualValues(t, 4, r.Files)
	require.EqualValues(t, 10_006, r.Head)
	requireNothingToDo(t, f)
	require.Contains(t, r.String(), "head 10006, checkpoint 10003, 4 event files, 10000 events in 1 pack")
	f.file(1, 300)
	require.Empty(t, f.verify().Findings, "files beside a pack are what a crash in packing leaves")
	requireNothingToDo(t, f)
}

func TestVerifyNamesEveryKindOfDamageInPacks(t *testing.T) {
	const sound, damaged = true, false
	alter := func(p dcb.Position, e *dcb.Event) {
		if p == 5 || p >= 9_999 {
			e.Data = []byte(`"other"`)
		}
	}
	for name, c := range map[string]struct {
		do    func(f *fixture)
		sound bool
		want  func(f *fixture) Finding // Detail: what it must contain
	}{
		"a header": {func(f *fixture) { f.flip(f.pack(1), 3) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.pack(1), First: 1, Last: 10_000, Detail: "the header is not"}
		}},
		"a footer": {func(f *fixture) { f.flip(f.pack(1), -20) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.pack(1), Offset: int64(len(f.get(f.pack(1))) - 40), First: 1, Last: 10_000, Detail: "footer does not match"}
		}},
		"a table": {func(f *fixture) { f.flip(f.pack(1), -60) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.pack(1), Offset: -1, First: 1, Last: 10_000, Detail: "table does not match"}
		}},
		"a block": {func(f *fixture) { f.rotBlock(3) }, damaged, func(f *fixture) Finding {
			at, _ := vault(f.T).block(3)
			return Finding{Kind: Altered, File: f.pack(1), Offset: -1, First: at.First, Last: at.Last, Detail: "block does not match"}
		}},
		"a block, its events being in files": {func(f *fixture) { at := f.rotBlock(3); f.file(at.First, at.Last) }, sound, func(f *fixture) Finding {
			at, _ := vault(f.T).block(3)
			return Finding{Kind: Altered, File: f.pack(1), Offset: -1, First: at.First, Last: at.Last, Detail: "intact in event files"}
		}},
		"a pack that is cut": {func(f *fixture) { f.put(f.pack(1), f.get(f.pack(1))[:5000]) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.pack(1), Offset: 5000 - 40, First: 1, Last: 10_000, Detail: "footer does not match"}
		}},
		"an empty pack": {func(f *fixture) { f.put(f.pack(1), nil) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.pack(1), First: 1, Last: 10_000, Detail: "too short"}
		}},
		"a pack that the log contradicts": {func(f *fixture) { f.packShard(1, alter) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.pack(1), First: 9_999, Last: 10_000, Detail: "the log has another event"}
		}},
		"a pack that the index contradicts": {func(f *fixture) {
			f.packShard(1, func(p dcb.Position, e *dcb.Event) { e.Type = "Other" })
		}, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.segment(1, 10_000), First: 1, Last: 10_000, Detail: "index does not know of it"}
		}},
		"a pack of another store": {func(f *fixture) {
			other := newFixture(f.T)
			other.packShard(1)
			f.put(f.pack(1), other.get(other.pack(1)))
		}, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.pack(1), Offset: -1, First: 1, Last: 10_000, Detail: "footer does not match"}
		}},
		"a pack that is missing": {func(f *fixture) { f.file(4, 5); f.remove(f.pack(1)) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Missing, File: f.event(1), First: 1, Last: 3, Detail: "no event file, and no pack"}
		}},
		"a block, its events but for one being in files": {func(f *fixture) { at := f.rotBlock(3); f.file(at.First+1, at.Last) }, damaged, func(f *fixture) Finding {
			at, _ := vault(f.T).block(3)
			return Finding{Kind: Altered, File: f.pack(1), Offset: -1, First: at.First, Last: at.Last, Detail: "block does not match"}
		}},
		"a file that the pack contradicts": {func(f *fixture) { f.writeOther(5) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.event(5), First: 5, Last: 5, Detail: "the pack has another event"}
		}},
		"a damaged file that the pack has": {func(f *fixture) { f.file(5, 5); f.flip(f.event(5), 60) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.event(5), First: 5, Last: 5, Detail: "answers in its place"}
		}},
		"a damaged file and a damaged block": {func(f *fixture) {
			at := f.rotBlock(0)
			f.file(at.First, at.Last)
			f.flip(f.event(5), 60)
		}, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.event(5), First: 5, Last: 5, Detail: "checksum"}
		}},
		"a pack in the place of another": {func(f *fixture) {
			f.remove(f.event(10_001))
			require.NoError(f, os.Rename(f.pack(1), f.pack(10_001)))
		}, damaged, func(f *fixture) Finding {
			return Finding{Kind: Misplaced, File: f.pack(10_001), First: 10_001, Last: 20_000, Detail: "the file holds events of positions 1 to 10000"}
		}},
		"a second copy": {func(f *fixture) { f.put(f.pack(1)+".bak", f.get(f.pack(1))) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Doubled, File: f.pack(1) + ".bak", First: 1, Last: 10_000, Detail: "copies of events"}
		}},
		"the only copy": {func(f *fixture) {
			require.NoError(f, os.Rename(f.pack(1), filepath.Join(f.dir, EventsDir, "first.pack")))
		}, damaged, func(f *fixture) Finding {
			return Finding{Kind: Misplaced, File: filepath.Join(f.dir, EventsDir, "first.pack"), First: 1, Last: 10_000, Detail: "not intact in their own places", Harmless: true}
		}},
		"a pack of no shard": {func(f *fixture) {
			f.put(filepath.Join(f.dir, PacksDir, pack.Name(pack.Range{First: 2, Last: 10_001})), nil)
		}, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: filepath.Join(f.dir, PacksDir, pack.Name(pack.Range{First: 2, Last: 10_001})), Detail: "not a name"}
		}},
		"a foreign name": {func(f *fixture) { f.put(filepath.Join(f.dir, PacksDir, "x", "y"), nil) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: filepath.Join(f.dir, PacksDir, "x"), Detail: "not a name"}
		}},
		"a directory in the place of a pack": {func(f *fixture) { f.remove(f.pack(1)); f.put(filepath.Join(f.pack(1), "y"), nil) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: f.pack(1), Detail: "not a name", Harmless: true}
		}},
		"a pack being written": {func(f *fixture) { f.put(filepath.Join(f.dir, PacksDir, ".tmp-1"), nil) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: filepath.Join(f.dir, PacksDir, ".tmp-1"), Detail: "being written"}
		}},
		"a file in the place of the packs": {func(f *fixture) { f.remove(filepath.Join(f.dir, PacksDir)); f.put(filepath.Join(f.dir, PacksDir), nil) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: filepath.Join(f.dir, PacksDir), Detail: "not a directory"}
		}},
		"a damaged pack that the checkpoint divides": {func(f *fixture) { f.put(f.pack(10_001), []byte("rot")) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.pack(10_001), First: 10_001, Last: 20_000, Detail: "intact in event files"}
		}},
		"a damaged pack above the checkpoint": {func(f *fixture) {
			f.ledger(func(l *ledger.State) { l.Materialized = 10_000 })
			f.put(f.pack(10_001), []byte("rot"))
		}, sound, func(f *fixture) Finding {
			return Finding{Kind: Altered, File: f.pack(10_001), First: 10_001, Last: 20_000, Detail: "will be written again"}
		}},
		"a damaged pack beyond the end": {func(f *fixture) { f.put(f.pack(20_001), []byte("rot")) }, sound, func(f *fixture) Finding {
			return Finding{Kind: Leftover, File: f.pack(20_001), First: 20_001, Last: 30_000, Detail: "beyond the last one"}
		}},
		"an intact pack beyond the end": {func(f *fixture) { f.packShard(20_001) }, damaged, func(f *fixture) Finding {
			return Finding{Kind: Missing, File: f.path(2), Offset: f.size(2), First: 10_007, Last: 30_000, Detail: "the pack " + f.pack(20_001) + " proves"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := vault(t)
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
			if want.Offset < 0 { // which it is, package pack knows
				require.Positive(t, got.Offset)
				got.Offset = want.Offset
			}
			require.Equal(t, want, got)
			require.Equal(t, c.sound, r.Sound(), "%v", r.Findings)
		})
	}
}

// What repair would write, and from where, without writing it: a shard of files takes its time.
func TestRepairFindsWhatIsIntactInPacks(t *testing.T) {
	all := spanOf(1, 10_000)
	for name, c := range map[string]struct {
		do    func(f *fixture)
		write spans // positions of files
		packs int   // that are given up
	}{
		"no header":                         {func(f *fixture) { f.flip(f.pack(1), 3) }, all, 1},
		"no footer":                         {func(f *fixture) { f.flip(f.pack(1), -20) }, all, 1},
		"no table":                          {func(f *fixture) { f.flip(f.pack(1), -60) }, all, 1},
		"no end":                            {func(f *fixture) { f.put(f.pack(1), append(f.get(f.pack(1)), "more"...)) }, all, 1},
		"a damaged block that is in files":  {func(f *fixture) { at := f.rotBlock(0); f.file(1, at.Last) }, spanOf(131, 10_000), 1},
		"a pack under another name":         {func(f *fixture) { f.rename(f.pack(1), f.pack(1)+"~") }, all, 0},
		"a pack in the place of another":    {func(f *fixture) { f.rename(f.pack(1), f.pack(10_001)) }, all, 1},
		"a pack among the event files":      {func(f *fixture) { f.rename(f.pack(1), filepath.Join(f.dir, EventsDir, "x")) }, all, 0},
		"a pack in the place of an event":   {func(f *fixture) { f.rename(f.pack(1), f.event(10_002)) }, union([]Span{all[0], {10_002, 10_002}}), 0},
		"a pack in the place of a segment":  {func(f *fixture) { f.rename(f.pack(1), f.segment(1, 10_000)) }, all, 0},
		"a pack in the place of the ledger": {func(f *fixture) { f.rename(f.pack(1), filepath.Join(f.dir, ledger.FileName)) }, spanOf(1, 9_997), 0},
		"a pack in the place of a generation": {func(f *fixture) {
			f.file(10_004, 10_006)
			f.rename(f.pack(1), f.path(2))
		}, all, 0},
		"a pack beside the store": {func(f *fixture) { f.rename(f.pack(1), filepath.Join(f.dir, "first.pack")) }, all, 0},
		"a pack in a directory": {func(f *fixture) {
			f.put(filepath.Join(f.dir, PacksDir, "old", "x"), f.get(f.pack(1)))
			f.remove(f.pack(1))
		}, all, 0},
		"a pack in the place of all packs": {func(f *fixture) {
			b := f.get(f.pack(1))
			f.remove(filepath.Dir(f.pack(1)))
			f.put(filepath.Dir(f.pack(1)), b)
		}, all, 0},
		"a repair that died, and its pack": {func(f *fixture) {
			f.put(filepath.Join(f.dir, QuarantineDir, unfinishedDir, PacksDir, filepath.Base(f.pack(1))), f.get(f.pack(1)))
			f.remove(f.pack(1))
		}, all, 0},
		"a pack that the log contradicts": {func(f *fixture) {
			f.packShard(1, func(p dcb.Position, e *dcb.Event) {
				if p > 9_998 {
					e.Data = []byte(`"other"`)
				}
			})
		}, all, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := vault(t)
			c.do(f)
			s, err := gather(t.Context(), f.dir, newMeter(nil))
			require.NoError(t, err)
			j := s.judge()
			if c.packs > 0 || c.write != nil {
				require.NotEmpty(t, s.findings(j))
			}
			p, err := s.planRepair(j, false, uuid.New(), now)
			require.NoError(t, err)
			require.Empty(t, p.losses)
			require.Equal(t, c.write, p.write.within(1, 10_003))
			require.Len(t, p.packs, c.packs)
			from := bodies{s: s}
			defer from.close()
			for p := range p.write.positions() {
				e, err := from.event(p)
				require.NoError(t, err)
				require.Equal(t, event(p), e)
			}
		})
	}
}

// Who asks for events of a damaged pack in any order gets them, from several files, too.
func TestSalvagedRecordsAreReadInAnyOrder(t *testing.T) {
	f := vault(t)
	f.put(f.pack(1)+"~", f.get(f.pack(1)))
	f.packShard(20_001)
	f.rename(f.pack(20_001), f.pack(30_001))
	f.remove(f.pack(1))
	s, err := gather(t.Context(), f.dir, newMeter(nil))
	require.NoError(t, err)
	from := bodies{s: s}
	defer from.close()
	for _, p := range []dcb.Position{9_997, 1, 20_001, 2, 29_999, 29_998, 5_000, 4_999, 5_000} {
		e, err := from.event(p)
		require.NoError(t, err)
		require.Equal(t, event(p), e)
	}
	f.put(f.pack(1)+"~", []byte("gone"))
	from.close()
	_, err = from.event(7)
	require.ErrorContains(t, err, "two reads differ: the record of position 7 is gone")
}

// A pack that no checkpoint vouches for may have vanished with the power: a checkpoint that rises above it rests on files that are written and synced.
func TestAPackThatNobodyKnowsToBeDurableBecomesFiles(t *testing.T) {
	f := above(t)
	gens, err := wal.List(f.walDir)
	require.NoError(t, err)
	f.rotFrame(gens.Generations[0], 0)
	s, err := gather(t.Context(), f.dir, newMeter(nil))
	require.NoError(t, err)
	j := s.judge()
	require.ErrorIs(t, j.refusal, dcb.ErrCorrupt)
	p, err := s.planRepair(j, false, uuid.New(), now)
	require.NoError(t, err)
	require.Empty(t, p.losses)
	require.Equal(t, spanOf(1, 10_000), p.write)
	require.Equal(t, []string{f.pack(1)}, p.packs)
	from := bodies{s: s}
	defer from.close()
	for p := dcb.Position(1); p <= 10_000; p += 999 {
		e, err := from.event(p)
		require.NoError(t, err)
		require.Equal(t, event(p), e)
	}
}

func (f *fixture) rename(from, to string) {
	f.Helper()
	require.NoError(f, os.Rename(from, to))
}

func TestRepairOfPacks(t *testing.T) {
	for name, do := range map[string]func(f *fixture){
		"a pack that cannot be read":       func(f *fixture) { f.flip(f.pack(1), 3) },
		"a file that the pack contradicts": func(f *fixture) { f.writeOther(5) },
		"a damaged file that the pack has": func(f *fixture) { f.file(5, 5); f.flip(f.event(5), 60) },
		"the only copy of another event in such a file": func(f *fixture) {
			f.remove(f.walDir)
			require.NoError(f, os.Mkdir(f.walDir, 0o755))
			f.generation(3, &wal.Link{Checkpoint: 10_003}, 10_004, f.frame(10_004, 10_006))
			require.NoError(f, wal.WriteAcked(f.walDir, f.id, wal.Acked{Gen: 3, Offset: 1, Position: 10_006}))
			f.put(f.event(5), f.get(f.event(10_001)))
			f.remove(f.event(10_001))
		},
		"a damaged pack that the checkpoint divides": func(f *fixture) { f.put(f.pack(10_001), []byte("rot")) },
		"damaged packs beyond the end":               func(f *fixture) { f.put(f.pack(20_001), []byte("rot")); f.put(f.pack(90_001), nil) },
		"foreign things": func(f *fixture) {
			f.put(filepath.Join(f.dir, PacksDir, "x", "y"), nil)
			f.put(filepath.Join(f.dir, PacksDir, ".tmp-1"), nil)
		},
		"a log that cannot be gone on from": func(f *fixture) { f.rotFrame(2, 1); f.file(10_005, 10_006) },
		"no ledger":                         func(f *fixture) { f.remove(filepath.Join(f.dir, ledger.FileName)) },
		"no index":                          func(f *fixture) { f.remove(filepath.Join(f.dir, IndexDir)) },
		"no directory of files":             func(f *fixture) { f.remove(filepath.Join(f.dir, EventsDir)); f.remove(filepath.Join(f.dir, IndexDir)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := vault(t)
			do(f)
			before := tree(t, f.dir)
			rep := f.repair(RepairOptions{})
			require.Empty(t, rep.Lost)
			require.EqualValues(t, 10_006, rep.Head)
			f.requireKept(before)
			f.append(10_008) // and the log goes on
			f.requireAll(10_008)
		})
	}
}

func (f *fixture) blocks() int {
	p, err := pack.Open(filepath.Join(f.dir, PacksDir), f.id.Seed(), whole)
	require.NoError(f, err)
	defer p.Close()
	return p.Blocks()
}

func TestLossesInPacksNeedConsent(t *testing.T) {
	f := vault(t)
	lost := f.rotBlock(3)
	f.file(lost.First, lost.First+1)
	f.remove(f.event(10_002))
	lost.First += 2
	before := tree(t, f.dir)
	rep, err := Repair(t.Context(), f.dir, RepairOptions{})
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.ErrorContains(t, err, f.pack(1), "it names the pack")
	require.Len(t, rep.Lost, 1, "the log has the other one")
	require.Equal(t, Loss{Span: within(lost, rep.Lost[0].Span)}, rep.Lost[0], "a flipped bit costs some records of the block, and not those before it")
	after := tree(t, f.dir)
	for path, was := range before {
		require.Equal(t, was, after[path], path)
	}
	for path := range after { // what the log has, and what is left of the block
		if _, ok := before[path]; !ok {
			var p dcb.Position
			_, err := fmt.Sscanf(filepath.Base(path), "%d.json", &p)
			require.NoError(t, err, path)
			require.True(t, p == 10_002 || p >= lost.First && p <= lost.Last, path)
		}
	}

	rep = f.repair(RepairOptions{AcceptLoss: true})
	require.NoFileExists(t, f.pack(1))
	require.FileExists(t, filepath.Join(rep.Quarantine, PacksDir, filepath.Base(f.pack(1))))
	f.requireAll(10_006, slices.Collect(spans{rep.Lost[0].Span}.positions())...)
	require.EqualValues(t, 2, f.epoch())
}

// within returns what a and b have in common.
func within(a, b Span) Span { return Span{max(a.First, b.First), min(a.Last, b.Last)} }

// Whatever is damaged in a pack, every record that is intact in it is a source, and what is brought back is right.
func TestEveryRecordThatIsIntactInADamagedPackIsFound(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	begun := vault(t)
	healthy := begun.get(begun.pack(1))
	for range 20 {
		f := begun
		b := slices.Clone(healthy)
		switch n := rnd.IntN(len(b) - 100); rnd.IntN(4) {
		case 0:
			b = b[:n]
		case 1:
			b = b[n:]
		case 2:
			clear(b[n : n+100])
		}
		for range rnd.IntN(4) {
			b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
		}
		f.put(f.pack(1), b)
		intact := spans(nil)
		for raw := range pack.Salvage(b) {
			for x := range codec.Salvage(raw, f.id.Seed(), whole.First, whole.Last) {
				intact = append(intact, Span{x.Position, x.Position})
			}
		}
		s, err := gather(t.Context(), f.dir, newMeter(nil))
		require.NoError(t, err)
		from := bodies{s: s}
		defer from.close()
		for p := range union(intact).positions() {
			e, err := from.event(p)
			require.NoError(t, err)
			require.Equal(t, event(p), e)
		}
		for _, l := range s.losses(s.judge()) {
			require.Empty(t, union(intact).within(l.First, l.Last))
		}
	}
}

func TestARepairOfPacksThatIsInterruptedIsTakenUp(t *testing.T) {
	errKilled := errors.New("killed")
	for _, at := range []string{"event file 5000", "packs", "end"} {
		t.Run(at, func(t *testing.T) {
			f := vault(t)
			f.put(f.event(10_001), []byte("rot"))
			block, _ := f.block(2)
			f.file(1, block.First)
			f.flip(f.pack(1), 3)
			r := newRepairer(f.dir, RepairOptions{})
			r.step = func(what string) error {
				if what == at {
					return errKilled
				}
				return nil
			}
			_, err := r.run(t.Context())
			require.ErrorIs(t, err, errKilled)
			if at != "end" {
				require.FileExists(t, f.pack(1), "it stays until its events are durable in files")
			}
			rep, err := Repair(t.Context(), f.dir, RepairOptions{})
			require.NoError(t, err)
			require.True(t, rep.Done)
			f.requireRepaired()
			require.FileExists(t, filepath.Join(rep.Quarantine, PacksDir, filepath.Base(f.pack(1))))
			f.requireAll(10_006)
		})
	}
}

// Whoever has lost ledger and log has the packs: their records tell what they were written with.
func TestPacksOfAStoreWithoutAnIdentity(t *testing.T) {
	f := vault(t)
	f.file(10_005, 10_006)
	f.remove(filepath.Join(f.dir, ledger.FileName))
	f.remove(f.walDir)
	f.flip(f.pack(1), -3) // nothing depends on its footer
	_, err := Repair(t.Context(), f.dir, RepairOptions{})
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	rep, err := Repair(t.Context(), f.dir, RepairOptions{AcceptLoss: true})
	require.NoError(t, err)
	require.Equal(t, []Loss{{Span: Span{First: 10_007}, Unknown: true}}, rep.Lost)
	f.requireRepaired()
	f.requireAll(10_006)
}

func TestAStoreWithPacksAndNoLedgerIsNotNew(t *testing.T) {
	f := newFixture(t)
	f.packShard(1)
	f.remove(filepath.Join(f.dir, ledger.FileName))
	_, err := Inspect(f.dir, f.files, false)
	requireCorrupt(t, err, filepath.Join(f.dir, ledger.FileName), 0, "missing beside existing events")
	f.put(f.pack(1), nil)
	_, err = Inspect(f.dir, f.files, false)
	requireCorrupt(t, err, filepath.Join(f.dir, ledger.FileName), 0, "missing beside existing events")
	require.False(t, f.verify().Sound())
}

// above is a store with a log of 10,000 events, none of which is filed, and a pack of them.
func above(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.append(5_000, 10_000)
	f.packShard(1)
	return f
}

func TestAPackAboveTheCheckpointIsProvisional(t *testing.T) {
	for name, do := range map[string]func(f *fixture){
		"a sound one":         func(f *fixture) {},
		"a damaged one":       func(f *fixture) { f.flip(f.pack(1), -3) },
		"garbage":             func(f *fixture) { f.put(f.pack(1), []byte("rot")) },
		"one of another past": func(f *fixture) { f.packShard(1, func(_ dcb.Position, e *dcb.Event) { e.Type = "Other" }) },
		"one being written":   func(f *fixture) { f.rename(f.pack(1), filepath.Join(filepath.Dir(f.pack(1)), ".tmp-1")) },
	} {
		t.Run(name, func(t *testing.T) {
			f := above(t)
			do(f)
			require.True(t, name == "one of another past" || f.verify().Sound())
			f.requireRecovered(10_000)
			entries, err := os.ReadDir(filepath.Dir(f.pack(1)))
			require.NoError(t, err)
			require.Empty(t, entries)
		})
	}
}

func TestAPackBearsWitness(t *testing.T) {
	f := above(t)
	gens, err := wal.List(f.walDir)
	require.NoError(t, err)
	gen := gens.Generations[len(gens.Generations)-1]
	f.damage(gen, func(b []byte) []byte { return b[:len(b)-10] })
	f.remove(wal.AckedPath(f.walDir))
	_, _, err = f.recover()
	require.ErrorContains(t, err, "the pack "+f.pack(1)+" proves that positions up to 10000 were acknowledged")
	requireVerifyAgrees(f)

	lost := f.rotBlock(f.blocks() - 1) // what is left of it still does
	_, _, err = f.recover()
	require.ErrorContains(t, err, fmt.Sprintf("%s proves that positions up to %d were acknowledged", f.pack(1), lost.First-1))
	requireVerifyAgrees(f)
}

// requireRecovered recovers twice: the store has so many events, and the second recovery finds nothing to do.
func (f *fixture) requireRecovered(head dcb.Position) {
	f.Helper()
	_, _, err := f.recover()
	require.NoError(f, err)
	before := tree(f.T, f.dir)
	o, plan, err := f.recover()
	require.NoError(f, err)
	require.Equal(f, Clean, plan.Outcome)
	require.Equal(f, head, o.Report.Head)
	require.Equal(f, before, tree(f.T, f.dir))
	places := index.NewPlaces(o.Report.Materialized)
	loaded, err := f.load(o, places)
	require.NoError(f, err)
	defer loaded.Index.Close()
	for p := dcb.Position(1); p <= head; p += 333 { // each takes a whole generation
		require.Equal(f, event(p), f.read(p, o, places))
	}
}

func requireVerifyAgrees(f *fixture) {
	f.Helper()
	s, err := Inspect(f.dir, f.files, false)
	require.NoError(f, err)
	seen, err := gather(f.Context(), f.dir, newMeter(nil))
	require.NoError(f, err)
	require.Equal(f, s.Filed, seen.state(s.Ledger).Filed)
	require.Equal(f, s.FiledAs, seen.state(s.Ledger).FiledAs)
	require.False(f, f.verify().Sound())
}

func TestAPackThatTheCheckpointDividesStays(t *testing.T) {
	f := above(t)
	f.file(1, 3)
	f.ledger(func(l *ledger.State) { l.Materialized = 6_000 })
	f.indexed(1, 6_000)
	f.requireRecovered(10_000)
	require.FileExists(t, f.pack(1))
	require.True(t, f.verify().Sound())
}

func TestAPackOfAnotherStoreIsDamage(t *testing.T) {
	f, other := vault(t), newFixture(t)
	other.packShard(1)
	f.put(f.pack(1), other.get(other.pack(1)))
	_, _, err := f.recover()
	require.NoError(t, err, "opening reads no pack below the checkpoint")
	_, err = f.files.Read(5)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.ErrorContains(t, err, f.pack(1))
	f.file(5, 5)
	_, err = f.files.Read(5)
	require.NoError(t, err)
	rep, err := Repair(t.Context(), f.dir, RepairOptions{DryRun: true})
	require.NoError(t, err)
	require.Equal(t, []Loss{{Span: Span{1, 4}}, {Span: Span{6, 10_000}}}, rep.Lost)
}

func TestTheIndexIsBuiltFromPacks(t *testing.T) {
	f := vault(t)
	at := f.rotBlock(4)
	f.file(at.First, at.Last)
	f.remove(f.segment(1, 10_000))
	rep, err := RebuildIndex(t.Context(), f.dir, RebuildOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 10_003, rep.Positions)
	f.requireAll(10_006)
	f.remove(f.event(at.First))
	_, err = RebuildIndex(t.Context(), f.dir, RebuildOptions{})
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.ErrorContains(t, err, f.pack(1))
	f.remove(f.pack(1))
	_, err = RebuildIndex(t.Context(), f.dir, RebuildOptions{})
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.ErrorContains(t, err, "no pack has it")
}
