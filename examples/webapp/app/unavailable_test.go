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

// If the product's database fails, the response is one complete page that
// explains it, and the request can be sent again.

// requireUnavailable checks a response with status 503, of a page or of the
// API.
func requireUnavailable(t *testing.T, got answer, says string) {
	t.Helper()
	require.Equal(t, http.StatusServiceUnavailable, got.status, got.body)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	require.Contains(t, got.header.Get("Cache-Control"), "no-store")
	require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
	require.Empty(t, got.location)
	require.NotContains(t, got.body, "SQL", "only the log contains the cause")
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

// exec changes the database directly.
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
		return b.do(method, path, form("csrf_token", csrf, "name", "Kim", "email", "kim@example.com", "password", app.DemoPassword, "role", "member", "account", "harbor"),
			"Content-Type", formType, "Origin", b.srv.URL, "Authorization", "Bearer "+token)
	}
	for _, c := range []struct {
		table string
		want  []string // some requests that need the table
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
		require.Contains(t, s.log.String(), c.table, "the log contains the cause")
		if c.table != "signins" { // POST /logout succeeded after the table was back
			require.True(t, b.signedIn(), "%s: the user stays signed in", c.table)
		}
	}
	require.NotContains(t, s.log.String(), "superfluous")
}

func TestUnavailable_TryAgain(t *testing.T) {
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
		require.NotContains(t, got.body, ">Try again</a>", "a link would not send the form")
	})
	require.Equal(t, "/contacts", b.do("POST", "/contacts", form("csrf_token", csrf, "name", "Kim"), "Content-Type", formType).location)
	require.Equal(t, 1, strings.Count(b.get("/contacts").body, "Kim</"))
}

// If the first row cannot be read, nothing has been sent yet.
func TestUnavailable_Export(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as(ada)
	b.enrollApp(ada)
	b.stepUp(ada, "contacts.export")
	csrf := form("csrf_token", b.csrf("/contacts"))
	s.without("contacts", func() {
		got, err := b.send("POST", "/contacts/export", csrf, "Content-Type", formType)
		require.NoError(t, err)
		requireUnavailable(t, got, "may have been done")
		require.Empty(t, got.header.Get("Content-Disposition"))
	})
}

// A failed attempt does not use up a link.
func TestUnavailable_LinksStayValid(t *testing.T) {
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
	require.NotEqual(t, "/contacts", b.get(callback).location, "the code works once")
}

// The callback is a GET that uses up a code, so trying again with the same URL
// would fail.
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

// If a password change fails halfway, the page does not claim that nothing
// changed.
func TestUnavailable_Halfway(t *testing.T) {
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

// A request stores its web session last. If that fails, an error page must
// replace the response, not follow it.
func TestUnavailable_SessionCannotBeStored(t *testing.T) {
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

// If another process has the write lock of SQLite, pages that write nothing are
// served, and the others fail with an error page.
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

// Every route fails with an error page if the database is closed.
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
				require.Less(t, got.status, http.StatusInternalServerError, "an invalid challenge is refused without the database")
			default:
				requireUnavailable(t, got, unchanged)
			}
		})
	}
}

// A bug is not an outage, so the page does not suggest to try again.
func TestUnavailable_BugIsNotAnOutage(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	s := newSite(t, func(c *app.Config) {
		clock := c.Now
		c.Now = func() time.Time {
			if broken.Load() {
				panic("a mistake")
			}
			return clock()
		}
	})
	b := s.as(jon)
	broken.Store(true)
	got := b.get("/contacts")
	require.Equal(t, http.StatusInternalServerError, got.status)
	require.Empty(t, got.header.Get("Retry-After"))
	require.NotContains(t, got.body, "mistake")
	broken.Store(false)
	require.Contains(t, s.log.String(), "a mistake")
	require.True(t, b.signedIn())
}

// onSQLite configures a site with an SQLite file and a short wait for its lock.
func onSQLite(t *testing.T) func(*app.Config) {
	return func(c *app.Config) {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(sqliteDir(t), "contacts.db")+
			"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(50)&_pragma=foreign_keys(1)")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		c.DB = db
	}
}

// lock takes the write lock of the SQLite file, as another process does.
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
