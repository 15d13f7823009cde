package twofahttp_test

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

var rememberPolicy = twofa.Policy{Remember: 30 * 24 * time.Hour}

func TestAbuse_K01_ForgedBrowserCookies(t *testing.T) {
	h := newHost(t, rememberPolicy)
	b := h.browser()
	phone, _ := b.enroll("ada")
	b.enter("ada", phone, "remember", "yes")
	real := b.cookie("__Host-twofa-browser")
	forged := []string{"", "x", real[:len(real)-1], real + "A", "eyJhbGciOiJub25lIn0.eyJ1c2VyIjoiYWRhIn0.",
		base64.RawURLEncoding.EncodeToString([]byte(`{"user":"ada","trusted":true,"expires":9999999999}`))}
	for _, value := range forged {
		c := h.browser()
		c.setCookie("__Host-twofa-browser", value)
		require.Contains(t, c.login("ada").Body, "Enter your code", value)
	}
	require.Equal(t, "home page", b.login("ada").Body, "the real cookie is accepted")
}

func TestAbuse_K02_BrowserOfAnotherUser(t *testing.T) {
	h := newHost(t, rememberPolicy)
	h.browser().enroll("bob")
	b := h.browser()
	phone, _ := b.enroll("ada")
	b.enter("ada", phone, "remember", "yes")
	require.Contains(t, b.login("bob").Body, "Enter your code")
}

func TestAbuse_K03_ExpiredBrowserCookie(t *testing.T) {
	h := newHost(t, rememberPolicy)
	b := h.browser()
	phone, _ := b.enroll("ada")
	b.enter("ada", phone, "remember", "yes")
	value := b.cookie("__Host-twofa-browser")
	h.clock.pass(30*24*time.Hour + time.Second)
	b.setCookie("__Host-twofa-browser", value)
	require.Contains(t, b.login("ada").Body, "Enter your code")
}

func TestAbuse_K06_RememberedBrowserIsNotFreshProof(t *testing.T) {
	h := newHost(t, rememberPolicy)
	b := h.browser()
	phone, _ := b.enroll("ada")
	b.enter("ada", phone, "remember", "yes")
	h.clock.pass(staleProof)
	require.Equal(t, "home page", b.login("ada").Body)
	require.Contains(t, b.follow(b.post("/contacts/export")).Body, "Confirm it’s you")
	b.get("/2fa/")
	require.Contains(t, b.follow(b.post("/2fa/codes/new")).Body, "Confirm it’s you")
	require.Zero(t, h.exports)
}

// Of two concurrent logins, such as in two restored tabs, the later response must
// not restore the token that the first one has replaced. At the next login the
// old token would look like a stolen copy.
func TestAbuse_K12_ConcurrentLoginsKeepNewestToken(t *testing.T) {
	h := newHost(t, rememberPolicy)
	b := h.browser()
	phone, _ := b.enroll("ada")
	b.enter("ada", phone, "remember", "yes")
	before := b.cookie("__Host-twofa-browser")
	b.login("ada")
	newest := b.cookie("__Host-twofa-browser")
	require.NotEqual(t, before, newest)
	b.setCookie("__Host-twofa-browser", before) // the second tab sent its request before the first response
	b.login("ada")
	require.Equal(t, newest, b.cookie("__Host-twofa-browser"), "the same token again")
	b.setCookie("__Host-twofa-browser", newest)
	h.clock.pass(time.Hour)
	b.login("ada")
	require.True(t, b.signedIn(), "the browser is still remembered")
}
