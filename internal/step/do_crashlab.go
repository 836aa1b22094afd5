//go:build crashlab && linux

package step

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// order is what OPOSSUM_STEP says, as JSON. Steps of the Kinds (none: of all) on a path that matches the regular expression Path are counted from 0, and
// something is done at the step number At:
//
//	kill    the process reports the step and dies, by SIGKILL, before or after it
//	report  the process reports the step and never goes on from there, while others do
//	error   the step is not made: it fails with Errno, and the process reports it; with Sticky, and so do all that follow
//	trace   every step is reported, At means nothing
//
// Without the variable nothing is done. A report is one line, "step <number> <kind> <before|after|instead> <path>", in one write to file descriptor 3; the path may be
// a base name.
type order struct {
	At     uint64 `json:"at"`
	When   string `json:"when"`
	Do     string `json:"do"`
	Errno  string `json:"errno"`
	Kinds  []Kind `json:"kinds"`
	Path   string `json:"path"`
	Sticky bool   `json:"sticky"`

	errno unix.Errno
	paths *regexp.Regexp
	taken *atomic.Uint64
	tell  func(k uint64, kind Kind, when, path string)
}

const (
	before  = "before"
	after   = "after"
	instead = "instead"
)

var ordered = must(parse(os.Getenv("OPOSSUM_STEP")))

// must: a lab that is misunderstood would find nothing.
func must(o order, err error) order {
	if err != nil {
		panic(fmt.Sprintf("OPOSSUM_STEP: %v", err))
	}
	return o
}

func parse(text string) (order, error) {
	o := order{taken: new(atomic.Uint64), tell: report}
	if text == "" {
		return o, nil
	}
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return o, err
	}
	var err error
	if o.paths, err = regexp.Compile(o.Path); err != nil {
		return o, err
	}
	switch o.Do {
	case "kill", "report":
		if o.When != before && o.When != after {
			return o, fmt.Errorf("when is %q", o.When)
		}
	case "error":
		for o.errno = 1; unix.ErrnoName(o.errno) != o.Errno; o.errno++ {
			if o.errno > 200 {
				return o, fmt.Errorf("there is no error %q", o.Errno)
			}
		}
	case "trace":
	default:
		return o, fmt.Errorf("do is %q", o.Do)
	}
	return o, nil
}

// Do makes the change of a kind at path, for changes that have no function of their own here, or does what was ordered.
func Do(kind Kind, path string, change func() error) error {
	if see := watcher.Load(); see != nil {
		if err := (*see)(kind, path); err != nil {
			return err
		}
	}
	return ordered.do(kind, path, change)
}

// RemoveAll removes what is at path and below, if there is anything. Each name that goes is a step.
func RemoveAll(path string) error {
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := RemoveAll(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (o order) do(kind Kind, path string, change func() error) error {
	if o.Do == "" || len(o.Kinds) > 0 && !slices.Contains(o.Kinds, kind) || !o.paths.MatchString(path) {
		return change()
	}
	k := o.taken.Add(1) - 1
	switch {
	case o.Do == "trace":
		o.tell(k, kind, before, path)
	case o.Do == "error" && (k == o.At || o.Sticky && k > o.At):
		if k == o.At {
			o.tell(k, kind, instead, path)
		}
		return &fs.PathError{Op: string(kind), Path: path, Err: o.errno}
	case o.Do != "error" && k == o.At:
		if o.When == before {
			o.stop(k, kind, path)
		}
		err := change()
		if o.When == after {
			o.stop(k, kind, path)
		}
		return err
	}
	return change()
}

// stop does not return.
func (o order) stop(k uint64, kind Kind, path string) {
	o.tell(k, kind, o.When, path)
	if o.Do == "kill" {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	select {}
}

func report(k uint64, kind Kind, when, path string) {
	if _, err := unix.Write(3, fmt.Appendf(nil, "step %d %s %s %s\n", k, kind, when, path)); err != nil {
		panic(fmt.Sprintf("report a step: %v", err)) // nobody is there to read it
	}
}
