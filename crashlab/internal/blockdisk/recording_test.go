package blockdisk

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecording(t *testing.T) {
	var b []byte
	add := func(kind byte, off int64, data string) {
		b = append(appendHeader(b, kind, off, len(data)), data...)
	}
	add(Write, 4096, "one")
	add(Flush, 0, "")
	add(Mark, 0, "ack 1 1\n")
	path := filepath.Join(t.TempDir(), "recording")
	require.NoError(t, os.WriteFile(path, b, 0o644))

	r, err := OpenRecording(path)
	require.NoError(t, err)
	defer r.Close()
	require.Len(t, r.Records, 3)
	require.Equal(t, byte(Write), r.Records[0].Kind)
	require.EqualValues(t, 4096, r.Records[0].Off)
	require.Equal(t, byte(Flush), r.Records[1].Kind)
	data, err := r.Data(2)
	require.NoError(t, err)
	require.Equal(t, "ack 1 1\n", string(data))

	for cut := range len(b) {
		require.NoError(t, os.WriteFile(path, b[:cut], 0o644))
		r, err := OpenRecording(path)
		if cut == 0 || cut == headerSize+3 || cut == 2*headerSize+3 {
			require.NoError(t, err)
			require.NoError(t, r.Close())
			continue
		}
		require.Error(t, err, "a recording cut at %d", cut)
	}
}

func TestRule(t *testing.T) {
	refused := func(r Rule, n int) (out []int) {
		var c Counts
		for i := range n {
			if r.refuses(Write, []byte("a block of data"), &c) {
				out = append(out, i)
			}
		}
		require.Equal(t, len(out), c.Refused)
		return out
	}
	require.Equal(t, []int{2, 3, 4}, refused(Rule{Kind: Write, Skip: 2}, 5))
	require.Equal(t, []int{2}, refused(Rule{Kind: Write, Skip: 2, Once: true}, 5))
	require.Equal(t, []int{0}, refused(Rule{Kind: Write, With: "data", Once: true}, 5))
	require.Empty(t, refused(Rule{Kind: Write, With: "other"}, 5))
	require.Empty(t, refused(Rule{Kind: Flush}, 5))
}
