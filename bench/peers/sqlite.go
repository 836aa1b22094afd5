package peers

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"

	"opossum"
	"opossum/bench/harness"
)

// SQLite is the C library: a table of events, and one of terms without row ids, which is the index itself.
//
// # How it is used
//
// One connection writes. Concurrent appends share a transaction on it by the [committer] (BEGIN IMMEDIATE, prepared statements, one INSERT for all terms of an
// event), each checked against what the one before it has inserted. Readers have connections of their own, which WAL lets go on beside the writer.
//
// # Settings
//
// journal_mode WAL and synchronous FULL: the log is synced at each commit. cache_size 64 MiB for each connection that uses it. wal_autocheckpoint
// at 64 MiB of log, like the memtables of the LSM trees, where the default of 4 MiB was slower at 1, 16 and 64 writers. All else is the default.
//
// go-sqlite3 compiles the library without fdatasync, so it calls fsync; compiled with -DHAVE_FDATASYNC=1 it was as fast, within the noise.
//
// Without flush: synchronous NORMAL, which syncs at checkpoints only.
//
// # What it cannot do
//
// A query of more than some 32,000 types and tags: a statement has so many parameters.
func SQLite() harness.Way {
	return harness.Way{Name: "sqlite", What: "SQLite, WAL, shared transactions, index in a table", Store: true, Settings: sqliteSettings,
		Open: openingStore(func(dir string, flush bool) (*sqlite, error) { return openSQLite(dir, flush, true) })}
}

// SQLitePlain is [SQLite] without the index.
func SQLitePlain() harness.Way {
	return harness.Way{Name: "sqlite-plain", What: "SQLite, WAL, shared transactions, no index", Settings: sqliteSettings,
		Open: opening(func(dir string, flush bool) (*sqlite, error) { return openSQLite(dir, flush, false) })}
}

const sqliteSettings = "journal_mode WAL, synchronous FULL, cache_size 64 MiB, wal_autocheckpoint 64 MiB; appends that wait share a transaction"

const sqliteSchema = `
CREATE TABLE IF NOT EXISTS events (position INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS terms (term TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (term, position)) WITHOUT ROWID;
PRAGMA wal_autocheckpoint = 16384;
`

type sqlite struct {
	indexed   bool
	writer    *sql.DB
	conn      *sql.Conn // the one of writer
	readers   *sql.DB
	committer committer
	last      atomic.Uint64
	prepared  map[string]*sql.Stmt // on conn; only who commits uses it
}

func openSQLite(dir string, flush, indexed bool) (_ *sqlite, err error) {
	file := "file:" + (&url.URL{Path: filepath.Join(dir, "events.sqlite")}).EscapedPath() + "?_busy_timeout=10000&_cache_size=-65536"
	synchronous := "FULL"
	if !flush {
		synchronous = "NORMAL"
	}
	s := &sqlite{indexed: indexed, prepared: make(map[string]*sql.Stmt)}
	s.committer.commit = s.commit
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.writer, err = sql.Open("sqlite3", file+"&_journal_mode=WAL&_synchronous="+synchronous); err != nil {
		return nil, err
	}
	if s.readers, err = sql.Open("sqlite3", file+"&_query_only=1&_stmt_cache_size=16"); err != nil {
		return nil, err
	}
	s.readers.SetMaxOpenConns(4 * runtime.GOMAXPROCS(0))
	s.readers.SetMaxIdleConns(4 * runtime.GOMAXPROCS(0))
	ctx := context.Background()
	if s.conn, err = s.writer.Conn(ctx); err != nil {
		return nil, err
	}
	if _, err = s.conn.ExecContext(ctx, sqliteSchema); err != nil {
		return nil, err
	}
	var last int64
	err = s.conn.QueryRowContext(ctx, "SELECT coalesce(max(position), 0) FROM events").Scan(&last)
	s.last.Store(uint64(last))
	return s, err
}

func (s *sqlite) append(_ context.Context, a *attempt) error { return s.committer.do(a) }

func (s *sqlite) commit(group []*attempt) {
	if err := s.run("BEGIN IMMEDIATE"); err != nil {
		settle(group, err)
		return
	}
	head, err := s.insert(group)
	if err == nil && head > s.head() {
		if err = s.run("COMMIT"); err == nil {
			s.last.Store(uint64(head))
			return
		}
	}
	settle(group, errors.Join(err, s.run("ROLLBACK")))
}

// insert judges and inserts the appends of a group, and returns the position of the last event.
func (s *sqlite) insert(group []*attempt) (opossum.Position, error) {
	head := s.head()
	for _, a := range group {
		if a.err = judge(a.cond, s.matches); a.err != nil {
			continue
		}
		for i := range a.events {
			head++
			if err := s.put(head, &a.events[i], a.records[i]); err != nil {
				return 0, err
			}
		}
	}
	return head, nil
}

func (s *sqlite) put(p opossum.Position, e *opossum.Event, record []byte) error {
	if err := s.run("INSERT INTO events VALUES (?, ?)", int64(p), record); err != nil || !s.indexed {
		return err
	}
	args := []any{typeTerm(e.Type), int64(p)}
	for _, t := range e.Tags {
		args = append(args, tagTerm(t), int64(p))
	}
	return s.run("INSERT INTO terms VALUES (?, ?)"+strings.Repeat(", (?, ?)", len(e.Tags)), args...)
}

func (s *sqlite) run(text string, args ...any) error {
	stmt, err := s.prepare(text)
	if err == nil {
		_, err = stmt.Exec(args...)
	}
	return err
}

// matches asks on the connection that writes, which sees what the transaction has written.
func (s *sqlite) matches(q opossum.Query, after opossum.Position) (bool, error) {
	where, args := matching(q)
	stmt, err := s.prepare("SELECT EXISTS (" + where + " AND position > ?)")
	if err != nil {
		return false, err
	}
	var found bool
	err = stmt.QueryRow(append(args, int64(min(after, math.MaxInt64)))...).Scan(&found)
	return found, err
}

func (s *sqlite) prepare(text string) (*sql.Stmt, error) {
	if stmt := s.prepared[text]; stmt != nil {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(context.Background(), text)
	if err == nil {
		s.prepared[text] = stmt
	}
	return stmt, err
}

func typeTerm(t string) string { return "y" + t }

func tagTerm(t opossum.Tag) string { return "g" + string(t) }

// matching is a SELECT of the positions of all that match, ready for more ANDs.
func matching(q opossum.Query) (string, []any) {
	if q.IsAll() {
		return "SELECT position FROM events WHERE true", nil
	}
	var args []any
	var items []string
	q.Terms(func(types []string, tags []opossum.Tag) {
		var lists []string
		for _, t := range tags {
			lists = append(lists, "term = ?")
			args = append(args, tagTerm(t))
		}
		if len(types) > 0 {
			lists = append(lists, "term IN (?"+strings.Repeat(", ?", len(types)-1)+")")
			for _, t := range types {
				args = append(args, typeTerm(t))
			}
		}
		text := "SELECT position FROM terms AS first WHERE " + lists[0]
		for _, l := range lists[1:] { // looked up for each position of the first; IN would list all of theirs before
			text += " AND EXISTS (SELECT 1 FROM terms WHERE " + l + " AND position = first.position)"
		}
		items = append(items, text)
	})
	if len(items) == 1 {
		return items[0], args
	}
	return "SELECT position FROM (" + strings.Join(items, " UNION ") + ") WHERE true", args
}

func (s *sqlite) read(ctx context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error {
	where, args := matching(q)
	text := "SELECT position, record FROM (" + where + " ORDER BY position) JOIN events USING (position) ORDER BY position"
	if q.IsAll() {
		text = "SELECT position, record FROM events ORDER BY position"
	}
	if newest > 0 {
		text = strings.ReplaceAll(text, "ORDER BY position", "ORDER BY position DESC") + " LIMIT ?"
		args = append(args, newest)
	}
	rows, err := s.readers.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var p int64
		var record []byte
		if err := rows.Scan(&p, &record); err != nil {
			return err
		}
		e, err := harness.DecodeRecord(record)
		if err != nil {
			return err
		}
		yield(opossum.SequencedEvent{Position: opossum.Position(p), Event: e})
	}
	return rows.Err()
}

func (s *sqlite) head() opossum.Position { return opossum.Position(s.last.Load()) }

func (s *sqlite) close() error {
	var all []error
	for _, stmt := range s.prepared {
		all = append(all, stmt.Close())
	}
	if s.conn != nil {
		all = append(all, s.conn.Close())
	}
	for _, db := range []*sql.DB{s.readers, s.writer} {
		if db != nil {
			all = append(all, db.Close())
		}
	}
	return errors.Join(all...)
}
