//go:build !linux

package child

import "errors"

func limitFiles(uint64) error { return errors.New("files are limited on Linux only") }
