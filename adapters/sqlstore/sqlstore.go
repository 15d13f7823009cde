// Package sqlstore keeps second-factor state in a SQL database through
// database/sql. The host brings the driver and the [sql.DB], and makes the
// tables with [Migrate] or from [Migrations]:
//
//	err := sqlstore.Migrate(ctx, db, sqlstore.PostgreSQL)
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
//
// A Get is one round trip and so is a Swap without events. A Swap with events
// is one on PostgreSQL, a transaction elsewhere. No statement leaves anything
// behind on its connection, so poolers such as PgBouncer may share them out.
//
// Whatever stands between must read where it writes: a proxy that sends
// SELECTs to a replica breaks single use. And the database must flush before it
// says that it has committed, or a crash revives a code that was used.
//
// PostgreSQL: keep synchronous_commit on. With pgx behind a pooler that cannot
// keep prepared statements, add default_query_exec_mode=exec.
//
// MySQL and MariaDB: keep innodb_flush_log_at_trx_commit=1. Add
// interpolateParams=true to the DSN, which saves a round trip for each
// statement. On a Galera cluster that is written to on several nodes, set
// wsrep_sync_wait=1.
//
// SQLite: several processes on one machine may share a file, on a local disk,
// if each waits for the others. With modernc.org/sqlite:
//
//	file:app.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate
//
// synchronous=NORMAL, which is often recommended with WAL, loses the last
// commits when the power fails.
//
// Events stay until the host deletes them:
//
//	DELETE FROM twofa_events WHERE time < 1767225600 -- Unix seconds
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twofa-go/twofa"
)

// maxKeys is how many keys go into one query: below the limit of variables of
// every database.
const maxKeys = 500

// Store is a [twofa.Store] and a [twofa.EventReader]. Its methods may be
// called concurrently, and in any number of processes on one database.
type Store struct {
	db      *sql.DB
	dialect Dialect
}

// New returns the store in db, whose tables exist already. It does not connect.
func New(db *sql.DB, dialect Dialect) (*Store, error) {
	if db == nil {
		return nil, errors.New("sqlstore: db is nil")
	}
	if err := dialect.check(); err != nil {
		return nil, err
	}
	return &Store{db: db, dialect: dialect}, nil
}

// Get implements [twofa.Store]. It refuses keys of more than 512 bytes.
func (s *Store) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	var found []twofa.Record
	for some := range slices.Chunk(keys, maxKeys) {
		var err error
		if found, err = s.get(ctx, some, found); err != nil {
			return nil, fmt.Errorf("sqlstore: get: %w", err)
		}
	}
	return found, nil
}

func (s *Store) get(ctx context.Context, keys []string, found []twofa.Record) ([]twofa.Record, error) {
	args := make([]any, len(keys))
	for i, key := range keys {
		if len(key) > maxKey {
			return nil, fmt.Errorf("%w: key of %d bytes", errTooLong, len(key))
		}
		args[i] = key
	}
	query := selectRecords + "(?" + strings.Repeat(", ?", len(keys)-1) + ")"
	rows, err := s.db.QueryContext(ctx, s.dialect.bind(query), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r twofa.Record
		if err := rows.Scan(&r.Key, &r.Version, &r.Data); err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

// Swap implements [twofa.Store]. It refuses keys of more than 512 bytes,
// versions of more than 32, data of more than 64 KB, and events whose user or
// account has more than 512 bytes or whose ID or type has more than 64.
//
// Where the database has rolled the change back because of another, as for a
// deadlock or a failed serialization, that is ErrConflict too. Other errors of
// the database are returned as they are: the outcome is open.
func (s *Store) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	if err := checkLengths(next, events); err != nil {
		return fmt.Errorf("sqlstore: swap: %w", err)
	}
	changed, err := s.change(ctx, prev, next, events)
	switch {
	case changed && err == nil:
		return nil
	case rolledBack(err):
		err = fmt.Errorf("%w: %w", twofa.ErrConflict, err)
	case err == nil:
		err = s.explain(ctx, next)
	}
	if err != nil {
		return fmt.Errorf("sqlstore: swap: %w", err)
	}
	return nil
}

// change makes the change and reports whether there was one to make.
func (s *Store) change(ctx context.Context, prev string, next twofa.Record, events []twofa.Event) (bool, error) {
	if prev == next.Version {
		return false, nil // whatever is stored
	}
	write := s.dialect.write(prev, next)
	if len(events) == 0 {
		return s.exec(ctx, s.db, write)
	}
	rows, err := eventRows(events)
	if err != nil {
		return false, err
	}
	if s.dialect == PostgreSQL {
		return s.exec(ctx, s.db, writeAndInsert(write, rows))
	}
	return s.inTx(ctx, write, insert(rows))
}

// inTx writes before it reads anything: so a transaction on SQLite waits for
// its turn where it would fail later, and one on MySQL sees what is stored now.
func (s *Store) inTx(ctx context.Context, write, tell statement) (bool, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if changed, err := s.exec(ctx, tx, write); err != nil || !changed {
		return false, err
	}
	if _, err := s.exec(ctx, tx, tell); err != nil {
		return false, err
	}
	return true, tx.Commit()
}

// execer is a [sql.DB] or a [sql.Tx].
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// exec reports whether the statement changed anything.
func (s *Store) exec(ctx context.Context, db execer, st statement) (bool, error) {
	result, err := db.ExecContext(ctx, s.dialect.bind(st.query), st.args...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// explain tells why nothing was changed: nil if it was before, by the same Swap.
// The version that is looked for is no one else's, so it does not matter that
// the record may have changed since.
func (s *Store) explain(ctx context.Context, next twofa.Record) error {
	var stored string
	err := s.db.QueryRowContext(ctx, s.dialect.bind(selectVersion), next.Key).Scan(&stored)
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return err
	case stored != next.Version:
		return twofa.ErrConflict
	}
	return nil
}
