package shell

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"opossum"
	"opossum/projection"
)

// administration is what a program with read models offers for them, whichever they are. All of it is in package projection.
func administration() []Command {
	return []Command{
		{Usage: "models", Run: func(_ context.Context, w World, _ []string) (string, error) {
			var lines []string
			for _, s := range w.Models.Status() {
				lines = append(lines, statusLine(s))
			}
			return strings.Join(lines, "\n"), nil
		}},
		{Usage: "pause MODEL", Run: func(_ context.Context, w World, args []string) (string, error) {
			return args[0] + " is paused, until it is resumed or this program ends", w.Models.Pause(args[0])
		}},
		{Usage: "resume MODEL", Run: func(_ context.Context, w World, args []string) (string, error) {
			return args[0] + " goes on", w.Models.Resume(args[0])
		}},
		{Usage: "rebuild MODEL...", Run: func(ctx context.Context, w World, args []string) (string, error) {
			return rebuild(ctx, w, projection.Rebuilding{Names: args})
		}},
		{Usage: "rebuild-all", Run: func(ctx context.Context, w World, _ []string) (string, error) {
			return rebuild(ctx, w, projection.Rebuilding{})
		}},
		{Usage: "rebuild-unfit", Run: func(ctx context.Context, w World, _ []string) (string, error) { // what is missing, outdated or damaged
			return rebuild(ctx, w, projection.Rebuilding{Unfit: true})
		}},
	}
}

// statusLine says how a read model is.
func statusLine(s projection.Status) string {
	line := fmt.Sprintf("%s: version %d, %s, at position %d, %d behind, %d states", s.Name, s.Version, s.State, s.Position, s.Lag, s.States)
	if s.Rebuild != nil {
		line += fmt.Sprintf(", rebuilt by %.0f %%", 100*s.Rebuild.Done())
	}
	if s.Error != "" {
		line += ", after " + s.Error
	}
	return line
}

// rebuild says what was rebuilt, and shows meanwhile how far it is.
func rebuild(ctx context.Context, w World, what projection.Rebuilding) (string, error) {
	var mu sync.Mutex // Report is called by several goroutines
	last := map[string]projection.Progress{}
	bar := newBar(w.terminal)
	what.Report = func(p projection.Progress) {
		mu.Lock()
		defer mu.Unlock()
		last[p.Name] = p
		var done, total opossum.Position
		for _, p := range last {
			done, total = done+p.Position, total+p.Until
		}
		bar.ChangeMax64(int64(total) + 1) // a bar that is full is over, and more may be appended
		_ = bar.Set64(int64(done))
	}
	err := w.Models.Rebuild(ctx, what)
	_ = bar.Finish()
	mu.Lock()
	defer mu.Unlock()
	var lines []string
	for _, name := range w.Models.Names() {
		if p, ok := last[name]; ok {
			lines = append(lines, fmt.Sprintf("%s: %d events were applied, up to position %d", name, p.Events, p.Position))
		}
	}
	if len(lines) == 0 {
		lines = []string{"nothing had to be rebuilt"}
	}
	return strings.Join(lines, "\n"), err
}

// newBar returns a bar on w, or one that nobody sees if w is nil or no terminal.
func newBar(w *os.File) *progressbar.ProgressBar {
	if w == nil || !term.IsTerminal(int(w.Fd())) {
		return progressbar.NewOptions64(1, progressbar.OptionSetWriter(io.Discard))
	}
	return progressbar.NewOptions64(1, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("rebuilding"), progressbar.OptionClearOnFinish())
}
