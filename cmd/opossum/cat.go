package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"opossum"
	"opossum/internal/codec"
)

func newCat(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cat POSITION...",
		Short: "Show events by their positions",
		Long: `cat shows the event at each position as its event file shows it, wherever the store keeps it: as a file of its own, in a
pack, or still in the log. With --json it is one line, as read prints it.`,
		Example: "  opossum cat --dir demo-data 42\n  opossum cat --dir demo-data 42 43 --json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			positions := make([]opossum.Position, len(args))
			for i, arg := range args {
				n, err := strconv.ParseUint(arg, 10, 64)
				if err != nil || n == 0 {
					return usagef("%q is no position: positions are whole numbers from 1 on", arg)
				}
				positions[i] = opossum.Position(n)
			}
			return a.withReader(cmd, func(ctx context.Context, e *opossum.Engine) error {
				for _, pos := range positions {
					ev, err := eventAt(ctx, e, pos)
					if err != nil {
						return err
					}
					if err := a.writeEvent(cmd.OutOrStdout(), ev); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

// writeEvent shows ev as its event file does, or as a line.
func (a *app) writeEvent(w io.Writer, ev opossum.SequencedEvent) error {
	text := codec.AppendText(nil, ev)
	if a.json {
		line, err := appendLine(nil, ev)
		if err != nil {
			return err
		}
		text = append(line, '\n')
	}
	_, err := w.Write(text)
	return err
}

// eventAt reads the one event at pos.
func eventAt(ctx context.Context, e *opossum.Engine, pos opossum.Position) (opossum.SequencedEvent, error) {
	view, err := e.Read(ctx, opossum.AllEvents(), opossum.ReadOptions{After: pos - 1, Limit: 1})
	if err != nil {
		return opossum.SequencedEvent{}, err
	}
	for ev, err := range view.All() {
		return ev, err
	}
	return opossum.SequencedEvent{}, fmt.Errorf("position %d: %w: the newest event is at %d", pos, opossum.ErrNotFound, view.Head())
}
