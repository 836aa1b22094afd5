package readmodel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"opossum"
	"opossum/internal/workload"
	"opossum/projection"
)

// Order says what is to be judged.
type Order struct {
	Dir     string // of the store
	Options opossum.Options
	Version int // of the definitions
	// Kept are the versions of the read models that could be read before a kill: nothing excuses it if they cannot be now. nil: the power was cut, or something was damaged.
	Kept    map[string]int
	Damaged bool // files of read models were damaged: they may be found out late
	Seed    uint64
	Append  uint64 // the number of an append to be followed at the end, 0: none
}

// Verdict is what Check found.
type Verdict struct {
	Head     opossum.Position
	States   int
	Appended opossum.Position // of Order.Append
	Found    []string         // how each read model and each build was found, in words
}

// untilCaughtUp is how long read models may take to come to the head. A hang is a finding.
const untilCaughtUp = 20 * time.Second

// Check opens a store after a crash and starts its read models, and returns an error that names the first thing that must not be. What must be:
//
//   - before it is followed or gone on with, each read model, and each build, is right or unfit: its states are those of its checkpoint, or of positions above it, and its index
//     says the same; nothing is of a position that the store does not have;
//   - a kill leaves nothing unfit that could be read before;
//   - when it has caught up, each state is that of a fold from scratch, and so is every answer of the indices;
//   - it follows what is appended then;
//   - closed and opened again, nothing is unfit;
//   - rebuilt it is the same, byte for byte: files and index log;
//   - nothing else lies about.
//
// The store is left closed.
func Check(ctx context.Context, o Order) (v Verdict, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, untilCaughtUp, fmt.Errorf("the read models have not come to the head after %v", untilCaughtUp))
	defer cancel()
	opts := o.Options
	e, err := opossum.Open(o.Dir, &opts)
	if err != nil {
		return v, fmt.Errorf("the store does not open: %w", err)
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	c := &check{Order: o, e: e, r: rand.New(rand.NewPCG(o.Seed, 2)), v: &v, mayBeUnfit: true}
	if err := c.fold(ctx); err != nil {
		return v, err
	}
	followed, err := c.session(ctx, func(*projection.Runner) error { return c.goOn(ctx) })
	if err != nil {
		return v, err
	}
	c.mayBeUnfit, c.Damaged = false, false
	rebuilt, err := c.session(ctx, func(r *projection.Runner) error { return r.Rebuild(ctx, projection.Rebuilding{}) })
	if err != nil {
		return v, fmt.Errorf("opened again and rebuilt: %w", err)
	}
	if err := alikeFiles(followed, rebuilt); err != nil {
		return v, fmt.Errorf("followed and rebuilt: %w", err)
	}
	return v, nothingForeign(dirOf(o.Dir))
}

// check is a check that is going on.
type check struct {
	Order
	e          *opossum.Engine
	r          *rand.Rand
	v          *Verdict
	models     map[string]*projection.Model[State]
	mayBeUnfit bool

	// There is a past of all that was appended, whenever somebody else looks: builds are opened behind the back of who appends. It is written by one goroutine, which reads it
	// without this.
	folding sync.Mutex // guards past, v.Head and v.States
	past    map[string]past

	mu  sync.Mutex // guards v.Found, and this:
	bad []error    // in what was opened
}

// fold reads all events and folds them. REQUIRES: folding is held, or nobody else looks yet.
func (c *check) fold(ctx context.Context) error {
	view, err := c.e.Read(ctx, opossum.AllEvents(), opossum.ReadOptions{})
	if err != nil {
		return err
	}
	var all []opossum.SequencedEvent
	for e, err := range view.All() {
		if err != nil {
			return err
		}
		all = append(all, e)
	}
	c.v.Head, c.v.States, c.past = view.Head(), 0, map[string]past{}
	for name, d := range definitions(c.Version) {
		if c.past[name], err = foldAll(d, all); err != nil {
			return err
		}
		c.v.States += len(c.past[name].asOf(c.v.Head))
	}
	return nil
}

// session starts the read models, does something, demands that they are right, closes them, and returns what files they have.
func (c *check) session(ctx context.Context, do func(*projection.Runner) error) (files map[string][]byte, err error) {
	w := &watched{check: c}
	runner, models, err := start(c.e, Plan{Version: c.Version}, projection.RebuildUnfit, func(s projection.Stores) projection.Stores {
		w.Stores = s
		return w
	}, func(*projection.Definition[State]) {})
	if err != nil {
		return nil, err
	}
	c.models = models
	if err = c.judge(ctx); err == nil {
		err = do(runner)
	}
	if err == nil {
		err = c.judge(ctx)
	}
	if err != nil {
		status, _ := json.Marshal(runner.Status())
		err = fmt.Errorf("%w; they are %s", err, status)
	}
	if err = errors.Join(err, runner.Close(), c.wrong()); err != nil {
		return nil, err
	}
	return c.files()
}

// goOn appends something.
func (c *check) goOn(ctx context.Context) (err error) {
	if c.Append == 0 {
		return nil
	}
	c.folding.Lock()
	defer c.folding.Unlock()
	if c.v.Appended, err = c.e.Append(ctx, workload.Events(c.Append), nil); err != nil {
		return err
	}
	return errors.Join(c.e.Sync(ctx), c.fold(ctx))
}

// judge waits until they have caught up, and asks everything.
func (c *check) judge(ctx context.Context) error {
	for _, name := range names {
		if err := c.models[name].Wait(ctx, c.v.Head); err != nil {
			return fmt.Errorf("%s does not come to %d: %w", name, c.v.Head, errors.Join(err, context.Cause(ctx)))
		}
		err := c.past[name].answers(c.models[name], c.v.Head, c.r)
		if c.Damaged && errors.Is(err, opossum.ErrCorrupt) { // found out, and rebuilt by itself
			if err := c.models[name].Wait(ctx, c.v.Head); err != nil {
				return fmt.Errorf("%s is not rebuilt: %w", name, errors.Join(err, context.Cause(ctx)))
			}
			c.found("damage found when it was read")
			err = c.past[name].answers(c.models[name], c.v.Head, c.r)
		}
		if err != nil {
			return fmt.Errorf("%s, at %d: %w", name, c.v.Head, err)
		}
	}
	return nil
}

// watched looks at each store that is opened before anybody else does.
type watched struct {
	projection.Stores
	*check
}

func (w *watched) Live(id projection.Identity) (projection.Store, error) {
	s, err := w.Stores.Live(id)
	switch {
	case err == nil:
		return s, w.audit("live", id, s)
	case !errors.Is(err, projection.ErrUnfit):
		return nil, err
	case !w.mayBeUnfit:
		return nil, fmt.Errorf("%s was closed in order, and is unfit: %v", id.Name, err)
	case w.Kept[id.Name] == id.Version:
		return nil, fmt.Errorf("%s could be read before the kill, and is unfit: %v", id.Name, err)
	}
	w.found("live: " + reason(err))
	return nil, err
}

func (w *watched) Build(id projection.Identity, fresh bool) (projection.Store, error) {
	s, err := w.Stores.Build(id, fresh)
	if err != nil {
		return nil, err
	}
	return s, w.audit("build", id, s)
}

func (w *watched) audit(what string, id projection.Identity, s projection.Store) error {
	w.folding.Lock()
	defer w.folding.Unlock()
	p := w.past[id.Name]
	is := what + ": "
	switch at := s.Checkpoint().Position; {
	case at == 0 && s.Index().Len() == 0:
		is += "empty"
	case len(s.Index().Where(func(i projection.Info) bool { return i.Position > at })) > 0:
		is += "right, with states above the checkpoint"
	case at < w.v.Head:
		is += "right, behind"
	default:
		is += "right"
	}
	if err := p.audit(s, w.v.Head, w.Damaged); err != nil {
		err = fmt.Errorf("%s of %s, as it was opened: %w", what, id.Name, err)
		w.mu.Lock()
		w.bad = append(w.bad, err)
		w.mu.Unlock()
	}
	w.found(is)
	return nil
}

func (c *check) found(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mayBeUnfit {
		c.v.Found = append(c.v.Found, what)
	}
}

// wrong returns what was found out.
func (c *check) wrong() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.bad...)
}

// reason sorts what makes a read model unfit.
func reason(err error) string {
	if errors.Is(err, opossum.ErrNotFound) {
		return "none"
	}
	for _, why := range []string{"the store is", "the version is", "is missing", "index says", "checksum", "first line", "no checkpoint", "not a state", "too short", "the name is", "is of the state", "does not end", "format"} {
		if strings.Contains(err.Error(), why) {
			return "unfit: " + why
		}
	}
	return "unfit"
}

func dirOf(store string) string { return filepath.Join(store, "projections") }

const indexLog = "index.jsonl"

// files returns what there is of each read model: the texts of the states, and the log as compacting would write it.
func (c *check) files() (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, name := range names {
		dir := filepath.Join(dirOf(c.Dir), name)
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			text, err := os.ReadFile(path)
			if e.Name() == indexLog {
				text, err = projection.Compacted(dir)
			}
			if err != nil {
				return nil, err
			}
			all[filepath.Join(name, e.Name())] = text
		}
		if want := len(c.past[name].asOf(c.v.Head)) + 1; len(entries) != want {
			return nil, fmt.Errorf("%s has %d files, and should have %d: one for each state, and the log: %v", name, len(entries), want, entries)
		}
	}
	return all, nil
}

func alikeFiles(a, b map[string][]byte) error {
	for path, text := range a {
		if other, ok := b[path]; !ok || !bytes.Equal(text, other) {
			return fmt.Errorf("%s differs: %s\n%s", path, text, other)
		}
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			return fmt.Errorf("%s is in the second only", path)
		}
	}
	return nil
}

// nothingForeign: beside the read models there are the lock and empty directories.
func nothingForeign(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case slices.Contains(names, e.Name()) || e.Name() == ".lock":
		case strings.HasPrefix(e.Name(), ".") && e.IsDir():
			left, err := os.ReadDir(filepath.Join(dir, e.Name()))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if len(left) > 0 {
				return fmt.Errorf("%v is left in %s", left, e.Name())
			}
		default:
			return fmt.Errorf("%s lies beside the read models", e.Name())
		}
	}
	return nil
}
