package browser

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
)

// setPolicy changes fields of the form of the policy, by selector, looks at the
// preview and saves it. It gives a code if it is asked for one.
func (b *tab) setPolicy(p *phone, fields map[string]string, looked func()) {
	b.t.Helper()
	b.goTo("/2fa/policy")
	for field, value := range fields {
		eval[bool](b, `((e, value) => { e[e.matches('[type=radio], [type=checkbox]') ? 'checked' : 'value'] = value; return true })(
			document.querySelector(`+strconv.Quote("main "+field)+`), `+strconv.Quote(value)+`)`) // "" is false
	}
	b.press("Preview changes")
	b.at("/2fa/policy/preview")
	looked()
	b.press("Save policy")
	if b.offers("Continue") {
		b.reads("Confirm it’s you")
		b.fill("6-digit code", p.code())
		b.click("Continue") // the next page sends the form by itself
	}
	b.until(`document.body.innerText.includes('Policy saved')`)
	b.at("/2fa/policy")
}

// answerOf returns the status and the code of the answer to a script that asks for
// a page of the product. The browser reports the refusal, which is forgiven.
func (b *chromiumTab) answerOf(path string) (status int, code string) {
	b.t.Helper()
	defer b.chromium.forgive()
	got := eval[struct {
		Status int
		Code   string
	}](b, `fetch('`+path+`', { headers: { Accept: 'application/json' } }).then(async (r) => ({ Status: r.status, Code: (await r.json().catch(() => ({}))).code ?? '' }))`)
	return got.Status, got.Code
}

// An owner requires an authenticator app from a date on. Until then a member can
// put it off. From then on, a live session can do nothing else.
func TestS5_RequireFromADate(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	var product *app.App
	s, clock := newSiteWithClock(t, func(next http.Handler) http.Handler { product = next.(*app.App); return next })
	lastDay := clock.Now().UTC().Truncate(24 * time.Hour).Add(3 * 24 * time.Hour)
	at := func(d time.Duration) { clock.Add(lastDay.Add(d).Sub(clock.Now())) }
	by := lastDay.Format("2 January 2006")

	// The owner must have an app before requiring one of others.
	ida := s.browser(t)
	ida.logIn("ida@brook.example")
	ida.press("Members")
	ida.press("Sign-in security")
	ida.press("Policy")
	ida.reads("Set up your own authenticator app first")
	ida.look("s5-enroll-first", "Team sign-in security")
	ida.press("Set it up now")
	phone, _ := ida.enrollApp("/2fa/policy")
	clock.Add(10 * time.Minute)
	ida.setPolicy(phone, map[string]string{"[value=authenticator]": "yes", "#deadline": lastDay.Format(time.DateOnly)}, func() {
		ida.reads("Must set it up by " + by)
		ida.reads("Jon Demo")
		ida.readsNot("Ada Demo")
		ida.look("s5-preview", "Review your changes")
	})
	ida.look("s5-saved", "Team sign-in security")
	ida.press("Members")

	// A day before, the member is reminded by mail.
	at(-time.Hour)
	require.NoError(t, product.Remind(t.Context()))
	require.Equal(t, "Set up two-factor authentication for Acme Contacts by "+by, s.newest("jon@brook.example").Subject)

	// Signing in says so, too, and goes on.
	at(20 * time.Hour)
	laptop := s.browser(t)
	laptop.goTo("/members")
	laptop.signIn("jon@brook.example")
	laptop.at("/2fa/due")
	laptop.look("s5-due", "Set up two-factor authentication by "+by)
	laptop.press("Later (until " + by + ")")
	laptop.at("/members")
	script := laptop.newTab()
	script.goTo("/2fa/")
	at(23*time.Hour + 55*time.Minute)
	mobile := s.browser(t)
	mobile.logIn("jon@brook.example")
	mobile.press("Later (until " + by + ")")
	laptop.press("Contacts")
	laptop.at("/contacts")

	// The day is over. The next click and the next request of a script are caught.
	at(24*time.Hour + time.Minute)
	tab := &chromiumTab{tab: script, chromium: script.window.(*chromiumWindow)}
	status, code := tab.answerOf("/contacts")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Equal(t, "second_factor_required", code, "a link comes before the enrollment")
	mobile.press("Members")
	mobile.look("s5-caught", "Get a sign-in link")
	for _, path := range []string{"/contacts", "/settings", "/members/leave", "/2fa/team", "/members"} {
		mobile.goTo(path)
		mobile.at("/2fa/challenge") // nothing else is open
	}
	mobile.press("Email me a link")
	mobile.openMailedLink("jon@brook.example")
	mobile.at("/2fa/setup")
	mobile.look("s5-setup", "Set up two‑factor authentication")
	own := mobile.enrollRequiredApp()
	mobile.press("Continue")
	mobile.at("/members")

	// The enrollment has ended the other session. It continues where it was, with a
	// code.
	laptop.press("Members")
	laptop.at("/login")
	laptop.signIn("jon@brook.example")
	laptop.fill("6-digit code", own.code())
	laptop.press("Continue")
	laptop.at("/members")
}

// Members who sign in through the account's own identity provider are not asked,
// as long as the policy says so.
func TestS6_SingleSignOnIsNotAsked(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithClock(t)
	dan, ben, cleo := s.browser(t), s.browser(t), s.browser(t)
	dan.signInWith("harbor", "Dan Demo")
	dan.at("/contacts")
	ben.logIn("ben@harbor.example")
	ben.openMailedLink("ben@harbor.example")
	ben.at("/contacts")
	ada := s.browser(t)
	ada.logIn("ada@harbor.example")
	ada.openMailedLink("ada@harbor.example")
	ada.goTo("/2fa/setup?start=1&method=totp")
	phone, _ := ada.enrollApp("/2fa/")
	clock.Add(10 * time.Minute)
	ada.setPolicy(phone, map[string]string{"[value=authenticator]": "yes"}, func() {
		ada.reads("Ben Demo")
		ada.readsNot("Dan Demo")
	})

	dan.press("Members")
	dan.at("/members") // a session from before
	cleo.signInWith("harbor", "Cleo Demo")
	cleo.at("/contacts") // a new one
	ben.press("Members")
	ben.at("/2fa/setup") // without the provider
	state := func() map[string]string {
		ada.goTo("/2fa/team")
		states := map[string]string{}
		for name, cells := range ada.rows() {
			states[name] = cells[1]
		}
		return states
	}
	require.Equal(t, map[string]string{"Ada Demo": "On", "Ben Demo": "Overdue", "Cleo Demo": "SSO", "Dan Demo": "SSO"}, state())

	// The provider of this account does not vouch in another one.
	cleo.clickOn(`document.querySelector('details.acme-me > summary')`)
	cleo.press("Switch to Meadow")
	cleo.at("/login")
	cleo.reads("Meadow asks you to sign in again, with your password or through its own single sign-on")
	cleo.signInWith("meadow", "Cleo Demo")
	cleo.at("/contacts")
	cleo.reads("Avery Placeholder")

	// Without the exemption, the next click is caught.
	clock.Add(10 * time.Minute)
	ada.setPolicy(phone, map[string]string{"#sso": ""}, func() {
		ada.reads("Dan Demo")
		ada.reads("Cleo Demo")
	})
	dan.press("Contacts")
	dan.at("/2fa/challenge")
	require.Equal(t, map[string]string{"Ada Demo": "On", "Ben Demo": "Overdue", "Cleo Demo": "Overdue", "Dan Demo": "Overdue"}, state())
}

// The policy says who may turn it off: the user, an admin, or support.
func TestS11_WhoMayTurnItOff(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithClock(t)
	ida, jon := s.browser(t), s.browser(t)
	ida.logIn("ida@brook.example")
	owner, _ := ida.setUpApp()
	jon.logIn("jon@brook.example")
	own, _ := jon.setUpApp()
	remove := eval[string](jon, `document.querySelector('a.is-danger[href*="factors/remove"]').getAttribute('href')`)
	allow := func(who string) {
		clock.Add(10 * time.Minute)
		ida.setPolicy(owner, map[string]string{"#turn_off": who}, func() { ida.reads("Who can turn it off") })
	}
	for who, says := range map[string]string{"admin": "Only an admin of your account can turn off two-factor authentication.", "support": "Only support can turn off two-factor authentication."} {
		allow(who)
		jon.goTo("/2fa/")
		jon.reads(says)
		jon.click("Actions for Authenticator app")
		require.True(t, jon.offers("Move to a new phone"), who) // without a gap
		require.False(t, jon.offers("Remove"), who)
		jon.goTo(remove)
		jon.reads("This is not allowed")
	}
	allow("user")
	clock.Add(10 * time.Minute) // a code is asked for
	jon.goTo("/2fa/")
	jon.click("Actions for Authenticator app")
	jon.press("Remove")
	jon.fill("6-digit code", own.code())
	jon.press("Continue")
	jon.reads("This is your last method, so removing it turns off two-factor authentication.")
	jon.press("Remove authenticator app")
	jon.at("/2fa/")
	jon.reads("Your account is protected by your password only.")
	again := s.browser(t)
	again.logIn("jon@brook.example")
	again.at("/contacts")
	ida.goTo("/2fa/team")
	require.Equal(t, "Off", ida.rows()["Jon Demo"][1])
}
