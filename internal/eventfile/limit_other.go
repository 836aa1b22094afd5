//go:build !unix

package eventfile

// maxOpenPacks is how many packs are kept open.
func maxOpenPacks() int { return 512 }
