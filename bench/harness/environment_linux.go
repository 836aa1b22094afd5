package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// fileSystems names the magic numbers of statfs. It decides what lies in memory; mountinfo would do as well, but cannot
// be read in every container.
var fileSystems = map[uint32]string{
	unix.BTRFS_SUPER_MAGIC:     "btrfs",
	unix.EXT4_SUPER_MAGIC:      "ext4",
	unix.F2FS_SUPER_MAGIC:      "f2fs",
	unix.FUSE_SUPER_MAGIC:      "fuse",
	unix.NFS_SUPER_MAGIC:       "nfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlayfs",
	unix.RAMFS_MAGIC:           "ramfs",
	unix.TMPFS_MAGIC:           "tmpfs",
	unix.XFS_SUPER_MAGIC:       "xfs",
	0x2fc12fc1:                 "zfs",
}

func (e *Environment) inspect(dir string) error {
	path, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return err
	}
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return os.NewSyscallError("statfs", err)
	}
	var known bool
	if e.FileSystem, known = fileSystems[uint32(s.Type)]; !known {
		e.FileSystem = fmt.Sprintf("unknown (magic %#x)", s.Type)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		if m, found := findMount(string(mounts), path); found {
			e.Device, e.MountPoint, e.Options = m.device, m.point, m.options
		}
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		e.Kernel = text(u.Sysname[:]) + " " + text(u.Release[:])
	}
	if cpus, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		e.CPU = cpuModel(string(cpus), e.CPU)
	}
	return nil
}

// mount is a line of mountinfo.
type mount struct{ point, device, options string }

// findMount returns the mount that the absolute path lies on: the longest mount point above it, and of those mounted on top
// of each other the last.
func findMount(mountinfo, path string) (found mount, ok bool) {
	for line := range strings.Lines(mountinfo) {
		m, valid := parseMount(line)
		if valid && within(path, m.point) && len(m.point) >= len(found.point) {
			found, ok = m, true
		}
	}
	return found, ok
}

// parseMount reads "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS TAGS... - TYPE DEVICE SUPEROPTIONS"; there may be no tags.
func parseMount(line string) (m mount, ok bool) {
	left, right, found := strings.Cut(line, " - ")
	before, after := strings.Fields(left), strings.Fields(right)
	if !found || len(before) < 6 || len(after) < 3 {
		return m, false
	}
	return mount{point: unescape.Replace(before[4]), device: unescape.Replace(after[1]), options: before[5] + ";" + after[2]}, true
}

// unescape undoes what mountinfo does to the characters that would break its lines.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func within(path, point string) bool {
	return path == point || point == "/" || strings.HasPrefix(path, point+"/")
}

func text(zeroTerminated []byte) string {
	before, _, _ := bytes.Cut(zeroTerminated, []byte{0})
	return string(before)
}

func cpuModel(cpuinfo, otherwise string) string {
	for line := range strings.Lines(cpuinfo) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return otherwise
}
