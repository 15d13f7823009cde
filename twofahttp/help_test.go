package twofahttp_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// One page for users who cannot sign in has advice, names the people to ask, and
// warns of giving away codes.
func TestHelp_LeadsFromTheChallenge(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) { c.SupportURL = "mailto:help@example.com" })
	b, _, _ := h.pending("ada")
	page := b.get("/2fa/challenge").Body
	require.Contains(t, page, `href="/2fa/help">`+english("page.common.help")+"<")
	require.Contains(t, page, english("page.common.stuck"))
	writes := h.store.writes()

	page = b.get("/2fa/help").Body
	require.Contains(t, page, "<h1>"+english("page.common.help")+"</h1>")
	require.Contains(t, page, `<a href="/2fa/challenge?method=recovery">`)
	for _, id := range []string{"recovery", "write", "time", "never.title", "never"} {
		require.Contains(t, page, english("page.help."+id), id)
	}
	require.NotContains(t, page, "admin", "the login is for no account")
	require.Contains(t, page, `href="mailto:help@example.com"`)
	require.Contains(t, page, `href="/2fa/challenge">`+english("page.message.back"))
	require.NotContains(t, page, english("page.help.email"), "the login accepts no link")
	require.Equal(t, writes, h.store.writes(), "the page changes nothing")
	require.Contains(t, b.get("/2fa/challenge?method=recovery").Body, english("page.challenge.recovery.heading"))
	b.login("ada", "account", "acme")
	require.Contains(t, b.get("/2fa/help").Body, "ask an admin of your account")
}

// Without a login in progress, the page tells nobody which methods a user has, and
// it needs no support address, no cookie and no store.
func TestHelp_WithoutALogin(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	page := h.browser().get("/2fa/help")
	require.Equal(t, http.StatusOK, page.StatusCode)
	require.NotContains(t, page.Body, "challenge?method=")
	require.Contains(t, page.Body, english("page.help.others"))
	require.Contains(t, page.Body, "Ask the people who run <bdi>Acme</bdi>")
	require.NotContains(t, page.Body, "mailto:")

	b, _, _ := h.pending("ada")
	h.store.broken(errors.New("down"), false)
	page = b.get("/2fa/help")
	require.Equal(t, http.StatusOK, page.StatusCode, "help is there when nothing else is")
	require.NotContains(t, page.Body, "challenge?method=")
}

// Nobody who is signed in is offered help signing in.
func TestHelp_SignedIn(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.enroll("ada")
	h.clock.pass(staleProof)
	page := b.follow(b.get("/2fa/codes/new")).Body
	require.Contains(t, page, english("page.common.help.action"))
	require.NotContains(t, page, english("page.common.help"))
	require.Contains(t, page, english("page.common.stuck.one"), "there is one method only")
	page = b.get("/2fa/help").Body
	require.Contains(t, page, "<h1>"+english("page.common.help.action")+"</h1>")
	require.NotContains(t, page, english("page.common.help"))
}
