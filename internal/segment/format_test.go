package segment

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// smallRange and small are the segment of the golden file: single positions at both ends of the range, lists of one block and of
// three, common and uncommon bytes, a term that is the start of another.
var smallRange = Range{100, 70_000}

func small() model {
	m := model{
		"\x01Enrolled":       {100, 101, 70_000},
		"\x01Left":           {102},
		"\x02a":              {70_000},
		"\x02course:c1":      {100, 227, 228, 16_612, 16_613},
		"\x02course:c10":     {101, 102},
		"\x02course:c2":      {100},
		"\x02\x00\xff\xfe~Z": {300},
	}
	for p := dcb.Position(110); len(m["\x02student:7"]) < 300; p += 1 + p%200 {
		m["\x02student:7"] = append(m["\x02student:7"], p)
	}
	return m
}

// goldens are the files of each version with the content of small. There is no flag that rewrites them: stores with these bytes exist.
var goldens = []string{1: "testdata/segment-v1.hex", 2: "testdata/segment-v2.hex"}

// TestGoldenSegment pins the bytes of the format: a difference means a new version number and a reader for all.
func TestGoldenSegment(t *testing.T) {
	want, err := os.ReadFile(goldens[FormatVersion])
	require.NoError(t, err)
	dir := t.TempDir()
	build(t, dir, smallRange, small())
	require.Equal(t, string(want), hex.Dump(readFile(t, dir, Name(smallRange))))
	requireHolds(t, open(t, dir, smallRange), small())

	writeFile(t, undump(t, goldens[1]), dir, Name(smallRange))
	s := open(t, dir, smallRange)
	requireHolds(t, s, small())
	for key, ps := range small() {
		requireList(t, s, key, ps)
		requireList(t, s, key+"?", nil)
	}
}

// TestGoldenSum pins a larger file, of several runs, by its hash. Without its filters it has the hash that it had in version 1.
func TestGoldenSum(t *testing.T) {
	dir := t.TempDir()
	m := benchTerms(2000, false)
	r := Range{1, 2000}
	build(t, dir, r, m)
	require.EqualValues(t, uint64(0x7802d5b3cc94f23c), xxhash.Sum64(readFile(t, dir, Name(r))))
	s := open(t, dir, r)
	runs, err := s.loaded()
	require.NoError(t, err)
	require.Len(t, runs, 5)
	require.EqualValues(t, uint64(0x4200bf72f26ba590), xxhash.Sum64(versionOne(t, s)))
}

// versionOne makes the file that version 1 had of a segment.
func versionOne(t testing.TB, s *Segment) []byte {
	le := binary.LittleEndian
	runs, err := s.loaded()
	require.NoError(t, err)
	b := appendHeader(nil, 1, s.Range())
	var fences, directory []byte
	for i := range runs {
		r := &runs[i]
		b = append(b, s.data[r.start:r.fst]...)
		directory = le.AppendUint64(directory, uint64(len(fences)))
		directory = le.AppendUint32(directory, uint32(len(r.fence)))
		directory = le.AppendUint32(directory, uint32(r.size))
		directory = le.AppendUint64(directory, uint64(len(b)))
		b = append(b, s.data[r.fst:r.fst+r.size]...)
		fences = append(fences, r.fence...)
	}
	f := footer{version: 1, runs: uint64(len(runs)), fences: uint64(len(b)), terms: s.Terms(), postings: s.Postings()}
	return seal(append(append(b, fences...), directory...), s.place, f)
}

// Segments of version 1 answer, verify, and are merged, alone and with others, into one of the present version.
func TestVersionOneIsReadAndMerged(t *testing.T) {
	whole, r := t.TempDir(), Range{1, 4000}
	m := benchTerms(4000, false)
	build(t, whole, r, m)
	want := readFile(t, whole, Name(r))
	for _, old := range [][]bool{{true, true}, {true, false}, {false, true}} {
		dir := t.TempDir()
		var inputs []*Segment
		for i, part := range []Range{{1, 2000}, {2001, 4000}} {
			build(t, dir, part, m.part(part))
			if old[i] {
				s, err := Open(dir, testSeed, part)
				require.NoError(t, err)
				b := versionOne(t, s)
				require.NoError(t, s.Close())
				writeFile(t, b, dir, Name(part))
			}
			s := open(t, dir, part)
			requireHolds(t, s, m.part(part))
			for key, ps := range m.part(part) {
				l, err := s.Find(Kind(key[0]), key[1:])
				require.NoError(t, err)
				require.EqualValues(t, len(ps), l.Len())
			}
			inputs = append(inputs, s)
		}
		_, err := Merge(t.Context(), dir, testSeed, inputs)
		require.NoError(t, err)
		require.Equal(t, want, readFile(t, dir, Name(r)))
	}
}

// An absent term is mostly settled by the filter; that it settles no present one is what all other tests see.
func TestFiltersKeepAbsentTermsOut(t *testing.T) {
	dir, r := t.TempDir(), Range{1, 2000}
	build(t, dir, r, benchTerms(2000, false))
	s := open(t, dir, r)
	const asked = 20_000
	passed := 0
	for i := range asked {
		key := []byte(fmt.Sprintf("\x02order:%d", 2000+i))
		require.NoError(t, s.guard(func() error {
			run, err := s.runFor(key)
			require.NoError(t, err)
			ok, err := run.passes(s.mapping, key)
			if ok {
				passed++
			}
			return err
		}))
	}
	require.Less(t, passed, asked/40)
	require.Positive(t, passed)
}

// TestLayout reads the golden files as docs/format/index.md draws it, with nothing of this package but the names of the model.
func TestLayout(t *testing.T) {
	for version := 1; version < len(goldens); version++ {
		t.Run(goldens[version], func(t *testing.T) { requireLayout(t, undump(t, goldens[version]), version) })
	}
}

func requireLayout(t *testing.T, b []byte, version int) {
	le := binary.LittleEndian
	u64 := func(off uint64) uint64 { return le.Uint64(b[off:]) }
	sum := func(number uint64, part []byte) uint64 {
		seed := []byte(nil)
		for _, v := range []uint64{testSeed, 100, 70_000, number} {
			seed = le.AppendUint64(seed, v)
		}
		d := xxhash.NewWithSeed(xxhash.Sum64(seed))
		_, _ = d.Write(part)
		return d.Sum64()
	}

	require.Equal(t, "OIDX"+string([]byte{byte(version), 0, 0, 0}), string(b[:8]))
	require.EqualValues(t, 100, u64(8))
	require.EqualValues(t, 70_000, u64(16))

	size := uint64(len(b))
	foot := size - 64
	require.Equal(t, string([]byte{byte(version), 0, 0, 0})+"OIDX", string(b[size-8:]))
	require.Equal(t, sum(math.MaxUint64, b[foot+8:]), u64(foot))
	end, runs, fences, terms, postings, tableSum := u64(foot+8), u64(foot+16), u64(foot+24), u64(foot+32), u64(foot+40), u64(foot+48)
	require.EqualValues(t, 1, runs)
	require.Equal(t, small().postings(), postings)
	require.Equal(t, sum(math.MaxUint64-1, b[end:foot]), tableSum)
	require.Equal(t, size, end+(end+4095)/4096*8+64)
	for block := range (end + 4095) / 4096 {
		require.Equal(t, sum(block, b[block*4096:min(end, block*4096+4096)]), u64(end+block*8))
	}

	entryLen := uint64(28)
	if version == 1 {
		entryLen = 24
	}
	entry := end - runs*entryLen
	fenceOff, fenceLen, fstLen, fst := u64(entry), le.Uint32(b[entry+8:]), uint64(le.Uint32(b[entry+12:])), u64(entry+16)
	require.Zero(t, fenceOff)
	require.Equal(t, "\x01", string(b[fences:fences+uint64(fenceLen)]))
	require.Equal(t, fences+uint64(fenceLen), entry)
	filter := b[fst+fstLen : fences]
	if version == 1 {
		require.Empty(t, filter)
	} else {
		require.EqualValues(t, len(filter), le.Uint32(b[entry+24:]))
		require.EqualValues(t, len(filter), (terms*10+255)/256*32)
	}

	got := model{}
	values := map[string]uint64{}
	walkFST(b[fst:fst+fstLen], le.Uint64(b[fst+fstLen-8:]), "", 0, values)
	require.EqualValues(t, len(values), terms)
	require.EqualValues(t, len(values), le.Uint64(b[fst+fstLen-16:]))
	for key, v := range values {
		if version > 1 {
			require.True(t, filterHas(filter, key), key)
		}
		if v&1 == 1 {
			got[key] = []dcb.Position{100 + dcb.Position(v>>1)}
		} else {
			got[key] = listAt(b, 24+v>>1)
		}
	}
	require.Equal(t, small(), got)
}

// filterHas reports whether all eight bits of a key are set in a filter.
func filterHas(filter []byte, key string) bool {
	hash := xxhash.Sum64String(key)
	block := filter[(hash>>32)*uint64(len(filter)/32)>>32*32:][:32]
	for i, salt := range []uint32{0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31} {
		if bit := uint32(hash) * salt / (1 << 27); block[i*4+int(bit/8)]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return true
}

// listAt reads the list whose head is at off.
func listAt(b []byte, off uint64) (ps []dcb.Position) {
	head := b[off:]
	count, n := binary.Uvarint(head)
	length, k := binary.Uvarint(head[n:])
	skips := head[n+k:]
	blocks := b[off-length : off]
	next := dcb.Position(100)
	for i := range count {
		if block := i / 128; count > 128 && i%128 == 0 {
			if uint64(len(blocks)) != length-uint64(binary.LittleEndian.Uint32(skips[block*8+4:])) {
				return nil // the block does not start where the table says
			}
		}
		d, n := binary.Uvarint(blocks)
		blocks = blocks[n:]
		ps = append(ps, next+dcb.Position(d))
		next += dcb.Position(d) + 1
		if block := i / 128; count > 128 && (i%128 == 127 || i == count-1) && next-1 != 100+dcb.Position(binary.LittleEndian.Uint32(skips[block*8:])) {
			return nil // nor ends so
		}
	}
	return ps
}

// commonBytes are those that fit into the first byte of a state with one transition; code 1 is the first.
const commonBytes = "te/oasripcnw.hlm-du012g=:bf3y5&_4v9678k%?xCDASFIBEjPTzRNM+LOqHG"

// walkFST visits every path from the state at addr.
func walkFST(fst []byte, addr uint64, key string, sum uint64, into map[string]uint64) {
	if addr == 0 {
		into[key] = sum
		return
	}
	top, at := fst[addr], addr
	down := func(n uint64) []byte { at -= n; return fst[at : at+n] }
	number := func(b []byte) (v uint64) {
		for i, c := range b {
			v |= uint64(c) << (8 * i)
		}
		return v
	}
	target := func(delta uint64) uint64 {
		if delta == 0 {
			return 0
		}
		return at - delta
	}
	if top&0x80 != 0 {
		var c byte
		if code := top & 0x3f; code > 0 {
			c = commonBytes[code-1]
		} else {
			c = down(1)[0]
		}
		if top&0x40 != 0 {
			walkFST(fst, at-1, key+string([]byte{c}), sum, into)
			return
		}
		sizes := down(1)[0]
		delta := number(down(uint64(sizes >> 4)))
		out := number(down(uint64(sizes & 15)))
		walkFST(fst, target(delta), key+string([]byte{c}), sum+out, into)
		return
	}
	n := uint64(top & 0x3f)
	if n == 0 {
		if n = uint64(down(1)[0]); n == 1 {
			n = 256
		}
	}
	sizes := down(1)[0]
	keys, dests, outs := down(n), down(n*uint64(sizes>>4)), down(n*uint64(sizes&15))
	if top&0x40 != 0 {
		into[key] = sum + number(down(uint64(sizes&15)))
	}
	for i := range n {
		delta := number(dests[i*uint64(sizes>>4):][:sizes>>4])
		out := number(outs[i*uint64(sizes&15):][:sizes&15])
		walkFST(fst, target(delta), key+string(keys[i:i+1]), sum+out, into)
	}
}

func undump(t *testing.T, path string) (b []byte) {
	for line := range strings.Lines(string(readFile(t, path))) {
		line, _, _ = strings.Cut(line, "|")
		_, line, _ = strings.Cut(line, " ") // behind the offset
		some, err := hex.DecodeString(strings.Join(strings.Fields(line), ""))
		require.NoError(t, err)
		b = append(b, some...)
	}
	return b
}
