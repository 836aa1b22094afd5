//go:build !linux

package harness

import (
	"errors"
	"fmt"
)

// forgetFiles has no counterpart here.
func forgetFiles() error {
	return fmt.Errorf("the caches cannot be dropped: %w", errors.ErrUnsupported)
}
