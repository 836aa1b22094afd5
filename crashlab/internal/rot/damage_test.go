package rot

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/internal/workload"
)

func TestDamagesFitFilesOfAnySizeAndChangeMost(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1))
			changed := 0
			for range 300 {
				was := make([]byte, r.IntN(3)*r.IntN(6000)/8*8)
				workload.Fill(r, was)
				if !bytes.Equal(was, d.do(r, bytes.Clone(was))) {
					changed++
				}
			}
			require.Greater(t, changed, 50)
		})
	}
}

func TestFilesAreToldApart(t *testing.T) {
	for path, want := range map[string]string{
		"ledger.json": "ledger", "LOCK": "lock", "wal/ACKED": "acked", "wal/00000001/00000000000000000001": "log",
		"events/0000/1.json": "events", "index/1-9.idx": "index", "packs/1-9.pack": "packs", "quarantine/x": "quarantine", "events.tmp": "", "wal/00000002.tmp/1": "",
		"projections/lists/%4b.json": states, "projections/lists/index.jsonl": indexLogs, "projections/.lock": "",
	} {
		require.Equal(t, want, kindOf(path), path)
	}
}
