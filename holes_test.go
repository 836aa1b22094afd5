package opossum

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum/internal/segment"
)

// The holes H1 to H11 of the .NET original (reference/opossum.md, 3.4), each with a test that shows the opposite, or a
// line why it cannot arise.

// H1: after a failure in mid-append the next append took the same position, found the orphan's file and was lost. Here
// a failure poisons the engine: nothing is written until recovery has decided, once, what there is.
func TestH1NoAcknowledgedAppendIsLostAfterAFailedOne(t *testing.T) {
	dir, v := t.TempDir(), new(valve)
	h := hooks{}
	h.wal.Write = v.write
	e := openStore(t, dir, nil, h)
	appendOK(t, e, nil, event("First", "first"))
	v.fail(syscall.ENOSPC)
	_, err := e.Append(ctxb, []Event{event("Failed", "failed")}, nil)
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	v.fail(nil)
	_, err = e.Append(ctxb, []Event{event("Next", "next")}, nil)
	require.ErrorIs(t, err, ErrPoisoned, "no position is given out a second time")
	require.NoError(t, e.Close())
	e = openStore(t, dir, nil, hooks{})
	p := appendOK(t, e, nil, event("Next", "next"))
	require.NoError(t, e.WaitMaterialized(ctxb, p))
	all := checkDense(t, e)
	require.Equal(t, "First", all[0].Event.Type)
	require.Equal(t, "Next", all[len(all)-1].Event.Type)
	require.Equal(t, []Position{p}, positionsOf(readAll(t, e, ByTags("next"), ReadOptions{})), "no index points at another event")
}

// H1, the other way round: an orphan file where the next event will be filed is replaced, never taken for it.
func TestH1AnOrphanedEventFileIsNeverTakenForAnother(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	p := appendOK(t, e, nil, event("T", "one"))
	require.NoError(t, e.WaitMaterialized(ctxb, p))
	one := e.files.Path(1)
	two := e.files.Path(2)
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	require.NoError(t, copyFile(one, two))
	resume()
	appendOK(t, e, nil, Event{Type: "T", Tags: []Tag{"two"}, Data: []byte(`{"a":2}`)})
	require.NoError(t, e.WaitMaterialized(ctxb, 2))
	require.NoError(t, e.Close())
	e = openStore(t, dir, nil, hooks{}) // now the files are what is read
	all := checkDense(t, e)
	require.Equal(t, []Tag{"two"}, all[1].Event.Tags)
	require.Equal(t, `{"a":2}`, string(all[1].Event.Data))
}

// H2: tags were validated after the file was written, so that a bad one cost the next append.
func TestH2ARefusedAppendDoesNotCostTheNextOne(t *testing.T) {
	e := openStore(t, t.TempDir(), nil, hooks{})
	for i, tag := range []Tag{"", Tag(strings.Repeat("x", 70_000)), "a\xff"} {
		_, err := e.Append(ctxb, []Event{event("Bad", "ok", tag)}, nil)
		require.ErrorIs(t, err, ErrInvalidEvent)
		require.EqualValues(t, i+1, appendOK(t, e, nil, event("Good", Tag(fmt.Sprint("n:", i)), Tag(strings.Repeat("long", 1000)))))
	}
	require.NoError(t, e.WaitMaterialized(ctxb, 3))
	require.Len(t, readAll(t, e, ByTypes("Good"), ReadOptions{}), 3)
	require.Empty(t, readAll(t, e, ByTags("ok"), ReadOptions{}))
}

// H3: after a crash conditions were checked before the store was reconciled, and orphans were never seen. Open
// indexes the log's tail before the first append can come.
func TestH3AfterACrashTheFirstConditionSeesEverything(t *testing.T) {
	e := openStore(t, t.TempDir(), nil, hooks{})
	appendOK(t, e, nil, event("Registered", "email:a"))
	require.NoError(t, e.WaitMaterialized(ctxb, 1))
	resume, err := e.PauseFiling(ctxb)
	require.NoError(t, err)
	appendOK(t, e, nil, event("Registered", "email:b")) // in the log alone
	resume()
	crashed := openStore(t, copyStore(t, e), nil, hooks{})
	for i, tag := range []Tag{"email:a", "email:b"} {
		_, err := crashed.Append(ctxb, []Event{event("Registered", tag)}, failIfExists(ByTags(tag)))
		require.ErrorIs(t, err, ErrAlreadyExists)
		_, err = crashed.Append(ctxb, []Event{event("Registered", tag)}, failIfMatch(ByTags(tag), Position(i)))
		require.ErrorIs(t, err, ErrConditionFailed)
	}
}

// H4: a second process that crashed was not reconciled by the first. One process owns the directory: see
// TestASecondOpenerIsToldWhoOwnsTheStore. And a deleted ledger is damage, not a new beginning:
func TestH4ADeletedLedgerIsDamageAndNotANewBeginning(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	appendOK(t, e, nil, event("T"))
	require.NoError(t, e.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, "ledger.json")))
	_, err := Open(dir, nil)
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, "ledger.json")
}

// H5: reads without a snapshot lost conflicts. See TestAViewIsPinnedAtOneHeadWhateverIsAppendedMeanwhile and
// TestAReadPlusItsHeadIsASafeBasisForACondition. H6: dirty reads, see the former (no half of a batch) and
// TestStagedEventsCountForConditionsAndAreInvisibleToReads.
func TestH5ConcurrentAppendsBetweenTheItemsOfAReadAreNotMissed(t *testing.T) {
	e := newStore(t)
	appendOK(t, e, nil, event("A"), event("B"))
	v, err := e.Read(ctxb, ByTypes("A").Or(ByTypes("B")), ReadOptions{})
	require.NoError(t, err)
	seen := []Position{}
	for ev, err := range v.All() {
		require.NoError(t, err)
		seen = append(seen, ev.Position)
		appendOK(t, e, nil, event("A"), event("B")) // while the view is iterated
	}
	require.Equal(t, span(1, 2), seen)
	_, err = e.Append(ctxb, []Event{event("T")}, failIfMatch(ByTypes("A").Or(ByTypes("B")), v.Head()))
	require.Equal(t, "exists=false at 3", conditionError(err), "the head of the view, not the highest position read elsewhere, is the basis")
}

// H7: a corrupt index counted as empty. What cannot be read, be it an event or its index, is an error; and the index is built
// anew from the events.
func TestH7WhatCannotBeReadIsNeverTakenForEmpty(t *testing.T) {
	damage := map[string]func(b []byte) []byte{
		"a changed byte": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"emptied":        func([]byte) []byte { return nil },
		"cut":            func(b []byte) []byte { return b[:len(b)-1] },
		"removed":        nil,
	}
	apply := func(t *testing.T, path string, change func(b []byte) []byte) {
		if change == nil {
			require.NoError(t, os.Remove(path))
			return
		}
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, change(b), 0o644))
	}
	closed := func(t *testing.T) (dir string) {
		dir = t.TempDir()
		e := openStore(t, dir, nil, hooks{})
		appendOK(t, e, nil, event("T", "a"), event("T", "b"))
		require.NoError(t, e.WaitMaterialized(ctxb, 2))
		require.NoError(t, e.Close())
		return dir
	}
	for how, change := range damage {
		t.Run("an event file, "+how, func(t *testing.T) {
			dir := closed(t)
			path := filepath.Join(dir, "events", "00000000000000000001", "00000000000000000001.json")
			apply(t, path, change)
			e := openStore(t, dir, nil, hooks{})
			_, err := e.ReadLast(ctxb, ByTags("a"))
			require.ErrorIs(t, err, ErrCorrupt)
			require.NotErrorIs(t, err, ErrNotFound)
			var c *CorruptError
			require.ErrorAs(t, err, &c)
			require.Equal(t, path, c.File)
			last, err := e.ReadLast(ctxb, ByTags("b"))
			require.NoError(t, err, "the others are read")
			require.EqualValues(t, 2, last.Position)
			_, err = e.Append(ctxb, []Event{event("T")}, failIfMatch(ByTags("a"), 0))
			require.ErrorIs(t, err, ErrConditionFailed, "the index is enough for a condition")
		})
		t.Run("an index segment, "+how, func(t *testing.T) {
			dir := closed(t)
			path := filepath.Join(dir, "index", segment.Name(segment.Range{First: 1, Last: 2}))
			apply(t, path, change)
			e := openStore(t, dir, nil, hooks{})
			for rebuilt := false; !rebuilt; runtime.Gosched() {
				m := e.Metrics()
				rebuilt = m.Rebuilt > 0 || e.Recovery().IndexBuilt == 2
				last, err := e.ReadLast(ctxb, ByTags("a"))
				if err == nil {
					require.EqualValues(t, 1, last.Position)
				} else {
					require.ErrorIs(t, err, ErrCorrupt)
					require.ErrorContains(t, err, path)
				}
				_, err = e.Append(ctxb, []Event{event("T")}, failIfMatch(ByTags("a"), 0))
				if !errors.Is(err, ErrConditionFailed) {
					require.ErrorIs(t, err, ErrCorrupt, "a condition that cannot be checked is not passed")
				}
			}
			last, err := e.ReadLast(ctxb, ByTags("b"))
			require.NoError(t, err)
			require.EqualValues(t, 2, last.Position)
			require.EqualValues(t, 2, e.Head())
		})
	}
}

// H8: an All() query without a position appended unchecked.
func TestH8AConditionOnEverythingFromTheStartIsChecked(t *testing.T) {
	e := newStore(t)
	v, err := e.Read(ctxb, AllEvents(), ReadOptions{}) // of an empty store
	require.NoError(t, err)
	require.Zero(t, v.Head())
	appendOK(t, e, nil, event("T"))
	_, err = e.Append(ctxb, []Event{event("T")}, failIfMatch(AllEvents(), v.Head()))
	require.ErrorIs(t, err, ErrConditionFailed)
	_, err = e.Append(ctxb, []Event{event("T")}, failIfExists(AllEvents()))
	require.ErrorIs(t, err, ErrAlreadyExists)
}

// H9: index files whose names collided ("a_b:c" and "a:b_c", "x/y" and "x_y", case).
func TestH9TagsAndTypesThatLookAlikeAreKeptApart(t *testing.T) {
	alike := []string{"a_b:c", "a:b_c", "x/y", "x_y", "x\\y", "Key:v", "key:v", "KEY:V", "é", "e\u0301", "k:v", "k: v", "k:v ", "k\x00:v", "k"}
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	for _, s := range alike {
		appendOK(t, e, &Condition{FailIfMatch: ByTypes(s), FailIfExists: ByTags(Tag(s))}, event(s, Tag(s)))
	}
	check := func() {
		for i, s := range alike {
			want := []Position{Position(i + 1)}
			require.Equal(t, want, positionsOf(readAll(t, e, ByTags(Tag(s)), ReadOptions{})), "%q", s)
			require.Equal(t, want, positionsOf(readAll(t, e, ByTypes(s), ReadOptions{})), "%q", s)
		}
	}
	check()
	require.NoError(t, e.WaitMaterialized(ctxb, e.Head()))
	require.NoError(t, e.Close())
	e = openStore(t, dir, nil, hooks{})
	check()
}

// H10: maintenance outside the lock cannot arise: there is no call that changes or deletes events, and the lock is held for
// the life of the engine. The lock's file stays, so that two owners never lock two files of one name:
func TestH10TheLockFileIsNeverRemoved(t *testing.T) {
	dir := t.TempDir()
	e := openStore(t, dir, nil, hooks{})
	before, err := os.Stat(filepath.Join(dir, "LOCK"))
	require.NoError(t, err)
	require.NoError(t, e.Close())
	e = openStore(t, dir, nil, hooks{})
	after, err := os.Stat(filepath.Join(dir, "LOCK"))
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after))
	_, err = Open(dir, nil)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, e.Close())
}

// H11: gaps cannot arise, as positions are assigned under one lock in the order of the log; Unix locks are flock, whose
// errors are errors; the lock is not polled; opening lists no events directory under a lock that others wait for; counts are uint64.
// Content is checksummed and its position is part of it:
func TestH11AnEventFileInAnothersPlaceOrWithOtherContentIsNotTrusted(t *testing.T) {
	changes := map[string]func(t *testing.T, e *Engine){
		"swapped": func(t *testing.T, e *Engine) {
			one, two := e.files.Path(1), e.files.Path(2)
			require.NoError(t, os.Rename(one, one+".x"))
			require.NoError(t, os.Rename(two, one))
			require.NoError(t, os.Rename(one+".x", two))
		},
		"copied": func(t *testing.T, e *Engine) {
			require.NoError(t, os.Remove(e.files.Path(2)))
			require.NoError(t, copyFile(e.files.Path(1), e.files.Path(2)))
		},
		"edited by hand": func(t *testing.T, e *Engine) {
			b, err := os.ReadFile(e.files.Path(2))
			require.NoError(t, err)
			edited := strings.Replace(string(b), `"b"`, `"c"`, 1)
			require.NotEqual(t, string(b), edited)
			require.True(t, json.Valid([]byte(edited)))
			require.NoError(t, os.WriteFile(e.files.Path(2), []byte(edited), 0o644))
		},
	}
	for how, change := range changes {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			e := openStore(t, dir, nil, hooks{})
			appendOK(t, e, nil, event("T", "a"), event("T", "b"), event("T", "c"))
			require.NoError(t, e.WaitMaterialized(ctxb, 3))
			require.NoError(t, e.Close())
			change(t, e)
			e = openStore(t, dir, nil, hooks{})
			_, err := e.ReadLast(ctxb, ByTags("b"))
			require.ErrorIs(t, err, ErrCorrupt)
			var c *CorruptError
			require.True(t, errors.As(err, &c))
			require.Contains(t, c.File, filepath.Join(dir, "events"))
		})
	}
}
