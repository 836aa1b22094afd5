//go:build !linux

package harness

import "time"

// sleeper waits until a step of a schedule is due, which nothing but the clock can say, as exactly as Go's timers do.
type sleeper struct{}

func newSleeper() sleeper { return sleeper{} }

func (sleeper) until(at time.Time) { time.Sleep(time.Until(at)) }

func (sleeper) close() {}
