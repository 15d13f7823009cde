package sqlstore

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/twofa-go/twofa"
)

// Dialect is the variant of SQL that a database understands. The zero Dialect is
// not valid.
type Dialect string

// The supported dialects, with the oldest versions of their databases.
const (
	SQLite     Dialect = "sqlite"   // 3.32 or newer
	PostgreSQL Dialect = "postgres" // 10 or newer
	MySQL      Dialect = "mysql"    // MySQL 5.7, MariaDB 10.3, or newer
)

func (d Dialect) check() error {
	switch d {
	case SQLite, PostgreSQL, MySQL:
		return nil
	}
	return fmt.Errorf("sqlstore: unknown dialect %q: must be %q, %q or %q", string(d), string(SQLite), string(PostgreSQL), string(MySQL))
}

// "key" is a reserved word in MySQL, except after a dot.
const (
	selectRecords = "SELECT twofa_records.key, version, data FROM twofa_records WHERE twofa_records.key IN "
	selectKeys    = "SELECT twofa_records.key FROM twofa_records WHERE twofa_records.key > ? ORDER BY twofa_records.key LIMIT ?"
	selectVersion = "SELECT version FROM twofa_records WHERE twofa_records.key = ?"
	updateRecord  = "UPDATE twofa_records SET version = ?, data = ? WHERE twofa_records.key = ? AND version = ?"
	deleteRecord  = "DELETE FROM twofa_records WHERE twofa_records.key = ? AND version = ?"
	insertRecord  = "INSERT INTO twofa_records (key, version, data) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING"
	// IGNORE does more than ignore a duplicate key. It also truncates values that
	// are too long for their column, which checkLengths rules out. ON DUPLICATE KEY
	// UPDATE does not work, because with clientFoundRows it counts an existing row
	// as changed.
	insertIgnore = "INSERT IGNORE INTO twofa_records (`key`, version, data) VALUES (?, ?, ?)"
)

type statement struct {
	query string // has a ? for each argument
	args  []any
}

// write returns a statement that changes one row if the stored version is prev,
// and no row otherwise.
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

// rebind replaces each ? in query by $1, $2, … if the dialect is PostgreSQL.
func (d Dialect) rebind(query string) string {
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

// The longest values, in bytes. The limits are those of the columns, except
// maxData, which is that of [twofa.Record]. They are checked here because MySQL
// outside strict mode truncates longer values without an error: two long keys
// could become the same.
const (
	maxKey     = 512 // key of a record; user, account and actor of an event
	maxVersion = 32
	maxData    = 64 << 10
	maxName    = 64 // ID and type of an event
	maxMAC     = 255
)

var errTooLong = errors.New("longer than a column allows")

func checkLengths(next twofa.Record, events []twofa.Event) error {
	if len(next.Key) > maxKey || len(next.Version) > maxVersion || len(next.Data) > maxData {
		return fmt.Errorf("%w: key, version and data must be at most %d, %d and %d bytes, are %d, %d and %d bytes",
			errTooLong, maxKey, maxVersion, maxData, len(next.Key), len(next.Version), len(next.Data))
	}
	for _, e := range events {
		if max(len(e.User), len(e.Account), len(e.Actor.ID)) > maxKey || max(len(e.ID), len(e.Type)) > maxName || len(e.MAC) > maxMAC {
			return fmt.Errorf("%w: event: user, account and actor must be at most %d bytes, are %d, %d and %d bytes; ID and type must be at most %d bytes, are %d and %d bytes; MAC must be at most %d bytes, has %d",
				errTooLong, maxKey, len(e.User), len(e.Account), len(e.Actor.ID), maxName, len(e.ID), len(e.Type), maxMAC, len(e.MAC))
		}
		if e.Seq > math.MaxInt64 {
			return fmt.Errorf("%w: event: Seq must be at most %d, is %d", errTooLong, int64(math.MaxInt64), e.Seq)
		}
	}
	return nil
}

// rolledBack reports whether the database has rolled a change back because of
// another transaction: a deadlock or a serialization failure.
func rolledBack(err error) bool {
	if e, ok := errors.AsType[sqlStateError](err); ok { // PostgreSQL, with pgx or pq
		return e.SQLState() == "40001" || e.SQLState() == "40P01"
	}
	for ; err != nil; err = errors.Unwrap(err) {
		// The error type of go-sql-driver/mysql has no method that returns the
		// number. This prefix of its text comes from the driver, not from the
		// server, and is not translated.
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
