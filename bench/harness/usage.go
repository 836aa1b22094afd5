package harness

import (
	"runtime"
	"time"
)

// usage is what the process has used since it began.
type usage struct {
	cpu        time.Duration
	allocs     uint64
	allocBytes uint64
}

func readUsage() usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{cpu: cpuTime(), allocs: m.Mallocs, allocBytes: m.TotalAlloc}
}

func (u usage) since(before usage) usage {
	return usage{u.cpu - before.cpu, u.allocs - before.allocs, u.allocBytes - before.allocBytes}
}
