package storage

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// System is what the system says of the disk under a directory. What it does not say is empty or nil; overlays, network file systems and
// containers hide much.
type System struct {
	FileSystem string `json:"fileSystem"` // its type, as in "ext4", "nfs4", "tmpfs"
	Device     string `json:"device"`     // its block device, as in "vda1", or else what is mounted, as in "server:/export"
	Rotational *bool  `json:"rotational"` // whether it has turning platters; virtual disks often say so without
	WriteCache string `json:"writeCache"` // "write back": volatile, and every flush has to empty it; "write through"; ""
	FUA        *bool  `json:"fua"`        // whether one write can go past the cache by itself (Force Unit Access)
}

// The words of the kernel for write caches.
const (
	writeBack    = "write back"
	writeThrough = "write through"
)

// mount is a line of /proc/self/mountinfo.
type mount struct {
	device     string // major:minor, as stat says it of what is there, except on btrfs; major 0: of no block device
	fileSystem string
	source     string
}

// parseMount returns the mount with an id from the text of /proc/self/mountinfo.
func parseMount(mountinfo string, id int) (mount, bool) {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), " ") // not Fields: a source may be empty
		if fields[0] != strconv.Itoa(id) || len(fields) < 6 {
			continue
		}
		for i, f := range fields[6:] { // any number of optional fields, and a dash
			if rest := fields[6+i+1:]; f == "-" && len(rest) >= 2 {
				return mount{fields[2], unescape(rest[0]), unescape(rest[1])}, true
			}
		}
	}
	return mount{}, false
}

// unescape resolves the escapes of mountinfo: a backslash and three octal digits are a byte. What is no UTF-8 then is replaced.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// parseMountID returns the id of the mount that an open file is in from the text of its file in /proc/self/fdinfo.
func parseMountID(fdinfo string) (int, bool) {
	for line := range strings.Lines(fdinfo) {
		if value, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			id, err := strconv.Atoi(strings.TrimSpace(value))
			return id, err == nil
		}
	}
	return 0, false
}

// parseFlag reads a file of sysfs that is 0 or 1; nil: it is neither.
func parseFlag(text string) *bool {
	switch text = strings.TrimSpace(text); text {
	case "0", "1":
		yes := text == "1"
		return &yes
	}
	return nil
}

// parseCache reads queue/write_cache of a device.
func parseCache(text string) string {
	switch text = strings.TrimSpace(text); text {
	case writeBack, writeThrough:
		return text
	}
	return ""
}

// blockDevice returns major:minor of a mount if it is that of a block device: those without have the major number 0.
func (m mount) blockDevice() (string, bool) {
	return m.device, m.device != "" && !strings.HasPrefix(m.device, "0:")
}

// describeDevice fills in what sysfs, mounted at sys, says of the block device with the numbers major:minor.
func (s *System) describeDevice(sys, device string) {
	s.Device = device
	path, err := filepath.EvalSymlinks(filepath.Join(sys, "dev", "block", device))
	if err != nil {
		return // no sysfs, as in some containers
	}
	s.Device = filepath.Base(path)
	queue := filepath.Join(path, "queue")
	if _, err := os.Stat(queue); err != nil { // a partition has none: it is in the directory of its disk
		queue = filepath.Join(filepath.Dir(path), "queue")
	}
	read := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(queue, name)) // an older kernel does not have it: it says nothing
		return string(text)
	}
	s.Rotational = parseFlag(read("rotational"))
	s.WriteCache = parseCache(read("write_cache"))
	s.FUA = parseFlag(read("fua"))
}
