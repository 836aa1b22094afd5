package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"opossum/dcb"
)

var errDone = errors.New("segment: the builder is committed or aborted")

// Builder writes one segment: terms strictly ascending by kind and then by bytes, and of each term its positions,
// strictly ascending. Memory does not grow with the number of terms, apart from one directory entry for 1,024 terms, eight bytes for 4,096
// of the file, and eight bytes for 128 positions of the current term.
//
// It is for one goroutine. After an error every call returns that error, and what is left to do is Abort.
type Builder struct {
	w         *writer
	rangeOf   Range
	key       []byte // of the current term, the kind first; empty before the first
	scratch   []byte
	list      listBuilder
	run       runBuilder
	fences    []byte
	directory []byte
	runs      uint64
	terms     uint64
	postings  uint64
	err       error
}

// Create begins a segment for the range in dir, which it makes if need be; its parent must exist. The file has a
// temporary name until Commit. It keeps a descriptor open until Commit or Abort. The seed binds the file to its store:
// what was written with another one does not verify.
func Create(dir string, seed uint64, r Range) (*Builder, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	b := &Builder{rangeOf: r}
	var err error
	if b.w, err = newWriter(dir, place{seed, r}); err != nil {
		return nil, fmt.Errorf("segment: create: %w", err)
	}
	b.w.write(appendHeader(nil, FormatVersion, r))
	return b, nil
}

// Term begins the next term. It is an error if the kind is unknown, the term is empty or longer than 65,535 bytes or not
// above the one before, or if that one got no position.
func (b *Builder) Term(kind Kind, term string) error {
	if kind != Type && kind != Tag || term == "" || len(term) > maxTermBytes {
		return b.fail(fmt.Errorf("segment: a term of kind %d with %d bytes", kind, len(term)))
	}
	b.scratch = append(append(b.scratch[:0], byte(kind)), term...)
	return b.begin(b.scratch)
}

// begin begins the next term by its key, which it copies. REQUIRES: the key has a kind and a term.
func (b *Builder) begin(key []byte) error {
	if b.err != nil {
		return b.err
	}
	if bytes.Compare(key, b.key) <= 0 {
		return b.fail(fmt.Errorf("segment: term %.100q is not above the one before it", key[1:]))
	}
	if err := b.endTerm(); err != nil {
		return b.fail(err)
	}
	if b.run.full() {
		if err := b.endRun(); err != nil {
			return b.fail(err)
		}
	}
	if b.run.terms == 0 {
		b.beginRun(key)
	}
	b.key = append(b.key[:0], key...)
	b.list.begin()
	return nil
}

// Positions adds positions to the current term; it may be called several times for one. It keeps nothing of ps. It is an
// error if there is no term, or a position is not above the one before or outside the range.
func (b *Builder) Positions(ps []dcb.Position) error {
	if b.err != nil {
		return b.err
	}
	if len(b.key) == 0 {
		return b.fail(errors.New("segment: positions without a term"))
	}
	for _, p := range ps {
		if p < b.rangeOf.First || p > b.rangeOf.Last {
			return b.fail(fmt.Errorf("segment: position %d of term %.100q is outside %d to %d", p, b.key[1:], b.rangeOf.First, b.rangeOf.Last))
		}
		if !b.list.add(b.w, uint32(p-b.rangeOf.First)) {
			return b.fail(fmt.Errorf("segment: position %d of term %.100q is not above the one before it", p, b.key[1:]))
		}
	}
	return nil
}

// endTerm writes the list of the current term, if there is one, and puts the term into the run.
func (b *Builder) endTerm() error {
	if len(b.key) == 0 {
		return nil
	}
	if b.list.count == 0 {
		return fmt.Errorf("segment: term %.100q has no position", b.key[1:])
	}
	b.terms++
	b.postings += b.list.count
	if b.list.count == 1 {
		b.run.add(b.key, uint64(b.list.last)<<1|inlined)
	} else {
		b.run.add(b.key, (b.list.end(b.w)-b.run.start)<<1)
	}
	return nil
}

// beginRun notes the fence: the shortest string that is above every key before, and not above key, the first of the run.
func (b *Builder) beginRun(key []byte) {
	fence := key[:commonPrefix(b.key, key)+1]
	b.directory = binary.LittleEndian.AppendUint64(b.directory, uint64(len(b.fences)))
	b.directory = binary.LittleEndian.AppendUint32(b.directory, uint32(len(fence)))
	b.fences = append(b.fences, fence...)
	b.runs++
	b.run.begin(b.w.offset())
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func (b *Builder) endRun() error {
	if b.run.terms == 0 {
		return nil
	}
	fst := b.run.fst.end()
	b.directory = binary.LittleEndian.AppendUint32(b.directory, uint32(len(fst)))
	b.directory = binary.LittleEndian.AppendUint64(b.directory, b.w.offset())
	b.run.filter = appendFilter(b.run.filter[:0], b.run.hashes)
	b.directory = binary.LittleEndian.AppendUint32(b.directory, uint32(len(b.run.filter)))
	b.w.write(fst)
	b.w.write(b.run.filter)
	b.run.terms = 0
	return b.w.err
}

// Commit completes the file. When it returns nil, the segment is whole and durable under its name, and has replaced any
// other of the same range. When it returns an error, the temporary file is gone, and only after an error in syncing the
// directory may the name be there.
func (b *Builder) Commit() error {
	if b.err != nil {
		return b.err
	}
	err := b.endTerm()
	if err == nil {
		err = b.endRun()
	}
	if err == nil {
		f := footer{version: FormatVersion, runs: b.runs, fences: b.w.offset(), terms: b.terms, postings: b.postings}
		b.w.write(b.fences)
		b.w.write(b.directory)
		err = b.w.commit(f)
	}
	b.err = errDone
	if err != nil {
		return errors.Join(fmt.Errorf("segment: write %s: %w", Name(b.rangeOf), err), b.w.abort())
	}
	return nil
}

// Abort removes the temporary file. It is harmless after Commit and after another Abort.
func (b *Builder) Abort() error {
	if b.err == nil {
		b.err = errDone
	}
	return b.w.abort()
}

// fail keeps the first error.
func (b *Builder) fail(err error) error {
	if b.err == nil {
		b.err = err
	}
	return b.err
}

// runBuilder gathers the terms of one run.
type runBuilder struct {
	fst    fstBuilder
	hashes []uint64 // of the keys
	filter []byte
	start  uint64 // where the lists of the run start in the file
	terms  int
	bytes  int // of the keys
}

func (r *runBuilder) full() bool { return r.terms == runTerms || r.bytes >= runKeyBytes }

func (r *runBuilder) begin(start uint64) {
	r.start, r.bytes, r.hashes = start, 0, r.hashes[:0]
	r.fst.reset()
}

func (r *runBuilder) add(key []byte, value uint64) {
	r.terms++
	r.bytes += len(key)
	r.hashes = append(r.hashes, filterHash(key))
	r.fst.add(key, value)
}
