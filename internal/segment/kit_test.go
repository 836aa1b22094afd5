package segment

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"opossum/dcb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSeed = 0x1122334455667788

// model is what a segment should say: key (kind, then term) to positions.
type model map[string][]dcb.Position

func (m model) keys() []string { return slices.Sorted(maps.Keys(m)) }

func (m model) postings() (n uint64) {
	for _, ps := range m {
		n += uint64(len(ps))
	}
	return n
}

// part is the model of the positions in r.
func (m model) part(r Range) model {
	out := model{}
	for key, ps := range m {
		for _, p := range ps {
			if p >= r.First && p <= r.Last {
				out[key] = append(out[key], p)
			}
		}
	}
	return out
}

// randomModel draws terms of many shapes: unique and shared, short and long, one block and several.
func randomModel(rng *rand.Rand, r Range, terms int) model {
	m := model{}
	for range terms {
		m[randomKey(rng)] = randomPositions(rng, r)
	}
	return m
}

func randomKey(rng *rand.Rand) string {
	kind := string([]byte{byte(1 + rng.IntN(2))})
	switch rng.IntN(5) {
	case 0:
		return kind + fmt.Sprintf("order:%d", rng.IntN(100_000))
	case 1:
		return kind + fmt.Sprintf("%016x", rng.Uint64())
	case 2:
		b := make([]byte, 1+rng.IntN(4)) // arbitrary bytes, and often prefixes of each other
		for i := range b {
			b[i] = byte(rng.IntN(3)) * 127
		}
		return kind + string(b)
	case 3:
		return kind + fmt.Sprintf("%0*d", 1+rng.IntN(300), rng.IntN(10))
	}
	return kind + string(rune('a'+rng.IntN(26)))
}

// randomPositions draws one list: one position, few, or several blocks; dense or sparse.
func randomPositions(rng *rand.Rand, r Range) []dcb.Position {
	n := []int{1, 1, 1, 2, 3, 10, 127, 128, 129, 256, 257, 1000}[rng.IntN(12)]
	seen := map[dcb.Position]bool{}
	for range n {
		width := r.span()
		if rng.IntN(2) == 0 {
			width = min(width, uint64(2*n))
		}
		p := r.First + dcb.Position(uintN(rng, width))
		if rng.IntN(20) == 0 {
			p = r.Last
		}
		seen[p] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// uintN draws from 0 to n.
func uintN(rng *rand.Rand, n uint64) uint64 {
	if n+1 == 0 {
		return rng.Uint64()
	}
	return rng.Uint64N(n + 1)
}

func build(t require.TestingT, dir string, r Range, m model) {
	b, err := Create(dir, testSeed, r)
	require.NoError(t, err)
	for _, key := range m.keys() {
		require.NoError(t, b.Term(Kind(key[0]), key[1:]))
		ps := m[key]
		require.NoError(t, b.Positions(ps[:len(ps)/2]))
		require.NoError(t, b.Positions(ps[len(ps)/2:]))
	}
	require.NoError(t, b.Commit())
	require.NoError(t, b.Abort(), "harmless after Commit")
}

func open(t require.TestingT, dir string, r Range) *Segment {
	s, err := Open(dir, testSeed, r)
	require.NoError(t, err)
	if t, ok := t.(testing.TB); ok {
		t.Cleanup(func() { require.NoError(t, s.Close()) })
	}
	return s
}

// contents reads a segment back by All and Each.
func contents(s *Segment) (model, error) {
	m := model{}
	for e, err := range s.All() {
		if err != nil {
			return nil, err
		}
		key := string([]byte{byte(e.Kind)}) + e.Term
		for ps, err := range e.List.Each() {
			if err != nil {
				return nil, err
			}
			m[key] = append(m[key], ps...)
		}
	}
	return m, nil
}

func requireHolds(t require.TestingT, s *Segment, m model) {
	got, err := contents(s)
	require.NoError(t, err)
	require.Equal(t, m, got)
	require.EqualValues(t, len(m), s.Terms())
	require.Equal(t, m.postings(), s.Postings())
	require.NoError(t, s.Verify())
}

func readFile(t require.TestingT, path ...string) []byte {
	b, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return b
}

func writeFile(t require.TestingT, b []byte, path ...string) {
	require.NoError(t, os.WriteFile(filepath.Join(path...), b, 0o644))
}
