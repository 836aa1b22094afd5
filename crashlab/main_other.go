//go:build !linux

// Crashlab runs on Linux only: it mounts file systems and cuts their power.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "crashlab: it runs on Linux only, as root")
	os.Exit(1)
}
