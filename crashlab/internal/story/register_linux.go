package story

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/host"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/lab"
)

// registrations registers n addresses, one after the other. Each time the power is cut as soon as that is acknowledged; then others want the address.
// Without syncing it may be lost, and some must be.
func registrations(fs host.FileSystem, env lab.Env, r *rand.Rand, name string, n int) (t lab.Tally, err error) {
	shape, err := invariant.ShapeOf(name)
	if err != nil {
		return t, err
	}
	ends := map[end]int{}
	err = onDisk(fs, env, func(disk *host.Disk) error {
		for i := range n {
			c := draw(r, i)
			said, err := chapterOn(disk, env.Worker, shape.Name, c)
			if err != nil {
				return err
			}
			e := read(said)
			ends[e]++
			t.Meet(string(e))
			switch {
			case e == kept:
				t.Crash(1)
				continue
			case e == lost && shape.Relaxed():
				t.Crash(0)
				continue
			}
			t.Find(fmt.Sprintf("registration %d, %+v", i+1, c.first), fmt.Sprintf("after the power cut others, and the one who had it, got %q", said))
			return nil
		}
		return nil
	})
	if err == nil && shape.Relaxed() && ends[lost] == 0 && len(t.Findings) == 0 {
		t.Find(fmt.Sprintf("%d registrations", n), "none was lost, though nothing was synced: the test cannot see the difference")
	}
	return t, err
}

// chapterOn registers an address, cuts the power, and returns what came of registering it again.
func chapterOn(disk *host.Disk, worker, shape string, c chapter) ([]string, error) {
	task := child.Task{Do: child.Register, Dir: filepath.Join(disk.Dir, "store"), Shape: shape}
	task.Registrations = []child.Registration{c.first}
	said, err := outcomes(worker, task, disk.Cut)
	if err != nil || !slices.Equal(said, []string{child.Registered}) {
		return said, err
	}
	if err := restart(disk); err != nil {
		return nil, err
	}
	task.Registrations = c.again
	return outcomes(worker, task, func() error { return nil })
}

// outcomes runs a child until it has reported the outcome of each registration, or an error, or its end; then end, and then the child is killed.
func outcomes(worker string, t child.Task, end func() error) ([]string, error) {
	p, err := child.Start(worker, t)
	if err != nil {
		return nil, err
	}
	defer time.AfterFunc(child.Patience, func() { _ = p.Quit() }).Stop()
	var out []string
	for len(out) < len(t.Registrations) {
		line, ok := p.Next(nil)
		if !ok {
			return append(out, fmt.Sprintf("it ended: %v", p.Wait())), nil
		}
		switch word, _, _ := strings.Cut(line, " "); word {
		case child.Registered, child.Taken:
			out = append(out, line)
		case "error":
			return append(out, line), p.Kill()
		}
	}
	return out, errors.Join(end(), p.Kill())
}
