package segment

import (
	"encoding/binary"
	"encoding/hex"
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

// TestGoldenSegment pins the bytes of format version 1. There is no flag that rewrites the file: stores with these bytes exist,
// so a difference means a new version number and a reader for both.
func TestGoldenSegment(t *testing.T) {
	want, err := os.ReadFile("testdata/segment-v1.hex")
	require.NoError(t, err)
	dir := t.TempDir()
	build(t, dir, smallRange, small())
	require.Equal(t, string(want), hex.Dump(readFile(t, dir, Name(smallRange))))
	requireHolds(t, open(t, dir, smallRange), small())
}

// TestGoldenSum pins a larger file, of several runs, by its hash: what a new version of the FST's module would change without
// breaking the format is noticed as well, because merging promises the bytes of building.
func TestGoldenSum(t *testing.T) {
	dir := t.TempDir()
	m := benchTerms(2000, false)
	r := Range{1, 2000}
	build(t, dir, r, m)
	require.EqualValues(t, uint64(0x4200bf72f26ba590), xxhash.Sum64(readFile(t, dir, Name(r))))
	runs, err := open(t, dir, r).loaded()
	require.NoError(t, err)
	require.Len(t, runs, 5)
}

// TestLayout reads the golden file as docs/format/index.md draws it, with nothing of this package but the names of the model.
func TestLayout(t *testing.T) {
	b := undump(t, "testdata/segment-v1.hex")
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

	require.Equal(t, "OIDX\x01\x00\x00\x00", string(b[:8]))
	require.EqualValues(t, 100, u64(8))
	require.EqualValues(t, 70_000, u64(16))

	size := uint64(len(b))
	foot := size - 64
	require.Equal(t, "\x01\x00\x00\x00OIDX", string(b[size-8:]))
	require.Equal(t, sum(math.MaxUint64, b[foot+8:]), u64(foot))
	end, runs, fences, terms, postings, tableSum := u64(foot+8), u64(foot+16), u64(foot+24), u64(foot+32), u64(foot+40), u64(foot+48)
	require.EqualValues(t, 1, runs)
	require.Equal(t, small().postings(), postings)
	require.Equal(t, sum(math.MaxUint64-1, b[end:foot]), tableSum)
	require.Equal(t, size, end+(end+4095)/4096*8+64)
	for block := range (end + 4095) / 4096 {
		require.Equal(t, sum(block, b[block*4096:min(end, block*4096+4096)]), u64(end+block*8))
	}

	entry := end - runs*24
	fenceOff, fenceLen, fstLen, fst := u64(entry), le.Uint32(b[entry+8:]), uint64(le.Uint32(b[entry+12:])), u64(entry+16)
	require.Zero(t, fenceOff)
	require.Equal(t, "\x01", string(b[fences:fences+uint64(fenceLen)]))
	require.Equal(t, fences+uint64(fenceLen), entry)
	require.Equal(t, fences, fst+fstLen)

	got := model{}
	values := map[string]uint64{}
	walkFST(b[fst:fst+fstLen], le.Uint64(b[fst+fstLen-8:]), "", 0, values)
	require.EqualValues(t, len(values), terms)
	require.EqualValues(t, len(values), le.Uint64(b[fst+fstLen-16:]))
	for key, v := range values {
		if v&1 == 1 {
			got[key] = []dcb.Position{100 + dcb.Position(v>>1)}
		} else {
			got[key] = listAt(b, 24+v>>1)
		}
	}
	require.Equal(t, small(), got)
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
