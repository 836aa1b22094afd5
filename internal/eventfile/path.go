package eventfile

import "opossum/dcb"

// Path returns the name of the file of p, whether or not it exists.
func (s *Store) Path(p dcb.Position) string { return s.path(p) }
