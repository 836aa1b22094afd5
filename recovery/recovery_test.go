package recovery

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/index"
	"opossum/internal/storage"
	"opossum/ledger"
	"opossum/wal"
)

func TestANewStoreIsCleanAndEmpty(t *testing.T) {
	f := newFixture(t)
	f.requireEvents(0)
}

func TestWhatWasAppendedSurvivesAnUncleanEnd(t *testing.T) {
	f := newFixture(t)
	f.append(2, 5, 6)
	f.append(7) // and the log goes on after it
	o := f.requireEvents(7)
	require.Equal(t, "recovered", o.Report.Outcome)
	require.Equal(t, uint64(7), o.Report.Replayed)
}

func TestACleanLogIsLeftAlone(t *testing.T) {
	f := newFixture(t)
	f.append(2, 5)
	f.closeClean()
	before := tree(t, f.dir)
	o := f.requireEvents(5)
	require.Equal(t, "clean", o.Report.Outcome)
	require.Equal(t, before, tree(t, f.dir))
}

func TestOnlyWhatIsAboveTheCheckpointIsKeptInTheLog(t *testing.T) {
	for _, s := range []dcb.Position{0, 1, 2, 3, 5, 6} { // frames end at 2, 5 and 6
		t.Run(fmt.Sprintf("checkpoint at %d", s), func(t *testing.T) {
			f := newFixture(t)
			f.append(2, 5, 6)
			f.file(1, s)
			f.ledger(func(l *ledger.State) { l.Materialized = s })
			o := f.requireEvents(6)
			require.Equal(t, uint64(6-s), o.Report.Replayed)
			require.Len(t, o.Live, 1)
			f.append(8)
			f.requireEvents(8)
		})
	}
}

func TestATornTailIsCutAndKeptInQuarantine(t *testing.T) {
	tails := map[string]func(frame []byte) []byte{
		"half a frame":       func(frame []byte) []byte { return bytes.TrimRight(frame[:len(frame)/2], "\x00") }, // zeros at the end are room, and not kept
		"one byte":           func(frame []byte) []byte { return frame[:1] },
		"a flipped frame":    func(frame []byte) []byte { frame[len(frame)-1] ^= 1; return frame },
		"a frame after zero": func(frame []byte) []byte { return append(make([]byte, 8), frame...) },
		"text":               func([]byte) []byte { return []byte("this is no frame, and never was") },
	}
	for name, make := range tails {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.append(2, 5)
			longer := f.clone()
			log := openAsIs(longer)
			_, err := log.Append(6, 1, f.bodies(6, 6))
			require.NoError(t, err)
			require.NoError(t, log.Close())
			whole, err := os.ReadFile(f.path(1))
			require.NoError(t, err)
			more, err := os.ReadFile(longer.path(1))
			require.NoError(t, err)
			tail := make(bytes.Clone(more[len(whole):]))
			f.damage(1, func(b []byte) []byte { return append(b, tail...) })

			o := f.requireEvents(5)
			require.Equal(t, int64(len(tail)), o.Report.CutBytes)
			require.Len(t, o.Report.Quarantined, 1)
			kept, err := os.ReadFile(o.Report.Quarantined[0])
			require.NoError(t, err)
			require.Equal(t, tail, kept, "quarantine must keep exactly what was cut")
			require.Contains(t, o.Report.String(), fmt.Sprintf("cut a torn tail of %d bytes", len(tail)))
			require.Equal(t, filepath.Join(f.dir, QuarantineDir, fmt.Sprintf("wal-%08d-at-%d.bin", 1, len(whole))), o.Report.Quarantined[0])
		})
	}
}

// Space that was written beforehand is neither damage nor torn, and nothing of it is kept: at the end of the log, behind a torn frame, in a generation that was
// left, and in one that was not begun.
func TestRoomIsNoDamage(t *testing.T) {
	room := func(b []byte) []byte { return append(b, make([]byte, 300<<10)...) }
	t.Run("at the end", func(t *testing.T) {
		f := newFixture(t)
		f.append(2, 5)
		f.damage(1, room)
		o := f.requireEvents(5)
		require.Equal(t, Recovered.String(), o.Report.Outcome, "tidwall/wal must not open it as it is")
		require.Zero(t, o.Report.CutBytes)
		require.Empty(t, o.Report.Quarantined)
	})
	t.Run("behind a torn frame", func(t *testing.T) {
		f := newFixture(t)
		f.append(2, 5)
		f.damage(1, func(b []byte) []byte { return room(append(b, 80, 1, 2, 3)) })
		o := f.requireEvents(5)
		require.EqualValues(t, 4, o.Report.CutBytes)
		kept, err := os.ReadFile(o.Report.Quarantined[0])
		require.NoError(t, err)
		require.Equal(t, []byte{80, 1, 2, 3}, kept)
	})
	t.Run("in all generations", func(t *testing.T) {
		f := threeGenerations(t)
		for gen := uint64(1); gen <= 4; gen++ {
			f.damage(gen, room)
		}
		o := f.requireEvents(9)
		require.Zero(t, o.Report.CutBytes)
	})
}

// openAsIs opens the log of f without the recovery that would write it anew.
func openAsIs(f *fixture) *wal.Log {
	f.Helper()
	s, err := Inspect(f.dir, f.files, false)
	require.NoError(f, err)
	g := s.Generations[len(s.Generations)-1]
	end := wal.Witness{Gen: g.Gen, End: g.Size, Sum: g.Sum, Head: g.Next() - 1}
	log, err := wal.Open(f.walDir, f.id, []wal.Segment{{Gen: g.Gen, Last: end.Head}}, end, g.LastNo(), wal.Options{})
	require.NoError(f, err)
	return log
}

// lossWitnesses are those of a log of five events, each of which alone knows of the last ones.
var lossWitnesses = map[string]struct {
	prepare func(f *fixture)
	says    string
}{
	"ACKED":              {func(*fixture) {}, "ACKED"},
	"the clean close":    {func(f *fixture) { f.closeClean(); f.silenceAcked() }, "the clean close"},
	"the checkpoint":     {func(f *fixture) { f.silenceAcked(); f.ledger(func(l *ledger.State) { l.Materialized = 5 }) }, "the checkpoint"},
	"an event file":      {func(f *fixture) { f.silenceAcked(); f.file(5, 5) }, "the event file"},
	"an index segment":   {func(f *fixture) { f.silenceAcked(); f.indexed(1, 5) }, "the index segment"},
	"some of the events": {func(f *fixture) { f.silenceAcked(); f.file(4, 4) }, "the event file"},
}

// Every witness alone must convict: here the last acknowledged frame is gone without a trace in the log.
func TestALostFrameIsRefusedWhoeverTheWitnessIs(t *testing.T) {
	for name, w := range lossWitnesses {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.append(3, 5)
			w.prepare(f)
			at := f.loseLastFrame()
			before := tree(t, f.dir)
			_, _, err := f.recover()
			requireCorrupt(t, err, f.path(1), at, w.says)
			require.Equal(t, before, tree(t, f.dir), "a refusal must change nothing")
		})
	}
	t.Run("nobody", func(t *testing.T) { // the honest limit: no witness at all, as after a power cut
		f := newFixture(t)
		f.append(3, 5)
		f.silenceAcked()
		f.loseLastFrame()
		f.requireEvents(3)
	})
}

func (f *fixture) silenceAcked() {
	f.Helper()
	require.NoError(f, os.Remove(filepath.Join(f.walDir, "ACKED")))
}

// loseLastFrame truncates generation 1 before its last frame and returns where it then ends.
func (f *fixture) loseLastFrame() (end int64) {
	f.Helper()
	f.damage(1, func(b []byte) []byte {
		g := wal.Scan(b, f.id, 1)
		end = g.Commits[len(g.Commits)-1].Offset
		return b[:end]
	})
	return end
}

func TestRotInAnAcknowledgedFrameIsConvictedByALaterFrameAlone(t *testing.T) {
	f := newFixture(t)
	f.append(2, 3, 5)
	f.silenceAcked()
	var at int64
	f.damage(1, func(b []byte) []byte {
		at = wal.Scan(b, f.id, 1).Commits[1].Offset
		b[at+80] ^= 4
		return b
	})
	_, _, err := f.recover()
	requireCorrupt(t, err, f.path(1), at, "the intact frame of positions 4 to 5")
}

// threeGenerations is a log of positions 1 to 3, 4 to 6 and 7 to 9, unclean, with an unused successor.
func threeGenerations(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	require.NoError(t, wal.RemoveGeneration(f.walDir, 1))
	one := f.generation(1, &wal.Link{}, 1, f.frame(1, 1), f.frame(2, 3))
	two := f.generation(2, linkTo(one), 4, f.frame(4, 6))
	f.generation(3, linkTo(two), 7, f.frame(7, 7), f.frame(8, 9))
	f.generation(4, nil, 0)
	return f
}

func TestALogOfSeveralGenerationsIsWhole(t *testing.T) {
	f := threeGenerations(t)
	o := f.requireEvents(9)
	require.Equal(t, []wal.Segment{{Gen: 1, Last: 3}, {Gen: 2, Last: 6}, {Gen: 5, Last: 9}}, o.Live)
	f.append(10, 12)
	f.requireEvents(12)
}

func TestGenerationsBelowTheCheckpointAreRemoved(t *testing.T) {
	f := threeGenerations(t)
	f.file(1, 6)
	f.ledger(func(l *ledger.State) { l.Materialized = 6 })
	f.requireEvents(9)
	list, err := wal.List(f.walDir)
	require.NoError(t, err)
	require.Equal(t, []uint64{5}, list.Generations)
}

func TestAMissingOrForeignGenerationIsRefused(t *testing.T) {
	other := threeGenerations(t) // another store, same shape
	copyGen := func(from, to *fixture, a, b uint64) {
		text, err := os.ReadFile(from.path(a))
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(to.path(b)), 0o755))
		require.NoError(t, os.WriteFile(to.path(b), text, 0o644))
	}
	cases := map[string]struct {
		damage func(f *fixture)
		gen    uint64
		says   string
	}{
		"the first is missing":             {func(f *fixture) { require.NoError(t, wal.RemoveGeneration(f.walDir, 1)) }, 1, "positions 1 to 3 is missing"},
		"the middle one is missing":        {func(f *fixture) { require.NoError(t, wal.RemoveGeneration(f.walDir, 2)) }, 2, "is missing"},
		"the middle one lost its file":     {func(f *fixture) { require.NoError(t, os.Remove(f.path(2))) }, 2, "the file is missing"},
		"the middle one is empty":          {func(f *fixture) { f.damage(2, func([]byte) []byte { return nil }) }, 2, "the file is empty"},
		"the newest is empty":              {func(f *fixture) { f.damage(4, func([]byte) []byte { return nil }) }, 4, "the file is empty"},
		"one is a copy of another":         {func(f *fixture) { copyGen(f, f, 1, 2) }, 2, "another place"},
		"a copy stands above all":          {func(f *fixture) { copyGen(f, f, 3, 9) }, 9, "another place"},
		"one is from another store":        {func(f *fixture) { copyGen(other, f, 2, 2) }, 2, "checksum"},
		"the header of the newest is torn": {func(f *fixture) { f.damage(4, func(b []byte) []byte { return b[:len(b)-1] }) }, 4, "the header of a published generation"},
		"the header of the current rotted": {func(f *fixture) { f.damage(3, func(b []byte) []byte { b[80] ^= 1; return b }) }, 3, "the header of a published generation"},
		"a sealed one lost its last frame": {func(f *fixture) {
			f.damage(1, func(b []byte) []byte { return b[:wal.Scan(b, f.id, 1).Commits[0].End] })
		}, 1, "the generation ends at position 1"},
		"a sealed one has bytes at its end": {func(f *fixture) { f.damage(2, func(b []byte) []byte { return append(b, 1) }) }, 2, "a later generation proves"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := threeGenerations(t)
			c.damage(f)
			before := tree(t, f.dir)
			_, _, err := f.recover()
			require.ErrorIs(t, err, dcb.ErrCorrupt)
			var ce *dcb.CorruptError
			require.ErrorAs(t, err, &ce)
			require.Equal(t, f.path(c.gen), ce.File)
			require.Contains(t, ce.Reason, c.says)
			require.Equal(t, before, tree(t, f.dir), "a refusal must change nothing")
		})
	}
}

func TestAResurrectedGenerationIsRemovedAgain(t *testing.T) {
	f := threeGenerations(t)
	f.file(1, 4)
	f.ledger(func(l *ledger.State) { l.Materialized = 4 })
	before := f.clone()
	f.requireEvents(9)
	for _, gen := range []uint64{1, 3, 4} { // a power cut may undo any removal
		require.NoError(t, os.CopyFS(filepath.Dir(f.path(gen)), os.DirFS(filepath.Dir(before.path(gen)))))
	}
	o := f.requireEvents(9)
	require.Equal(t, "clean", o.Report.Outcome)
	list, err := wal.List(f.walDir)
	require.NoError(t, err)
	require.Equal(t, []uint64{2, 5}, list.Generations)
}

func TestATornSuccessorIsCutAndTheGenerationBeforeItGoesOn(t *testing.T) {
	f := threeGenerations(t)
	tail := []byte{120, 'O', 'S', 'U', 'M', 1, 2, 3}
	f.damage(4, func(b []byte) []byte { return append(b, tail...) })
	o := f.requireEvents(9)
	require.Equal(t, int64(len(tail)), o.Report.CutBytes)
	kept, err := os.ReadFile(o.Report.Quarantined[0])
	require.NoError(t, err)
	require.Equal(t, tail, kept)
}

func TestInspectChangesNothing(t *testing.T) {
	states := map[string]func(t *testing.T) *fixture{
		"a new directory": func(t *testing.T) *fixture { return openFixture(t, t.TempDir()) },
		"an empty store":  newFixture,
		"a log of several generations, leftovers and a torn tail": func(t *testing.T) *fixture {
			f := threeGenerations(t)
			f.file(1, 4)
			f.litter()
			f.damage(4, func(b []byte) []byte { return append(b, "torn"...) })
			return f
		},
	}
	for name, build := range states {
		for _, fromDisk := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, from disk %t", name, fromDisk), func(t *testing.T) {
				f := build(t)
				before := tree(t, f.dir)
				s, err := Inspect(f.dir, f.files, fromDisk)
				require.NoError(t, err)
				_, err = Decide(s)
				require.NoError(t, err)
				require.Equal(t, before, tree(t, f.dir))
				again, err := Inspect(f.dir, f.files, !fromDisk)
				require.NoError(t, err)
				require.Equal(t, s, again)
			})
		}
	}
}

// litter leaves what a killed process leaves.
func (f *fixture) litter() {
	f.Helper()
	require.NoError(f, os.Mkdir(filepath.Join(f.walDir, "00000005.tmp"), 0o755))
	require.NoError(f, os.WriteFile(filepath.Join(f.walDir, "00000005.tmp", "00000000000000000001"), []byte("half a header"), 0o644))
	require.NoError(f, os.WriteFile(filepath.Join(f.dir, ledger.FileName+".tmp"), []byte(`{"format": "opo`), 0o644))
	require.NoError(f, os.WriteFile(filepath.Join(f.dir, storage.FileName+".tmp"), []byte(`{"format": "opo`), 0o644))
	f.file(1, 1)
	require.NoError(f, os.WriteFile(filepath.Join(filepath.Dir(f.files.Path(1)), ".tmp-1-1"), []byte("half an event"), 0o644))
}

func TestLeftoversOfAKilledProcessAreRemoved(t *testing.T) {
	f := threeGenerations(t)
	f.litter()
	f.requireEvents(9)
	for name := range tree(t, f.dir) {
		require.NotContains(t, name, ".tmp", "left behind")
	}
}

// What stands in an event file above the checkpoint is a proof that the event was acknowledged, but not a reason to
// believe the file: replay writes it again.
func TestDamagedEventFilesAboveTheCheckpointConvictNobody(t *testing.T) {
	f := newFixture(t)
	f.append(3)
	f.file(1, 5) // 4 and 5 would convict
	for p := dcb.Position(4); p <= 5; p++ {
		require.NoError(t, os.Truncate(f.files.Path(p), 20))
	}
	f.requireEvents(3)
}

// obstacles stop Apply before one of its steps, as a crash there would. Root passes permissions, so they are of other kinds.
var obstacles = []struct {
	before string
	put    func(f *fixture) (remove func())
}{
	{"the quarantine", func(f *fixture) func() {
		path := filepath.Join(f.dir, QuarantineDir)
		require.NoError(f, os.WriteFile(path, nil, 0o644))
		return func() { require.NoError(f, os.Remove(path)) }
	}},
	{"the new generation", func(f *fixture) func() { // a file has the name of the temporary directory's
		path := filepath.Join(f.walDir, "00000005.tmp", "00000000000000000001")
		require.NoError(f, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(f, os.WriteFile(filepath.Join(f.walDir, "00000005"), nil, 0o644))
		return func() { require.NoError(f, os.Remove(filepath.Join(f.walDir, "00000005"))) }
	}},
	{"the ledger", func(f *fixture) func() {
		path := filepath.Join(f.dir, ledger.FileName+".tmp")
		require.NoError(f, os.Mkdir(path, 0o755))
		return func() { require.NoError(f, os.Remove(path)) }
	}},
	{"the end of the removals", func(f *fixture) func() {
		require.NoError(f, f.files.Close()) // temporary event files go last
		return func() {}
	}},
}

func TestACrashBetweenTheStepsOfApplyLosesNothing(t *testing.T) {
	for i, o := range obstacles {
		t.Run("before "+o.before, func(t *testing.T) {
			f := threeGenerations(t)
			f.file(1, 4)
			f.ledger(func(l *ledger.State) { l.Materialized = 4 })
			f.damage(4, func(b []byte) []byte { return append(b, "torn"...) })
			old := f.clone()

			s, err := Inspect(f.dir, f.files, true)
			require.NoError(t, err)
			p, err := Decide(s)
			require.NoError(t, err)
			remove := o.put(f)
			_, err = Apply(f.dir, s, p, f.files, false, now)
			require.Error(t, err, "the obstacle did not stop it")
			require.NotErrorIs(t, err, dcb.ErrCorrupt)
			kept := filepath.Join(f.dir, QuarantineDir, "wal-00000004-at-97.bin")
			if i > 0 {
				require.FileExists(t, kept, "what is cut must be kept before anything else is done")
			}
			remove()

			again := openFixture(t, f.dir)
			again.requireEvents(9)
			b, err := os.ReadFile(kept)
			require.NoError(t, err)
			require.Equal(t, "torn", string(b))

			// And the same with every generation there as before: the removals may be undone, or not have been reached.
			for _, gen := range []uint64{1, 2, 3, 4} {
				require.NoError(t, os.RemoveAll(filepath.Dir(again.path(gen))))
				require.NoError(t, os.CopyFS(filepath.Dir(again.path(gen)), os.DirFS(filepath.Dir(old.path(gen)))))
			}
			openFixture(t, f.dir).requireEvents(9)
		})
	}
}

// A new generation exists under its temporary name, cut at any length, while a process dies in Apply.
func TestACrashWhileTheNewGenerationIsWrittenLosesNothing(t *testing.T) {
	f := threeGenerations(t)
	whole := f.clone()
	whole.requireEvents(9)
	text, err := os.ReadFile(whole.path(5))
	require.NoError(t, err)
	for n := 0; n <= len(text); n += 1 + n/4 {
		c := f.clone()
		temp := filepath.Join(c.walDir, "00000005.tmp")
		require.NoError(t, os.Mkdir(temp, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(temp, "00000000000000000001"), text[:n], 0o644))
		c.requireEvents(9)
	}
}

func TestACreationThatWasInterruptedIsBegunAnew(t *testing.T) {
	done := newFixture(t)
	gen, err := os.ReadFile(done.path(1))
	require.NoError(t, err)
	led, err := os.ReadFile(filepath.Join(done.dir, ledger.FileName))
	require.NoError(t, err)

	write := func(dir, name string, b []byte) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, b, 0o644))
	}
	const file = "/00000000000000000001"
	stages := []struct {
		name string
		do   func(dir string)
	}{
		{"nothing was made", func(string) {}},
		{"the lock was made", func(dir string) { write(dir, LockFile, []byte("pid 1 on host\n")) }},
		{"the log's directory was made", func(dir string) { require.NoError(t, os.Mkdir(filepath.Join(dir, WALDir), 0o755)) }},
		{"a generation was begun", func(dir string) { write(dir, "wal/00000001.tmp"+file, nil) }},
		{"half of it was written", func(dir string) { write(dir, "wal/00000001.tmp"+file, gen[:len(gen)/2]) }},
		{"all of it was written", func(dir string) { write(dir, "wal/00000001.tmp"+file, gen) }},
		{"it was published", func(dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, "wal/00000001.tmp"), filepath.Join(dir, "wal/00000001")))
		}},
		{"the ledger was begun", func(dir string) { write(dir, ledger.FileName+".tmp", led[:40]) }},
		{"a removal of the generation was begun", func(dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "wal/00000001"+file))) }},
		{"another generation was begun", func(dir string) { write(dir, "wal/00000001.tmp"+file, gen[:9]) }},
	}
	dir := t.TempDir()
	for _, s := range stages {
		s.do(dir)
		f := openFixture(t, dir).clone()
		there, err := Exists(f.dir)
		require.NoError(t, err, s.name)
		require.False(t, there, s.name)
		_, plan, err := f.recover()
		require.NoError(t, err, s.name)
		require.Equal(t, Created, plan.Outcome, s.name)
		f = openFixture(t, f.dir)
		f.requireEvents(0)
		f.append(2)
		f.requireEvents(2)
		for name := range tree(t, f.dir) {
			require.NotContains(t, name, ".tmp", s.name)
		}
	}
}

func TestAMissingLedgerBesideEventsIsDamage(t *testing.T) {
	states := map[string]func(t *testing.T) *fixture{
		"events in the log": func(t *testing.T) *fixture { f := newFixture(t); f.append(1); return f },
		"events in files": func(t *testing.T) *fixture {
			f := newFixture(t)
			f.file(1, 3)
			require.NoError(t, os.RemoveAll(f.walDir))
			return f
		},
		"events in the index": func(t *testing.T) *fixture {
			f := newFixture(t)
			f.indexed(1, 3)
			require.NoError(t, os.RemoveAll(f.walDir))
			return f
		},
		"damage in the log": func(t *testing.T) *fixture {
			f := newFixture(t)
			f.damage(1, func(b []byte) []byte { return append(b, 1) })
			return f
		},
		"an unreadable log": func(t *testing.T) *fixture {
			f := newFixture(t)
			f.damage(1, func(b []byte) []byte { b[90] ^= 1; return b })
			return f
		},
		"a log that begins after events that were filed": func(t *testing.T) *fixture {
			f := newFixture(t)
			f.append(4)
			f.file(1, 4)
			f.ledger(func(l *ledger.State) { l.Materialized = 4 })
			f.requireEvents(4)
			require.NoError(t, os.RemoveAll(filepath.Join(f.dir, EventsDir)))
			return openFixture(t, f.dir)
		},
	}
	for name, build := range states {
		t.Run(name, func(t *testing.T) {
			f := build(t)
			require.NoError(t, os.Remove(filepath.Join(f.dir, ledger.FileName)))
			before := tree(t, f.dir)
			_, _, err := f.recover()
			requireCorrupt(t, err, filepath.Join(f.dir, ledger.FileName), 0, "the ledger is missing beside existing events")
			require.Equal(t, before, tree(t, f.dir))
		})
	}
}

func TestADamagedLedgerIsRefused(t *testing.T) {
	f := newFixture(t)
	f.append(2)
	path := filepath.Join(f.dir, ledger.FileName)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.Replace(text, []byte(`"epoch": 1`), []byte(`"epoch": 2`), 1), 0o644))
	_, _, err = f.recover()
	requireCorrupt(t, err, path, 0, "checksum")
	require.NoError(t, os.WriteFile(path, bytes.Replace(text, []byte(`"version": 1`), []byte(`"version": 2`), 1), 0o644))
	_, _, err = f.recover()
	require.ErrorIs(t, err, dcb.ErrVersion)
}

func TestAMissingLogIsRefused(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, os.RemoveAll(f.walDir))
	_, _, err := f.recover()
	requireCorrupt(t, err, f.walDir, 0, "the log is missing")
	require.NoError(t, os.Mkdir(f.walDir, 0o755))
	_, _, err = f.recover()
	requireCorrupt(t, err, f.walDir, 0, "no generation in use")
}

// What measures the disk may die beside an owner who closes well, or before there is a store.
func TestWhatMeasuringTheDiskLeavesIsNeverInTheWay(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) *fixture{
		"a new store":    func(t *testing.T) *fixture { return openFixture(t, t.TempDir()) },
		"a closed store": func(t *testing.T) *fixture { f := newFixture(t); f.append(3); f.closeClean(); return f },
	} {
		t.Run(name, func(t *testing.T) {
			f := make(t)
			left := []string{"storage.json.tmp", "storage.probe", "storage.probe-0123456789abcdef"}
			for _, name := range append(left, storage.FileName) {
				f.put(filepath.Join(f.dir, name), []byte("torn"))
			}
			_, _, err := f.recover()
			require.NoError(t, err)
			for _, name := range left {
				require.NoFileExists(t, filepath.Join(f.dir, name))
			}
			require.FileExists(t, filepath.Join(f.dir, storage.FileName), "which is measured anew by who owns the store")
			rep, err := Verify(t.Context(), f.dir, VerifyOptions{})
			require.NoError(t, err)
			require.Empty(t, rep.Findings)
		})
	}
}

func TestAForeignDirectoryIsRefusedAndLeftAlone(t *testing.T) {
	f := openFixture(t, t.TempDir())
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, "thesis.txt"), []byte("years of work"), 0o644))
	before := tree(t, f.dir)
	_, _, err := f.recover()
	require.ErrorIs(t, err, dcb.ErrNotStore)
	require.ErrorContains(t, err, "thesis.txt")
	require.Equal(t, before, tree(t, f.dir))
}

func TestOnlyARelaxedStoreRaisesItsEpoch(t *testing.T) {
	f := newFixture(t)
	f.append(2)
	require.Equal(t, uint64(1), f.requireEvents(2).Report.Epoch)

	open := func(relaxed bool) Opened {
		s, err := Inspect(f.dir, f.files, true)
		require.NoError(t, err)
		p, err := Decide(s)
		require.NoError(t, err)
		o, err := Apply(f.dir, s, p, f.files, relaxed, now)
		require.NoError(t, err)
		return o
	}
	o := open(true)
	require.False(t, o.Report.EpochRaised, "the owner before was not relaxed")
	clean := f.clone() // as a relaxed owner finds it

	// What a relaxed owner appends may vanish wholly in a power cut: the log is then the same as before.
	f = clean
	o = open(false)
	require.True(t, o.Report.EpochRaised, "events may have been visible that left no trace")
	require.Equal(t, uint64(2), o.Report.Epoch)
	require.Contains(t, o.Report.String(), "epoch raised to 2")
	require.Equal(t, uint64(2), f.requireEvents(2).Report.Epoch)

	// After a clean close it may not: everything was synced.
	o = open(true)
	f.ledger(func(l *ledger.State) { l.Clean = EndOf(o.Tail) })
	o = open(true)
	require.False(t, o.Report.EpochRaised)
	require.Equal(t, uint64(2), o.Report.Epoch)
}

func TestLoadRefusesAMissingOrDamagedEventFileBelowTheCheckpoint(t *testing.T) {
	load := func(f *fixture) error {
		o, _, err := f.recover()
		require.NoError(f, err)
		_, err = f.load(o, index.NewPlaces(o.Report.Materialized))
		return err
	}
	const filed = 700 // several chunks of readers
	f := newFixture(t)
	f.append(filed, filed+3)
	f.file(1, filed)
	f.ledger(func(l *ledger.State) { l.Materialized = filed })
	require.NoError(t, load(f))
	for _, p := range []dcb.Position{1, 256, 257, filed} {
		path := f.files.Path(p)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.Remove(path))
		requireCorrupt(t, load(f), path, 0, "missing")
		require.NoError(t, os.WriteFile(path, bytes.Replace(text, []byte(`"all"`), []byte(`"axl"`), 1), 0o644))
		err = load(f)
		require.ErrorIs(t, err, dcb.ErrCorrupt)
		require.True(t, strings.Contains(err.Error(), path), "%v does not name %s", err, path)
		require.NoError(t, os.WriteFile(path, text, 0o644))
	}
	require.NoError(t, load(f))
}

func TestPlansAreSentences(t *testing.T) {
	p, err := Decide(State{Dir: "store", Ledger: ledger.State{Relaxed: true}, Temps: []string{"00000003.tmp"},
		Generations: []wal.Scanned{torn(scanned(1, 1, 3), 7), unused(2)}})
	require.NoError(t, err)
	require.Equal(t, "recovered: head 3, checkpoint 0; cut 7 bytes of generation 1 at offset 392 (the frame is cut short); "+
		"write positions from 1 of generation 1 anew into 3; remove 3 generations that are not needed; raise the epoch", p.String())
}

// What cannot be read is an error, and not nothing.
func TestInspectTellsWhatItCannotRead(t *testing.T) {
	for name, path := range map[string]func(f *fixture) string{
		"log":   func(f *fixture) string { return f.walDir },
		"ACKED": func(f *fixture) string { return wal.AckedPath(f.walDir) },
		"index": func(f *fixture) string { return filepath.Join(f.dir, IndexDir) },
		"event": func(f *fixture) string { return filepath.Join(f.dir, EventsDir) },
	} {
		f := newFixture(t)
		f.append(3)
		at := path(f)
		require.NoError(t, os.RemoveAll(at))
		if name == "ACKED" {
			require.NoError(t, os.Mkdir(at, 0o755))
		} else {
			require.NoError(t, os.WriteFile(at, []byte("a file"), 0o644))
		}
		before := tree(t, f.dir)
		_, err := Inspect(f.dir, f.files, false)
		require.Error(t, err, name)
		require.NotErrorIs(t, err, dcb.ErrCorrupt, name)
		require.Equal(t, before, tree(t, f.dir))
	}
}

// Its owner was killed in idle time, in which packing begins before anything else changes.
func TestHalfAPackInAStoreThatLooksClosedIsRemoved(t *testing.T) {
	f := newFixture(t)
	f.append(3, 5)
	f.file(1, 5)
	f.closeClean()
	path := filepath.Join(f.dir, "packs", ".tmp-0123456789abcdef")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte("half of it"), 0o644))
	_, plan, err := f.recover()
	require.NoError(t, err)
	require.Equal(t, Clean, plan.Outcome)
	require.NoFileExists(t, path)
}
