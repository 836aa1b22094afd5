package harness

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper waits for moments more exactly than Go's timers do, which are up to a millisecond late when all processors rest: several times
// the latency that is to be measured. It has a thread of its own for as long as it lives.
type sleeper struct{}

func newSleeper() sleeper {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // nanoseconds; if refused, 50 us late
	return sleeper{}
}

func (sleeper) until(at time.Time) {
	for rest := time.Until(at); rest > 0; rest = time.Until(at) {
		t := unix.NsecToTimespec(int64(rest))
		_ = unix.Nanosleep(&t, nil) // a signal interrupts it, as Go's scheduler sends them: again
	}
}

func (sleeper) close() {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // the default again
	runtime.UnlockOSThread()
}
