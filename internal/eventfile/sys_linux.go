package eventfile

import "golang.org/x/sys/unix"

// uninterrupted repeats a system call that a signal has interrupted, as package os does: some file systems let the signals
// of the Go runtime through.
func uninterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
