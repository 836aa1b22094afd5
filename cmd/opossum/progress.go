package main

import (
	"io"
	"os"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// newBar returns a bar that is drawn on the terminal w until it is full, and then cleared.
func newBar(w io.Writer, total int64, what string, more ...progressbar.Option) *progressbar.ProgressBar {
	const redraw = 100 * time.Millisecond
	return progressbar.NewOptions64(total, slices.Concat([]progressbar.Option{
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetWidth(40),
		progressbar.OptionThrottle(redraw),
		progressbar.OptionClearOnFinish(),
	}, more)...)
}

// watch returns a function that is told how far a work has come whose total grows, and one that ends the watching. Where there is no
// terminal, or a program listens, nobody watches: tell is nil.
func (a *app) watch(cmd *cobra.Command, what string) (tell func(done, total uint64), end func()) {
	w := cmd.ErrOrStderr()
	if a.json || !isTerminal(w) {
		return nil, func() {}
	}
	return growing(newBar(w, 1, what))
}

// growing lets a bar follow a work whose total grows. A terminal that goes away must not end the work: its errors are nobody's.
func growing(bar *progressbar.ProgressBar) (tell func(done, total uint64), end func()) {
	tell = func(done, total uint64) {
		bar.ChangeMax64(int64(total) + 1) // a bar that is full is over, and the total may be reached more than once
		_ = bar.Set64(int64(done))
	}
	return tell, func() { _ = bar.Finish() }
}
