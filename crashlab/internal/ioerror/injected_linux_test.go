package ioerror

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryStepOfEveryVariantHasItsTurn(t *testing.T) {
	seen := map[[2]uint64]bool{}
	index := uint64(0)
	for ; ; index++ {
		k, variant, ok := place(index)
		if !ok {
			break
		}
		seen[[2]uint64{k, variant}] = true
	}
	require.EqualValues(t, steps*variants, index)
	require.Len(t, seen, int(index))
}

func TestErrorsThatMustNotPassUnnoticed(t *testing.T) {
	for step, want := range map[string]bool{
		"step 3 sync instead /s/wal/00000001/00000000000000000001":     true,
		"step 3 write instead /s/wal/00000001":                         true,
		"step 3 write instead /s/wal/ACKED":                            true,
		"step 3 sync instead /s/ledger.json.tmp":                       true,
		"step 3 sync instead /s/events":                                true,
		"step 3 sync instead /s/wal/00000002.tmp/00000000000000000001": false,
		"step 3 sync instead /s/wal/00000001":                          false, // a sealed generation is closed
		"step 3 write instead /s/wal/00000002.tmp":                     false,
		"step 3 write instead 00000000000000000007.json":               false,
		"step 3 sync instead /s/index/.tmp-1":                          false,
		"step 3 write instead /s/ledger.json.tmp":                      false,
		"step 3 rename instead /s/ledger.json":                         false,
	} {
		require.Equal(t, want, vital(step), step)
	}
}
