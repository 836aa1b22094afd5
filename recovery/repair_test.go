package recovery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/index"
	"opossum/internal/storage"
	"opossum/ledger"
	"opossum/wal"
)

// repair repairs, and requires that nothing is left to be done.
func (f *fixture) repair(o RepairOptions) RepairReport {
	f.Helper()
	before := tree(f.T, f.dir)
	dry := o
	dry.DryRun = true
	planned, err := Repair(f.Context(), f.dir, dry)
	require.NoError(f, err)
	require.False(f, planned.Done)
	require.Equal(f, before, tree(f.T, f.dir), "a dry run changes nothing")

	rep, err := Repair(f.Context(), f.dir, o)
	require.NoError(f, err)
	require.True(f, rep.Done)
	require.Equal(f, withoutClock(planned.Steps), withoutClock(rep.Steps))
	require.NotEmpty(f, rep.Steps)
	require.NotEmpty(f, rep.Findings)
	f.requireRepaired()
	return rep
}

// clockEpoch is an epoch that was lost, and is the time in seconds.
var clockEpoch = regexp.MustCompile(`epoch \d{10}\b`)

func withoutClock(steps []string) (out []string) {
	for _, s := range steps {
		out = append(out, clockEpoch.ReplaceAllString(s, "epoch of now"))
	}
	return out
}

// requireRepaired: the store verifies, and a repair has nothing to do.
func (f *fixture) requireRepaired() {
	f.Helper()
	r := f.verify()
	require.True(f, r.Sound(), "%v", r.Findings)
	requireNothingToDo(f.T, f)
}

// events recovers the store and returns all its events.
func (f *fixture) events() (out []dcb.Event) {
	f.Helper()
	f.files = openFixture(f.T, f.dir).files // a repair may have made the directory anew
	o, _, err := f.recover()
	require.NoError(f, err)
	s, err := Inspect(f.dir, f.files, false)
	require.NoError(f, err)
	places := index.NewPlaces(o.Report.Materialized)
	loaded, err := Load(o, s.Index, f.files, index.Config{
		Dir: filepath.Join(f.dir, IndexDir), Seed: wal.StoreID(o.Ledger.Store).Seed(), RecentBytes: 1 << 20, Damaged: func() {},
	}, places)
	require.NoError(f, err)
	defer loaded.Index.Close()
	f.id = wal.StoreID(o.Ledger.Store)
	for p := dcb.Position(1); p <= o.Report.Head; p++ {
		e := f.read(p, o, places)
		out = append(out, e)
		queries := []dcb.Query{dcb.ByTypes(e.Type)}
		for _, tag := range e.Tags {
			queries = append(queries, dcb.ByTags(tag))
		}
		for _, q := range queries {
			it, err := loaded.Index.Iterate(q, p-1, p, false)
			require.NoError(f, err)
			at, _ := it.Next()
			require.Equal(f, p, at, "the index of position %d", p)
			it.Close()
		}
	}
	return out
}

// requireAll: the store has exactly the events 1 to head, but for those that stand for the lost ones.
func (f *fixture) requireAll(head dcb.Position, lost ...dcb.Position) {
	f.Helper()
	all := f.events()
	require.Len(f, all, int(head))
	for i, e := range all {
		if p := dcb.Position(i + 1); slices.Contains(lost, p) {
			require.Equal(f, LostType, e.Type, "position %d", p)
			require.NoError(f, e.Validate())
		} else {
			require.Equal(f, event(p), e, "position %d", p)
		}
	}
}

func (f *fixture) epoch() uint64 {
	f.Helper()
	l, err := ledger.Load(f.dir)
	require.NoError(f, err)
	return l.Epoch
}

func TestRepairBringsBackWhatIsIntactSomewhere(t *testing.T) {
	for name, do := range map[string]func(f *fixture){
		"a missing file that the log has":  func(f *fixture) { f.remove(f.event(4)) },
		"an altered file that the log has": func(f *fixture) { f.flip(f.event(4), 60) },
		"a file that the log contradicts":  func(f *fixture) { f.writeOther(5) },
		"all files":                        func(f *fixture) { f.remove(filepath.Join(f.dir, EventsDir)) },
		"a file of which a copy is elsewhere": func(f *fixture) {
			f.trim()
			f.put(filepath.Join(f.dir, "save.json"), f.get(f.event(2)))
			f.remove(f.event(2))
		},
		"a file in another's place":         func(f *fixture) { f.trim(); f.swap(f.event(1), f.event(2)) },
		"a ring of files in others' places": func(f *fixture) { f.trim(); f.swap(f.event(1), f.event(2)); f.swap(f.event(2), f.event(3)) },
		"files in a foreign directory": func(f *fixture) {
			f.trim()
			require.NoError(f, os.Rename(filepath.Dir(f.event(1)), filepath.Join(f.dir, EventsDir, "old")))
		},
		"a directory in the place of a file": func(f *fixture) { f.remove(f.event(4)); f.put(filepath.Join(f.event(4), "x"), nil) },
		"a file in the place of the event files": func(f *fixture) {
			f.remove(filepath.Join(f.dir, EventsDir))
			f.put(filepath.Join(f.dir, EventsDir), nil)
		},
		"a generation in the place of a file":        func(f *fixture) { f.file(7, 9); f.swap(f.event(4), f.path(3)) },
		"rot in a frame with an event file":          func(f *fixture) { f.rotFrame(2, 0); f.file(4, 6) },
		"rot in the header of a frame":               func(f *fixture) { f.flip(f.path(3), 218+30) },
		"rot in the length of an entry":              func(f *fixture) { f.flip(f.path(3), 218) },
		"rot in the sum of a frame":                  func(f *fixture) { f.flip(f.path(2), 218+2+66) },
		"rot in the link":                            func(f *fixture) { f.flip(f.path(3), 120) },
		"rot in the header of a generation":          func(f *fixture) { f.flip(f.path(2), 50) },
		"rot in the header of the unused generation": func(f *fixture) { f.flip(f.path(4), 50) },
		"rot in the tail, all of which is filed": func(f *fixture) {
			f.file(6, 9)
			f.indexed(7, 9)
			f.ledger(func(l *ledger.State) { l.Materialized = 9 })
			f.rotFrame(3, 0)
		},
		"a lost tail that is filed":          func(f *fixture) { f.file(7, 9); f.put(f.path(3), f.get(f.path(3))[:300]) },
		"a missing generation that is filed": func(f *fixture) { f.file(6, 6); f.remove(filepath.Dir(f.path(2))) },
		"a missing log, everything filed": func(f *fixture) {
			f.file(6, 9)
			f.remove(f.path(1))
			f.remove(f.path(2))
			f.remove(f.path(3))
			f.remove(f.path(4))
		},
		"generations in each other's places":        func(f *fixture) { f.swap(f.path(2), f.path(3)) },
		"the last generation in the place of ACKED": func(f *fixture) { f.swap(f.path(3), wal.AckedPath(f.walDir)) },
		"a generation that was being removed": func(f *fixture) {
			f.remove(f.event(6))
			require.NoError(f, os.Rename(filepath.Dir(f.path(2)), filepath.Dir(f.path(2))+".tmp"))
		},
		"a missing ledger":                   func(f *fixture) { f.remove(filepath.Join(f.dir, ledger.FileName)) },
		"an altered ledger":                  func(f *fixture) { f.flip(filepath.Join(f.dir, ledger.FileName), 60) },
		"a missing ledger and a trimmed log": func(f *fixture) { f.trim(); f.remove(filepath.Join(f.dir, ledger.FileName)) },
		"a stale ledger":                     func(f *fixture) { f.trim(); f.ledger(func(l *ledger.State) { l.Materialized = 1 }) },
		"a stale ledger and a missing file": func(f *fixture) {
			f.trim()
			f.ledger(func(l *ledger.State) { l.Materialized = 1 })
			f.put(f.event(2)+"~", f.get(f.event(2)))
			f.remove(f.event(2))
		},
		"another store's ledger": func(f *fixture) {
			o := newFixture(f.T)
			f.put(filepath.Join(f.dir, ledger.FileName), o.get(filepath.Join(o.dir, ledger.FileName)))
		},
		"a ledger and an event file exchanged": func(f *fixture) { f.trim(); f.swap(filepath.Join(f.dir, ledger.FileName), f.event(2)) },
		"a measurement and an event file exchanged": func(f *fixture) {
			f.trim()
			f.put(filepath.Join(f.dir, storage.FileName), []byte("{}"))
			f.swap(filepath.Join(f.dir, storage.FileName), f.event(2))
		},
		"a missing index":                         func(f *fixture) { f.remove(filepath.Join(f.dir, IndexDir)) },
		"an altered segment":                      func(f *fixture) { f.flip(f.segment(1, 3), 50) },
		"a wrong segment":                         func(f *fixture) { f.misindex(4, 6, func(e *dcb.Event) { e.Type = "Other" }) },
		"a file in the place of the index":        func(f *fixture) { f.remove(filepath.Join(f.dir, IndexDir)); f.put(filepath.Join(f.dir, IndexDir), nil) },
		"an event file in the place of a segment": func(f *fixture) { f.trim(); f.swap(f.event(2), f.segment(1, 3)) },
		"a file that deceives":                    func(f *fixture) { f.put(filepath.Join(filepath.Dir(f.path(3)), "00000000000000000900.START"), nil) },
		"leftovers": func(f *fixture) {
			f.litter()
			f.put(f.event(3)+".bak", f.get(f.event(3)))
			f.put(filepath.Join(f.walDir, "x", "y"), nil)
			f.put(filepath.Join(f.dir, IndexDir, ".tmp-1"), nil)
			f.put(filepath.Join(f.dir, IndexDir, "x"), nil)
			f.put(f.event(77), nil)
			f.indexed(2, 3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := ward(t)
			do(f)
			before := tree(t, f.dir)
			if !isFile(filepath.Join(f.dir, EventsDir)) {
				if _, _, err := f.clone().recover(); err != nil {
					require.False(t, f.verify().Sound(), "Open refuses: %v", err)
				}
			}
			rep := f.repair(RepairOptions{})
			require.Empty(t, rep.Lost)
			require.EqualValues(t, 9, rep.Head)
			f.requireKept(before)
			if name == "leftovers" {
				require.Empty(t, f.verify().Findings)
			}
			f.requireAll(9)
			f.append(12) // and the log goes on
			f.requireAll(12)
		})
	}
}

// trim removes from the log what is filed, as far as that goes.
func (f *fixture) trim() {
	f.Helper()
	f.remove(filepath.Dir(f.path(1)))
	f.ledger(func(l *ledger.State) { l.Materialized = 4 })
}

// requireKept: what a repair replaced or removed is in quarantine, but for what it knows to be right or half-built.
func (f *fixture) requireKept(before map[string]string) {
	f.Helper()
	after := map[string]bool{}
	for _, b := range tree(f.T, f.dir) {
		after[b] = true
	}
	for path, b := range before {
		temp := strings.Contains(path, ".tmp") || strings.HasSuffix(path, segmentName(2, 3))
		if path == ledger.FileName {
			_, err := ledger.Decode([]byte(b))
			temp = err == nil
		}
		if strings.HasPrefix(path, WALDir) { // an intact generation, all of whose events are filed
			g := wal.Scan([]byte(b), f.id, generationNumber(path))
			temp = temp || g.Stop == nil || strings.HasSuffix(path, "ACKED")
		}
		require.True(f, b == "" || temp || after[b], "%s was dropped", path)
	}
}

func segmentName(first, last dcb.Position) string { return fmt.Sprintf("%020d-%020d.idx", first, last) }

func generationNumber(path string) (gen uint64) {
	_, _ = fmt.Sscanf(filepath.Base(filepath.Dir(path)), "%08d", &gen)
	return gen
}

func TestLossesNeedConsent(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(f *fixture)
		lost  []Loss
		head  dcb.Position
		lossy []dcb.Position
	}{
		"a file in the middle": {
			do:   func(f *fixture) { f.trim(); f.remove(f.event(2)) },
			lost: []Loss{{Span: Span{2, 2}}}, head: 9, lossy: []dcb.Position{2},
		},
		"files and a frame": {
			do:   func(f *fixture) { f.trim(); f.remove(f.event(1)); f.flip(f.event(3), 60); f.rotFrame(3, 0) },
			lost: []Loss{{Span: Span{1, 1}}, {Span: Span{3, 3}}, {Span: Span{7, 7}}}, head: 9, lossy: []dcb.Position{1, 3, 7},
		},
		"the tail of the log": {
			do:   func(f *fixture) { f.put(f.path(3), f.get(f.path(3))[:218]) },
			lost: []Loss{{Span: Span{7, 9}, Cut: true}}, head: 6,
		},
		"the tail, and a file": {
			do:   func(f *fixture) { f.trim(); f.remove(f.event(2)); f.put(f.path(3), f.get(f.path(3))[:218]) },
			lost: []Loss{{Span: Span{2, 2}}, {Span: Span{7, 9}, Cut: true}}, head: 6, lossy: []dcb.Position{2},
		},
		"the tail, all of which was filed": {
			do: func(f *fixture) {
				f.file(7, 9)
				f.indexed(7, 9)
				f.remove(f.path(3))
				f.ledger(func(l *ledger.State) { l.Materialized = 9 })
				for p := dcb.Position(7); p <= 9; p++ {
					f.put(f.event(p), []byte("rot"))
				}
			},
			lost: []Loss{{Span: Span{7, 9}, Cut: true}}, head: 6,
		},
		"the last file, the log being empty": {
			do: func(f *fixture) {
				f.file(6, 9)
				f.indexed(7, 9)
				for gen := uint64(1); gen <= 4; gen++ {
					f.remove(filepath.Dir(f.path(gen)))
				}
				f.generation(5, &wal.Link{Checkpoint: 9}, 10)
				f.ledger(func(l *ledger.State) { l.Materialized = 9 })
				f.remove(f.event(9))
			},
			lost: []Loss{{Span: Span{9, 9}, Cut: true}}, head: 8,
		},
		"the end, and who knows of it": {
			do:   func(f *fixture) { f.file(6, 6); f.remove(f.walDir) },
			lost: []Loss{{Span: Span{First: 7}, Unknown: true}}, head: 6,
		},
		"everything but the files": {
			do: func(f *fixture) {
				f.file(6, 9)
				f.remove(f.walDir)
				f.remove(filepath.Join(f.dir, ledger.FileName))
				f.remove(filepath.Join(f.dir, IndexDir))
			},
			lost: []Loss{{Span: Span{First: 10}, Unknown: true}}, head: 9,
		},
		"a file in the place of the log": {
			do:   func(f *fixture) { f.file(6, 9); f.remove(f.walDir); f.put(f.walDir, []byte("x")) },
			lost: []Loss{{Span: Span{First: 10}, Unknown: true}}, head: 9,
		},
		"an intact file far beyond the end": {
			do:   func(f *fixture) { f.writeOther(12) },
			lost: []Loss{{Span: Span{10, 11}}}, head: 12, lossy: []dcb.Position{10, 11, 12},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := ward(t)
			c.do(f)
			dry, err := Repair(t.Context(), f.dir, RepairOptions{DryRun: true})
			require.NoError(t, err)
			require.Equal(t, c.lost, dry.Lost)
			before := tree(t, f.dir)
			rep, err := Repair(t.Context(), f.dir, RepairOptions{})
			require.ErrorIs(t, err, dcb.ErrCorrupt)
			require.ErrorContains(t, err, c.lost[0].String())
			require.False(t, rep.Done)
			require.Equal(t, c.lost, rep.Lost)
			require.Equal(t, before, tree(t, f.dir), "nothing is done but to write files")

			epoch := uint64(0)
			if l, err := ledger.Load(f.dir); err == nil {
				epoch = l.Epoch
			}
			rep = f.repair(RepairOptions{AcceptLoss: true})
			require.Equal(t, c.lost, rep.Lost)
			require.Equal(t, c.head, rep.Head)
			require.Greater(t, f.epoch(), epoch)
			if slices.ContainsFunc(rep.Steps, func(s string) bool { return strings.HasPrefix(s, "begin the log anew") }) {
				list, err := wal.List(f.walDir)
				require.NoError(t, err)
				require.Len(t, list.Generations, 1, "what was given up must not come back")
				led, err := ledger.Load(f.dir)
				require.NoError(t, err)
				require.Equal(t, rep.Head, led.Clean.Head, "as after a clean close")
			}
			if name == "an intact file far beyond the end" {
				return // its event is not one of the fixture's
			}
			f.requireAll(c.head, c.lossy...)
			f.append(c.head + 2)
			f.requireAll(c.head+2, c.lossy...)
		})
	}
}

// Without consent, what can be brought back by adding copies is.
func TestWithoutConsentFilesAreWrittenAndNothingElse(t *testing.T) {
	f := ward(t)
	f.trim()
	f.remove(f.event(2))
	f.remove(f.event(4))
	f.put(filepath.Join(f.walDir, "x"), nil)
	f.swap(f.event(3), f.path(3)) // what stands in the place of 3 is the only copy of 7 to 9
	before := tree(t, f.dir)
	for range 2 {
		_, err := Repair(t.Context(), f.dir, RepairOptions{})
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		_, err = f.files.Read(4)
		require.NoError(t, err)
		after := tree(t, f.dir)
		delete(after, "events/00000000000000000001/00000000000000000004.json")
		require.Equal(t, before, after)
	}
	f.repair(RepairOptions{AcceptLoss: true})
	f.requireAll(9, 2)
}

// A damaged file is put aside once, and only if it has to be: what is filed but above the checkpoint is written again anyway.
func TestADamagedFileIsPutAsideOnce(t *testing.T) {
	for name, c := range map[string]struct {
		p, checkpoint dcb.Position
		steps         int // that name it
	}{
		"in the middle":      {4, 9, 1},
		"the last event":     {9, 9, 1},
		"behind it":          {10, 9, 1},
		"provisional":        {8, 7, 0},
		"provisional, at it": {9, 7, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := ward(t)
			f.file(7, 9)
			f.indexed(7, 9)
			f.ledger(func(l *ledger.State) { l.Materialized = c.checkpoint })
			f.put(f.event(c.p), []byte("rot"))
			rep, err := Repair(t.Context(), f.dir, RepairOptions{})
			require.NoError(t, err)
			naming := slices.DeleteFunc(rep.Steps, func(s string) bool { return !strings.Contains(s, filepath.Base(f.event(c.p))) })
			require.Len(t, naming, c.steps, "%q", rep.Steps)
			kept := 0
			for path, b := range tree(t, f.dir) {
				if b == "rot" && strings.HasPrefix(path, QuarantineDir) {
					kept++
				}
			}
			require.Equal(t, c.steps, kept)
			f.requireAll(9)
		})
	}
}

// Who looks at a plan before it is carried out sees all of it.
func TestEveryPartOfAPlanIsTold(t *testing.T) {
	store := filepath.Join("a", "store")
	at := func(name string) string { return filepath.Join(store, name) }
	for names, plan := range map[string]repairPlan{
		"kept":                 {keep: []string{at("kept")}},
		"aside":                {aside: []string{at("aside")}},
		"positions 3 to 5":     {write: spans{{3, 5}}},
		LostType:               {write: spans{{3, 5}}, lost: spans{{3, 5}}},
		"segment":              {segments: []string{at("segment")}},
		"positions 7 to 9":     {index: spans{{7, 9}}},
		"generation 8":         {log: 8},
		"epoch 4":              {ledger: &ledger.State{Epoch: 4}},
		"1 generation":         {drop: []uint64{1}},
		"2 generations":        {drop: []uint64{1, 2}},
		"temp":                 {temps: []string{at("temp")}},
		"stray":                {strays: []string{at("stray")}},
		"that was interrupted": {finish: true},
	} {
		steps := plan.steps(store)
		require.Len(t, steps, 1, names)
		require.Contains(t, steps[0], names)
		require.NotContains(t, steps[0], store, "names are told as they are in the store")
		require.False(t, plan.empty())
	}
	require.Empty(t, repairPlan{}.steps(store))
	require.True(t, repairPlan{}.empty())
}

// A lost event keeps the tags that the index knows, so that conditions on them still see it.
func TestALostEventKeepsItsTags(t *testing.T) {
	f := ward(t)
	f.trim()
	f.remove(f.event(2))
	f.repair(RepairOptions{AcceptLoss: true})
	e := f.events()[1]
	require.Equal(t, LostType, e.Type)
	require.ElementsMatch(t, event(2).Tags, e.Tags)
	require.Equal(t, event(2).Type, e.Metadata["type"])
	require.NotEmpty(t, e.Metadata["reason"])

	f = ward(t) // and without an index it has none
	f.trim()
	f.remove(f.event(2))
	f.remove(filepath.Join(f.dir, IndexDir))
	f.repair(RepairOptions{AcceptLoss: true})
	require.Empty(t, f.events()[1].Tags)
}

// A record that is intact in a frame that is not was written, and perhaps never acknowledged: then it must not appear, as the
// other events of its append are gone.
func TestWhatWasNeverAcknowledgedIsNotBroughtBack(t *testing.T) {
	f := tornWard(t)
	require.True(t, f.verify().Sound(), "a torn tail")
	f.rotFrame(2, 0) // and now something else is wrong with the log
	require.False(t, f.verify().Sound())
	rep := f.repair(RepairOptions{})
	require.EqualValues(t, 9, rep.Head)
	f.requireAll(9)
}

// But an event file proves that its position was acknowledged, whatever the log has there.
func TestAnEventFileBehindATornTailConvictsIt(t *testing.T) {
	f := tornWard(t)
	f.writeOther(13)
	_, _, err := f.recover()
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	require.False(t, f.verify().Sound(), "as Open says")
}

// tornWard has a torn tail as well: the sync never came, the first of two more frames reached the disk in part, the other wholly.
func tornWard(t *testing.T) *fixture {
	t.Helper()
	f := ward(t)
	f.remove(filepath.Dir(f.path(4)))
	log := openAsIs(f)
	for _, x := range []Span{{10, 12}, {13, 14}} {
		_, err := log.Append(x.First, uint32(x.Last-x.First+1), f.bodies(x.First, x.Last))
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())
	f.damage(3, func(b []byte) []byte {
		g := wal.Scan(b, f.id, 3)
		b[g.Commits[2].End-1] ^= 1
		return b
	})
	return f
}

// Whoever has lost ledger and log has the files.
func TestAStoreWithoutAnIdentityGetsANewOne(t *testing.T) {
	f := ward(t)
	f.file(6, 9)
	f.remove(filepath.Join(f.dir, ledger.FileName))
	for gen := uint64(1); gen <= 4; gen++ {
		f.flip(f.path(gen), 50)
	}
	_, err := Repair(t.Context(), f.dir, RepairOptions{})
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	rep := f.repair(RepairOptions{AcceptLoss: true})
	require.Equal(t, []Loss{{Span: Span{First: 10}, Unknown: true}}, rep.Lost)
	led, err := ledger.Load(f.dir)
	require.NoError(t, err)
	require.NotEqual(t, f.id, wal.StoreID(led.Store))
	require.Greater(t, led.Epoch, uint64(1_700_000_000))
	f.requireAll(9)
}

func TestAFileThatClaimsAnAbsurdPositionIsNotBelieved(t *testing.T) {
	f := ward(t)
	f.writeOther(1<<40 + 7)
	for _, o := range []RepairOptions{{}, {AcceptLoss: true}, {DryRun: true}} {
		_, err := Repair(t.Context(), f.dir, o)
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		require.ErrorContains(t, err, f.event(1<<40+7))
		require.ErrorContains(t, err, "move it away")
	}
	f.remove(f.event(1<<40 + 7))
	f.requireAll(9)
}

// hard is a store with much that has to be done: files exchanged, missing, and taken for generations; a log that cannot be gone on
// from; a wrong index; leftovers; and, with losses, some of that.
func hard(t *testing.T, losses bool) *fixture {
	f := ward(t)
	f.trim()
	f.swap(f.event(1), f.event(2))
	f.swap(f.event(3), f.path(3))
	f.flip(f.event(4), 60)
	f.put(filepath.Join(f.dir, EventsDir, "x"), nil)
	f.put(f.event(30), nil)
	f.misindex(4, 6, func(e *dcb.Event) { e.Type = "Other" })
	if losses {
		f.remove(f.event(2))
		b := f.get(f.event(3)) // the generation of 7 to 9
		f.put(f.event(3), b[:len(b)-20])
	}
	return f
}

func TestARepairThatIsInterruptedAnywhereIsTakenUpByTheNext(t *testing.T) {
	errKilled := errors.New("killed")
	for _, losses := range []bool{false, true} {
		reached := map[string]bool{}
		for at := 1; ; at++ {
			f := hard(t, losses)
			o := RepairOptions{AcceptLoss: losses}
			n := 0
			r := newRepairer(f.dir, o)
			r.step = func(what string) error {
				if n++; n == at {
					reached[what] = true
					return errKilled
				}
				return nil
			}
			_, err := r.run(t.Context())
			if err == nil {
				require.Greater(t, at, n)
				break
			}
			require.ErrorIs(t, err, errKilled)
			for p := range dcb.Position(5) { // whatever is there is right
				if ev, err := f.files.Read(p + 1); err == nil && ev.Event.Type != LostType {
					require.Equal(t, event(p+1), ev.Event)
				}
			}
			rep, err := Repair(t.Context(), f.dir, o)
			require.NoError(t, err, "interrupted at step %d, %v", at, reached)
			require.True(t, rep.Done)
			f.requireRepaired()
			if !losses {
				f.requireAll(9)
				continue
			}
			require.Greater(t, f.epoch(), uint64(1), "interrupted at step %d", at)
			f.requireAll(8, 1)
		}
		for _, what := range []string{"quarantine", "epoch", "event files", "index", "ledger", "log", "witnesses", "tidy", "end"} {
			require.True(t, reached[what], what)
		}
	}
}

// An intact frame with a record in it that is none: no accident of the disk, but it is named, and the event comes from elsewhere, or is lost.
func TestAMalformedRecordInAnIntactFrame(t *testing.T) {
	for _, filed := range []bool{true, false} {
		f := newFixture(t)
		require.NoError(t, wal.RemoveGeneration(f.walDir, 1))
		frame := f.frame(3, 4)
		frame.Body[len(frame.Body)-1] ^= 1 // of event 4; the frame is sealed afterwards
		b := f.generation(1, &wal.Link{}, 1, f.frame(1, 2), frame)
		if filed {
			f.file(1, 4)
		}
		found, err := Verify(t.Context(), f.dir, VerifyOptions{})
		require.NoError(t, err)
		at := slices.IndexFunc(found.Findings, func(x Finding) bool { return x.Kind == Altered && x.File == f.path(1) })
		require.GreaterOrEqual(t, at, 0, "%v", found.Findings)
		named := found.Findings[at]
		require.EqualValues(t, 4, named.First)
		require.EqualValues(t, 4, named.Last)
		require.Less(t, named.Offset, b.End)
		require.Positive(t, named.Offset)

		rep, err := Repair(t.Context(), f.dir, RepairOptions{})
		if filed {
			require.NoError(t, err)
			f.requireRepaired()
			f.requireAll(4)
			continue
		}
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		require.Len(t, rep.Lost, 1)
		require.EqualValues(t, 4, rep.Lost[0].First)
		_, err = Repair(t.Context(), f.dir, RepairOptions{AcceptLoss: true})
		require.NoError(t, err)
		f.requireRepaired()
		f.requireAll(3) // it was the last: nothing stands behind it
	}
}

// The same in a generation that another continues. When all of it is filed, it is not needed any more.
func TestAMalformedRecordInAnEarlierGeneration(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, wal.RemoveGeneration(f.walDir, 1))
	frame := f.frame(3, 4)
	frame.Body[len(frame.Body)-1] ^= 1
	b := f.generation(1, &wal.Link{}, 1, f.frame(1, 2), frame)
	f.generation(2, linkTo(b), 5, f.frame(5, 6))
	f.file(1, 4)
	require.False(t, f.verify().Sound())
	f.repair(RepairOptions{})
	f.requireAll(6)
}

// A repair died between copying a file to quarantine and giving the copy its name. Were the copy taken for a source, the next repair would make it anew
// while it relies on it.
func TestAHalfMadeCopyIsNoSource(t *testing.T) {
	f := hard(t, false)
	rel, err := filepath.Rel(f.dir, f.event(1))
	require.NoError(t, err)
	f.put(filepath.Join(f.dir, QuarantineDir, unfinishedDir, rel+halfCopied), f.get(f.event(1)))
	_, err = Repair(t.Context(), f.dir, RepairOptions{})
	require.NoError(t, err)
	f.requireRepaired()
	f.requireAll(9)
}

func TestARepairEndsWithItsContext(t *testing.T) {
	for at := 1; ; at++ {
		f := hard(t, false)
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		r := newRepairer(f.dir, RepairOptions{})
		r.step = func(string) error {
			if n++; n == at {
				cancel()
			}
			return nil
		}
		rep, err := r.run(ctx)
		cancel()
		if n < at {
			require.NoError(t, err)
			break
		}
		require.LessOrEqual(t, n, at+1, "steps go on; the log and its witness are one")
		require.Equal(t, err == nil, rep.Done)
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
		} else {
			f.requireRepaired()
		}
		_, err = Repair(t.Context(), f.dir, RepairOptions{})
		require.NoError(t, err)
		f.requireRepaired()
		f.requireAll(9)
	}
}

// The epoch goes up before the first lost event is replaced: afterwards nobody would know that one was lost.
func TestAnInterruptedRepairWithLossesHasRaisedTheEpoch(t *testing.T) {
	killed := errors.New("killed")
	replaced := 0
	for at := 1; ; at++ {
		f := ward(t)
		f.trim()
		f.remove(f.event(2))
		r := newRepairer(f.dir, RepairOptions{AcceptLoss: true})
		n := 0
		r.step = func(string) error {
			if n++; n == at {
				return killed
			}
			return nil
		}
		if _, err := r.run(t.Context()); err == nil {
			break
		}
		if _, err := f.files.Read(2); err != nil {
			continue
		}
		replaced++
		require.EqualValues(t, 2, f.epoch())
		rep, err := Repair(t.Context(), f.dir, RepairOptions{})
		require.NoError(t, err, "there is nothing left to consent to")
		require.Empty(t, rep.Lost)
		f.requireRepaired()
		f.requireAll(9, 2)
		require.EqualValues(t, 2, f.epoch())
	}
	require.Positive(t, replaced)
}

// Frames that a recovery cut off because nobody vouched for them, in a generation that it superseded and that a power cut brought
// back, are not the future of the store.
func TestACutFutureDoesNotComeBack(t *testing.T) {
	f := ward(t)
	two := wal.Scan(f.get(f.path(2)), f.id, 2)
	f.remove(filepath.Dir(f.path(3)))
	f.remove(filepath.Dir(f.path(4)))
	link := &wal.Link{Prev: 2, PrevEnd: uint64(two.Size), PrevSum: two.Sum}
	other := *f // who writes other events
	other.salt = "cut"
	f.generation(3, link, 7, f.frame(7, 9), other.frame(10, 10), other.frame(11, 14))
	f.rotFrame(3, 1)
	super := *link
	super.Supersedes, super.SupersedesFrom = 3, 7
	f.generation(5, &super, 7, f.frame(7, 9), f.frame(10, 12))
	require.NoError(t, wal.WriteAcked(f.walDir, f.id, wal.Acked{Gen: 5, Offset: 1, Position: 12}))
	require.True(t, f.verify().Sound())
	f.damage(5, func(b []byte) []byte {
		commits := wal.Scan(b, f.id, 5).Commits
		b[commits[0].BodyOffset+20] ^= 1 // in the record of 7, which the superseded generation has
		b[commits[1].End-1] ^= 1         // in that of 12, which it has, too, but not this one
		return b
	})
	require.False(t, f.verify().Sound())
	_, err := Repair(t.Context(), f.dir, RepairOptions{})
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	rep := f.repair(RepairOptions{AcceptLoss: true})
	require.Equal(t, []Loss{{Span: Span{12, 12}, Cut: true}}, rep.Lost)
	f.requireAll(11)
}

// Where the log can be gone on from, it is: only the checkpoint is raised.
func TestALogThatIsWholeFromSomewhereOnStays(t *testing.T) {
	for name, do := range map[string]func(f *fixture){
		"a stale ledger":    func(f *fixture) { f.trim(); f.ledger(func(l *ledger.State) { l.Materialized = 1 }) },
		"an old generation": func(f *fixture) { f.file(6, 6); f.rotFrame(2, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			f := ward(t)
			do(f)
			log := f.get(f.path(3))
			rep := f.repair(RepairOptions{})
			require.NotContains(t, strings.Join(rep.Steps, "\n"), "anew")
			require.Equal(t, log, f.get(f.path(3)))
			f.requireAll(9)
		})
	}
}

// A rebuilt ledger takes the newest checkpoint that the log knows of.
func TestARebuiltLedger(t *testing.T) {
	f := newFixture(t)
	f.remove(filepath.Dir(f.path(1)))
	one := f.generation(1, &wal.Link{Checkpoint: 2}, 1, f.frame(1, 5))
	next := linkTo(one)
	next.Checkpoint = 4
	f.generation(2, next, 6, f.frame(6, 9))
	f.file(1, 4)
	f.remove(filepath.Join(f.dir, ledger.FileName))
	id := f.id
	f.repair(RepairOptions{})
	led, err := ledger.Load(f.dir)
	require.NoError(t, err)
	require.EqualValues(t, 4, led.Materialized)
	require.Equal(t, id, wal.StoreID(led.Store))
	require.Greater(t, led.Epoch, uint64(1_700_000_000))
	require.Nil(t, led.Clean)
	f.requireAll(9)
}

// A copy that changes after it was found is not believed.
func TestACopyThatChangesWhileItIsUsedIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ prepare, change func(f *fixture) }{
		"a file": {
			func(f *fixture) { f.trim(); f.put(f.event(2)+"~", f.get(f.event(2))); f.remove(f.event(2)) },
			func(f *fixture) { f.put(f.event(2)+"~", f.get(f.event(1))) },
		},
		"a record": {
			func(f *fixture) { f.trim(); f.remove(f.event(4)) },
			func(f *fixture) { f.rotFrame(2, 0) }, // in its first record, which is that of 4
		},
		"a record that is gone": {
			func(f *fixture) { f.trim(); f.remove(f.event(4)) },
			func(f *fixture) { f.put(f.path(2), nil) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := ward(t)
			c.prepare(f)
			before := tree(t, filepath.Join(f.dir, EventsDir))
			r := newRepairer(f.dir, RepairOptions{})
			r.step = func(what string) error {
				if what == "quarantine" {
					c.change(f)
					before = tree(t, filepath.Join(f.dir, EventsDir))
				}
				return nil
			}
			_, err := r.run(t.Context())
			require.ErrorContains(t, err, "two reads differ")
			require.Equal(t, before, tree(t, filepath.Join(f.dir, EventsDir)))
		})
	}
}

// What is kept in quarantine must not come back in the place of what was written since.
func TestTheQuarantineOfAFinishedRepairIsNoSource(t *testing.T) {
	f := ward(t)
	f.writeOther(5) // the log has another one
	f.repair(RepairOptions{})
	_, _, err := f.recover()
	require.NoError(t, err)
	entries, err := os.ReadDir(filepath.Join(f.dir, QuarantineDir))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Regexp(t, `^repair-\d{8}T\d{6}Z$`, entries[0].Name())
	require.FileExists(t, filepath.Join(f.dir, QuarantineDir, entries[0].Name(), "events/00000000000000000001/00000000000000000005.json"))
}

func TestRebuildIndex(t *testing.T) {
	f := ward(t)
	f.misindex(1, 3, func(e *dcb.Event) { e.Tags = nil })
	f.put(filepath.Join(f.dir, IndexDir, ".tmp-1"), nil)
	require.False(t, f.verify().Sound())
	var done, total uint64
	rep, err := RebuildIndex(t.Context(), f.dir, RebuildOptions{Progress: func(d, n uint64) { done, total = d, n }})
	require.NoError(t, err)
	require.EqualValues(t, 5, rep.Positions)
	require.Equal(t, 1, rep.Segments)
	require.EqualValues(t, 5, done)
	require.EqualValues(t, 5, total)
	require.Empty(t, f.verify().Findings)
	f.requireAll(9)

	f.flip(f.event(2), 60)
	_, err = RebuildIndex(t.Context(), f.dir, RebuildOptions{})
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	f.remove(f.event(2))
	_, err = RebuildIndex(t.Context(), f.dir, RebuildOptions{})
	require.ErrorIs(t, err, dcb.ErrCorrupt)
	f.put(f.event(2), f.get(f.event(1)))
	_, err = RebuildIndex(t.Context(), f.dir, RebuildOptions{})
	require.ErrorContains(t, err, "holds event 1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = RebuildIndex(ctx, f.dir, RebuildOptions{})
	require.ErrorIs(t, err, context.Canceled)
	f.remove(filepath.Join(f.dir, ledger.FileName))
	_, err = RebuildIndex(t.Context(), f.dir, RebuildOptions{})
	require.ErrorIs(t, err, os.ErrNotExist)

	empty := newFixture(t)
	empty.indexed(1, 3)
	_, err = RebuildIndex(t.Context(), empty.dir, RebuildOptions{})
	require.NoError(t, err)
	require.NoFileExists(t, empty.segment(1, 3))
}

func TestPlanRepairIsEmptyForASoundStore(t *testing.T) {
	f := ward(t)
	s, err := gather(t.Context(), f.dir, newMeter(nil))
	require.NoError(t, err)
	p, err := s.planRepair(s.judge(), true, uuid.New(), now)
	require.NoError(t, err)
	require.True(t, p.empty())
	require.Empty(t, p.steps(f.dir))
}

// The log of another store came into this one's place. It has positions that this store has acknowledged, with other events.
func TestTheEventsOfAnotherStoresLogAreNotTakenForOnesOwn(t *testing.T) {
	for name, filed := range map[string]dcb.Position{"nothing is filed": 0, "something is filed": 3, "everything is filed": 5} {
		t.Run(name, func(t *testing.T) {
			other := newFixture(t)
			other.salt = `{"of":"another store"}`
			other.append(4, 9)
			f := newFixture(t)
			f.append(2, 5)
			f.file(1, filed)
			require.NoError(t, os.RemoveAll(filepath.Dir(f.path(2))))
			for _, gen := range []uint64{1, 2} {
				if _, err := os.Stat(other.path(gen)); err == nil {
					f.put(f.path(gen), other.get(other.path(gen)))
				}
			}
			require.False(t, f.verify().Sound())

			rep, err := Repair(t.Context(), f.dir, RepairOptions{})
			if filed == 5 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, dcb.ErrCorrupt)
				require.Equal(t, filed+1, rep.Lost[0].First)
				rep, err = Repair(t.Context(), f.dir, RepairOptions{AcceptLoss: true})
				require.NoError(t, err)
			}
			require.Equal(t, filed, rep.Head)
			f.requireAll(filed)
		})
	}
}
