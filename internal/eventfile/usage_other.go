//go:build !unix

package eventfile

import "io/fs"

func allocated(info fs.FileInfo) int64 { return info.Size() }
