package storage

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Describe returns what the system says of the disk under dir. It changes nothing. What cannot be found out is left open; the error is that of
// opening dir.
func Describe(dir string) (System, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return System{}, err
	}
	defer f.Close()
	// The kernel itself says which mount an open file is in: the longest path goes wrong where mounts hide each other, and the device number on
	// btrfs, where each subvolume has one of its own.
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", f.Fd()))
	if err != nil {
		return System{}, nil
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return System{}, nil
	}
	id, ok := parseMountID(string(info))
	if !ok {
		return System{}, nil
	}
	m, ok := parseMount(string(mounts), id)
	if !ok {
		return System{}, nil
	}
	s := System{FileSystem: m.fileSystem, Device: m.source}
	device, ok := m.blockDevice()
	if !ok { // btrfs, for which source is the device, or one of them
		device, ok = numbers(m.source)
	}
	if ok {
		s.describeDevice("/sys", device)
	}
	return s, nil
}

// numbers returns major:minor of the block device at path, if there is one.
func numbers(path string) (string, bool) {
	var st unix.Stat_t
	if !strings.HasPrefix(path, "/") || unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return "", false
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)), true
}
