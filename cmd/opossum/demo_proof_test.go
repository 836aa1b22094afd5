package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"opossum"
)

// enrolledStore is a store after a small load, with the acks of its one writer.
func enrolledStore(t *testing.T) (*opossum.Engine, []ack) {
	t.Helper()
	e, err := opossum.Open(t.TempDir(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, e.Close()) })
	var w witness
	l := newLoad(e, "t1", minEvents, 1, func(writer int, ev opossum.SequencedEvent) error {
		a, err := newAck(writer, ev)
		w.add(a)
		return err
	})
	_, err = l.run(t.Context())
	require.NoError(t, err)
	return e, w.acks
}

// A proof that cannot fail proves nothing: each lie of the witness has to be noticed.
func TestProofNoticesEveryLie(t *testing.T) {
	e, truth := enrolledStore(t)
	for name, tc := range map[string]struct {
		lie  func(acks []ack) []ack
		want string // "" for none
	}{
		"the truth": {func(acks []ack) []ack { return acks }, ""},
		"an event that is not there": {func(acks []ack) []ack {
			return append(acks, ack{0, minEvents + 1, "x"})
		}, "position 101 was acknowledged and is not there: x"},
		"other bytes": {func(acks []ack) []ack {
			acks[4].line += " "
			return acks
		}, "position 5 was acknowledged as"},
		"another position": {func(acks []ack) []ack {
			acks[4].pos, acks[5].pos = acks[5].pos, acks[4].pos
			return acks
		}, "position 5 was acknowledged as"},
		"another order": {func(acks []ack) []ack {
			acks[4], acks[5] = acks[5], acks[4]
			return acks
		}, "writer 0 was told position 5 after position 6"},
		"one position twice": {func(acks []ack) []ack {
			return append(acks, acks[4])
		}, "position 5 was acknowledged twice"},
		"more than was in flight": {func(acks []ack) []ack {
			return acks[:len(acks)-2]
		}, "2 events that were not acknowledged, with 1 in flight at most"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := prove(t.Context(), e, tc.lie(slices.Clone(truth)), 1)
			require.NoError(t, err)
			if tc.want == "" {
				assert.Empty(t, p.Violations)
				assert.Equal(t, minEvents, p.Acknowledged)
				assert.Equal(t, p.Students, p.RefusedEmails)
				assert.NotContains(t, p.text(), "VIOLATED")
				return
			}
			require.NotEmpty(t, p.Violations)
			assert.Contains(t, p.Violations[0], tc.want)
			assert.Contains(t, p.text(), "VIOLATED")
		})
	}
}

func TestProofNoticesABrokenRule(t *testing.T) {
	e, acks := enrolledStore(t)
	ev := enrolled(t, "nobody", "nowhere")
	_, err := e.Append(t.Context(), []opossum.Event{ev}, nil)
	require.NoError(t, err)
	p, err := prove(t.Context(), e, acks, 1)
	require.NoError(t, err)
	assert.Equal(t, []string{"position 101: student nobody enrolled in course nowhere before both existed"}, p.Violations)
}

// An ack counts when all of its line has arrived.
func TestAckArrivesWholeOrNotAtAll(t *testing.T) {
	sent, err := newAck(3, opossum.SequencedEvent{Position: 7, Event: enrolled(t, "s", "c")})
	require.NoError(t, err)
	var wire bytes.Buffer
	require.NoError(t, sent.send(&wire))
	for n := range wire.Len() {
		_, err := receiveAck(bufio.NewReader(bytes.NewReader(wire.Bytes()[:n])))
		assert.ErrorIs(t, err, io.EOF, "after %d bytes", n)
	}
	got, err := receiveAck(bufio.NewReader(&wire))
	require.NoError(t, err)
	assert.Equal(t, sent, got)
	_, err = receiveAck(bufio.NewReader(bytes.NewReader([]byte("panic: oh\n"))))
	assert.ErrorContains(t, err, "panic: oh")
}

func TestClearDemoLeavesOthersAlone(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, clearDemo(filepath.Join(dir, "absent"), io.Discard))
	require.NoError(t, clearDemo(dir, io.Discard), "an empty directory")
	note := filepath.Join(dir, "note")
	require.NoError(t, os.WriteFile(note, nil, 0o644))
	assert.ErrorContains(t, clearDemo(dir, io.Discard), "neither empty nor an earlier demo")
	assert.FileExists(t, note)

	require.NoError(t, os.WriteFile(filepath.Join(dir, demoMarker), nil, 0o644))
	require.NoError(t, clearDemo(dir, io.Discard))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
}
