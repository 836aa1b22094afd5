package harness

import (
	"strconv"
	"strings"
)

// Device counts what a block device was asked to do: by everybody, the file system's journal included, so nothing else may write meanwhile.
type Device struct {
	Bytes   uint64 `json:"bytes"`   // written
	Writes  uint64 `json:"writes"`  // requests
	Flushes uint64 `json:"flushes"` // of its cache; an fsync costs one or two, those of a group share it
}

func (d Device) since(before Device) Device {
	return Device{d.Bytes - before.Bytes, d.Writes - before.Writes, d.Flushes - before.Flushes}
}

// parseDevice reads the line of a block device's stat (Linux, Documentation/block/stat.rst): fields 5 and 7 are writes and sectors of
// 512 bytes written, field 16, since Linux 5.5, flushes.
func parseDevice(stat string) (d Device, ok bool) {
	fields := strings.Fields(stat)
	if len(fields) < 16 {
		return d, false
	}
	for field, to := range map[int]*uint64{4: &d.Writes, 6: &d.Bytes, 15: &d.Flushes} {
		n, err := strconv.ParseUint(fields[field], 10, 64)
		if err != nil {
			return Device{}, false
		}
		*to = n
	}
	d.Bytes *= 512
	return d, true
}
