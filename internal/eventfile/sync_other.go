//go:build !linux

package eventfile

import "errors"

func syncfsReports() bool { return false }

func (s *Store) syncfs() error { return errors.ErrUnsupported }
