//go:build !linux

package eventfile

import (
	"errors"
	"io"
	"os"

	"opossum/dcb"
)

// readPosition returns the content of the file of p.
func (s *Store) readPosition(p dcb.Position, buf []byte) ([]byte, error) {
	return readRegular(s.Path(p), buf)
}

// readRegular returns the content of the regular file at path, in buf if that has room.
func readRegular(path string, buf []byte) ([]byte, error) {
	info, err := os.Lstat(path) // before it is opened, which would follow a link or wait for the other end of a pipe
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()                       // nothing was written: there is no error to report
	if info, err = f.Stat(); err != nil { // a rename may have replaced what Lstat saw
		return nil, err
	}
	if buf, err = room(buf, info.Size()); err != nil {
		return nil, err
	}
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return buf[:n], nil
}
