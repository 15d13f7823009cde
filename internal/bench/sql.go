package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/internal/engines"
)

// engine is a kind of database.
type engine struct {
	name      string
	driver    string
	dialect   sqlstore.Dialect
	dsn       func(*tb) string
	settings  []string // queries whose results say what a commit guarantees
	processes string   // query for the IDs of the processes that serve the database, if it has some
	clients   []int
	bare      bare
}

var databases = []engine{
	{"PostgreSQL", "pgx", sqlstore.PostgreSQL, func(t *tb) string { return engines.PostgreSQL(t) },
		[]string{"SHOW server_version", "SHOW fsync", "SHOW synchronous_commit"},
		"SELECT pid FROM pg_stat_activity WHERE datname = current_database()", []int{1, 8, 32}, barePostgreSQL},
	{"MariaDB", "mysql", sqlstore.MySQL, func(t *tb) string { return engines.MariaDB(t) },
		[]string{"SELECT @@version", "SELECT @@innodb_flush_log_at_trx_commit"}, "", []int{1, 8}, bareMySQL},
	{"SQLite", "sqlite", sqlstore.SQLite, sqliteFile,
		[]string{"SELECT sqlite_version()", "PRAGMA journal_mode", "PRAGMA synchronous"}, "", []int{1, 8}, bareSQLite},
}

func sqliteFile(t *tb) string {
	dir, err := os.MkdirTemp("", "twofa-bench-")
	t.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return "file:" + filepath.Join(dir, "twofa.db") +
		"?_pragma=busy_timeout(30000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
}

// inDatabases measures verifications and guards over package sqlstore.
func inDatabases(t *tb, n sizes, r report) {
	for _, e := range databases {
		names := []string{e.guardName()}
		for _, clients := range e.clients {
			names = append(names, e.loginName(clients))
		}
		if !slices.ContainsFunc(names, r.selected) {
			continue
		}
		section := &tb{}
		if !section.run(func() { e.measure(section, n, r) }) {
			t.Fatalf("%s failed", e.name)
		}
	}
}

func (e engine) guardName() string { return "guard in " + e.name + " / bare SELECT" }

func (e engine) loginName(clients int) string {
	return fmt.Sprintf("throughput in %s / bare statements, clients: %d", e.name, clients)
}

// pin separates the processes of the server from this one, if it has some.
func (e engine) pin(t *tb, db *sql.DB) string {
	if e.processes == "" {
		return "not pinned: " + e.name + " is not measured as a server on a machine of its own"
	}
	var pid int
	t.must(db.QueryRow(e.processes).Scan(&pid))
	return pin(t, pid)
}

func (e engine) measure(t *tb, n sizes, r report) {
	db, err := sql.Open(e.driver, e.dsn(t))
	t.must(err)
	t.Cleanup(func() { _ = db.Close() })
	fmt.Printf("%s:", e.name)
	for _, query := range e.settings {
		var value string
		t.must(db.QueryRow(query).Scan(&value))
		fmt.Printf(" %s = %s;", query[strings.LastIndexAny(query, " @")+1:], value)
	}
	fmt.Println()
	if r.pinned {
		fmt.Println("  " + e.pin(t, db))
	}
	t.must(sqlstore.Migrate(t.Context(), db, e.dialect))
	store, err := sqlstore.New(db, e.dialect)
	t.must(err)
	// Like the context of a request, it can end, so drivers watch it.
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	for _, clients := range e.clients {
		db.SetMaxOpenConns(clients)
		db.SetMaxIdleConns(clients)
		all := make([]*client, clients)
		for i := range all {
			all[i] = newClient(ctx, t, store, fmt.Sprintf("%d-%d", clients, i))
		}
		each := n.logins / clients
		var bareCPU, libraryCPU []cost
		run := func(cpu *[]cost, do func(*client) error) time.Duration {
			runtime.GC() // both sides begin with a clean heap
			before := e.cpuUsed(t, db)
			took := atOnce(t, all, do)
			*cpu = append(*cpu, e.cpuUsed(t, db).minus(before))
			return took
		}
		library := func() time.Duration {
			for _, c := range all {
				c.prepareLogins(ctx, each)
			}
			return run(&libraryCPU, func(c *client) error { return c.logins(ctx) })
		}
		bare := func() time.Duration {
			return run(&bareCPU, func(c *client) error { return c.statements(ctx, db, e.bare, each) })
		}
		// The throughputs are to each other as the inverse of the times.
		r.ratio(e.loginName(clients), n.sql, bare, library)
		if len(bareCPU) > 0 {
			r.cpu(each*clients, bareCPU[1:], libraryCPU[1:]) // without those of the pair that warms up
		}
	}
	c := newClient(ctx, t, store, "guard")
	few := n.ops / 2
	r.ratio(e.guardName(), n.sql,
		repeat(few, func() { t.must(c.Check(ctx, c.users[0].caller())) }),
		repeat(few, func() { t.must(e.bare.read(ctx, db, c.rows[0].Key, "account/acme")) }))
}

// usersOfClient is the number of users that sign in at a client in turn.
const usersOfClient = 4

// client signs its own users in, one after the other.
type client struct {
	*host
	users []*user
	todo  []attempt

	// For the bare statements: a row as long as the record of each user, and an
	// event of each user.
	rows   []twofa.Record
	events []bareEvent
	noise  []byte
	count  int
}

// newClient enrolls users, and stores rows for the bare statements.
func newClient(ctx context.Context, t *tb, store *sqlstore.Store, name string) *client {
	c := &client{host: newHost(t, store)}
	for i := range usersOfClient {
		c.users = append(c.users, c.enroll(ctx, "user-"+name+"-"+strconv.Itoa(i)))
	}
	for _, a := range c.attempts(ctx, usersOfClient, c.users, twofa.TOTP, "") {
		t.must(c.host.verify(ctx, a)) // now the records are typical
	}
	for _, u := range c.users {
		page, err := store.Events(ctx, twofa.EventQuery{User: u.id, Limit: 1})
		t.must(err)
		e := page.Events[0]
		e.MAC = nil // as the store writes it
		text, err := json.Marshal(e)
		t.must(err)
		c.events = append(c.events, bareEvent{page.Events[0], string(text)})
		found, err := store.Get(ctx, "user/"+u.id)
		t.must(err)
		row := twofa.Record{Key: "bare/" + u.id, Version: rand.Text(), Data: found[0].Data}
		t.must(store.Swap(ctx, "", row))
		c.rows = append(c.rows, row)
		c.noise = make([]byte, 2*len(row.Data))
		rand.Read(c.noise)
	}
	return c
}

func (c *client) prepareLogins(ctx context.Context, n int) {
	c.todo = c.attempts(ctx, n, c.users, twofa.TOTP, "")
}

func (c *client) logins(ctx context.Context) error {
	for _, a := range c.todo {
		if err := c.verify(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// statements runs the statements of as many verifications, with values like
// those of the library: records of the same size, a new random version and event
// ID each time, and events of the same users, each later than all before it.
func (c *client) statements(ctx context.Context, db *sql.DB, b bare, n int) error {
	for i := range n {
		row, event := &c.rows[i%len(c.rows)], c.events[i%len(c.events)]
		// The library uses the same clock. If one side inserted events at times
		// for which the other has some already, it would split the pages of indexes
		// in the middle instead of at the end, which costs the server more.
		c.clock.Add(gap)
		event.ID, event.Time = rand.Text(), c.clock.Now()
		if err := b.read(ctx, db, row.Key, "account/acme"); err != nil {
			return err
		}
		prev := row.Version
		c.count++
		// A database may log only the bytes that differ from the old row. Those of a
		// random version and of an encrypted record all do.
		row.Version = rand.Text()
		row.Data = c.noise[c.count%len(row.Data):][:len(row.Data)]
		if err := b.write(ctx, db, prev, *row, event); err != nil {
			return err
		}
	}
	return nil
}

// atOnce returns the time until all clients have finished.
func atOnce(t *tb, clients []*client, do func(*client) error) time.Duration {
	errs := make([]error, len(clients))
	var group sync.WaitGroup
	start := time.Now()
	for i, c := range clients {
		group.Go(func() { errs[i] = do(c) })
	}
	group.Wait()
	took := time.Since(start)
	t.must(errors.Join(errs...))
	return took
}
