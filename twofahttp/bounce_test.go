package twofahttp_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

var heldField = regexp.MustCompile(`name="held" value="([^"]+)"`)

// posted returns the request of a form, from where the browser says.
func posted(b *browser, path, body, site string) *http.Request {
	r := b.request("POST", path, body)
	r.Header.Del("Sec-Fetch-Site")
	r.Header.Del("Origin")
	if site != "" {
		r.Header.Set("Sec-Fetch-Site", site)
	}
	return r
}

// A login that an identity provider's page has posted neither overwrites the
// cookies of a known browser nor asks it again.
func TestBounce_ForeignPostKeepsTheKnownBrowser(t *testing.T) {
	h := newHost(t, rememberPolicy)
	b := h.browser()
	phone, _ := b.enroll("ada")
	b.enter("ada", phone, "remember", "yes")
	before := b.cookie("__Host-twofa-browser")

	saml := h.browser() // the request of another site carries no cookie
	page := saml.do(posted(saml, "/login", "user=ada", "cross-site"))
	require.Equal(t, http.StatusOK, page.StatusCode)
	require.Empty(t, page.Header.Values("Set-Cookie"))
	held := heldField.FindStringSubmatch(page.Body)
	require.NotNil(t, held)

	body := "held=" + held[1] + "&next=%2F"
	require.Equal(t, http.StatusForbidden, h.browser().do(posted(h.browser(), "/2fa/login", body, "cross-site")).StatusCode, "another site cannot sign anybody in")
	require.Equal(t, http.StatusForbidden, h.browser().do(posted(h.browser(), "/2fa/login", body, "")).StatusCode)
	require.Equal(t, "home page", b.follow(b.do(posted(b, "/2fa/login", body, "same-origin"))).Body)
	require.NotEqual(t, before, b.cookie("__Host-twofa-browser"), "its token was rotated as at any login")
	require.Equal(t, http.StatusGone, h.browser().do(posted(h.browser(), "/2fa/login", body, "same-origin")).StatusCode, "used up")

	h.clock.pass(2 * time.Minute)
	foreign := posted(saml, "/login", "user=ada", "")
	foreign.Header.Set("Origin", "https://idp.example.net")
	page = saml.do(foreign)
	held = heldField.FindStringSubmatch(page.Body)
	require.NotNil(t, held, "a browser without Fetch Metadata")
	h.clock.pass(61 * time.Second)
	require.Equal(t, http.StatusGone, b.do(posted(b, "/2fa/login", "held="+held[1]+"&next=%2F", "same-origin")).StatusCode, "too late")
	_, err := h.m.HeldFirstFactor(twofa.NewSecret("forged"))
	require.ErrorIs(t, err, twofa.ErrExpired)
}

// A browser without Fetch Metadata proves by the header Origin that the page is
// ours. A page over plain http proves nothing, because anyone in the network can
// write it.
func TestBounce_WithoutFetchMetadata(t *testing.T) {
	h := newHost(t, rememberPolicy)
	b := h.browser()
	var page answer
	for _, origin := range []string{"null", "https://idp.example.net"} { // the page of the first has no-referrer
		foreign := posted(b, "/login", "user=ada", "")
		foreign.Header.Set("Origin", origin)
		page = b.do(foreign)
		require.Empty(t, page.Header.Values("Set-Cookie"), origin)
	}
	held := heldField.FindStringSubmatch(page.Body)
	require.NotNil(t, held)
	send := func(origin string) answer {
		r := posted(b, "/2fa/login", "held="+held[1]+"&next=%2F", "")
		r.Header.Set("Origin", originOfForms(page.Header.Get("Referrer-Policy"), origin))
		return b.do(r)
	}
	require.Equal(t, http.StatusForbidden, send("https://evil.example").StatusCode)
	require.Equal(t, http.StatusForbidden, send(strings.Replace(h.srv.URL, "https://", "http://", 1)).StatusCode)
	require.Equal(t, "home page", b.follow(send(h.srv.URL)).Body)
}
