package recovery

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"opossum/dcb"
	"opossum/internal/codec"
	"opossum/ledger"
	"opossum/wal"
)

// logSurvey is what was found in the log.
type logSurvey struct {
	dir     string
	id      wal.StoreID
	gens    []wal.Scanned // ascending; without bodies
	live    []uint64      // those of them that the log consists of, as far as is known
	temps   []string
	acked   wal.Acked
	mute    string                  // why ACKED says nothing; empty if it speaks
	records map[dcb.Position]record // the best intact record of each position
	broken  []brokenRecord          // in intact frames
	strays  []stray
	unborn  bool // no generation ever held an event
}

// record is an intact record in the log.
type record struct {
	path  string
	off   int64
	bytes uint32
	live  bool   // in an intact frame of a generation that no other supersedes: it is the truth
	sum   uint64 // of its payload: equal sums, equal events
}

// bytesPerUnit is how many bytes of the log count as much as one event file when progress is told.
const bytesPerUnit = 4 << 10

// brokenRecord is what should be the records of some positions, in a frame that is intact.
type brokenRecord struct {
	file   string
	offset int64
	Span
	reason string
}

// gather reads every generation.
func (l *logSurvey) gather(ctx context.Context, s *survey, m *meter) error {
	l.dir, l.records, l.unborn = filepath.Join(s.dir, WALDir), make(map[dcb.Position]record), true
	if slices.Contains(s.notDirs, l.dir) {
		return nil
	}
	list, err := wal.List(l.dir)
	if err != nil && !absent(err) {
		return err
	}
	l.temps = list.Temps
	if l.id, err = s.identity(l.dir, list.Generations); err != nil {
		return err
	}
	if err := l.witness(); err != nil {
		return err
	}
	chain := chain{generations: list.Generations}
	for _, gen := range slices.Backward(list.Generations) { // what supersedes comes before what it supersedes
		live := chain.holds(gen)
		g, err := l.generation(ctx, gen, live, m)
		if err != nil {
			return err
		}
		if live {
			l.live = append(l.live, gen)
		}
		chain.follow(g)
		l.gens = append(l.gens, g)
	}
	slices.Reverse(l.gens)
	return l.foreign(list)
}

// chain tells which generations the log consists of: from the newest down, each names the one before. Where a link is lost,
// any generation may be the one before.
type chain struct {
	generations []uint64
	next        uint64 // the generation to come, if it is known
	ended       bool
}

func (c *chain) holds(gen uint64) bool {
	return !c.ended && (c.next == 0 || gen == c.next || gen < c.next && !slices.Contains(c.generations, c.next))
}

func (c *chain) follow(g wal.Scanned) {
	switch {
	case !c.holds(g.Gen):
	case g.Linked:
		c.next, c.ended = g.Link.Prev, g.Link.Prev == 0
	default:
		c.next = 0
	}
}

// identity returns the identity of the store: the one that most generations were written under, of several the newest; or the
// ledger's if no generation tells. It is zero if nothing does. A sound ledger that no generation agrees with is another store's, unless ACKED
// agrees with it: then it is the log that is another store's, and nothing in it is an event of this one.
func (s *survey) identity(walDir string, generations []uint64) (wal.StoreID, error) {
	votes := map[wal.StoreID]int{}
	var best wal.StoreID
	for _, gen := range generations {
		head, err := readStart(wal.GenerationPath(walDir, gen), 4<<10)
		if absent(err) || unreadable(err) {
			continue
		}
		if err != nil {
			return best, err
		}
		if id, err := wal.IdentityOf(head, gen); err == nil {
			if votes[id]++; votes[id] >= votes[best] {
				best = id
			}
		}
	}
	if s.ledgerErr != nil {
		return best, nil
	}
	own := wal.StoreID(s.ledger.Store)
	if len(votes) > 0 && votes[own] == 0 {
		acked, err := wal.ReadAcked(walDir, own)
		if err != nil && !unreadable(err) {
			return best, err
		}
		if acked != (wal.Acked{}) {
			return own, nil
		}
		s.ledgerErr = &dcb.CorruptError{File: s.ledgerPath(), Reason: "the ledger is that of another store than the log"}
		s.ledger = ledger.State{}
		return best, nil
	}
	return own, nil
}

// readStart returns the start of a file, most bytes of it if it is longer.
func readStart(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	return b, errors.Join(err, f.Close())
}

// witness reads ACKED.
func (l *logSurvey) witness() (err error) {
	if l.acked, err = wal.ReadAcked(l.dir, l.id); err != nil && !unreadable(err) {
		return err
	}
	switch info, statErr := os.Stat(wal.AckedPath(l.dir)); {
	case l.acked != wal.Acked{}:
	case absent(statErr):
		l.mute = "the file is missing"
	case statErr == nil && info.Size() == 0: // as it is created, and as a power cut may leave it
		l.mute = "the file is empty"
	default:
		l.mute = "the file is not what was written"
	}
	return nil
}

// generation scans a generation and notes where its records are. live: it belongs to the log, as far as is known.
func (l *logSurvey) generation(ctx context.Context, gen uint64, live bool, m *meter) (wal.Scanned, error) {
	path := wal.GenerationPath(l.dir, gen)
	b, err := l.read(ctx, path, m)
	if unreadable(err) {
		return wal.Scanned{Gen: gen, Stop: err}, nil
	}
	if err != nil {
		return wal.Scanned{}, err
	}
	l.unborn = l.unborn && (b == nil || unborn(b, gen))
	switch {
	case b == nil:
		return wal.Scanned{Gen: gen, Stop: errMissing}, nil
	case len(b) == 0:
		return wal.Scanned{Gen: gen, Stop: errEmpty}, nil
	}
	g := wal.Scan(b, l.id, gen)
	for _, frames := range [][]wal.Frame{g.Commits, g.Later} {
		for i := range frames {
			if frames[i].Kind == wal.KindCommit && (live || frames[i].End <= g.Valid) {
				l.frame(path, frames[i], live)
			}
			frames[i].Body = nil
		}
	}
	return g, nil
}

// read returns the bytes of a file of the log, nil if it is missing.
func (l *logSurvey) read(ctx context.Context, path string, m *meter) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if absent(err) {
		return nil, nil
	}
	n := 1 + uint64(len(b))/bytesPerUnit
	m.move(0, n)
	m.move(n, 0)
	return b, err
}

// frame notes the records of an intact frame.
func (l *logSurvey) frame(path string, f wal.Frame, live bool) {
	broken := func(off int64, first dcb.Position, reason string) {
		l.broken = append(l.broken, brokenRecord{path, off, Span{first, f.Last()}, reason})
	}
	rest, off := f.Body, f.BodyOffset
	for i := range dcb.Position(f.Count) {
		p := f.First + i
		rec, next, ok := codec.NextRecord(rest)
		if !ok {
			broken(off, p, "the frame is intact and holds no whole record here")
			return
		}
		if _, err := codec.DecodeRecord(rec, l.id.Seed(), p); err != nil {
			broken(off, p, err.Error())
			return
		}
		l.note(p, path, off, rec, live)
		off += int64(len(rec))
		rest = next
	}
	if len(rest) > 0 {
		broken(off, f.Last(), "more bytes behind the last record of the frame")
	}
}

// note keeps the place of an intact record, unless a better one of that position is known.
func (l *logSurvey) note(p dcb.Position, path string, off int64, rec []byte, live bool) {
	if old, ok := l.records[p]; ok && (old.live || !live) {
		return
	}
	l.records[p] = record{path: path, off: off, bytes: uint32(len(rec)), live: live, sum: codec.PayloadSum(rec)}
}

// ownUpto returns the last position of which what is left in the damaged part of a generation may be believed. Recovery cuts off
// what nobody vouches for, and the positions are given out again in the generation that supersedes this one: from its base on, the
// damaged part may be of a future that was cut.
func (l *logSurvey) ownUpto(gen uint64) dcb.Position {
	if slices.Contains(l.live, gen) {
		return math.MaxUint64
	}
	for _, g := range l.gens {
		if g.Gen > gen && g.Linked && slices.Contains(l.live, g.Gen) {
			return g.Base - 1
		}
	}
	return math.MaxUint64
}

// known returns the highest position that anything intact in ledger and log speaks of.
func (l *logSurvey) known(s *survey) dcb.Position {
	top := max(s.ledger.Materialized, l.acked.Position)
	if c := s.ledger.Clean; c != nil {
		top = max(top, c.Head)
	}
	for _, g := range l.gens {
		top = max(top, g.Next(), g.Link.Checkpoint)
		for _, f := range g.Later {
			top = max(top, f.Durable, f.Last())
		}
	}
	return top
}

// foreign notes what stands in the log's directories and is not the log's.
func (l *logSurvey) foreign(list wal.Listing) error {
	entries, err := os.ReadDir(l.dir)
	if err != nil && !absent(err) {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(l.dir, e.Name())
		if gen := generationOf(list, path); gen == 0 && !slices.Contains(list.Temps, e.Name()) && path != wal.AckedPath(l.dir) {
			l.strays = append(l.strays, stray{path: path})
		}
	}
	for _, gen := range list.Generations {
		own := wal.GenerationPath(l.dir, gen)
		entries, err := os.ReadDir(filepath.Dir(own))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if path := filepath.Join(filepath.Dir(own), e.Name()); path != own {
				l.strays = append(l.strays, stray{path: path, harmful: wal.Deceives(e.Name())})
			}
		}
	}
	return nil
}

// generationOf returns the number of the generation whose directory path is, 0 if it is none's.
func generationOf(list wal.Listing, path string) uint64 {
	for _, gen := range list.Generations {
		if filepath.Dir(wal.GenerationPath(filepath.Dir(path), gen)) == path {
			return gen
		}
	}
	return 0
}
