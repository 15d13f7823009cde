package sqlstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twofa-go/twofa"
)

// Dialect names the SQL that a database speaks.
type Dialect string

// The dialects.
const (
	SQLite     Dialect = "sqlite"   // 3.24 or newer
	PostgreSQL Dialect = "postgres" // 10 or newer
	MySQL      Dialect = "mysql"    // MySQL 5.7, MariaDB 10.3, or newer
)

func (d Dialect) check() error {
	switch d {
	case SQLite, PostgreSQL, MySQL:
		return nil
	}
	return fmt.Errorf("sqlstore: unknown dialect %q", string(d))
}

// The statements. "key" is a reserved word in MySQL, but not behind a dot.
const (
	selectRecords = "SELECT twofa_records.key, version, data FROM twofa_records WHERE twofa_records.key IN "
	selectVersion = "SELECT version FROM twofa_records WHERE twofa_records.key = ?"
	updateRecord  = "UPDATE twofa_records SET version = ?, data = ? WHERE twofa_records.key = ? AND version = ?"
	deleteRecord  = "DELETE FROM twofa_records WHERE twofa_records.key = ? AND version = ?"
	insertRecord  = "INSERT INTO twofa_records (key, version, data) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING"
	// IGNORE passes over more than a key that is there, such as values too long
	// for their column, but lengths are checked before. ON DUPLICATE KEY UPDATE
	// would not do: with clientFoundRows it counts a row that was there as changed.
	insertIgnore = "INSERT IGNORE INTO twofa_records (`key`, version, data) VALUES (?, ?, ?)"
)

type statement struct {
	query string // with a ? for each argument
	args  []any
}

// write returns the statement that changes one row if prev is stored, else none.
func (d Dialect) write(prev string, next twofa.Record) statement {
	switch {
	case next.Version == "":
		return statement{deleteRecord, []any{next.Key, prev}}
	case prev != "":
		return statement{updateRecord, []any{next.Version, next.Data, next.Key, prev}}
	case d == MySQL:
		return statement{insertIgnore, []any{next.Key, next.Version, next.Data}}
	}
	return statement{insertRecord, []any{next.Key, next.Version, next.Data}}
}

// bind numbers the placeholders where the dialect wants that.
func (d Dialect) bind(query string) string {
	if d != PostgreSQL {
		return query
	}
	b := make([]byte, 0, len(query)+32)
	n := int64(0)
	for _, c := range []byte(query) {
		if c != '?' {
			b = append(b, c)
			continue
		}
		n++
		b = strconv.AppendInt(append(b, '$'), n, 10)
	}
	return string(b)
}

// What the columns hold. Some modes of MySQL cut what is longer.
const (
	maxKey     = 512 // of a record's key, of an event's user and account
	maxVersion = 32
	maxData    = 64 << 10
	maxName    = 64 // of an event's ID and type
)

var errTooLong = errors.New("longer than a column")

func checkLengths(next twofa.Record, events []twofa.Event) error {
	if len(next.Key) > maxKey || len(next.Version) > maxVersion || len(next.Data) > maxData {
		return fmt.Errorf("%w: key of %d bytes, version of %d, data of %d", errTooLong, len(next.Key), len(next.Version), len(next.Data))
	}
	for _, e := range events {
		if max(len(e.User), len(e.Account)) > maxKey || max(len(e.ID), len(e.Type)) > maxName {
			return fmt.Errorf("%w: event with user of %d bytes, account of %d, ID of %d, type of %d", errTooLong, len(e.User), len(e.Account), len(e.ID), len(e.Type))
		}
	}
	return nil
}

// rolledBack reports whether the database says that it has undone a change
// because of another: a deadlock, or a serialization that failed.
func rolledBack(err error) bool {
	if e, ok := errors.AsType[sqlStateError](err); ok { // PostgreSQL, by pgx or pq
		return e.SQLState() == "40001" || e.SQLState() == "40P01"
	}
	for ; err != nil; err = errors.Unwrap(err) {
		// The error of go-sql-driver/mysql has no method that tells its number.
		// This much of its text is neither the server's nor translated.
		if strings.HasPrefix(err.Error(), "Error 1213 (40001): ") {
			return true
		}
	}
	return false
}

type sqlStateError interface {
	error
	SQLState() string
}
