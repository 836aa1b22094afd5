//go:build !linux

package eventfile

import (
	"testing"
	"time"

	"opossum/dcb"
)

// ways are the ways of writing that this system has.
var ways = map[string]func(*Store){"renamed": func(*Store) {}}

// requireUnread does nothing here: not every system records the times of reads.
func requireUnread(*testing.T, *Store, time.Time, dcb.Position, dcb.Position) {}
