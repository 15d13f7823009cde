package twofahttp_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

func TestSettings_RecoveryCodes(t *testing.T) { // S3
	h := newHost(t, twofa.PolicyOptional(), func(c *twofa.Config, _ *twofahttp.Config) { c.Recovery.Viewable = true })
	b := h.browser()
	phone, old := b.enroll("ada")
	b.get("/2fa/")
	require.Equal(t, old, codesOn(b.post("/2fa/codes").Body), "the code of the enrollment is a fresh proof")
	h.clock.pass(staleProof)
	page := b.follow(b.post("/2fa/codes"))
	require.Contains(t, page.Body, "Confirm it’s you", "showing them needs a fresh proof")
	page = b.prove(phone)
	require.Contains(t, page.Body, "Recovery codes</h2>", "the user returns to the settings")
	page = b.post("/2fa/codes")
	require.Equal(t, old, codesOn(page.Body))
	file := b.post("/2fa/codes", "format", "text")
	require.Contains(t, file.Header.Get("Content-Disposition"), "attachment")
	require.Contains(t, file.Body, old[9])

	page = b.follow(b.post("/2fa/codes/new"))
	fresh := codesOn(page.Body)
	require.Len(t, fresh, 10)
	require.NotContains(t, fresh, old[0])
	require.Contains(t, page.Body, "Your old codes work until you select “Done”")
	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Contains(t, page.Body, "Older ones no longer work")

	for code, status := range map[string]int{old[0]: 422, fresh[0]: 303} {
		c := h.browser()
		c.login("ada")
		require.Equal(t, status, c.post("/2fa/verify", "method", "recovery", "code", code).StatusCode)
	}
}

func TestSettings_TurnOff(t *testing.T) { // S11
	for _, c := range []struct {
		name   string
		policy twofa.Policy
		off    bool
		says   string
	}{
		{"by the member", twofa.PolicyOptional(), true, english("page.settings.lead.off")},
		{"by an admin", twofa.Policy{TurnOff: twofa.TurnOffByAdmin}, false, english("page.settings.lead.admin")},
		{"by support", twofa.Policy{TurnOff: twofa.TurnOffBySupport}, false, english("page.settings.lead.support")},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t, c.policy)
			b := h.browser()
			phone, _ := b.enroll("ada")
			h.clock.pass(staleProof)
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

func TestSettings_ReplaceApp(t *testing.T) { // S14
	h := newHost(t, twofa.PolicyAuthenticator(), noMail)
	b := h.browser()
	b.login("ada")
	b.follow(b.post("/2fa/setup", "method", "totp"))
	page := b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	old := h.scan(page.Body)
	b.follow(b.post("/2fa/setup/confirm", "code", old.code()))

	h.clock.pass(staleProof)
	page = b.get("/2fa/")
	id := idPattern.FindStringSubmatch(page.Body)[1]
	page = b.get("/2fa/setup?start=1&replaces=" + id)
	page = b.follow(b.post("/2fa/setup", "method", "totp", "replaces", id))
	require.Contains(t, page.Body, "Confirm it’s you")
	page = b.prove(old)
	require.Contains(t, page.Body, "Move “Authenticator app” to a new phone", "redirects to the enrollment")
	page = b.follow(b.post("/2fa/setup", "method", "totp", "replaces", id))
	fresh := h.scan(page.Body)
	for _, id := range []string{"page.setup.scan.title.new", "page.setup.scan.scan.new"} {
		require.Contains(t, page.Body, english(id), "the page says which phone it is about")
	}
	require.Contains(t, page.Body, english("page.setup.scan.code.new", "digits", 6)+"</label>")
	other := h.browser()
	other.login("ada")
	require.Equal(t, 303, other.post("/2fa/verify", "method", "totp", "code", old.next()).StatusCode, "the old app works until the new one is confirmed")
	page = b.follow(b.post("/2fa/setup/confirm", "code", fresh.code()))
	require.Contains(t, page.Body, "Method replaced")
	require.Contains(t, page.Body, "delete the old entry for Acme")
	require.Contains(t, page.Body, english("page.settings.replaced.codes"))
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
	page := b.follow(b.post("/2fa/revoke"))
	require.Contains(t, page.Body, "<h1>You are signed out everywhere</h1>")
	require.Contains(t, page.Body, `<a class="btn btn-primary" href="/login">Sign in</a>`)
	require.False(t, b.signedIn())
	require.False(t, other.signedIn())
	require.Contains(t, other.login("ada").Body, "Enter your code", "no browser is remembered")
}

func TestSettings_AddPhone(t *testing.T) {
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
	require.Contains(t, page.Body, "to <bdi dir=\"ltr\">•••• 67</bdi>")
	require.NotContains(t, page.Body, "Add a phone", "the user already has a phone")
}

func TestSettings_RenameAndForget(t *testing.T) {
	h := newHost(t, twofa.Policy{Remember: 30 * 24 * time.Hour})
	b := h.browser()
	phone, _ := b.enroll("ada")
	h.clock.pass(staleProof)
	b.follow(b.get("/2fa/confirm?action=factors&next=/2fa/"))
	page := b.prove(phone)
	require.Contains(t, page.Body, "Firefox on Linux")
	require.Contains(t, page.Body, english("page.settings.browsers.current"))
	id := idPattern.FindStringSubmatch(page.Body)[1]
	page = b.follow(b.post("/2fa/factors/rename", "id", id, "name", `<b>"My" phone</b>`))
	require.Contains(t, page.Body, "&lt;b&gt;&#34;My&#34; phone&lt;/b&gt;")
	page = b.follow(b.post("/2fa/browsers/forget-all"))
	require.Contains(t, page.Body, english("page.settings.browsers.none"))
}

// As long as a recovery code is the newest proof of the session, the settings offer
// to replace the lost phone, or say how to get there.
func TestSettings_OfferANewPhoneAfterARecovery(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(c *twofa.Config, _ *twofahttp.Config) { c.Recovery.Codes = 2 })
	title := english("page.settings.lost.title")
	b, phone, codes := h.pending("ada")
	h.clock.pass(time.Minute)
	b.post("/2fa/verify", "method", "recovery", "code", codes[0])
	page := b.get("/2fa/").Body
	require.Contains(t, page, title)
	require.Contains(t, page, "Set up a new one within 15 minutes.")
	require.Regexp(t, `href="/2fa/setup\?start=1&amp;replaces=[^"]+"><span>`+english("page.recovered.setup"), page)

	h.clock.pass(staleProof)
	page = b.get("/2fa/").Body
	require.Contains(t, page, title)
	require.Contains(t, page, english("page.settings.lost.over"), "another code is needed now")
	require.Contains(t, page, english("page.message.signin"))
	require.NotContains(t, page, english("page.recovered.setup"))

	last := h.browser()
	last.login("ada")
	last.post("/2fa/verify", "method", "recovery", "code", codes[1])
	h.clock.pass(staleProof)
	page = last.get("/2fa/").Body
	require.Contains(t, page, english("page.settings.lost.none"))
	require.Contains(t, page, `href="/2fa/help">`+english("page.message.support"))

	h.browser().enter("ada", phone)
	require.NotContains(t, b.get("/2fa/").Body, title, "the phone was found")
}

// A setup that is not finished is not "off", and can be continued or begun again.
func TestSettings_NotFinished(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.login("ada")
	require.Contains(t, b.get("/2fa/").Body, english("page.settings.off")+"</span>")
	b.get("/2fa/setup?start=1")
	page := b.follow(b.post("/2fa/setup", "method", "totp")).Body
	b.post("/2fa/setup/confirm", "code", h.scan(page).code())
	page = b.get("/2fa/setup").Body
	require.Contains(t, page, english("page.setup.codes.off", "button", "Done"))
	require.Contains(t, page, english("page.setup.codes.saved", "count", 10))
	page = b.get("/2fa/").Body
	require.Contains(t, page, english("page.settings.unfinished")+"</span>")
	require.NotContains(t, page, english("page.settings.off")+"</span>")
	require.Contains(t, page, `<a class="btn btn-primary" href="/2fa/setup">`+english("page.settings.pending.button"))
	require.Contains(t, page, english("page.settings.start.over"))
	b.post("/2fa/setup/saved", "saved", "yes")
	require.Contains(t, b.get("/2fa/").Body, onBadge)
}

// Only a browser that is remembered can be forgotten.
func TestSettings_ForgetOnlyWhatIsRemembered(t *testing.T) {
	h := newHost(t, twofa.Policy{Remember: 30 * 24 * time.Hour})
	b := h.browser()
	phone, _ := b.enroll("ada")
	page := b.get("/2fa/").Body
	require.Contains(t, page, english("page.settings.browsers.not"))
	require.NotContains(t, page, "browsers/forget")
	other := h.browser()
	other.enter("ada", phone, "remember", "yes")
	page = b.get("/2fa/").Body
	require.Len(t, regexp.MustCompile(`browsers/forget\?id=`).FindAllString(page, -1), 1)
	require.Contains(t, page, "browsers/forget-all")
}

// A page that asks for a code names the button that led to it.
func TestSettings_NameWhatWasAskedFor(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(c *twofa.Config, _ *twofahttp.Config) { c.Recovery.Viewable = true })
	b := h.browser()
	b.enroll("ada")
	id := idPattern.FindStringSubmatch(b.get("/2fa/").Body)[1]
	h.clock.pass(staleProof)
	says := func(a answer, button string) {
		t.Helper()
		require.Contains(t, b.follow(a).Body, "You asked for: <b><bdi>"+english(button)+"</bdi></b>.")
	}
	says(b.post("/2fa/codes"), "page.settings.codes.view")
	says(b.post("/2fa/codes", "format", "text"), "page.settings.codes.download")
	says(b.get("/2fa/codes/new"), "page.settings.codes.new")
	says(b.get("/2fa/factors/rename?id="+id), "page.settings.rename")
	says(b.get("/2fa/factors/remove?id="+id), "page.settings.remove")
	says(b.post("/2fa/setup", "method", "totp"), "page.settings.add")
	says(b.post("/2fa/setup", "method", "totp", "replaces", id), "page.settings.replace")
	says(b.get("/2fa/confirm?action=factors&next=/2fa/"), "action.factors")
}
