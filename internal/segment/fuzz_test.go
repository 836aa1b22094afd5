package segment

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// ask puts every question to a segment whose content may be anything. Answers may be wrong, since the checksums are right, but
// they are in form, come to an end, and errors are damage.
func ask(t *testing.T, s *Segment) {
	r := s.Range()
	keys := []string{"\x01Enrolled", "\x02course:c1", "\x02course:c10", "\x02student:7", "\x02\x00\xff\xfe~Z", "\x02order:12", "\x02" + string(make([]byte, 300))}
	sound, terms := true, 0
	for e, err := range s.All() {
		if err != nil {
			requireDamage(t, err, "bytes")
			sound = false
			break
		}
		if terms++; terms < 50 {
			keys = append(keys, string([]byte{byte(e.Kind)})+e.Term)
		}
	}
	verified := s.Verify()
	if verified != nil {
		requireDamage(t, verified, "bytes")
	} else {
		require.True(t, sound)
		require.EqualValues(t, s.Terms(), terms)
	}
	for _, key := range keys {
		l, err := s.Find(Kind(key[0]), key[1:])
		if err != nil {
			requireDamage(t, err, "bytes")
			require.Error(t, verified)
			continue
		}
		askList(t, r, l, verified)
	}
}

func askList(t *testing.T, r Range, l List, verified error) {
	var ps []dcb.Position
	for piece, err := range l.Each() {
		if err != nil {
			requireDamage(t, err, "bytes")
			require.Error(t, verified)
			return
		}
		ps = append(ps, piece...)
	}
	require.EqualValues(t, l.Len(), len(ps))
	for i, p := range ps {
		require.True(t, p >= r.First && p <= r.Last && (i == 0 || p > ps[i-1]))
	}
	if len(ps) > 0 { // a list that decodes answers as a slice does
		rng := rand.New(rand.NewPCG(uint64(len(ps)), 0))
		for range 5 {
			after, upto := near(rng, r, ps), near(rng, r, ps)
			found, err := l.FirstAfter(after, upto)
			require.NoError(t, err)
			var want dcb.Position
			for _, p := range ps {
				if p > after && p <= upto {
					want = p
					break
				}
			}
			require.Equal(t, want, found)
		}
	}
	for _, backwards := range []bool{false, true} {
		c, n := l.Cursor(0, math.MaxUint64, backwards), 0
		for p, ok := c.Peek(); ok; p, ok = c.Peek() {
			n++
			if backwards {
				c.Seek(p - 1)
			} else if p == math.MaxUint64 {
				break
			} else {
				c.Seek(p + 1)
			}
		}
		require.NoError(t, c.Err())
		require.Len(t, ps, n)
	}
}

// FuzzOpen: bytes that nobody sealed are refused, or they are those that were written.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	build(f, dir, smallRange, small())
	b := readFile(f, dir, Name(smallRange))
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add(append(bytes.Clone(b), b...))
	f.Add([]byte("OIDX"))
	f.Add(append([]byte("OIDX\x03\x00\x00\x00"), "\x03\x00\x00\x00OIDX"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := opened(bytes.Clone(b), smallRange)
		if err != nil {
			if !errors.Is(err, dcb.ErrVersion) {
				requireDamage(t, err, "bytes")
			}
			return
		}
		ask(t, s)
	})
}

// FuzzSealed: whatever stands behind right checksums, every question comes to an end, without a panic, and with an answer in form or
// an error.
func FuzzSealed(f *testing.F) {
	add := func(r Range, m model, damage func([]byte)) {
		dir := f.TempDir()
		build(f, dir, r, m)
		s := open(f, dir, r)
		body := readFile(f, dir, Name(r))[:s.foot.end]
		damage(body)
		f.Add(body, uint64(r.First), uint64(r.Last-r.First), s.foot.runs, s.foot.fences, s.foot.terms, s.foot.postings)
	}
	add(smallRange, small(), func([]byte) {})
	add(Range{1, 300}, benchTerms(300, false), func([]byte) {})
	add(Range{math.MaxUint64 - 10, math.MaxUint64}, model{"\x01A": {math.MaxUint64}, "\x02b": {math.MaxUint64 - 9, math.MaxUint64}}, func([]byte) {})
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		add(smallRange, small(), func(b []byte) {
			for range 1 + rng.IntN(3) {
				b[headerBytes+rng.IntN(len(b)-headerBytes)] = byte(rng.Uint32())
			}
		})
	}
	f.Fuzz(func(t *testing.T, body []byte, first, span, runs, fences, terms, postings uint64) {
		r := Range{dcb.Position(first), dcb.Position(first + span)}
		if !r.valid() || len(body) > 1<<20 {
			return
		}
		s, err := opened(reseal(body, r, runs, fences, terms, postings), r)
		if err != nil {
			requireDamage(t, err, "bytes")
			return
		}
		ask(t, s)
	})
}

// FuzzRun reaches the decoders of terms and lists, which FuzzSealed mostly misses.
func FuzzRun(f *testing.F) {
	for _, m := range []model{small(), {"\x01A": {100}}, {"\x01A": {100, 300}, "\x02b": {100, 70_000}}} {
		dir := f.TempDir()
		build(f, dir, smallRange, m)
		s := open(f, dir, smallRange)
		runs, err := s.loaded()
		require.NoError(f, err)
		fst, sieve := runs[0].fst, runs[0].fst+runs[0].size
		lists, terms, filter := bytes.Clone(s.data[headerBytes:fst]), bytes.Clone(s.data[fst:sieve]), bytes.Clone(s.data[sieve:sieve+runs[0].filter])
		require.Equal(f, bytes.Clone(s.data), forged(smallRange, lists, terms, filter, s.Terms(), s.Postings()))
		f.Add(lists, terms, filter, s.Terms(), s.Postings())
		f.Add(lists, terms, openFilter, s.Terms(), s.Postings())
	}
	for _, fst := range hostile() {
		f.Add([]byte{}, fst, openFilter, uint64(1), uint64(1))
	}
	f.Fuzz(func(t *testing.T, lists, fst, filter []byte, terms, postings uint64) {
		s, err := opened(forged(smallRange, lists, fst, filter, terms, postings), smallRange)
		require.NoError(t, err)
		ask(t, s)
	})
}

func FuzzParseName(f *testing.F) {
	f.Add(Name(smallRange))
	f.Add("00000000000000000001-00000000000000000000.idx")
	f.Fuzz(func(t *testing.T, name string) {
		if r, ok := parseName(name); ok {
			require.Equal(t, name, Name(r))
			require.NoError(t, r.check())
		}
	})
}
