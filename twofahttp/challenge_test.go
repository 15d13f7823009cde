package twofahttp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// Every field for a code of digits says how many, in its label and in the hint of
// the browser.
func TestChallenge_SaysHowManyDigits(t *testing.T) {
	h := newHost(t, twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, Fallback: []twofa.Method{twofa.SMS}}, func(c *twofa.Config, _ *twofahttp.Config) { c.TOTP.Digits = 8 })
	b := h.browser()
	b.login("ada")
	b.get("/2fa/setup?start=1")
	page := b.follow(b.post("/2fa/setup", "method", "totp")).Body
	require.Contains(t, page, english("page.setup.scan.code", "digits", 8)+"</label>")
	require.Contains(t, page, `title="`+english("page.challenge.digits.all", "digits", 8)+`"`)
	page = b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41791234567")).Body
	require.Contains(t, page, english("page.setup.phone.code", "digits", 6)+"</label>")

	h = newHost(t, twofa.PolicyOptional())
	b, _, _ = h.pending("ada")
	page = b.get("/2fa/challenge").Body
	require.Contains(t, page, english("page.challenge.code.digits", "digits", 6)+"</label>")
	require.Contains(t, page, `title="`+english("page.challenge.digits.all", "digits", 6)+`"`)
}

// After the last wrong code, the page says how long no code is accepted and what
// works meanwhile. It says so as well if it is opened again.
func TestChallenge_SaysHowLongItIsLocked(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, codes := h.pending("ada")
	var page answer
	for _, code := range phone.wrongs(5) {
		page = b.post("/2fa/verify", "method", "totp", "code", code)
	}
	says := func(page answer, wait string) {
		t.Helper()
		require.Contains(t, page.Body, "<h1>"+english("message.locked.title")+"</h1>")
		require.Contains(t, page.Body, "again in "+wait+".")
		require.Contains(t, page.Body, english("page.challenge.locked.others"))
		require.Contains(t, page.Body, english("page.challenge.others.recovery"))
		require.NotContains(t, page.Body, `name="code"`, "no field invites to a code that is not accepted")
	}
	require.Equal(t, 422, page.StatusCode)
	says(page, "1 minute")
	h.clock.pass(20 * time.Second)
	page = b.get("/2fa/challenge")
	require.Equal(t, 200, page.StatusCode)
	says(page, "40 seconds")
	require.Contains(t, b.get("/2fa/challenge?method=recovery").Body, `name="code"`, "another method is open")
	h.clock.pass(40 * time.Second)
	require.Contains(t, b.get("/2fa/challenge").Body, `name="code"`)
	b.post("/2fa/verify", "method", "totp", "code", phone.wrong())
	says(b.get("/2fa/challenge"), "2 minutes")
	b.post("/2fa/verify", "method", "recovery", "code", codes[0])
	require.True(t, b.signedIn())
}
