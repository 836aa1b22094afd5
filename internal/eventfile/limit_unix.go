//go:build unix

package eventfile

import "golang.org/x/sys/unix"

// maxOpenPacks is how many packs are kept open: a quarter of the descriptors that the process may have, and what ten million events have twice over.
// An open pack takes a descriptor and about 8 KiB for its table.
func maxOpenPacks() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 64
	}
	return int(min(max(uint64(l.Cur)/4, 8), 2048))
}
