package app_test

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
)

var revokePath = regexp.MustCompile(`/settings/sessions/[^/"]+/revoke`)

func TestSessionsRevoke(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	laptop, phone, jon := s.as("ada@harbor.example"), s.as("ada@harbor.example"), s.as("jon@brook.example")
	paths := revokePath.FindAllString(laptop.get("/settings").body, -1)
	require.Len(t, paths, 1, "only the other session has a button, because this one ends by signing out")

	require.Equal(t, http.StatusNotFound, jon.post("/settings", paths[0]).status, "a user can end only their own sessions")
	require.True(t, phone.signedIn())
	require.Equal(t, http.StatusSeeOther, laptop.post("/settings", paths[0]).status)
	require.False(t, phone.signedIn())
	require.True(t, laptop.signedIn())

	token := s.token("ada@harbor.example", "")
	laptop.post("/settings", "/settings/sessions/revoke-others")
	require.Equal(t, http.StatusUnauthorized, phone.do("GET", "/api/me", "", "Authorization", "Bearer "+token).status)
	require.True(t, laptop.signedIn())
}

func TestSessionsNameTheDevice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as(ada)
	page := b.get("/settings").body
	require.Contains(t, page, "<strong>Firefox on Linux</strong>")
	require.NotContains(t, page, "Mozilla/5.0")
	s.token(ada, "")
	require.Contains(t, b.get("/settings").body, "<strong>API client</strong>")
}

func TestSettingsSayWhatIsNotFinished(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as("jon@brook.example")
	require.Contains(t, b.get("/settings").body, ">Off</span>")
	b.post("/2fa/setup?start=1", "/2fa/setup", "method", "totp")
	page := b.get("/settings").body
	require.Contains(t, page, ">Not finished</span>")
	require.NotContains(t, page, ">Off</span>")
	require.Contains(t, page, `<a href="/2fa/setup">Continue setup</a>`)
}

func TestPasswordChange(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	here, there := s.as("dan@harbor.example"), s.as("dan@harbor.example")
	s.browser().post("/forgot", "/forgot", "email", "dan@harbor.example")
	link, before := s.linkIn(s.lastMessage("dan@harbor.example", "/reset/")), here.cookie(sessionCookie)

	got := here.post("/settings", "/settings/password", "current", "wrong", "password", "dan's new password")
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.True(t, there.signedIn())
	got = here.post("/settings", "/settings/password", "current", app.DemoPassword, "password", "dan's new password")
	require.Equal(t, http.StatusSeeOther, got.status)
	require.True(t, here.signedIn())
	require.NotEqual(t, before, here.cookie(sessionCookie))
	require.False(t, there.signedIn())
	require.Equal(t, http.StatusGone, s.browser().get(link).status, "older reset links are invalid")
}

func TestExport(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.as("ada@harbor.example")
	ada.enrollApp("ada@harbor.example")
	ada.post("/contacts", "/contacts", "name", `=HYPERLINK("https://evil.example")`, "company", "<b>bold</b>")
	require.Contains(t, ada.get("/contacts").body, "&lt;b&gt;bold")

	ada.stepUp("ada@harbor.example", "contacts.export")
	got := ada.post("/contacts", "/contacts/export")
	require.Equal(t, "text/csv; charset=utf-8", got.header.Get("Content-Type"))
	rows, err := csv.NewReader(strings.NewReader(got.body)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 14)
	require.Equal(t, `'=HYPERLINK("https://evil.example")`, rows[1][0], "a spreadsheet must not run it")
	require.Contains(t, s.log.String(), "action=contacts.export user=ada account=harbor")
}

// Q01: passwords, codes, keys, tokens, cookies and links are not logged.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as("dan@harbor.example")
	signIn := s.mailedLink("dan@harbor.example")
	codes := b.enrollApp("dan@harbor.example")
	b.post("/contacts", "/logout")
	b.login("dan@harbor.example")
	challenge := b.cookie(challengeCookie)
	code := s.code("dan@harbor.example")
	b.post("/2fa/challenge", "/2fa/verify", "method", "totp", "code", code)
	token := s.token("dan@harbor.example", "")
	b.do("GET", "/api/me", "", "Authorization", "Bearer "+token)
	b.post("/forgot", "/forgot", "email", "dan@harbor.example")
	link := s.linkIn(s.lastMessage("dan@harbor.example", "/reset/"))
	b.get(link)
	b.post("/login", "/login", "email", "dan@harbor.example", "password", "hunter22hunter22")
	uri, err := url.Parse(s.uris["dan@harbor.example"])
	require.NoError(t, err)
	log := s.log.String()
	value := func(cookie string) string { _, v, _ := strings.Cut(cookie, "="); return v }
	for _, secret := range append(codes,
		app.DemoPassword, "hunter22", token, strings.TrimPrefix(link, "/reset/"), value(signIn), " "+code, `"`+code, "="+code,
		uri.Query().Get("secret"), value(challenge), value(b.cookie(sessionCookie)), value(b.cookie(browserCookie)),
		b.csrf("/login"), b.csrf("/2fa/setup")) {
		require.NotEmpty(t, secret)
		require.NotContains(t, log, secret)
	}
	require.Contains(t, log, "route=/reset/{token}")
	require.Contains(t, log, "event=enrolled user=dan")
}

// The card says by when a member must set it up, and its button names what it does in
// each state.
func TestSettings_SecondFactorInEachState(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	policy := twofa.PolicyAuthenticator()
	set := func(p twofa.Policy) {
		t.Helper()
		require.NoError(t, s.app.Manager().Account(twofa.AsHost("test"), "brook").SetPolicy(t.Context(), p, ""))
	}
	set(twofa.PolicyOptional())
	b := s.as(jon)
	cardOf := func(b *browser) string {
		t.Helper()
		_, card, ok := strings.Cut(b.get("/settings").body, `aria-labelledby="security">`)
		require.True(t, ok)
		card, _, _ = strings.Cut(card, "</section>")
		return card
	}
	card := func() string { t.Helper(); return cardOf(b) }
	require.Contains(t, card(), `href="/2fa/setup?start=1">Set up two-factor authentication</a>`)
	require.NotContains(t, card(), "requires it")

	policy.Deadline = s.clock().Add(48 * time.Hour).Truncate(time.Second)
	set(policy)
	require.Contains(t, card(), "Brook requires it by "+policy.Deadline.UTC().Format("2 Jan 2006, 15:04 UTC"))
	require.Contains(t, card(), `href="/2fa/setup?start=1">Set up two-factor authentication</a>`)

	set(twofa.PolicyOptional())
	b.enrollApp(jon)
	require.Contains(t, card(), `href="/2fa/">Manage methods</a>`)
	require.NotContains(t, card(), "Set up")
	require.Contains(t, cardOf(s.as(ada)), `href="/2fa/">Add a safer method</a>`)
}
