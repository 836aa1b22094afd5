package projection

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"opossum/dcb"
)

func TestFold(t *testing.T) {
	add := func(key, amount string) dcb.Event {
		return dcb.Event{Type: "add", Tags: []dcb.Tag{dcb.Tag("acc:" + key)}, Data: []byte(amount)}
	}
	d := accounts("accounts")
	got, err := Fold(d, add("a", "1"), add("b", "2"), dcb.Event{Type: "other"}, add("a", "3"), dcb.Event{Type: "close", Tags: []dcb.Tag{"acc:b"}})
	require.NoError(t, err)
	require.Equal(t, map[string]account{"a": {Sum: 4, Seen: []int{1, 4}}}, got)
	got, err = Fold(d)
	require.NoError(t, err)
	require.Empty(t, got)

	_, err = Fold(Definition[account]{Name: "x"})
	require.ErrorIs(t, err, ErrInvalidDefinition)
	d.Apply = func(*account, Event) (*account, error) { return nil, errTest }
	_, err = Fold(d, add("a", "1"))
	require.ErrorIs(t, err, errTest)
	require.ErrorContains(t, err, `fold "accounts": position 1`)
	d.Key = func(dcb.SequencedEvent) string { panic(fmt.Sprint("no", " key")) }
	_, err = Fold(d, add("a", "1"))
	require.ErrorContains(t, err, "no key")
}

// What Fold makes of events, a runner makes of them, the related ones included.
func TestFoldIsWhatARunnerDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		src := newSource()
		history(rt, src, 60)
		d := accounts("accounts")
		r, err := New(src, Options{Stores: Memory()})
		require.NoError(t, err)
		m, err := Add(r, d)
		require.NoError(t, err)
		require.NoError(t, m.Wait(t.Context(), src.Durable()))
		want := map[string]account{}
		for i, err := range m.All() {
			require.NoError(t, err)
			want[i.Key] = i.State
		}
		require.NoError(t, r.Close())
		var events []dcb.Event
		view, err := src.Read(t.Context(), dcb.AllEvents(), dcb.ReadOptions{Before: src.Durable() + 1})
		require.NoError(t, err)
		for e, err := range view.All() {
			require.NoError(t, err)
			events = append(events, e.Event)
		}
		got, err := Fold(d, events...)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}
