package twofahttp_test

import (
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// A deadline in the future, set on the pages: members are told once after each
// login and go on where they wanted. When the clock has passed it, the next click
// and the next call of the API are caught.
func TestAbuse_M01_M10_DeadlineFromPreviewToGuard(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	olga, _ := h.admin("olga")
	require.Equal(t, 303, olga.save(olga.preview("require", "authenticator", "deadline", "2026-03-10")).StatusCode)

	mia := h.browser()
	page := mia.login("mia", "account", "acme", "next", "/contacts?x=1")
	require.Contains(t, page.Body, english("page.due.title", "date", "10 March 2026"))
	require.Contains(t, page.Body, english("page.due.later", "date", "10 March 2026"))
	require.Contains(t, page.Body, `href="/2fa/setup?start=1"`)
	require.Contains(t, page.Body, `class="btn" href="/contacts?x=1"`)
	require.True(t, mia.signedIn(), "once per login, and not on each request")
	require.True(t, mia.signedIn())
	require.Equal(t, 200, mia.api("GET", "/contacts").StatusCode)
	require.Contains(t, mia.get("/2fa/").Body, english("page.due.title", "date", "10 March 2026"), "the settings say so, too")

	h.clock.t = time.Date(2026, 3, 10, 23, 59, 50, 0, time.UTC)
	require.Contains(t, mia.login("mia", "account", "acme").Body, english("page.due.title", "date", "10 March 2026"), "the last minute of that day")
	h.clock.pass(10 * time.Second)
	a := mia.api("GET", "/contacts")
	require.Equal(t, 401, a.StatusCode, "the link comes before the enrollment")
	var p struct{ Code, Page string }
	require.NoError(t, json.Unmarshal([]byte(a.Body), &p))
	require.Equal(t, "second_factor_required", p.Code)
	require.Equal(t, "/2fa/challenge", p.Page)
	require.Contains(t, mia.follow(mia.get("/contacts")).Body, english("page.challenge.email.heading"))
	require.Equal(t, 303, mia.get("/2fa/due?next=/contacts").StatusCode)
	require.NotContains(t, mia.get("/2fa/due?next=/contacts").Body, english("page.due.later", "date", "10 March 2026"))
}

// A member whose time is over while they are signed in is told so on the page that
// they are sent to. Nobody is who never had time.
func TestEnrollment_SaysThatTheTimeIsOver(t *testing.T) {
	policy := twofa.PolicyAuthenticator()
	policy.Deadline, policy.EnrollWithoutLink = time.Date(2026, 3, 10, 23, 59, 59, 0, time.UTC), true
	h := hostWithTeam(t, policy, clerks)
	mia := h.browser()
	mia.login("mia", "account", "acme")
	require.True(t, mia.signedIn())
	page := mia.get("/2fa/setup?start=1")
	require.NotContains(t, page.Body, "ended on")
	h.clock.t = time.Date(2026, 3, 11, 0, 0, 0, 0, time.UTC)
	h.clock.pass(0)
	mia.login("mia", "account", "acme")
	page = mia.get("/2fa/setup?start=1")
	require.Contains(t, page.Body, english("page.setup.lead.overdue", "date", "10 March 2026, 23:59 UTC")+" "+english("page.setup.lead.forced"))

	policy.Deadline = time.Time{}
	h.setPolicy(policy)
	max := h.browser()
	max.login("max", "account", "acme")
	require.Contains(t, max.get("/2fa/setup?start=1").Body, english("page.setup.lead.forced"))
	require.NotContains(t, max.get("/2fa/setup?start=1").Body, "ended on")
}

// A user who has a factor sees no such page, and it leads only to local paths.
func TestAbuse_M04_DuePageLeadsToLocalPathsOnly(t *testing.T) {
	policy := twofa.PolicyAuthenticator()
	policy.Deadline = time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	h := hostWithTeam(t, policy, clerks)
	b := h.browser()
	for _, next := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"} {
		page := b.login("mia", "account", "acme", "next", next)
		require.Contains(t, page.Body, english("page.due.now"))
		require.Contains(t, page.Body, `<a class="btn" href="/">`)
		require.NotContains(t, page.Body, "evil")
		require.Contains(t, b.get("/2fa/due?next="+next).Body, `<a class="btn" href="/">`)
	}
	require.Equal(t, "/login?next=%2F2fa%2Fdue", h.browser().get("/2fa/due").Header.Get("Location"))
}

// "Set up now" is a required enrollment: it needs the link, as after the deadline.
func TestAbuse_F09_M04_EnrollmentWithinGraceNeedsTheLink(t *testing.T) {
	policy := twofa.PolicyAuthenticator()
	policy.Deadline = time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	h := hostWithTeam(t, policy, clerks)
	b := h.browser()
	b.login("mia", "account", "acme")
	before := h.outbox.links()
	page := b.follow(b.post("/2fa/setup", "method", "totp"))
	require.NotRegexp(t, keyPattern, page.Body, "no key without the link")
	require.Equal(t, before+1, h.outbox.links())

	b.openLink()
	phone := h.scan(b.follow(b.post("/2fa/setup", "method", "totp")).Body)
	b.follow(b.post("/2fa/setup/confirm", "code", phone.code()))
	b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.NotContains(t, b.get("/2fa/").Body, english("page.due.now"))
	h.clock.pass(staleProof)
	b.login("mia", "account", "acme")
	require.NotContains(t, b.prove(phone).Body, english("page.due.now"), "nothing is missing any longer")
}

// openLink opens the link that was mailed last, and presses its button.
func (b *browser) openLink() answer {
	b.h.Helper()
	link, err := url.Parse(b.h.outbox.link())
	require.NoError(b.h, err)
	b.get(link.RequestURI())
	return b.post("/2fa/link", "token", link.Query().Get("token"))
}

// A proof for an action is no login, so nobody is told again.
func TestDue_NotAfterAStepUp(t *testing.T) {
	policy := twofa.PolicyAuthenticator()
	policy.Deadline = time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	policy.Actions = map[string]twofa.ActionRule{"contacts.export": {Methods: []twofa.Method{twofa.TOTP, twofa.EmailLink}}}
	h := hostWithTeam(t, policy, clerks)
	b := h.browser()
	require.Contains(t, b.login("mia", "account", "acme").Body, english("page.due.now"))
	b.follow(b.post("/contacts/export"))
	require.Equal(t, "contacts page", b.follow(b.openLink()).Body)
	require.Equal(t, secretExport, b.post("/contacts/export").Body)
}

// In grace, a user is signed in. Only the page to which the browser is sent
// differs, so a host that has no admin pages needs nothing.
func TestDue_WithoutTeam(t *testing.T) {
	policy := twofa.PolicyAuthenticator()
	policy.Deadline = time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	h := newHost(t, policy)
	b := h.browser()
	a := b.post("/login", "user", "ada", "account", "acme", "next", "/contacts")
	require.Equal(t, "/2fa/due?next=%2Fcontacts", a.Header.Get("Location"))
	require.Contains(t, b.follow(a).Body, `href="/contacts"`)
	require.True(t, b.signedIn())
	exempt := h.browser()
	require.Equal(t, "/contacts", exempt.post("/login", "user", "bob", "account", "acme", "sso", "acme", "next", "/contacts").Header.Get("Location"))
	require.Equal(t, "/contacts", exempt.get("/2fa/due?next=/contacts").Header.Get("Location"), "nothing is missing")
}
