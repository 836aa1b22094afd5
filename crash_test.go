package opossum

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/internal/eventfile"
	"opossum/internal/workload"
	"opossum/ledger"
	"opossum/recovery"
	"opossum/wal"
)

// TestNothingAcknowledgedIsLostWhenTheProcessIsKilled kills real processes, 200 times, and looks at what they left. Several
// stores live through ten cycles each: a child appends and is killed; now and then the next ones, which only recover,
// are killed as well; then everything is checked.
func TestNothingAcknowledgedIsLostWhenTheProcessIsKilled(t *testing.T) {
	stores, cycles := 20, 10
	if testing.Short() {
		stores, cycles = 3, 5
	}
	seed := crashSeed(t)
	var met crashCounts
	t.Cleanup(func() { // after all stores
		if !testing.Short() && !t.Failed() {
			met.check(t)
		}
	})
	for i := range stores {
		t.Run(fmt.Sprintf("store %d", i), func(t *testing.T) {
			t.Parallel()
			s := &crashStore{
				T: t, witness: newWitness(), r: rand.New(rand.NewPCG(seed, uint64(i))), met: &met,
				config: crashConfig{Dir: filepath.Join(t.TempDir(), "store"), Rotate: 6 << 10},
			}
			if i%4 == 1 {
				s.config.Rotate = roomy
			}
			if i%4 == 3 {
				s.config.Flush = FlushDisabled // a killed process loses nothing in this mode either
			}
			for s.cycle = range cycles {
				s.live()
			}
		})
	}
}

// roomy is a size of generations from which on they are filled with zeros beforehand.
const roomy = 1 << 20

// crashStore is a store that lives through many crashes.
type crashStore struct {
	*testing.T
	*witness
	r      *rand.Rand
	config crashConfig
	cycle  int
	epoch  uint64
	packed int  // shards, when it was last looked at
	closed bool // the last child may have closed the store before it was killed
	met    *crashCounts
}

// crashCounts are the situations that the cycles met: a test that never met one proves nothing about it.
type crashCounts struct {
	points, recoveries, tails, generations, checkpoints, backlogs, epochs atomic.Int64
	packs, halves, begun, unpacked                                        atomic.Int64
}

func (c *crashCounts) check(t *testing.T) {
	counts := map[string]*atomic.Int64{
		"kills at a chosen point": &c.points, "killed recoveries": &c.recoveries, "torn tails": &c.tails,
		"logs of several generations": &c.generations, "logs with a checkpoint": &c.checkpoints,
		"logs with events that were not filed": &c.backlogs, "raised epochs": &c.epochs,
	}
	if smallShards {
		counts["stores with packs"] = &c.packs
		counts["stores with a shard both packed and loose"] = &c.halves
		counts["packs that were being written"] = &c.begun
		counts["stores that unpacked"] = &c.unpacked
	}
	for what, n := range counts {
		t.Logf("%4d %s", n.Load(), what)
		require.Positive(t, n.Load(), what)
	}
}

// look counts what is in the log of a killed process.
func (s *crashStore) look() {
	s.Helper()
	led, err := ledger.Load(s.config.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return // killed while the store was created
	}
	require.NoError(s, err)
	s.lookAtPacks(led)
	used := 0
	for _, g := range scanLog(s.T, s.config.Dir) {
		if g.Linked && g.Next() > led.Materialized+1 {
			used++
		}
	}
	if used > 0 {
		s.met.backlogs.Add(1)
	}
	if used > 1 {
		s.met.generations.Add(1)
	}
	if led.Materialized > 0 {
		s.met.checkpoints.Add(1)
	}
}

// lookAtPacks counts what packing and unpacking left when they were killed.
func (s *crashStore) lookAtPacks(led ledger.State) {
	s.Helper()
	files, err := eventfile.OpenExisting(filepath.Join(s.config.Dir, recovery.EventsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	require.NoError(s, err)
	defer func() { require.NoError(s, files.Close()) }()
	require.NoError(s, files.Bind(wal.StoreID(led.Store).Seed()))
	shards := files.PackedShards()
	if len(shards) > 0 {
		s.met.packs.Add(1)
	}
	if slices.ContainsFunc(shards, func(shard Position) bool { _, err := os.Stat(filepath.Dir(files.Path(shard))); return err == nil }) {
		s.met.halves.Add(1)
	}
	if s.packed > len(shards) {
		s.met.unpacked.Add(1)
	}
	s.packed = len(shards)
	begun, err := filepath.Glob(filepath.Join(s.config.Dir, "packs", ".tmp-*"))
	require.NoError(s, err)
	s.met.begun.Add(int64(len(begun)))
}

// live is one cycle.
func (s *crashStore) live() {
	s.Helper()
	s.config.First = uint64(s.cycle+1) * 100 * workload.IDsPerWriter
	s.config.Loose = looseEvents[s.r.IntN(len(looseEvents))]
	how := s.write()
	s.look()
	s.config.Loose = looseEvents[s.r.IntN(len(looseEvents))]
	torn := s.r.IntN(3) == 0 && s.tear()
	if s.r.IntN(4) == 0 {
		how += s.killRecoveries()
	}
	defer func() {
		if s.Failed() {
			s.Logf("cycle %d: %s, torn %t", s.cycle, how, torn)
		}
	}()
	if s.r.IntN(2) == 0 {
		recoverTwice(s.T, s.config)
	}
	all, filed := s.checkStore(s.T, s.config, s.r, s.r.IntN(2) == 0)
	checkFiles(s.T, s.config.Dir, all, filed)
	s.checkClosed()
}

// write runs a child that appends, and kills it after a random number of acknowledgements, or at a point of its work.
func (s *crashStore) write() (how string) {
	s.Helper()
	c := s.config
	c.Writers, c.Appends = 1+s.r.IntN(6), 500
	c.Filing = []string{"", "prompted", "prompted", "paused"}[s.r.IntN(4)]
	c.Repack = s.r.IntN(2) == 0
	after := s.r.IntN(40)
	if s.r.IntN(6) == 0 { // in the middle of Close
		c.Close, c.Appends, c.Filing = true, 1+s.r.IntN(12), c.Filing[:0]
		delay := time.Duration(s.r.IntN(4000)) * time.Microsecond
		acks, _ := s.runChild(s.T, "crash-writer", c, func(_ int, line string) bool {
			if line == "closing" {
				<-time.After(delay) // not for something to happen: this is the random moment
			}
			return line == "closing"
		})
		s.closed = true
		return fmt.Sprintf("%d writers, killed %v into Close, after %d acks", c.Writers, delay, acks)
	}
	s.closed = false
	if s.r.IntN(2) == 0 {
		c.Point, c.At = crashPoints[s.r.IntN(len(crashPoints))], 1+s.r.Int64N(25)
		switch c.Point {
		case "before a successor":
			c.At = 1 + s.r.Int64N(3)
		case "repacking":
			c.Repack, c.At = true, 1+s.r.Int64N(5)
		}
		after = 60 // in case it does not come by so often
	}
	acks, last := s.runChild(s.T, "crash-writer", c, func(acks int, line string) bool {
		return line == "point" || acks > after || line == "done"
	})
	if last == "point" {
		s.met.points.Add(1)
	}
	return fmt.Sprintf("%d writers, filing %q, loose %d, repacking %t, killed after %d acks at %q (%s)", c.Writers, c.Filing, c.Loose, c.Repack, acks, last, c.Point)
}

// killRecoveries kills processes that do nothing but open the store, somewhere in between.
func (s *crashStore) killRecoveries() string {
	s.Helper()
	n := 1 + s.r.IntN(4)
	for range n {
		delay := time.Duration(s.r.Float64() * 1.3 * float64(s.openTime))
		s.runChild(s.T, "crash-opener", s.config, func(_ int, line string) bool {
			if line == "begin" {
				<-time.After(delay) // not for something to happen: this is the random moment
			}
			return true
		})
		s.met.recoveries.Add(1)
	}
	return fmt.Sprintf(", then %d recoveries killed", n)
}

// tear appends bytes to the log as a torn write, which SIGKILL alone rarely leaves, would, and says whether they are any but zeros: those are room, which
// nobody keeps.
func (s *crashStore) tear() bool {
	s.Helper()
	g := logEnd(s.T, s.config.Dir)
	path := generationFile(s.config.Dir, g.Gen)
	b, err := os.ReadFile(path)
	require.NoError(s, err)
	tail := make([]byte, 1+s.r.IntN(6000))
	switch s.r.IntN(3) {
	case 0: // zero bytes
	case 1:
		workload.Fill(s.r, tail)
	case 2: // the beginning of what might have been a frame
		if len(g.Commits) > 0 {
			f := g.Commits[s.r.IntN(len(g.Commits))]
			tail = b[f.Offset : f.Offset+1+s.r.Int64N(f.End-f.Offset)]
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(s, err)
	_, err = f.WriteAt(tail, g.Size) // over what may have been written there beforehand
	require.NoError(s, err)
	require.NoError(s, f.Close())
	s.met.tails.Add(1)
	return len(bytes.Trim(tail, "\x00")) > 0
}

// checkClosed: after a clean close the next opening finds it so, and the epoch tells what was at stake.
func (s *crashStore) checkClosed() {
	s.Helper()
	files, err := eventfile.Open(filepath.Join(s.config.Dir, recovery.EventsDir))
	require.NoError(s, err)
	defer func() { require.NoError(s, files.Close()) }()
	state, err := recovery.Inspect(s.config.Dir, files, false)
	require.NoError(s, err)
	plan, err := recovery.Decide(state)
	require.NoError(s, err)
	require.Equal(s, recovery.Clean, plan.Outcome)
	require.Empty(s, plan.RemoveGens)
	require.Empty(s, plan.RemoveTemps)
	if s.config.Flush == FlushBatch {
		require.Equal(s, uint64(1), state.Ledger.Epoch, "nothing visible can have been lost")
	} else if !s.closed {
		require.Greater(s, state.Ledger.Epoch, s.epoch, "after an unclean end visible events may be gone")
	}
	if state.Ledger.Epoch > 1 {
		s.met.epochs.Add(1)
	}
	s.epoch = state.Ledger.Epoch
}

// Quarantined bytes are never thrown away by what comes later.
func TestQuarantineGrowsAndNothingInItChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(crashSeed(t), 0))
	s := &crashStore{T: t, witness: newWitness(), r: r, met: new(crashCounts), config: crashConfig{Dir: filepath.Join(t.TempDir(), "store"), Rotate: 6 << 10}}
	kept, torn := map[string]string{}, 0
	for s.cycle = range 4 {
		s.config.First = uint64(s.cycle+1) * 100 * workload.IDsPerWriter
		s.write()
		if s.tear() {
			torn++
		}
		s.checkStore(t, s.config, r, false)
		files, err := os.ReadDir(filepath.Join(s.config.Dir, recovery.QuarantineDir))
		if torn > 0 {
			require.NoError(t, err)
		}
		require.Len(t, files, torn)
		for _, f := range files {
			b, err := os.ReadFile(filepath.Join(s.config.Dir, recovery.QuarantineDir, f.Name()))
			require.NoError(t, err)
			if was, ok := kept[f.Name()]; ok {
				require.Equal(t, was, string(b), "%s changed", f.Name())
			}
			kept[f.Name()] = string(b)
		}
	}
}
