package twofahttp_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/twofahttp"
)

func TestGuard_ReportsPagesBehindIt(t *testing.T) {
	const handler = "twofahttp: a page under /2fa/ reached Guard; mount web.Handler() at /2fa/, outside of it"
	for _, c := range []struct{ name, login, method, path, says string }{
		{"login page", "", "GET", "/login", "twofahttp: the login page /login is behind Guard; mount it in front, or set Config.LoginURL"},
		{"login page with next", "", "GET", "/login?next=%2Fcontacts", "the login page /login is behind Guard"},
		{"login form", "", "POST", "/login", "the login page /login is behind Guard"},
		{"login page with another name", "/signin", "GET", "/signin", "the login page /signin is behind Guard"},
		{"absolute login address", "https://app.example.com/signin", "GET", "/signin", "the login page /signin is behind Guard"},
		{"login page that shares its path", "/index?page=login", "GET", "/index?next=%2F&page=login", "the login page /index is behind Guard"},
		{"challenge page", "", "GET", "/2fa/challenge", handler},
		{"form of a page", "", "POST", "/2fa/verify", handler},
		{"path with the same beginning", "", "GET", "/2fair", ""},
		{"another page on the same path", "/index?page=login", "GET", "/index?page=home", ""},
		{"same path on another host", "https://id.example.com/", "GET", "/", ""},
		{"method of no login page", "", "DELETE", "/login", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, w *twofahttp.Config) { w.LoginURL = c.login })
			r := httptest.NewRequestWithContext(t.Context(), c.method, "https://app.example.com"+c.path, nil)
			r.Header.Set("Accept", "text/html")
			w := httptest.NewRecorder()
			h.web.Guard(http.NotFoundHandler()).ServeHTTP(w, r)
			if c.says == "" {
				require.NotEqual(t, 500, w.Code)
				require.NotContains(t, h.logs.String(), "Guard")
				return
			}
			require.Equal(t, 500, w.Code)
			require.Contains(t, h.logs.String(), c.says)
			require.Contains(t, w.Body.String(), strings.TrimPrefix(c.says, "twofahttp: "), "the page shows it to the developer")
		})
	}
}

// pageOf returns the address in a problem document.
func pageOf(t *testing.T, a answer) string {
	t.Helper()
	var p struct{ Page string }
	require.NoError(t, json.Unmarshal([]byte(a.Body), &p))
	return p.Page
}

func TestProblem_NamesThePage(t *testing.T) {
	t.Run("signed out", func(t *testing.T) {
		h := newHost(t, twofa.PolicyOptional())
		require.Equal(t, "/login", pageOf(t, h.browser().api("GET", "/contacts")))
	})
	t.Run("pending login", func(t *testing.T) {
		b, _, _ := newHost(t, twofa.PolicyOptional()).pending("ada")
		require.Equal(t, "/2fa/challenge", pageOf(t, b.api("GET", "/contacts")))
	})
	t.Run("enrollment is required", func(t *testing.T) {
		b := newHost(t, twofa.PolicyAuthenticator(), noMail).browser()
		b.login("ada")
		require.Equal(t, "/2fa/setup", pageOf(t, b.api("GET", "/contacts")))
	})
	t.Run("missing proof", func(t *testing.T) {
		h := newHost(t, stepUpPolicy)
		b := h.browser()
		phone, _ := b.enroll("ada")
		h.clock.pass(staleProof)
		page := pageOf(t, b.api("POST", "/report"))
		require.Equal(t, "/2fa/confirm?action=report&resource=", page)
		b.follow(b.get(page + "&next=/contacts"))
		require.Equal(t, "contacts page", b.prove(phone).Body)
		require.Equal(t, 200, b.api("POST", "/report").StatusCode)
	})
	t.Run("without next, it ends on the page with the button", func(t *testing.T) {
		h := newHost(t, stepUpPolicy)
		b := h.browser()
		phone, _ := b.enroll("ada")
		b.follow(b.get(pageOf(t, b.api("POST", "/contacts/export"))))
		require.Equal(t, "contacts page", b.prove(phone).Body)
	})
	t.Run("no factor", func(t *testing.T) {
		h := newHost(t, stepUpPolicy, noMail)
		b := h.browser()
		b.login("ada")
		page := b.follow(b.get(pageOf(t, b.api("POST", "/report"))))
		require.Equal(t, 403, page.StatusCode)
		a := b.api("GET", "/2fa/confirm?action=report")
		require.Equal(t, "mfa_enrollment_required", problemCode(t, a))
		require.Contains(t, b.get(pageOf(t, a)).Body, locale.English().Text("page.setup.totp.button", nil))
	})
}

func TestProblem_PageResumesLiveSession(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), noMail)
	b := h.browser()
	b.login("ada", "account", "acme")
	require.NoError(t, h.m.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), withoutLink(twofa.PolicyAuthenticator()), ""))
	a := b.api("GET", "/contacts")
	require.Equal(t, "mfa_enrollment_required", problemCode(t, a))
	page := b.follow(b.get(pageOf(t, a) + "?next=/contacts"))
	require.Contains(t, page.Body, "Your account requires two-factor authentication")
	b.follow(b.post("/2fa/setup", "method", "totp"))
	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	page = b.finish(b.post("/2fa/setup/confirm", "code", h.scan(page.Body).code()))
	require.Equal(t, "contacts page", page.Body)
}

func TestFirstFactor_LogsRefusal(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	require.Equal(t, 403, b.login("ada", "account", "elsewhere").StatusCode)
	require.Contains(t, h.logs.String(), `level=WARN msg="twofahttp: FirstFactor refused"`)
	h.store.broken(errors.New("disk is full"), false)
	require.Equal(t, 503, b.login("ada").StatusCode)
	require.Contains(t, h.logs.String(), `level=ERROR msg="twofahttp: unavailable"`)
	require.Contains(t, h.logs.String(), "disk is full")
}

// stuckSessions fails to end a session.
type stuckSessions struct{ *sessions }

func (stuckSessions) SignOut(http.ResponseWriter, *http.Request) error {
	return errors.New("session table is locked")
}

func TestGuard_LogsFailedSignOut(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.Sessions = stuckSessions{c.Sessions.(*sessions)}
	})
	b := h.browser()
	b.login("ada")
	require.NoError(t, h.m.User(twofa.AsHost("test"), "ada").Revoke(t.Context()))
	require.Equal(t, 500, b.get("/contacts").StatusCode)
	require.Contains(t, h.logs.String(), "session table is locked")
}

func TestFirstFactor_WarnsOfPlainHTTPOnce(t *testing.T) {
	for _, c := range []struct {
		origin, host string
		warns        int
	}{
		{"http://app.example.com", "app.example.com", 1},
		{"http://192.0.2.7:8080", "192.0.2.7:8080", 1},
		{"https://app.example.com", "app.example.com", 0},
		{"http://localhost:8080", "localhost:8080", 0},
		{"http://127.0.0.1:8080", "127.0.0.1:8080", 0},
		{"http://elsewhere.example", "app.example.com", 0},
		{"null", "app.example.com", 0},
		{"", "app.example.com", 0},
	} {
		t.Run(c.origin+" at "+c.host, func(t *testing.T) {
			h := newHost(t, twofa.PolicyOptional())
			for range 2 {
				r := httptest.NewRequestWithContext(t.Context(), "POST", "http://"+c.host+"/login", nil)
				r.Header.Set("Origin", c.origin)
				h.web.FirstFactor(httptest.NewRecorder(), r, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword}, "/")
			}
			require.Equal(t, c.warns, strings.Count(h.logs.String(), "browsers drop Secure cookies"))
		})
	}
}

func TestGuard_AccountRequiresMoreOfLiveSession(t *testing.T) { // S5, for the member
	h := newHost(t, twofa.PolicyOptional(), noMail)
	b := h.browser()
	b.login("ada", "account", "acme")
	require.True(t, b.signedIn())
	require.NoError(t, h.m.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), withoutLink(twofa.PolicyAuthenticator()), ""))
	page := b.follow(b.get("/contacts"))
	require.Contains(t, page.Body, "Your account requires two-factor authentication")
	page = b.follow(b.post("/2fa/setup", "method", "totp"))
	require.Len(t, codesOn(page.Body), 10)
	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Equal(t, "contacts page", b.finish(b.post("/2fa/setup/confirm", "code", h.scan(page.Body).code())).Body)
}

func TestGuard_OldSessionCannotEnrollFirstFactor(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), noMail)
	b := h.browser()
	b.login("ada", "account", "acme")
	h.clock.pass(time.Hour)
	require.NoError(t, h.m.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), withoutLink(twofa.PolicyAuthenticator()), ""))
	b.follow(b.get("/contacts"))
	page := b.post("/2fa/setup", "method", "totp")
	require.Equal(t, 401, page.StatusCode)
	require.Contains(t, page.Body, "you must have signed in within the last 15 minutes")
	page = b.post("/2fa/signin", "next", "/contacts")
	require.Equal(t, "/login?next=%2Fcontacts", page.Header.Get("Location"))
	require.False(t, b.signedIn())
}

func TestGuard_EndsRevokedSession(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.login("ada")
	before := b.cookie(sessionCookie)
	require.NoError(t, h.m.User(twofa.AsHost("test"), "ada").Revoke(t.Context()))
	require.Equal(t, "/login?next=%2Fcontacts%3Fq%3D1", b.get("/contacts?q=1").Header.Get("Location"))
	require.NotEqual(t, before, b.cookie(sessionCookie))
}

// While old and new servers run side by side, each meets sessions that only the
// other one can read. It sends the user to the login page, but it must not
// destroy the host's session, or the other server would lose it as well.
func TestGuard_UnreadableSessionIsNotEnded(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.enroll("ada")
	require.True(t, b.signedIn())
	id := b.cookie(sessionCookie)
	readable := h.sessions.byID[id]
	other, err := twofa.New(twofa.Config{Issuer: "Acme", Store: memstore.New(), Keys: newKeys(t), Directory: twofa.LookUp(h.user)})
	require.NoError(t, err)
	result, err := other.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})
	require.NoError(t, err)

	for name, unreadable := range map[string]string{"of another ring": result.Session.Reveal(), "of another format": readable[:len(readable)-4], "anything": "x"} {
		h.sessions.byID[id] = unreadable
		b.setCookie("__Host-twofa-bounced", "")
		a := b.get("/contacts")
		require.Equal(t, http.StatusSeeOther, a.StatusCode, name)
		require.Equal(t, "/login?next=%2Fcontacts", a.Header.Get("Location"), name)
		a = b.api("GET", "/contacts")
		require.Equal(t, http.StatusUnauthorized, a.StatusCode, name)
		require.Contains(t, a.Body, `"session_unreadable"`, name)
		require.Equal(t, "/login", pageOf(t, a), name)
		a = b.get("/contacts") // the login page sent the user home
		require.Equal(t, http.StatusUnauthorized, a.StatusCode, "%s: no circle", name)
		require.Contains(t, a.Body, "<h1>Sign in again</h1>", name)
		require.Equal(t, id, b.cookie(sessionCookie), "%s: the host's session lives", name)
		require.Equal(t, unreadable, h.sessions.byID[id], name)
	}
	h.sessions.byID[id] = readable
	require.True(t, b.signedIn(), "the next server reads it")

	h.sessions.byID[id] = "x"
	b.get("/contacts")
	a := b.post("/2fa/signin", "next", "/contacts")
	require.Equal(t, "/login?next=%2Fcontacts", a.Header.Get("Location"))
	require.NotEqual(t, id, b.cookie(sessionCookie), "the button ends it")
}

// An account that cannot be is refused. It must not sign the user out.
func TestGuard_MalformedAccountDoesNotSignOut(t *testing.T) {
	account := ""
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, w *twofahttp.Config) {
		w.Account = func(*http.Request) string { return account }
	})
	b := h.browser()
	b.login("ada")
	require.True(t, b.signedIn())
	id := b.cookie(sessionCookie)
	for _, account = range []string{strings.Repeat("x", 600), "a\nb", " "} {
		require.Equal(t, http.StatusForbidden, b.get("/contacts").StatusCode)
		require.Equal(t, http.StatusForbidden, b.api("POST", "/contacts").StatusCode)
		require.Equal(t, id, b.cookie(sessionCookie))
	}
	account = ""
	require.True(t, b.signedIn())
}

func newKeys(t *testing.T) twofa.KeyRing {
	t.Helper()
	keys, err := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	require.NoError(t, err)
	return keys
}
