//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// allocated returns the size of the blocks that a file fills: for a small file much more than its content.
func allocated(info fs.FileInfo) int64 {
	const statBlock = 512 // the unit of st_blocks, whatever the file system's own block size
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Blocks) * statBlock
	}
	return info.Size()
}
