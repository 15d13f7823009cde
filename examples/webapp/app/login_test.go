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
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	require.Equal(t, "/login?next=%2Fsettings", b.get("/settings").location)
	b.get("/login?next=%2Fsettings")
	got := b.post("/login", "/login", "email", " Jon@Brook.example", "password", app.DemoPassword)
	require.Equal(t, "/settings", got.location, "redirect to the requested page")
	require.Contains(t, b.get("/contacts").body, "avery.brooks@anchor.example")

	got = b.post("/contacts", "/logout")
	require.Equal(t, "/login", got.location)
	require.False(t, b.signedIn())
	require.Zero(t, s.rows(`SELECT count(*) FROM signins`))
}

func TestWrongPasswordLooksLikeUnknownUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	wrong := s.browser().post("/login", "/login", "email", "ada@harbor.example", "password", "wrong")
	nobody := s.browser().post("/login", "/login", "email", "zoe@harbor.example", "password", "wrong")
	require.Equal(t, http.StatusUnauthorized, wrong.status)
	require.Equal(t, wrong.status, nobody.status)
	strip := strings.NewReplacer("ada@", "", "zoe@", "")
	require.Equal(t, csrfField.ReplaceAllString(strip.Replace(wrong.body), ""), csrfField.ReplaceAllString(strip.Replace(nobody.body), ""))
}

func TestTooManyPasswords(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	for range 10 {
		require.Equal(t, http.StatusUnauthorized, b.post("/login", "/login", "email", "ada@harbor.example", "password", "wrong").status)
	}
	got := b.post("/login", "/login", "email", "ada@harbor.example", "password", app.DemoPassword)
	require.Equal(t, http.StatusTooManyRequests, got.status, "even the right password is refused")
	s.as("ben@harbor.example") // others are not affected
	s.advance(16 * time.Minute)
	s.as("ada@harbor.example")
}

func TestSignInEndsAfterItsLifetime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.token("ada@harbor.example", "")
	b := s.as("ada@harbor.example")
	s.advance(12*time.Hour - time.Second)
	require.True(t, b.signedIn())
	s.advance(time.Second)
	require.False(t, b.signedIn())
	require.Equal(t, http.StatusUnauthorized, b.do("GET", "/api/me", "", "Authorization", "Bearer "+token).status)
	require.NoError(t, s.app.Sweep(t.Context()))
}

func TestResetLink(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	other, b := s.as("dan@harbor.example"), s.browser()
	require.Contains(t, b.get("/forgot").body, "you still need a code afterward")
	require.Equal(t, "/login", b.post("/forgot", "/forgot", "email", "dan@harbor.example").location)
	require.Equal(t, "/login", b.post("/forgot", "/forgot", "email", "nobody@harbor.example").location)
	require.Equal(t, "dan@harbor.example", s.outbox()[len(s.outbox())-1].To, "no email is sent to an unknown address")

	link := s.linkIn(s.lastMessage("dan@harbor.example", "/reset/"))
	for range 2 { // a mail scanner opens it, and nothing changes
		require.Equal(t, http.StatusOK, b.get(link).status)
	}
	require.Contains(t, b.get(link).body, "A new password doesn’t replace two-factor authentication")
	require.Equal(t, http.StatusBadRequest, b.post(link, link, "password", "short").status)
	require.Equal(t, "/2fa/challenge", b.post(link, link, "password", "a new one for dan").location)
	require.False(t, b.signedIn(), "the mailbox is a first factor, like a password")
	require.False(t, other.signedIn(), "old sessions end")
	require.Equal(t, http.StatusGone, s.browser().get(link).status, "it works once")

	got := s.browser().post("/login", "/login", "email", "dan@harbor.example", "password", app.DemoPassword)
	require.Equal(t, http.StatusUnauthorized, got.status)
}

func TestResetLinkExpires(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.browser().post("/forgot", "/forgot", "email", "dan@harbor.example")
	link := s.linkIn(s.lastMessage("dan@harbor.example", "/reset/"))
	s.advance(30 * time.Minute)
	require.Equal(t, http.StatusGone, s.browser().get(link).status)
}

func TestSSO(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	require.Equal(t, http.StatusNotFound, b.post("/sso", "/sso", "account", "summit").status)
	back := b.askProvider("harbor", "cleo")

	require.Equal(t, http.StatusBadRequest, s.browser().get(back).status, "another browser is refused")
	require.Equal(t, "/contacts", b.get(back).location)
	require.Contains(t, b.get("/settings").body, "by single sign-on")
	require.Equal(t, http.StatusBadRequest, b.get(back).status, "the code works once")
}

// askProvider signs in at the identity provider of an account, and returns the
// URL of its redirect.
func (b *browser) askProvider(account, user string) string {
	b.t.Helper()
	idp := b.post("/sso", "/sso", "account", account).location
	_, state, _ := strings.Cut(idp, "state=")
	return b.post(idp, "/dev/idp/"+account, "state", state, "user", user).location
}

// Each provider vouches in its own account only.
func TestSSO_TwoProviders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.Equal(t, http.StatusNotFound, s.browser().get("/dev/idp/summit?state=x").status)
	for at, other := range map[string]string{"harbor": "meadow", "meadow": "harbor"} {
		b := s.browser()
		require.Equal(t, "/contacts", b.get(b.askProvider(at, "cleo")).location)
		require.True(t, b.signedIn(), at)
		b.post("/contacts", "/switch", "account", other)
		require.Equal(t, "/login?reason=sign_in_here", b.get("/contacts").location, "%s does not count in %s", at, other)
		require.Equal(t, "/contacts", b.get(b.askProvider(other, "cleo")).location)
		require.True(t, b.signedIn(), other)
		b.post("/contacts", "/switch", "account", at)
		require.True(t, b.signedIn(), "the first one still counts in its account")
	}

	// A code of one provider is not valid for a login at the other.
	b := s.browser()
	harbor := b.post("/sso", "/sso", "account", "harbor").location
	_, state, _ := strings.Cut(harbor, "state=")
	got := b.post(harbor, "/dev/idp/meadow", "state", state, "user", "cleo")
	require.Equal(t, http.StatusGone, b.get(got.location).status)
	require.False(t, b.signedIn())
	require.Equal(t, http.StatusNotFound, s.browser().post("/sso", "/dev/idp/meadow", "state", "x", "user", "ada").status, "it knows its own people only")
}

func TestInvitation(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ben := s.as("ben@harbor.example")
	ben.post("/members", "/members/invite", "email", "gil@example.com", "role", "member")
	link, b := s.linkIn(s.lastMessage("gil@example.com", "/invite/")), s.browser()
	require.Contains(t, b.get(link).body, "Join Harbor")
	require.Equal(t, "/2fa/challenge", b.post(link, link, "name", "Gil Demo", "password", "gil has a password").location)
	b.prove("gil@example.com")
	require.Contains(t, b.get("/members").body, "gil@example.com")
	require.Equal(t, http.StatusGone, s.browser().get(link).status)

	// An existing user must enter the password.
	ben.post("/members", "/members/invite", "email", "jon@brook.example", "role", "admin")
	link, b = s.linkIn(s.lastMessage("jon@brook.example", "/invite/")), s.browser()
	require.Equal(t, http.StatusUnauthorized, b.post(link, link, "password", "anything at all").status)
	require.Equal(t, "/2fa/challenge", b.post(link, link, "password", app.DemoPassword).location)
	b.prove("jon@brook.example")
	require.Contains(t, b.get("/contacts").body, "Harbor · admin")
}

func TestAPI(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	got := b.do("POST", "/api/login", `{"email":"ada@harbor.example","password":"wrong"}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))

	status, _ := s.call("/api/login", "", "email", "ada@harbor.example", "password", app.DemoPassword, "account", "meadow")
	require.Equal(t, http.StatusNotFound, status)
	status, out := s.call("/api/login", "", "email", "hana@summit.example", "password", app.DemoPassword)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, []any{"email"}, out["methods"], "a required enrollment comes after the strongest proof available")
	_, out = s.call("/api/login/send", "", "challenge", out["challenge"].(string), "method", "email")
	_, code, _ := strings.Cut(s.mailedLink("hana@summit.example"), "token=")
	status, out = s.call("/api/login/verify", "", "challenge", out["challenge"].(string), "method", "email", "code", code)
	require.Equal(t, http.StatusForbidden, status)
	require.Equal(t, "mfa_enrollment_required", out["code"], "enrollment needs a browser")

	s.as("cleo@harbor.example").enrollApp("cleo@harbor.example")
	token := s.token("cleo@harbor.example", "meadow")
	bearer := "Bearer " + token
	require.JSONEq(t, `{"id":"cleo","email":"cleo@harbor.example","name":"Cleo Demo","account":"meadow","role":"member"}`,
		b.do("GET", "/api/me", "", "Authorization", bearer).body)

	// The export in the API also needs a fresh code each time.
	got = b.do("POST", "/api/contacts/export", "", "Authorization", bearer)
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.Contains(t, got.header.Get("WWW-Authenticate"), `error="insufficient_user_authentication"`)
	require.NotContains(t, got.body, "Placeholder")
	_, other := s.call("/api/login", "", "email", "hana@summit.example", "password", app.DemoPassword)
	_, other = s.call("/api/login/send", "", "challenge", other["challenge"].(string), "method", "email")
	_, code, _ = strings.Cut(s.mailedLink("hana@summit.example"), "token=")
	status, _ = s.call("/api/step-up/verify", token, "challenge", other["challenge"].(string), "method", "email", "code", code)
	require.Equal(t, http.StatusGone, status, "a proof of another session does not count")
	_, out = s.call("/api/step-up", token, "action", "contacts.export")
	status, out = s.call("/api/step-up/verify", token, "challenge", out["challenge"].(string), "method", "totp", "code", s.code("cleo@harbor.example"))
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, map[string]any{"next": "done"}, out, "a step-up returns no second bearer token")
	_, out = s.call("/api/step-up", token, "action", "contacts.export")
	require.Equal(t, map[string]any{"next": "done"}, out, "a step-up with an existing proof returns none either")
	require.Contains(t, b.do("POST", "/api/contacts/export", "", "Authorization", bearer).body, "Avery Placeholder")
	require.Equal(t, http.StatusUnauthorized, b.do("POST", "/api/contacts/export", "", "Authorization", bearer).status)

	_, out = s.call("/api/step-up", token, "action", "contacts.export")
	status, out = s.call("/api/login/verify", "", "challenge", out["challenge"].(string), "method", "totp", "code", s.code("cleo@harbor.example"))
	require.Equal(t, http.StatusGone, status, "a step-up is not a login")
	require.NotContains(t, out, "token")

	require.Equal(t, http.StatusNoContent, b.do("POST", "/api/logout", "", "Authorization", bearer).status)
	require.Equal(t, http.StatusUnauthorized, b.do("GET", "/api/me", "", "Authorization", bearer).status)
}
