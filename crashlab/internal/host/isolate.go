//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Memory is where the isolated process has a file system in memory of its own.
const Memory = "/dev/shm"

const isolatedEnv = "OPOSSUM_CRASHLAB_ISOLATED"

// Isolate runs this program again in namespaces of its own, and reports whether this is that process. There, mounts are private, Memory is empty,
// and the process is the parent of all: whatever way it ends, the kernel ends every child, unmounts every file system and frees every loop device that
// was made in there. In the outer process it returns the exit status when all that has happened.
func Isolate() (inside bool, status int, err error) {
	if os.Getenv(isolatedEnv) != "" {
		return true, 0, settleIn()
	}
	self, err := os.Executable()
	if err != nil {
		return false, 1, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), isolatedEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// The death signal is sent when the thread ends that started the process: this one must live as long as the program.
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return false, 1, fmt.Errorf("the crash lab needs namespaces of its own, as root: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if s := exit.Sys().(syscall.WaitStatus); s.Signaled() {
			return false, 128 + int(s.Signal()), nil
		}
		return false, exit.ExitCode(), nil
	}
	return false, 0, err
}

// settleIn makes the inside of the namespaces.
func settleIn() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("crashlab", Memory, "tmpfs", 0, "size=80%"); err != nil {
		return fmt.Errorf("mount %s: %w", Memory, err)
	}
	return nil
}
