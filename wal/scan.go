package wal

import (
	"bytes"
	"encoding/binary"

	"opossum/dcb"
)

// Scanned is what a generation's bytes say. It is a value: nothing in it refers to a file. The zero value with a Gen stands
// before the first byte.
type Scanned struct {
	Gen     uint64
	Header  bool         // the header frame is intact
	Linked  bool         // the link frame is intact
	Link    Link         // if Linked
	Base    dcb.Position // if Linked: the position of the first event that the generation may hold
	Commits []Frame      // in order, without a gap
	Sum     uint64       // of the last intact frame
	Valid   int64        // bytes up to the end of the last intact frame
	Size    int64        // bytes given, without the room
	Room    int64        // zero bytes at the end: space that was written beforehand, for frames to come
	Stop    error        // why the scan ended before Size; nil if it did not
	Later   []Frame      // intact frames found behind Valid when Stop is not nil

	passed uint64       // commits of earlier scans, which are not in Commits
	next   dcb.Position // the position after them; 0 if there were none
}

// Next returns the position after the last intact event; 0 if the generation is not linked.
func (s Scanned) Next() dcb.Position {
	if n := len(s.Commits); n > 0 {
		return s.Commits[n-1].Last() + 1
	}
	return max(s.next, s.Base)
}

// LastNo returns the number of the last intact frame.
func (s Scanned) LastNo() uint64 {
	no := s.passed + uint64(len(s.Commits))
	if s.Header {
		no++
	}
	if s.Linked {
		no++
	}
	return no
}

// Scan reads the frames of one generation. It is a pure function: it stops at the first byte that is not the next
// frame, says why, and then looks behind for intact frames, because those can convict the damage as rot.
// Nothing but zeros behind a frame is no damage, but room. Bodies share memory with b.
func Scan(b []byte, id StoreID, gen uint64) Scanned { return Scanned{Gen: gen}.Continue(b, id) }

// Continue goes on from s with the bytes that follow s.Valid in the file, by the rules of Scan: the result is that of a scan
// of the whole, but for Commits, which holds the new ones only. For who follows a file that grows.
func (s Scanned) Continue(b []byte, id StoreID) Scanned {
	start := s.Valid
	s.next, s.passed = s.Next(), s.passed+uint64(len(s.Commits))
	s.Size, s.Room, s.Commits, s.Stop, s.Later = start+int64(len(b)), 0, nil, nil, nil
	for s.Valid < s.Size {
		rest := b[s.Valid-start:]
		if err := s.take(rest, id); err != nil {
			s.stop(rest, err, id)
			break
		}
	}
	return s
}

// stop ends a scan at rest, with which no frame begins for the reason err.
func (s *Scanned) stop(rest []byte, err error, id StoreID) {
	zeros := zeroesAtEnd(rest)
	switch {
	case zeros < len(rest):
		s.Stop, s.Later = err, findLater(rest, s.Valid, id, s.Gen)
	case !s.Header: // a header is there from the beginning: nothing is written before it
		s.Stop, zeros = errZeroes, 0
	}
	end := s.Size
	s.Size -= int64(zeros)
	if n := len(s.Later); n > 0 { // which may itself end in zeros
		s.Size = max(s.Size, s.Later[n-1].End)
	}
	s.Room = end - s.Size
}

// after returns the state in which s was behind f, one of its commits, for Continue.
func (s Scanned) after(f Frame) Scanned {
	return Scanned{
		Gen: s.Gen, Header: true, Linked: true, Link: s.Link, Base: s.Base, Sum: f.Sum, Valid: f.End, Size: f.End,
		passed: f.No - 2, next: f.Last() + 1,
	}
}

// Rotten returns an intact frame that proves that what stands at Valid was durable once, so that the scan stopped at rot and
// not at a torn write; ok is false if none does.
func (s Scanned) Rotten() (proof Frame, ok bool) {
	next := s.Next()
	for _, f := range s.Later {
		if f.DurableOff > uint64(s.Valid) || next > 0 && f.Durable >= next {
			return f, true
		}
	}
	return Frame{}, false
}

// take moves s over the next frame, with which rest begins, or says why there is none.
func (s *Scanned) take(rest []byte, id StoreID) error {
	entry, size, err := nextEntry(rest)
	if err != nil {
		return err
	}
	f, err := parseFrame(entry, id, s.Gen)
	if err != nil {
		return err
	}
	if f.No != s.LastNo()+1 {
		return errPlace
	}
	if f.Prev != s.Sum {
		return errChain
	}
	f.Offset, f.End = s.Valid, s.Valid+int64(size)
	f.BodyOffset = f.End - int64(len(f.Body))
	if err := s.accept(f, id); err != nil {
		return err
	}
	s.Sum, s.Valid = f.Sum, f.End
	return nil
}

// accept enforces the order header, link, commits, and that positions go on without a gap.
func (s *Scanned) accept(f Frame, id StoreID) error {
	switch {
	case !s.Header:
		if f.Kind != KindHeader || len(f.Body) != headerBodyBytes || StoreID(f.Body[:16]) != id {
			return errBody
		}
		s.Header = true
	case !s.Linked:
		if f.Kind != KindLink || f.First == 0 {
			return errBody
		}
		link, err := decodeLink(f.Body)
		if err != nil {
			return err
		}
		s.Linked, s.Link, s.Base = true, link, f.First
	default:
		if f.Kind != KindCommit || f.Count == 0 {
			return errBody
		}
		if f.First != s.Next() || f.Last() < f.First {
			return errChain
		}
		s.Commits = append(s.Commits, f)
	}
	return nil
}

// findLater looks for intact frames behind the first byte of b, which stands at offset at, and at any alignment: what tore
// or rotted may have any length. It trusts a frame's own number, so that frames behind a hole are found as well.
func findLater(b []byte, at int64, id StoreID, gen uint64) []Frame {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], frameMagic)
	var out []Frame
	for from := int64(1); from < int64(len(b)); {
		i := bytes.Index(b[from:], magic[:])
		if i < 0 {
			break
		}
		start := from + int64(i)
		from = start + 1
		if f, ok := frameAt(b[start:], id, gen); ok {
			from = start + FrameHeaderBytes + int64(len(f.Body))
			f.Offset, f.BodyOffset, f.End = at+start, at+start+FrameHeaderBytes, at+from
			out = append(out, f)
		}
	}
	return out
}

// frameAt parses a frame that starts with b and takes its length from its own header.
func frameAt(b []byte, id StoreID, gen uint64) (Frame, bool) {
	if len(b) < FrameHeaderBytes {
		return Frame{}, false
	}
	n := FrameHeaderBytes + int64(binary.LittleEndian.Uint32(b[36:]))
	if n > int64(len(b)) {
		return Frame{}, false
	}
	f, err := parseFrame(b[:n], id, gen)
	return f, err == nil
}

// zeroesAtEnd returns with how many zero bytes b ends.
func zeroesAtEnd(b []byte) int {
	n := len(b)
	for n >= 8 && binary.LittleEndian.Uint64(b[n-8:]) == 0 {
		n -= 8
	}
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return len(b) - n
}
