package segment

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/internal/testmount"
)

func TestAFullDiskLeavesNoFile(t *testing.T) {
	if !testmount.Private(t) {
		return
	}
	disk := filepath.Join(t.TempDir(), "small")
	testmount.Tmpfs(t, disk, "size=256k", 0)
	dir := filepath.Join(disk, "index")

	begin := func(r Range, m model) (*Builder, error) {
		b, err := Create(dir, testSeed, r)
		require.NoError(t, err)
		for _, key := range m.keys() {
			if err := errors.Join(b.Term(Kind(key[0]), key[1:]), b.Positions(m[key])); err != nil {
				return b, err
			}
		}
		return b, nil
	}
	b, err := begin(Range{1, 60_000}, benchTerms(60_000, false))
	require.ErrorIs(t, err, syscall.ENOSPC, "much too large: a term fails")
	require.NoError(t, b.Abort())
	require.Empty(t, names(t, dir))

	r := Range{1, 1000}
	build(t, dir, r, benchTerms(1000, false))
	in := open(t, dir, r)
	require.Less(t, in.Size(), int64(64<<10))
	require.NoError(t, os.WriteFile(filepath.Join(disk, "filler"), make([]byte, 256<<10-(64+12)<<10), 0o644))

	b, err = begin(Range{1, 8000}, benchTerms(8000, false))
	require.NoError(t, err)
	require.ErrorIs(t, b.Commit(), syscall.ENOSPC, "too large: Commit fails, and cleans up")
	require.Equal(t, []string{Name(r)}, names(t, dir))

	require.ErrorIs(t, os.WriteFile(filepath.Join(disk, "rest"), make([]byte, 256<<10), 0o644), syscall.ENOSPC)
	_, err = Merge(t.Context(), dir, testSeed, []*Segment{in})
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Equal(t, []string{Name(r)}, names(t, dir))
	require.NoError(t, in.Verify(), "what was there before is untouched")
}
