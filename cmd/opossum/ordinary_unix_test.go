//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// ordinary is the script command `ordinary N PROGRAM ARGS...`: status, as a user whom permissions bind, even if the tests
// run as root.
func ordinary(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: ordinary N PROGRAM ARGS...")
	}
	program, err := exec.LookPath(args[1])
	ts.Check(err)
	cmd := exec.Command(program, args[2:]...)
	if os.Getuid() == 0 {
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		for _, private := range []string{filepath.Dir(filepath.Dir(program)), filepath.Dir(ts.Getenv("WORK"))} {
			ts.Check(os.Chmod(private, 0o755)) // temporary directories, which only root may enter
		}
	}
	expect(ts, args[0], cmd)
}
