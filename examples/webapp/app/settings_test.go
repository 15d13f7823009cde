package app_test

import (
	"encoding/csv"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
)

var revokePath = regexp.MustCompile(`/settings/sessions/[^/"]+/revoke`)

func TestSessionsRevoke(t *testing.T) {
	s := newSite(t)
	laptop, phone, eva := s.as("ada@harbor.example"), s.as("ada@harbor.example"), s.as("eva@meadow.example")
	paths := revokePath.FindAllString(laptop.get("/settings").body, -1)
	require.Len(t, paths, 1, "the other one; this one ends by signing out")

	require.Equal(t, http.StatusNotFound, eva.post("/settings", paths[0]).status, "only one's own")
	require.True(t, phone.signedIn())
	require.Equal(t, http.StatusSeeOther, laptop.post("/settings", paths[0]).status)
	require.False(t, phone.signedIn())
	require.True(t, laptop.signedIn())

	token := s.token("ada@harbor.example", "")
	laptop.post("/settings", "/settings/sessions/revoke-others")
	require.Equal(t, http.StatusUnauthorized, phone.do("GET", "/api/me", "", "Authorization", "Bearer "+token).status)
	require.True(t, laptop.signedIn())
}

func TestPasswordChange(t *testing.T) {
	s := newSite(t)
	here, there := s.as("dan@harbor.example"), s.as("dan@harbor.example")
	s.browser().post("/forgot", "/forgot", "email", "dan@harbor.example")
	link, before := s.lastLink(), here.cookie()

	got := here.post("/settings", "/settings/password", "current", "wrong", "password", "dan's new password")
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.True(t, there.signedIn())
	got = here.post("/settings", "/settings/password", "current", app.DemoPassword, "password", "dan's new password")
	require.Equal(t, http.StatusSeeOther, got.status)
	require.True(t, here.signedIn())
	require.NotEqual(t, before, here.cookie())
	require.False(t, there.signedIn())
	require.Equal(t, http.StatusGone, s.browser().get(link).status, "older reset links are dead")
}

func TestExport(t *testing.T) {
	s := newSite(t)
	ada := s.as("ada@harbor.example")
	ada.post("/contacts", "/contacts", "name", `=HYPERLINK("https://evil.example")`, "company", "<b>bold</b>")
	require.Contains(t, ada.get("/contacts").body, "&lt;b&gt;bold")

	got := ada.post("/contacts/export", "/contacts/export")
	require.Equal(t, "text/csv; charset=utf-8", got.header.Get("Content-Type"))
	rows, err := csv.NewReader(strings.NewReader(got.body)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 14)
	require.Equal(t, `'=HYPERLINK("https://evil.example")`, rows[1][0], "a spreadsheet must not run it")
	require.Contains(t, s.log.String(), "action=contacts.export user=ada account=harbor")
}

// passwords, tokens, cookies and links do not reach the log.
func TestNothingSecretIsLogged(t *testing.T) {
	s := newSite(t)
	b := s.as("dan@harbor.example")
	token := s.token("dan@harbor.example", "")
	b.do("GET", "/api/me", "", "Authorization", "Bearer "+token)
	b.post("/forgot", "/forgot", "email", "dan@harbor.example")
	link := s.lastLink()
	b.get(link)
	b.post("/login", "/login", "email", "dan@harbor.example", "password", "hunter22hunter22")
	log := s.log.String()
	for _, secret := range []string{
		app.DemoPassword, "hunter22", token, strings.TrimPrefix(link, "/reset/"),
		strings.TrimPrefix(b.cookie(), "__Host-session="), csrfField.FindStringSubmatch(b.get("/contacts").body)[1],
	} {
		require.NotContains(t, log, secret)
	}
	require.Contains(t, log, "route=/reset/{token}")
}

func TestCookies(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for _, c := range []string{
		b.get("/login").header.Get("Set-Cookie"),
		b.post("/login", "/login", "email", "ada@harbor.example", "password", app.DemoPassword).header.Get("Set-Cookie"),
	} {
		require.True(t, strings.HasPrefix(c, "__Host-session="), c)
		for _, want := range []string{"Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
			require.Contains(t, c, want)
		}
		require.NotContains(t, c, "Domain")
	}
}
