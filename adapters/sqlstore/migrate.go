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

// Migrations returns the files that [Migrate] runs, numbered from 00001, for
// hosts whose own tool (goose, Atlas, …) is to run them. Use that or Migrate,
// not both. The file system of an unknown dialect is empty.
func Migrations(dialect Dialect) fs.FS {
	files, err := fs.Sub(migrations, "migrations/"+string(dialect))
	if err != nil || dialect.check() != nil {
		return embed.FS{}
	}
	return files
}

// Migrate makes the tables, or brings them up to this release. Any number of
// processes may call it at once: one works while the others wait, for as long
// as their ctx allows. Tables that a newer release has made are left alone, so
// that releases can overlap. On a Galera cluster run it on one node.
func Migrate(ctx context.Context, db *sql.DB, dialect Dialect) error {
	if err := dialect.check(); err != nil {
		return err
	}
	err := migrate(ctx, db, dialect)
	for err != nil && dialect == SQLite && strings.Contains(err.Error(), "database is locked") {
		// SQLite does not always wait for busy_timeout: of the first connections
		// to a new file, which all switch it to WAL, some fail at once.
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

// migrate holds the lock on a connection of its own.
func migrate(ctx context.Context, db *sql.DB, dialect Dialect) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := lock(ctx, conn, dialect); err != nil {
		return err
	}
	return unlock(ctx, conn, dialect, apply(ctx, conn, dialect))
}

// lock returns when no other process migrates, in a transaction except on
// MySQL, which would commit it at the first table it makes.
func lock(ctx context.Context, conn *sql.Conn, dialect Dialect) error {
	switch dialect {
	case SQLite:
		return exec(ctx, conn, "BEGIN IMMEDIATE")
	case PostgreSQL:
		// Not at a stricter level, where what others did while this waited would be out of sight.
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
		return errors.New("another process has been at it for an hour")
	}
	return nil
}

// mysqlLock is for one database: names of locks are the server's.
const mysqlLock = "CONCAT('twofa/', SHA1(DATABASE()))"

// unlock ends what lock began, even after ctx, and keeps the work if err is nil.
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
		// The pool must not get a connection back that may still hold the lock.
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	return errors.Join(err, failed)
}

// apply runs what the database has not had yet. What has run is counted in a
// table of its own.
func apply(ctx context.Context, conn *sql.Conn, dialect Dialect) error {
	if err := exec(ctx, conn, "CREATE TABLE IF NOT EXISTS twofa_migrations (version INTEGER NOT NULL PRIMARY KEY)"); err != nil {
		return err
	}
	var done int
	if err := conn.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM twofa_migrations").Scan(&done); err != nil {
		return err
	}
	files, err := fs.Glob(Migrations(dialect), "*.sql") // sorted
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

// run runs one file, statement by statement: not every driver takes several at once.
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
