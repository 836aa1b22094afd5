package pack

import (
	"bytes"
	"encoding/binary"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// sealed is a file with right sums: these bytes for the blocks, these entries for the table, whatever they say. Sums of the blocks are put in where the
// entries are in order.
func sealed(r Range, blocks []byte, entries []entry) []byte {
	p := place{testSeed, r}
	b := append(appendHeader(nil, r), blocks...)
	f := footer{table: uint64(len(b)), blocks: uint64(len(entries))}
	var table []byte
	for i, e := range entries {
		end := f.table
		if i+1 < len(entries) {
			end = entries[i+1].offset
		}
		if e.offset <= end && end <= f.table {
			e.sum = p.sum(uint64(i), b[e.offset:end])
		}
		table = appendEntry(table, e)
	}
	f.tableSum = p.sum(tablePlace, table)
	return appendFooter(append(b, table...), p, f)
}

func packed(raw []byte) []byte { return encoder().EncodeAll(raw, nil) }

// parts takes a pack apart for sealed.
func parts(t require.TestingT, b []byte, r Range) (blocks []byte, entries []entry) {
	p := place{testSeed, r}
	f, err := parseEnds(p, int64(len(b)), b[:headerBytes], b[len(b)-footerBytes:])
	require.NoError(t, err)
	entries, err = parseTable(p, f, b[f.table:len(b)-footerBytes])
	require.NoError(t, err)
	return b[headerBytes:f.table], entries
}

// Tables that contradict themselves, or what a pack can be, behind right checksums.
func TestHostileTables(t *testing.T) {
	dir, path := t.TempDir(), ""
	path = filepath.Join(dir, Name(smallRange))
	blocks, good := parts(t, undump(t, goldenFile), smallRange)
	writeFile(t, sealed(smallRange, blocks, good), path)
	require.Equal(t, undump(t, goldenFile), readFile(t, path))
	end := uint64(headerBytes + len(blocks))
	many := make([]entry, 10)
	for i := range many {
		many[i] = entry{offset: headerBytes + uint64(i), first: uint32(i), raw: 1}
	}
	for name, c := range map[string]struct {
		change func(e []entry) []entry
		opens  bool // the block is wrong
	}{
		"no block":               {func(e []entry) []entry { return nil }, false},
		"more than positions":    {func([]entry) []entry { return many }, false},
		"begins in the header":   {func(e []entry) []entry { e[0].offset--; return e }, false},
		"begins behind":          {func(e []entry) []entry { e[0].offset++; return e }, false},
		"empty block":            {func(e []entry) []entry { e[1].offset = e[2].offset; return e }, false},
		"empty last block":       {func(e []entry) []entry { e[2].offset = end; return e }, false},
		"overlap":                {func(e []entry) []entry { e[1].offset = e[2].offset + 1; return e }, false},
		"in the table":           {func(e []entry) []entry { e[2].offset = end + 1; return e }, false},
		"far beyond":             {func(e []entry) []entry { e[2].offset = math.MaxUint64; return e }, false},
		"below zero":             {func(e []entry) []entry { e[1].offset = math.MaxUint64 - 5; return e }, false},
		"not the first position": {func(e []entry) []entry { e[0].first = 1; return e }, false},
		"same position":          {func(e []entry) []entry { e[2].first = e[1].first; return e }, false},
		"lower position":         {func(e []entry) []entry { e[1].first = 8; return e }, false},
		"beyond the last":        {func(e []entry) []entry { e[2].first = 9; return e }, false},
		"far beyond the last":    {func(e []entry) []entry { e[2].first = math.MaxUint32; return e }, false},
		"no records":             {func(e []entry) []entry { e[1].raw = 0; return e }, false},
		"too many records":       {func(e []entry) []entry { e[1].raw = maxRawBytes + 1; return e }, false},
		"most records":           {func(e []entry) []entry { e[1].raw = math.MaxUint32; return e }, false},
		"longer than it can be":  {func(e []entry) []entry { e[0].raw = uint32(e[1].offset-e[0].offset) - 65; return e }, false},
		"one byte more":          {func(e []entry) []entry { e[1].raw++; return e }, true},
		"one byte less":          {func(e []entry) []entry { e[1].raw--; return e }, true},
		"as much as may be":      {func(e []entry) []entry { e[1].raw = maxRawBytes; return e }, true},
		"one byte of the next":   {func(e []entry) []entry { e[2].offset++; return e }, true},
		"without the last byte":  {func(e []entry) []entry { e[2].offset--; return e }, true},
		"two blocks in one":      {func(e []entry) []entry { e[0].raw *= 2; return []entry{e[0], e[2]} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, sealed(smallRange, blocks, c.change(slices.Clone(good))), path)
			p, err := Open(dir, testSeed, smallRange)
			if !c.opens {
				requireDamage(t, err, path)
				require.NotContains(t, err.Error(), "checksum")
				return
			}
			require.NoError(t, err)
			defer p.Close()
			wrong := 0
			for i := range p.Blocks() {
				before := allocated()
				if _, err := p.Block(i); err != nil {
					wrong++
					requireDamage(t, err, path)
					require.NotContains(t, err.Error(), "checksum")
					require.Less(t, allocated()-before, uint64(1<<20), "a lie costs nothing")
				}
			}
			require.Positive(t, wrong)
		})
	}
}

// A footer with a right sum whose numbers cannot be those of the file.
func TestHostileFooters(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Name(smallRange))
	b := undump(t, goldenFile)
	foot := len(b) - footerBytes
	for _, at := range []int{8, 16} {
		for _, by := range []uint64{1, math.MaxUint64, 24, 1 << 63, math.MaxUint64/entryBytes + 1} {
			c := bytes.Clone(b[:foot])
			f := footer{table: binary.LittleEndian.Uint64(b[foot+8:]), blocks: binary.LittleEndian.Uint64(b[foot+16:]), tableSum: binary.LittleEndian.Uint64(b[foot+24:])}
			if at == 8 {
				f.table += by
			} else {
				f.blocks += by
			}
			writeFile(t, appendFooter(c, place{testSeed, smallRange}, f), path)
			_, err := Open(dir, testSeed, smallRange)
			requireDamage(t, err, path)
			require.NotContains(t, err.Error(), "checksum")
		}
	}
}

// header is the start of a zstd frame of one segment with these flags besides, and its content in 4 bytes.
func header(flags byte, content uint32) []byte {
	return binary.LittleEndian.AppendUint32(append(bytes.Clone(frameMagic), 2<<6|1<<5|flags), content)
}

// piece is a piece of a frame: type 0 raw, 1 one byte so many times, 2 compressed.
func piece(last bool, kind, size uint32, content ...byte) []byte {
	v := size<<3 | kind<<1
	if last {
		v |= 1
	}
	return append([]byte{byte(v), byte(v >> 8), byte(v >> 16)}, content...)
}

// What stands in the place of a block, behind right checksums: one frame of any writer, and nothing else.
func TestHostileBlocks(t *testing.T) {
	dir, r := t.TempDir(), Range{7, 7}
	path := filepath.Join(dir, Name(r))
	rec := stamped(dcb.Event{Type: "A", Data: append(letters(200, 1), make([]byte, 600)...)}, 7)
	n := uint32(len(rec))
	good := packed(rec)
	skippable := append([]byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0}, "skip"...)
	by := func(opts ...zstd.EOption) []byte {
		e, err := zstd.NewWriter(nil, opts...)
		require.NoError(t, err)
		defer e.Close()
		return e.EncodeAll(rec, nil)
	}
	streamed := func() []byte {
		var b bytes.Buffer
		e, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		require.NoError(t, err)
		_, err = e.Write(rec[:100])
		require.NoError(t, err)
		require.NoError(t, e.Flush())
		_, err = e.Write(rec[100:])
		require.NoError(t, err)
		require.NoError(t, e.Close())
		return b.Bytes()
	}
	inOne := slices.Concat(header(0, n), piece(false, 0, 100, rec[:100]...), piece(true, 0, n-100, rec[100:]...))
	dictionary := append(bytes.Clone(good[:4]), good[4]|1, 9)
	dictionary = append(dictionary, good[5:]...)
	_, _, ok := frame(dictionary)
	require.False(t, ok)
	for name, c := range map[string]struct {
		block []byte
		ok    bool
	}{
		"ours":                    {good, true},
		"of another level":        {by(zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithSingleSegment(true)), true},
		"with a window":           {by(zstd.WithSingleSegment(false), zstd.WithEncoderCRC(false)), true},
		"with a checksum":         {by(zstd.WithEncoderCRC(true)), true},
		"stored in two pieces":    {inOne, true},
		"with a wrong checksum":   {func() []byte { b := by(zstd.WithEncoderCRC(true)); b[len(b)-1]++; return b }(), false},
		"without its length":      {streamed(), false},
		"nothing behind":          {good[:len(good)-1], false},
		"a byte behind":           {append(bytes.Clone(good), 0), false},
		"again":                   {append(bytes.Clone(good), good...), false},
		"two halves":              {append(packed(rec[:n/2]), packed(rec[n/2:])...), false},
		"skippable before":        {append(bytes.Clone(skippable), good...), false},
		"skippable behind":        {append(bytes.Clone(good), skippable...), false},
		"skippable alone":         {skippable, false},
		"a dictionary":            {dictionary, false},
		"an empty frame more":     {append(bytes.Clone(good), header(0, 0)...), false},
		"not a frame":             {rec, false},
		"a reserved bit":          {slices.Concat(header(1<<3, n), piece(true, 0, n, rec...)), false},
		"a reserved piece":        {slices.Concat(header(0, n), piece(true, 3, n, rec...)), false},
		"no last piece":           {slices.Concat(header(0, n), piece(false, 0, n, rec...)), false},
		"a piece beyond":          {slices.Concat(header(0, n), piece(true, 0, n+1, rec...)), false},
		"less than it says":       {slices.Concat(header(0, n), piece(true, 0, n-1, rec[1:]...)), false},
		"more than it says":       {slices.Concat(header(0, n), piece(true, 0, n+1, append(bytes.Clone(rec), 0)...)), false},
		"a byte many times":       {slices.Concat(header(0, n), piece(true, 1, 128<<10, 7)), false},
		"a byte too many times":   {slices.Concat(header(0, n), piece(true, 1, 1<<21-1, 7)), false},
		"says less than is there": {slices.Concat(header(0, n-1), piece(true, 0, n, rec...)), false},
		"says most":               {slices.Concat(header(0, math.MaxUint32), piece(true, 0, n, rec...)), false},
	} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, sealed(r, c.block, []entry{{offset: headerBytes, raw: n}}), path)
			p := open(t, dir, r)
			before := allocated()
			raw, err := p.Block(0)
			require.Less(t, allocated()-before, uint64(1<<20))
			if c.ok {
				require.NoError(t, err)
				require.Equal(t, rec, raw)
				return
			}
			requireDamage(t, err, path)
			require.NotContains(t, err.Error(), "checksum of the block")
		})
	}
}

// allocated is how much memory the process has ever asked for.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// held is how much memory is in use.
func held() uint64 {
	runtime.GC()
	runtime.GC() // what pools let go of, they let go of at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// What cannot hold what it claims is not made room for; what can, a few hundred bytes for 16 MiB, is one at a time.
func TestSalvageOfBombs(t *testing.T) {
	liar := slices.Concat(header(0, maxRawBytes), piece(true, 1, 128<<10, 7))
	before := allocated()
	for range Salvage(bytes.Repeat(liar, 1000)) {
		require.Fail(t, "nothing is in there")
	}
	require.Less(t, allocated()-before, uint64(1<<20))

	bomb := header(0, 16<<20)
	for i := range 128 {
		bomb = append(bomb, piece(i == 127, 1, 128<<10, 7)...)
	}
	before, n := held(), 0
	for raw := range Salvage(bytes.Repeat(bomb, 3)) {
		require.Len(t, raw, 16<<20)
		require.Equal(t, 16<<20, cap(raw))
		n++
		require.Less(t, held()-before, uint64(20<<20))
	}
	require.Equal(t, 3, n)
}

// Encoders and decoders keep little, whatever went through them.
func TestWhatIsKept(t *testing.T) {
	before := held()
	for _, content := range [][]byte{noisy(maxRawBytes), letters(maxRawBytes, 1), make([]byte, maxRawBytes)} {
		for range 2 { // the encoders take turns
			b := packed(content)
			raw, err := unpack(b, len(content))
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, raw))
		}
	}
	kept := int64(held()) - int64(before)
	t.Logf("kept: %d KiB", kept>>10)
	require.Less(t, kept, int64(3<<20))
}
