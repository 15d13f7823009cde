package twofahttp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// A user whose app was imported is asked to save recovery codes after each login
// until that is done, and goes on to where they wanted either way.
func TestImport_AsksForRecoveryCodes(t *testing.T) {
	const key = "GEZDGNBVGY3TQOJQ"
	h := newHost(t, twofa.PolicyOptional())
	_, err := h.m.User(twofa.AsHost("migration"), "ada").Import(t.Context(), twofa.ImportFactor{Key: twofa.NewSecret(key)})
	require.NoError(t, err)
	h.clock.pass(time.Minute)
	phone := app{h, key}
	b := h.browser()
	b.login("ada", "next", "/contacts")
	page := b.follow(b.post("/2fa/verify", "method", "totp", "code", phone.code()))
	require.Contains(t, page.Body, "You have no recovery codes")
	require.Contains(t, page.Body, `href="/contacts"`)
	require.True(t, b.signedIn(), "Not now is allowed")

	settings := b.get("/2fa/").Body
	require.Contains(t, settings, english("page.settings.codes.none.text"))
	require.Contains(t, settings, english("page.settings.legacy.text"))

	b.get("/2fa/codes/missing")
	page = b.follow(b.post("/2fa/codes/new"))
	require.Len(t, codesOn(page.Body), 10)
	b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.NotContains(t, b.get("/2fa/").Body, english("page.settings.codes.none.text"))

	c := h.browser()
	c.login("ada", "next", "/contacts")
	page = c.follow(c.post("/2fa/verify", "method", "totp", "code", phone.next()))
	require.Equal(t, "contacts page", page.Body)
	require.Equal(t, 401, h.browser().api("GET", "/2fa/codes/missing").StatusCode)
}
