package segment

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blevesearch/vellum"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// encodeFST builds values with b, which may have been used before.
func encodeFST(b *fstBuilder, values map[string]uint64) []byte {
	b.reset()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		b.add([]byte(key), values[key])
	}
	return b.end()
}

// encodeVellum builds values with the module whose format this is, and no sharing of ends.
func encodeVellum(t require.TestingT, values map[string]uint64) []byte {
	var out bytes.Buffer
	b, err := vellum.New(&out, &vellum.BuilderOpts{Encoder: 1})
	require.NoError(t, err)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		require.NoError(t, b.Insert([]byte(key), values[key]))
	}
	require.NoError(t, b.Close())
	return out.Bytes()
}

func requireFST(t require.TestingT, encoded []byte, values map[string]uint64) {
	f, err := openFST(encoded)
	require.NoError(t, err)
	got := map[string]uint64{}
	last := ""
	require.NoError(t, f.walk(math.MaxInt, func(key []byte, value uint64) error {
		require.Greater(t, string(key), last)
		last = string(key)
		got[last] = value
		return nil
	}))
	require.Equal(t, values, got)
	for key, want := range values {
		value, ok, err := f.get([]byte(key))
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, want, value)
		for _, near := range []string{key[:len(key)-1], key + "\x00", key + "x", key[:len(key)-1] + "\xff"} {
			want, there := values[near]
			value, ok, err := f.get([]byte(near))
			require.NoError(t, err)
			require.Equal(t, there, ok)
			require.Equal(t, want, value)
		}
	}
}

// The bytes are those that vellum writes, and what vellum writes is read, with ends that are shared as well.
func TestFSTIsThatOfVellum(t *testing.T) {
	var b fstBuilder // used again and again, as a run is
	rapid.Check(t, func(rt *rapid.T) {
		rng := someRandom(rt)
		values := map[string]uint64{}
		for range 1 + rng.IntN(rapid.SampledFrom([]int{1, 5, 300}).Draw(rt, "terms")) {
			values[randomKey(rng)] = rng.Uint64() >> rng.IntN(64)
		}
		encoded := encodeFST(&b, values)
		require.Equal(rt, encodeVellum(rt, values), encoded)
		requireFST(rt, encoded, values)

		var shared bytes.Buffer
		v, err := vellum.New(&shared, nil)
		require.NoError(rt, err)
		for _, key := range slices.Sorted(maps.Keys(values)) {
			require.NoError(rt, v.Insert([]byte(key), values[key]))
		}
		require.NoError(rt, v.Close())
		requireFST(rt, shared.Bytes(), values)
	})
}

// States of every size: those with more transitions than fit into the first byte, and with exactly 256.
func TestFSTOfWideStates(t *testing.T) {
	var b fstBuilder
	for _, n := range []int{1, 2, 62, 63, 64, 65, 127, 128, 255, 256} {
		for _, last := range []uint64{0, 1, 255, 256, math.MaxUint32, math.MaxUint64} {
			values := map[string]uint64{"k": last}
			for i := range n {
				values["k"+string([]byte{byte(i)})] = uint64(i) * (last / 256)
				values["k"+string([]byte{byte(255 - i)})+"tail"] = last - uint64(i)%(last|1)
			}
			encoded := encodeFST(&b, values)
			require.Equal(t, encodeVellum(t, values), encoded, "%d transitions up to %d", n, last)
			requireFST(t, encoded, values)
		}
	}
}

// Whatever the bytes are, reading them ends, with an answer or an error, inside or outside a guard.
func TestFSTOfAnyBytes(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	values := map[string]uint64{}
	for i := range 40 {
		values[fmt.Sprintf("order:%d", i*i*i)] = uint64(i)
		values[fmt.Sprintf("%c", byte(i*6))] = uint64(i) << 40
	}
	var b fstBuilder
	whole := bytes.Clone(encodeFST(&b, values))
	for range 20_000 {
		bad := bytes.Clone(whole)
		for range 1 + rng.IntN(4) {
			bad[rng.IntN(len(bad))] = byte(rng.Uint32())
		}
		bad = bad[:len(bad)-rng.IntN(2)*rng.IntN(len(bad))]
		f, err := openFST(bad)
		if err != nil {
			continue
		}
		require.NotPanics(t, func() {
			_ = f.walk(1000, func([]byte, uint64) error { return nil })
			for key := range values {
				_, _, _ = f.get([]byte(key))
			}
		}, "seed %d", seed)
	}
}
