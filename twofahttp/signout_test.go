package twofahttp_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// SignOut ends the host's session and everything that belongs to ours, and changes a
// cookie for browsers that keep pages.
func TestSignOut(t *testing.T) {
	h := newHost(t, twofa.Policy{}, noMail)
	b := h.browser()
	b.login("ada")
	b.enroll("ada")
	require.True(t, b.signedIn())
	w, r := httptest.NewRecorder(), b.request("POST", "/logout", "")
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	writes := h.store.writes()
	require.NoError(t, h.web.SignOut(w, r))
	require.Greater(t, h.store.writes(), writes, "the proofs of the session are gone")
	require.False(t, b.signedIn())
	require.Contains(t, w.Header().Values("Set-Cookie")[1], "twofa-bounced=signed_out_")
	require.NoError(t, h.web.SignOut(w, r), "a user who is signed out already")
}

// stuck are sessions that cannot be ended.
type stuck struct{ *sessions }

func (stuck) SignOut(http.ResponseWriter, *http.Request) error { return errors.New("no connection") }

func TestSignOut_ReportsThatTheUserIsStillSignedIn(t *testing.T) {
	h := newHost(t, twofa.Policy{}, noMail, func(_ *twofa.Config, c *twofahttp.Config) { c.Sessions = stuck{c.Sessions.(*sessions)} })
	w := httptest.NewRecorder()
	require.EqualError(t, h.web.SignOut(w, httptest.NewRequest("POST", "https://app.example.com/logout", nil)), "no connection")
	require.Empty(t, w.Header())
}
