package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"syscall"

	"opossum/dcb"
)

// pass looks at the log once.
func (r *Reader) pass(relaxed bool, sink Sink) error {
	chain, whole, err := r.chain()
	if err != nil {
		return err
	}
	if base := chain[0].at.Base; base > r.next {
		if err := sink.Filed(base - 1); err != nil {
			return err
		}
		r.next = base
	}
	last := len(chain) - 1
	for i, g := range chain[:last] {
		if err := r.sealed(g, chain[i+1].at, sink); err != nil {
			return err
		}
	}
	return r.end(chain[last], whole, relaxed, sink)
}

// chain returns the generations from the one with the next event on, ascending: the last is where the log ends, and each
// continues the one before. If the first begins behind the next event, what is between is no longer in the log.
// whole says that the last one is written to its end, because another was begun.
func (r *Reader) chain() (chain []*followed, whole bool, err error) {
	list, err := List(r.dir)
	if notExist(err) {
		return nil, false, &dcb.CorruptError{File: r.dir, Reason: "the log is missing"}
	}
	if err != nil {
		return nil, false, err
	}
	g, whole, err := r.newest(list.Generations)
	if err != nil {
		return nil, false, err
	}
	chain = []*followed{g}
	for g.at.Base > r.next {
		prev, next := g.at.Link.Prev, g
		if prev == 0 || r.find(prev) == nil && !slices.Contains(list.Generations, prev) {
			break
		}
		if g, err = r.follow(prev); err != nil {
			return nil, false, err
		}
		if !g.at.Linked || prev >= next.no {
			return nil, false, r.corrupt(prev, 0, "it was never begun, and generation %d continues it", next.no)
		}
		chain = append(chain, g)
	}
	slices.Reverse(chain)
	return chain, whole, nil
}

// newest returns the last generation in use. begun says that one above holds a part of a link frame: no byte of that is written
// before everything in this one is durable.
func (r *Reader) newest(listed []uint64) (g *followed, begun bool, err error) {
	for _, gen := range slices.Backward(listed) {
		g, err := r.follow(gen)
		if err != nil || g.at.Linked {
			return g, begun, err
		}
		begun = begun || g.at.Stop != nil
	}
	return nil, false, &dcb.CorruptError{File: r.dir, Reason: "the log has no generation in use"}
}

func (r *Reader) find(gen uint64) *followed {
	for _, g := range *r.gens.Load() {
		if g.no == gen {
			return g
		}
	}
	return nil
}

// follow returns a generation, opened if need be. One that is not linked (built beforehand, with its header alone or a
// half-written link frame) is closed again, because the owner may remove it and use its number for another.
func (r *Reader) follow(gen uint64) (*followed, error) {
	if g := r.find(gen); g != nil {
		return g, nil
	}
	f, err := os.Open(GenerationPath(r.dir, gen))
	if notExist(err) {
		return nil, r.corrupt(gen, 0, "the file is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("wal: follow: %w", err)
	}
	g := &followed{no: gen, file: f}
	if err := r.begin(g); err != nil || !g.at.Linked {
		return g, errors.Join(err, f.Close())
	}
	gens := append(slices.Clone(*r.gens.Load()), g)
	slices.SortFunc(gens, func(a, b *followed) int { return cmp.Compare(a.no, b.no) })
	r.gens.Store(&gens)
	return g, nil
}

// begin reads header and link of a generation; of one that is not linked, everything.
func (r *Reader) begin(g *followed) error {
	g.at = Scanned{Gen: g.no}
	b, err := r.read(g, beginBytes)
	if err != nil {
		return err
	}
	s := g.at.Continue(b, r.id)
	if !s.Header {
		return r.corrupt(g.no, 0, "the header of a published generation: %v", cmp.Or(s.Stop, errCut))
	}
	if !s.Linked {
		if s, err = r.scan(g); err != nil {
			return err
		}
		if proof, rotten := s.Rotten(); rotten {
			return r.rot(s, proof)
		}
		s.Linked = false // should it have become so meanwhile: the next look finds it
	}
	g.at = s
	return nil
}

// scan scans what g holds behind where it stands. The first Refresh reads all of it. Later ones, of which there are many a second, read no further than into the
// room: whoever writes leaves nothing out, and what the disk loses behind their backs ACKED and the others vouch for.
func (r *Reader) scan(g *followed) (Scanned, error) {
	for n := int64(scanBytes); ; n *= 4 {
		end := g.at.Valid + n
		if !r.settled {
			end = math.MaxInt64
		}
		b, err := r.read(g, end)
		if err != nil {
			return Scanned{}, err
		}
		s := g.at.Continue(b, r.id)
		if int64(len(b)) < n || !r.settled || s.Stop == nil && s.Room > 0 {
			return s, nil
		}
	}
}

// scanBytes is how much is read at first: what a busy owner writes between two refreshes of a reader.
const scanBytes = 64 << 10

// read returns the bytes of g from where it stands up to offset end, or up to the end of the file if that comes first.
func (r *Reader) read(g *followed, end int64) ([]byte, error) {
	info, err := g.file.Stat()
	if err != nil {
		return nil, fmt.Errorf("wal: follow: %w", err)
	}
	end = min(end, info.Size())
	n := end - g.at.Valid
	if n < 0 {
		return nil, r.corrupt(g.no, end, "the file ends within what was read before")
	}
	r.buf = slices.Grow(r.buf[:0], int(n))[:n]
	got, err := g.file.ReadAt(r.buf, g.at.Valid)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("wal: follow generation %d: %w", g.no, err)
	}
	return r.buf[:got], nil
}

// sealed hands out the rest of a generation that next continues. All of it is durable, or the link would not be there.
func (r *Reader) sealed(g *followed, next Scanned, sink Sink) error {
	b, err := r.read(g, int64(next.Link.PrevEnd))
	if err != nil {
		return err
	}
	s := g.at.Continue(b, r.id)
	if s.Stop != nil {
		return r.corrupt(g.no, s.Valid, "position %d: %v; a later generation proves that it was durable", s.Next(), s.Stop)
	}
	if uint64(s.Valid) != next.Link.PrevEnd || s.Sum != next.Link.PrevSum || s.Next() != next.Base {
		return r.corrupt(g.no, s.Valid, "the generation ends at position %d and offset %d, where its successor continues from position %d and offset %d",
			s.Next()-1, s.Valid, next.Base, next.Link.PrevEnd)
	}
	return r.handOut(g, s.Commits, sink)
}

// end hands out what may be shown of the generation in which the log ends.
func (r *Reader) end(g *followed, whole, relaxed bool, sink Sink) error {
	s, err := r.look(g, whole)
	if err != nil {
		return err
	}
	if !r.settled && !relaxed && s.Next() > r.durable+1 {
		if s, err = r.settle(g, s); err != nil {
			return err
		}
	}
	if s.Next() < r.next {
		return fmt.Errorf("wal: position %d was read, and the log now ends at position %d: %w", r.next-1, s.Next()-1, ErrRewound)
	}
	r.settled = true
	n := len(s.Commits)
	if !relaxed {
		n, _ = slices.BinarySearchFunc(s.Commits, r.durable+1, func(f Frame, p dcb.Position) int { return cmp.Compare(f.First, p) })
	}
	return r.handOut(g, s.Commits[:n], sink)
}

// look scans what g holds behind where it stands, and judges whether it ends as a log may that is being written: what the
// witnesses vouch for must be there.
func (r *Reader) look(g *followed, whole bool) (Scanned, error) {
	s, err := r.scan(g)
	if err != nil {
		return Scanned{}, err
	}
	if proof, rotten := s.Rotten(); rotten {
		return s, r.rot(s, proof)
	}
	if whole && s.Stop != nil {
		return s, r.corrupt(g.no, s.Valid, "position %d: %v; the next generation was begun, so this one was durable", s.Next(), s.Stop)
	}
	r.durable = max(r.durable, s.Base-1)
	for _, f := range s.Commits {
		r.durable = max(r.durable, f.Durable)
	}
	if whole {
		r.durable = max(r.durable, s.Next()-1)
	}
	if r.durable >= s.Next() {
		return s, r.corrupt(g.no, s.Valid, "the log ends at position %d, but positions up to %d were acknowledged", s.Next()-1, r.durable)
	}
	return s, nil
}

// settle makes durable what is intact and not known to be, and looks at it again, now as the disk has it: all that is
// intact then is durable. A system that cannot sync what is open for reading shows what is known to be durable.
func (r *Reader) settle(g *followed, s Scanned) (Scanned, error) {
	err := r.sync(g.file)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("wal: make the end of generation %d durable: %w", g.no, err)
	}
	end := s.Valid // what comes later was not synced
	b, err := r.read(g, end)
	if err != nil {
		return s, err
	}
	s = g.at.Continue(b, r.id)
	if r.durable >= s.Next() {
		return s, r.corrupt(g.no, s.Valid, "two reads of the log differ")
	}
	r.durable = s.Next() - 1
	return s, nil
}

func (r *Reader) handOut(g *followed, commits []Frame, sink Sink) error {
	for _, f := range commits {
		if f.Last() >= r.next {
			if err := sink.Frame(g.no, f); err != nil {
				return err
			}
			r.next = f.Last() + 1
		}
		g.at = g.at.after(f)
	}
	return nil
}

func (r *Reader) rot(s Scanned, proof Frame) error {
	return r.corrupt(s.Gen, s.Valid, "position %d: %v; the intact frame of positions %d to %d at offset %d proves that it was durable",
		s.Next(), s.Stop, proof.First, proof.Last(), proof.Offset)
}

func (r *Reader) corrupt(gen uint64, off int64, format string, args ...any) error {
	return &dcb.CorruptError{File: GenerationPath(r.dir, gen), Offset: off, Reason: fmt.Sprintf(format, args...)}
}
