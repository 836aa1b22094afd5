package opossum

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"opossum/internal/codec"
	"opossum/internal/eventfile"
	"opossum/internal/workload"
	"opossum/ledger"
	"opossum/recovery"
	"opossum/wal"
)

// The tests of this file damage the bytes of stores that a child process made. Whatever the damage, opening must yield exactly
// the acknowledged events, or an error that names the place: never an altered, missing or invented event.

// damagedStore is a store to be damaged: its directory, and what was acknowledged in it.
type damagedStore struct {
	dir    string
	events []SequencedEvent // acknowledged, in order
	more   []SequencedEvent // appended behind them and not acknowledged: may be there, or not
	config crashConfig
}

// smallAppends are what the log of a damaged store holds: few, so that every bit can be tried.
const smallAppends = 6

// makeStore runs a child that appends and kills it; with clean, it has closed the store before. With filed, everything is
// checkpointed, else nothing is. With pending, the last append was written and not acknowledged.
func makeStore(t *testing.T, clean, filed, pending bool) damagedStore {
	t.Helper()
	c := crashConfig{Dir: filepath.Join(t.TempDir(), "store"), First: firstSmall(), Writers: 1, Appends: smallAppends, Filing: "paused", Close: clean}
	if filed {
		c.Filing = "waited"
	}
	if pending {
		c.Point, c.At = "before sync", smallAppends // the first appends are synced, the last is written
	}
	w := newWitness()
	acks, last := w.runChild(t, "crash-writer", c, func(_ int, line string) bool { return line == "done" || line == "point" })
	if pending {
		require.Equal(t, "point", last)
		require.Equal(t, smallAppends-1, acks)
	} else {
		require.Equal(t, smallAppends, acks)
	}
	s := damagedStore{dir: c.Dir, config: c}
	for id := c.First; id < c.First+smallAppends; id++ {
		for _, e := range workload.Events(id) {
			to := &s.events
			if _, ok := w.Acked[id]; !ok {
				to = &s.more
			}
			*to = append(*to, SequencedEvent{Position: Position(len(s.events) + len(s.more) + 1), Event: e})
		}
	}
	led, err := ledger.Load(s.dir)
	require.NoError(t, err)
	if filed {
		require.Equal(t, Position(len(s.events)), led.Materialized)
	} else {
		require.Zero(t, led.Materialized)
	}
	return s
}

// firstSmall is the number of the first of smallAppends adjacent appends of which some have several events, and the last two
// are small. (Found when it is needed: children do not need it.)
var firstSmall = sync.OnceValue(func() uint64 {
	size := func(id uint64) (n int) {
		for _, e := range workload.Events(id) {
			n += len(codec.AppendRecord(nil, e))
		}
		return n
	}
	for id := uint64(workload.IDsPerWriter); ; id++ {
		events, all := 0, 0
		for i := range uint64(smallAppends) {
			events, all = events+len(workload.Events(id+i)), all+size(id+i)
		}
		if events > smallAppends+2 && all < 2000 && size(id+smallAppends-2) < 120 && size(id+smallAppends-1) < 120 {
			return id
		}
	}
})

// copyTo copies the store into a new directory.
func (s damagedStore) copyTo(dir string) error {
	return os.CopyFS(dir, os.DirFS(s.dir))
}

// verdict is how a damaged store was found.
type verdict uint8

const (
	refused    verdict = iota // to open: ErrCorrupt, naming a file and offset
	unreadable                // it opens, and reads end with such an error where the damage is
	intact                    // exactly the acknowledged events, perhaps with the pending ones
)

// judge opens the store in dir, and returns an error if that yields anything but what is allowed. A read-only engine, which
// looks before and changes nothing, must come to the same verdict.
func (s damagedStore) judge(dir string) (verdict, error) {
	shown, err := s.judgeAs(dir, &Options{ReadOnly: true})
	if err != nil {
		return shown, fmt.Errorf("read-only: %w", err)
	}
	v, err := s.judgeAs(dir, s.config.options())
	if err == nil && v != shown {
		err = fmt.Errorf("a read-only engine finds %d, an owner %d", shown, v)
	}
	return v, err
}

func (s damagedStore) judgeAs(dir string, o *Options) (verdict, error) {
	e, err := Open(dir, o)
	if err != nil {
		return refused, checkRefusal(dir, err)
	}
	found, err := s.compare(dir, e)
	return found, errors.Join(err, e.Close())
}

// checkRefusal returns an error if err is not ErrCorrupt with the place.
func checkRefusal(dir string, err error) error {
	var ce *CorruptError
	switch {
	case !errors.Is(err, ErrCorrupt) || !errors.As(err, &ce):
		return fmt.Errorf("opening fails with what is not ErrCorrupt: %w", err)
	case !strings.HasPrefix(ce.File, dir) || ce.Offset < 0 || ce.Reason == "":
		return fmt.Errorf("the refusal does not name the place: %w", err)
	}
	return nil
}

// foresee judges without opening, by the plan that Open would carry out, which costs a tenth and changes nothing. The plan says
// where the log ends; that what is in it is right, judge has to see.
func (s damagedStore) foresee(dir string) (verdict, error) {
	files, err := eventfile.Open(filepath.Join(dir, recovery.EventsDir))
	if err != nil {
		return refused, err
	}
	defer files.Close()
	state, err := recovery.Inspect(dir, files, false)
	if err != nil {
		return refused, checkRefusal(dir, err)
	}
	plan, err := recovery.Decide(state)
	if err != nil {
		return refused, checkRefusal(dir, err)
	}
	if n := len(s.events); int(plan.Head) != n && int(plan.Head) != n+len(s.more) {
		return intact, fmt.Errorf("%d events, where %d were acknowledged and %d more were pending: %v", plan.Head, n, len(s.more), plan)
	}
	return intact, nil
}

func (s damagedStore) compare(dir string, e *Engine) (verdict, error) {
	v, err := e.Read(ctxb, AllEvents(), ReadOptions{})
	if err != nil {
		return intact, err
	}
	got, failure := collect(v.All())
	want := s.events
	if failure != nil {
		want = want[:min(len(got), len(want))]
	}
	if len(got) > len(want) {
		want = append(want[:len(want):len(want)], s.more...)
	}
	if len(got) != len(want) {
		return intact, fmt.Errorf("%d events, where %d were acknowledged and %d more were pending: %v", len(got), len(s.events), len(s.more), e.Recovery())
	}
	for i := range want {
		if !reflect.DeepEqual(want[i], got[i]) {
			return intact, fmt.Errorf("position %d is altered: %+v, was %+v", i+1, got[i], want[i])
		}
	}
	if failure != nil {
		return unreadable, checkRefusal(dir, failure)
	}
	return intact, nil
}

// change is one damage to a file.
type change struct {
	name string
	do   func(b []byte) []byte // may change b, which is a copy
	bit  bool                  // one of very many, such as flipped bits
}

// judgeAll applies each change to the file and judges what it does. Of flipped bits the outcome is foreseen for all, and one in
// eight is opened as well, at least one in each byte; of everything else, all are opened. The path is relative. Copies of the
// store are used again as long as nothing but that file changed in them.
func (s damagedStore) judgeAll(t *testing.T, path string, changes []change, check func(c change, v verdict) error) {
	t.Helper()
	original, err := os.ReadFile(filepath.Join(s.dir, path))
	require.NoError(t, err)
	base := t.TempDir()
	var next atomic.Int64
	var g errgroup.Group
	for worker := range 2 {
		g.Go(func() error {
			dir, fresh := "", true
			for {
				i := int(next.Add(1)) - 1
				if i >= len(changes) {
					return nil
				}
				if fresh {
					fresh = false
					if dir != "" {
						if err := os.RemoveAll(dir); err != nil {
							return err
						}
					}
					dir = filepath.Join(base, fmt.Sprintf("%d-%d", worker, i))
					if err := s.copyTo(dir); err != nil {
						return err
					}
				}
				c := changes[i]
				if err := os.WriteFile(filepath.Join(dir, path), c.do(bytes.Clone(original)), 0o644); err != nil {
					return err
				}
				var v verdict
				var err error
				if c.bit {
					v, err = s.foresee(dir)
				}
				if err == nil && (!c.bit || i%8 == i/8%8) {
					foreseen := v
					if v, err = s.judge(dir); err == nil && c.bit && v != foreseen {
						err = fmt.Errorf("opening is %d, foreseen was %d", v, foreseen)
					}
					fresh = v != refused // a refusal changes nothing, which its next use verifies
				}
				if err == nil {
					err = check(c, v)
				}
				if err != nil {
					return fmt.Errorf("%s, %s: %w", path, c.name, err)
				}
			}
		})
	}
	require.NoError(t, g.Wait())
}

// flips are all single flipped bits from offset from on; with -short, a random few.
func flips(t *testing.T, from, to int64) []change {
	var out []change
	for bit := from * 8; bit < to*8; bit++ {
		out = append(out, change{name: fmt.Sprintf("bit %d of byte %d flipped", bit%8, bit/8), bit: true, do: func(b []byte) []byte {
			b[bit/8] ^= 1 << (bit % 8)
			return b
		}})
	}
	return few(t, out)
}

// cuts are all truncations to a length in [from, to).
func cuts(t *testing.T, from, to int64) []change {
	var out []change
	for n := from; n < to; n++ {
		out = append(out, change{name: fmt.Sprintf("cut to %d bytes", n), do: func(b []byte) []byte { return b[:n] }})
	}
	return few(t, out)
}

// few picks some changes with -short.
func few(t *testing.T, all []change) []change {
	const some = 8
	if !testing.Short() || len(all) <= some {
		return all
	}
	r := rand.New(rand.NewPCG(crashSeed(t), 0))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:some]
}

// tails are bytes behind the end of a log.
func tails(r *rand.Rand, frame []byte) []change {
	var out []change
	add := func(name string, tail []byte) {
		out = append(out, change{name: name, do: func(b []byte) []byte { return append(b, tail...) }})
	}
	for _, n := range []int{1, 7, 72, 100, 4096} {
		add(fmt.Sprintf("%d zero bytes appended", n), make([]byte, n))
		garbage := make([]byte, n)
		workload.Fill(r, garbage)
		add(fmt.Sprintf("%d random bytes appended", n), garbage)
	}
	add("its last frame appended again", frame)
	add("half its last frame appended again", frame[:len(frame)/2])
	add("zero bytes and its last frame appended", append(make([]byte, 9), frame...))
	return out
}

func TestDamageInTheLastFramesOfTheLogIsNeverSilent(t *testing.T) {
	seed := crashSeed(t)
	for _, clean := range []bool{true, false} {
		for _, filed := range []bool{true, false} {
			name := map[bool]string{true: "closed", false: "killed"}[clean] + ", " + map[bool]string{true: "everything filed", false: "nothing filed"}[filed]
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(seed, 0))
				s := makeStore(t, clean, filed, false)
				g := logEnd(t, s.dir)
				require.Len(t, g.Commits, smallAppends)
				from, last := g.Commits[smallAppends-2].Offset, g.Commits[smallAppends-1]
				text, err := os.ReadFile(generationFile(s.dir, g.Gen))
				require.NoError(t, err)
				path, err := filepath.Rel(s.dir, generationFile(s.dir, g.Gen))
				require.NoError(t, err)

				refuses := func(_ change, v verdict) error {
					if v != refused {
						return errors.New("it opens, though an acknowledged frame is damaged")
					}
					return nil
				}
				s.judgeAll(t, path, cuts(t, from, g.Size), refuses)
				s.judgeAll(t, path, flips(t, from, g.Size), refuses)
				s.judgeAll(t, path, tails(r, text[last.Offset:]), func(_ change, v verdict) error {
					if v != intact {
						return errors.New("refused, though nothing acknowledged is damaged")
					}
					return nil
				})
			})
		}
	}
}

// The last frame was written and never acknowledged: damage in it may cost it, and nothing else.
func TestDamageInAFrameThatWasNotAcknowledgedCostsThatFrameOnly(t *testing.T) {
	t.Parallel()
	s := makeStore(t, false, false, true)
	require.NotEmpty(t, s.more)
	g := logEnd(t, s.dir)
	n := len(g.Commits)
	require.Equal(t, smallAppends, n, "the pending append is in the log")
	path, err := filepath.Rel(s.dir, generationFile(s.dir, g.Gen))
	require.NoError(t, err)
	opens := func(_ change, v verdict) error {
		if v != intact {
			return errors.New("refused, though nothing acknowledged is damaged")
		}
		return nil
	}
	last := g.Commits[n-1]
	some := cuts(t, last.Offset, g.Size+1)
	for i := range some {
		some[i].bit = true
	}
	s.judgeAll(t, path, some, opens)
	s.judgeAll(t, path, flips(t, last.Offset, g.Size), opens)
	before := g.Commits[n-2]
	refuses := func(_ change, v verdict) error {
		if v != refused {
			return errors.New("it opens, though an acknowledged frame is damaged")
		}
		return nil
	}
	s.judgeAll(t, path, cuts(t, before.Offset, last.Offset), refuses)
	s.judgeAll(t, path, flips(t, before.Offset, last.Offset), refuses)
}

func TestDamageInAnEarlierFrameIsRefusedWithoutAnyWitnessOutsideTheLog(t *testing.T) {
	t.Parallel()
	s := makeStore(t, false, false, false)
	require.NoError(t, os.Remove(filepath.Join(s.dir, recovery.WALDir, "ACKED")))
	g := logEnd(t, s.dir)
	path, err := filepath.Rel(s.dir, generationFile(s.dir, g.Gen))
	require.NoError(t, err)
	f := g.Commits[len(g.Commits)-3] // the two after it have it witnessed
	s.judgeAll(t, path, append(flips(t, 0, g.Commits[0].Offset), flips(t, f.Offset, f.End)...), func(_ change, v verdict) error {
		if v != refused {
			return errors.New("it opens, though later frames prove that the damaged one was acknowledged")
		}
		return nil
	})
}

func TestADamagedLedgerIsNeverBelieved(t *testing.T) {
	for _, filed := range []bool{true, false} {
		t.Run(fmt.Sprintf("filed %t", filed), func(t *testing.T) {
			t.Parallel()
			s := makeStore(t, true, filed, false)
			text, err := os.ReadFile(filepath.Join(s.dir, ledger.FileName))
			require.NoError(t, err)
			version := int64(bytes.Index(text, []byte(`"version": `)) + len(`"version": `))
			// Not the version's own digit, which may come to look like that of a newer format.
			bits := append(flips(t, 0, version), flips(t, version+1, int64(len(text)))...)
			refuses := func(_ change, v verdict) error {
				if v != refused {
					return errors.New("a damaged ledger was believed")
				}
				return nil
			}
			s.judgeAll(t, ledger.FileName, bits, refuses)
			s.judgeAll(t, ledger.FileName, cuts(t, 0, int64(len(text))), refuses)
			dir := filepath.Join(t.TempDir(), "copy")
			require.NoError(t, s.copyTo(dir))
			for bit := range 8 {
				b := bytes.Clone(text)
				b[version] ^= 1 << bit
				require.NoError(t, os.WriteFile(filepath.Join(dir, ledger.FileName), b, 0o644))
				_, err := Open(dir, s.config.options())
				require.True(t, errors.Is(err, ErrCorrupt) || errors.Is(err, ErrVersion), "bit %d of the version: %v", bit, err)
			}
			require.NoError(t, os.Remove(filepath.Join(dir, ledger.FileName)))
			_, err = Open(dir, s.config.options())
			require.ErrorIs(t, err, ErrCorrupt, "a missing ledger beside events")
		})
	}
}

// ACKED is a witness that may be silent. Damaged, it must not speak.
func TestADamagedWitnessIsSilentAndNeverWrong(t *testing.T) {
	opens := func(_ change, v verdict) error {
		if v != intact {
			return errors.New("a damaged witness convicted an intact log")
		}
		return nil
	}
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprintf("clean %t", clean), func(t *testing.T) {
			t.Parallel()
			s := makeStore(t, clean, false, false)
			path := filepath.Join(recovery.WALDir, "ACKED")
			text, err := os.ReadFile(filepath.Join(s.dir, path))
			require.NoError(t, err)
			s.judgeAll(t, path, flips(t, 0, int64(len(text))), opens)
			s.judgeAll(t, path, cuts(t, 0, int64(len(text))), opens)
			s.judgeAll(t, path, []change{
				{name: "all zero", do: func(b []byte) []byte { return make([]byte, len(b)) }},
				{name: "longer", do: func(b []byte) []byte { return append(b, 0) }},
			}, opens)
		})
	}
}

// filedStore is a store with its event files, closed, some of them above the checkpoint.
func filedStore(t *testing.T, upto Position) damagedStore {
	t.Helper()
	s := makeStore(t, false, true, false)
	led, err := ledger.Load(s.dir)
	require.NoError(t, err)
	led.Materialized = upto // as if the checkpoint had come earlier; the log has everything
	require.NoError(t, ledger.Store(s.dir, led))
	return s
}

func TestDamageToEventFilesIsFoundBelowTheCheckpointAndMendedAboveIt(t *testing.T) {
	t.Parallel()
	const checkpoint = 4
	s := filedStore(t, checkpoint)
	files, err := eventfile.Open(filepath.Join(s.dir, recovery.EventsDir))
	require.NoError(t, err)
	defer func() { require.NoError(t, files.Close()) }()
	path := func(p Position) string {
		rel, err := filepath.Rel(s.dir, files.Path(p))
		require.NoError(t, err)
		return rel
	}
	head := Position(len(s.events))
	require.Greater(t, head, Position(checkpoint))
	scratch, err := eventfile.Open(filepath.Join(t.TempDir(), "scratch"))
	require.NoError(t, err)
	defer func() { require.NoError(t, scratch.Close()) }()
	require.NoError(t, scratch.Write(checkpoint, nil))
	other, err := os.ReadFile(filepath.Join(s.dir, path(2)))
	require.NoError(t, err)

	for p := Position(1); p <= head; p++ {
		want := unreadable
		if p > checkpoint {
			want = intact
		}
		check := func(_ change, v verdict) error {
			if v != want {
				return fmt.Errorf("verdict %d, want %d, for position %d with the checkpoint at %d", v, want, p, checkpoint)
			}
			return nil
		}
		text, err := os.ReadFile(filepath.Join(s.dir, path(p)))
		require.NoError(t, err)
		changes := []change{
			{name: "empty", do: func([]byte) []byte { return nil }},
			{name: "all zero", do: func(b []byte) []byte { return make([]byte, len(b)) }},
			{name: "cut in half", do: func(b []byte) []byte { return b[:len(b)/2] }},
			{name: "longer", do: func(b []byte) []byte { return append(b, '\n') }},
		}
		if p != 2 {
			changes = append(changes, change{name: "another event's", do: func([]byte) []byte { return other }})
		}
		if p == checkpoint { // all of it, once; reading the file is how Open judges it
			for i, c := range append(flips(t, 0, int64(len(text))), cuts(t, 0, int64(len(text)))...) {
				require.NoError(t, os.WriteFile(scratch.Path(p), c.do(bytes.Clone(text)), 0o644))
				_, err := scratch.Read(p)
				require.ErrorIs(t, err, ErrCorrupt, c.name)
				if c.bit = false; i%128 == 0 {
					changes = append(changes, c)
				}
			}
		}
		s.judgeAll(t, path(p), changes, check)

		dir := filepath.Join(t.TempDir(), "copy")
		require.NoError(t, s.copyTo(dir))
		require.NoError(t, os.Remove(filepath.Join(dir, path(p))))
		v, err := s.judge(dir)
		require.NoError(t, err, "the file of position %d is missing", p)
		require.Equal(t, want, v, "the file of position %d is missing, the checkpoint is at %d", p, checkpoint)
	}
}

// What stands above the checkpoint is written again, whatever is there: existence is no proof of content.
func TestEventFilesAboveTheCheckpointAreWrittenAgain(t *testing.T) {
	s := filedStore(t, 2)
	files, err := eventfile.Open(filepath.Join(s.dir, recovery.EventsDir))
	require.NoError(t, err)
	defer func() { require.NoError(t, files.Close()) }()
	head := Position(len(s.events))
	for p := Position(3); p <= head; p++ {
		text, err := os.ReadFile(files.Path(p))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(files.Path(p), make([]byte, len(text)), 0o644)) // as ext4 leaves it after a power cut
	}
	e, err := Open(s.dir, s.config.options())
	require.NoError(t, err)
	require.NoError(t, e.WaitMaterialized(ctxb, head))
	require.NoError(t, e.Close())
	for _, ev := range s.events {
		got, err := files.Read(ev.Position)
		require.NoError(t, err)
		require.Equal(t, ev, got)
	}
}

// rotatedStore is a log of several generations of which nothing is filed, left by a killed process.
func rotatedStore(t *testing.T) damagedStore {
	t.Helper()
	c := crashConfig{Dir: filepath.Join(t.TempDir(), "store"), First: firstSmall(), Writers: 1, Appends: 400, Filing: "paused", Rotate: 2 << 10,
		Point: "before write", At: 120, // so that everything in the log is acknowledged
	}
	w := newWitness()
	_, last := w.runChild(t, "crash-writer", c, func(_ int, line string) bool { return line == "point" || line == "done" })
	require.Equal(t, "point", last)
	s := damagedStore{dir: c.Dir, config: c}
	for id := c.First; len(w.Acked) > 0; id++ {
		_, ok := w.Acked[id]
		require.True(t, ok)
		delete(w.Acked, id)
		for _, e := range workload.Events(id) {
			s.events = append(s.events, SequencedEvent{Position: Position(len(s.events) + 1), Event: e})
		}
	}
	return s
}

func TestMissingDuplicatedOrOldGenerationsAreRefused(t *testing.T) {
	t.Parallel()
	s := rotatedStore(t)
	all := scanLog(t, s.dir)
	var used []wal.Scanned
	for _, g := range all {
		if g.Linked && len(g.Commits) > 0 {
			used = append(used, g)
		}
	}
	require.GreaterOrEqual(t, len(used), 3, "the log has not rotated")
	judge := func(what string, damage func(dir string)) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "copy")
		require.NoError(t, s.copyTo(dir))
		damage(dir)
		v, err := s.judge(dir)
		require.NoError(t, err, what)
		require.Equal(t, refused, v, what)
	}
	read := func(gen uint64) []byte {
		b, err := os.ReadFile(generationFile(s.dir, gen))
		require.NoError(t, err)
		return b
	}
	if testing.Short() {
		used = used[len(used)-3:]
	}
	for i, g := range used {
		judge(fmt.Sprintf("generation %d is missing", g.Gen), func(dir string) {
			require.NoError(t, os.RemoveAll(filepath.Dir(generationFile(dir, g.Gen))))
		})
		judge(fmt.Sprintf("generation %d lost its file", g.Gen), func(dir string) { require.NoError(t, os.Remove(generationFile(dir, g.Gen))) })
		judge(fmt.Sprintf("generation %d is empty", g.Gen), func(dir string) { require.NoError(t, os.Truncate(generationFile(dir, g.Gen), 0)) })
		judge(fmt.Sprintf("generation %d is a copy of another", g.Gen), func(dir string) {
			require.NoError(t, os.WriteFile(generationFile(dir, g.Gen), read(used[(i+1)%len(used)].Gen), 0o644))
		})
		for _, f := range g.Commits { // an older copy of the generation: it ends where it ended once
			if testing.Short() && f.Offset > g.Commits[0].Offset {
				break
			}
			if f.Offset < g.Commits[len(g.Commits)-1].Offset {
				judge(fmt.Sprintf("generation %d is an older copy", g.Gen), func(dir string) {
					require.NoError(t, os.Truncate(generationFile(dir, g.Gen), f.End))
				})
			}
		}
		judge(fmt.Sprintf("generation %d stands there a second time, as the newest", g.Gen), func(dir string) {
			path := generationFile(dir, all[len(all)-1].Gen+1)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, read(g.Gen), 0o644))
		})
	}
	judge("the log is missing", func(dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, recovery.WALDir))) })
	judge("all generations are missing", func(dir string) {
		for _, g := range all {
			require.NoError(t, os.RemoveAll(filepath.Dir(generationFile(dir, g.Gen))))
		}
	})

	// Undamaged it opens, so the judge is just.
	dir := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, s.copyTo(dir))
	v, err := s.judge(dir)
	require.NoError(t, err)
	require.Equal(t, intact, v)
}

// A refusal to open changes nothing, so that whoever comes to repair finds everything as it was.
func TestARefusalLeavesTheStoreAsItWas(t *testing.T) {
	s := makeStore(t, false, true, false)
	g := logEnd(t, s.dir)
	f := g.Commits[len(g.Commits)-2]
	b, err := os.ReadFile(generationFile(s.dir, g.Gen))
	require.NoError(t, err)
	b[f.BodyOffset] ^= 1
	require.NoError(t, os.WriteFile(generationFile(s.dir, g.Gen), b, 0o644))
	before := storeTree(t, s.dir)
	for range 3 {
		v, err := s.judge(s.dir)
		require.NoError(t, err)
		require.Equal(t, refused, v)
	}
	require.Equal(t, before, storeTree(t, s.dir))
}
