package integration

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/engines"
	"github.com/twofa-go/twofa/storetest"
)

// database is an empty database. Tests open any number of handles on it.
type database struct {
	driver  string
	dsn     string
	dialect sqlstore.Dialect
}

// engine creates databases of one kind.
type engine struct {
	name  string
	fresh func(t testing.TB) database
}

var databases = []engine{
	{"SQLite", func(t testing.TB) database {
		return database{"sqlite", "file:" + filepath.Join(t.TempDir(), "twofa.db") +
			"?_pragma=busy_timeout(30000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_txlock=immediate", sqlstore.SQLite} // no test stops the machine
	}},
	{"PostgreSQL", func(t testing.TB) database {
		return database{"pgx", engines.PostgreSQL(t), sqlstore.PostgreSQL}
	}},
	{"MariaDB", func(t testing.TB) database {
		return database{"mysql", engines.MariaDB(t), sqlstore.MySQL}
	}},
}

// open opens another handle, as another process does.
func (d database) open(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, d.dsn)
	require.NoError(t, err)
	db.SetMaxIdleConns(16) // with the default of 2, races would mostly open and close connections
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func (d database) store(t testing.TB) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(d.open(t), d.dialect)
	require.NoError(t, err)
	return s
}

func (d database) migrate(t testing.TB) database {
	t.Helper()
	require.NoError(t, sqlstore.Migrate(t.Context(), d.open(t), d.dialect))
	return d
}

func TestMain(m *testing.M) { os.Exit(engines.Main(m)) }

// forEach runs f for each kind of database. The subtests run in parallel, because
// each of them waits for a disk or another process half of the time.
func forEach(t *testing.T, f func(t *testing.T, d database)) {
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			f(t, db.fresh(t))
		})
	}
}

var storeMatrix = flag.Bool("store.matrix", false, "run the suite of stores for each setting of a database alone, and with one handle as well; do so after a change of the store, and before a release")

// Two processes of a product use one database.
func TestStore(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) { suite(t, d.migrate(t)) })
	if *storeMatrix {
		forEach(t, func(t *testing.T, d database) {
			s := d.migrate(t).store(t)
			storetest.Run(t, func(*testing.T) twofa.Store { return s })
		})
	}
}

// suite runs the suite with two handles, such as those of two processes.
func suite(t *testing.T, d database) {
	t.Helper()
	a, b := d.store(t), d.store(t)
	storetest.RunShared(t, func(*testing.T) (twofa.Store, twofa.Store) { return a, b })
}

// Some settings of a database change the meaning of statements. Those that do not
// affect each other share a run, and some are in [TestStoreEventsPartitioned] or, as
// unprepared statements, in [TestStore_PgBouncer]. With -store.matrix, each setting
// has a run of its own.
func TestStore_OtherSettings(t *testing.T) {
	t.Parallel()
	runs := [][]string{
		{"SQLite deferred transactions", "SQLite rollback journal"},
		{"PostgreSQL simple protocol", "PostgreSQL serializable"},
		{"MariaDB counting rows found", "MariaDB not strict", "MariaDB Latin-1"},
	}
	if *storeMatrix {
		runs = nil
		for _, s := range settings {
			runs = append(runs, []string{s.name})
		}
	}
	for _, names := range runs {
		t.Run(strings.Join(names, " and "), func(t *testing.T) {
			t.Parallel()
			engine, _, _ := strings.Cut(names[0], " ")
			suite(t, fresh(t, engine).with(t, names...).migrate(t))
		})
	}
}

// settings are parts of a DSN. Their names begin with the name of the engine.
var settings = []struct{ name, old, new string }{
	{"SQLite deferred transactions", "immediate", "deferred"},
	{"SQLite rollback journal", "WAL", "DELETE"},
	{"PostgreSQL unprepared", "?", "?default_query_exec_mode=exec&"},
	{"PostgreSQL simple protocol", "?", "?default_query_exec_mode=simple_protocol&"},
	{"PostgreSQL repeatable read", "?", "?default_transaction_isolation=repeatable%20read&"},
	{"PostgreSQL serializable", "?", "?default_transaction_isolation=serializable&"},
	{"MariaDB counting rows found", "?", "?clientFoundRows=true&"},
	{"MariaDB not strict", "?", "?sql_mode=''&"},
	{"MariaDB prepared", "interpolateParams=true", ""},
	{"MariaDB serializable", "?", "?tx_isolation='SERIALIZABLE'&"},
	{"MariaDB Latin-1", "?", "?charset=latin1&"},
}

// with returns the database with other settings.
func (d database) with(t testing.TB, names ...string) database {
	t.Helper()
	for _, s := range settings {
		if slices.Contains(names, s.name) {
			require.Contains(t, d.dsn, s.old)
			d.dsn = strings.Replace(d.dsn, s.old, s.new, 1)
			names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == s.name })
		}
	}
	require.Empty(t, names)
	return d
}

// On a cluster of servers that all accept writes, some conflicts are detected
// only at the commit.
func TestStore_TwoGaleraServers(t *testing.T) {
	t.Parallel()
	dsns := engines.Galera(t, 2)
	one, two := database{"mysql", dsns[0], sqlstore.MySQL}, database{"mysql", dsns[1], sqlstore.MySQL}
	one.migrate(t)
	a, b := one.store(t), two.store(t)
	storetest.RunShared(t, func(*testing.T) (twofa.Store, twofa.Store) { return a, b })
}

func TestStore_TooLong(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		s, ctx := d.migrate(t).store(t), t.Context()
		key := strings.Repeat("k", 513)
		_, err := s.Get(ctx, "user/1", key)
		require.ErrorContains(t, err, "513 bytes")
		for name, swap := range map[string]func() error{
			"key":     func() error { return s.Swap(ctx, "", twofa.Record{Key: key, Version: "v", Data: []byte("d")}) },
			"version": func() error { return s.Swap(ctx, "", record("1", strings.Repeat("v", 33))) },
			"data": func() error {
				return s.Swap(ctx, "", twofa.Record{Key: "1", Version: "v", Data: make([]byte, 64<<10+1)})
			},
			"user":    func() error { return s.Swap(ctx, "", record("1", "v"), twofa.Event{User: key}) },
			"account": func() error { return s.Swap(ctx, "", record("1", "v"), twofa.Event{Account: key}) },
			"actor": func() error {
				return s.Swap(ctx, "", record("1", "v"), twofa.Event{Actor: twofa.EventActor{Kind: "staff", ID: key}})
			},
			"id":   func() error { return s.Swap(ctx, "", record("1", "v"), twofa.Event{ID: key}) },
			"type": func() error { return s.Swap(ctx, "", record("1", "v"), twofa.Event{Type: key}) },
			"mac":  func() error { return s.Swap(ctx, "", record("1", "v"), twofa.Event{MAC: []byte(key)}) },
			"seq":  func() error { return s.Swap(ctx, "", record("1", "v"), twofa.Event{Seq: 1 << 63}) },
		} {
			err := swap()
			require.ErrorContains(t, err, "longer than a column", name)
			require.NotErrorIs(t, err, twofa.ErrConflict, name)
		}
		found, err := s.Get(ctx, "1")
		require.NoError(t, err)
		require.Empty(t, found)
	})
}

// An error between the change and its events reverts the change.
func TestSwap_FailureChangesNothing(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		s, ctx := d.migrate(t).store(t), t.Context()
		_, err := d.open(t).Exec("CREATE UNIQUE INDEX one_event_only ON twofa_events (id)")
		require.NoError(t, err)
		e := twofa.Event{ID: "once", Time: time.Unix(1, 0).UTC(), User: "1"}
		require.NoError(t, s.Swap(ctx, "", record("1", "v1"), e))
		err = s.Swap(ctx, "v1", record("1", "v2"), e)
		require.Error(t, err)
		require.NotErrorIs(t, err, twofa.ErrConflict)
		requireStored(t, s, record("1", "v1"))
		require.NoError(t, s.Swap(ctx, "v1", record("1", "v2")))
	})
}

// If the context is canceled during a Swap, the record and its events are both
// unchanged or both changed, and the Swap can be repeated.
func TestSwap_Canceled(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		s := d.migrate(t).store(t)
		require.NoError(t, s.Swap(t.Context(), "", record("1", "v0")))
		for i := range 60 {
			prev, next := record("1", fmt.Sprint("v", i)), record("1", fmt.Sprint("v", i+1))
			e := twofa.Event{ID: next.Version, Time: time.Unix(int64(i), 0).UTC(), User: "1"}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*25*time.Microsecond)
			_ = s.Swap(ctx, prev.Version, next, e)
			cancel()
			require.NoError(t, s.Swap(t.Context(), prev.Version, next, e))
			requireStored(t, s, next)
		}
		page, err := s.Events(t.Context(), twofa.EventQuery{User: "1"})
		require.NoError(t, err)
		require.Len(t, page.Events, 60)
	})
}

func TestMigrate_Concurrent(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		var (
			wg   sync.WaitGroup
			errs [8]error
		)
		for i := range errs {
			db := d.open(t)
			wg.Go(func() { errs[i] = sqlstore.Migrate(t.Context(), db, d.dialect) })
		}
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		require.NoError(t, d.store(t).Swap(t.Context(), "", record("1", "v")))
		require.Equal(t, 2, applied(t, d))
	})
}

func TestMigrate_AgainKeepsData(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		s := d.migrate(t).store(t)
		require.NoError(t, s.Swap(t.Context(), "", record("1", "v"), twofa.Event{ID: "e", User: "1"}))
		d.migrate(t)
		requireStored(t, s, record("1", "v"))

		// A newer release has migrated the database. Migrate changes nothing.
		_, err := d.open(t).Exec("INSERT INTO twofa_migrations (version) VALUES (1000)")
		require.NoError(t, err)
		d.migrate(t)
		requireStored(t, s, record("1", "v"))
	})
}

// An older release had only the first migration.
func TestMigrate_FromOlderRelease(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		db := d.open(t)
		runFile(t, db, d.dialect, "00001_records.sql")
		_, err := db.Exec("CREATE TABLE twofa_migrations (version INTEGER NOT NULL PRIMARY KEY)")
		require.NoError(t, err)
		_, err = db.Exec("INSERT INTO twofa_migrations (version) VALUES (1)")
		require.NoError(t, err)
		s := d.store(t)
		require.NoError(t, s.Swap(t.Context(), "", record("1", "v")))
		require.Error(t, s.Swap(t.Context(), "v", record("1", "w"), twofa.Event{ID: "e"}))
		requireStored(t, s, record("1", "v"))

		d.migrate(t)
		require.Equal(t, 2, applied(t, d))
		require.NoError(t, s.Swap(t.Context(), "v", record("1", "w"), twofa.Event{ID: "e"}))
		requireStored(t, s, record("1", "w"))
	})
}

// A host that runs the files with its own tool gets the tables that Migrate
// creates.
func TestMigrations_CreateTheTablesOfMigrate(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		db := d.open(t)
		files, err := fs.Glob(sqlstore.Migrations(d.dialect), "*")
		require.NoError(t, err)
		require.Equal(t, []string{"00001_records.sql", "00002_events.sql"}, files)
		for _, file := range files {
			runFile(t, db, d.dialect, file)
		}
		want := catalog(t, other(t, d).migrate(t))
		require.NotEmpty(t, want)
		require.Equal(t, want, catalog(t, d))
		d.migrate(t) // running it as well changes nothing
		require.Equal(t, want, catalog(t, d))
		s := d.store(t)
		require.NoError(t, s.Swap(t.Context(), "", record("1", "v"), twofa.Event{ID: "e"}))
		requireStored(t, s, record("1", "v"))
	})
	_, err := fs.ReadDir(sqlstore.Migrations("oracle"), ".")
	require.NoError(t, err)
}

// other creates another database of the same kind.
func other(t *testing.T, d database) database {
	t.Helper()
	name := map[sqlstore.Dialect]string{sqlstore.SQLite: "SQLite", sqlstore.PostgreSQL: "PostgreSQL", sqlstore.MySQL: "MariaDB"}[d.dialect]
	return fresh(t, name)
}

// catalog describes the tables of the store, with their columns, constraints and
// indexes, in the words of the database.
func catalog(t *testing.T, d database) (rows []string) {
	t.Helper()
	queries := map[sqlstore.Dialect][]string{
		sqlstore.SQLite: {"SELECT name, sql FROM sqlite_schema WHERE tbl_name IN ('twofa_records', 'twofa_events')"},
		sqlstore.PostgreSQL: {
			`SELECT table_name || '.' || column_name, concat_ws(' ', ordinal_position, data_type, character_maximum_length, collation_name, is_nullable, column_default)
				FROM information_schema.columns WHERE table_name IN ('twofa_records', 'twofa_events')`,
			"SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('twofa_records', 'twofa_events')",
			"SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid IN ('twofa_records'::regclass, 'twofa_events'::regclass)",
		},
		sqlstore.MySQL: {"SHOW CREATE TABLE twofa_records", "SHOW CREATE TABLE twofa_events"},
	}
	db := d.open(t)
	for _, query := range queries[d.dialect] {
		found, err := db.Query(query)
		require.NoError(t, err)
		defer found.Close()
		for found.Next() {
			var name string
			var text sql.NullString // an index of SQLite that a constraint makes has no text
			require.NoError(t, found.Scan(&name, &text))
			rows = append(rows, name+": "+text.String)
		}
		require.NoError(t, found.Err())
	}
	slices.Sort(rows)
	return rows
}

func TestMigrate_Context(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, sqlstore.Migrate(ctx, d.open(t), d.dialect), context.Canceled)
		d.migrate(t)
	})
}

// A failed migration leaves no partial change, no lock, and no transaction on a
// connection in the pool.
func TestMigrate_Failure(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		db := d.open(t)
		db.SetMaxOpenConns(1)
		_, err := db.Exec("CREATE VIEW twofa_events AS SELECT 1 AS time")
		require.NoError(t, err)
		if d.dialect == sqlstore.MySQL { // it accepts an existing view of that name
			_, err = db.Exec("CREATE TABLE twofa_migrations (nonsense INTEGER)")
			require.NoError(t, err)
		}
		require.Error(t, sqlstore.Migrate(t.Context(), db, d.dialect))
		require.Error(t, sqlstore.Migrate(t.Context(), d.open(t), d.dialect))
		_, err = db.Exec("DROP VIEW twofa_events")
		require.NoError(t, err)
		_, err = db.Exec("DROP TABLE IF EXISTS twofa_migrations")
		require.NoError(t, err)
		require.NoError(t, sqlstore.Migrate(t.Context(), db, d.dialect))
		require.NoError(t, d.store(t).Swap(t.Context(), "", record("1", "v"), twofa.Event{ID: "e"}))
	})
}

// An error that reports a rollback because of a concurrent change is
// ErrConflict. It is recognized by the error type of each driver.
func TestSwap_RollbackIsConflict(t *testing.T) {
	for _, c := range []struct {
		name     string
		err      error
		conflict bool
	}{
		{"PostgreSQL serialization failure", &pgconn.PgError{Code: "40001"}, true},
		{"PostgreSQL deadlock", &pgconn.PgError{Code: "40P01"}, true},
		{"PostgreSQL commit unknown", &pgconn.PgError{Code: "40003"}, false},
		{"PostgreSQL unique violation", &pgconn.PgError{Code: "23505"}, false},
		{"MySQL deadlock", &mysql.MySQLError{Number: 1213, SQLState: [5]byte([]byte("40001")), Message: "Deadlock found"}, true},
		{"MySQL deadlock, wrapped", fmt.Errorf("traced: %w", &mysql.MySQLError{Number: 1213, SQLState: [5]byte([]byte("40001"))}), true},
		{"MySQL lock wait timeout", &mysql.MySQLError{Number: 1205, SQLState: [5]byte([]byte("HY000"))}, false},
		{"MySQL text of a deadlock in another error", &mysql.MySQLError{Number: 1062, Message: "Error 1213 (40001): "}, false},
		{"connection lost", io.ErrUnexpectedEOF, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := sql.OpenDB(failing{c.err})
			defer db.Close()
			for _, dialect := range []sqlstore.Dialect{sqlstore.PostgreSQL, sqlstore.MySQL} {
				s, err := sqlstore.New(db, dialect)
				require.NoError(t, err)
				err = s.Swap(t.Context(), "v1", record("1", "v2"), twofa.Event{ID: "e"})
				require.Equal(t, c.conflict, errors.Is(err, twofa.ErrConflict), "%v", err)
				require.ErrorIs(t, err, c.err)
			}
		})
	}
}

// failing is a database in which every change fails. In a transaction, the
// commit fails.
type failing struct{ err error }

func (f failing) Connect(context.Context) (driver.Conn, error) { return &failingConn{err: f.err}, nil }
func (f failing) Driver() driver.Driver                        { return nil }

type failingConn struct {
	err  error
	inTx bool
}

func (c *failingConn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	if c.inTx {
		return driver.RowsAffected(1), nil
	}
	return nil, c.err
}

// QueryContext returns the settings of a session.
func (c *failingConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &settingsRow{}, nil
}

func (c *failingConn) Begin() (driver.Tx, error) { c.inTx = true; return c, nil }
func (c *failingConn) Commit() error             { c.inTx = false; return c.err }
func (c *failingConn) Rollback() error           { c.inTx = false; return nil }

type settingsRow struct{ read bool }

func (r *settingsRow) Columns() []string { return []string{"settings"} }
func (r *settingsRow) Close() error      { return nil }
func (r *settingsRow) Next(row []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read, row[0] = true, "1 NO_CHAIN"
	return nil
}

func (c *failingConn) Prepare(string) (driver.Stmt, error) { return nil, c.err }
func (c *failingConn) Close() error                        { return nil }

func TestNew_Errors(t *testing.T) {
	_, err := sqlstore.New(nil, sqlstore.SQLite)
	require.ErrorContains(t, err, "db is nil")
	db := database{"sqlite", ":memory:", ""}.open(t)
	_, err = sqlstore.New(db, "oracle")
	require.ErrorContains(t, err, `unknown dialect "oracle"`)
	require.ErrorContains(t, sqlstore.Migrate(t.Context(), db, ""), "unknown dialect")
}

func record(key, version string) twofa.Record {
	return twofa.Record{Key: key, Version: version, Data: []byte("data of " + version)}
}

func requireStored(t *testing.T, s twofa.Store, want twofa.Record) {
	t.Helper()
	found, err := s.Get(t.Context(), want.Key)
	require.NoError(t, err)
	require.Equal(t, []twofa.Record{want}, found)
}

func applied(t *testing.T, d database) (n int) {
	t.Helper()
	require.NoError(t, d.open(t).QueryRow("SELECT COUNT(*) FROM twofa_migrations").Scan(&n))
	return n
}

func runFile(t *testing.T, db *sql.DB, dialect sqlstore.Dialect, file string) {
	t.Helper()
	text, err := fs.ReadFile(sqlstore.Migrations(dialect), file)
	require.NoError(t, err)
	for query := range strings.SplitSeq(strings.TrimSpace(string(text)), ";\n") {
		_, err := db.Exec(query)
		require.NoError(t, err)
	}
}

// BenchmarkGetSwap measures the store's part of a verification, one read and
// one write, for eight concurrent users: the bare statements, the store, and
// the store with an event. Each user runs all three in turn, so that other load
// on the machine affects them equally.
func BenchmarkGetSwap(b *testing.B) {
	for _, e := range databases {
		b.Run(e.name, func(b *testing.B) {
			d := e.fresh(b).migrate(b)
			db := d.open(b)
			db.SetMaxIdleConns(8)
			s, err := sqlstore.New(db, d.dialect)
			require.NoError(b, err)
			stores := []twofa.Store{bare(db, d.dialect), s, telling{s}}
			took := make([]atomic.Int64, len(stores))
			b.SetParallelism(max(1, 8/runtime.GOMAXPROCS(0)))
			b.RunParallel(func(pb *testing.PB) {
				r := twofa.Record{Key: "user/" + rand.Text(), Version: rand.Text(), Data: []byte(strings.Repeat("d", 1000))}
				err := s.Swap(b.Context(), "", r)
				for pb.Next() && err == nil {
					for i, store := range stores {
						start := time.Now()
						r, err = getSwap(b.Context(), store, r)
						took[i].Add(int64(time.Since(start)))
					}
				}
				if err != nil {
					b.Error(err)
				}
			})
			for i, name := range []string{"bare", "store", "event"} {
				b.ReportMetric(float64(took[i].Load())/float64(b.N)/1e3, name+"-µs")
			}
			b.ReportMetric(float64(took[0].Load())/float64(took[1].Load()), "throughput/bare")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func getSwap(ctx context.Context, s twofa.Store, r twofa.Record) (twofa.Record, error) {
	found, err := s.Get(ctx, r.Key, "account/1")
	if err != nil || len(found) != 1 {
		return r, fmt.Errorf("%d records: %w", len(found), err)
	}
	r.Version = rand.Text()
	return r, s.Swap(ctx, found[0].Version, r)
}

// bareStore runs the two statements and nothing else.
type bareStore struct {
	db          *sql.DB
	get, update string
}

func bare(db *sql.DB, dialect sqlstore.Dialect) bareStore {
	if dialect == sqlstore.PostgreSQL {
		return bareStore{
			db, "SELECT key, version, data FROM twofa_records WHERE key IN ($1, $2)",
			"UPDATE twofa_records SET version = $1, data = $2 WHERE key = $3 AND version = $4",
		}
	}
	return bareStore{
		db, "SELECT `key`, version, data FROM twofa_records WHERE `key` IN (?, ?)",
		"UPDATE twofa_records SET version = ?, data = ? WHERE `key` = ? AND version = ?",
	}
}

func (s bareStore) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	rows, err := s.db.QueryContext(ctx, s.get, keys[0], keys[1])
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []twofa.Record
	for rows.Next() {
		var r twofa.Record
		if err := rows.Scan(&r.Key, &r.Version, &r.Data); err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

func (s bareStore) Swap(ctx context.Context, prev string, next twofa.Record, _ ...twofa.Event) error {
	_, err := s.db.ExecContext(ctx, s.update, next.Version, next.Data, next.Key, prev)
	return err
}

// telling is a store that adds an event to every change.
type telling struct{ twofa.Store }

func (s telling) Swap(ctx context.Context, prev string, next twofa.Record, _ ...twofa.Event) error {
	return s.Store.Swap(ctx, prev, next, twofa.Event{
		ID: rand.Text(), Time: time.Unix(1_700_000_000, 0).UTC(), Type: event.Login,
		User: next.Key, Account: "1", Method: twofa.TOTP, IP: "127.0.0.1", Agent: "Mozilla/5.0",
	})
}
