package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations
var migrations embed.FS

// Migrations returns the SQL files that [Migrate] runs, numbered from 00001. It
// is for hosts that run migrations with a tool of their own, such as goose or
// Atlas. Use either that tool or Migrate, not both. If the dialect is unknown, the
// file system is empty.
func Migrations(dialect Dialect) fs.FS {
	files, err := fs.Sub(migrations, "migrations/"+string(dialect))
	if err != nil || dialect.check() != nil {
		return embed.FS{}
	}
	return files
}

// Migrate creates the tables or upgrades them to this release. Any number of
// processes may call it at once. One of them migrates while the others wait, each
// until its ctx ends, but on MySQL for at most an hour. If a newer release has
// already migrated the database, Migrate changes nothing, so that old and new
// releases can run side by side.
//
// If all files have already been run, Migrate only reads. It then needs a role that
// may SELECT from twofa_migrations, and the [Store] one that may SELECT, INSERT,
// UPDATE and DELETE in twofa_records, and SELECT, INSERT and UPDATE (claimed_until)
// in twofa_events. Only a program that erases or deletes events needs UPDATE of all
// columns and DELETE there, and should have a role of its own. A role that may create
// tables is needed only for a new release.
//
// On a Galera cluster, run it on one node only, because the lock is not
// replicated. After an error on MySQL, some files may have been run, because
// MySQL commits each CREATE TABLE at once. Migrate can then be called again.
func Migrate(ctx context.Context, db *sql.DB, dialect Dialect) error {
	if err := dialect.check(); err != nil {
		return err
	}
	err := migrate(ctx, db, dialect)
	for err != nil && dialect == SQLite && strings.Contains(err.Error(), "database is locked") {
		// SQLite does not always wait for busy_timeout. If several connections
		// open a new file, each switches it to WAL, and some fail at once.
		select {
		case <-ctx.Done():
			return fmt.Errorf("sqlstore: migrate: %w", errors.Join(ctx.Err(), err))
		case <-time.After(20 * time.Millisecond):
			err = migrate(ctx, db, dialect)
		}
	}
	if err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	return nil
}

// migrate uses one connection, because the lock belongs to it.
func migrate(ctx context.Context, db *sql.DB, dialect Dialect) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := dialect.checkConn(ctx, conn); err != nil {
		return err
	}
	files, err := fs.Glob(Migrations(dialect), "*.sql") // sorted
	if err != nil {
		return err
	}
	// An error means that there is no table yet, or that the database has another
	// problem, which the following statements report.
	if done, err := applied(ctx, conn); err == nil && done >= len(files) {
		return nil
	}
	if err := lock(ctx, conn, dialect); err != nil {
		return err
	}
	return unlock(ctx, conn, dialect, apply(ctx, conn, dialect, files))
}

// lock waits until no other process is migrating. It begins a transaction, except
// on MySQL, which would commit it at the first CREATE TABLE.
func lock(ctx context.Context, conn *sql.Conn, dialect Dialect) error {
	switch dialect {
	case SQLite:
		return exec(ctx, conn, "BEGIN IMMEDIATE")
	case PostgreSQL:
		// At a stricter isolation level, this transaction would not see changes
		// that another process committed while this one waited for the lock.
		if err := exec(ctx, conn, "BEGIN ISOLATION LEVEL READ COMMITTED"); err != nil {
			return err
		}
		if err := exec(ctx, conn, "SELECT pg_advisory_xact_lock(8392298916135921519)"); err != nil { // "twofa-go" as a number
			return unlock(ctx, conn, dialect, err)
		}
		return nil
	}
	var got sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK("+mysqlLock+", 3600)").Scan(&got); err != nil {
		return err
	}
	if got.Int64 != 1 {
		return errors.New("migration lock not acquired: another process has held it for an hour, or GET_LOCK failed")
	}
	return nil
}

// mysqlLock includes the database because the names of locks are shared by all
// databases on the server.
const mysqlLock = "CONCAT('twofa/', SHA1(DATABASE()))"

// unlock releases the lock, even after ctx has ended. It commits the transaction
// if err is nil and rolls it back otherwise. MySQL has no transaction to end.
func unlock(ctx context.Context, conn *sql.Conn, dialect Dialect, err error) error {
	end := "COMMIT"
	switch {
	case dialect == MySQL:
		end = "DO RELEASE_LOCK(" + mysqlLock + ")"
	case err != nil:
		end = "ROLLBACK"
	}
	failed := exec(context.WithoutCancel(ctx), conn, end)
	if failed != nil {
		// The connection may still hold the lock, so it must not return to the
		// pool.
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	return errors.Join(err, failed)
}

// apply runs the files that have not yet been run in this database. The table
// twofa_migrations records the others.
func apply(ctx context.Context, conn *sql.Conn, dialect Dialect, files []string) error {
	if err := exec(ctx, conn, "CREATE TABLE IF NOT EXISTS twofa_migrations (version INTEGER NOT NULL PRIMARY KEY)"); err != nil {
		return err
	}
	done, err := applied(ctx, conn)
	if err != nil {
		return err
	}
	for i, file := range files {
		if version := i + 1; version > done {
			if err := run(ctx, conn, dialect, file, version); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return nil
}

// applied returns the number of the last file that has been run.
func applied(ctx context.Context, conn *sql.Conn) (done int, err error) {
	err = conn.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM twofa_migrations").Scan(&done)
	return done, err
}

// run runs the statements of one file one by one, because not every driver
// accepts several at once.
func run(ctx context.Context, conn *sql.Conn, dialect Dialect, file string, version int) error {
	text, err := fs.ReadFile(Migrations(dialect), file)
	if err != nil {
		return err
	}
	for query := range strings.SplitSeq(strings.TrimSpace(string(text)), ";\n") {
		if err := exec(ctx, conn, query); err != nil {
			return err
		}
	}
	return exec(ctx, conn, "INSERT INTO twofa_migrations (version) VALUES ("+strconv.Itoa(version)+")")
}

func exec(ctx context.Context, conn *sql.Conn, query string) error {
	_, err := conn.ExecContext(ctx, query)
	return err
}
