package harness

import (
	"errors"
	"fmt"
	"runtime"
)

// ErrNoDisk says that a directory lies in memory, where a sync costs nothing and a figure means nothing.
var ErrNoDisk = errors.New("not on a disk")

// Environment says on what something was measured. What the system does not tell is "unknown".
type Environment struct {
	FileSystem string `json:"file_system"`
	Device     string `json:"device"`
	MountPoint string `json:"mount_point"`
	Options    string `json:"mount_options"`
	Kernel     string `json:"kernel"`
	CPU        string `json:"cpu"`
	Processors int    `json:"processors"` // that Go uses
	Go         string `json:"go"`
}

// Inspect describes the system and the disk that dir is on. It is an error that Is [ErrNoDisk] if dir lies in memory.
func Inspect(dir string) (Environment, error) {
	e := Environment{
		FileSystem: "unknown", Device: "unknown", MountPoint: "unknown", Options: "unknown",
		Kernel: runtime.GOOS, CPU: runtime.GOARCH,
		Processors: runtime.GOMAXPROCS(0),
		Go:         runtime.Version(),
	}
	if err := e.inspect(dir); err != nil {
		return e, fmt.Errorf("inspect %s: %w", dir, err)
	}
	switch e.FileSystem {
	case "tmpfs", "ramfs":
		return e, fmt.Errorf("%s is on %s, so a sync does nothing there: choose a directory on a disk: %w", dir, e.FileSystem, ErrNoDisk)
	}
	return e, nil
}

func (e Environment) String() string {
	return fmt.Sprintf("%s on %s (%s, mounted at %s), %s, %d x %s, %s",
		e.FileSystem, e.Device, e.Options, e.MountPoint, e.Kernel, e.Processors, e.CPU, e.Go)
}
