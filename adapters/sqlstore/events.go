package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

const insertEvents = "INSERT INTO twofa_events (id, time, type, user_id, account_id, data) "

// eventRows returns a list of rows for insertEvents: the columns that queries
// select by, and the event.
func eventRows(events []twofa.Event) (statement, error) {
	var rows statement
	for _, e := range events {
		data, err := json.Marshal(e)
		if err != nil {
			return statement{}, err
		}
		rows.args = append(rows.args, e.ID, e.Time.Unix(), e.Type, e.User, e.Account, string(data))
	}
	rows.query = "VALUES (?, ?, ?, ?, ?, ?)" + strings.Repeat(", (?, ?, ?, ?, ?, ?)", len(events)-1)
	return rows, nil
}

func insert(rows statement) statement {
	return statement{insertEvents + rows.query, rows.args}
}

// writeAndInsert inserts the rows if write changes anything. PostgreSQL needs to be
// told the one type that is not text.
func writeAndInsert(write, rows statement) statement {
	typed := strings.ReplaceAll(rows.query, "(?, ?,", "(?, ?::bigint,")
	return statement{
		"WITH written AS (" + write.query + " RETURNING 1) " + insertEvents + "SELECT e.* FROM written, (" + typed + ") AS e",
		append(write.args, rows.args...),
	}
}

// Events implements [twofa.EventReader], newest first, those of one second in
// the order in which they were written. Nothing is older than an event that
// has been deleted.
func (s *Store) Events(ctx context.Context, q twofa.EventQuery) ([]twofa.Event, error) {
	st := selectEvents(q)
	rows, err := s.db.QueryContext(ctx, s.dialect.bind(st.query), st.args...)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: events: %w", err)
	}
	defer rows.Close()
	var found []twofa.Event
	for rows.Next() {
		var (
			data []byte
			e    twofa.Event
		)
		if err := rows.Scan(&data); err != nil {
			return nil, fmt.Errorf("sqlstore: events: %w", err)
		}
		if err := json.Unmarshal(data, &e); err != nil {
			return nil, fmt.Errorf("sqlstore: events: %w", err)
		}
		found = append(found, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sqlstore: events: %w", err)
	}
	return found, nil
}

func selectEvents(q twofa.EventQuery) statement {
	where := []string{"1 = 1"}
	var args []any
	and := func(condition string, arg any) {
		where, args = append(where, condition), append(args, arg)
	}
	if q.User != "" {
		and("user_id = ?", q.User)
	}
	if q.Account != "" {
		and("account_id = ?", q.Account)
	}
	if q.Type != "" {
		and("type = ?", q.Type)
	}
	if !q.Since.IsZero() {
		and("time >= ?", q.Since.Add(time.Second-1).Unix()) // rounded up
	}
	if q.Before != "" {
		// The first condition follows from the second, which MySQL does not look up in an index.
		and("time <= (SELECT time FROM twofa_events WHERE id = ?)", q.Before)
		and("(time, seq) < (SELECT time, seq FROM twofa_events WHERE id = ?)", q.Before)
	}
	limit := min(cmp.Or(max(q.Limit, 0), 100), 1000)
	query := "SELECT data FROM twofa_events WHERE " + strings.Join(where, " AND ") + " ORDER BY time DESC, seq DESC LIMIT ?"
	return statement{query, append(args, limit)}
}
