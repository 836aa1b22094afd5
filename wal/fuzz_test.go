package wal

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzScan: whatever the bytes are, the scan is sound in itself, and what it believes it would believe again.
func FuzzScan(f *testing.F) {
	b := small()
	f.Add(b, false)
	f.Add(b[:len(b)-3], false)
	f.Add(append(bytes.Clone(b), make([]byte, 80)...), true)
	f.Add(append(b[100:len(b):len(b)], b...), true)
	f.Add((&forge{id: testID, gen: smallGen}).header().commit(1, 1, "x").b, true)
	f.Add([]byte("OSUM"), true)
	f.Fuzz(func(t *testing.T, b []byte, reseal bool) {
		if reseal {
			b = sealAll(bytes.Clone(b))
		}
		s := Scan(b, testID, smallGen)
		require.Equal(t, int64(len(b)), s.Size+s.Room)
		require.Equal(t, s.Room > 0, zeroesAtEnd(b[s.Size:]) > 0)
		require.LessOrEqual(t, s.Valid, s.Size)
		require.Equal(t, s.Valid == s.Size, s.Stop == nil)
		end, next := s.Valid, s.Base
		for _, c := range s.Commits {
			require.Equal(t, next, c.First)
			require.Equal(t, b[c.BodyOffset:c.End], c.Body)
			next = c.Last() + 1
		}
		if n := len(s.Commits); n > 0 {
			require.Equal(t, end, s.Commits[n-1].End)
		}
		for _, l := range s.Later {
			require.Greater(t, l.Offset, end-1)
			require.LessOrEqual(t, l.End, s.Size)
			end = l.End
		}
		again := Scan(b[:s.Valid], testID, smallGen)
		require.NoError(t, again.Stop)
		requirePrefix(t, s, again, int(s.LastNo()))
	})
}

// sealAll gives whatever stands where frames would stand a right sum, so that fuzzing reaches what lies behind it.
func sealAll(b []byte) []byte {
	for rest := b; ; {
		entry, size, err := nextEntry(rest)
		if err != nil {
			return b
		}
		binary.LittleEndian.PutUint64(entry[64:], frameSum(entry, testID, smallGen, binary.LittleEndian.Uint64(entry[16:])))
		rest = rest[size:]
	}
}

func FuzzDecodeAcked(f *testing.F) {
	f.Add(Acked{Gen: 1, Offset: 2, Position: 3}.encode(testID))
	f.Add(make([]byte, ackedBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a := decodeAcked(b, testID); a != (Acked{}) {
			require.Equal(t, b[8:32], a.encode(testID)[8:32])
		}
		if len(b) == ackedBytes { // behind the sum
			b = bytes.Clone(b)
			binary.LittleEndian.PutUint32(b, ackedMagic)
			binary.LittleEndian.PutUint64(b[ackedBytes-8:], ackedSum(b[:ackedBytes-8], testID))
			require.Equal(t, b[8:32], decodeAcked(b, testID).encode(testID)[8:32])
		}
	})
}

func FuzzIdentityOf(f *testing.F) {
	f.Add(small())
	f.Add((&forge{id: otherID, gen: smallGen}).header().b)
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := IdentityOf(b, smallGen)
		if err == nil {
			s := Scan(b, id, smallGen)
			require.True(t, s.Header || s.Stop != nil)
		}
	})
}
