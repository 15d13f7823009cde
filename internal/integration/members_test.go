package integration

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/base32"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/twofatest"
)

// countedDriver counts the queries of connections to SQLite.
type countedDriver struct {
	driver.Driver
	queries *atomic.Int64
}

func (d countedDriver) Open(dsn string) (driver.Conn, error) {
	c, err := d.Driver.Open(dsn)
	return countedConn{c, d.queries}, err
}

type countedConn struct {
	driver.Conn
	queries *atomic.Int64
}

func (c countedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.queries.Add(1)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c countedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c countedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

var sqliteQueries = func() *atomic.Int64 {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		panic(err)
	}
	defer db.Close()
	n := new(atomic.Int64)
	sql.Register("counted sqlite", countedDriver{db.Driver(), n})
	return n
}()

// bigAccount is an account whose members have an authenticator each.
type bigAccount struct {
	*twofa.Manager
	session twofa.Session  // of its owner
	account *twofa.Account // as its owner acts on it
	ids     []string
	users   map[string]twofa.User
	asked   atomic.Int64 // calls of the directory
}

// Users implements twofa.Directory.
func (b *bigAccount) Users(_ context.Context, ids ...string) (found []twofa.User, err error) {
	b.asked.Add(1)
	for _, id := range ids {
		if u, ok := b.users[id]; ok {
			found = append(found, u)
		}
	}
	return found, nil
}

// newBigAccount returns one on SQLite.
func newBigAccount(t testing.TB, n int) *bigAccount {
	d := database{"counted sqlite", "file:" + filepath.Join(t.TempDir(), "twofa.db") + "?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_txlock=immediate", sqlstore.SQLite}
	db := d.open(t)
	require.NoError(t, sqlstore.Migrate(t.Context(), db, d.dialect))
	store, err := sqlstore.New(db, d.dialect)
	require.NoError(t, err)
	return newBigAccountIn(t, store, n)
}

func newBigAccountIn(t testing.TB, store twofa.Store, n int) *bigAccount {
	var err error
	b := &bigAccount{users: map[string]twofa.User{}}
	joined := twofa.Member{Account: "acme", Since: time.Now().Add(-time.Hour)}
	b.Manager, err = twofa.New(twofa.Config{Issuer: "Acme", Store: store, Keys: twofatest.KeyRing(t, "members"), Directory: b})
	require.NoError(t, err)
	var imports []twofa.ImportUser
	for i := range n {
		id := fmt.Sprintf("u%05d", i)
		b.ids, b.users[id] = append(b.ids, id), twofa.User{ID: id, Members: []twofa.Member{joined}}
		key := base32.StdEncoding.EncodeToString(fmt.Appendf(nil, "%010d%010d", i, i))
		imports = append(imports, twofa.ImportUser{ID: id, Factors: []twofa.ImportFactor{{Key: twofa.NewSecret(key)}}})
	}
	for _, r := range b.Import(t.Context(), twofa.AsHost("test"), imports) {
		require.NoError(t, r.Err)
	}
	joined.Role = twofa.RoleOwner
	b.users["owner"] = twofa.User{ID: "owner", Members: []twofa.Member{joined}}
	login, err := b.Begin(t.Context(), twofa.FirstFactor{UserID: "owner", Account: "acme", By: twofa.ByPassword})
	require.NoError(t, err)
	b.session = login.Session
	b.account = b.Account(twofa.AsUser(twofa.Caller{Session: login.Session, Account: "acme"}, ""), "acme")
	return b
}

// A page of members, whatever their number, reads the store twice and asks the
// directory twice: once to authorize the actor, and once for the members.
func TestMembers_Cost(t *testing.T) {
	b := newBigAccount(t, 1000)
	for name, call := range map[string]func(ids ...string) (int, error){
		"Statuses": func(ids ...string) (int, error) {
			list, err := b.account.Statuses(t.Context(), ids...)
			return len(list), err
		},
		"Preview": func(ids ...string) (int, error) {
			list, err := b.account.Preview(t.Context(), twofa.PolicyOptional(), ids...)
			return len(list), err
		},
	} {
		for n, queries := range map[int]int64{100: 2, 1000: 2} {
			sqliteQueries.Store(0)
			b.asked.Store(0)
			got, err := call(b.ids[:n]...)
			require.NoError(t, err)
			require.Equal(t, n, got)
			require.Equal(t, queries, sqliteQueries.Load(), "%s of %d", name, n)
			require.EqualValues(t, 2, b.asked.Load(), "%s of %d", name, n)
		}
	}
}

func BenchmarkStatuses(b *testing.B) {
	for _, c := range []struct{ page, members int }{{1000, 1000}, {100, 10_000}} {
		b.Run(strings.ReplaceAll(fmt.Sprintf("%d of %d", c.page, c.members), " ", "_"), func(b *testing.B) {
			account := newBigAccount(b, c.members)
			for b.Loop() {
				_, err := account.account.Statuses(b.Context(), account.ids[:c.page]...)
				require.NoError(b, err)
			}
		})
	}
}
