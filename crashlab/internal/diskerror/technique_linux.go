package diskerror

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"opossum"
	"opossum/crashlab/internal/blockdisk"
	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/host"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/lab"
	"opossum/internal/workload"
)

// trouble is a way in which a disk fails.
type trouble struct {
	about string
	rule  blockdisk.Rule
}

// contents is in every event, and so in what is written of log, event files and index, and in nothing of the file system's own; filed is only in
// event files, where it is quoted; ledger is in ledger.json; packed is in packs.
const (
	contents = "append:"
	filed    = `"append:`
	ledger   = `"opossum-ledger"`
	packed   = "OPCK" // what a pack begins with; its events are compressed
)

var troubles = []trouble{
	{"a flush fails", blockdisk.Rule{Kind: blockdisk.Flush, Once: true}},
	{"all flushes fail", blockdisk.Rule{Kind: blockdisk.Flush}},
	{"a write of contents fails", blockdisk.Rule{Kind: blockdisk.Write, With: contents, Once: true}},
	{"all writes of contents fail", blockdisk.Rule{Kind: blockdisk.Write, With: contents}},
	{"a write of event files fails", blockdisk.Rule{Kind: blockdisk.Write, With: filed, Once: true}},
	{"all writes of event files fail", blockdisk.Rule{Kind: blockdisk.Write, With: filed}},
	{"a write of a pack fails", blockdisk.Rule{Kind: blockdisk.Write, With: packed, Once: true}},
	{"a write of the ledger fails", blockdisk.Rule{Kind: blockdisk.Write, With: ledger, Once: true}},
	{"a write fails", blockdisk.Rule{Kind: blockdisk.Write, Once: true}},
	{"all writes fail", blockdisk.Rule{Kind: blockdisk.Write}},
}

// steps is about how many moments of a run the trouble begins at.
const steps = 6

// Techniques returns one for each file system. A case is a kind of trouble, which begins ever later in a run until the run ends before it.
func Techniques() []lab.Technique {
	var out []lab.Technique
	for _, fs := range []host.FileSystem{host.Ext4, host.XFS, host.Btrfs} {
		out = append(out, lab.Technique{
			Name: "diskerror/" + fs.Name, About: "the disk below " + fs.Name + " refuses flushes or writes, once or for ever, from the k-th on, for ever larger k",
			Quick: uint64(len(troubles)), Share: 2,
			Case: func(ctx context.Context, env lab.Env, seed, index uint64) (lab.Tally, error) {
				r := lab.Rand(seed, index)
				s := &sweep{fs: fs, env: env, r: r, trouble: troubles[index%uint64(len(troubles))], mount: filepath.Join(env.Scratch, "mount")}
				s.task = child.Task{
					Do: child.Append, Dir: filepath.Join(s.mount, "store"), Shape: invariant.DrawStrict(r).Name,
					Writers: 1 + r.IntN(3), Appends: 10 + r.IntN(20), Filing: []string{child.Prompted, child.Prompted, child.AsItComes}[r.IntN(3)], Close: r.IntN(2) == 0,
					Loose: invariant.DrawLoose(r), Repack: []string{child.Never, child.Beside, child.AtLast}[r.IntN(3)],
				}
				if w := s.trouble.rule.With; w == filed || w == ledger {
					s.task.Filing = child.Prompted // else little of it is written before the end
				}
				switch s.trouble.rule.With {
				case filed: // nothing of it can be seen in a pack
					s.task.Loose = opossum.KeepLoose
				case packed: // of files that are there already, and go when they are packed
					s.task.Appends, s.task.Filing, s.task.Loose, s.task.Repack = 40+r.IntN(40), child.Prompted, 1, child.AtLast
				}
				if err := s.format(); err != nil {
					return s.tally, err
				}
				err := s.all(ctx)
				return s.tally, err
			},
		})
	}
	return out
}

// sweep is a case.
type sweep struct {
	fs      host.FileSystem
	env     lab.Env
	r       *rand.Rand
	trouble trouble
	task    child.Task
	mount   string
	tally   lab.Tally
	errs    []string // that the newest child reported
}

func (s *sweep) fresh() string { return filepath.Join(s.env.Scratch, "fresh") }

// format makes a file system that is no copy of another one, which each run begins with.
func (s *sweep) format() error {
	f, err := os.Create(s.fresh())
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(s.fs.MiB<<20), f.Close(), s.fs.Format(s.fresh()))
}

// all lets the trouble begin ever later.
func (s *sweep) all(ctx context.Context) error {
	const never = 1 << 30
	met, err := s.one(ctx, never)
	if err != nil {
		return err
	}
	stride := max(1, met.Passed/steps)
	for k := s.r.IntN(stride); ; k += stride {
		met, err := s.one(ctx, k)
		if err != nil {
			return fmt.Errorf("%s: %w", s.where(k), err)
		}
		if met.Refused == 0 || len(s.tally.Findings) > 0 {
			return nil
		}
	}
}

func (s *sweep) where(k int) string {
	return fmt.Sprintf("%s, after %d that did not", s.trouble.about, k)
}

// one is a run in which the trouble begins after k passes. The error is one of the lab's.
func (s *sweep) one(ctx context.Context, k int) (met blockdisk.Counts, err error) {
	image := filepath.Join(s.env.Scratch, "image")
	if err := host.CopyImage(s.fresh(), image); err != nil {
		return met, err
	}
	disk, err := blockdisk.Start(filepath.Join(s.env.Scratch, "disk"), image, "")
	if err != nil {
		return met, err
	}
	defer func() { err = errors.Join(err, disk.Stop()) }()
	w := workload.NewWitness()
	recovered, met, err := s.failing(ctx, disk, k, w)
	if err != nil {
		return met, err
	}
	// What was only in memory is gone now.
	if err := s.fs.MountImage(disk.Image(), s.mount); err != nil {
		return met, err
	}
	got, err := s.judge(ctx, child.Task{Witness: w, PowerCut: true, Recovered: recovered, Deep: true})
	if got.Violation != "" {
		s.tally.Find(s.where(k)+", mounted anew", got.Violation)
	}
	switch {
	case met.Refused > 0:
		s.tally.Crash(got.Acked)
		s.tally.Meet(s.trouble.about)
	case len(s.errs) > 0:
		s.tally.Find(s.where(k), fmt.Sprintf("errors with a disk that works: %q", s.errs))
	}
	return met, errors.Join(err, host.Unmount(s.mount))
}

// failing mounts the disk, runs the child and the trouble, and often a recovery, all on one mount, and unmounts it. It returns the head that the
// recovery found, if there was one and nothing was appended since.
func (s *sweep) failing(ctx context.Context, disk *blockdisk.Disk, k int, w *workload.Witness) (recovered *opossum.Position, met blockdisk.Counts, err error) {
	if err := s.fs.MountImage(disk.Image(), s.mount); err != nil {
		return nil, met, err
	}
	rule := s.trouble.rule
	rule.Skip = k
	if _, err := disk.Refuse(&rule); err != nil {
		return nil, met, errors.Join(err, host.Unmount(s.mount))
	}
	err = s.work(ctx, k, w)
	if s.r.IntN(3) == 0 { // the disk heals only when the file system is gone
		if err := errors.Join(err, host.Unmount(s.mount)); err != nil {
			return nil, met, err
		}
		met, err = disk.Refuse(nil)
		return nil, met, err
	}
	if err == nil {
		met, err = disk.Refuse(nil)
	}
	if err == nil && writable(s.mount) {
		recovered, err = s.restart(ctx, k, w)
	} else {
		s.tally.Meet("the file system has given up")
	}
	return recovered, met, errors.Join(err, host.Unmount(s.mount))
}

// work runs the child, and checks that each error says what became of the append.
func (s *sweep) work(ctx context.Context, k int, w *workload.Witness) error {
	p, err := child.Run(ctx, s.env.Worker, s.task, w)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case p == nil:
		return err
	case err != nil:
		s.tally.Find(s.where(k), err.Error())
	}
	s.errs = p.Errs
	for _, e := range p.Errs {
		switch {
		case strings.Contains(e, opossum.ErrPoisoned.Error()):
			s.tally.Meet("poisoned")
		case strings.Contains(e, opossum.ErrOutcomeUnknown.Error()):
			s.tally.Meet("outcome unknown")
		case !p.Opened:
			s.tally.Meet("the store does not open")
		case strings.HasPrefix(e, "opossum: pack:") || strings.HasPrefix(e, "opossum: unpack:"):
			s.tally.Meet("packing or unpacking fails")
		case strings.HasPrefix(e, "opossum: close:"):
			s.tally.Meet("the store does not close cleanly")
		default:
			s.tally.Find(s.where(k), "an error that does not say what became of the append: "+e)
		}
	}
	return nil
}

// writable reports whether the file system still works, or again.
func writable(dir string) bool {
	path := filepath.Join(dir, "probe")
	return os.WriteFile(path, []byte("probe"), 0o644) == nil && os.Remove(path) == nil
}

// restart is the process that starts again where nothing else did: the kernel's memory holds what never reached the disk. The kernel may tell it
// of an error that the process before did not live to see: of the log, and then the store does not open, or of the file system, and then it is poisoned by its first
// checkpoint, and closes with that error. Either is right, once.
func (s *sweep) restart(ctx context.Context, k int, w *workload.Witness) (*opossum.Position, error) {
	s.tally.Meet("a restart on the same mount")
	for attempt := uint64(0); ; attempt++ {
		task := child.Task{Witness: w, Beside: s.r.IntN(3) == 0}
		if s.r.IntN(2) == 0 {
			task.Another = (100 + attempt) * workload.IDsPerWriter
		}
		got, err := s.judge(ctx, task)
		if err != nil {
			return nil, err
		}
		if attempt == 0 && toldLate(got.Violation) {
			s.tally.Meet("a restart is told of an error from before")
			if got.Appended != 0 {
				w.Acked[task.Another] = got.Appended
			}
			continue
		}
		if got.Violation != "" {
			s.tally.Find(s.where(k)+", on the same mount", got.Violation)
		}
		if task.Another != 0 && got.Appended != 0 {
			w.Acked[task.Another] = got.Appended
			return nil, nil
		}
		return &got.Head, nil
	}
}

// toldLate reports whether a violation may be an error from before.
func toldLate(violation string) bool {
	return strings.Contains(violation, unix.EIO.Error()) && (strings.Contains(violation, "does not open") || strings.HasPrefix(violation, "opossum: close:"))
}

// judge recovers and checks the store.
func (s *sweep) judge(ctx context.Context, task child.Task) (child.Result, error) {
	task.Dir, task.Shape, task.Loose, task.Seed = s.task.Dir, s.task.Shape, invariant.DrawLoose(s.r), s.r.Uint64()
	return child.Judge(ctx, s.env.Worker, task)
}
