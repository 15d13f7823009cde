package twofahttp_test

import (
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

func TestSetUp_Voluntary(t *testing.T) { // S1, the app first
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	require.Equal(t, "home page", b.login("ada").Body)

	page := b.get("/2fa/")
	require.Contains(t, page.Body, "Add an authenticator app")
	page = b.get("/2fa/setup?start=1&method=totp")
	page = b.follow(b.post("/2fa/setup", "method", "totp", "name", "Work phone"))
	require.Contains(t, page.Body, "Step 1 of 2")
	require.Contains(t, page.Body, "<svg")
	require.Contains(t, page.Body, `href="otpauth://totp/Acme:ada%40example.com?secret=`)
	require.Empty(t, codesOn(page.Body), "codes come after the app")
	phone := h.scan(page.Body)

	page = b.post("/2fa/setup/confirm", "code", phone.wrong())
	require.Equal(t, 422, page.StatusCode)
	require.Contains(t, page.Body, "That code did not work")
	require.Equal(t, phone, h.scan(page.Body), "the same key is shown again")

	page = b.follow(b.post("/2fa/setup/confirm", "code", phone.code()))
	require.Contains(t, page.Body, "Step 2 of 2")
	codes := codesOn(page.Body)
	require.Len(t, codes, 10)
	require.NotContains(t, page.Body, "<svg", "the key is not shown again")

	file := b.get("/2fa/setup/codes.txt")
	require.Contains(t, file.Header.Get("Content-Disposition"), "attachment")
	for _, code := range codes {
		require.Contains(t, file.Body, code)
	}

	page = b.post("/2fa/setup/saved")
	require.Equal(t, 422, page.StatusCode, "the box has to be ticked")
	require.Contains(t, page.Body, "Save your codes first")
	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Contains(t, page.Body, "Work phone")
	require.Contains(t, page.Body, "10 of 10")
	require.Equal(t, 410, b.get("/2fa/setup/codes.txt").StatusCode, "the codes are gone")
	require.True(t, b.signedIn())
}

func TestSetUp_Demanded(t *testing.T) { // S1, the codes first
	h := newHost(t, twofa.PolicyAuthenticator(), noMail)
	b := h.browser()
	page := b.login("ada", "next", "/contacts?q=1")
	require.Contains(t, page.Body, "Your account requires a second factor")
	require.False(t, b.signedIn())
	require.Equal(t, "/2fa/setup", b.get("/contacts").Header.Get("Location"), "there is no way around")

	page = b.follow(b.post("/2fa/setup", "method", "totp"))
	require.Contains(t, page.Body, "Save your recovery codes")
	require.NotContains(t, page.Body, "<svg")
	codes := codesOn(page.Body)
	require.Len(t, codes, 10)
	require.Equal(t, codes, codesOn(b.get("/2fa/setup").Body), "they can be seen again")

	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Contains(t, page.Body, "Step 2 of 2")
	phone := h.scan(page.Body)
	require.False(t, b.signedIn(), "half way is not in")
	done := b.post("/2fa/setup/confirm", "code", phone.code())
	require.Equal(t, "/contacts?q=1", done.Header.Get("Location"), "back to where it began")
	require.True(t, b.signedIn())
}

func TestSetUp_DemandedComesAfterTheLink(t *testing.T) {
	h := newHost(t, twofa.PolicyAuthenticator())
	b := h.browser()
	require.Contains(t, b.login("ada", "next", "/contacts").Body, "Check your mail")
	b.get("/2fa/setup")
	require.Equal(t, 401, b.post("/2fa/setup", "method", "totp").StatusCode, "not with the password alone")
	page := b.follow(b.post("/2fa/link", "token", tokenOf(h.outbox.link())))
	require.Contains(t, page.Body, "Your account requires a second factor")
	b.follow(b.post("/2fa/setup", "method", "totp"))
	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Equal(t, "contacts page", b.follow(b.post("/2fa/setup/confirm", "code", h.scan(page.Body).code())).Body)
}

func TestSetUp_TellsThatTheClockIsWrong(t *testing.T) {
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

func TestSetUp_IsOverAfterFiveWrongCodes(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.login("ada")
	b.get("/2fa/setup?start=1")
	phone := h.scan(b.follow(b.post("/2fa/setup", "method", "totp")).Body)
	for range 4 {
		require.Contains(t, b.post("/2fa/setup/confirm", "code", phone.wrong()).Body, "That code did not work")
	}
	page := b.post("/2fa/setup/confirm", "code", phone.wrong())
	require.Contains(t, page.Body, "Start again with a new QR code")
	require.Equal(t, 410, b.post("/2fa/setup/confirm", "code", phone.code()).StatusCode)
}

func TestLogin_CodeOrRecoveryCode(t *testing.T) { // S2
	h := newHost(t, twofa.PolicyOptional())
	_, codes := h.browser().enroll("ada")

	b := h.browser()
	page := b.login("ada", "next", "/contacts")
	require.Contains(t, page.Body, "Enter your code")
	require.Contains(t, page.Body, `autocomplete="one-time-code"`)
	require.NotContains(t, page.Body, "Do not ask in this browser", "the policy remembers none")
	require.False(t, b.signedIn())
	page = b.get("/2fa/challenge?method=recovery")
	require.Contains(t, page.Body, `name="method" value="recovery"`)
	page = b.follow(b.post("/2fa/verify", "method", "recovery", "code", strings.ToLower(codes[3])))
	require.Contains(t, page.Body, "You used a recovery code")
	require.Contains(t, page.Body, "9 are left")
	require.Contains(t, page.Body, "/2fa/setup?start=1&amp;replaces=")
	require.Contains(t, page.Body, `href="/contacts"`)
	require.True(t, b.signedIn())

	again := h.browser()
	again.login("ada")
	page = again.post("/2fa/verify", "method", "recovery", "code", codes[3])
	require.Equal(t, 422, page.StatusCode, "a recovery code works once")
	require.False(t, again.signedIn())
}

func TestLogin_AfterARecoveryCodeTheAppIsReplaced(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	old, codes := h.browser().enroll("ada")
	b := h.browser()
	b.login("ada")
	page := b.follow(b.post("/2fa/verify", "method", "recovery", "code", codes[0]))
	link := html.UnescapeString(regexp.MustCompile(`/2fa/setup\?start=1&amp;replaces=[^"]+`).FindString(page.Body))
	page = b.get(link)
	require.Contains(t, page.Body, "The old one works until the new one is confirmed")
	id := regexp.MustCompile(`name="replaces" value="([^"]+)"`).FindStringSubmatch(page.Body)[1]
	page = b.follow(b.post("/2fa/setup", "method", "totp", "replaces", id))
	fresh := h.scan(page.Body)
	page = b.follow(b.post("/2fa/setup/confirm", "code", fresh.code()))
	require.Contains(t, page.Body, "Done.")

	c := h.browser()
	c.login("ada")
	require.Equal(t, 422, c.post("/2fa/verify", "method", "totp", "code", old.next()).StatusCode)
	c.follow(c.post("/2fa/verify", "method", "totp", "code", fresh.next()))
	require.True(t, c.signedIn())
}

func TestSettings_RecoveryCodes(t *testing.T) { // S3
	h := newHost(t, twofa.PolicyOptional(), func(c *twofa.Config, _ *twofahttp.Config) { c.Recovery.Viewable = true })
	b := h.browser()
	phone, old := b.enroll("ada")
	b.get("/2fa/")
	page := b.follow(b.post("/2fa/codes"))
	require.Contains(t, page.Body, "Confirm it is you", "showing them needs a fresh proof")
	page = b.prove(phone)
	require.Contains(t, page.Body, "Recovery codes</h2>", "and then comes back to the settings")
	page = b.post("/2fa/codes")
	require.Equal(t, old, codesOn(page.Body))
	file := b.post("/2fa/codes", "format", "text")
	require.Contains(t, file.Header.Get("Content-Disposition"), "attachment")
	require.Contains(t, file.Body, old[9])

	page = b.follow(b.post("/2fa/codes/new"))
	fresh := codesOn(page.Body)
	require.Len(t, fresh, 10)
	require.NotContains(t, fresh, old[0])
	require.Contains(t, page.Body, "Your old codes work until you press Done")
	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Contains(t, page.Body, "Older ones no longer work")

	for code, status := range map[string]int{old[0]: 422, fresh[0]: 303} {
		c := h.browser()
		c.login("ada")
		require.Equal(t, status, c.post("/2fa/verify", "method", "recovery", "code", code).StatusCode)
	}
}

func TestLogin_EmailLink(t *testing.T) { // S4
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	page := b.login("ada", "next", "/contacts")
	require.Contains(t, page.Body, "Check your mail")
	require.Contains(t, page.Body, "a•••@example.com")
	require.Contains(t, page.Body, `data-poll="/2fa/status"`)
	require.Contains(t, page.Body, `data-next="/contacts"`)
	require.Equal(t, 1, h.outbox.links(), "the password was all it took to send it")
	require.Contains(t, b.get("/2fa/status").Body, "waiting")
	require.False(t, b.signedIn())

	link := strings.TrimPrefix(h.outbox.link(), "https://app.example.com")
	page = b.get(link)
	require.Contains(t, page.Body, "Press the button to finish signing in")
	require.False(t, b.signedIn(), "opening it does nothing yet")
	done := b.post("/2fa/link", "token", tokenOf(link))
	require.Equal(t, "/contacts", done.Header.Get("Location"))
	require.True(t, b.signedIn())
	require.Contains(t, b.get("/2fa/status").Body, "done", "the page that waits moves on")
}

func tokenOf(link string) string { return link[strings.Index(link, "token=")+len("token="):] }

func TestLogin_TextedCode(t *testing.T) { // S9
	h := newHost(t, twofa.PolicySMS(), noMail)
	b := h.browser()
	page := b.login("ada")
	require.Contains(t, page.Body, `<option value="CH">Switzerland`)
	page = b.follow(b.post("/2fa/setup", "method", "sms", "region", "CH", "phone", "079 123 45 67"))
	require.Contains(t, page.Body, "Save your recovery codes")
	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Contains(t, page.Body, "•••• 67")
	require.Equal(t, "home page", b.follow(b.post("/2fa/setup/confirm", "code", h.outbox.code())).Body)

	h.clock.pass(time.Hour)
	c := h.browser()
	page = c.login("ada")
	require.Contains(t, page.Body, "We have texted a code to")
	require.Contains(t, page.Body, "Do not ask in this browser for 30 days")
	require.NotContains(t, page.Body, "checked", "not unless the person says so")
	c.follow(c.post("/2fa/verify", "method", "sms", "code", h.outbox.code(), "remember", "yes"))
	require.True(t, c.signedIn())

	h.clock.pass(2 * time.Hour)
	n := h.outbox.sentTexts()
	require.Equal(t, "home page", c.login("ada").Body, "a remembered browser is not asked")
	require.Equal(t, n, h.outbox.sentTexts())
	require.Contains(t, h.browser().login("ada").Body, "Enter your code", "another is")
}

func TestLogin_ResendHasToWait(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	b.login("ada")
	page := b.post("/2fa/send", "method", "email")
	require.Equal(t, 429, page.StatusCode)
	require.Equal(t, "60", page.Header.Get("Retry-After"))
	require.Contains(t, page.Body, "Try again in 1 minute.")
	h.clock.pass(time.Minute)
	page = b.follow(b.post("/2fa/send", "method", "email"))
	require.Contains(t, page.Body, "Check your mail")
	require.Equal(t, 2, h.outbox.links())
}

func TestLogin_SecondOneWithinAMinute(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	h.browser().login("ada")
	h.clock.pass(15 * time.Second)
	b := h.browser()
	page := b.login("ada", "next", "/contacts")
	require.Equal(t, 200, page.StatusCode)
	require.Contains(t, page.Body, "Nothing was sent just now.</strong> Try again in 45 seconds.")
	require.Contains(t, page.Body, "What was sent for an earlier sign-in does not work here.")
	require.Contains(t, page.Body, "Send me a link")
	page = b.post("/2fa/send", "method", "email")
	require.Equal(t, 429, page.StatusCode)
	require.Contains(t, page.Body, "What was sent for an earlier sign-in does not work here.")
	h.clock.pass(45 * time.Second)
	require.NotContains(t, b.get("/2fa/challenge").Body, "Nothing was sent")
	require.Contains(t, b.follow(b.post("/2fa/send", "method", "email")).Body, "Check your mail")
	page = b.post("/2fa/send", "method", "email")
	require.Contains(t, page.Body, "What was sent before may still be on its way.")
}

func TestStepUp_EveryTime(t *testing.T) { // S10
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	phone, _ := b.enroll("ada")
	page := b.follow(b.post("/contacts/export"))
	require.Contains(t, page.Body, "Confirm it is you")
	require.Contains(t, page.Body, "<strong>Export contacts</strong>")
	require.Equal(t, "contacts page", b.prove(phone).Body, "back where the button is")
	require.Zero(t, h.exports, "nothing happens on its own")
	require.Equal(t, secretExport, b.post("/contacts/export").Body)
	require.Contains(t, b.follow(b.post("/contacts/export")).Body, "Confirm it is you", "each time")
	require.Equal(t, 1, h.exports)
}

func TestSettings_TurnOff(t *testing.T) { // S11
	for _, c := range []struct {
		name   string
		policy twofa.Policy
		off    bool
		says   string
	}{
		{"by the member", twofa.PolicyOptional(), true, "Nothing is set up yet"},
		{"by an admin", twofa.Policy{TurnOff: twofa.TurnOffByAdmin}, false, "Only an admin of your account"},
		{"by support", twofa.Policy{TurnOff: twofa.TurnOffBySupport}, false, "Only support"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t, c.policy)
			b := h.browser()
			phone, _ := b.enroll("ada")
			b.follow(b.get("/2fa/confirm?action=factors&next=/2fa/"))
			page := b.prove(phone)
			if !c.off {
				require.NotContains(t, page.Body, "factors/remove")
			}
			id := idPattern.FindStringSubmatch(page.Body)[1]
			answer := b.post("/2fa/factors/remove", "id", id)
			if c.off {
				require.Contains(t, b.follow(answer).Body, c.says)
				require.Equal(t, "home page", h.browser().login("ada").Body)
				return
			}
			require.Equal(t, 403, answer.StatusCode)
			require.Contains(t, b.get("/2fa/").Body, c.says)
			require.Contains(t, h.browser().login("ada").Body, "Enter your code")
		})
	}
}

func TestSetUp_OneBackupCode(t *testing.T) { // S12
	h := newHost(t, twofa.PolicyAuthenticator(), noMail, func(c *twofa.Config, _ *twofahttp.Config) { c.Recovery.Codes = 1 })
	b := h.browser()
	b.login("ada")
	page := b.follow(b.post("/2fa/setup", "method", "totp"))
	require.Len(t, codesOn(page.Body), 1)
	require.Contains(t, page.Body, "Save your recovery code<")
	require.Contains(t, page.Body, "This code lets you in once")
}

func TestSetUp_WithoutRecoveryCodes(t *testing.T) {
	h := newHost(t, twofa.PolicyAuthenticator(), noMail, func(c *twofa.Config, _ *twofahttp.Config) { c.Recovery.Codes = twofa.NoRecoveryCodes })
	b := h.browser()
	b.login("ada")
	page := b.follow(b.post("/2fa/setup", "method", "totp"))
	require.NotContains(t, page.Body, "Step 1")
	require.Equal(t, "home page", b.follow(b.post("/2fa/setup/confirm", "code", h.scan(page.Body).code())).Body)
}

func TestSettings_ChangeOfPhone(t *testing.T) { // S14
	h := newHost(t, twofa.PolicyAuthenticator(), noMail)
	b := h.browser()
	b.login("ada")
	b.follow(b.post("/2fa/setup", "method", "totp"))
	page := b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	old := h.scan(page.Body)
	b.follow(b.post("/2fa/setup/confirm", "code", old.code()))

	page = b.get("/2fa/")
	id := idPattern.FindStringSubmatch(page.Body)[1]
	page = b.get("/2fa/setup?start=1&replaces=" + id)
	page = b.follow(b.post("/2fa/setup", "method", "totp", "replaces", id))
	require.Contains(t, page.Body, "Confirm it is you")
	page = b.prove(old)
	require.Contains(t, page.Body, "Replace “Authenticator app”", "back to where it began")
	page = b.follow(b.post("/2fa/setup", "method", "totp", "replaces", id))
	fresh := h.scan(page.Body)
	other := h.browser()
	other.login("ada")
	require.Equal(t, 303, other.post("/2fa/verify", "method", "totp", "code", old.next()).StatusCode, "no gap: the old one works")
	page = b.follow(b.post("/2fa/setup/confirm", "code", fresh.code()))
	require.Contains(t, page.Body, "Done.")
	require.False(t, other.signedIn(), "other sessions end")
	require.True(t, b.signedIn())
	c := h.browser()
	c.login("ada")
	require.Equal(t, 422, c.post("/2fa/verify", "method", "totp", "code", old.next()).StatusCode)
}

func TestSettings_SignOutEverywhere(t *testing.T) { // S15
	h := newHost(t, twofa.Policy{Remember: 30 * 24 * time.Hour})
	b, other := h.browser(), h.browser()
	phone, _ := b.enroll("ada")
	other.enter("ada", phone, "remember", "yes")
	require.True(t, other.signedIn())
	b.get("/2fa/")
	require.Equal(t, "login page", b.follow(b.post("/2fa/revoke")).Body)
	require.False(t, b.signedIn())
	require.False(t, other.signedIn())
	require.Contains(t, other.login("ada").Body, "Enter your code", "no browser is remembered")
}

func TestSettings_Phone(t *testing.T) {
	h := newHost(t, twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}})
	b := h.browser()
	b.login("ada")
	b.get("/2fa/setup?start=1&method=sms")
	page := b.post("/2fa/setup", "method", "sms", "phone", "+33 6 12 34 56 78")
	require.Equal(t, 422, page.StatusCode)
	require.Contains(t, page.Body, "We cannot text this number")
	page = b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41 79 123 45 67"))
	require.Contains(t, page.Body, "Confirm your phone")
	page = b.follow(b.post("/2fa/setup/confirm", "code", h.outbox.code()))
	require.Len(t, codesOn(page.Body), 10)
	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Contains(t, page.Body, "to •••• 67")
	require.NotContains(t, page.Body, "Add a phone", "there is one")
}

func TestSettings_RenameAndForget(t *testing.T) {
	h := newHost(t, twofa.Policy{Remember: 30 * 24 * time.Hour})
	b := h.browser()
	phone, _ := b.enroll("ada")
	b.follow(b.get("/2fa/confirm?action=factors&next=/2fa/"))
	page := b.prove(phone)
	require.Contains(t, page.Body, "Firefox on Linux")
	require.Contains(t, page.Body, "this one")
	id := idPattern.FindStringSubmatch(page.Body)[1]
	page = b.follow(b.post("/2fa/factors/rename", "id", id, "name", `<b>"My" phone</b>`))
	require.Contains(t, page.Body, "&lt;b&gt;&#34;My&#34; phone&lt;/b&gt;")
	page = b.follow(b.post("/2fa/browsers/forget-all"))
	require.Contains(t, page.Body, "None yet")
}

func TestGuard_AccountAsksForMoreInALiveSession(t *testing.T) { // S5, seen from the member
	h := newHost(t, twofa.PolicyOptional(), noMail)
	b := h.browser()
	b.login("ada", "account", "acme")
	require.True(t, b.signedIn())
	require.NoError(t, h.m.SetPolicy(t.Context(), twofa.Host("test"), "acme", twofa.PolicyAuthenticator()))
	page := b.follow(b.get("/contacts"))
	require.Contains(t, page.Body, "Your account requires a second factor")
	page = b.follow(b.post("/2fa/setup", "method", "totp"))
	require.Len(t, codesOn(page.Body), 10)
	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Equal(t, "contacts page", b.follow(b.post("/2fa/setup/confirm", "code", h.scan(page.Body).code())).Body)
}

func TestGuard_OldSessionSignsInAgainBeforeTheFirstFactor(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), noMail)
	b := h.browser()
	b.login("ada", "account", "acme")
	h.clock.pass(time.Hour)
	require.NoError(t, h.m.SetPolicy(t.Context(), twofa.Host("test"), "acme", twofa.PolicyAuthenticator()))
	b.follow(b.get("/contacts"))
	page := b.post("/2fa/setup", "method", "totp")
	require.Equal(t, 401, page.StatusCode)
	require.Contains(t, page.Body, "your password must have been typed within the last 15 minutes")
	page = b.post("/2fa/signin", "next", "/contacts")
	require.Equal(t, "/login?next=%2Fcontacts", page.Header.Get("Location"))
	require.False(t, b.signedIn())
}

func TestGuard_DeadSessionIsEndedOnTheWayToTheLogin(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.login("ada")
	before := b.cookie(sessionCookie)
	require.NoError(t, h.m.Revoke(t.Context(), twofa.Host("test"), "ada"))
	require.Equal(t, "/login?next=%2Fcontacts%3Fq%3D1", b.get("/contacts?q=1").Header.Get("Location"))
	require.NotEqual(t, before, b.cookie(sessionCookie))
}
