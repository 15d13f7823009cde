package integration

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/twofatest"
)

var verifyEvents = flag.Int("verify.events", 2000, "how many events TestVerify_Million writes, verifies and deletes; with 1000000, it prints the figures of docs/retention.md")

// bulk is a store that collects events, which are then copied to the database.
type bulk struct {
	*memstore.Store
	events []twofa.Event
}

func (s *bulk) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	s.events = append(s.events, events...)
	return s.Store.Swap(ctx, prev, next)
}

// TestVerify_Million measures what events cost in PostgreSQL: logins of 100,000 users
// over two months, ten of each. Without the flag, it has a few only, so that the
// command for the figures remains correct.
func TestVerify_Million(t *testing.T) {
	d := databases[1].fresh(t)
	db := d.open(t)
	create, drop := partitioning(t, "PostgreSQL")
	execAll(t, db, create...)
	s := d.migrate(t).store(t)
	memory := &bulk{Store: memstore.New()}
	clock := twofatest.NewClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memory, Keys: twofatest.KeyRing(t, "x"), Now: clock.Now,
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) {
			return twofa.User{ID: id, Members: []twofa.Member{{Account: "acme"}}}, nil
		}),
	})
	require.NoError(t, err)
	users := max(1, *verifyEvents/10)
	step := 58 * 24 * time.Hour / time.Duration(*verifyEvents)
	written := 0
	for login := range *verifyEvents {
		user := fmt.Sprintf("usr_%020d", login%users)
		_, err := m.Begin(t.Context(), twofa.FirstFactor{UserID: user, Account: "acme", By: twofa.ByPassword, Client: twofa.Client{
			Browser: twofa.NewSecret("b"), IP: "203.0.113.77", RequestID: user,
			UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
		}})
		require.NoError(t, err)
		clock.Add(step)
		if len(memory.events) >= 10_000 || login == *verifyEvents-1 {
			copyEvents(t, db, memory.events)
			written += len(memory.events)
			memory.events = memory.events[:0]
		}
	}
	copyRecords(t, db, memory)
	clock.Add(48 * time.Hour)
	execAll(t, db, "VACUUM ANALYZE twofa_events", "VACUUM ANALYZE twofa_records")

	n := func(query string) (v int64) {
		require.NoError(t, db.QueryRow(query).Scan(&v))
		return v
	}
	const partitions = "FROM pg_inherits WHERE inhparent = 'twofa_events'::regclass"
	all, table := n("SELECT SUM(pg_total_relation_size(inhrelid))::bigint "+partitions), n("SELECT SUM(pg_table_size(inhrelid))::bigint "+partitions)
	t.Logf("%d events: %d bytes each, of which %d are indexes", written, all/int64(written), (all-table)/int64(written))
	t.Logf("a month with 5,000,000 events a day: %d GB", all/int64(written)*5_000_000*31/1_000_000_000)

	m, err = twofa.New(twofa.Config{Issuer: "Acme", Store: s, Keys: twofatest.KeyRing(t, "x"), Now: clock.Now,
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id}, nil })})
	require.NoError(t, err)
	verify := func() {
		t.Helper()
		began := time.Now()
		report, err := m.VerifyEvents(t.Context(), func(events int) {
			if events%100_000 == 0 {
				t.Logf("  %d events after %v", events, time.Since(began).Round(time.Second))
			}
		})
		require.NoError(t, err)
		require.Empty(t, report.Problems)
		t.Logf("VerifyEvents: %v for %d events of %d users", time.Since(began).Round(100*time.Millisecond), report.Events, report.Records)
	}
	verify()

	february := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	january := n("SELECT COUNT(*) FROM twofa_events_2026_01")
	execAll(t, db, "CREATE TABLE saved AS SELECT * FROM twofa_events_2026_01")
	began := time.Now()
	execAll(t, db, drop)
	t.Logf("dropping the partition of January: %v for %d events", time.Since(began).Round(time.Millisecond), january)
	execAll(t, db, create[2], "INSERT INTO twofa_events SELECT * FROM saved", "VACUUM ANALYZE twofa_events_2026_01")
	began = time.Now()
	deleted, err := m.DeleteEvents(t.Context(), twofa.AsHost("retention"), february, nil)
	require.NoError(t, err)
	require.EqualValues(t, january, deleted)
	t.Logf("DeleteEvents: %v for %d events", time.Since(began).Round(100*time.Millisecond), deleted)
	verify()
}

// copyEvents stores events with one Swap for each 1,000.
func copyEvents(t *testing.T, db *sql.DB, events []twofa.Event) {
	t.Helper()
	s, err := sqlstore.New(db, sqlstore.PostgreSQL)
	require.NoError(t, err)
	for start := 0; start < len(events); start += 1000 {
		version := fmt.Sprint(events[start].ID)
		require.NoError(t, s.Swap(t.Context(), "", twofa.Record{Key: "copy/" + version, Version: version, Data: []byte{1}}, events[start:min(start+1000, len(events))]...))
		require.NoError(t, s.Swap(t.Context(), version, twofa.Record{Key: "copy/" + version}))
	}
}

func copyRecords(t *testing.T, db *sql.DB, memory *bulk) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	for after := ""; ; {
		keys, err := memory.Keys(t.Context(), after, 1000)
		require.NoError(t, err)
		if len(keys) == 0 {
			return
		}
		after = keys[len(keys)-1]
		records, err := memory.Get(t.Context(), keys...)
		require.NoError(t, err)
		var rows [][]any
		for _, r := range records {
			rows = append(rows, []any{r.Key, r.Version, r.Data})
		}
		require.NoError(t, conn.Raw(func(c any) error {
			_, err := c.(*stdlib.Conn).Conn().CopyFrom(t.Context(), pgx.Identifier{"twofa_records"}, []string{"key", "version", "data"}, pgx.CopyFromRows(rows))
			return err
		}))
	}
}
