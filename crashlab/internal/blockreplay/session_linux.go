package blockreplay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"opossum"
	"opossum/crashlab/internal/blockdisk"
	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/host"
	"opossum/crashlab/internal/invariant"
	"opossum/internal/workload"
)

// patience is how long a recorded child may take.
const patience = 60 * time.Second

// session records a task on a copy of base, judges n states of the recording, and leaves one of them in base for the next session.
func (c *run) session(ctx context.Context, number int, task child.Task, n int) (err error) {
	path := filepath.Join(c.env.Scratch, "recording")
	if err := c.record(ctx, task, path); err != nil {
		return err
	}
	rec, err := blockdisk.OpenRecording(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rec.Close()) }()
	base, err := os.OpenFile(c.base, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, base.Close()) }()
	p := &replay{run: c, recording: rec, path: path, base: base, session: number, task: task}
	states := choose(c.r, rec.Records, n)
	var next *workload.Witness
	var history invariant.History
	chosen := n/2 + c.r.IntN(n-n/2) // early ones know of few appends
	for i, s := range states {
		if err := p.forward(s.Cut); err != nil {
			return err
		}
		if err := p.judge(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", p.where(s), err)
		}
		if len(c.tally.Findings) >= enoughFindings {
			return nil
		}
		if i != chosen {
			continue
		}
		if err := p.build(s, c.next()); err != nil {
			return err
		}
		next = &workload.Witness{Acked: maps.Clone(c.witness.Acked), Read: maps.Clone(c.witness.Read)}
		history = invariant.History{Acks: slices.Clone(c.history.Acks), Durable: c.history.Durable}
	}
	if err := p.forward(len(rec.Records)); err != nil { // for errors that the child reported
		return err
	}
	c.witness, c.history = next, history
	return os.Rename(c.next(), c.base)
}

// record runs a task on a disk that is recorded, from mounting to unmounting.
func (c *run) record(ctx context.Context, task child.Task, path string) (err error) {
	image := filepath.Join(c.env.Scratch, "image")
	if err := host.CopyImage(c.base, image); err != nil {
		return err
	}
	disk, err := blockdisk.Start(filepath.Join(c.env.Scratch, "disk"), image, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Stop(), os.Remove(image)) }()
	if err := c.fs.MountImage(disk.Image(), c.mount); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Unmount(c.mount)) }()
	marks, err := disk.Marks()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, marks.Close()) }()
	p, err := child.StartReportingTo(c.env.Worker, task, marks)
	if err != nil {
		return err
	}
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(timed, func() { _ = p.Signal() })()
	err = p.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case timed.Err() != nil:
		c.tally.Find("while recording: "+task.Do, fmt.Sprintf("it hangs: no end after %v", patience))
	case err != nil:
		c.tally.Find("while recording: "+task.Do, err.Error())
	}
	return nil
}

// replay is a recording that is being replayed.
type replay struct {
	*run
	recording *blockdisk.Recording
	path      string   // of the recording
	base      *os.File // has all writes before the flush before the cut
	written   int      // so many records are in base
	cut       int      // so many records have been looked at
	line      []byte   // a mark that has not ended yet
	opened    *opossum.Position
	session   int
	task      child.Task
}

// forward moves base and the witness on to a cut.
func (p *replay) forward(cut int) error {
	records := p.recording.Records
	for ; p.cut < cut; p.cut++ {
		if records[p.cut].Kind != blockdisk.Mark {
			continue
		}
		data, err := p.recording.Data(p.cut)
		if err != nil {
			return err
		}
		p.line = append(p.line, data...)
		for {
			line, rest, whole := bytes.Cut(p.line, []byte("\n"))
			if !whole {
				break
			}
			p.note(string(line))
			p.line = rest
		}
	}
	flushed := lastFlush(records, cut)
	for ; p.written < flushed; p.written++ {
		if records[p.written].Kind == blockdisk.Write {
			if err := p.write(p.base, piece{p.written, 0, records[p.written].Len}); err != nil {
				return err
			}
		}
	}
	return nil
}

// note takes a report of the recorded child.
func (p *replay) note(line string) {
	promised := p.history.Note(line)
	if p.witness.Note(line) || promised {
		return
	}
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "open":
		var head opossum.Position
		if n, _ := fmt.Sscan(rest, &head); n == 1 {
			p.opened = &head
			p.history = invariant.History{Durable: head} // recovery has made durable what it found
			if p.shape.Relaxed() {                       // what the crash before has taken back is gone, and its positions are given anew
				p.witness.Forget(head)
			}
		}
	case "error":
		if strings.Contains(rest, opossum.ErrDiskFull.Error()) {
			p.tally.Meet("disk full")
			return
		}
		p.tally.Find(fmt.Sprintf("session %d (%s), while recording", p.session, p.task.Do), "an error with a disk that works: "+rest)
	}
}

func (p *replay) write(to *os.File, what piece) error {
	data, err := p.recording.Data(what.record)
	if err != nil {
		return err
	}
	_, err = to.WriteAt(data[what.from:what.to], p.recording.Records[what.record].Off+int64(what.from))
	return err
}

// build makes the disk of a state. REQUIRES: forward to its cut.
func (p *replay) build(s State, image string) error {
	if err := host.CopyImage(p.run.base, image); err != nil {
		return err
	}
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for _, piece := range s.survivors(p.recording.Records, p.written) {
		if err := p.write(f, piece); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// judge recovers and checks the store on the disk of a state. The error is one of the lab's.
func (p *replay) judge(ctx context.Context, s State) error {
	image := filepath.Join(p.env.Scratch, "state")
	if err := p.build(s, image); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(s.Seed, 1))
	task := child.Task{
		Do: child.Check, Dir: p.store(), Shape: p.shape.Name, Witness: p.witness, PowerCut: true,
		Seed: s.Seed, Beside: r.IntN(3) == 0, Deep: r.IntN(6) == 0, Loose: invariant.DrawLoose(r),
	}
	if r.IntN(3) == 0 {
		task.Another = 9 * writersPerSession * workload.IDsPerWriter
	}
	if p.task.Writers == 0 && p.task.Do == child.Append {
		task.Recovered = p.opened
	}
	got, err := judgeImage(ctx, p.fs, p.env.Worker, image, p.mount, task)
	if err != nil {
		return err
	}
	p.tally.Crash(got.Acked)
	p.meet(s, got)
	if got.Violation == "" {
		loss, err := p.shape.Window.Judge(p.history, got.Head)
		if err == nil {
			if p.opened != nil { // else the history is that of the recording before, whose cuts are counted
				p.tally.Lose(p.shape.Strategy(), p.shape.Window.String(), loss.Acked, loss.Lost, loss.Age)
			}
			return nil
		}
		got.Violation = err.Error()
	}
	p.tally.Find(p.where(s), got.Violation)
	return p.keep(s, task)
}

// judgeImage mounts an image and judges the store there.
func judgeImage(ctx context.Context, fs host.FileSystem, worker, image, mount string, task child.Task) (child.Result, error) {
	if err := fs.MountImage(image, mount); err != nil {
		return child.Result{}, err
	}
	got, err := child.Judge(ctx, worker, task)
	return got, errors.Join(err, host.Unmount(mount))
}

// where says which state it was.
func (p *replay) where(s State) string {
	return fmt.Sprintf("session %d (%s), record %d of %d, lost since record %d: %s (seed %d)",
		p.session, p.task.Do, s.Cut, len(p.recording.Records), p.written, s.Lost, s.Seed)
}

// meet counts what a state shows.
func (p *replay) meet(s State, got child.Result) {
	p.tally.Meet("found " + got.Found)
	lost := 0
	for i := p.written; i < s.Cut; i++ {
		if p.recording.Records[i].Kind == blockdisk.Write {
			lost++
		}
	}
	for what, met := range map[string]bool{
		"nothing acknowledged yet": len(p.witness.Acked) == 0,
		"unflushed writes lost":    lost > 0 && s.Lost != Nothing,
		"torn tail":                got.CutBytes > 0,
		"replayed":                 got.Replayed > 0,
		"checkpoint":               got.Materialized > 0,
		"during recovery":          p.session > 0 && p.task.Do == child.Append && p.opened == nil,
		"after recovery":           p.session > 0 && p.task.Do == child.Append && p.opened != nil,
		"repair":                   p.task.Do == child.Repair,
		"log rotated":              p.task.First >= workload.Large && got.Head > 0,
	} {
		if met {
			p.tally.Meet(what)
		}
	}
}

// kept says what is in the directory of a kept state.
type kept struct {
	FileSystem string
	At         string
	State      State
	Task       child.Task // of the check; its directory is that of the run that is over
}

// Files of a kept state.
const (
	keptImage     = "image"     // the disk, not mounted since the crash
	keptRecording = "recording" // how it came about
	keptStory     = "state.json"
)

// keep puts away what is needed to look at the newest finding, and to judge it again.
func (p *replay) keep(s State, task child.Task) error {
	if p.env.Keep == "" {
		return nil
	}
	dir := filepath.Join(p.env.Keep, fmt.Sprintf("%s-%d-%d", p.name, p.session, s.Cut))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	story, err := json.MarshalIndent(kept{FileSystem: p.fs.Name, At: p.where(s), State: s, Task: task}, "", "  ")
	if err != nil {
		return err
	}
	p.tally.Findings[len(p.tally.Findings)-1].Kept = dir
	return errors.Join(
		os.WriteFile(filepath.Join(dir, keptStory), story, 0o644),
		p.build(s, filepath.Join(dir, keptImage)),
		host.CopyImage(p.path, filepath.Join(dir, keptRecording)))
}

// Judge judges a kept state again: what it finds, or "". scratch is a directory on a file system in memory.
func Judge(ctx context.Context, worker, dir, scratch string) (string, error) {
	story, err := os.ReadFile(filepath.Join(dir, keptStory))
	if err != nil {
		return "", err
	}
	var k kept
	if err := json.Unmarshal(story, &k); err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Join(dir, keptStory), err)
	}
	for _, fs := range fileSystems {
		if fs.Name != k.FileSystem {
			continue
		}
		if err := os.MkdirAll(scratch, 0o755); err != nil {
			return "", err
		}
		image, mount := filepath.Join(scratch, "state"), filepath.Join(scratch, "mount")
		if err := host.CopyImage(filepath.Join(dir, keptImage), image); err != nil {
			return "", err
		}
		k.Task.Dir = filepath.Join(mount, filepath.Base(k.Task.Dir))
		got, err := judgeImage(ctx, fs, worker, image, mount, k.Task)
		return got.Violation, err
	}
	return "", fmt.Errorf("there is no file system %q", k.FileSystem)
}
