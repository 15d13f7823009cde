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

// eventRows returns a VALUES list for insertEvents. Each row has the columns
// that queries select by and the whole event as JSON.
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

// writeAndInsert returns a statement that runs write and inserts the rows if
// write changed a row. PostgreSQL takes the type of a placeholder in VALUES to be
// text, so the one that is not text needs a cast.
func writeAndInsert(write, rows statement) statement {
	typed := strings.ReplaceAll(rows.query, "(?, ?,", "(?, ?::bigint,")
	return statement{
		"WITH written AS (" + write.query + " RETURNING 1) " + insertEvents + "SELECT e.* FROM written, (" + typed + ") AS e",
		append(write.args, rows.args...),
	}
}

// Events implements [twofa.EventReader]. It returns the newest event first. Of
// events in the same second, the one inserted last comes first. If q.Before is
// the ID of an event that is not stored, perhaps because the host has deleted it,
// the result is empty.
func (s *Store) Events(ctx context.Context, q twofa.EventQuery) ([]twofa.Event, error) {
	st := selectEvents(q)
	rows, err := s.db.QueryContext(ctx, s.dialect.rebind(st.query), st.args...)
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
		and("time >= ?", q.Since.Add(time.Second-1).Unix()) // rounded up, because stored times are whole seconds
	}
	if q.Before != "" {
		// The second condition implies the first, but MySQL uses an index only
		// for the first.
		and("time <= (SELECT time FROM twofa_events WHERE id = ?)", q.Before)
		and("(time, seq) < (SELECT time, seq FROM twofa_events WHERE id = ?)", q.Before)
	}
	limit := min(cmp.Or(max(q.Limit, 0), 100), 1000)
	query := "SELECT data FROM twofa_events WHERE " + strings.Join(where, " AND ") + " ORDER BY time DESC, seq DESC LIMIT ?"
	return statement{query, append(args, limit)}
}
