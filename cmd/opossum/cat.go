package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"opossum"
	"opossum/internal/codec"
)

func newCat(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cat POSITION",
		Short: "Show one event",
		Long: `cat shows the event at a position as its event file shows it, wherever the store keeps it: as a file of its own or
still in the log. With --json it is one line, as read prints it.`,
		Example: "  opossum cat --dir demo-data 42",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || n == 0 {
				return usagef("%q is no position: positions are whole numbers from 1 on", args[0])
			}
			return a.withReader(cmd, func(ctx context.Context, e *opossum.Engine) error {
				ev, err := eventAt(ctx, e, opossum.Position(n))
				if err != nil {
					return err
				}
				text := codec.AppendText(nil, ev)
				if a.json {
					if text, err = appendLine(nil, ev); err != nil {
						return err
					}
					text = append(text, '\n')
				}
				_, err = cmd.OutOrStdout().Write(text)
				return err
			})
		},
	}
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
