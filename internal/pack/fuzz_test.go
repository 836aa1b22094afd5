package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/codec"
)

// ask reads everything of a pack whose bytes may be anything. What comes back is in form and what was written, or the error is damage.
func ask(t *testing.T, dir string, b []byte, r Range) {
	path := filepath.Join(dir, Name(r))
	writeFile(t, b, path)
	p, err := Open(dir, testSeed, r)
	if err != nil {
		if !errors.Is(err, dcb.ErrVersion) {
			requireDamage(t, err, path)
		}
		return
	}
	defer p.Close()
	next := r.First
	for i := range p.Blocks() {
		at := p.Positions(i)
		require.Equal(t, next, at.First)
		require.GreaterOrEqual(t, at.Last, at.First)
		require.Equal(t, []int{i, i}, []int{p.BlockOf(at.First), p.BlockOf(at.Last)})
		next = at.Last + 1
		raw, err := p.Block(i)
		if err != nil {
			requireDamage(t, err, path)
			continue
		}
		require.Len(t, raw, p.RawBytes(i))
		for _, pos := range []dcb.Position{at.First, at.First + (at.Last-at.First)/2, at.Last} {
			rec, err := p.Record(i, raw, pos)
			if err != nil {
				requireDamage(t, err, path)
			} else if codec.CheckRecord(rec, testSeed, pos) == nil {
				require.Equal(t, record(pos), rec)
			}
		}
	}
	require.Equal(t, r.Last+1, next)
}

// FuzzOpen: bytes that nobody sealed are refused, or they are those that were written.
func FuzzOpen(f *testing.F) {
	b := undump(f, goldenFile)
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add(append(bytes.Clone(b), b...))
	f.Add([]byte("OPCK"))
	f.Add(append([]byte("OPCK\x02\x00\x00\x00"), "\x02\x00\x00\x00OPCK"...))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) { ask(t, dir, b, smallRange) })
}

// FuzzSealed: whatever stands behind right checksums, every question comes to an end, without a panic and without much memory.
func FuzzSealed(f *testing.F) {
	blocks, entries := parts(f, undump(f, goldenFile), smallRange)
	var table []byte
	for _, e := range entries {
		table = appendEntry(table, e)
	}
	f.Add(blocks, table)
	f.Add(packed(record(101)), table[:entryBytes])
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		b, c := bytes.Clone(blocks), bytes.Clone(table)
		b[rng.IntN(len(b))] = byte(rng.Uint32())
		c[rng.IntN(len(c))] = byte(rng.Uint32())
		f.Add(b, table)
		f.Add(blocks, c)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, blocks, table []byte) {
		var entries []entry
		for le := binary.LittleEndian; len(table) >= entryBytes; table = table[entryBytes:] {
			entries = append(entries, entry{offset: le.Uint64(table), first: le.Uint32(table[8:]), raw: le.Uint32(table[12:])})
		}
		ask(t, dir, sealed(smallRange, blocks, entries), smallRange)
	})
}

// FuzzParseTable: a table that is accepted covers the blocks without a gap, and all positions.
func FuzzParseTable(f *testing.F) {
	b := undump(f, goldenFile)
	table := binary.LittleEndian.Uint64(b[len(b)-footerBytes+8:])
	f.Add(b[table:len(b)-footerBytes], table, uint32(9))
	f.Add(make([]byte, entryBytes), uint64(math.MaxUint64), uint32(maxPositions))
	f.Fuzz(func(t *testing.T, b []byte, end uint64, positions uint32) {
		p := place{testSeed, Range{101, 100 + dcb.Position(positions)}}
		b = b[:len(b)/entryBytes*entryBytes]
		foot := footer{table: end, blocks: uint64(len(b) / entryBytes), tableSum: p.sum(tablePlace, b)}
		if !p.r.valid() || !foot.fits(p.r, end+uint64(len(b))+footerBytes) {
			return
		}
		entries, err := parseTable(p, foot, b)
		if err != nil {
			require.ErrorIs(t, err, errEntry)
			return
		}
		var again []byte
		next := uint64(headerBytes)
		for i, e := range entries {
			require.Equal(t, next, e.offset)
			next = end
			if i+1 < len(entries) {
				next = entries[i+1].offset
				require.Less(t, e.first, entries[i+1].first)
			}
			require.Less(t, e.offset, next)
			require.LessOrEqual(t, next-e.offset, maxPacked(uint64(e.raw)))
			require.LessOrEqual(t, e.raw, uint32(maxRawBytes))
			require.Less(t, e.first, positions)
			again = appendEntry(again, e)
		}
		require.Equal(t, b, again)
		foot.tableSum++
		_, err = parseTable(p, foot, b)
		require.ErrorIs(t, err, errTable)
	})
}

// FuzzSalvage: whatever the bytes are, what is found in them was written by this store for that position.
func FuzzSalvage(f *testing.F) {
	b := undump(f, goldenFile)
	f.Add(b)
	f.Add(b[headerBytes : len(b)-footerBytes])
	f.Add(bytes.Repeat(frameMagic, 50))
	f.Add(append(header(0, maxRawBytes), piece(true, 1, 128<<10, 7)...))
	f.Add(append(header(1<<2, 100), piece(false, 0, 0)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		for raw := range Salvage(b) {
			require.LessOrEqual(t, len(raw), maxRawBytes)
			require.NotEmpty(t, raw)
			for found := range codec.Salvage(raw[:min(len(raw), 1<<16)], testSeed, smallRange.First, smallRange.Last) {
				require.Equal(t, record(found.Position), raw[found.Offset:found.Offset+found.Bytes])
			}
		}
	})
}

// FuzzFrame: what is packed is one frame, and comes back.
func FuzzFrame(f *testing.F) {
	f.Add([]byte{0}, uint16(0))
	f.Add(record(101), uint16(0))
	f.Add([]byte("ab"), uint16(math.MaxUint16))
	f.Fuzz(func(t *testing.T, b []byte, repeated uint16) {
		raw := bytes.Repeat(b, 1+int(repeated))
		if len(raw) == 0 || len(raw) > 1<<20 {
			return
		}
		c := packed(raw)
		require.LessOrEqual(t, uint64(len(c)), maxPacked(uint64(len(raw))))
		n, claimed, ok := frame(append(bytes.Clone(c), b...))
		require.True(t, ok)
		require.Equal(t, []int{len(c), len(raw)}, []int{n, claimed})
		out, err := unpack(c, len(raw))
		require.NoError(t, err)
		require.True(t, bytes.Equal(raw, out))
	})
}

func FuzzParseName(f *testing.F) {
	f.Add(Name(smallRange))
	f.Add("00000000000000000001-00000000000000000000.pack")
	f.Fuzz(func(t *testing.T, name string) {
		if r, ok := parseName(name); ok {
			require.Equal(t, name, Name(r))
			require.NoError(t, r.check())
		}
	})
}
