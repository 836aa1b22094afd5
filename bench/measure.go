package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"opossum/bench/harness"
)

// lab is where the results are measured.
type lab struct {
	dir      string
	programs map[string]string // which makes the jobs of a way
	size     size
	progress io.Writer
	began    time.Time
	results  results
}

// measure hands over what was measured, also what was before an error, and then removes what the jobs have left: that may take minutes.
func (s settings) measure(ctx context.Context, progress io.Writer, report func(results) error) (err error) {
	l := &lab{size: full, progress: progress, began: time.Now(), programs: map[string]string{}}
	if s.quick {
		l.size = quick
	}
	_, statErr := os.Stat(s.dir)
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	if errors.Is(statErr, fs.ErrNotExist) {
		defer func() { err = errors.Join(err, os.Remove(s.dir)) }()
	}
	if l.dir, err = os.MkdirTemp(s.dir, "run-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(l.dir)) }()
	environment, err := harness.Inspect(s.dir)
	if err != nil && !(s.withMemory && errors.Is(err, harness.ErrNoDisk)) {
		return err
	}
	l.results = results{Version: resultsVersion, Environment: environment, Commit: commit(ctx), Began: l.began.UTC(), Quick: s.quick}
	w, remove, err := l.findWays(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	for _, e := range experiments() {
		if len(s.only) > 0 && !slices.Contains(s.only, e.name) {
			continue
		}
		for _, group := range e.groups(l.size, w) {
			err := l.group(ctx, e, group)
			l.results.Took = time.Since(l.began)
			if err != nil {
				l.results.Broken = err.Error()
				return errors.Join(err, report(l.results))
			}
		}
	}
	return report(l.results)
}

// group makes the jobs in turn, round after round: a disk that is slow for a minute is then slow for all of them.
func (l *lab) group(ctx context.Context, e experiment, jobs []harness.Job) error {
	cells := make([]cell, len(jobs))
	for i, j := range jobs {
		cells[i] = cell{Experiment: e.name, Job: j}
	}
	rounds := l.size.rounds
	if e.rounds > 0 {
		rounds = min(rounds, e.rounds)
	}
	for round := range rounds {
		for i := range cells {
			c := &cells[i]
			if c.Failed != "" {
				continue
			}
			fmt.Fprintf(l.progress, "%s  %s, round %d of %d: %s\n", time.Since(l.began).Truncate(time.Second), e.name, round+1, rounds, c.Job)
			outcome, err := l.job(ctx, c.Job)
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil && isRival(c.Job.Way):
				c.Failed, c.Rounds = err.Error(), nil
				fmt.Fprintf(l.progress, "  failed: %v\n", err)
			case err != nil:
				return err
			default:
				c.Rounds = append(c.Rounds, outcome)
			}
		}
	}
	l.results.Cells = append(l.results.Cells, cells...)
	return nil
}

// job has a job made in a directory of its own or in one that it shares, for so long at most: no store may keep the others from being measured.
func (l *lab) job(ctx context.Context, j harness.Job) (outcome harness.Outcome, err error) {
	dir, leave, err := l.place(j)
	if err != nil {
		return outcome, err
	}
	defer func() { err = errors.Join(err, leave()) }()
	ctx, cancel := context.WithTimeoutCause(ctx, l.size.jobAtMost, fmt.Errorf("given up after %v", l.size.jobAtMost))
	defer cancel()
	if j.Fill != nil { // what is of interest is the open after it
		opened, err := harness.OpenAfter(ctx, l.programs[j.Way], dir, j.Way, *j.Fill)
		return harness.Outcome{Open: &opened}, err
	}
	return j.Run(ctx, l.programs[j.Way], dir)
}

// place returns the directory of a job, and what to do there when it has ended.
func (l *lab) place(j harness.Job) (dir string, leave func() error, err error) {
	if j.Shared != "" {
		dir = filepath.Join(l.dir, "shared-"+j.Shared)
		return dir, func() error { return nil }, os.MkdirAll(dir, 0o755)
	}
	dir, err = os.MkdirTemp(l.dir, "job-")
	return dir, func() error { return thin(dir) }, err
}

// largeFile is the size from which on a file is removed when its job has ended. Small files stay until the end: on ext4 new ones cost ten times as much as usual for
// minutes after many were deleted, which the next jobs would pay for. But logs and databases would fill the disk.
const largeFile = 64 << 10

// thin removes the large files of a directory.
func thin(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() < largeFile {
			return err
		}
		return os.Remove(path)
	})
}

// peersModule is where the rivals are: a module of its own, so that nothing of theirs reaches whoever embeds opossum.
const peersModule = "bench/peers"

// findWays builds the program of the rivals and asks it what it has. The returned function removes it.
func (l *lab) findWays(ctx context.Context) (w ways, remove func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return w, nil, err
	}
	dir, err := os.MkdirTemp("", "opossum-bench-")
	if err != nil {
		return w, nil, err
	}
	remove = func() error { return os.RemoveAll(dir) }
	peers := filepath.Join(dir, "peers")
	fmt.Fprintln(l.progress, "building the rivals: this takes minutes the first time")
	root, err := moduleRoot(ctx)
	if err == nil {
		err = command(ctx, "go", "build", "-C", filepath.Join(root, peersModule), "-o", peers, "./cell")
	}
	var rivals []harness.Way
	if err == nil {
		rivals, err = harness.WaysOf(ctx, peers)
	}
	if err != nil {
		return w, nil, errors.Join(fmt.Errorf("the rivals: %w", err), remove())
	}
	l.programs[""] = self // jobs that need no way
	for _, way := range own() {
		l.programs[way.Name] = self
	}
	for _, way := range rivals {
		l.programs[way.Name] = peers
	}
	l.results.Ways = append(own(), rivals...)
	return divide(rivals), remove, nil
}

// divide sorts all ways by what they can do.
func divide(rivals []harness.Way) ways {
	w := ways{stores: []string{"opossum"}, plain: []string{"opossum"}}
	for _, way := range own() {
		if !strings.HasPrefix(way.Name, "opossum-") {
			w.files = append(w.files, way.Name)
		}
	}
	for _, way := range rivals {
		if way.Store {
			w.stores = append(w.stores, way.Name)
		} else {
			w.plain = append(w.plain, way.Name)
		}
	}
	return w
}

// shared are those of the ways of files in which appends that wait share a sync.
func shared(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.HasPrefix(name, "file-per-event") })
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "opossum").Output()
	root := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("find opossum's source, by running this in a clone of it: %w", err)
	}
	return root, nil
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// commit names what is measured: the source it was built from.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty=+", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
