package codec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

func salvageEvent(p dcb.Position) dcb.Event {
	return dcb.Event{Type: "T", Tags: []dcb.Tag{"a", dcb.Tag(fmt.Sprint("p:", p))}, Data: fmt.Appendf(nil, "data %d", p), Time: time.Unix(1_800_000_000, int64(p)).UTC()}
}

func stamped(seed uint64, p dcb.Position) []byte {
	b := AppendRecord(nil, salvageEvent(p))
	Stamp(b, seed, p)
	return b
}

func TestARecordTellsItsPosition(t *testing.T) {
	for _, seed := range []uint64{0, 1, math.MaxUint64, 0x0123456789abcdef} {
		for _, p := range []dcb.Position{1, 2, 3, 1 << 20, 1 << 40, math.MaxUint64} {
			require.Equal(t, p, positionOf(stamped(seed, p), seed))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		seed, p := rapid.Uint64().Draw(t, "seed"), dcb.Position(rapid.Uint64().Draw(t, "position"))
		require.Equal(t, p, positionOf(stamped(seed, p), seed))
	})
}

func found(b []byte, seed uint64, first, last dcb.Position) []Found {
	return slices.Collect(Salvage(b, seed, first, last))
}

// TestSalvageFindsWhatIsIntact puts records between garbage at any alignment, and damages some.
func TestSalvageFindsWhatIsIntact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const seed = 42
		var b []byte
		want := []Found(nil)
		for p := dcb.Position(1); p <= dcb.Position(rapid.IntRange(0, 12).Draw(t, "records")); p++ {
			r := rand.New(rand.NewPCG(uint64(p), rapid.Uint64().Draw(t, "garbage")))
			for range r.IntN(40) {
				b = append(b, byte(r.Uint32()>>r.IntN(32))) // many zeros
			}
			rec := stamped(seed, p)
			if bit := rapid.IntRange(-len(rec)*8, len(rec)*8-1).Draw(t, "bit"); bit >= 0 {
				rec[bit/8] ^= 1 << (bit % 8)
			} else {
				want = append(want, Found{Position: p, Offset: len(b), Bytes: len(rec)})
			}
			b = append(b, rec...)
		}
		require.Equal(t, want, found(b, seed, 1, 12))
	})
}

func TestSalvageIsNotDeceived(t *testing.T) {
	b := append(stamped(7, 3), stamped(7, 4)...)
	require.Len(t, found(b, 7, 1, 10), 2)
	require.Empty(t, found(b, 8, 1, 1<<40), "records of another store")
	require.Len(t, found(b, 7, 4, 10), 1, "positions out of range")
	require.Len(t, found(b, 7, 1, 3), 1)
	require.Empty(t, found(b[:len(b)/2-1], 7, 1, 10), "a record that is cut short")
	require.Empty(t, found(make([]byte, 10_000), 7, 1, 10))
	require.Empty(t, found(nil, 7, 1, 10))
	for f := range Salvage(b, 7, 1, 10) { // a caller may stop
		require.EqualValues(t, 3, f.Position)
		break
	}
}
