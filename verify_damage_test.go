package opossum

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"opossum/internal/codec"
	"opossum/internal/eventfile"
	"opossum/internal/index"
	"opossum/internal/segment"
	"opossum/internal/workload"
	"opossum/ledger"
	"opossum/recovery"
	"opossum/wal"
)

// A store at rest is damaged at random, a thousand times. Whatever the damage: Open and Read give the acknowledged events, or
// ErrCorrupt with the right place; Verify finds every damage that could matter; Repair brings back a store that verifies, without losing
// anything that was still intact somewhere. What is intact somewhere is told by a plain search for the bytes of each event.

// patient is the store to be damaged: of its events some are only in files, some in files and log, some in the log with a
// provisional file, some only in the log.
type patient struct {
	dir          string
	older        string // the same store, earlier
	clean        bool
	events       []SequencedEvent
	texts        [][]byte // of each event, as its file has it
	records      [][]byte // as the log has it
	materialized Position
	original     map[string]string // every file
}

const (
	patientFiled   = 90  // checkpointed, and trimmed from the log as far as whole generations go
	patientBoth    = 110 // checkpointed, and in the log
	patientProvis  = 130 // filed above the checkpoint
	patientHead    = 160
	patientRotates = 1 << 10
)

// copyLive copies a store beside its owner, who files nothing. It begins anew while the owner removes what a checkpoint before has made superfluous.
func copyLive(t *testing.T, to, from string) {
	t.Helper()
	for {
		err := os.CopyFS(to, os.DirFS(from))
		if !errors.Is(err, fs.ErrNotExist) {
			require.NoError(t, err)
			return
		}
		require.NoError(t, os.RemoveAll(to))
	}
}

// makePatient makes the store below base, where copies of it can be links.
func makePatient(t *testing.T, base string, clean bool) *patient {
	t.Helper()
	s := &patient{dir: filepath.Join(base, "store"), older: filepath.Join(base, "older"), clean: clean, materialized: patientBoth}
	h := hooks{}
	h.wal.RotateBytes = patientRotates
	opts := &Options{MinFreeBytes: -1, LooseEvents: KeepLoose}
	e := openStore(t, filepath.Join(base, "origin"), opts, h)
	r := rng(1)
	fillTo := func(head Position) {
		for e.Head() < head {
			events := make([]Event, min(1+r.IntN(4), int(head-e.Head())))
			for i := range events {
				p := int(e.Head()) + 1 + i
				events[i] = Event{Type: fmt.Sprintf("T%d", p%3), Tags: []Tag{"all", Tag(fmt.Sprintf("p:%d", p))}, Data: fmt.Appendf(nil, `{"n":%d}`, p)}
			}
			appendOK(t, e, nil, events...)
		}
	}
	fillTo(patientFiled)
	require.NoError(t, e.WaitMaterialized(ctxb, patientFiled))
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	fillTo(patientBoth)
	copyLive(t, s.older, e.Dir())
	fillTo(patientHead)
	id, err := ledger.Load(e.Dir())
	require.NoError(t, err)
	if clean {
		require.NoError(t, e.Close())
		require.NoError(t, os.CopyFS(s.dir, os.DirFS(e.Dir())))
		e = openStore(t, e.Dir(), opts, h)
	} else {
		copyLive(t, s.dir, e.Dir()) // as a killed process would leave it
	}
	resume()

	require.NoError(t, e.WaitMaterialized(ctxb, patientHead))
	s.events = checkDense(t, e)
	for _, ev := range s.events {
		text, err := os.ReadFile(e.files.Path(ev.Position))
		require.NoError(t, err)
		s.texts = append(s.texts, text)
		record := codec.AppendRecord(nil, ev.Event)
		codec.Stamp(record, wal.StoreID(id.Store).Seed(), ev.Position)
		s.records = append(s.records, record)
		if ev.Position <= patientProvis {
			path := eventfile.Path(filepath.Join(s.dir, recovery.EventsDir), ev.Position)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, text, 0o644))
		}
	}
	require.NoError(t, e.Close())
	led, err := ledger.Load(s.dir)
	require.NoError(t, err)
	led.Materialized = s.materialized
	require.NoError(t, ledger.Store(s.dir, led))
	s.index(t, wal.StoreID(led.Store).Seed())
	s.original = treeOf(s.dir)
	return s
}

// index makes up for the segments that were not sealed when the store was copied, and that the checkpoint promises.
func (s *patient) index(t *testing.T, seed uint64) {
	dir := filepath.Join(s.dir, recovery.IndexDir)
	found, err := index.Find(dir, seed)
	require.NoError(t, err)
	if last := found.Ranges[len(found.Ranges)-1].Last; last < s.materialized {
		fetch := func(p Position) (Event, error) { return s.events[p-1].Event, nil }
		_, err := index.Build(ctxb, dir, seed, segment.Range{First: last + 1, Last: s.materialized}, fetch)
		require.NoError(t, err)
	}
}

// copyTree copies a store. Event files and segments are never written in place, so they are linked; damage must replace them.
func copyTree(from, dir string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		case strings.HasPrefix(rel, recovery.EventsDir), strings.HasPrefix(rel, recovery.IndexDir):
			return os.Link(path, to)
		}
		return copyFile(path, to)
	})
}

// filesOf lists the files of the store by what they are.
func (s *patient) filesOf() map[string][]string {
	out := map[string][]string{}
	for path := range s.original {
		switch dir, name := filepath.Split(path); {
		case name == "LOCK":
		case strings.HasPrefix(path, recovery.IndexDir):
			out["index"] = append(out["index"], path)
		case strings.HasPrefix(path, recovery.EventsDir):
			out["event"] = append(out["event"], path)
		case dir == "":
			out["ledger"] = append(out["ledger"], path)
		case name == "ACKED":
			out["witness"] = append(out["witness"], path)
		default:
			out["log"] = append(out["log"], path)
		}
	}
	for _, list := range out {
		slices.Sort(list)
	}
	return out
}

// treeOf returns every file in dir and its content.
func treeOf(dir string) map[string]string {
	out := map[string]string{}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			b, _ := os.ReadFile(path)
			rel, _ := filepath.Rel(dir, path)
			out[rel] = string(b)
		}
		return nil
	})
	return out
}

// injury is one damage to a store.
type injury struct {
	kind  string
	files []string // damaged, relative
}

func (i injury) String() string { return i.kind + " of " + strings.Join(i.files, " and ") }

// injure damages a copy of the store.
func (s *patient) injure(r *rand.Rand, dir string, files map[string][]string) (injury, error) {
	kinds := []string{"event", "event", "log", "log", "index", "ledger", "witness"}
	pick := func() string {
		list := files[kinds[r.IntN(len(kinds))]]
		if list == nil {
			list = files["event"]
		}
		return list[r.IntN(len(list))]
	}
	path := pick()
	b, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		return injury{}, err
	}
	if len(b) == 0 { // it was emptied before, or a stale copy of what was empty then
		return injury{}, fs.ErrNotExist
	}
	replace := func(kind string, b []byte) (injury, error) {
		return injury{kind, []string{path}}, replaceFile(filepath.Join(dir, path), b)
	}
	at := r.IntN(len(b))
	switch r.IntN(7) {
	case 0:
		b[at] ^= 1 << r.IntN(8)
		return replace(fmt.Sprintf("a flipped bit in byte %d", at), b)
	case 1:
		block := b[at:min(at+1+r.IntN(512), len(b))]
		clear(block)
		return replace(fmt.Sprintf("%d zeroed bytes at %d", len(block), at), b)
	case 2:
		block := b[at:min(at+1+r.IntN(512), len(b))]
		workload.Fill(r, block[:len(block)/8*8])
		return replace(fmt.Sprintf("%d random bytes at %d", len(block)/8*8, at), b)
	case 3:
		return replace(fmt.Sprintf("a truncation to %d bytes", at), b[:at])
	case 4:
		return injury{"a deletion", []string{path}}, os.Remove(filepath.Join(dir, path))
	case 5:
		stale, err := os.ReadFile(filepath.Join(s.older, path))
		if err != nil { // there was none then: an older file of the kind
			other := pick()
			if stale, err = os.ReadFile(filepath.Join(s.dir, other)); err != nil {
				return injury{}, err
			}
			return replace("a copy of "+other+" in the place", stale)
		}
		return replace("a stale copy", stale)
	}
	other := pick()
	b2, err := os.ReadFile(filepath.Join(dir, other))
	if err != nil {
		return injury{}, err
	}
	return injury{"a swap", []string{path, other}},
		errors.Join(replaceFile(filepath.Join(dir, path), b2), replaceFile(filepath.Join(dir, other), b))
}

func replaceFile(path string, b []byte) error {
	return errors.Join(os.Remove(path), os.WriteFile(path, b, 0o644))
}

// intact returns the positions of which a copy is left anywhere in a damaged store.
func (s *patient) intact(tree map[string]string) map[Position]bool {
	out := map[Position]bool{}
	whole := map[string]bool{}
	var damaged strings.Builder
	for path, b := range tree {
		whole[b] = true
		if strings.HasPrefix(path, recovery.WALDir) || s.original[path] != b {
			damaged.WriteString(b + "\x00")
		}
	}
	for i := range s.events {
		if whole[string(s.texts[i])] || strings.Contains(damaged.String(), string(s.records[i])) {
			out[Position(i+1)] = true
		}
	}
	return out
}

// check does to one copy of the store what the test promises, and returns an error that says what does not hold.
func (s *patient) check(seed uint64, base string, files map[string][]string) (string, error) {
	r := rng(seed)
	hurt := filepath.Join(base, "hurt")
	if err := copyTree(s.dir, hurt); err != nil {
		return "", err
	}
	var injuries []injury
	for i := range 1 + r.IntN(5)/4 {
		if i > 0 { // a second one is of events alone: what vouches for the end may well be lost with the end itself
			files = map[string][]string{"event": files["event"]}
		}
		in, err := s.injure(r, hurt, files)
		if errors.Is(err, fs.ErrNotExist) { // deleted or emptied before
			continue
		}
		if err != nil {
			return "", err
		}
		injuries = append(injuries, in)
	}
	what := fmt.Sprintf("seed %d, clean %t: %v", seed, s.clean, injuries)
	tree := treeOf(hurt)
	judged, err := s.checkVerify(hurt, tree, injuries)
	if err == nil && seed%8 == 0 && !maps.Equal(tree, treeOf(hurt)) {
		err = errors.New("verify has changed something")
	}
	if err != nil {
		return what, err
	}
	opened := filepath.Join(base, "opened")
	if err := copyTree(hurt, opened); err != nil {
		return what, err
	}
	if err := s.checkOpen(opened, judged, injuries); err != nil {
		return what, fmt.Errorf("open: %w; verify says: %v", err, judged.Findings)
	}
	return what, s.checkRepair(hurt, s.intact(tree))
}

func (s *patient) checkVerify(dir string, before map[string]string, injuries []injury) (VerifyReport, error) {
	v, err := Verify(ctxb, dir, nil)
	if err != nil {
		return v, fmt.Errorf("verify: %w", err)
	}
	for _, in := range injuries {
		for _, path := range in.files {
			now, ok := before[path]
			if ok && now == s.original[path] || !s.matters(path, before) {
				continue
			}
			if !slices.ContainsFunc(v.Findings, func(f Finding) bool { return !f.Harmless && s.names(f, dir, path) }) {
				return v, fmt.Errorf("verify does not name %s: %v", path, v.Findings)
			}
		}
	}
	return v, nil
}

// matters reports whether any damage to the file is damage to the store: to event files up to the checkpoint, and to segments. Of the
// log and the ledger it depends; and with an older ledger, or none, nobody knows which events were filed that the log still has.
func (s *patient) matters(path string, tree map[string]string) bool {
	for p := Position(1); p <= s.materialized; p++ {
		if path == eventfile.Path(recovery.EventsDir, p) {
			return p < patientFiled/2 || tree[ledger.FileName] == s.original[ledger.FileName]
		}
	}
	var first Position
	n, _ := fmt.Sscanf(filepath.Base(path), "%d-", &first)
	return n == 1 && strings.HasPrefix(path, recovery.IndexDir) && first <= s.materialized
}

// names reports whether a finding names a damaged file. What is missing is named by its positions: a segment that is gone has no name any
// more, and adjacent event files are one finding.
func (s *patient) names(f Finding, dir, path string) bool {
	var p Position
	_, _ = fmt.Sscanf(filepath.Base(path), "%d", &p)
	missed := f.Kind == recovery.Missing && f.First <= p && p <= f.Last
	return f.File == filepath.Join(dir, path) || missed && strings.HasPrefix(f.File, filepath.Join(dir, strings.Split(path, "/")[0]))
}

func (s *patient) checkOpen(dir string, judged VerifyReport, injuries []injury) error {
	e, err := Open(dir, &Options{MinFreeBytes: -1})
	if err != nil {
		if judged.Sound() {
			return fmt.Errorf("verify calls sound what is refused: %w", err)
		}
		if errors.Is(err, ErrVersion) {
			return nil
		}
		if err := checkRefusal(dir, err); err != nil {
			return err
		}
		return checkPlace(dir, err, injuries)
	}
	defer func() { _ = e.Close() }()
	got, err := readEvents(e)
	if err == nil && !reflect.DeepEqual(s.events, got) {
		return fmt.Errorf("%d events that are not the %d acknowledged ones", len(got), len(s.events))
	}
	if err = errors.Join(err, checkQueries(e, s.events)); errors.Is(err, ErrCorrupt) && !judged.Sound() {
		return checkPlace(dir, err, injuries)
	}
	return err
}

// checkQueries asks the store for events by type and tag.
func checkQueries(e *Engine, want []SequencedEvent) error {
	for _, q := range []Query{ByTypes("T1"), ByTags("all"), ByTags("p:42"), ByTags("p:100"), ByTags("p:150"), ByTypes("none")} {
		v, err := e.Read(ctxb, q, ReadOptions{})
		if err != nil {
			return err
		}
		got, err := collect(v.All())
		if err != nil {
			return err
		}
		var right []SequencedEvent
		for _, ev := range want {
			if q.Matches(ev.Event) {
				right = append(right, ev)
			}
		}
		if !reflect.DeepEqual(right, got) {
			return fmt.Errorf("%d events match, where %d should", len(got), len(right))
		}
	}
	return nil
}

// checkPlace checks that a refusal names the file that was damaged, where the damage is in one file that is still there.
func checkPlace(dir string, err error, injuries []injury) error {
	var ce *CorruptError
	errors.As(err, &ce)
	for _, in := range injuries {
		if strings.Contains(in.kind, "copy") || strings.Contains(in.kind, "swap") {
			return nil // several places are right
		}
		for _, path := range in.files {
			if ce.File == filepath.Join(dir, path) {
				return nil
			}
			// A rotation that may have been torn: the log then ends with the generation before.
			info, statErr := os.Stat(ce.File)
			if strings.HasPrefix(path, recovery.WALDir) && statErr == nil && ce.Offset == info.Size() {
				return nil
			}
		}
	}
	return fmt.Errorf("not the place: %w", err)
}

func readEvents(e *Engine) ([]SequencedEvent, error) {
	v, err := e.Read(ctxb, AllEvents(), ReadOptions{})
	if err != nil {
		return nil, err
	}
	return collect(v.All())
}

func (s *patient) checkRepair(dir string, intact map[Position]bool) error {
	var lost []Position
	for p := Position(1); p <= patientHead; p++ {
		if !intact[p] {
			lost = append(lost, p)
		}
	}
	epoch := uint64(0)
	if led, err := ledger.Load(dir); err == nil {
		epoch = led.Epoch
	}
	rep, err := Repair(ctxb, dir, nil)
	told := []Position(nil)
	for _, l := range rep.Lost {
		told = append(told, span(l.First, l.Last)...)
	}
	if !slices.Equal(lost, told) {
		return fmt.Errorf("repair says that %v are lost, but it is %v (%w)", rep.Lost, lost, err)
	}
	if len(lost) > 0 {
		if !errors.Is(err, ErrCorrupt) || rep.Done {
			return fmt.Errorf("repair loses %v without consent: %w", lost, err)
		}
		rep, err = Repair(ctxb, dir, &RepairOptions{AcceptLoss: true})
	}
	if err != nil || !rep.Done {
		return fmt.Errorf("repair: %w; steps %v", err, rep.Steps)
	}
	again, err := Repair(ctxb, dir, nil) // whose findings are those of Verify
	if err != nil || len(again.Steps) > 0 || slices.ContainsFunc(again.Findings, func(f Finding) bool { return !f.Harmless }) {
		return fmt.Errorf("a second repair: %w, %v, after %v; findings %v", err, again.Steps, rep.Steps, again.Findings)
	}
	return s.checkRepaired(dir, lost, epoch)
}

func (s *patient) checkRepaired(dir string, lost []Position, epoch uint64) error {
	e, err := Open(dir, &Options{MinFreeBytes: -1})
	if err != nil {
		return fmt.Errorf("open after the repair: %w", err)
	}
	defer func() { _ = e.Close() }()
	got, err := readEvents(e)
	if err != nil {
		return fmt.Errorf("read after the repair: %w", err)
	}
	head := Position(patientHead)
	for len(lost) > 0 && lost[len(lost)-1] == head {
		head--
		lost = lost[:len(lost)-1]
		if e.Recovery().Epoch <= epoch {
			return errors.New("events were cut off, and the epoch is the same")
		}
	}
	if e.Head() != head || len(got) != int(head) {
		return fmt.Errorf("head %d with %d events, where %d are left", e.Head(), len(got), head)
	}
	for i, ev := range got {
		switch gone := slices.Contains(lost, Position(i+1)); {
		case gone && (ev.Event.Type != recovery.LostType || e.Recovery().Epoch <= epoch):
			return fmt.Errorf("position %d was lost, and is %v in epoch %d", i+1, ev, e.Recovery().Epoch)
		case !gone && !reflect.DeepEqual(s.events[i], ev):
			return fmt.Errorf("position %d is %v, was %v", i+1, ev, s.events[i])
		}
	}
	return checkQueries(e, got)
}

// quickDir is a directory in memory if there is one: thousands of syncs prove nothing here.
func quickDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "opossum-damage-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func TestRandomDamageIsFoundNamedAndRepaired(t *testing.T) {
	seed := randomSeed(t)
	n := 1000
	if testing.Short() {
		n = 60
	}
	base := quickDir(t)
	patients := []*patient{makePatient(t, filepath.Join(base, "closed"), true), makePatient(t, filepath.Join(base, "killed"), false)}
	for _, s := range patients {
		v, err := Verify(ctxb, s.dir, nil)
		require.NoError(t, err)
		require.True(t, v.Sound(), "%v", v.Findings) // a segment may have been being built when it was copied
		require.EqualValues(t, patientHead, v.Head)
		require.EqualValues(t, patientProvis, v.Files)
	}
	var next atomic.Int64
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				s := patients[i%2]
				dir := filepath.Join(base, fmt.Sprint(i))
				what, err := s.check(seed+uint64(i), dir, s.filesOf())
				if err != nil {
					return fmt.Errorf("%s: %w", what, err)
				}
				if err := os.RemoveAll(dir); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
}
