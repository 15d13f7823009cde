package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/twofa-go/twofa"
)

const (
	selectNotices = "SELECT " + eventColumns + ", claimed_until FROM twofa_events WHERE claimed_until <= ? ORDER BY claimed_until, time, seq LIMIT ?"
	claimNotice   = "UPDATE twofa_events SET claimed_until = ? WHERE time = ? AND seq = ? AND claimed_until = ?"
	settleNotice  = "UPDATE twofa_events SET claimed_until = ? WHERE time = ? AND "
	isPending     = " AND claimed_until IS NOT NULL"
	selectNumbers = "SELECT seq FROM twofa_events WHERE time = ? AND id = ?"
)

// claimOf returns when the claim of the request that wrote an event ends, NULL if
// it has no notice.
func claimOf(e twofa.Event) sql.NullInt64 {
	return sql.NullInt64{Int64: e.Time.Add(twofa.NoticeClaim).Unix(), Valid: e.Notice}
}

// ClaimNotices implements [twofa.NoticeStore]. All events that it returns are
// claimed in one transaction.
func (s *Store) ClaimNotices(ctx context.Context, now, until time.Time, limit int) ([]twofa.Event, error) {
	limit = min(max(limit, 1), 1000)
	for {
		free, err := s.freeNotices(ctx, now, limit)
		if err != nil {
			return nil, fmt.Errorf("sqlstore: claim notices: %w", err)
		}
		claimed, err := s.claim(ctx, free, until)
		switch {
		case rolledBack(err) || err == nil && len(claimed) < min(len(free), 1): // others were faster
		case err != nil:
			return nil, fmt.Errorf("sqlstore: claim notices: %w", err)
		default:
			return claimed, nil
		}
	}
}

// notice is an event that can be claimed.
type notice struct {
	position
	event twofa.Event
	until int64 // end of its last claim
}

func (s *Store) freeNotices(ctx context.Context, now time.Time, limit int) (free []notice, err error) {
	err = s.list(ctx, func(db querier) error {
		rows, err := db.QueryContext(ctx, s.dialect.rebind(selectNotices), now.Unix(), limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var n notice
			if n.position, n.event, err = scanEvent(rows, &n.until); err != nil {
				return err
			}
			free = append(free, n)
		}
		return rows.Err()
	})
	return free, err
}

// claim claims those events that nobody else has claimed meanwhile.
func (s *Store) claim(ctx context.Context, free []notice, until time.Time) (claimed []twofa.Event, err error) {
	if len(free) == 0 {
		return nil, nil
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := s.dialect.checkConn(ctx, conn); err != nil {
		return nil, err
	}
	var options *sql.TxOptions
	if s.dialect == PostgreSQL { // a serializable transaction would make logins fail, see list
		options = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	tx, err := conn.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	for _, n := range free {
		mine, err := s.exec(ctx, tx, statement{claimNotice, []any{until.Unix(), n.time, n.seq, n.until}})
		if err != nil {
			return nil, err
		}
		if mine {
			claimed = append(claimed, n.event)
		}
	}
	return claimed, tx.Commit()
}

// DelayNotices implements [twofa.NoticeStore].
func (s *Store) DelayNotices(ctx context.Context, until time.Time, events ...twofa.Event) error {
	return s.settle(ctx, sql.NullInt64{Int64: until.Unix(), Valid: true}, events)
}

// NoticesDone implements [twofa.NoticeStore].
func (s *Store) NoticesDone(ctx context.Context, events ...twofa.Event) error {
	return s.settle(ctx, sql.NullInt64{}, events)
}

func (s *Store) settle(ctx context.Context, until sql.NullInt64, events []twofa.Event) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("sqlstore: notices: %w", err)
	}
	defer conn.Close()
	if err := s.dialect.checkConn(ctx, conn); err != nil {
		return fmt.Errorf("sqlstore: notices: %w", err)
	}
	for _, e := range events {
		err := s.settleOne(ctx, conn, until, e)
		for rolledBack(err) && ctx.Err() == nil {
			err = s.settleOne(ctx, conn, until, e)
		}
		if err != nil {
			return fmt.Errorf("sqlstore: notices: %w", err)
		}
	}
	return nil
}

// settleOne updates by the primary key on MySQL. An update that searches locks all
// rows that it looks at there, and the gaps between them, so that other requests
// could not store events.
func (s *Store) settleOne(ctx context.Context, conn *sql.Conn, until sql.NullInt64, e twofa.Event) error {
	if s.dialect != MySQL {
		_, err := s.exec(ctx, conn, statement{settleNotice + "id = ?" + isPending, []any{until, e.Time.Unix(), e.ID}})
		return err
	}
	numbers, err := numbersOf(ctx, conn, e)
	if err != nil {
		return err
	}
	for _, seq := range numbers {
		if _, err := s.exec(ctx, conn, statement{settleNotice + "seq = ?" + isPending, []any{until, e.Time.Unix(), seq}}); err != nil {
			return err
		}
	}
	return nil
}

func numbersOf(ctx context.Context, conn *sql.Conn, e twofa.Event) (numbers []int64, err error) {
	rows, err := conn.QueryContext(ctx, selectNumbers, e.Time.Unix(), e.ID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, err
		}
		numbers = append(numbers, seq)
	}
	return numbers, rows.Err()
}
