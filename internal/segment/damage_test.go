package segment

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// requireNoLie opens what stands in dir under the name of r and asks everything. Each answer must be the truth or an error
// that names the file, and Verify must not be content.
func requireNoLie(t *testing.T, dir string, r Range, truth model) {
	t.Helper()
	damage := func(err error) bool {
		if err != nil {
			requireDamage(t, err, filepath.Join(dir, Name(r)))
		}
		return err != nil
	}
	s, err := Open(dir, testSeed, r)
	if damage(err) {
		return
	}
	defer func() { require.NoError(t, s.Close()) }()
	for key, ps := range truth {
		l, err := s.Find(Kind(key[0]), key[1:])
		if damage(err) {
			continue
		}
		require.EqualValues(t, len(ps), l.Len())
		if p, err := l.FirstAfter(ps[len(ps)/2]-1, math.MaxUint64); !damage(err) {
			require.Equal(t, ps[len(ps)/2], p)
		}
		for _, backwards := range []bool{false, true} {
			c := l.Cursor(0, math.MaxUint64, backwards)
			n := 0
			for p, ok := c.Peek(); ok; p, ok = c.Peek() {
				n++
				if backwards {
					require.Equal(t, ps[len(ps)-n], p)
					c.Seek(p - 1)
				} else {
					require.Equal(t, ps[n-1], p)
					c.Seek(p + 1)
				}
			}
			if !damage(c.Err()) {
				require.Len(t, ps, n)
			}
		}
		if l, err := s.Find(Kind(key[0]), key[1:]+"?"); !damage(err) {
			require.Zero(t, l.Len())
		}
	}
	if got, err := contents(s); !damage(err) {
		require.Equal(t, truth, got)
	}
	require.True(t, damage(s.Verify()), "Verify must find it")
}

func requireDamage(t require.TestingT, err error, path string) {
	var ce *dcb.CorruptError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, path, ce.File)
	require.NotEmpty(t, ce.Reason)
	require.GreaterOrEqual(t, ce.Offset, int64(0))
}

func TestEveryFlippedBit(t *testing.T) {
	for _, golden := range goldens[1:] {
		dir, b := t.TempDir(), undump(t, golden)
		for bit := range 8 * len(b) {
			b[bit/8] ^= 1 << (bit % 8)
			writeFile(t, b, dir, Name(smallRange))
			requireNoLie(t, dir, smallRange, small())
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func TestEveryTruncation(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, small())
	b := readFile(t, dir, Name(smallRange))
	for n := range b {
		writeFile(t, b[:n], dir, Name(smallRange))
		_, err := Open(dir, testSeed, smallRange)
		requireDamage(t, err, filepath.Join(dir, Name(smallRange)))
	}
	for _, more := range [][]byte{{0}, make([]byte, 64), b[len(b)-64:], b} {
		writeFile(t, append(bytes.Clone(b), more...), dir, Name(smallRange))
		_, err := Open(dir, testSeed, smallRange)
		requireDamage(t, err, filepath.Join(dir, Name(smallRange)))
	}
}

// Damage in blocks of a larger file is found where it is, and only by who touches it.
func TestDamageIsFoundWhereItIs(t *testing.T) {
	dir := t.TempDir()
	r := Range{1, 2000}
	m := benchTerms(2000, false)
	build(t, dir, r, m)
	whole := readFile(t, dir, Name(r))
	foot := open(t, dir, r).foot
	require.Greater(t, foot.blocks(), uint64(5))
	for block := range foot.blocks() {
		b := bytes.Clone(whole)
		b[min(block*blockBytes+blockBytes/2, foot.end-1)] ^= 0x40
		writeFile(t, b, dir, Name(r))
		s, err := Open(dir, testSeed, r)
		require.NoError(t, err, "Open does not look there")
		var ce *dcb.CorruptError
		require.ErrorAs(t, s.Verify(), &ce)
		require.EqualValues(t, block*blockBytes, ce.Offset)
		wrong := 0
		for key, ps := range m {
			l, err := s.Find(Kind(key[0]), key[1:])
			if err == nil {
				var p dcb.Position
				p, err = l.FirstAfter(0, r.Last)
				require.True(t, err != nil || p == ps[0])
			}
			if err != nil {
				wrong++
				require.ErrorAs(t, err, &ce)
				require.EqualValues(t, block*blockBytes, ce.Offset)
			}
		}
		require.Positive(t, wrong)
		if block < foot.fences/blockBytes {
			require.Less(t, wrong, len(m), "the rest of the file still answers")
		}
		require.NoError(t, s.Close())
	}
}

// Right bytes in a wrong place do not verify: those of another store, of another range, of another block.
func TestMisplaced(t *testing.T) {
	dir := t.TempDir()
	r := Range{1, 2000}
	m := benchTerms(2000, false)
	build(t, dir, r, m)
	whole := readFile(t, dir, Name(r))

	_, err := Open(dir, testSeed+1, r)
	requireDamage(t, err, filepath.Join(dir, Name(r)))

	for _, other := range []Range{{2, 2000}, {1, 2001}, {1, 1999}} {
		writeFile(t, whole, dir, Name(other))
		_, err := Open(dir, testSeed, other)
		requireDamage(t, err, filepath.Join(dir, Name(other)))
		b := bytes.Clone(whole) // even with a header that says so
		copy(b, appendHeader(nil, FormatVersion, other))
		writeFile(t, b, dir, Name(other))
		_, err = Open(dir, testSeed, other)
		requireDamage(t, err, filepath.Join(dir, Name(other)))
	}

	swapped := bytes.Clone(whole)
	copy(swapped[blockBytes:], whole[2*blockBytes:3*blockBytes])
	copy(swapped[2*blockBytes:], whole[blockBytes:2*blockBytes])
	end := open(t, dir, r).foot.end // with the table in agreement, were it believed
	copy(swapped[end+8:], whole[end+16:end+24])
	copy(swapped[end+16:], whole[end+8:end+16])
	writeFile(t, swapped, dir, Name(r))
	requireNoLie(t, dir, r, model{"\x01EventType1": m["\x01EventType1"]})
}

// A newer format is judged before any checksum, and only if both ends say so.
func TestNewerVersion(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, small())
	b := readFile(t, dir, Name(smallRange))
	le := binary.LittleEndian
	for _, version := range []uint32{FormatVersion + 1, math.MaxUint32} {
		for _, size := range []int{16, len(b)} { // a newer one may be of any size
			newer := append(bytes.Clone(b[:size-8]), b[len(b)-8:]...)
			le.PutUint32(newer[4:], version)
			le.PutUint32(newer[size-8:], version)
			writeFile(t, newer, dir, Name(smallRange))
			_, err := Open(dir, testSeed, smallRange)
			require.ErrorIs(t, err, dcb.ErrVersion)
			require.NotErrorIs(t, err, dcb.ErrCorrupt)
			require.ErrorContains(t, err, Name(smallRange))
		}
		for _, end := range []int{4, len(b) - 8} {
			one := bytes.Clone(b)
			le.PutUint32(one[end:], version)
			writeFile(t, one, dir, Name(smallRange))
			_, err := Open(dir, testSeed, smallRange)
			requireDamage(t, err, filepath.Join(dir, Name(smallRange)))
		}
	}
	older := bytes.Clone(b)
	le.PutUint32(older[4:], 0)
	le.PutUint32(older[len(b)-8:], 0)
	writeFile(t, older, dir, Name(smallRange))
	_, err := Open(dir, testSeed, smallRange)
	require.ErrorIs(t, err, dcb.ErrCorrupt)
}

// Verify looks again at what was verified before, and so does Merge: else it would give damage a right checksum.
func TestOldLooksDoNotCount(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, small())
	s := open(t, dir, smallRange)
	requireHolds(t, s, small())
	path := filepath.Join(dir, Name(smallRange))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte{0x7d}, 0x20) // one distance of a list, which decodes as well as before
	require.NoError(t, err)
	require.NoError(t, f.Close())
	lie, err := contents(s)
	require.NoError(t, err, "nobody looks at a block twice")
	require.NotEqual(t, small(), lie)
	requireDamage(t, s.Verify(), path)
	_, err = Merge(t.Context(), dir, testSeed, []*Segment{s})
	requireDamage(t, err, path)
	list, err := ListDir(dir)
	require.NoError(t, err)
	require.Empty(t, list.Temps)
}

// What leads out of the blocks is refused where it is looked up, whoever forgot to check it.
func TestViewIsBounded(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, smallRange, small())
	s := open(t, dir, smallRange)
	end := s.foot.end
	for _, c := range []struct {
		off, n uint64
		ok     bool
	}{{0, 0, true}, {0, end, true}, {end, 0, true}, {end - 1, 1, true}, {end - 1, 2, false}, {end, 1, false}, {end + 1, 0, false}, {1, math.MaxUint64, false}} {
		require.NoError(t, s.guard(func() error {
			b, err := s.view(c.off, c.n)
			if c.ok {
				require.NoError(t, err)
				require.Len(t, b, int(c.n))
			} else {
				requireDamage(t, err, s.Path())
			}
			return nil
		}))
	}
}
