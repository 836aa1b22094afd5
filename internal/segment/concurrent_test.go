package segment

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"opossum/dcb"
)

// Many goroutines meet on a segment of which nothing has been touched yet.
func TestConcurrentReaders(t *testing.T) {
	dir := t.TempDir()
	r := Range{1, 2000}
	m := benchTerms(2000, false)
	keys := m.keys()
	build(t, dir, r, m)
	for range 5 {
		s := open(t, dir, r)
		var g errgroup.Group
		for i := range 8 {
			g.Go(func() error {
				rng := rand.New(rand.NewPCG(uint64(i), 0))
				for range 300 {
					key := keys[rng.IntN(len(keys))]
					l, err := s.Find(Kind(key[0]), key[1:])
					if err != nil {
						return err
					}
					after := dcb.Position(rng.IntN(2000))
					c := l.Cursor(after, math.MaxUint64, false)
					p, _ := c.Peek()
					q, err := l.FirstAfter(after, math.MaxUint64)
					if err != nil {
						return err
					}
					require.Equal(t, q, p)
					require.Equal(t, len(m[key]), int(l.Len()))
				}
				return nil
			})
		}
		g.Go(s.Verify)
		g.Go(func() error {
			_, err := contents(s)
			return err
		})
		require.NoError(t, g.Wait())
	}
}
