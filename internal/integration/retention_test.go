package integration

import (
	"context"
	"database/sql"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/twofatest"
)

// partitioning returns the statements of docs/retention.md that partition the table
// and that drop a month.
func partitioning(t testing.TB, section string) (create []string, drop string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/retention.md")
	require.NoError(t, err)
	_, text, ok := strings.Cut(string(page), "\n### "+section)
	require.True(t, ok)
	text, _, _ = strings.Cut(text, "\n### ")
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(text, -1)
	require.Len(t, blocks, 2)
	statements := regexp.MustCompile(`;( --.*)?\n`)
	return statements.Split(strings.TrimSuffix(strings.TrimSpace(blocks[0][1]), ";"), -1), strings.TrimSuffix(strings.TrimSpace(blocks[1][1]), ";")
}

func execAll(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, query := range statements {
		_, err := db.Exec(query)
		require.NoError(t, err, query)
	}
}

// auditedManager returns a Manager over a database. Its clock begins on 10 January 2026.
func auditedManager(t testing.TB, s twofa.Store) (*twofa.Manager, *twofatest.Clock) {
	t.Helper()
	clock := twofatest.NewClock(time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC))
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: s, Keys: twofatest.KeyRing(t, "x"), Now: clock.Now,
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id}, nil }),
	})
	require.NoError(t, err)
	return m, clock
}

// The file docs/retention.md describes how to partition the table by time, for
// PostgreSQL and for MySQL. The suite runs with two borders among the times of its
// events, and with settings that [TestStore_OtherSettings] leaves out.
func TestStoreEventsPartitioned(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		db := d.open(t)
		drop := ""
		switch d.dialect {
		case sqlstore.SQLite:
			return // has no partitions
		case sqlstore.PostgreSQL:
			if !*storeMatrix {
				d = d.with(t, "PostgreSQL repeatable read")
			}
			var create []string
			create, drop = partitioning(t, "PostgreSQL")
			execAll(t, db, create...)
			execAll(t, db, "CREATE TABLE twofa_events_one PARTITION OF twofa_events FOR VALUES FROM (1698796800) TO (1700000003)",
				"CREATE TABLE twofa_events_two PARTITION OF twofa_events FOR VALUES FROM (1700000003) TO (1700000008)")
			d.migrate(t)
			require.Equal(t, columns(t, databases[1].fresh(t).migrate(t).open(t)), columns(t, db), "docs/retention.md lacks a change of a migration")
		case sqlstore.MySQL:
			if !*storeMatrix {
				d = d.with(t, "MariaDB prepared", "MariaDB serializable")
			}
			d.migrate(t)
			var create []string
			create, drop = partitioning(t, "MySQL")
			execAll(t, db, create...)
			execAll(t, db, `ALTER TABLE twofa_events REORGANIZE PARTITION y2026m01 INTO (
				PARTITION one VALUES LESS THAN (1700000003), PARTITION two VALUES LESS THAN (1700000008),
				PARTITION y2026m01 VALUES LESS THAN (1769904000))`)
		}
		suite(t, d)
		dropsMonth(t, d, drop)
	})
}

// columns returns the columns of the table of events, with everything that matters.
func columns(t testing.TB, db *sql.DB) (list []string) {
	t.Helper()
	rows, err := db.Query(`SELECT concat_ws(' ', column_name, data_type, is_nullable, collation_name) FROM information_schema.columns
		WHERE table_name = 'twofa_events' ORDER BY column_name`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var column string
		require.NoError(t, rows.Scan(&column))
		list = append(list, column)
	}
	require.NoError(t, rows.Err())
	require.NotEmpty(t, list)
	return list
}

// dropsMonth drops January, and says so to the Manager.
func dropsMonth(t *testing.T, d database, drop string) {
	t.Helper()
	s, db := d.store(t), d.open(t)
	execAll(t, db, "DELETE FROM twofa_events", "DELETE FROM twofa_records") // those of the suite
	m, clock := auditedManager(t, s)
	month := func() {
		for _, user := range []string{"ada", "bob", "eve"} {
			require.NoError(t, m.User(twofa.AsHost("signed out"), user).Revoke(t.Context()))
		}
	}
	problems := func() []twofa.AuditProblem {
		report, err := m.VerifyEvents(t.Context(), nil)
		require.NoError(t, err)
		return report.Problems
	}
	month()
	clock.Add(5 * 24 * time.Hour)
	month()
	require.NoError(t, m.User(twofa.AsHost("left"), "eve").Delete(t.Context()))
	clock.Add(30 * 24 * time.Hour)
	month()
	clock.Add(48 * time.Hour)
	page, err := s.Events(t.Context(), twofa.EventQuery{User: "ada", Limit: 1, Forward: true})
	require.NoError(t, err)
	require.Empty(t, problems())
	execAll(t, db, drop)
	require.NotEmpty(t, problems())
	rest, err := s.Events(t.Context(), twofa.EventQuery{User: "ada", Forward: true, Cursor: page.Next})
	require.NoError(t, err)
	require.Len(t, rest.Events, 1)
	deleted, err := m.DeleteEvents(t.Context(), twofa.AsHost("retention"), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), nil)
	require.NoError(t, err)
	require.Zero(t, deleted)
	require.Empty(t, problems())
	execAll(t, db, "DELETE FROM twofa_events WHERE user_id = 'bob'")
	require.NotEmpty(t, problems())
}

// Events are erased and deleted in a database while others are written.
func TestAbuse_Q11_EraseAndDeleteInADatabase(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		m, clock := auditedManager(t, d.migrate(t).store(t))
		for range 30 {
			for _, user := range []string{"ada", "bob"} {
				require.NoError(t, m.User(twofa.AsHost("signed out"), user).Revoke(t.Context()))
			}
			clock.Add(24 * time.Hour)
		}
		require.NoError(t, m.User(twofa.AsHost("left"), "ada").Delete(t.Context()))
		erased, err := m.User(twofa.AsHost("request"), "ada").EraseEvents(t.Context())
		require.NoError(t, err)
		require.Equal(t, 31, erased)
		clock.Add(time.Hour)
		deleted, err := m.DeleteEvents(t.Context(), twofa.AsHost("retention"), clock.Now().Add(-10*24*time.Hour), nil)
		require.NoError(t, err)
		require.Equal(t, 42, deleted)
		report, err := m.VerifyEvents(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, report.Problems)
		require.Equal(t, 19, report.Events)
		var named int
		require.NoError(t, d.open(t).QueryRow("SELECT COUNT(*) FROM twofa_events WHERE user_id = 'ada' OR actor_id = 'ada' OR data LIKE '%ada%'").Scan(&named))
		require.Zero(t, named)
		_, err = d.open(t).Exec("UPDATE twofa_events SET user_id = '', data = REPLACE(data, '\"user\":\"bob\",', '') WHERE number = 25 AND user_id = 'bob'")
		require.NoError(t, err)
		report, err = m.VerifyEvents(t.Context(), nil)
		require.NoError(t, err)
		require.NotEmpty(t, report.Problems, "an event is blanked in the database")
	})
}
