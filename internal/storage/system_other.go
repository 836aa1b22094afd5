//go:build !linux

package storage

import "os"

// Describe returns what the system says of the disk under dir, which is nothing here. The error is that of looking at dir.
func Describe(dir string) (System, error) {
	_, err := os.Stat(dir)
	return System{}, err
}
