package powercut

import (
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/crashlab/internal/lab"
	"opossum/internal/workload"
)

func TestLivesMeetEverything(t *testing.T) {
	met := map[string]bool{}
	for index := range uint64(60) { // as many as CI runs, about
		l := draw(lab.Rand(1, index))
		met[l.shape] = true
		met["one cycle"] = met["one cycle"] || len(l.cycles) == 1
		for _, c := range l.cycles {
			met["cut after "+c.cut.report] = true
			met["large"] = met["large"] || c.append.First > workload.Large
			met["cut after trimming"] = met["cut after trimming"] || c.cut.trim
			met["assured"] = met["assured"] || c.append.Assure > 0
			met["at once"] = met["at once"] || c.cut.after == 0
			met["recovery cut twice"] = met["recovery cut twice"] || len(c.recovery) > 1
			met["killed"] = met["killed"] || c.settle == killed
			met["cut off"] = met["cut off"] || c.settle == cutOff
			met["beside"], met["deep"], met["after"] = met["beside"] || c.beside, met["deep"] || c.deep, met["after"] || c.after
			met["another"] = met["another"] || c.another != 0
			met["written back"] = met["written back"] || c.writeBack
		}
	}
	for _, what := range []string{
		"small", "default", "immediate", "auto", "periodic", "count", "disabled", "disabled-small", "assured", "one cycle", "cut after ack", "cut after begin", "cut after closing", "cut after done", "large", "cut after trimming", "at once",
		"recovery cut twice", "killed", "cut off", "beside", "deep", "after", "another", "written back",
	} {
		require.True(t, met[what], what)
	}
}

func TestLivesOfReadModelsMeetEverything(t *testing.T) {
	met := map[string]bool{}
	for index := range uint64(60) {
		version := 1
		for _, c := range drawModels(lab.Rand(1, index)).cycles {
			p := c.append.Models
			met["cut after "+c.cut.report] = true
			met["another version"] = met["another version"] || p.Version > version
			require.GreaterOrEqual(t, p.Version, version, "they go on where the cycle before ended")
			version = p.Version
			met["fails"], met["pieces"], met["settled"] = met["fails"] || p.Fails, met["pieces"] || p.Pieces, met["settled"] || c.settled
			met["recovery cut"] = met["recovery cut"] || len(c.recovery) > 0 && c.recovery[0].report == "open"
			require.LessOrEqual(t, c.append.Writers*c.append.Appends, modelAppends)
			require.Less(t, c.append.First, uint64(workload.Large))
		}
	}
	for _, what := range []string{"cut after kept", "cut after ack", "cut after closing", "cut after done", "another version", "fails", "pieces", "settled", "recovery cut"} {
		require.True(t, met[what], what)
	}
}

func TestANumberIsUsedOnce(t *testing.T) {
	for index := range uint64(60) {
		used := map[uint64]bool{}
		for _, c := range draw(lab.Rand(1, index)).cycles {
			for w := range c.append.Writers {
				first := c.append.First + uint64(w)*workload.IDsPerWriter
				require.False(t, used[first])
				used[first] = true
			}
			require.Less(t, c.append.Appends, workload.IDsPerWriter)
			require.False(t, c.another != 0 && used[c.another])
			used[c.another] = true
		}
	}
}

func TestALifeIsThatOfItsNumbers(t *testing.T) {
	require.Equal(t, draw(lab.Rand(7, 3)), draw(lab.Rand(7, 3)))
	require.NotEqual(t, draw(lab.Rand(7, 3)), draw(lab.Rand(7, 4)))
}
