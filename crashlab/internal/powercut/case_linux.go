package powercut

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"opossum"
	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/host"
	"opossum/crashlab/internal/invariant"
	"opossum/crashlab/internal/lab"
	"opossum/internal/workload"
)

// Techniques are power cuts on each file system that can be cut: any, and those that show what each flush strategy may lose.
func Techniques() []lab.Technique {
	var out []lab.Technique
	for _, fs := range []host.FileSystem{host.Ext4, host.XFS} {
		out = append(out, lab.Technique{
			Name:  "cuts/" + fs.Name,
			About: "cuts the power of " + fs.Name + " while a store appends, opens, recovers and closes, many times in its life",
			Quick: 22, Share: 4,
			Case: func(ctx context.Context, env lab.Env, seed, index uint64) (lab.Tally, error) {
				return run(ctx, fs, env, draw(lab.Rand(seed, index)))
			},
		}, lab.Technique{
			Name:  "windows/" + fs.Name,
			About: "cuts the power of " + fs.Name + " under one flush strategy after the other: each loses what it may, and no more",
			Quick: 2 * uint64(len(strategies())), Share: 2,
			Case: func(ctx context.Context, env lab.Env, seed, index uint64) (lab.Tally, error) {
				shapes := strategies()
				return run(ctx, fs, env, drawWindows(lab.Rand(seed, index), shapes[index%uint64(len(shapes))].Name))
			},
		}, lab.Technique{
			Name:  "models/" + fs.Name,
			About: "cuts the power of " + fs.Name + " while read models are followed, rebuilt, opened and recovered, many times in their life",
			Quick: 12, Share: 3,
			Case: func(ctx context.Context, env lab.Env, seed, index uint64) (lab.Tally, error) {
				return run(ctx, fs, env, drawModels(lab.Rand(seed, index)))
			},
		})
	}
	return out
}

// store is the store of a case, and what is known of it.
type store struct {
	env     lab.Env
	disk    *host.Disk
	dir     string
	shape   invariant.Shape
	witness *workload.Witness
	kept    opossum.Position // what must stay, besides what the witness knows
	epoch   uint64
	told    invariant.History // by the process of this cycle that appended
	cuts    int               // torn tails in quarantine
	judged  int               // how often the read models were
	// writeBack says what is written back in this cycle without being asked for, nil: nothing is.
	writeBack *rand.Rand
	tally     lab.Tally
	said      []string // what happened in this cycle
}

func run(ctx context.Context, fs host.FileSystem, env lab.Env, l life) (_ lab.Tally, err error) {
	disk, err := host.NewDisk(fs, env.Scratch)
	if err != nil {
		return lab.Tally{}, err
	}
	defer func() { err = errors.Join(err, disk.Remove()) }()
	shape, err := invariant.ShapeOf(l.shape)
	if err != nil {
		return lab.Tally{}, err
	}
	s := &store{env: env, disk: disk, dir: filepath.Join(disk.Dir, "store"), shape: shape, witness: workload.NewWitness()}
	for i, c := range l.cycles {
		s.said = []string{fmt.Sprintf("cycle %d of %d, %s shape", i+1, len(l.cycles), shape.Name)}
		wrong, err := s.live(ctx, c)
		if wrong != "" || err != nil {
			if wrong != "" {
				s.tally.Find(fmt.Sprint(s.said), wrong)
			}
			return s.tally, err
		}
	}
	return s.tally, nil
}

// live is one cycle. It returns the first violation.
func (s *store) live(ctx context.Context, c cycle) (wrong string, err error) {
	before, err := generations(s.dir)
	if err != nil {
		return "", err
	}
	s.writeBack = nil
	if c.writeBack {
		s.writeBack = rand.New(rand.NewPCG(c.seed, 1))
	}
	if c.append.Models != nil && c.settled { // the disk has taken all of it meanwhile: what is lost now is old, not missing
		if err := everything(s.disk.Dir); err != nil {
			return "", err
		}
	}
	c.append.Dir, c.append.Shape = s.dir, s.shape.Name
	if _, wrong, err = s.cut(c.append, c.cut); wrong != "" || err != nil {
		return wrong, err
	}
	if err := s.look(before); err != nil {
		return "", err
	}
	open := child.Task{Do: child.Open, Dir: s.dir, Shape: s.shape.Name, Loose: c.loose, Models: c.append.Models}
	for _, m := range c.recovery {
		if _, wrong, err = s.cut(open, m); wrong != "" || err != nil {
			return wrong, err
		}
	}
	judge := child.Task{Loose: c.loose, Seed: c.seed, Beside: c.beside, Deep: c.deep, Another: c.another}
	if c.settle != unsettled {
		end := s.cut
		if c.settle == killed {
			end = s.kill
		}
		f, wrong, err := end(open, moment{report: "open", n: 1})
		if wrong != "" || err != nil {
			return wrong, err
		}
		judge.Recovered = &f.head
	}
	if wrong, err := s.judge(ctx, judge); wrong != "" || err != nil {
		return wrong, err
	}
	if wrong, err := s.judgeModels(ctx, c); wrong != "" || err != nil || !c.after {
		return wrong, err
	}
	s.say("cut when it was closed")
	s.tally.Meet("cut: closed")
	if err := s.disk.Cut(); err != nil {
		return "", err
	}
	if err := s.restart(); err != nil {
		return "", err
	}
	end := s.kept
	if wrong, err := s.judge(ctx, child.Task{Loose: c.loose, Seed: c.seed, Recovered: &end}); wrong != "" || err != nil {
		return wrong, err
	}
	return s.judgeModels(ctx, c)
}

// judgeModels has the read models judged, if there are any.
func (s *store) judgeModels(ctx context.Context, c cycle) (string, error) {
	if c.append.Models == nil {
		return "", nil
	}
	t := child.Task{Dir: s.dir, Shape: s.shape.Name, Loose: c.loose, Models: c.append.Models, Seed: c.seed}
	if c.another != 0 {
		t.Another = c.another + workload.IDsPerWriter + uint64(s.judged)
	}
	s.judged++
	v, err := child.JudgeModels(ctx, s.env.Worker, t)
	s.say("read models judged (version %d, %+v): %v", t.Models.Version, *t.Models, v.Found)
	for _, found := range v.Found {
		s.tally.Meet(found)
	}
	if err != nil || v.Violation != "" {
		return v.Violation, err
	}
	if v.Appended != 0 {
		s.witness.Acked[t.Another] = v.Appended
	}
	s.kept = max(v.Head, v.Appended) // it was closed
	return "", nil
}

// cut runs a child until the power is cut, and gives the power back.
func (s *store) cut(t child.Task, m moment) (fate, string, error) {
	end := func() error {
		if s.writeBack != nil {
			writeBack(s.writeBack, s.disk.Dir, s.dir)
		}
		return s.disk.Cut()
	}
	f, err := doom(end, s.env.Worker, t, m, s.witness)
	s.say("cut %v after %s %d of %s, when it was %s", m.after, m.report, m.n, t.Do, f.doing)
	s.tally.Meet("cut: " + t.Do + ", " + f.doing)
	s.kept = max(s.kept, f.kept)
	if t.Do == child.Append {
		s.told = f.told
	}
	if err != nil || f.failed != "" {
		return f, f.failed, err
	}
	return f, "", s.restart()
}

// kill runs a child until it is killed.
func (s *store) kill(t child.Task, m moment) (fate, string, error) {
	f, err := doom(func() error { return nil }, s.env.Worker, t, m, s.witness)
	s.say("killed after %s of %s", m.report, t.Do)
	s.kept = max(s.kept, f.kept)
	return f, f.failed, err
}

// restart gives the power back after a cut.
func (s *store) restart() error {
	s.tally.Crash(0) // its recovery and check follow
	return errors.Join(s.disk.Unmount(), s.disk.Mount())
}

// judge has the store recovered and checked, which closes it, and takes over what is known of it from then on.
func (s *store) judge(ctx context.Context, t child.Task) (string, error) {
	t.Dir, t.Shape, t.Witness, t.PowerCut = s.dir, s.shape.Name, s.witness, true
	v, err := child.Judge(ctx, s.env.Worker, t)
	s.say("judged (read-only beside: %v, deep: %v, recovered before: %v): %s", t.Beside, t.Deep, t.Recovered != nil, v.Recovery)
	s.tally.Acked += uint64(v.Acked)
	if err != nil || v.Violation != "" {
		return v.Violation, err
	}
	epoch, err := epochOf(s.dir)
	if err != nil {
		return fmt.Sprintf("the store was closed, and its ledger cannot be read: %v", err), nil
	}
	cuts, err := filepath.Glob(filepath.Join(s.dir, "quarantine", "*"))
	if err != nil {
		return "", err
	}
	loss, err := s.shape.Window.Judge(s.told, v.Head)
	if err != nil {
		return err.Error(), nil
	}
	s.tally.Lose(s.shape.Strategy(), s.shape.Window.String(), loss.Acked, loss.Lost, loss.Age)
	s.told = invariant.History{}
	lost := s.witness.Lost(v.Head)
	s.meet(t, v.Verdict, lost, epoch, len(cuts))
	if wrong := lapse(s.shape.Relaxed(), lost, s.kept, v.Head, s.epoch, epoch); wrong != "" {
		return wrong, nil
	}
	s.witness.Forget(v.Head)
	if v.Appended != 0 {
		s.witness.Acked[t.Another] = v.Appended
	}
	s.kept, s.epoch, s.cuts = max(v.Head, v.Appended), epoch, len(cuts) // it was closed
	return "", nil
}

// lapse names what a recovery must not come to, though each event of it is right: given how many acknowledged or read events are lost, what must have
// been kept, and the epoch before (0: none) and after.
func lapse(relaxed bool, lost int, kept, head opossum.Position, before, after uint64) string {
	switch {
	case head < kept:
		return fmt.Sprintf("the head is %d, and everything up to %d was durable", head, kept)
	case lost > 0 && !relaxed:
		return fmt.Sprintf("%d acknowledged or read events are above the head %d", lost, head)
	case lost > 0 && after <= before:
		return fmt.Sprintf("%d acknowledged or read events were lost, and the epoch stayed %d", lost, before)
	case !relaxed && after != max(before, 1):
		return fmt.Sprintf("the epoch went from %d to %d, and nothing was lost", before, after)
	}
	return ""
}

// meet counts what the recoveries since the last check met.
func (s *store) meet(t child.Task, v invariant.Verdict, lost int, epoch uint64, cuts int) {
	s.tally.Meet("found " + v.Found)
	for what, met := range map[string]bool{
		"torn tail cut":                     cuts > s.cuts,
		"replayed":                          v.Replayed > 0,
		"checkpointed":                      v.Materialized > 0,
		"recovered twice":                   t.Recovered != nil,
		"relaxed: lost what was not synced": lost > 0,
		"epoch raised":                      epoch > max(s.epoch, 1),
		"kept what nobody was promised":     v.Head > s.witness.Head() && v.Head > s.kept,
	} {
		if met {
			s.tally.Meet(what)
		}
	}
}

// look counts what a power cut left of the log, before recovery; before are the generations that there were.
func (s *store) look(before []generation) error {
	now, err := generations(s.dir)
	if err != nil {
		return err
	}
	used := 0
	for _, g := range now {
		if g.used {
			used++
		}
	}
	if used > 1 {
		s.tally.Meet("log rotated")
	}
	if len(before) > 0 && len(now) > 0 && now[0].number > before[0].number {
		s.tally.Meet("log trimmed")
	}
	return nil
}

func (s *store) say(format string, args ...any) {
	s.said = append(s.said, fmt.Sprintf(format, args...))
}

// logFile is the name of the file of a generation.
const logFile = "00000000000000000001"

type generation struct {
	number uint64
	used   bool // it holds events
}

// generations lists those of the log by docs/format/log.md, in order.
func generations(store string) ([]generation, error) {
	paths, err := filepath.Glob(filepath.Join(store, "wal", "*", logFile))
	if err != nil {
		return nil, err
	}
	var out []generation
	for _, path := range paths {
		n, err := strconv.ParseUint(filepath.Base(filepath.Dir(path)), 10, 64)
		if err != nil {
			continue // a temporary one
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		const headers = 1 << 10 // is more than a header and a link
		out = append(out, generation{number: n, used: info.Size() > headers})
	}
	return out, nil
}

// epochOf returns the epoch that stands in ledger.json.
func epochOf(store string) (uint64, error) {
	text, err := os.ReadFile(filepath.Join(store, "ledger.json"))
	if err != nil {
		return 0, err
	}
	var l struct{ Epoch uint64 }
	return l.Epoch, json.Unmarshal(text, &l)
}
