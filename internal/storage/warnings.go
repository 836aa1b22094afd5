package storage

import (
	"fmt"
	"strings"
	"time"
)

// implausible is a median below which no device can have been asked: whatever the medium, a block has to reach it and its answer has to come
// back, which takes more than that on the fastest buses.
const implausible = 10 * time.Microsecond

// networked are the file systems that another machine serves.
var networked = map[string]bool{
	"9p": true, "afs": true, "beegfs": true, "ceph": true, "cifs": true, "gpfs": true, "lustre": true, "ncpfs": true, "nfs": true, "nfs4": true,
	"orangefs": true, "smb3": true, "smbfs": true, "vboxsf": true, "virtiofs": true,
}

// inMemory are the file systems that have no disk.
var inMemory = map[string]bool{"devtmpfs": true, "ramfs": true, "rootfs": true, "tmpfs": true}

// copying are the file systems that never write where something is: what was written beforehand saves them nothing.
var copying = map[string]bool{"bcachefs": true, "btrfs": true, "nilfs2": true, "zfs": true}

// CopiesOnWrite says that the file system writes what overwrites something to another place.
func (m Measurement) CopiesOnWrite() bool { return copying[m.FileSystem] }

// Unfit says why the file system is none for a store, whatever it takes to flush; "" if nothing is known against it.
func (m Measurement) Unfit() string {
	switch {
	case inMemory[m.FileSystem]:
		return m.FileSystem + " is memory: nothing here survives a power cut or a restart of the machine."
	case networked[m.FileSystem]:
		return m.FileSystem + " is served by another machine, and what a flush and a lock mean is up to that one: nothing is promised there."
	case m.FileSystem == "fuse" || strings.HasPrefix(m.FileSystem, "fuse."):
		return m.FileSystem + " is served by a program, maybe over a network, and what a flush means is up to that one: nothing is promised there."
	}
	return ""
}

// Warnings says in sentences what speaks against keeping events there; none if nothing is known against it. A write-back cache is no reason: every
// flush empties it, with or without FUA.
//
// That there is none proves nothing: a device that acknowledges flushes and does not do them cannot be seen from inside.
func (m Measurement) Warnings() []string {
	var out []string
	if reason := m.Unfit(); reason != "" {
		out = append(out, reason)
	}
	if inMemory[m.FileSystem] {
		return out // it is quick because of what it is
	}
	switch measured := m.Flushes > 0; {
	case measured && m.Median < implausible:
		out = append(out, fmt.Sprintf("A flush took %v, and no device can answer so fast: either what is written to is memory that a power cut does not touch, "+
			"or flushes are acknowledged and not done. That cannot be told from inside.", m.Median))
	case measured && m.Class == NVMe && m.Rotational != nil && *m.Rotational:
		out = append(out, fmt.Sprintf("The system says that %s has turning platters, which take milliseconds, and a flush took %v: either it is a virtual disk that "+
			"only says so, or its cache is protected against power cuts, or flushes do not reach the platters. That cannot be told from inside.",
			m.Device, m.Median.Round(time.Microsecond)))
	}
	return out
}
