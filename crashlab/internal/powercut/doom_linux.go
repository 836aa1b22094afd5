package powercut

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"opossum"
	"opossum/crashlab/internal/child"
	"opossum/crashlab/internal/invariant"
	"opossum/internal/workload"
)

// fate is what became of a child under which the power was cut. What it reported counts only if it was read before: a report that is read
// later may have been written later.
type fate struct {
	doing  string           // when the power went: "starting", "opening", "working", "closing", "idle"
	kept   opossum.Position // what must stay, besides what the witness and the history know: the head at opening, what was checkpointed
	opened bool
	head   opossum.Position  // at opening
	told   invariant.History // since then
	failed string            // an error that it had while there was power
}

// note takes a report.
func (f *fate) note(line string, w *workload.Witness) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "begin":
		f.doing = "opening"
	case "open":
		_, _ = fmt.Sscan(rest, &f.head)
		f.doing, f.opened, f.kept = "working", true, max(f.kept, f.head)
	case "filed":
		var p opossum.Position
		_, _ = fmt.Sscan(rest, &p)
		f.kept = max(f.kept, p)
	case "closing":
		f.doing = "closing"
	case "done":
		f.doing = "idle"
	case "error":
		if f.failed == "" {
			f.failed = "it failed while there was power: " + rest
		}
	default:
		w.Note(line)
		f.told.Note(line)
	}
}

// doom runs a task until the moment comes, notes in w what is reported before it, cuts the power by cut, and ends the child. The error is one
// of the lab's.
func doom(cut func() error, worker string, t child.Task, m moment, w *workload.Witness) (fate, error) {
	p, err := child.Start(worker, t)
	if err != nil {
		return fate{}, err
	}
	hangs := time.AfterFunc(child.Patience, func() { _ = p.Quit() })
	defer hangs.Stop()

	var (
		mu    sync.Mutex
		power = true
		f     = fate{doing: "starting"}
		once  sync.Once
		over  = make(chan error, 1)
		end   = func() {
			once.Do(func() {
				mu.Lock()
				power = false
				mu.Unlock()
				over <- errors.Join(cut(), p.Signal())
			})
		}
		soon = func() {
			if m.after == 0 { // in this goroutine: microseconds count
				end()
			} else {
				time.AfterFunc(m.after, end)
			}
		}
	)
	for left, armed := m.n, false; ; {
		line, ok := p.Next(nil)
		if !ok {
			break
		}
		mu.Lock()
		if power {
			f.note(line, w)
		}
		mu.Unlock()
		word, _, _ := strings.Cut(line, " ")
		if word == "open" && m.trim {
			stop, err := onTrim(t.Dir, soon)
			if err != nil {
				return f, errors.Join(err, p.Kill())
			}
			defer stop()
		}
		if word == m.report {
			left--
		}
		if !armed && (left == 0 || word == "done") {
			armed = true
			soon()
		}
	}
	alone := false
	once.Do(func() { alone = true })
	if alone {
		f.failed = fmt.Sprintf("it ended while there was power: %v", p.Wait())
		return f, nil
	}
	return f, errors.Join(<-over, p.Kill())
}
