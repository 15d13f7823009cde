package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

const (
	insertEvents = "INSERT INTO twofa_events (id, time, type, user_id, account_id, actor_id, number, mac, claimed_until, data) "
	eventRow     = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	// PostgreSQL takes the type of a placeholder in VALUES to be text, so those
	// that are not text need a cast.
	typedEventRow = "(?, ?::bigint, ?, ?, ?, ?, ?::bigint, ?::bytea, ?::bigint, ?)"

	eventColumns = "time, seq, id, type, user_id, account_id, actor_id, number, mac, data"
)

// latestTime is the end of the year 9999. A later time cannot be encoded as JSON.
const latestTime = 253402300799

// eventArgs returns the arguments of a VALUES list for insertEvents. Each row has
// the columns that queries select by, the MAC, and the rest of the event as JSON.
func eventArgs(events []twofa.Event) ([]any, error) {
	args := make([]any, 0, len(events)*strings.Count(eventRow, "?"))
	for i := range events {
		e := events[i]
		mac := append([]byte{}, e.MAC...) // not NULL
		e.MAC = nil
		data, err := json.Marshal(&e)
		if err != nil {
			return nil, err
		}
		actor := sql.NullString{String: e.Actor.ID, Valid: e.Actor.ID != ""}
		args = append(args, e.ID, e.Time.Unix(), e.Type, e.User, e.Account, actor, int64(e.Seq), mac, claimOf(e), string(data))
	}
	return args, nil
}

func rowsQuery(events int) string {
	return "VALUES " + eventRow + strings.Repeat(", "+eventRow, events-1)
}

func insert(rows statement) statement {
	return statement{insertEvents + rows.query, rows.args}
}

// writeAndInsert returns a statement that runs write and inserts the rows if
// write changed a row.
func writeAndInsert(write, rows statement) statement {
	typed := strings.ReplaceAll(rows.query, eventRow, typedEventRow)
	return statement{
		"WITH written AS (" + write.query + " RETURNING 1) " + insertEvents + "SELECT e.* FROM written, (" + typed + ") AS e",
		append(write.args, rows.args...),
	}
}

// Events implements [twofa.EventReader]. Events are ordered by their time. Of
// events in the same second, the one that was inserted first is usually the older
// one. A cursor remains valid if the host deletes events, and on every server. If
// q.Cursor is malformed, the error is [twofa.ErrInvalid].
//
// Events have the values of the columns, so that [twofa.Manager.VerifyEvents] finds
// an event that a changed column hides from queries. One whose other data cannot be read
// has only these values, and VerifyEvents reports it as changed.
//
// A query by user, by account, by account and type, or by actor reads only the
// events that it returns. So does a query without any of these. Other conditions
// are checked on each of the events that these select.
func (s *Store) Events(ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
	page, err := s.events(ctx, q)
	if err != nil {
		return twofa.EventPage{}, fmt.Errorf("sqlstore: events: %w", err)
	}
	return page, nil
}

func (s *Store) events(ctx context.Context, q twofa.EventQuery) (page twofa.EventPage, err error) {
	limit := min(cmp.Or(max(q.Limit, 0), 100), 1000)
	st, err := selectEvents(q, limit+1) // one more, to know whether there is a next page
	if err != nil {
		return page, err
	}
	err = s.list(ctx, func(db querier) error {
		page, err = s.queryEvents(ctx, db, st, limit)
		return err
	})
	return page, err
}

func (s *Store) queryEvents(ctx context.Context, db querier, st statement, limit int) (page twofa.EventPage, err error) {
	rows, err := db.QueryContext(ctx, s.dialect.rebind(st.query), st.args...)
	if err != nil {
		return page, err
	}
	defer rows.Close()
	var last position
	for rows.Next() {
		if len(page.Events) == limit {
			page.Next = last.String()
			break
		}
		var e twofa.Event
		if last, e, err = scanEvent(rows); err != nil {
			return page, err
		}
		page.Events = append(page.Events, e)
	}
	return page, rows.Err()
}

// scanEvent reads a row of eventColumns, and of other columns after them.
func scanEvent(rows *sql.Rows, others ...any) (p position, e twofa.Event, err error) {
	var (
		data, mac []byte
		by        twofa.Event
		actor     sql.NullString
		number    int64
	)
	row := []any{&p.time, &p.seq, &by.ID, &by.Type, &by.User, &by.Account, &actor, &number, &mac, &data}
	if err := rows.Scan(append(row, others...)...); err != nil {
		return p, e, err
	}
	if json.Unmarshal(data, &e) != nil {
		e = twofa.Event{} // without its MAC, so that one row cannot keep all others from being read
	}
	e.ID, e.Type, e.User, e.Account, e.Actor.ID, e.Seq = by.ID, by.Type, by.User, by.Account, actor.String, uint64(number)
	if e.MAC = nil; len(mac) > 0 {
		e.MAC = mac
	}
	if e.Time.Unix() != p.time {
		e.Time = time.Unix(min(max(p.time, 0), latestTime), 0).UTC()
	}
	return p, e, nil
}

func selectEvents(q twofa.EventQuery, limit int) (statement, error) {
	where := []string{"1 = 1"}
	var args []any
	and := func(condition string, arg ...any) {
		where, args = append(where, condition), append(args, arg...)
	}
	if q.User != "" {
		and("user_id = ?", q.User)
	}
	if q.Account != "" {
		and("account_id = ?", q.Account)
	}
	if q.Actor != "" {
		and("actor_id = ?", q.Actor)
	}
	if len(q.Types) > 0 {
		types := make([]any, len(q.Types))
		for i, t := range q.Types {
			types[i] = t
		}
		and("type IN (?"+strings.Repeat(", ?", len(types)-1)+")", types...)
	}
	if !q.Since.IsZero() {
		and("time >= ?", roundUp(q.Since))
	}
	if !q.Until.IsZero() {
		and("time < ?", roundUp(q.Until))
	}
	beyond, order := "<", "DESC"
	if q.Forward {
		beyond, order = ">", "ASC"
	}
	if q.Cursor != "" {
		p, err := parsePosition(q.Cursor)
		if err != nil {
			return statement{}, err
		}
		// The second condition implies the first. But MySQL uses an index, and
		// PostgreSQL skips partitions, only for the first.
		and("time "+beyond+"= ?", p.time)
		and("(time, seq) "+beyond+" (?, ?)", p.time, p.seq)
	}
	return statement{
		"SELECT " + eventColumns + " FROM twofa_events WHERE " + strings.Join(where, " AND ") +
			" ORDER BY time " + order + ", seq " + order + " LIMIT ?",
		append(args, limit),
	}, nil
}

// roundUp returns t in Unix seconds, rounded up because stored times are whole
// seconds.
func roundUp(t time.Time) int64 { return t.Add(time.Second - 1).Unix() }

// position is the place of an event in the order of all events, and the content
// of a cursor. A cursor is therefore valid even if its event has been deleted.
type position struct{ time, seq int64 }

func (p position) String() string { return fmt.Sprintf("%d.%d", p.time, p.seq) }

func parsePosition(cursor string) (p position, err error) {
	_, err = fmt.Sscanf(cursor, "%d.%d", &p.time, &p.seq)
	if err != nil || p.String() != cursor {
		return p, fmt.Errorf("%w: EventQuery.Cursor: must be EventPage.Next of an earlier page, is %.40q", twofa.ErrInvalid, cursor)
	}
	return p, nil
}
