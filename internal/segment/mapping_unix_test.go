//go:build unix

package segment

import (
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

// A file that is cut under its mapping makes the kernel send a signal that would end the process. It must be an error,
// whatever was touched before.
func TestFileCutUnderTheMapping(t *testing.T) {
	r := Range{1, 6000}
	m := benchTerms(6000, false)
	keys := m.keys()
	source := t.TempDir()
	build(t, source, r, m)
	whole := readFile(t, source, Name(r))
	for _, warm := range []bool{false, true} {
		for _, size := range []int64{0, 4096, int64(len(whole) / 2 &^ 4095)} {
			dir := t.TempDir()
			writeFile(t, whole, dir, Name(r))
			s := open(t, dir, r)
			long, err := s.Find(Type, "EventType1")
			require.NoError(t, err)
			require.Greater(t, long.blocks(), uint64(2))
			up, down := long.Cursor(0, math.MaxUint64, false), long.Cursor(0, math.MaxUint64, true)
			if warm {
				_, err := contents(s)
				require.NoError(t, err)
				for _, key := range keys {
					_, err := s.Find(Kind(key[0]), key[1:])
					require.NoError(t, err)
				}
			}
			require.NoError(t, os.Truncate(s.Path(), size))
			requireFault := func(err error) {
				requireDamage(t, err, s.Path())
				var ce *dcb.CorruptError
				require.ErrorAs(t, err, &ce)
				require.GreaterOrEqual(t, ce.Offset, size)
				require.Less(t, ce.Offset, s.Size())
			}

			failed := 0
			for _, key := range keys {
				l, err := s.Find(Kind(key[0]), key[1:])
				if err == nil {
					_, err = l.FirstAfter(5, math.MaxUint64)
				}
				if err != nil {
					failed++
					requireFault(err)
				}
			}
			require.Positive(t, failed)
			_, err = contents(s)
			requireFault(err)
			requireFault(s.Verify())
			_, err = Merge(t.Context(), dir, testSeed, []*Segment{s})
			requireFault(err)
			if size == 0 {
				require.Equal(t, len(keys), failed, "nothing is left")
				_, err = long.FirstAfter(0, math.MaxUint64)
				requireFault(err)
				up.Seek(r.Last / 2)
				requireFault(up.Err())
				down.Seek(r.Last / 2)
				requireFault(down.Err())
			}
		}
	}
}
