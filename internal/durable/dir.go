// Package durable makes names durable: what a directory lists survives a power cut.
package durable

import (
	"errors"
	"os"
	"runtime"
)

// Dir makes the names in a directory durable: files created, renamed and removed there so far. Windows has no such call; the README says
// what is not promised there. The error names the path.
func Dir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
