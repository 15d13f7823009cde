// Package sqlstore implements [twofa.Store] in a SQL database, through
// database/sql. The host brings the driver and the [sql.DB], and creates the
// tables with [Migrate] or from the files in [Migrations]:
//
//	err := sqlstore.Migrate(ctx, db, sqlstore.PostgreSQL)
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
//
// A Get of up to 1,100 keys takes one round trip. So does a Swap without events,
// and on PostgreSQL a Swap with events. On the other databases, a Swap with events
// is a transaction. A Swap that finds another version than it expects takes one
// round trip more, to distinguish a conflict from a repeat. On MySQL, every Swap
// takes one more, to check the settings of the session.
//
// A [Store] leaves no session state on a connection, so a pooler such as
// PgBouncer may give each transaction another connection. Migrate on MySQL holds
// a lock of its session until it returns.
//
// Reads must go to the server that accepts the writes. If a proxy sends SELECTs
// to a replica, then [twofa.Manager.Check] accepts revoked sessions, and
// CheckAction accepts proofs that have been used up, until the replica has caught
// up. The database must also flush a commit to disk before it acknowledges it.
// Otherwise a crash makes a used code valid again.
//
// PostgreSQL: keep synchronous_commit on. With pgx behind a pooler that does not
// support prepared statements, add default_query_exec_mode=exec.
//
// MySQL and MariaDB: keep innodb_flush_log_at_trx_commit=1. Keep autocommit=1 and
// completion_type=NO_CHAIN, the defaults. With other values, a read stays in an open
// transaction and shows the records as they were when it began, so all methods and
// [Migrate] return an error. Add
// interpolateParams=true to the DSN to save a round trip for each statement. On
// a Galera cluster with more than one node that accepts writes, set
// wsrep_sync_wait=7. Without its first bit, reads may be stale. Without the others,
// a Swap conflicts if it comes right after a Swap on another node.
//
// SQLite: several processes on one machine may share a file on a local disk, if
// each waits for the others. With modernc.org/sqlite:
//
//	file:app.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate
//
// Do not use synchronous=NORMAL, which is often recommended with WAL: a power
// failure can lose the last commits.
//
// Events are stored until [twofa.Manager.DeleteEvents] deletes them. A large table
// can be partitioned by time, see [Retention].
//
// [Retention]: https://github.com/twofa-go/twofa/blob/main/docs/retention.md
package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// maxKeys is the largest number of keys in one query. It is enough for the records
// of 1,000 members and their account. Every database limits the number of
// arguments. The lowest limit is 32,766, in SQLite.
const maxKeys = 1100

// swapTimeout bounds the time between an event and its commit. It is less than
// the minute that a reader of events stays behind, see [twofa.EventReader].
const swapTimeout = 30 * time.Second

// Store is a [twofa.Store], a [twofa.EventReader], a [twofa.KeyLister], a
// [twofa.NoticeStore], a [twofa.EventEraser] and a [twofa.EventDeleter]. The zero
// Store is not usable. Create a Store with [New]. Its methods may be called
// concurrently, by any number of processes that share the database.
type Store struct {
	db      *sql.DB
	dialect Dialect
	// The statements of nearly every operation, which are built only once: a read
	// of two records, and on PostgreSQL an update with one event.
	selectTwo, updateWithEvent string
}

// New returns a Store that uses the tables in db. They must already exist, see
// [Migrate]. New does not connect. It returns an error if db is nil or the
// dialect is unknown.
func New(db *sql.DB, dialect Dialect) (*Store, error) {
	if db == nil {
		return nil, errors.New("sqlstore: db is nil")
	}
	if err := dialect.check(); err != nil {
		return nil, err
	}
	update := writeAndInsert(statement{query: updateRecord}, statement{query: rowsQuery(1)})
	return &Store{db, dialect, dialect.rebind(dialect.selectQuery(2)), dialect.rebind(update.query)}, nil
}

// Get implements [twofa.Store]. It returns an error if a key is longer than 512
// bytes.
func (s *Store) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	var found []twofa.Record
	for some := range slices.Chunk(keys, maxKeys) {
		records, err := s.get(ctx, some)
		if err != nil {
			return nil, fmt.Errorf("sqlstore: get: %w", err)
		}
		found = append(records, found...) // in any order, and nearly always there is one chunk
	}
	return found, nil
}

func (s *Store) get(ctx context.Context, keys []string) ([]twofa.Record, error) {
	for _, key := range keys {
		if len(key) > maxKey {
			return nil, fmt.Errorf("%w: key must be at most %d bytes, is %d bytes", errTooLong, maxKey, len(key))
		}
	}
	query := s.selectTwo
	if len(keys) != 2 {
		query = s.dialect.rebind(s.dialect.selectQuery(len(keys)))
	}
	records, err := s.query(ctx, query, keys)
	if err == nil && s.dialect == MySQL {
		return takeSession(records)
	}
	return records, err
}

func (d Dialect) selectQuery(keys int) string {
	query := selectRecords + "(?" + strings.Repeat(", ?", keys-1) + ")"
	if d == MySQL {
		query += sessionRow
	}
	return query
}

// Keys implements [twofa.KeyLister]. It reads the primary key of the table only,
// and as many rows as it returns. If limit is not from 1 to 1000, it is taken as
// the nearest one that is.
func (s *Store) Keys(ctx context.Context, after string, limit int) ([]string, error) {
	keys, err := s.keys(ctx, after, min(max(limit, 1), 1000))
	if err != nil {
		return nil, fmt.Errorf("sqlstore: keys: %w", err)
	}
	return keys, nil
}

func (s *Store) keys(ctx context.Context, after string, limit int) (keys []string, err error) {
	err = s.list(ctx, func(q querier) error {
		keys, err = s.queryKeys(ctx, q, after, limit)
		return err
	})
	return keys, err
}

// list calls a function that reads a list, at most read committed. If transactions
// are serializable, a list would conflict with every new row, and logins would fail.
// It has nothing to do with them.
func (s *Store) list(ctx context.Context, read func(querier) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := s.dialect.checkConn(ctx, conn); err != nil {
		return err
	}
	if s.dialect != PostgreSQL {
		return read(conn)
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted, ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing was changed
	return read(tx)
}

// querier is implemented by [sql.Conn] and [sql.Tx].
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (s *Store) queryKeys(ctx context.Context, db querier, after string, limit int) (keys []string, err error) {
	rows, err := db.QueryContext(ctx, s.dialect.rebind(selectKeys), after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

// Swap implements [twofa.Store]. It returns an error, and changes nothing, if the
// key is longer than 512 bytes, the version longer than 32 bytes or the data
// longer than 64 KB, or if an event has a user, account or actor longer than 512
// bytes, an ID or type longer than 64 bytes, or a MAC longer than 255.
//
// Swap gives up after 30 seconds, so that no event is stored long after its time.
// If ctx is canceled while the database makes the change, Swap still waits for its
// answer, until the deadline of ctx or the 30 seconds. Otherwise the database could
// commit after Swap has returned an error.
//
// If the database rolls the change back because of another transaction (a
// deadlock or a serialization failure), Swap returns ErrConflict. After any other
// error of the database, the change may or may not have been made. The returned
// error wraps the driver's error.
func (s *Store) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	if err := checkLengths(next, events); err != nil {
		return fmt.Errorf("sqlstore: swap: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, swapTimeout)
	defer cancel()
	changed, err := s.changeOnConn(ctx, prev, next, events)
	for range 2 { // as sql.DB does if the database has closed a connection of the pool
		if !errors.Is(err, driver.ErrBadConn) {
			break
		}
		changed, err = s.changeOnConn(ctx, prev, next, events)
	}
	switch {
	case changed && err == nil:
		return nil
	case rolledBack(err):
		err = fmt.Errorf("%w: %w", twofa.ErrConflict, err)
	case err == nil:
		err = s.conflictOrRepeat(ctx, next)
	}
	if err != nil {
		return fmt.Errorf("sqlstore: swap: %w", err)
	}
	return nil
}

// changeOnConn calls change with a connection. Waiting for the connection ends if
// ctx is canceled, but the change does not: a driver that is told to stop closes
// the connection, and the database may commit after Swap has returned the error.
func (s *Store) changeOnConn(ctx context.Context, prev string, next twofa.Record, events []twofa.Event) (bool, error) {
	if prev == next.Version {
		return false, ctx.Err() // a repeat or a conflict, never a change
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if err := s.dialect.checkConn(ctx, conn); err != nil {
		return false, err
	}
	deadline, _ := ctx.Deadline()
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	return s.change(ctx, conn, prev, next, events)
}

// change writes next and the events, and reports whether it changed anything.
func (s *Store) change(ctx context.Context, conn *sql.Conn, prev string, next twofa.Record, events []twofa.Event) (bool, error) {
	write := s.dialect.write(prev, next)
	if len(events) == 0 {
		return s.exec(ctx, conn, write)
	}
	args, err := eventArgs(events)
	if err != nil {
		return false, err
	}
	if s.dialect == PostgreSQL && write.query == updateRecord && len(events) == 1 {
		return changed(conn.ExecContext(ctx, s.updateWithEvent, append(write.args, args...)...))
	}
	rows := statement{rowsQuery(len(events)), args}
	if s.dialect == PostgreSQL {
		return s.exec(ctx, conn, writeAndInsert(write, rows))
	}
	return s.inTx(ctx, conn, write, insert(rows))
}

// inTx runs both statements in one transaction, the second only if the first
// changed something. The transaction begins with a write, not with a read. On
// SQLite it therefore waits for other writers, although after a read it would
// fail at once. On MySQL it therefore sees the latest version, not an older
// snapshot.
func (s *Store) inTx(ctx context.Context, conn *sql.Conn, write, insertion statement) (bool, error) {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if changed, err := s.exec(ctx, tx, write); err != nil || !changed {
		return false, err
	}
	if _, err := s.exec(ctx, tx, insertion); err != nil {
		return false, err
	}
	return true, tx.Commit()
}

// execer is implemented by [sql.Conn] and [sql.Tx].
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// exec reports whether the statement changed anything.
func (s *Store) exec(ctx context.Context, db execer, st statement) (bool, error) {
	return changed(db.ExecContext(ctx, s.dialect.rebind(st.query), st.args...))
}

func changed(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// conflictOrRepeat is called if a Swap changed nothing. It returns nil if the
// same Swap has succeeded before, and ErrConflict otherwise. It reads outside the
// transaction, which is safe: a version is used only once, so no other Swap can
// have stored next.Version. For a delete, it does not matter which Swap deleted
// the record.
func (s *Store) conflictOrRepeat(ctx context.Context, next twofa.Record) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := s.dialect.checkConn(ctx, conn); err != nil {
		return err
	}
	var stored string
	err = conn.QueryRowContext(ctx, s.dialect.rebind(selectVersion), next.Key).Scan(&stored)
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return err
	case stored != next.Version:
		return twofa.ErrConflict
	}
	return nil
}
