package twofahttp_test

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

var remembering = twofa.Policy{Remember: 30 * 24 * time.Hour}

func TestAbuse_K01_ForgedBrowserCookies(t *testing.T) {
	h := newHost(t, remembering)
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
	require.Equal(t, "home page", b.login("ada").Body, "the real one does")
}

func TestAbuse_K02_BrowserOfAnotherUser(t *testing.T) {
	h := newHost(t, remembering)
	h.browser().enroll("bob")
	b := h.browser()
	phone, _ := b.enroll("ada")
	b.enter("ada", phone, "remember", "yes")
	require.Contains(t, b.login("bob").Body, "Enter your code")
}

func TestAbuse_K03_BrowserCookiePastItsTime(t *testing.T) {
	h := newHost(t, remembering)
	b := h.browser()
	phone, _ := b.enroll("ada")
	b.enter("ada", phone, "remember", "yes")
	value := b.cookie("__Host-twofa-browser")
	h.clock.pass(30*24*time.Hour + time.Second)
	b.setCookie("__Host-twofa-browser", value)
	require.Contains(t, b.login("ada").Body, "Enter your code")
}

func TestAbuse_K06_RememberedBrowserIsNoFreshProof(t *testing.T) {
	h := newHost(t, remembering)
	b := h.browser()
	phone, _ := b.enroll("ada")
	b.enter("ada", phone, "remember", "yes")
	require.Equal(t, "home page", b.login("ada").Body)
	require.Contains(t, b.follow(b.post("/contacts/export")).Body, "Confirm it is you")
	b.get("/2fa/")
	require.Contains(t, b.follow(b.post("/2fa/codes/new")).Body, "Confirm it is you")
	require.Zero(t, h.exports)
}

// Two logins at once, as two tabs at start-up: the answer that came second must
// not put back the token that the first has replaced, which would look like a
// copy the next time.
func TestAbuse_K12_TwoTabsKeepTheNewestToken(t *testing.T) {
	h := newHost(t, remembering)
	b := h.browser()
	phone, _ := b.enroll("ada")
	b.enter("ada", phone, "remember", "yes")
	before := b.cookie("__Host-twofa-browser")
	b.login("ada")
	newest := b.cookie("__Host-twofa-browser")
	require.NotEqual(t, before, newest)
	b.setCookie("__Host-twofa-browser", before) // the second tab had left already
	second := b.login("ada")
	require.NotContains(t, second.Header.Values("Set-Cookie"), "__Host-twofa-browser")
	require.Equal(t, before, b.cookie("__Host-twofa-browser"), "nothing was set")
	b.setCookie("__Host-twofa-browser", newest)
	h.clock.pass(time.Hour)
	b.login("ada")
	require.True(t, b.signedIn(), "still remembered")
}
