package app_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
)

func TestLogin(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	require.Equal(t, "/login", b.get("/settings").location)
	got := b.post("/login", "/login", "email", " Ada@Harbor.example", "password", app.DemoPassword)
	require.Equal(t, "/settings", got.location, "back to the page that was asked for")
	require.Contains(t, b.get("/contacts").body, "avery.sample@anchor.example")

	got = b.post("/contacts", "/logout")
	require.Equal(t, "/login", got.location)
	require.False(t, b.signedIn())
}

func TestWrongPasswordLooksLikeUnknownUser(t *testing.T) {
	s := newSite(t)
	wrong := s.browser().post("/login", "/login", "email", "ada@harbor.example", "password", "wrong")
	nobody := s.browser().post("/login", "/login", "email", "zoe@harbor.example", "password", "wrong")
	require.Equal(t, http.StatusUnauthorized, wrong.status)
	require.Equal(t, wrong.status, nobody.status)
	strip := strings.NewReplacer("ada@", "", "zoe@", "")
	require.Equal(t, csrfField.ReplaceAllString(strip.Replace(wrong.body), ""), csrfField.ReplaceAllString(strip.Replace(nobody.body), ""))
}

func TestTooManyPasswords(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for range 10 {
		require.Equal(t, http.StatusUnauthorized, b.post("/login", "/login", "email", "ada@harbor.example", "password", "wrong").status)
	}
	got := b.post("/login", "/login", "email", "ada@harbor.example", "password", app.DemoPassword)
	require.Equal(t, http.StatusTooManyRequests, got.status, "the right one does not help now")
	s.as("ben@harbor.example") // others are not affected
	s.advance(16 * time.Minute)
	s.as("ada@harbor.example")
}

// E-06, E-07, E-14: whoever held an earlier session id holds nothing.
func TestSessionIDChangesWithSignIn(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get("/login")
	before := b.cookie()
	require.NotEmpty(t, before)
	b.post("/login", "/login", "email", "ada@harbor.example", "password", app.DemoPassword)
	during := b.cookie()
	require.NotEqual(t, before, during)
	b.post("/contacts", "/logout")

	for _, old := range []string{before, during} {
		require.Equal(t, "/login", s.browser().do("GET", "/contacts", "", "Cookie", old).location)
	}
}

func TestSignInEndsAfterItsLifetime(t *testing.T) {
	s := newSite(t)
	b, token := s.as("ada@harbor.example"), s.token("ada@harbor.example", "")
	s.advance(12*time.Hour - time.Second)
	require.True(t, b.signedIn())
	s.advance(time.Second)
	require.False(t, b.signedIn())
	require.Equal(t, http.StatusUnauthorized, b.do("GET", "/api/me", "", "Authorization", "Bearer "+token).status)
	require.NoError(t, s.app.Sweep(t.Context()))
}

func TestResetLink(t *testing.T) {
	s := newSite(t)
	other, b := s.as("dan@harbor.example"), s.browser()
	require.Equal(t, "/login", b.post("/forgot", "/forgot", "email", "dan@harbor.example").location)
	require.Equal(t, "/login", b.post("/forgot", "/forgot", "email", "nobody@harbor.example").location)
	require.Equal(t, "dan@harbor.example", s.lastMail().To, "nothing goes to strangers")

	link := s.lastLink()
	for range 2 { // a scanner opens it: nothing happens
		require.Equal(t, http.StatusOK, b.get(link).status)
	}
	require.Equal(t, http.StatusBadRequest, b.post(link, link, "password", "short").status)
	require.Equal(t, "/contacts", b.post(link, link, "password", "a new one for dan").location)
	require.True(t, b.signedIn())
	require.False(t, other.signedIn(), "old sessions end")
	require.Equal(t, http.StatusGone, s.browser().get(link).status, "it works once")

	got := s.browser().post("/login", "/login", "email", "dan@harbor.example", "password", app.DemoPassword)
	require.Equal(t, http.StatusUnauthorized, got.status)
}

func TestResetLinkExpires(t *testing.T) {
	s := newSite(t)
	s.browser().post("/forgot", "/forgot", "email", "dan@harbor.example")
	link := s.lastLink()
	s.advance(30 * time.Minute)
	require.Equal(t, http.StatusGone, s.browser().get(link).status)
}

func TestSSO(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	require.Equal(t, http.StatusNotFound, b.post("/sso", "/sso", "account", "meadow").status)
	idp := b.post("/sso", "/sso", "account", "harbor").location
	_, state, _ := strings.Cut(idp, "state=")
	back := b.post(idp, "/dev/idp", "account", "harbor", "state", state, "user", "cleo").location

	require.Equal(t, http.StatusBadRequest, s.browser().get(back).status, "another browser gets nothing")
	require.Equal(t, "/contacts", b.get(back).location)
	require.Contains(t, b.get("/settings").body, "by single sign-on")
	require.Equal(t, http.StatusBadRequest, b.get(back).status, "and it works once")
}

func TestInvitation(t *testing.T) {
	s := newSite(t)
	ben := s.as("ben@harbor.example")
	ben.post("/members", "/members/invite", "email", "gil@example.com", "role", "member")
	link, b := s.lastLink(), s.browser()
	require.Contains(t, b.get(link).body, "Join Harbor")
	require.Equal(t, "/contacts", b.post(link, link, "name", "Gil Demo", "password", "gil has a password").location)
	require.Contains(t, b.get("/members").body, "gil@example.com")
	require.Equal(t, http.StatusGone, s.browser().get(link).status)

	// Somebody who exists already proves it.
	ben.post("/members", "/members/invite", "email", "finn@meadow.example", "role", "admin")
	link, b = s.lastLink(), s.browser()
	require.Equal(t, http.StatusUnauthorized, b.post(link, link, "password", "anything at all").status)
	require.Equal(t, "/contacts", b.post(link, link, "password", app.DemoPassword).location)
	require.Contains(t, b.get("/contacts").body, "Harbor · admin")
}

func TestAPI(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	got := b.do("POST", "/api/login", `{"email":"ada@harbor.example","password":"wrong"}`)
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))

	require.Equal(t, http.StatusNotFound, b.do("POST", "/api/login",
		`{"email":"ada@harbor.example","password":"`+app.DemoPassword+`","account":"meadow"}`).status)

	bearer := "Bearer " + s.token("cleo@harbor.example", "meadow")
	require.JSONEq(t, `{"id":"cleo","email":"cleo@harbor.example","name":"Cleo Demo","account":"meadow","role":"member"}`,
		b.do("GET", "/api/me", "", "Authorization", bearer).body)
	require.Contains(t, b.do("POST", "/api/contacts/export", "", "Authorization", bearer).body, "Avery Placeholder")
	require.Equal(t, http.StatusNoContent, b.do("POST", "/api/logout", "", "Authorization", bearer).status)
	require.Equal(t, http.StatusUnauthorized, b.do("GET", "/api/me", "", "Authorization", bearer).status)
}
