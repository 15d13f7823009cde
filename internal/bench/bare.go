package main

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/twofa-go/twofa"
)

// bare is the statements of a verification: those of package sqlstore, written
// out.
type bare struct {
	selectTwo string
	update    string
	insert    string // if empty, update inserts the event as well
}

// bareEvent is an event that is already encoded.
type bareEvent struct {
	twofa.Event
	data string
}

const eventColumns = "INSERT INTO twofa_events (id, time, type, user_id, account_id, actor_id, number, mac, data) "

var (
	barePostgreSQL = bare{
		selectTwo: "SELECT key, version, data FROM twofa_records WHERE key IN ($1, $2)",
		update: "WITH written AS (UPDATE twofa_records SET version = $1, data = $2 WHERE key = $3 AND version = $4 RETURNING 1) " +
			eventColumns + "SELECT e.* FROM written, (VALUES ($5, $6::bigint, $7, $8, $9, $10, $11::bigint, $12::bytea, $13)) AS e",
	}
	bareMySQL = bare{
		selectTwo: "SELECT `key`, version, data FROM twofa_records WHERE `key` IN (?, ?)",
		update:    "UPDATE twofa_records SET version = ?, data = ? WHERE `key` = ? AND version = ?",
		insert:    eventColumns + "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
	}
	bareSQLite = bareMySQL // SQLite accepts the quotes of MySQL
)

// read scans one row.
func (b bare) read(ctx context.Context, db *sql.DB, keys ...any) error {
	rows, err := db.QueryContext(ctx, b.selectTwo, keys...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r twofa.Record
		if err := rows.Scan(&r.Key, &r.Version, &r.Data); err != nil {
			return err
		}
	}
	return rows.Err()
}

// write replaces a record and inserts an event, in one statement or in a
// transaction.
func (b bare) write(ctx context.Context, db *sql.DB, prev string, next twofa.Record, e bareEvent) error {
	update := []any{next.Version, next.Data, next.Key, prev}
	actor := sql.NullString{} // as for any event that the user caused, so that it is in no index of actors
	event := []any{e.ID, e.Time.Unix(), e.Type, e.User, e.Account, actor, int64(e.Seq), e.MAC, e.data}
	if b.insert == "" {
		return one(db.ExecContext(ctx, b.update, append(update, event...)...))
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := one(tx.ExecContext(ctx, b.update, update...)); err != nil {
		return err
	}
	if err := one(tx.ExecContext(ctx, b.insert, event...)); err != nil {
		return err
	}
	return tx.Commit()
}

// one returns an error unless the statement changed one row.
func one(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n != 1 {
		err = fmt.Errorf("%d rows changed", n)
	}
	return err
}
