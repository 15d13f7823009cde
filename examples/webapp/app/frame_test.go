package app_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
)

// Pages of the product and of package twofahttp have the same header and
// footer, and each links to the outbox.
func TestFrame(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b, stranger := s.as(jon), s.browser()
	for _, path := range []string{"/contacts", "/members", "/settings", "/2fa/", "/2fa/setup?start=1", "/nowhere", "/2fa/nowhere"} {
		got := b.get(path)
		require.Contains(t, got.body, `<header class="acme-bar" lang="en"`, path)
		require.Contains(t, got.body, `<a href="/members"`, path)
		require.Contains(t, got.body, "Jon Demo", path)
		require.Contains(t, got.body, `<a href="/dev/outbox">`, path)
		got = stranger.get(path)
		if got.location == "" {
			require.Contains(t, got.body, `<a href="/dev/outbox">`, path)
			require.NotContains(t, got.body, `<a href="/members"`, path)
		}
	}
	css := b.get("/2fa/style.css").body
	require.Contains(t, css, ".acme-bar {")
	require.Contains(t, css, "--brand: #2f5d50")

	live := newSite(t, func(c *app.Config) { c.Demo, c.Mailer = false, &app.Outbox{} })
	require.NotContains(t, live.browser().get("/2fa/challenge").body, "outbox")
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, b := range []*browser{s.browser(), s.as(jon)} {
		got := b.get("/nowhere")
		require.Equal(t, http.StatusNotFound, got.status)
		require.Contains(t, got.body, "<h1>Page not found</h1>")
	}
	require.Equal(t, http.StatusMethodNotAllowed, s.browser().get("/logout").status)
	require.Equal(t, http.StatusNotFound, s.browser().do("GET", "/api/nowhere", "").status)
}

// The switch applies to pages and mail of the second factor, before and after
// the login, and is stored with the user.
func TestLanguage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	require.Equal(t, "/login", b.post("/login", "/language", "language", "de", "next", "/login").location)
	require.Equal(t, "/2fa/challenge", b.login(ada).location)
	require.Contains(t, b.get("/2fa/challenge").body, `<html lang="de"`)
	require.Contains(t, b.get("/2fa/challenge").body, `value="de" lang="de" aria-current="true"`)
	require.Contains(t, s.lastMessage(ada, "/2fa/link?").Subject, "anmelden")
	require.Equal(t, http.StatusSeeOther, b.prove(ada).status)
	require.Contains(t, b.get("/contacts").body, `<html lang="en"`)

	b.post("/contacts", "/language", "language", "ja")
	require.Contains(t, b.get("/2fa/").body, `<html lang="ja"`)
	other := s.browser()
	other.login(ada)
	require.Regexp(t, `\p{Hiragana}`, s.lastMessage(ada, "/2fa/link?").Subject, "the user's own language, not that of the request")

	require.Equal(t, http.StatusBadRequest, b.post("/contacts", "/language", "language", "xx").status)
	require.Equal(t, "/", b.post("/contacts", "/language", "language", "fr", "next", "https://evil.example").location)
	require.Equal(t, "/2fa/?x=1", b.post("/contacts", "/language", "language", "fr", "next", "/2fa/?x=1").location)
}

var demoLink = regexp.MustCompile(`<h3>(\w+)</h3>\s+<p>(.+?)</p>\s+<ul class="people"><li><a href="(/login\?email=[^"]+)">`)

// The login page says what happens at the first sign-in, and its addresses fill
// in the form.
func TestLogin_DemoTellsTheTruth(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	teams := demoLink.FindAllStringSubmatch(s.browser().get("/login").body, -1)
	require.Len(t, teams, 4)
	for _, team := range teams {
		name, says, link := team[1], team[2], team[3]
		b := s.browser()
		page := b.get(link).body
		email := regexp.MustCompile(`name="email" .+ value="([^"]+)"`).FindStringSubmatch(page)[1]
		require.Contains(t, page, `value="`+app.DemoPassword+`"`, name)
		got := b.login(email)
		require.Equal(t, strings.Contains(says, "outbox"), got.location == "/2fa/challenge", name)
		if got.location == "/2fa/challenge" {
			got = b.prove(email)
			require.Equal(t, strings.Contains(says, "then the user sets up"), got.location == "/2fa/setup", name)
		}
		sso, account := s.browser(), strings.ToLower(name)
		offered := sso.post("/sso", "/sso", "account", account).status == http.StatusSeeOther
		require.Equal(t, strings.Contains(says, "Single sign-on"), offered, name)
		if offered {
			user, _, _ := strings.Cut(email, "@")
			require.Equal(t, "/contacts", sso.get(sso.askProvider(account, user)).location, name)
			require.True(t, sso.signedIn(), name)
		}
	}
	require.NotContains(t, s.browser().get("/login?email=nobody@harbor.example").body, `value="`+app.DemoPassword)
	live := newSite(t, func(c *app.Config) { c.Demo, c.Mailer = false, &app.Outbox{} })
	require.NotContains(t, live.browser().get("/login?email="+ada).body, app.DemoPassword)
}

// The login page of the demo describes the accounts as they are now.
func TestLogin_DemoChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	page := func() string { return s.browser().get("/login").body }
	const changed = "An admin has changed the policy of this account"
	require.NotContains(t, page(), changed)
	account := s.app.Manager().Account(twofa.AsHost("test"), "brook")
	require.NoError(t, account.SetPolicy(t.Context(), twofa.PolicyEmailLink(), ""))
	require.Equal(t, 1, strings.Count(page(), changed))
	i := slices.IndexFunc(app.DemoAccounts(), func(acc app.DemoAccount) bool { return acc.ID == "brook" })
	require.NoError(t, account.SetPolicy(t.Context(), *app.DemoAccounts()[i].Policy, ""))
	require.NotContains(t, page(), changed, "the policy is again what it was")

	b := s.as(ada)
	b.act("dan/deactivate")
	require.Contains(t, page(), dan+"</a> <small>member, deactivated</small>")
	b.act("dan/remove")
	require.NotContains(t, page(), dan)
	require.Contains(t, page(), cleo+"</a> <small>member, phone &#43;1 202 555 0103, signs in to Harbor first</small>")
	b.act("cleo/remove")
	require.Contains(t, page(), cleo+"</a> <small>member, phone &#43;1 202 555 0103</small>")
}

func TestLogin_SessionEnded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	here, there := s.as(jon), s.as(jon)
	require.NotContains(t, s.browser().get("/login?next=/contacts").body, "session has ended")
	there.post("/settings", "/settings/sessions/revoke-others")
	require.Contains(t, here.follow(here.get("/members")).body, "Your session has ended. Sign in again")
	require.Equal(t, "/members", here.typePassword(jon).location)
}

func TestSSO_UnknownAccount(t *testing.T) {
	t.Parallel()
	b := newSite(t).browser()
	for _, account := range []string{"nowhere", "brook"} { // brook has no single sign-on
		got := b.post("/sso", "/sso", "account", account)
		require.Equal(t, http.StatusNotFound, got.status)
		require.Contains(t, got.body, "Check the spelling")
		require.Contains(t, got.body, `value="`+account+`"`)
	}
	require.Contains(t, b.post("/sso", "/sso", "account", " Harbor ").location, "/dev/idp/harbor?")
}

// A GET asks and changes nothing. It shows no more than the act allows.
func TestConfirm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as(ada)
	for path, question := range map[string]string{
		"/members/dan/remove": "Remove Dan Demo from Harbor?", "/members/dan/deactivate": "Deactivate Dan Demo?",
		"/members/dan/role?role=admin": "Make Dan Demo admin?", "/members/dan/role?role=owner": "Make Dan Demo owner?",
		"/contacts/harbor-1/delete": "Delete Avery Sample?",
	} {
		got := b.get(path)
		require.Equal(t, http.StatusOK, got.status, path)
		require.Contains(t, got.body, "<h1>"+question+"</h1>")
		path, _, _ := strings.Cut(path, "?")
		require.Contains(t, got.body, `<form method="post" action="`+path+`">`)
	}
	require.Contains(t, b.get("/members").body, "Dan Demo")
	require.Contains(t, b.get("/contacts").body, "Avery Sample")
	for path, status := range map[string]int{
		"/members/eva/remove": 404, "/members/ada/remove": 403, "/members/dan/role?role=boss": 403, "/contacts/meadow-1/delete": 404,
		"/members/ada/manage": 403, "/members/cleo/deactivate": 403, "/members/leave": 409,
	} {
		require.Equal(t, status, b.get(path).status, path)
	}
	require.Equal(t, http.StatusForbidden, s.as("dan@harbor.example").get("/members/ben/remove").status)
}
