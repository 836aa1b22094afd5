package blockdisk

import "bytes"

// Rule says what the disk refuses with an I/O error.
type Rule struct {
	Kind byte   // Write or Flush
	With string // only writes that contain this text; it tells a file's contents from the file system's own blocks
	Skip int    // so many pass first
	Once bool   // only one is refused, else all from then on
}

// Counts says what a rule has met since it was given.
type Counts struct {
	Passed  int
	Refused int
}

// refuses reports whether a write or flush is refused, and counts it in c.
func (r Rule) refuses(kind byte, data []byte, c *Counts) bool {
	if kind != r.Kind || !bytes.Contains(data, []byte(r.With)) {
		return false
	}
	if c.Passed < r.Skip || (r.Once && c.Refused > 0) {
		c.Passed++
		return false
	}
	c.Refused++
	return true
}
