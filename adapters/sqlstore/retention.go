package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/twofa-go/twofa"
)

const (
	// The time is the beginning of the primary key. IDs have no index.
	updateEvent = "UPDATE twofa_events SET type = ?, user_id = ?, account_id = ?, actor_id = ?, number = ?, mac = ?, data = ? WHERE time = ? AND id = ?"

	// The end of a step is looked up first, because SQLite and PostgreSQL have no
	// DELETE with a LIMIT, and a join would not skip partitions.
	selectStepEnd = "SELECT time, seq FROM twofa_events WHERE time >= ? AND time < ? ORDER BY time, seq LIMIT 1 OFFSET ?"
	deleteStep    = "DELETE FROM twofa_events WHERE time >= ? AND time <= ? AND (time, seq) < (?, ?)"
)

// deleteAtOnce is how many events a transaction deletes. SQLite lets nobody else
// write meanwhile.
const deleteAtOnce = 1000

// firstTime is before every time that is stored.
const firstTime = math.MinInt64

// ReplaceEvents implements [twofa.EventEraser], in one transaction. It returns an
// error, and changes nothing, for values that are longer than [Store.Swap] accepts.
// On PostgreSQL, MySQL and SQLite, the events before may remain on the disk until the
// database uses the space again, and in its logs and backups.
func (s *Store) ReplaceEvents(ctx context.Context, events ...twofa.Event) error {
	err := checkLengths(twofa.Record{}, events)
	if err == nil {
		err = s.write(ctx, func(tx *sql.Tx) error {
			for i := range events {
				args, err := eventArgs(events[i : i+1])
				if err != nil {
					return err
				}
				id, time := args[0], args[1]
				values := slices.Delete(args[2:], 6, 7) // without the claim, which is not part of the event
				if _, err := s.exec(ctx, tx, statement{updateEvent, append(values, time, id)}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("sqlstore: replace events: %w", err)
	}
	return nil
}

// DeleteEvents implements [twofa.EventDeleter], with a transaction for each 1,000
// events. The role of the database needs the right to DELETE from twofa_events.
func (s *Store) DeleteEvents(ctx context.Context, before time.Time, deleted func(events int)) error {
	from := position{time: firstTime}
	for more := true; more; {
		var end position
		var n int64
		end, more = position{roundUp(before), firstTime}, false
		err := s.list(ctx, func(db querier) (err error) {
			end, more, err = s.stepEnd(ctx, db, from, end)
			return err
		})
		if err == nil {
			err = s.write(ctx, func(tx *sql.Tx) error {
				result, err := tx.ExecContext(ctx, s.dialect.rebind(deleteStep), from.time, end.time, end.time, end.seq)
				if err != nil {
					return err
				}
				n, err = result.RowsAffected()
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("sqlstore: delete events: %w", err)
		}
		// PostgreSQL would read the index of the deleted ones again.
		if from = end; n > 0 && deleted != nil {
			deleted(int(n))
		}
	}
	return nil
}

// stepEnd returns the first event after those of the next step, or end if all others
// are in it.
func (s *Store) stepEnd(ctx context.Context, db querier, from, end position) (position, bool, error) {
	rows, err := db.QueryContext(ctx, s.dialect.rebind(selectStepEnd), from.time, end.time, deleteAtOnce)
	if err != nil {
		return end, false, err
	}
	defer rows.Close()
	more := rows.Next()
	if more {
		err = rows.Scan(&end.time, &end.seq)
	}
	return end, more, errors.Join(err, rows.Err())
}

// write calls f in a transaction, read committed on PostgreSQL for the same reason as
// lists are, and again if the database has rolled it back because of another one.
func (s *Store) write(ctx context.Context, f func(*sql.Tx) error) error {
	for tries := 1; ; tries++ {
		err := s.writeOnce(ctx, f)
		if tries == 5 || !rolledBack(err) {
			return err
		}
	}
}

func (s *Store) writeOnce(ctx context.Context, f func(*sql.Tx) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := s.dialect.checkConn(ctx, conn); err != nil {
		return err
	}
	var options *sql.TxOptions
	if s.dialect == PostgreSQL {
		options = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	tx, err := conn.BeginTx(ctx, options)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}
