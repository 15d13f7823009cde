package twofahttp_test

import (
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
)

func TestLogin_CodeOrRecoveryCode(t *testing.T) { // S2
	h := newHost(t, twofa.PolicyOptional())
	_, codes := h.browser().enroll("ada")

	b := h.browser()
	page := b.login("ada", "next", "/contacts")
	require.Contains(t, page.Body, "Enter your code")
	require.Contains(t, page.Body, `autocomplete="one-time-code"`)
	require.NotContains(t, page.Body, "Remember this browser", "the policy remembers no browser")
	require.False(t, b.signedIn())
	page = b.get("/2fa/challenge?method=recovery")
	require.Contains(t, page.Body, `name="method" value="recovery"`)
	page = b.follow(b.post("/2fa/verify", "method", "recovery", "code", strings.ToLower(codes[3])))
	require.Contains(t, page.Body, "You used a recovery code")
	require.Contains(t, page.Body, "9 codes left")
	require.Contains(t, page.Body, "/2fa/setup?start=1&amp;replaces=")
	require.Contains(t, page.Body, `href="/contacts"`)
	require.True(t, b.signedIn())

	again := h.browser()
	again.login("ada")
	page = again.post("/2fa/verify", "method", "recovery", "code", codes[3])
	require.Equal(t, 422, page.StatusCode, "a recovery code works once")
	require.False(t, again.signedIn())
}

func TestLogin_ReplacesAppAfterRecoveryCode(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	old, codes := h.browser().enroll("ada")
	b := h.browser()
	b.login("ada")
	page := b.follow(b.post("/2fa/verify", "method", "recovery", "code", codes[0]))
	link := html.UnescapeString(regexp.MustCompile(`/2fa/setup\?start=1&amp;replaces=[^"]+`).FindString(page.Body))
	page = b.get(link)
	require.Contains(t, page.Body, locale.English().Text("page.setup.lead.replace", nil))
	id := regexp.MustCompile(`name="replaces" value="([^"]+)"`).FindStringSubmatch(page.Body)[1]
	page = b.follow(b.post("/2fa/setup", "method", "totp", "replaces", id))
	fresh := h.scan(page.Body)
	page = b.follow(b.post("/2fa/setup/confirm", "code", fresh.code()))
	require.Contains(t, page.Body, "Method replaced")

	c := h.browser()
	c.login("ada")
	require.Equal(t, 422, c.post("/2fa/verify", "method", "totp", "code", old.next()).StatusCode)
	c.follow(c.post("/2fa/verify", "method", "totp", "code", fresh.next()))
	require.True(t, c.signedIn())
}

func TestLogin_EmailLink(t *testing.T) { // S4
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	page := b.login("ada", "next", "/contacts")
	require.Contains(t, page.Body, "Check your email")
	require.Contains(t, page.Body, "a•••@example.com")
	require.Contains(t, page.Body, `data-poll="/2fa/status"`)
	require.Contains(t, page.Body, `data-next="/contacts"`)
	require.Equal(t, 1, h.outbox.links(), "the link is sent right after the password")
	require.Contains(t, b.get("/2fa/status").Body, "waiting")
	require.False(t, b.signedIn())

	link := strings.TrimPrefix(h.outbox.link(), "https://app.example.com")
	page = b.get(link)
	require.Contains(t, page.Body, "Select the button to finish signing in")
	require.False(t, b.signedIn(), "opening the link does not sign in")
	done := b.post("/2fa/link", "token", tokenOf(link))
	require.Equal(t, "/contacts", done.Header.Get("Location"))
	require.True(t, b.signedIn())
	require.Contains(t, b.get("/2fa/status").Body, "done", "the waiting page continues")
}

func tokenOf(link string) string { return link[strings.Index(link, "token=")+len("token="):] }

func TestLogin_TextedCode(t *testing.T) { // S9
	h := newHost(t, twofa.PolicySMS(), noMail)
	b := h.browser()
	require.Contains(t, b.login("ada").Body, `href="/2fa/setup?start=1&amp;method=sms"`)
	page := b.get("/2fa/setup?start=1&method=sms")
	require.Contains(t, page.Body, `<option value="CH">Switzerland`)
	page = b.follow(b.post("/2fa/setup", "method", "sms", "region", "CH", "phone", "079 123 45 67"))
	require.Contains(t, page.Body, "Save your recovery codes")
	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Contains(t, page.Body, "•••• 67")
	require.Equal(t, "home page", b.finish(b.post("/2fa/setup/confirm", "code", h.outbox.code())).Body)

	h.clock.pass(time.Hour)
	c := h.browser()
	page = c.login("ada")
	require.Contains(t, page.Body, "We texted a code to")
	require.Contains(t, page.Body, "Remember this browser for 30 days")
	require.NotContains(t, page.Body, "checked", "the box is not ticked by default")
	c.follow(c.post("/2fa/verify", "method", "sms", "code", h.outbox.code(), "remember", "yes"))
	require.True(t, c.signedIn())

	h.clock.pass(2 * time.Hour)
	n := h.outbox.sentTexts()
	require.Equal(t, "home page", c.login("ada").Body, "a remembered browser is not asked")
	require.Equal(t, n, h.outbox.sentTexts())
	require.Contains(t, h.browser().login("ada").Body, "Enter your code", "another browser is asked")
}

func TestLogin_ResendMustWait(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	b.login("ada")
	page := b.post("/2fa/send", "method", "email")
	require.Equal(t, 429, page.StatusCode)
	require.Equal(t, "60", page.Header.Get("Retry-After"))
	require.Contains(t, page.Body, "We can send the next link in 1 minute.")
	h.clock.pass(time.Minute)
	page = b.follow(b.post("/2fa/send", "method", "email"))
	require.Contains(t, page.Body, "Check your email")
	require.Equal(t, 2, h.outbox.links())
}

func TestLogin_SecondLoginWithinMinute(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	h.browser().login("ada")
	h.clock.pass(15 * time.Second)
	b := h.browser()
	page := b.login("ada", "next", "/contacts")
	require.Equal(t, 200, page.StatusCode)
	require.Contains(t, page.Body, "Nothing was sent just now</p><p>We can send a link in 45 seconds.")
	require.Contains(t, page.Body, "A link from an earlier sign-in does not work here.")
	require.Contains(t, page.Body, "Email me a link")
	page = b.post("/2fa/send", "method", "email")
	require.Equal(t, 429, page.StatusCode)
	require.Contains(t, page.Body, "A link from an earlier sign-in does not work here.")
	h.clock.pass(45 * time.Second)
	require.NotContains(t, b.get("/2fa/challenge").Body, "Nothing was sent")
	require.Contains(t, b.follow(b.post("/2fa/send", "method", "email")).Body, "Check your email")
	page = b.post("/2fa/send", "method", "email")
	require.Contains(t, page.Body, "The one before may still arrive")
}

func TestStepUp_EveryTime(t *testing.T) { // S10
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	phone, _ := b.enroll("ada")
	page := b.follow(b.post("/contacts/export"))
	require.Contains(t, page.Body, "Confirm it’s you")
	require.Contains(t, page.Body, "<b><bdi>Export contacts</bdi></b>")
	require.Equal(t, "contacts page", b.prove(phone).Body, "redirects to the page with the button")
	require.Zero(t, h.exports, "the POST is not repeated automatically")
	require.Equal(t, secretExport, b.post("/contacts/export").Body)
	require.Contains(t, b.follow(b.post("/contacts/export")).Body, "Confirm it’s you", "every export needs a proof")
	require.Equal(t, 1, h.exports)
}

// The page names the user who is signing in, in the browser of the login only.
// "Not you?" ends the login and leads to the login page.
func TestChallenge_ShowsTheUser(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	page := b.get("/2fa/challenge").Body
	require.Contains(t, page, words("page.challenge.user")+`</span> <strong><bdi translate="no">ada@example.com</bdi></strong>`)
	require.Contains(t, page, words("page.challenge.notyou"))
	require.NotContains(t, h.browser().get("/2fa/challenge").Body, "ada@")

	a := b.post("/2fa/cancel", "signout", "yes")
	require.Equal(t, "/login", a.Header.Get("Location"))
	require.NotContains(t, b.get("/2fa/challenge").Body, "ada@")
	require.Equal(t, 410, b.post("/2fa/verify", "method", "totp", "code", phone.next()).StatusCode)
}

// A live session of which an account requires more is not left to the next user
// of the browser.
func TestChallenge_NotYouEndsTheSession(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	var all []*browser
	for range 2 {
		b := h.browser()
		b.login("ada", "account", "acme")
		all = append(all, b)
	}
	require.NoError(t, h.m.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), twofa.PolicyEmailLink(), ""))
	for _, b := range all {
		require.Contains(t, b.follow(b.get("/contacts")).Body, words("page.challenge.notyou"))
	}
	all[0].post("/2fa/cancel")
	require.False(t, h.web.Caller(mustRequest(all[0])).Session.IsZero())
	require.Equal(t, "/login", all[1].post("/2fa/cancel", "signout", "yes").Header.Get("Location"))
	require.True(t, h.web.Caller(mustRequest(all[1])).Session.IsZero())
}

// While no code is accepted, the page asks for none.
func TestChallenge_LockedShowsNoField(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	page := b.post("/2fa/verify", "method", "totp", "code", phone.wrong())
	for range 10 {
		if page.StatusCode == 422 {
			h.clock.pass(11 * time.Second) // the same form again is no second attempt
			page = b.post("/2fa/verify", "method", "totp", "code", phone.wrong())
		}
	}
	says(t, page, "locked", twofa.TOTP)
	require.NotContains(t, page.Body, `name="code"`)
	require.Contains(t, page.Body, words("page.challenge.others.recovery"))
	require.Contains(t, page.Body, `href="/2fa/challenge?method=totp"`)
}
