package twofahttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// seen is a handler that keeps what User returns.
type seen struct {
	info twofa.SessionInfo
	ok   bool
	n    int
}

func (s *seen) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	s.info, s.ok = twofahttp.User(r)
	s.n++
}

// visit sends a request of the browser through a handler.
func (b *browser) visit(h http.Handler, method string) *httptest.ResponseRecorder {
	r := b.request(method, "/contacts", "")
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestUser_BehindAGuard(t *testing.T) {
	h := newHost(t, stepUpPolicy)
	b := h.browser()
	b.enroll("ada", "account", "acme")
	for name, guard := range map[string]func(http.Handler) http.Handler{
		"Guard":                  h.web.Guard,
		"RequireAction":          func(next http.Handler) http.Handler { return h.web.RequireAction("report", next) },
		"Guard in RequireAction": func(next http.Handler) http.Handler { return h.web.RequireAction("report", h.web.Guard(next)) },
	} {
		for _, method := range []string{"GET", "POST"} {
			s := &seen{}
			require.Equal(t, 200, b.visit(guard(s), method).Code, name)
			require.True(t, s.ok, name)
			require.Equal(t, "ada", s.info.User)
			require.Equal(t, "acme", s.info.Account)
			require.Equal(t, twofa.TOTP, s.info.Proofs[0].Method)
			require.Equal(t, twofa.ByPassword, s.info.FirstFactors[0].By)
		}
	}
	before := h.store.reads()
	b.visit(h.web.Guard(&seen{}), "GET")
	require.Equal(t, before+1, h.store.reads(), "one read")
}

// The account is the one whose policy was checked, not the one that the session
// was issued for. Otherwise a handler would serve the data of the wrong account.
func TestUser_AccountIsTheCheckedOne(t *testing.T) {
	account := ""
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.Account = func(*http.Request) string { return account }
	})
	b := h.browser()
	b.login("ada", "account", "acme")
	for configured, want := range map[string]string{"": "acme", "acme": "acme", "beta": "beta"} {
		account = configured
		s := &seen{}
		require.Equal(t, 200, b.visit(h.web.Guard(s), "GET").Code)
		require.Equal(t, want, s.info.Account)
	}
}

// Without a guard there is no user, whatever the session says. A request that a
// guard refuses reaches no handler.
func TestAbuse_D15_UserWithoutAGuard(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	in := h.browser()
	in.enroll("ada")
	half, _, _ := h.pending("bob")
	for name, b := range map[string]*browser{"stranger": h.browser(), "password only": half, "signed in": in} {
		b.header.Set("X-User", "ada")
		for where, handler := range map[string]func(http.Handler) http.Handler{
			"no guard": func(next http.Handler) http.Handler { return next },
			"refused":  func(next http.Handler) http.Handler { return h.web.RequireAction("contacts.export", next) },
		} {
			s := &seen{}
			b.visit(handler(s), "POST")
			require.False(t, s.ok, "%s, %s", name, where)
			require.Zero(t, s.info)
			require.Equal(t, where == "no guard", s.n == 1)
		}
	}
}

// A handler behind Guard greets the user.
func ExampleUser() {
	var web *twofahttp.Server
	http.Handle("/", web.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := twofahttp.User(r)
		_, _ = fmt.Fprintf(w, "Hello %q", session.User)
	})))
}
