package projection

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"opossum/dcb"
)

var (
	testID   = Identity{Name: "students", Version: 1, Query: "xxh64:0000000000000001", Store: "0190b5a5-7c6e-7d3a-9f00-000000000001"}
	testTime = time.Date(2026, 11, 23, 10, 0, 0, 123, time.UTC)
)

// testRecord is what a fold could keep of a key at a position.
func testRecord(key string, p dcb.Position) Record {
	text, _ := json.Marshal(key)
	return Record{Key: key, Position: p, Created: testTime, Updated: testTime.Add(time.Duration(p) * time.Second), Version: uint64(p)/3 + 1,
		State: fmt.Appendf(nil, `{"at":%d,"key":%s}`, p, text), Tags: []dcb.Tag{"all", dcb.Tag(fmt.Sprintf("mod:%d", p%7))}}
}

func deletion(key string, p dcb.Position) Record { return Record{Key: key, Position: p} }

func openFiles(t testing.TB, dir string) Stores {
	s, err := Files(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// both runs a test over all kinds of stores.
func both(t *testing.T, test func(t *testing.T, s Stores)) {
	t.Run("memory", func(t *testing.T) { test(t, Memory()) })
	t.Run("files", func(t *testing.T) { test(t, openFiles(t, t.TempDir())) })
}

func build(t testing.TB, s Stores, id Identity, fresh bool) Store {
	b, err := s.Build(id, fresh)
	require.NoError(t, err)
	return b
}

func live(t testing.TB, s Stores, id Identity) Store {
	l, err := s.Live(id)
	require.NoError(t, err)
	return l
}

// started returns an empty live store.
func started(t testing.TB, s Stores) Store {
	b := build(t, s, testID, true)
	require.NoError(t, s.Replace(testID))
	return b
}

func save(t testing.TB, s Store, at dcb.Position, records ...Record) {
	require.NoError(t, s.Save(records, Checkpoint{at, uint64(at)}))
}

// requireHas fails unless these are all the states of a store, and its index says so.
func requireHas(t testing.TB, s Store, at dcb.Position, records ...Record) {
	require.Equal(t, Checkpoint{at, uint64(at)}, s.Checkpoint())
	require.Equal(t, len(records), s.Index().Len())
	for _, r := range records {
		got, err := s.Get(r.Key)
		require.NoError(t, err)
		require.Equal(t, r, got)
		info, ok := s.Index().Get(r.Key)
		require.True(t, ok)
		require.Equal(t, InfoOf(r), info)
	}
}

func requireNone(t testing.TB, s Store, keys ...string) {
	for _, key := range keys {
		_, err := s.Get(key)
		require.ErrorIs(t, err, dcb.ErrNotFound, key)
		_, ok := s.Index().Get(key)
		require.False(t, ok)
	}
}

func TestStoresKeepWhatIsSaved(t *testing.T) {
	both(t, func(t *testing.T, stores Stores) {
		s := started(t, stores)
		requireHas(t, s, 0)
		requireNone(t, s, "a", "none")
		odd := []string{"a", "A", "./..", "con", "\xff\x00", strings.Repeat("long", 1000), "é", "sp ace ", "k\"\\\n"}
		var all []Record
		for i, key := range odd {
			all = append(all, testRecord(key, dcb.Position(i+1)))
		}
		save(t, s, 10, all...)
		requireHas(t, s, 10, all...)
		all[0] = testRecord("a", 12)
		save(t, s, 12, all[0])
		save(t, s, 15) // a checkpoint alone
		save(t, s, 16, all[0], all[1])
		requireHas(t, s, 16, all...)
		save(t, s, 20, deletion("none", 19), deletion("A", 18))
		requireNone(t, s, "A", "none")
		all[1] = testRecord("A", 21)
		save(t, s, 22, all[1])
		requireHas(t, s, 22, all...)
		require.Len(t, s.Index().Tagged("all", "mod:0"), 2)

		got, err := s.Get("a")
		require.NoError(t, err)
		got.State[0], got.Tags[0] = 'x', "x" // it is the caller's
		requireHas(t, s, 22, all...)

		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		_, err = s.Get("a")
		require.ErrorIs(t, err, dcb.ErrClosed)
		require.ErrorIs(t, s.Save(nil, Checkpoint{30, 30}), dcb.ErrClosed)
		requireHas(t, live(t, stores, testID), 22, all...)
		require.NoError(t, stores.Close())
		require.NoError(t, stores.Close())
		_, err = stores.Live(testID)
		require.ErrorIs(t, err, dcb.ErrClosed)
		_, err = stores.Build(testID, false)
		require.ErrorIs(t, err, dcb.ErrClosed)
		require.ErrorIs(t, stores.Replace(testID), dcb.ErrClosed)
		require.False(t, stores.Interrupted(testID))
	})
}

// A deletion above the checkpoint is remembered until the checkpoint has come to it: an event from before it must not find nothing, and begin anew.
func TestStoresRememberDeletionsAboveTheCheckpoint(t *testing.T) {
	both(t, func(t *testing.T, stores Stores) {
		s := started(t, stores)
		save(t, s, 10, testRecord("a", 5), testRecord("b", 6))
		save(t, s, 10, deletion("a", 15), deletion("new", 16), testRecord("b", 17))
		for range 2 {
			for key, p := range map[string]dcb.Position{"a": 15, "new": 16} {
				r, err := s.Get(key)
				require.NoError(t, err)
				require.Equal(t, deletion(key, p), r)
			}
			requireHas(t, s, 10, testRecord("b", 17))
			require.NoError(t, s.Close())
			s = live(t, stores, testID)
		}
		save(t, s, 12, deletion("a", 15), testRecord("b", 17)) // replayed: they are what they were
		requireHas(t, s, 12, testRecord("b", 17))
		save(t, s, 15)
		requireNone(t, s, "a")
		r, err := s.Get("new")
		require.NoError(t, err)
		require.True(t, r.Deleted())
		save(t, s, 18, testRecord("new", 18))
		requireHas(t, s, 18, testRecord("b", 17), testRecord("new", 18))
	})
}

func TestStoresRefuseWhatIsNoRecord(t *testing.T) {
	both(t, func(t *testing.T, stores Stores) {
		s := started(t, stores)
		for _, change := range []func(r *Record){
			func(r *Record) { r.Key = "" },
			func(r *Record) { r.Position = 0 },
			func(r *Record) { r.State = []byte(`{`) },
			func(r *Record) { r.State = []byte(` 1`) },
			func(r *Record) { r.State = []byte("\"\xff\"") },
			func(r *Record) { r.Tags = []dcb.Tag{"\xff"} },
			func(r *Record) { r.Updated = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		} {
			r := testRecord("a", 3)
			change(&r)
			require.Error(t, s.Save([]Record{testRecord("b", 2), r}, Checkpoint{3, 3}))
		}
		requireHas(t, s, 0)
	})
}

func TestStoresOpenOnlyWhatFits(t *testing.T) {
	both(t, func(t *testing.T, stores Stores) {
		_, err := stores.Live(testID)
		require.ErrorIs(t, err, ErrUnfit)
		require.ErrorIs(t, err, dcb.ErrNotFound, "nothing is wrong with what was never there")
		require.ErrorIs(t, stores.Replace(testID), dcb.ErrInvalidOption)
		require.NoError(t, started(t, stores).Close())
		for what, change := range map[string]func(id *Identity){
			"version": func(id *Identity) { id.Version++ }, "query": func(id *Identity) { id.Query += "x" }, "store": func(id *Identity) { id.Store += "x" },
		} {
			id := testID
			change(&id)
			_, err := stores.Live(id)
			require.ErrorIs(t, err, ErrUnfit)
			require.NotErrorIs(t, err, dcb.ErrNotFound)
			require.ErrorContains(t, err, "the "+what+" is")
		}
		for _, name := range []string{"", "A", ".build", "a/b", "con", strings.Repeat("x", 65)} {
			id := testID
			id.Name = name
			_, err := stores.Live(id)
			require.ErrorIs(t, err, dcb.ErrInvalidOption)
			_, err = stores.Build(id, true)
			require.ErrorIs(t, err, dcb.ErrInvalidOption)
		}
		l := live(t, stores, testID)
		_, err = stores.Live(testID)
		require.ErrorIs(t, err, dcb.ErrLocked)
		b := build(t, stores, testID, false)
		_, err = stores.Build(testID, true)
		require.ErrorIs(t, err, dcb.ErrLocked)
		require.NoError(t, b.Close())
		require.ErrorIs(t, stores.Replace(testID), dcb.ErrInvalidOption)
		require.NoError(t, l.Close())
	})
}

func TestStoresReplace(t *testing.T) {
	both(t, func(t *testing.T, stores Stores) {
		s := started(t, stores)
		save(t, s, 10, testRecord("a", 5), testRecord("b", 6))
		next := testID
		next.Version = 2
		b := build(t, stores, next, false)
		save(t, b, 5, testRecord("a", 4))
		require.False(t, stores.Interrupted(next), "it is open")
		require.ErrorIs(t, stores.Replace(testID), ErrUnfit)
		require.NoError(t, b.Close())
		require.True(t, stores.Interrupted(next))
		require.False(t, stores.Interrupted(testID), "of another version")
		b = build(t, stores, next, false)
		requireHas(t, b, 5, testRecord("a", 4))
		require.NoError(t, b.Close())
		b = build(t, stores, next, true)
		requireHas(t, b, 0)
		save(t, b, 12, testRecord("a", 12), testRecord("c", 11))
		require.NoError(t, stores.Replace(next))
		requireHas(t, b, 12, testRecord("a", 12), testRecord("c", 11))
		requireHas(t, s, 10, testRecord("a", 5), testRecord("b", 6)) // still
		require.False(t, stores.Interrupted(next))
		b2 := build(t, stores, next, false)
		requireHas(t, b2, 0)
		save(t, b2, 20, testRecord("z", 20))
		require.NoError(t, stores.Replace(next))
		requireHas(t, s, 10, testRecord("a", 5), testRecord("b", 6))
		requireHas(t, b, 12, testRecord("a", 12), testRecord("c", 11))
		require.NoError(t, s.Close())
		require.NoError(t, b.Close())
		save(t, b2, 21, testRecord("z", 21))
		require.NoError(t, b2.Close())
		requireHas(t, live(t, stores, next), 21, testRecord("z", 21))
	})
}

// Who reads beside the one who saves, replaces and closes gets a state that was saved, and its index never says less than what was saved before.
func TestStoresAreReadBesideSaves(t *testing.T) {
	both(t, func(t *testing.T, stores Stores) {
		s := started(t, stores)
		const keys = 5
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for range 3 {
			wg.Go(func() {
				last := map[string]dcb.Position{}
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					key := fmt.Sprint(i % keys)
					r, err := s.Get(key)
					if err != nil {
						if !errors.Is(err, dcb.ErrNotFound) && !errors.Is(err, dcb.ErrClosed) {
							t.Error(err)
							return
						}
						continue
					}
					if r.Position < last[key] || string(r.State) != string(testRecord(key, r.Position).State) {
						t.Errorf("%s at %d after %d: %s", key, r.Position, last[key], r.State)
					}
					last[key] = r.Position
					_ = s.Index().Tagged("all")
				}
			})
		}
		p := dcb.Position(0)
		for round := range 100 {
			var records []Record
			for k := range keys {
				p++
				if r := testRecord(fmt.Sprint(k), p); (round+k)%4 == 0 {
					records = append(records, deletion(r.Key, p))
				} else {
					records = append(records, r)
				}
			}
			save(t, s, p, records...)
		}
		started(t, stores)
		save(t, s, p+1, testRecord("1", p+1)) // one that was replaced is followed while somebody reads it
		require.NoError(t, s.Close())
		close(stop)
		wg.Wait()
	})
}
