package integration

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/harness"
	"github.com/twofa-go/twofa/twofatest"
)

func TestStoreEventsOfOneSwapAreInOrder(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		s := d.migrate(t).store(t)
		put(t, s, slices.Repeat([]int64{1}, 20)...)
		want := make([]string, 20)
		for i := range want {
			want[i] = fmt.Sprint(i)
		}
		require.Equal(t, want, read(t, s, twofa.EventQuery{Forward: true, Limit: 3}))
		slices.Reverse(want)
		require.Equal(t, want, read(t, s, twofa.EventQuery{Limit: 3}))
	})
}

// A cursor remains valid if the host deletes the events around it.
func TestStoreEventsCursorOfADeletedEvent(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		s := d.migrate(t).store(t)
		put(t, s, 1, 2, 3, 4, 4, 4, 5, 6) // IDs are 0 to 7
		backward, forward := twofa.EventQuery{Limit: 4}, twofa.EventQuery{Limit: 4, Forward: true}
		for _, q := range []*twofa.EventQuery{&backward, &forward} {
			page, err := s.Events(t.Context(), *q)
			require.NoError(t, err)
			q.Cursor = page.Next
		}
		_, err := d.open(t).Exec("DELETE FROM twofa_events WHERE id IN ('2', '4', '3')") // the cursors are 4 and 3
		require.NoError(t, err)
		require.Equal(t, []string{"1", "0"}, read(t, s, backward))
		require.Equal(t, []string{"5", "6", "7"}, read(t, s, forward))
		_, err = d.open(t).Exec("DELETE FROM twofa_events")
		require.NoError(t, err)
		require.Empty(t, read(t, s, backward))
		require.Empty(t, read(t, s, forward))
	})
}

// Queries select by columns, and the MAC covers the JSON. An event is returned with the
// values of the columns, so VerifyEvents finds a change of either.
func TestAbuse_Q11_ChangedColumnIsFound(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		s, db := d.migrate(t).store(t), d.open(t)
		clock := twofatest.NewClock(harness.Start)
		m, err := twofa.New(twofa.Config{
			Issuer: "Acme", Store: s, Keys: twofatest.KeyRing(t, "x"), Now: clock.Now,
			Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id}, nil }),
		})
		require.NoError(t, err)
		require.NoError(t, m.User(twofa.AsStaff("sam", "called back"), "ada").Revoke(t.Context()))
		clock.Add(10 * time.Minute)
		report, err := m.VerifyEvents(t.Context(), nil)
		require.NoError(t, err)
		require.Positive(t, report.Events)
		require.Empty(t, report.Problems)
		was, err := s.Events(t.Context(), twofa.EventQuery{Types: []string{event.Revoked}})
		require.NoError(t, err)
		require.Len(t, was.Events, 1)
		var data string
		require.NoError(t, db.QueryRow(fmt.Sprintf("SELECT data FROM twofa_events WHERE id = '%s'", was.Events[0].ID)).Scan(&data))
		for _, c := range []struct {
			column, value string
			want          func(e *twofa.Event)
		}{
			{"user_id", "'eve'", func(e *twofa.Event) { e.User = "eve" }},
			{"account_id", "'acme'", func(e *twofa.Event) { e.Account = "acme" }},
			{"actor_id", "'eve'", func(e *twofa.Event) { e.Actor.ID = "eve" }},
			{"actor_id", "NULL", func(e *twofa.Event) { e.Actor.ID = "" }},
			{"type", "'login'", func(e *twofa.Event) { e.Type = "login" }},
			{"number", "77", func(e *twofa.Event) { e.Seq = 77 }},
			{"number", "-1", func(e *twofa.Event) { e.Seq = 1<<64 - 1 }},
			{"data", "'{'", func(e *twofa.Event) {
				*e = twofa.Event{ID: e.ID, Time: e.Time, Type: e.Type, User: e.User, Account: e.Account, Actor: twofa.EventActor{ID: e.Actor.ID}, Seq: e.Seq, MAC: e.MAC}
			}},
			{"time", "time - 60", func(e *twofa.Event) { e.Time = e.Time.Add(-time.Minute) }},
			{"time", "-1", func(e *twofa.Event) { e.Time = time.Unix(0, 0).UTC() }},
			{"time", "9000000000000000000", func(e *twofa.Event) { e.Time = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }},
		} {
			change := fmt.Sprintf("UPDATE twofa_events SET %s = %s WHERE id = '%s'", c.column, c.value, was.Events[0].ID)
			_, err := db.Exec(change)
			require.NoError(t, err)
			want := was.Events[0]
			c.want(&want)
			page, err := s.Events(t.Context(), twofa.EventQuery{})
			require.NoError(t, err)
			require.Contains(t, page.Events, want, change)
			_, err = json.Marshal(page.Events)
			require.NoError(t, err)
			report, err := m.VerifyEvents(t.Context(), nil)
			require.NoError(t, err)
			require.Contains(t, report.Problems, twofa.AuditProblem{Kind: twofa.AuditChanged, User: want.User, Account: want.Account, Event: want.ID, Seq: want.Seq}, change)

			e := was.Events[0]
			_, err = db.Exec(fmt.Sprintf("UPDATE twofa_events SET user_id = '%s', account_id = '%s', actor_id = '%s', type = '%s', number = %d, time = %d, data = '%s' WHERE id = '%s'",
				e.User, e.Account, e.Actor.ID, e.Type, e.Seq, e.Time.Unix(), data, e.ID))
			require.NoError(t, err)
		}
		report, err = m.VerifyEvents(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, report.Problems)
	})
}

func TestStoreEventsMalformedCursor(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		s := d.migrate(t).store(t)
		for _, cursor := range []string{"x", "1", "1.", ".1", "1.2.3", "1.2 ", " 1.2", "+1.2", "01.2", "1,2", "99999999999999999999.1"} {
			_, err := s.Events(t.Context(), twofa.EventQuery{Cursor: cursor})
			require.ErrorIs(t, err, twofa.ErrInvalid)
			require.ErrorContains(t, err, "Cursor: must be")
		}
	})
}

// A Swap waits for a lock while events with later times are stored and read. A
// reader that reads forward, and has not yet read that far, sees its event.
func TestStoreEventsThatCommitLate(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			return // has one writer at a time, so nothing is stored while a Swap waits
		}
		s := d.migrate(t).store(t)
		require.NoError(t, s.Swap(t.Context(), "", record("slow", "v1")))
		held, err := d.open(t).Begin()
		require.NoError(t, err)
		_, err = held.Exec("UPDATE twofa_records SET data = data WHERE twofa_records.key = 'slow'")
		require.NoError(t, err)
		late := make(chan error)
		go func() {
			late <- d.store(t).Swap(t.Context(), "v1", record("slow", "v2"), twofa.Event{ID: "late", Time: time.Unix(3, 0).UTC()})
		}()

		put(t, s, 1, 2, 4, 5, 6)
		q := twofa.EventQuery{Forward: true, Limit: 2, Until: time.Unix(5, 0)} // 6 is now, and the reader stays behind
		page, err := s.Events(t.Context(), q)
		require.NoError(t, err)
		require.Len(t, page.Events, 2)
		require.NoError(t, held.Rollback())
		require.NoError(t, <-late)
		q.Cursor = page.Next
		require.Equal(t, []string{"late", "2"}, read(t, s, q))
		require.Equal(t, []string{"4", "3", "2", "late", "1", "0"}, read(t, s, twofa.EventQuery{}))
	})
}

// A transaction with an event is open while an export reads up to a minute ago, and
// commits after that. The next export begins there and has the event. A reader that
// reads backward is past its place by then.
func TestStoreEventsOfAnOpenTransaction(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		s := d.migrate(t).store(t)
		clock := twofatest.NewClock(time.Unix(1_700_000_000, 0))
		now := clock.Now().Unix()
		put(t, s, now-90, now-80, now-70, now-20, now-10) // IDs are 0 to 4
		open, err := d.open(t).Begin()
		require.NoError(t, err)
		_, err = open.Exec(fmt.Sprintf(`INSERT INTO twofa_events (id, time, type, user_id, account_id, number, mac, data)
			VALUES ('late', %d, 'login', 'put', '', 1, '', '{"id":"late"}')`, now-30))
		require.NoError(t, err)

		until := clock.Now().Add(-time.Minute)
		require.Equal(t, []string{"0", "1", "2"}, read(t, s, twofa.EventQuery{Forward: true, Limit: 2, Until: until}))
		page, err := s.Events(t.Context(), twofa.EventQuery{Limit: 3})
		require.NoError(t, err)
		require.NoError(t, open.Commit())
		clock.Add(time.Minute)
		require.Equal(t, []string{"late", "3", "4"}, read(t, s, twofa.EventQuery{Forward: true, Limit: 2, Since: until, Until: clock.Now().Add(-time.Minute)}))
		require.Equal(t, []string{"1", "0"}, read(t, s, twofa.EventQuery{Limit: 3, Cursor: page.Next}))
	})
}

// No Swap can commit a minute after the time of its event, even if the caller's
// context has no deadline.
func TestStoreSwapEndsBeforeReadersOfEventsArrive(t *testing.T) {
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.PostgreSQL, sqlstore.MySQL} {
		var deadlines []time.Time
		db := sql.OpenDB(deadlineDB{&deadlines})
		s, err := sqlstore.New(db, dialect)
		require.NoError(t, err)
		require.NoError(t, s.Swap(context.Background(), "v1", record("1", "v2"), twofa.Event{ID: "e"}))
		require.NotEmpty(t, deadlines)
		for _, deadline := range deadlines {
			require.WithinDuration(t, time.Now(), deadline, 45*time.Second)
		}
		require.NoError(t, db.Close())
	}
}

// deadlineDB is a database that changes one row in each statement and notes the
// deadline of its context.
type deadlineDB struct{ deadlines *[]time.Time }

func (d deadlineDB) Connect(context.Context) (driver.Conn, error) { return deadlineConn{d}, nil }
func (d deadlineDB) Driver() driver.Driver                        { return nil }

type deadlineConn struct{ deadlineDB }

func (c deadlineConn) ExecContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Result, error) {
	deadline, _ := ctx.Deadline()
	*c.deadlines = append(*c.deadlines, deadline)
	return driver.RowsAffected(1), nil
}

// QueryContext returns the settings of a session.
func (c deadlineConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &settingsRow{}, nil
}

func (c deadlineConn) Begin() (driver.Tx, error)           { return c, nil }
func (c deadlineConn) Commit() error                       { return nil }
func (c deadlineConn) Rollback() error                     { return nil }
func (c deadlineConn) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrBadConn }
func (c deadlineConn) Close() error                        { return nil }

// Every query that an administrator's pages make is answered from an index, in
// its order: the first page and the following ones, in both directions.
func TestStoreEventsAreReadByIndex(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		d.migrate(t)
		fill(t, d)
		var queries []recorded
		s, err := sqlstore.New(sql.OpenDB(recording{d.open(t).Driver(), d.dsn, &queries}), d.dialect)
		require.NoError(t, err)
		since := time.Unix(1_700_000_100, 0)
		byTime := map[sqlstore.Dialect]string{
			sqlstore.SQLite: "twofa_events_time", sqlstore.PostgreSQL: "twofa_events_pkey", sqlstore.MySQL: "PRIMARY",
		}[d.dialect]
		for _, c := range []struct {
			index string
			q     twofa.EventQuery
		}{
			{byTime, twofa.EventQuery{}},
			{byTime, twofa.EventQuery{Since: since, Until: since.Add(2 * time.Hour)}},
			{"twofa_events_user", twofa.EventQuery{User: "u7"}},
			{"twofa_events_user", twofa.EventQuery{User: "u7", Since: since}},
			{"twofa_events_account", twofa.EventQuery{Account: "a7"}},
			{"twofa_events_account", twofa.EventQuery{Account: "a7", Since: since, Until: since.Add(2 * time.Hour)}},
			{"twofa_events_type", twofa.EventQuery{Account: "a7", Types: []string{event.Policy}}},
			{"twofa_events_actor", twofa.EventQuery{Actor: "s50"}},
		} {
			for _, c.q.Forward = range []bool{false, true} {
				c.q.Limit, c.q.Cursor = 3, ""
				for range 2 {
					queries = nil
					page, err := s.Events(t.Context(), c.q)
					require.NoError(t, err)
					require.NotEmpty(t, page.Next)
					last := len(queries) - 1
					require.Equal(t, d.dialect == sqlstore.MySQL, last == 1, "MySQL: the settings of the session are read as well")
					plan := explain(t, d, queries[last])
					t.Logf("%+v\n%s", c.q, plan)
					require.Contains(t, plan, c.index)
					for _, slow := range []string{"Seq Scan", "Sort", "TEMP B-TREE", "filesort", "|ALL|"} {
						require.NotContains(t, plan, slow)
					}
					c.q.Cursor = page.Next
				}
			}
		}
	})
}

// fill inserts 10,000 events of 250 users and 100 accounts. One in 25 has an actor,
// and one in 4 of each account has another type.
func fill(t *testing.T, d database) {
	t.Helper()
	digits := "(SELECT 0 AS n" + strings.Join([]string{"", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, " UNION ALL SELECT ") + ")"
	db := d.open(t)
	_, err := db.Exec(`INSERT INTO twofa_events (id, time, type, user_id, account_id, actor_id, number, mac, data)
		SELECT CONCAT('e', n), 1700000000 + n, CASE WHEN n % 400 < 100 THEN 'policy' ELSE 'login' END,
			CONCAT('u', n % 250), CONCAT('a', n % 100), CASE WHEN n % 25 = 0 THEN CONCAT('s', n % 100) END, 1, '', '{}'
		FROM (SELECT a.n * 1000 + b.n * 100 + c.n * 10 + d.n AS n FROM ` +
		digits + " AS a, " + digits + " AS b, " + digits + " AS c, " + digits + " AS d) AS numbers")
	require.NoError(t, err)
	_, err = db.Exec(map[sqlstore.Dialect]string{
		sqlstore.SQLite: "ANALYZE", sqlstore.PostgreSQL: "ANALYZE twofa_events", sqlstore.MySQL: "ANALYZE TABLE twofa_events",
	}[d.dialect])
	require.NoError(t, err)
}

// explain returns how the database executes a query, with a line for each step.
func explain(t *testing.T, d database, r recorded) string {
	t.Helper()
	prefix := "EXPLAIN "
	if d.dialect == sqlstore.SQLite {
		prefix = "EXPLAIN QUERY PLAN "
	}
	rows, err := d.open(t).Query(prefix+r.query, r.args...)
	require.NoError(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	var plan strings.Builder
	for rows.Next() {
		values, targets := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		require.NoError(t, rows.Scan(targets...))
		for _, v := range values {
			plan.WriteString(v.String + "|")
		}
		plan.WriteString("\n")
	}
	require.NoError(t, rows.Err())
	return plan.String()
}

// recording is a database that notes its queries.
type recording struct {
	driver  driver.Driver
	dsn     string
	queries *[]recorded
}

type recorded struct {
	query string
	args  []any
}

func (r recording) Driver() driver.Driver { return r.driver }

func (r recording) Connect(context.Context) (driver.Conn, error) {
	c, err := r.driver.Open(r.dsn)
	return recordingConn{c, r.queries}, err
}

type recordingConn struct {
	driver.Conn
	queries *[]recorded
}

func (c recordingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	r := recorded{query: query}
	for _, arg := range args {
		r.args = append(r.args, arg.Value)
	}
	*c.queries = append(*c.queries, r)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c recordingConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

// put stores an event of the user "put" for each time. Their IDs are 0, 1, 2, ….
func put(t *testing.T, s twofa.Store, seconds ...int64) {
	t.Helper()
	var events []twofa.Event
	for i, second := range seconds {
		events = append(events, twofa.Event{ID: fmt.Sprint(i), Time: time.Unix(second, 0).UTC(), User: "put"})
	}
	require.NoError(t, s.Swap(t.Context(), "", record("put", "v"), events...))
}

// read returns the IDs of the events of this page and all that follow.
func read(t *testing.T, s *sqlstore.Store, q twofa.EventQuery) (ids []string) {
	t.Helper()
	for {
		page, err := s.Events(t.Context(), q)
		require.NoError(t, err)
		for _, e := range page.Events {
			ids = append(ids, e.ID)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return ids
		}
	}
}
