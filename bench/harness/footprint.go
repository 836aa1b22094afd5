package harness

import (
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// Footprint is the memory of the whole process, when garbage has been collected and given back to the system.
type Footprint struct {
	Heap uint64 `json:"heap_bytes"` // that Go holds
	// Resident is what the system counts: memory of libraries that are not Go and the touched pages of mapped files too. 0 where it cannot be told.
	Resident uint64 `json:"resident_bytes"`
}

func readFootprint() Footprint {
	debug.FreeOSMemory()
	return Footprint{Heap: heapBytes(), Resident: statusBytes(processStatus(), "VmRSS")}
}

func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Resident is the memory of the whole process as the system counts it, with nothing collected or given back for the occasion. All 0 where it cannot be told.
type Resident struct {
	Anon uint64 `json:"anon_bytes"` // of no file: what only the process itself can give back
	Most uint64 `json:"most_bytes"` // the most that was resident since the process began, with the touched pages of mapped files
}

func readResident() Resident {
	status := processStatus()
	return Resident{Anon: statusBytes(status, "RssAnon"), Most: statusBytes(status, "VmHWM")}
}

// statusBytes reads a size in a process's status (Linux, proc_pid_status(5)); 0 if it is not there.
func statusBytes(status, name string) uint64 {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kib, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}
