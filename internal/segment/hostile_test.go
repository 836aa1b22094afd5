package segment

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// reseal gives the bytes before the table, whatever they are, a right table, and a footer with the given numbers.
func reseal(body []byte, r Range, runs, fences, terms, postings uint64) []byte {
	b := append(appendHeader(nil, FormatVersion, r), body[min(headerBytes, len(body)):]...)
	return seal(b, place{testSeed, r}, footer{version: FormatVersion, runs: runs, fences: fences, terms: terms, postings: postings})
}

// seal appends table and footer to all that stands before them.
func seal(b []byte, p place, f footer) []byte {
	f.end = uint64(len(b))
	for block := range f.blocks() {
		b = binary.LittleEndian.AppendUint64(b, p.sum(block, b[block*blockBytes:min(f.end, block*blockBytes+blockBytes)]))
	}
	f.tableSum = p.sum(tablePlace, b[f.end:])
	return appendFooter(b, p, f)
}

// opened opens bytes that stand in no file.
func opened(b []byte, r Range) (*Segment, error) {
	m, err := judge("bytes", b, place{testSeed, r})
	return &Segment{mapping: m}, err
}

// openFilter lets every term through.
var openFilter = bytes.Repeat([]byte{0xff}, filterBlock)

// forged is a sealed segment of one run with these lists, this FST and this filter.
func forged(r Range, lists, fst, filter []byte, terms, postings uint64) []byte {
	le := binary.LittleEndian
	body := append(appendHeader(nil, FormatVersion, r), lists...)
	at := uint64(len(body))
	body = append(append(append(body, fst...), filter...), byte(Type))
	fences := at + uint64(len(fst)+len(filter))
	body = le.AppendUint32(le.AppendUint64(body, 0), 1)
	body = le.AppendUint64(le.AppendUint32(body, uint32(len(fst))), at)
	body = le.AppendUint32(body, uint32(len(filter)))
	return reseal(body, r, 1, fences, terms, postings)
}

// hostile are FSTs that no builder makes: endless, or as good as endless, or leading out of their bytes.
func hostile() map[string][]byte {
	le := binary.LittleEndian
	head := func() []byte { return le.AppendUint64(le.AppendUint64(nil, 1), 0) }
	end := func(b []byte, root int) []byte { return le.AppendUint64(le.AppendUint64(b, 1), uint64(root)) }

	// One state whose one transition leads to itself: the distance down to itself is below zero.
	circle := head()
	circle = le.AppendUint64(circle, uint64(math.MaxUint64-8)) // 16 - (16 - 25)
	circle = append(circle, 8<<4, 0x80|1)

	// Forty states with two transitions each to the next one, and at their end none: 2^40 paths, and no term.
	paths := head()
	next := 1 // the state that is none
	for range 40 {
		start := len(paths)
		d := byte(start - next)
		paths = append(paths, d, d, 'b', 'a', 1<<4, 2)
		next = len(paths) - 1
	}
	nowhere := append(head(), 0, 0, 0) // the same, and their end is a state
	for range 40 {
		nowhere = append(nowhere, 1, 1, 'b', 'a', 1<<4, 2)
	}
	beyond := append(head(), 0)
	return map[string][]byte{
		"circle":           end(circle, 25),
		"paths":            end(paths, next),
		"paths to nowhere": end(nowhere, len(nowhere)-1),
		"root beyond":      end(beyond, 1<<30),
		"root at the end":  end(beyond, len(beyond)+16),
		"root in header":   end(beyond, 3),
		"root below":       end(beyond, -5),
		"empty":            {},
		"header only":      head(),
		"unknown version":  append([]byte{2}, end(head()[1:], 0)...),
		"no term":          end(head(), 1),
		"the empty term":   end(head(), 0),
		"too many entries": end(append(head(), 1), 16),
	}
}

func TestHostileTerms(t *testing.T) {
	for name, fst := range hostile() {
		t.Run(name, func(t *testing.T) {
			s, err := opened(forged(smallRange, nil, fst, openFilter, 1, 1), smallRange)
			require.NoError(t, err)
			requireDamage(t, s.Verify(), "bytes")
			_, err = contents(s)
			requireDamage(t, err, "bytes")
			if _, err = s.Find(Type, "tttttttttttttttttttt"); err != nil {
				requireDamage(t, err, "bytes")
			}
		})
	}
}

// Each number of a directory with right checksums is checked against the others: none may be one more or less.
func TestHostileDirectory(t *testing.T) {
	dir := t.TempDir()
	r := Range{1, 2000}
	build(t, dir, r, benchTerms(2000, false))
	f := open(t, dir, r).foot
	body := readFile(t, dir, Name(r))[:f.end]
	refused := func(name string, b []byte, f footer) {
		s, err := opened(reseal(b, r, f.runs, f.fences, f.terms, f.postings), r)
		if err == nil {
			err = s.Verify()
		}
		requireDamage(t, err, "bytes")
		require.NotContains(t, err.Error(), "checksum", name)
	}
	for off := f.directory(); off < f.end; off++ {
		if (off-f.directory())%entryBytes(FormatVersion)%4 != 0 {
			continue // the low bytes of each number are enough
		}
		for _, by := range []byte{1, 255} {
			b := bytes.Clone(body)
			b[off] += by
			refused("entry", b, f)
		}
	}
	for _, by := range []uint64{1, math.MaxUint64} {
		for i, g := range []footer{f, f, f, f} {
			*[]*uint64{&g.runs, &g.fences, &g.terms, &g.postings}[i] += by
			refused("footer", body, g)
		}
	}
	behind := footer{version: FormatVersion, runs: f.runs, fences: f.fences + 1, terms: f.terms, postings: f.postings}
	refused("more behind the lists", slices.Insert(bytes.Clone(body), int(f.fences), 0), behind)
	refused("more behind the fences", slices.Insert(bytes.Clone(body), int(f.directory()), 0), f)

	b := bytes.Clone(body)
	b[f.fences] = 2 // the first fence, still below the next
	refused("above the first term", b, f)
	copy(b[f.fences:], bytes.Repeat([]byte{1}, int(f.directory()-f.fences)))
	refused("below the last term", b, f)
}

// Values and lists that no builder makes, behind right checksums.
func TestHostileLists(t *testing.T) {
	u := func(vs ...uint64) (b []byte) {
		for _, v := range vs {
			b = binary.AppendUvarint(b, v)
		}
		return b
	}
	ones := func(n int) []byte { return make([]byte, n) } // n numbers, each one above the one before
	skip := func(entries ...uint32) (b []byte) {
		for _, e := range entries {
			b = binary.LittleEndian.AppendUint32(b, e)
		}
		return b
	}
	span := smallRange.span()
	at := func(head int) uint64 { return uint64(head) << 1 }
	long := slices.Concat(ones(200), u(200, 200))
	for name, c := range map[string]struct {
		lists []byte
		value uint64
		count uint64
	}{
		"one beyond":                   {nil, (span+1)<<1 | inlined, 1},
		"one far beyond":               {nil, math.MaxUint64, 1},
		"head at the FST":              {u(0, 0, 2, 2), at(4), 2},
		"head in the FST":              {u(0, 0, 2, 2), at(9), 2},
		"head that decodes in the FST": {nil, at(8), 2},
		"head nowhere":                 {u(0, 0, 2, 2), 1 << 63, 2},
		"no head":                      {u(0, 0, 2), at(2), 2},
		"half a count":                 {slices.Concat(ones(2), []byte{0x80}), at(2), 2},
		"endless count":                {slices.Concat(ones(2), bytes.Repeat([]byte{0xff}, 12)), at(2), 2},
		"endless length":               {slices.Concat(ones(2), u(2), bytes.Repeat([]byte{0xff}, 12)), at(2), 2},
		"count 0":                      {slices.Concat(ones(2), u(0, 2)), at(2), 0},
		"count 1":                      {slices.Concat(ones(2), u(1, 2)), at(2), 1},
		"more than the range":          {slices.Concat(ones(2), u(span+2, 2)), at(2), span + 2},
		"more than bytes":              {slices.Concat(ones(2), u(3, 2)), at(2), 3},
		"longer than the run":          {slices.Concat(ones(2), u(2, 3)), at(2), 2},
		"as long as 2^64":              {slices.Concat(ones(2), u(2, math.MaxUint64)), at(2), 2},
		"bytes left":                   {slices.Concat(ones(3), u(2, 3)), at(3), 2},
		"endless number":               {slices.Concat([]byte{1}, bytes.Repeat([]byte{0xff}, 12), u(2, 13)), at(13), 2},
		"number cut":                   {slices.Concat([]byte{0, 0x80}, u(2, 2)), at(2), 2},
		"first beyond":                 {slices.Concat(u(span+1, 0), u(2, 4)), at(4), 2},
		"second beyond":                {slices.Concat(u(span, 0), u(2, 4)), at(4), 2},
		"no skip table":                {long, at(200), 200},
		"half a skip table":            {slices.Concat(long, skip(127, 0, 199)), at(200), 200},
		"block after the next":         {slices.Concat(long, skip(127, 129, 199, 128)), at(200), 200},
		"block beyond":                 {slices.Concat(long, skip(127, 0, 199, 201)), at(200), 200},
		"first block later":            {slices.Concat(long, skip(127, 1, 199, 128)), at(200), 200},
		"first last wrong":             {slices.Concat(long, skip(126, 0, 199, 128)), at(200), 200},
		"last last wrong":              {slices.Concat(long, skip(127, 0, 200, 128)), at(200), 200},
		"last beyond":                  {slices.Concat(long, skip(math.MaxUint32, 0, 199, 128)), at(200), 200},
	} {
		t.Run(name, func(t *testing.T) {
			var b fstBuilder
			b.reset()
			b.add([]byte("\x01A"), c.value)
			fst := b.end()
			copy(fst[8:], u(2, 2)) // the FST has room here, which nobody looks at, for what might be the head of a list
			s, err := opened(forged(smallRange, c.lists, fst, openFilter, 1, c.count), smallRange)
			require.NoError(t, err)
			requireDamage(t, s.Verify(), "bytes")
			_, err = contents(s)
			requireDamage(t, err, "bytes")
			ask(t, s)
		})
	}
}

// Filters that no builder makes, behind right checksums: those of other terms, and of another size.
func TestHostileFilters(t *testing.T) {
	var b fstBuilder
	b.reset()
	b.add([]byte("\x01A"), 5<<1|inlined)
	fst := bytes.Clone(b.end())
	right := appendFilter(nil, []uint64{filterHash([]byte("\x01A"))})
	require.Len(t, right, filterBlock)
	for name, filter := range map[string][]byte{
		"right":      right,
		"open":       openFilter,
		"none":       {},
		"half":       right[:16],
		"twice":      slices.Concat(right, right),
		"closed":     make([]byte, filterBlock),
		"of another": appendFilter(nil, []uint64{filterHash([]byte("\x01B"))}),
		"a bit less": func() []byte {
			b := bytes.Clone(right)
			b[bytes.IndexFunc(b, func(r rune) bool { return r != 0 })] = 0
			return b
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := opened(forged(smallRange, nil, fst, filter, 1, 1), smallRange)
			require.NoError(t, err)
			if name == "right" || name == "open" {
				require.NoError(t, s.Verify())
				requireList(t, s, "\x01A", []dcb.Position{smallRange.First + 5})
			} else {
				requireDamage(t, s.Verify(), "bytes")
				_, err = contents(s)
				requireDamage(t, err, "bytes")
			}
			ask(t, s)
		})
	}
}
