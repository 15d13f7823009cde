package twofahttp_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/twofahttp"
)

func TestEnrollment_Voluntary(t *testing.T) { // S1, starting with the app
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	require.Equal(t, "home page", b.login("ada").Body)

	page := b.get("/2fa/")
	require.Contains(t, page.Body, english("page.settings.start.title"))
	page = b.get("/2fa/setup?start=1&method=totp")
	page = b.follow(b.post("/2fa/setup", "method", "totp", "name", "Work phone"))
	require.Contains(t, page.Body, "Step 1 of 2")
	require.Contains(t, page.Body, "data:image/svg")
	require.Contains(t, page.Body, `href="otpauth://totp/Acme:ada%40example.com%20%28Work%20phone%29?secret=`)
	require.Empty(t, codesOn(page.Body), "the codes come after the app")
	phone := h.scan(page.Body)

	page = b.post("/2fa/setup/confirm", "code", phone.wrong())
	require.Equal(t, 422, page.StatusCode)
	require.Contains(t, page.Body, "That code did not work")
	require.Equal(t, phone, h.scan(page.Body), "the same key is shown again")

	page = b.follow(b.post("/2fa/setup/confirm", "code", phone.code()))
	require.Contains(t, page.Body, "Step 2 of 2")
	codes := codesOn(page.Body)
	require.Len(t, codes, 10)
	require.NotContains(t, page.Body, "data:image/svg", "the key is not shown again")

	file := b.get("/2fa/setup/codes.txt")
	require.Contains(t, file.Header.Get("Content-Disposition"), "attachment")
	require.Regexp(t, `^Acme recovery codes\nAccount: ada@example\.com\nSaved: \d+ \w+ \d{4}\n\n`, file.Body)
	for _, code := range codes {
		require.Contains(t, file.Body, code)
	}

	page = b.post("/2fa/setup/saved")
	require.Equal(t, 422, page.StatusCode, "the box must be ticked")
	require.Contains(t, page.Body, "Save your codes first")
	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Contains(t, page.Body, "Work phone")
	require.Contains(t, page.Body, "10 of 10")
	require.Equal(t, 410, b.get("/2fa/setup/codes.txt").StatusCode, "the codes are not shown again")
	require.True(t, b.signedIn())
}

func TestEnrollment_Required(t *testing.T) { // S1, starting with the codes
	h := newHost(t, twofa.PolicyAuthenticator(), noMail)
	b := h.browser()
	page := b.login("ada", "next", "/contacts?q=1")
	require.Contains(t, page.Body, "Your account requires two-factor authentication")
	require.False(t, b.signedIn())
	require.Equal(t, "/2fa/setup", b.get("/contacts").Header.Get("Location"), "enrollment cannot be skipped")

	page = b.follow(b.post("/2fa/setup", "method", "totp"))
	require.Contains(t, page.Body, "Save your recovery codes")
	require.Contains(t, page.Body, english("page.setup.codes.first"), "the page says why the codes come first")
	require.NotContains(t, page.Body, "data:image/svg")
	codes := codesOn(page.Body)
	require.Len(t, codes, 10)
	require.Equal(t, codes, codesOn(b.get("/2fa/setup").Body), "the codes can be shown again")

	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Contains(t, page.Body, "Step 2 of 2")
	phone := h.scan(page.Body)
	require.False(t, b.signedIn(), "a pending enrollment does not sign in")
	done := b.post("/2fa/setup/confirm", "code", phone.code())
	require.True(t, b.signedIn())
	page = b.follow(done)
	require.Contains(t, page.Body, "<h1>Two-factor authentication is on</h1>")
	require.Contains(t, page.Body, `href="/contacts?q=1">Continue`, "leads to the first page")
	require.Equal(t, "/contacts?q=1", b.get("/2fa/done?next=%2Fcontacts%3Fq%3D1").Header.Get("Location"), "the message is shown once")
	require.True(t, b.signedIn())
}

func TestEnrollment_RequiredComesAfterLink(t *testing.T) {
	h := newHost(t, twofa.PolicyAuthenticator())
	b := h.browser()
	require.Contains(t, b.login("ada", "next", "/contacts").Body, "Check your email")
	b.get("/2fa/setup")
	require.Equal(t, 401, b.post("/2fa/setup", "method", "totp").StatusCode, "the password alone is not enough")
	page := b.follow(b.post("/2fa/link", "token", tokenOf(h.outbox.link())))
	require.Contains(t, page.Body, "Your account requires two-factor authentication")
	b.follow(b.post("/2fa/setup", "method", "totp"))
	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Equal(t, "contacts page", b.finish(b.post("/2fa/setup/confirm", "code", h.scan(page.Body).code())).Body)
}

func TestEnrollment_ReportsWrongClock(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.login("ada")
	b.get("/2fa/setup?start=1")
	page := b.follow(b.post("/2fa/setup", "method", "totp"))
	phone := h.scan(page.Body)
	h.clock.pass(10 * time.Minute)
	ahead := phone.code()
	h.clock.pass(-10 * time.Minute)
	page = b.post("/2fa/setup/confirm", "code", ahead)
	require.Contains(t, page.Body, "clock is about 10 minutes ahead")
	require.Contains(t, page.Body, "Set its date and time to automatic")
}

func TestEnrollment_EndsAfterFiveWrongCodes(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.login("ada")
	b.get("/2fa/setup?start=1")
	phone := h.scan(b.follow(b.post("/2fa/setup", "method", "totp")).Body)
	wrongs := phone.wrongs(5)
	for _, wrong := range wrongs[:4] {
		require.Contains(t, b.post("/2fa/setup/confirm", "code", wrong).Body, "That code did not work")
	}
	page := b.post("/2fa/setup/confirm", "code", wrongs[4])
	require.Contains(t, page.Body, "Start again with a new QR code")
	require.Equal(t, 410, b.post("/2fa/setup/confirm", "code", phone.code()).StatusCode)
}

func TestEnrollment_OneRecoveryCode(t *testing.T) { // S12
	h := newHost(t, twofa.PolicyAuthenticator(), noMail, func(c *twofa.Config, _ *twofahttp.Config) { c.Recovery.Codes = 1 })
	b := h.browser()
	b.login("ada")
	page := b.follow(b.post("/2fa/setup", "method", "totp"))
	require.Len(t, codesOn(page.Body), 1)
	require.Contains(t, page.Body, locale.English().Text("page.setup.codes.title", locale.Args{"count": 1})+"<")
	require.Contains(t, page.Body, locale.English().Text("page.setup.codes.lead", locale.Args{"count": 1}))
}

func TestEnrollment_WithoutRecoveryCodes(t *testing.T) {
	h := newHost(t, twofa.PolicyAuthenticator(), noMail, func(c *twofa.Config, _ *twofahttp.Config) { c.Recovery.Codes = twofa.NoRecoveryCodes })
	b := h.browser()
	b.login("ada")
	page := b.follow(b.post("/2fa/setup", "method", "totp"))
	require.NotContains(t, page.Body, "Step 1")
	require.Equal(t, "home page", b.finish(b.post("/2fa/setup/confirm", "code", h.scan(page.Body).code())).Body)
}

// The page of a texted code says how long the code is still valid.
func TestEnrollment_TextedCodeExpires(t *testing.T) {
	h := newHost(t, twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}}, noMail)
	b := h.browser()
	b.login("ada")
	b.get("/2fa/setup?start=1")
	require.Contains(t, b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41791234567")).Body, "It expires in 5 minutes.")
	h.clock.pass(2 * time.Minute)
	require.Contains(t, b.get("/2fa/setup").Body, "It expires in 3 minutes.")
	b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41791234567")) // a new code for the same number
	require.Contains(t, b.get("/2fa/setup").Body, "It expires in 5 minutes.")
	h.clock.pass(5 * time.Minute)
	page := b.get("/2fa/setup").Body
	require.Contains(t, page, "has expired. Enter the number again to get a new code.")
	require.NotContains(t, page, "It expires")
}

// After a recovery code, the page says how long a lost factor can be replaced
// without its code, and offers it no longer than that.
func TestRecovered_TimeToReplace(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, _, codes := h.pending("ada")
	page := b.follow(b.post("/2fa/verify", "method", "recovery", "code", codes[0])).Body
	require.Contains(t, page, "Set up a new one within 15 minutes.")
	for _, id := range []string{"page.recovered.setup", "page.nocodes.skip"} {
		require.Regexp(t, `<a class="btn" href="[^"]*">(<span>)?`+english(id), page, "neither button is the first choice")
	}
	h.clock.pass(10 * time.Minute)
	require.Contains(t, b.get("/2fa/recovered").Body, "Set up a new one within 5 minutes.")
	h.clock.pass(5*time.Minute + time.Second)
	page = b.get("/2fa/recovered").Body
	require.NotContains(t, page, "Set up a new one")
	require.NotContains(t, page, english("page.recovered.setup"))
	require.Contains(t, page, english("page.recovered.continue"))
}

// The sentence about old recovery codes names the button that ends them.
func TestEnrollment_NamesTheButton(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.enroll("ada")
	page := b.follow(b.post("/2fa/codes/new")).Body
	require.Contains(t, page, "Your old codes work until you select “Done”.")
	require.Contains(t, page, `<button class="btn btn-primary">Done</button>`)
}

// An enrollment that a page has begun ends on that page, if the forms name it. A
// button on another page ends where it always does.
func TestEnrollment_EndsOnThePageThatBeganIt(t *testing.T) {
	enroll := func(b *browser, next string) answer {
		fields := func(pairs ...string) []string {
			if next != "" {
				pairs = append(pairs, "next", next)
			}
			return pairs
		}
		page := b.get("/2fa/setup?" + url.Values{"start": {"1"}, "method": {"totp"}, "next": {next}}.Encode())
		require.Equal(t, next != "" && next[1] != '/', strings.Contains(page.Body, `name="next" value="`+next+`"`))
		page = b.follow(b.post("/2fa/setup", fields("method", "totp")...))
		phone := b.h.scan(page.Body)
		page = b.post("/2fa/setup/confirm", fields("code", phone.wrong())...)
		require.Equal(t, next != "" && next[1] != '/', strings.Contains(page.Body, `name="next" value="`+next+`"`), "also after a wrong code")
		b.follow(b.post("/2fa/setup/confirm", fields("code", phone.code())...))
		return b.post("/2fa/setup/saved", fields("saved", "yes")...)
	}
	for next, want := range map[string]string{"": "/2fa/", "/2fa/policy": "/2fa/policy", "/contacts": "/2fa/done?next=%2Fcontacts", "//evil.example": "/2fa/"} {
		h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
		b := h.browser()
		b.login("olga", "account", "acme")
		end := enroll(b, next)
		require.Equal(t, want, end.Header.Get("Location"), next)
		require.Contains(t, b.follow(end).Body, english("message.set_up.title"), next)
	}
}
