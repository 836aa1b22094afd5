package opossum

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"opossum/ledger"
)

// tree lists what is below dir, with sizes and contents' lengths, to show that nothing was written.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		out = append(out, fmt.Sprint(path, " ", info.Size(), " ", info.Mode(), " ", info.ModTime().UnixNano()))
		return nil
	}))
	return out
}

func TestBadAppendsAreRefusedNamingTheThingAndHarmNothing(t *testing.T) {
	long := Tag(strings.Repeat("x", 65_536))
	many := make([]Tag, 1025)
	for i := range many {
		many[i] = Tag(fmt.Sprint(i))
	}
	ok := event("T")
	cases := []struct {
		name   string
		events []Event
		cond   *Condition
		is     error
		says   []string
	}{
		{"nil batch", nil, nil, ErrNoEvents, []string{"no events"}},
		{"empty batch", []Event{}, nil, ErrNoEvents, []string{"no events"}},
		{"empty batch under a condition", []Event{}, failIfMatch(AllEvents(), 0), ErrNoEvents, nil},
		{"empty type", []Event{ok, event("")}, nil, ErrInvalidEvent, []string{"event 1", "empty type"}},
		{"empty tag", []Event{event("T", "a", "")}, nil, ErrInvalidEvent, []string{"event 0", "tag 1", "empty tag"}},
		{"duplicate tag", []Event{event("T", "a", "b", "a")}, nil, ErrInvalidEvent, []string{"event 0", "tag 2", `"a"`, "duplicate"}},
		{"long tag", []Event{event("T", long)}, nil, ErrInvalidEvent, []string{"event 0", "tag 0", "65536 bytes", "65,535"}},
		{"long tag is too large, too", []Event{event("T", long)}, nil, ErrTooLarge, nil},
		{"too many tags", []Event{event("T", many...)}, nil, ErrInvalidEvent, []string{"1025"}},
		{"17 MiB", []Event{{Type: "T", Data: make([]byte, 17<<20)}}, nil, ErrTooLarge, []string{"event 0"}},
		{"17 MiB in two events", []Event{{Type: "T", Data: make([]byte, 9<<20)}, {Type: "T", Data: make([]byte, 8<<20)}}, nil, ErrTooLarge, []string{"event 1"}},
		{"17 MiB of metadata", []Event{{Type: "T", Metadata: map[string]string{"k": strings.Repeat("v", 17<<20)}}}, nil, ErrTooLarge, nil},
		{"type not UTF-8", []Event{event("a\xffb")}, nil, ErrInvalidEvent, []string{"event 0", "type", "UTF-8"}},
		{"tag not UTF-8", []Event{event("T", "a\xff")}, nil, ErrInvalidEvent, []string{"event 0", "tag 0", "UTF-8"}},
		{"metadata key not UTF-8", []Event{{Type: "T", Metadata: map[string]string{"\xff": "v"}}}, nil, ErrInvalidEvent, []string{"event 0", "metadata", "UTF-8"}},
		{"metadata value not UTF-8", []Event{{Type: "T", Metadata: map[string]string{"key": "\xff"}}}, nil, ErrInvalidEvent, []string{"event 0", "metadata", "key", "UTF-8"}},
		{"year 10000", []Event{{Type: "T", Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}}, nil, ErrInvalidEvent, []string{"event 0", "10000"}},
		{"year 10000 in UTC only", []Event{{Type: "T", Time: time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("west", -7200))}}, nil, ErrInvalidEvent, []string{"10000"}},
		{"year -1", []Event{{Type: "T", Time: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)}}, nil, ErrInvalidEvent, []string{"-1"}},
		{"condition without a clause", []Event{ok}, &Condition{}, ErrInvalidQuery, []string{"condition without a clause"}},
		{"condition with After alone", []Event{ok}, &Condition{After: 5}, ErrInvalidQuery, []string{"condition without a clause"}},
		{"condition of no items", []Event{ok}, failIfMatch(Match(), 0), ErrInvalidQuery, []string{"FailIfMatch", "without items"}},
		{"existence of no items", []Event{ok}, failIfExists(Match()), ErrInvalidQuery, []string{"FailIfExists", "without items"}},
		{"condition with an empty item", []Event{ok}, failIfMatch(ByTags("a").Or(Match(QueryItem{})), 0), ErrInvalidQuery, []string{"FailIfMatch", "item 1", "neither types nor tags"}},
		{"condition with an empty tag", []Event{ok}, failIfMatch(ByTags("a", ""), 0), ErrInvalidQuery, []string{"item 0"}},
		{"condition with an empty type", []Event{ok}, failIfExists(ByTypes("")), ErrInvalidQuery, []string{"item 0"}},
		{"one bad clause of two", []Event{ok}, &Condition{FailIfMatch: AllEvents(), FailIfExists: ByTags()}, ErrInvalidQuery, []string{"FailIfExists"}},
	}
	dir := t.TempDir()
	e := openStore(t, dir, &Options{Flush: FlushDisabled}, hooks{})
	appendOK(t, e, nil, event("T", "a"))
	for _, c := range cases {
		head := e.Head()
		p, err := e.Append(ctxb, c.events, c.cond)
		require.ErrorIs(t, err, c.is, c.name)
		require.NotErrorIs(t, err, ErrConditionFailed, c.name)
		require.NotErrorIs(t, err, ErrOutcomeUnknown, c.name)
		require.Zero(t, p, c.name)
		require.Less(t, len(err.Error()), 1000, c.name)
		for _, s := range c.says {
			require.ErrorContains(t, err, s, c.name)
		}
		require.Equal(t, head, e.Metrics().Assigned, c.name)
		require.Equal(t, head+1, appendOK(t, e, nil, event("After")), c.name)
	}
	require.Len(t, checkDense(t, e), 1+len(cases))
	require.NoError(t, e.Close())
	e = openStore(t, dir, nil, hooks{})
	require.Len(t, checkDense(t, e), 1+len(cases))
}

func TestBadQueriesAreRefusedNamingTheThing(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, event("T"))
	cases := []struct {
		name string
		q    Query
		o    ReadOptions
		says string
	}{
		{"zero query", Query{}, ReadOptions{}, "without items"},
		{"no items", Match(), ReadOptions{}, "without items"},
		{"an empty item", Match(QueryItem{}), ReadOptions{}, "item 0"},
		{"an empty item among others", ByTypes("T").Or(Match(QueryItem{Types: []string{}, Tags: []Tag{}})), ReadOptions{}, "item 1"},
		{"no types", ByTypes(), ReadOptions{}, "item 0"},
		{"no tags", ByTags(), ReadOptions{}, "item 0"},
		{"an empty tag", ByTags(""), ReadOptions{}, "tag"},
		{"an empty type", ByTypes("T", ""), ReadOptions{}, "type"},
	}
	for _, c := range cases {
		_, err := e.Read(ctxb, c.q, c.o)
		require.ErrorIs(t, err, ErrInvalidQuery, c.name)
		require.ErrorContains(t, err, c.says, c.name)
		_, err = e.ReadLast(ctxb, c.q)
		require.ErrorIs(t, err, ErrInvalidQuery, c.name)
		require.NotErrorIs(t, err, ErrNotFound, c.name)
		_, err = e.Subscribe(ctxb, c.q, 0)
		require.ErrorIs(t, err, ErrInvalidQuery, c.name)
	}
	_, err := e.Read(ctxb, AllEvents(), ReadOptions{Limit: -1})
	require.ErrorIs(t, err, ErrInvalidQuery)
	require.ErrorContains(t, err, "limit -1")
	require.EqualValues(t, 2, appendOK(t, e, nil, event("T")))
}

func TestACancelledContextIsRefusedEverywhere(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, event("T"))
	ctx, cancel := context.WithCancel(ctxb)
	cancel()
	check := func(name string, err error) {
		require.ErrorIs(t, err, context.Canceled, name)
		require.NotErrorIs(t, err, ErrOutcomeUnknown, name)
	}
	_, err := e.Append(ctx, []Event{event("T")}, nil)
	check("append", err)
	_, err = e.Read(ctx, AllEvents(), ReadOptions{})
	check("read", err)
	_, err = e.ReadLast(ctx, AllEvents())
	check("read last", err)
	_, err = e.Subscribe(ctx, AllEvents(), 0)
	check("subscribe", err)
	check("sync", e.Sync(ctx))
	check("wait", e.WaitMaterialized(ctx, 1))
	require.EqualValues(t, 2, appendOK(t, e, nil, event("T")))
}

func TestUseAfterCloseIsRefusedOrHarmless(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, event("T"))
	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	_, err := e.Append(ctxb, []Event{event("T")}, nil)
	require.ErrorIs(t, err, ErrClosed)
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
	_, err = e.Append(ctxb, []Event{event("T")}, failIfMatch(AllEvents(), 0))
	require.ErrorIs(t, err, ErrClosed)
	_, err = e.Read(ctxb, AllEvents(), ReadOptions{})
	require.ErrorIs(t, err, ErrClosed)
	_, err = e.ReadLast(ctxb, ByTags("none"))
	require.ErrorIs(t, err, ErrClosed)
	require.NotErrorIs(t, err, ErrNotFound)
	_, err = e.Subscribe(ctxb, AllEvents(), 0)
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, e.Sync(ctxb), ErrClosed)
	require.ErrorIs(t, e.WaitMaterialized(ctxb, 2), ErrClosed)
	require.EqualValues(t, 1, e.Head())
	require.LessOrEqual(t, e.Materialized(), Position(1))
	require.EqualValues(t, 1, e.Metrics().Visible)
	require.NotEmpty(t, e.StoreID())
	require.NotEmpty(t, e.Dir())
	require.Equal(t, "created", e.Recovery().Outcome)
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err, "nothing is filed any more")
	resume()
}

func TestADirectoryThatIsNoStoreIsLeftAlone(t *testing.T) {
	for _, name := range []string{"a.txt", ".git", "wal.bak", "ledger.json.bak", "lock"} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("precious"), 0o600))
		before := tree(t, dir)
		_, err := Open(dir, nil)
		require.ErrorIs(t, err, ErrNotStore, name)
		require.ErrorContains(t, err, name)
		require.ErrorContains(t, err, dir)
		require.Equal(t, before, tree(t, dir), "nothing is written into it")
	}
}

func TestAFileIsNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("precious"), 0o600))
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		_, err := Open(dir, nil)
		require.Error(t, err)
		require.ErrorContains(t, err, file)
		require.ErrorContains(t, err, "not a directory")
	}
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "precious", string(b))
}

func TestAStoreOfANewerVersionIsRefusedUnharmed(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	appendOK(t, e, nil, event("T"))
	require.NoError(t, e.Close())
	path := filepath.Join(dir, ledger.FileName)
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	newer := bytes.Replace(old, []byte(`"version": 1`), []byte(`"version": 2`), 1)
	require.NotEqual(t, old, newer)
	require.NoError(t, os.WriteFile(path, newer, 0o644))
	_, err = Open(dir, nil)
	require.ErrorIs(t, err, ErrVersion)
	require.NotErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "2")
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, newer, got)
	require.NoError(t, os.WriteFile(path, old, 0o644))
	e = openStore(t, dir, nil, hooks{})
	require.Equal(t, "clean", e.Recovery().Outcome)
	require.EqualValues(t, 2, appendOK(t, e, nil, event("T")))
}

func TestStrangeButValidEventsComeBackIntact(t *testing.T) {
	long := strings.Repeat("é", 65_535/2) + "x"
	require.Len(t, long, 65_535)
	big := bytes.Repeat([]byte("0123456789abcde\xff"), 15<<10) // 240 KiB, not UTF-8; 15 MiB stand in a test of their own
	many := make([]Tag, 1024)
	for i := range many {
		many[i] = Tag(fmt.Sprint(i))
	}
	tm := time.Date(2026, 11, 23, 10, 0, 0, 123456789, time.FixedZone("east", 3600))
	events := []Event{
		{Type: "T", Tags: []Tag{"a/b", "/", "../../etc/passwd", "..", ".", "\x00", "a\x00b", "🦫", " ", "\n", "a:b:c", "*", "A", "a", "%2f", "é", "e\u0301"}, Time: tm},
		{Type: "../../x", Tags: []Tag{Tag(long)}, Time: tm},
		{Type: long, Time: tm},
		{Type: "\x00", Tags: many, Time: tm},
		{Type: "🦫", Data: nil, Time: tm},
		{Type: "T", Data: []byte{}, Time: tm},
		{Type: "T", Data: big, Time: tm},
		{Type: "T", Data: []byte(`{"a": 1.0, "b": [ ]}`), Time: tm},
		{Type: "T", Data: []byte(" {} "), Time: tm},
		{Type: "T", Data: []byte("null"), Time: tm},
		{Type: "T", Data: []byte{0}, Time: tm},
		{Type: "T", Metadata: map[string]string{"": "", "k": "\x00", "🦫": "🦫", "\n": "</script>"}, Time: tm},
		{Type: "T", ID: uuid.UUID{1, 2, 3}, Time: time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)},
		{Type: "T", Time: time.Date(0, 1, 1, 0, 0, 0, 1, time.UTC)},
	}
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	for _, ev := range events {
		appendOK(t, e, failIfExists(ByTypes("never")), ev)
	}
	check := func(when string) {
		got := checkDense(t, e)
		require.Len(t, got, len(events), when)
		for i, want := range events {
			requireSameEvent(t, want, got[i].Event, fmt.Sprintf("%s: event %d", when, i))
			for _, tag := range want.Tags[:min(len(want.Tags), 20)] {
				require.Equal(t, []Position{Position(i + 1)}, positionsOf(readAll(t, e, ByTags(tag), ReadOptions{After: Position(i), Before: Position(i + 2)})), when)
				_, err := e.Append(ctxb, []Event{event("T")}, failIfMatch(Match(QueryItem{Types: []string{want.Type}, Tags: []Tag{tag}}), Position(i)))
				require.ErrorIs(t, err, ErrConditionFailed, when)
			}
		}
	}
	check("in the log")
	require.NoError(t, e.WaitMaterialized(ctxb, e.Head()))
	check("filed")
	require.NoError(t, e.Close())
	e = openStore(t, dir, nil, hooks{})
	check("reopened")
	crashed := copyStore(t, e)
	require.NoError(t, e.Close())
	e = openStore(t, crashed, nil, hooks{})
	check("recovered")
}

func TestFifteenMiBComeBackIntact(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcde\n"), 15<<16)
	binary := bytes.Repeat([]byte("0123456789abcde\xff"), 15<<16)
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	check := func(p Position, want []byte) {
		got := readAll(t, e, AllEvents(), ReadOptions{After: p - 1, Limit: 1})
		require.Len(t, got, 1)
		require.True(t, bytes.Equal(want, got[0].Event.Data))
	}
	appendOK(t, e, nil, Event{Type: "T", Data: text})
	appendOK(t, e, nil, Event{Type: "T", Data: binary})
	check(1, text)
	check(2, binary)
	require.NoError(t, e.WaitMaterialized(ctxb, 2))
	require.NoError(t, e.Close())
	e = openStore(t, dir, nil, hooks{}) // from the files
	check(1, text)
	check(2, binary)
}

func requireSameEvent(t testing.TB, want, got Event, msg string) {
	t.Helper()
	require.Equal(t, want.ID, got.ID, msg)
	require.Equal(t, want.Type, got.Type, msg)
	require.True(t, bytes.Equal(want.Data, got.Data), msg)
	require.True(t, want.Time.Equal(got.Time), "%s: %v, want %v", msg, got.Time, want.Time)
	require.Equal(t, time.UTC, got.Time.Location(), msg)
	require.Len(t, got.Tags, len(want.Tags), msg)
	for i := range want.Tags {
		require.Equal(t, want.Tags[i], got.Tags[i], msg)
	}
	require.Len(t, got.Metadata, len(want.Metadata), msg)
	for k, v := range want.Metadata {
		require.Equal(t, v, got.Metadata[k], msg)
	}
}

func TestABatchOfAHundredThousandTinyEventsIsOneAppend(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	n := 100_000
	if testing.Short() {
		n = 20_000
	}
	events := make([]Event, n)
	for i := range events {
		events[i] = Event{Type: "T", Tags: []Tag{Tag(fmt.Sprint("mod:", i%1000))}}
	}
	require.EqualValues(t, n, appendOK(t, e, failIfMatch(AllEvents(), 0), events...))
	require.EqualValues(t, 1, e.Metrics().Groups.Count)
	require.Len(t, readAll(t, e, ByTags("mod:7"), ReadOptions{}), n/1000)
	require.NoError(t, e.Close())
	e = openStore(t, dir, nil, hooks{})
	require.EqualValues(t, n, e.Head())
	v, err := e.Read(ctxb, AllEvents(), ReadOptions{Backwards: true, Limit: 10})
	require.NoError(t, err)
	got, err := collect(v.All())
	require.NoError(t, err)
	require.EqualValues(t, n, got[0].Position)
}

func TestTimeIsSetByAppendIfThereIsNone(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 42, time.FixedZone("east", 3600))
	e := openStore(t, t.TempDir(), &Options{Flush: FlushDisabled, Clock: func() time.Time { return now }}, hooks{})
	own := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	appendOK(t, e, nil, event("T"), Event{Type: "T", Time: own})
	got := checkDense(t, e)
	require.Equal(t, now.UTC(), got[0].Event.Time)
	require.Equal(t, own, got[1].Event.Time)
}

func TestAConditionAfterTheGreatestPositionIsAllowed(t *testing.T) {
	e := newStore(t)
	for range 2 {
		appendOK(t, e, failIfMatch(AllEvents(), math.MaxUint64), event("T"))
	}
}
