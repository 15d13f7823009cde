package app_test

import (
	"database/sql"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
)

// Whatever the product's own database does, a request ends in one whole page
// that says so, and can be made again.

// requireUnavailable checks the whole of an answer, for a page or for the API.
func requireUnavailable(t *testing.T, got answer, says string) {
	t.Helper()
	require.Equal(t, http.StatusServiceUnavailable, got.status, got.body)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	require.Contains(t, got.header.Get("Cache-Control"), "no-store")
	require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
	require.Empty(t, got.location)
	require.NotContains(t, got.body, "SQL", "the cause is for the log")
	if got.header.Get("Content-Type") == "application/problem+json" {
		require.True(t, json.Valid([]byte(got.body)), got.body)
		require.Contains(t, got.body, says)
		return
	}
	require.True(t, strings.HasPrefix(got.body, "<!doctype html>"), got.body)
	require.True(t, strings.HasSuffix(got.body, "</html>\n"), got.body)
	require.Equal(t, 1, strings.Count(got.body, "<!doctype html>"), got.body)
	require.Contains(t, got.body, says)
	require.Contains(t, got.header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
}

const unchanged = "Nothing was changed"

// exec changes the database behind the app's back.
func (s *site) exec(statements ...string) {
	s.t.Helper()
	for _, q := range statements {
		_, err := s.db.ExecContext(s.t.Context(), q)
		require.NoError(s.t, err, q)
	}
}

// without runs do while a table is missing.
func (s *site) without(table string, do func()) {
	s.t.Helper()
	s.exec("ALTER TABLE " + table + " RENAME TO gone")
	defer s.exec("ALTER TABLE gone RENAME TO " + table)
	do()
}

func TestUnavailable_MissingTables(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b, token := s.as(ada), s.token(ada, "")
	csrf := b.csrf("/contacts")
	ask := func(method, path string) answer {
		return b.do(method, path, form("csrf_token", csrf, "name", "Kim", "email", dan, "password", app.DemoPassword, "role", "member", "account", "harbor"),
			"Content-Type", formType, "Origin", b.srv.URL, "Authorization", "Bearer "+token)
	}
	for _, c := range []struct {
		table string
		want  []string // some that cannot do without it
	}{
		{"web_sessions", []string{"GET /login", "GET /contacts", "POST /contacts", "GET /2fa/", "POST /logout"}},
		{"signins", []string{"GET /contacts", "POST /contacts/export", "GET /2fa/", "GET /api/me", "POST /logout"}},
		{"users", []string{"GET /settings", "GET /2fa/", "GET /api/contacts", "POST /login"}},
		{"members", []string{"GET /members", "POST /contacts"}},
		{"accounts", []string{"GET /contacts", "POST /sso"}},
		{"contacts", []string{"GET /contacts", "POST /contacts", "POST /contacts/x/delete", "GET /api/contacts"}},
		{"links", []string{"GET /reset/x", "POST /reset/x", "GET /invite/x", "POST /invite/x", "POST /members/invite"}},
	} {
		t.Run(c.table, func(t *testing.T) {
			s.without(c.table, func() {
				for _, call := range c.want {
					method, path, _ := strings.Cut(call, " ")
					got := ask(method, path)
					requireUnavailable(t, got, unchanged)
					require.Empty(t, got.header.Values("Set-Cookie"), call)
				}
				for _, rt := range s.app.Routes() {
					if rt.Method == "GET" {
						require.NotEqual(t, http.StatusInternalServerError, ask(rt.Method, pathOf(rt)).status, rt.Path)
					}
				}
			})
		})
		require.Contains(t, s.log.String(), c.table, "the log keeps the cause")
		if c.table != "signins" { // POST /logout came after it was back
			require.True(t, b.signedIn(), "%s: nobody is signed out by it", c.table)
		}
	}
	require.NotContains(t, s.log.String(), "superfluous")
}

func TestUnavailable_TriesAgainAtTheSameAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as(jon)
	csrf := b.csrf("/contacts")
	s.without("contacts", func() {
		got := b.get("/contacts?q=a%26b")
		requireUnavailable(t, got, unchanged)
		require.Contains(t, got.body, `href="/contacts?q=a%26b">Try again</a>`)
		got = b.do("POST", "/contacts", form("csrf_token", csrf, "name", "Kim"), "Content-Type", formType)
		requireUnavailable(t, got, "Go back and send it again")
		require.NotContains(t, got.body, ">Try again</a>", "a link would not send it")
	})
	require.Equal(t, "/contacts", b.do("POST", "/contacts", form("csrf_token", csrf, "name", "Kim"), "Content-Type", formType).location)
	require.Equal(t, 1, strings.Count(b.get("/contacts").body, "Kim</"))
}

// Nothing has left yet when the first row cannot be read.
func TestUnavailable_Export(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as(ada)
	b.setUpApp(ada)
	b.stepUp(ada, "contacts.export")
	csrf := form("csrf_token", b.csrf("/contacts"))
	s.without("contacts", func() {
		got, err := b.send("POST", "/contacts/export", csrf, "Content-Type", formType)
		require.NoError(t, err)
		requireUnavailable(t, got, "may have been done")
		require.Empty(t, got.header.Get("Content-Disposition"))
	})
}

// A link that is spent once is not spent by a try that failed.
func TestUnavailable_LinksStayGood(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	b.post("/forgot", "/forgot", "email", dan)
	s.as(ada).post("/members", "/members/invite", "email", "new@harbor.example", "role", "member")
	for _, c := range []struct {
		name, to, path, table string
	}{
		{"reset", dan, "/reset/", "signins"},
		{"invitation", "new@harbor.example", "/invite/", "members"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, link := s.browser(), s.linkIn(s.lastMessage(c.to, c.path))
			send := form("csrf_token", b.csrf(link), "password", "quite a new password", "name", "New")
			s.without(c.table, func() {
				requireUnavailable(t, b.do("POST", link, send, "Content-Type", formType), unchanged)
			})
			require.Equal(t, http.StatusSeeOther, b.do("POST", link, send, "Content-Type", formType).status)
			require.Equal(t, http.StatusGone, b.do("POST", link, form("csrf_token", b.csrf("/login"), "password", "quite a new password"),
				"Content-Type", formType).status)
		})
	}
}

func TestUnavailable_SingleSignOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	callback := b.askProvider("harbor", "dan")
	for _, table := range []string{"links", "users", "members"} {
		s.without(table, func() { requireUnavailable(t, b.get(callback), unchanged) })
	}
	require.Equal(t, "/contacts", b.get(callback).location)
	require.NotEqual(t, "/contacts", b.get(callback).location, "once")
}

// The callback is a GET that does something: once its code is spent, trying
// again by the same address would not do.
func TestUnavailable_SingleSignOnSession(t *testing.T) {
	t.Parallel()
	s := newSite(t, onSQLite(t))
	b := s.browser()
	callback := b.askProvider("harbor", "dan")
	s.exec(`CREATE TRIGGER full_insert BEFORE INSERT ON web_sessions BEGIN SELECT RAISE(ABORT, 'disk is full'); END`)
	got := b.get(callback)
	requireUnavailable(t, got, "may have been done")
	require.NotContains(t, got.body, "Try again")
}

// What a password change has done already is not called undone.
func TestUnavailable_HalfWay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	b.post("/forgot", "/forgot", "email", dan)
	link := s.linkIn(s.lastMessage(dan, "/reset/"))
	send := form("csrf_token", b.csrf(link), "password", "quite a new password")
	s.without("twofa_records", func() {
		got := b.do("POST", link, send, "Content-Type", formType)
		requireUnavailable(t, got, "may have been done")
		require.NotContains(t, got.body, unchanged)
	})
	require.Equal(t, "/2fa/challenge", b.post("/login", "/login", "email", dan, "password", "quite a new password").location)
}

// The session is the last thing a request writes. Where that fails the answer
// has to be another one, not a second one behind it.
func TestUnavailable_SessionCannotBeKept(t *testing.T) {
	t.Parallel()
	s := newSite(t, onSQLite(t))
	b := s.as(jon)
	csrf := b.csrf("/contacts")
	s.exec(`CREATE TRIGGER full_insert BEFORE INSERT ON web_sessions BEGIN SELECT RAISE(ABORT, 'disk is full'); END`)
	got := s.browser().get("/login")
	requireUnavailable(t, got, unchanged)
	require.Empty(t, got.header.Values("Set-Cookie"))
	require.NotContains(t, got.body, app.DemoPassword)

	got = b.do("POST", "/contacts", form("csrf_token", csrf, "name", "Kim"), "Content-Type", formType)
	requireUnavailable(t, got, "may have been done")
	require.NotContains(t, got.body, unchanged)
	requireUnavailable(t, b.do("POST", "/logout", form("csrf_token", csrf), "Content-Type", formType), "may have been done")
	s.exec(`DROP TRIGGER full_insert`)
	require.Equal(t, http.StatusOK, s.browser().get("/login").status)
	require.Contains(t, s.log.String(), "disk is full")
	require.NotContains(t, s.log.String(), "superfluous")
}

// Another process that holds SQLite's one lock: pages that write nothing are
// served, the others say that it did not work.
func TestUnavailable_LockedFile(t *testing.T) {
	t.Parallel()
	s := newSite(t, onSQLite(t))
	b := s.as(jon)
	csrf := b.csrf("/contacts")
	release := s.lock()
	require.Equal(t, http.StatusOK, b.get("/contacts").status)
	requireUnavailable(t, s.browser().get("/login"), unchanged)
	send := form("csrf_token", csrf, "name", "Kim")
	requireUnavailable(t, b.do("POST", "/contacts", send, "Content-Type", formType), unchanged)
	requireUnavailable(t, b.do("POST", "/logout", send, "Content-Type", formType), unchanged)
	release()
	require.Equal(t, "/contacts", b.do("POST", "/contacts", send, "Content-Type", formType).location)
	require.NotContains(t, s.log.String(), "superfluous")
}

// A database that is gone altogether, for every route there is.
func TestUnavailable_EveryRoute(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b, token := s.as(jon), s.token(ada, "")
	require.NoError(t, s.db.Close())
	for _, rt := range s.app.Routes() {
		t.Run(rt.Method+" "+rt.Path, func(t *testing.T) {
			got := b.do(rt.Method, pathOf(rt), "{}", "Content-Type", "application/json", "Authorization", "Bearer "+token)
			switch rt.Path {
			case "/static/{file}":
				require.Equal(t, http.StatusOK, got.status)
			case "/api/login/send", "/api/login/verify":
				require.Less(t, got.status, http.StatusInternalServerError, "a challenge that is none is refused without the database")
			default:
				requireUnavailable(t, got, unchanged)
			}
		})
	}
}

// A mistake in the program is no outage: nobody is told to try again.
func TestUnavailable_NotAPanic(t *testing.T) {
	t.Parallel()
	var wrong atomic.Bool
	s := newSite(t, func(c *app.Config) {
		clock := c.Now
		c.Now = func() time.Time {
			if wrong.Load() {
				panic("a mistake")
			}
			return clock()
		}
	})
	b := s.as(jon)
	wrong.Store(true)
	got := b.get("/contacts")
	require.Equal(t, http.StatusInternalServerError, got.status)
	require.Empty(t, got.header.Get("Retry-After"))
	require.NotContains(t, got.body, "mistake")
	wrong.Store(false)
	require.Contains(t, s.log.String(), "a mistake")
	require.True(t, b.signedIn())
}

// onSQLite gives a site an SQLite file, and connections that soon give up on a lock.
func onSQLite(t *testing.T) func(*app.Config) {
	return func(c *app.Config) {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(sqliteDir(t), "contacts.db")+
			"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(50)&_pragma=foreign_keys(1)")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		c.DB = db
	}
}

// lock takes the write lock of the SQLite file, as another process would.
func (s *site) lock() (release func()) {
	s.t.Helper()
	var file string
	require.NoError(s.t, s.db.QueryRowContext(s.t.Context(), `SELECT file FROM pragma_database_list`).Scan(&file))
	other, err := sql.Open("sqlite", "file:"+file)
	require.NoError(s.t, err)
	other.SetMaxOpenConns(1)
	_, err = other.ExecContext(s.t.Context(), `BEGIN EXCLUSIVE`)
	require.NoError(s.t, err)
	return func() { require.NoError(s.t, other.Close()) }
}
