//go:build !crashlab || !linux

package step

import "os"

// Do makes the change of a kind at path, for changes that have no function of their own here. Compiled, it is the call of change.
func Do(_ Kind, _ string, change func() error) error { return change() }

// RemoveAll removes what is at path and below, if there is anything.
func RemoveAll(path string) error { return os.RemoveAll(path) }
