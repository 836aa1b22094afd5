package pack

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
	"opossum/internal/codec"
)

// requireNoLie opens what stands in dir under the name of r and asks for everything. Each answer is the truth or damage, and something is damaged.
func requireNoLie(t *testing.T, dir string, r Range, truth [][]byte) {
	t.Helper()
	p, err := Open(dir, testSeed, r)
	if err != nil {
		requireDamage(t, err, filepath.Join(dir, Name(r)))
		return
	}
	defer p.Close()
	wrong := 0
	for i := range p.Blocks() {
		raw, err := p.Block(i)
		if err != nil {
			requireDamage(t, err, p.Path())
			wrong++
			continue
		}
		at := p.Positions(i)
		for pos := at.First; pos <= at.Last; pos++ {
			rec, err := p.Record(i, raw, pos)
			require.NoError(t, err)
			require.True(t, bytes.Equal(truth[pos-r.First], rec))
		}
	}
	require.Equal(t, 1, wrong, "the rest of the file still answers")
}

func TestEveryFlippedBit(t *testing.T) {
	dir, truth := t.TempDir(), records(smallRange)
	build(t, dir, smallRange, truth)
	b := readFile(t, dir, Name(smallRange))
	f, err := os.OpenFile(filepath.Join(dir, Name(smallRange)), os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	for bit := range 8 * len(b) {
		_, err := f.WriteAt([]byte{b[bit/8] ^ 1<<(bit%8)}, int64(bit/8))
		require.NoError(t, err)
		requireNoLie(t, dir, smallRange, truth)
		_, err = f.WriteAt(b[bit/8:bit/8+1], int64(bit/8))
		require.NoError(t, err)
	}
	requireHolds(t, open(t, dir, smallRange), truth)
}

func TestEveryTruncation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Name(smallRange))
	build(t, dir, smallRange, records(smallRange))
	b := readFile(t, path)
	refused := func(b []byte) {
		writeFile(t, b, path)
		_, err := Open(dir, testSeed, smallRange)
		requireDamage(t, err, path)
	}
	for n := range b {
		refused(b[:n])
		refused(append(bytes.Clone(b[:n]), make([]byte, len(b)-n)...)) // the length was written, the bytes were not
	}
	for _, more := range [][]byte{{0}, make([]byte, 64), b[len(b)-footerBytes:], b} {
		refused(append(bytes.Clone(b), more...))
	}
}

// A file that is cut or overwritten while it is open.
func TestDamageWhileOpen(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, records(smallRange))
	p := open(t, dir, smallRange)
	b := readFile(t, p.Path())
	last := int64(p.index[p.Blocks()-1].offset)
	require.NoError(t, os.Truncate(p.Path(), last+5))
	for i := range p.Blocks() {
		_, err := p.Block(i)
		if i+1 < p.Blocks() {
			require.NoError(t, err)
			continue
		}
		requireDamage(t, err, p.Path())
		var ce *dcb.CorruptError
		require.ErrorAs(t, err, &ce)
		require.Equal(t, last+5, ce.Offset)
		require.Contains(t, ce.Reason, "block 2, of positions 109 to 109")
	}
	clear(b[headerBytes:])
	writeFile(t, b, p.Path())
	_, err := p.Block(0)
	requireDamage(t, err, p.Path())
}

// Right bytes in a wrong place do not verify: those of another store, of another range, of another block.
func TestMisplaced(t *testing.T) {
	dir := t.TempDir()
	recs := records(smallRange)
	for i := range recs { // two blocks of the same length
		recs[i] = stamped(dcb.Event{Type: "A", Data: noisy(2100)}, smallRange.First+dcb.Position(i))
	}
	build(t, dir, smallRange, recs)
	whole := readFile(t, dir, Name(smallRange))

	_, err := Open(dir, testSeed+1, smallRange)
	requireDamage(t, err, filepath.Join(dir, Name(smallRange)))

	for _, other := range []Range{{100, 109}, {101, 110}, {101, 108}, {1, 9}} {
		writeFile(t, whole, dir, Name(other))
		_, err := Open(dir, testSeed, other)
		requireDamage(t, err, filepath.Join(dir, Name(other)))
		b := bytes.Clone(whole) // even with a header that says so
		copy(b, appendHeader(nil, other))
		writeFile(t, b, dir, Name(other))
		_, err = Open(dir, testSeed, other)
		requireDamage(t, err, filepath.Join(dir, Name(other)))
	}

	index := open(t, dir, smallRange).index
	a, b, c := index[0].offset, index[1].offset, index[2].offset
	require.Equal(t, b-a, c-b)
	swapped := bytes.Clone(whole)
	copy(swapped[a:], whole[b:c])
	copy(swapped[b:], whole[a:b])
	writeFile(t, swapped, dir, Name(smallRange))
	p := open(t, dir, smallRange)
	for i := range 2 {
		_, err := p.Block(i)
		requireDamage(t, err, p.Path())
	}
}

// A newer format is judged before any checksum, and only if both ends say so.
func TestNewerVersion(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Name(smallRange))
	build(t, dir, smallRange, records(smallRange))
	b := readFile(t, path)
	le := binary.LittleEndian
	for _, version := range []uint32{FormatVersion + 1, math.MaxUint32} {
		for _, size := range []int{16, 30, len(b)} { // a newer one may be of any size
			newer := append(bytes.Clone(b[:size-8]), b[len(b)-8:]...)
			le.PutUint32(newer[4:], version)
			le.PutUint32(newer[size-8:], version)
			writeFile(t, newer, path)
			_, err := Open(dir, testSeed, smallRange)
			require.ErrorIs(t, err, dcb.ErrVersion)
			require.NotErrorIs(t, err, dcb.ErrCorrupt)
			require.ErrorContains(t, err, Name(smallRange))
		}
		for _, end := range []int{4, len(b) - 8} {
			one := bytes.Clone(b)
			le.PutUint32(one[end:], version)
			writeFile(t, one, path)
			_, err := Open(dir, testSeed, smallRange)
			requireDamage(t, err, path)
		}
	}
	older := bytes.Clone(b)
	le.PutUint32(older[4:], 0)
	le.PutUint32(older[len(b)-8:], 0)
	writeFile(t, older, path)
	_, err := Open(dir, testSeed, smallRange)
	requireDamage(t, err, path)
}

// salvaged are the positions whose records are found in b, each once, and all of them right.
func salvaged(t *testing.T, b []byte, r Range, truth [][]byte) map[dcb.Position]bool {
	found := map[dcb.Position]bool{}
	for raw := range Salvage(b) {
		for f := range codec.Salvage(raw, testSeed, r.First, r.Last) {
			require.True(t, bytes.Equal(truth[f.Position-r.First], raw[f.Offset:f.Offset+f.Bytes]))
			found[f.Position] = true
		}
	}
	return found
}

// Without header, table and footer, and with parts missing, the blocks that are whole are found.
func TestSalvage(t *testing.T) {
	dir, r := t.TempDir(), Range{1, 60}
	truth := records(r)
	build(t, dir, r, truth)
	whole := readFile(t, dir, Name(r))
	p := open(t, dir, r)
	blocks := p.Blocks()
	require.Greater(t, blocks, 5)
	require.Len(t, salvaged(t, whole, r, truth), 60)
	body := whole[headerBytes:p.table]
	require.Len(t, salvaged(t, body, r, truth), 60)
	require.Len(t, salvaged(t, append(noisy(1000), body...), r, truth), 60)
	require.Len(t, salvaged(t, append(bytes.Clone(body), body...), r, truth), 60)
	swallowed := slices.Concat(header(0, uint32(len(body))), piece(true, 0, uint32(len(body)), body...)) // as damage in the headers of a frame may look
	require.Len(t, salvaged(t, swallowed, r, truth), 60)
	require.Empty(t, salvaged(t, nil, r, truth))
	for i := range blocks {
		at, start, end := p.Positions(i), p.index[i].offset, p.table
		if i+1 < blocks {
			end = p.index[i+1].offset
		}
		for name, b := range map[string][]byte{
			"its first byte": append(bytes.Clone(whole[:start]), whole[start+1:]...),
			"its last byte":  append(bytes.Clone(whole[:end-1]), whole[end:]...),
			"all of it":      append(bytes.Clone(whole[:start]), whole[end:]...),
		} {
			found := salvaged(t, b, r, truth)
			for pos := range found {
				require.True(t, !at.Has(pos) || name == "its last byte", "position %d without %s", pos, name)
			}
			require.GreaterOrEqual(t, len(found), 60-int(at.Len()), "block %d without %s", i, name)
		}
		require.Len(t, salvaged(t, whole[:start], r, truth), int(at.First-r.First), "what is before is found without what is behind")
		require.Len(t, salvaged(t, whole[start:], r, truth), int(r.Last-at.First)+1, "and the other way round")
	}
	n := 0
	for range Salvage(whole) {
		n++
		break
	}
	require.Equal(t, 1, n, "it stops when it is told to")
}

// A flipped bit mostly costs one event and not its block, because a frame without a checksum still decompresses.
func TestSalvageOfAFlippedBit(t *testing.T) {
	dir, r := t.TempDir(), Range{1, 24}
	var truth [][]byte
	for p := r.First; p <= r.Last; p++ {
		truth = append(truth, stamped(dcb.Event{Type: "A", Data: letters(300, uint64(p))}, p))
	}
	build(t, dir, r, truth)
	whole := readFile(t, dir, Name(r))
	p := open(t, dir, r)
	require.Equal(t, 1, p.Blocks())
	tries, found := 0, 0
	for bit := headerBytes * 8; bit < int(p.table)*8; bit += 13 {
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		tries++
		found += len(salvaged(t, b, r, truth))
	}
	require.Greater(t, found, tries*18)
}
