package app_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
)

// copy returns a browser with the same cookies.
func (b *browser) copy() *browser {
	c := b.browser()
	u, _ := url.Parse(b.srv.URL)
	c.client.Jar.SetCookies(u, b.client.Jar.Cookies(u))
	for _, cookie := range b.client.Jar.Cookies(u) {
		c.setCookie(cookie.Name + "=" + cookie.Value)
	}
	return c
}

// twice sends a form, and sends it again with the cookies of before the first
// answer, as after a double click. The browser drops the first answer.
func (b *browser) twice(page, path string, fields ...string) (second *browser, got answer) {
	b.t.Helper()
	body := form(append(fields, "csrf_token", b.csrf(page))...)
	second = b.copy()
	header := []string{"Content-Type", formType, "Origin", b.srv.URL, "Sec-Fetch-Site", "same-origin", "Referer", b.srv.URL + page}
	first := b.do("POST", path, body, header...)
	got = second.do("POST", path, body, header...)
	require.Equal(b.t, first.status, got.status)
	require.Equal(b.t, first.location, got.location, "the second answer ends where the first did")
	return second, got
}

func TestForms_SentTwice(t *testing.T) {
	t.Parallel()
	password := func(email string) []string { return []string{"email", email, "password", app.DemoPassword} }
	t.Run("login with a link", func(t *testing.T) {
		s := newSite(t)
		b, got := s.browser().twice("/login", "/login", password(ada)...)
		require.Equal(t, "/2fa/challenge", got.location)
		require.Equal(t, "/contacts", b.openLink(b.mailedLink(ada)).location)
		require.True(t, b.signedIn())
	})
	t.Run("login with a code", func(t *testing.T) {
		s := newSite(t)
		s.as(jon).enrollApp(jon)
		b, got := s.browser().twice("/login", "/login", password(jon)...)
		require.Equal(t, "/2fa/challenge", got.location)
		b, got = b.twice("/2fa/challenge", "/2fa/verify", "method", "totp", "code", s.code(jon))
		require.Equal(t, "/contacts", got.location)
		require.True(t, b.signedIn())
	})
	t.Run("login without a factor", func(t *testing.T) {
		b, got := newSite(t).browser().twice("/login", "/login", password(jon)...)
		require.Equal(t, "/contacts", got.location)
		require.True(t, b.signedIn())
	})
	t.Run("step-up", func(t *testing.T) {
		s := newSite(t)
		b := s.as(jon)
		b.enrollApp(jon)
		s.advance(staleProof)
		b.get("/2fa/confirm?action=contacts.export")
		b, got := b.twice("/2fa/challenge", "/2fa/verify", "method", "totp", "code", s.code(jon))
		require.Equal(t, http.StatusSeeOther, got.status)
		require.True(t, b.signedIn())
		require.Equal(t, http.StatusOK, b.post("/contacts", "/contacts/export").status)
	})
	t.Run("enrollment", func(t *testing.T) {
		s := newSite(t)
		b, got := s.as(jon).twice("/2fa/setup?start=1", "/2fa/setup", "method", "totp")
		require.Equal(t, "/2fa/setup", got.location)
		b.scan(jon)
		b, _ = b.twice("/2fa/setup", "/2fa/setup/confirm", "code", s.code(jon))
		b, got = b.twice("/2fa/setup", "/2fa/setup/saved", "saved", "yes")
		require.Equal(t, "/2fa/", got.location)
		require.True(t, b.signedIn())
	})
	t.Run("logout", func(t *testing.T) {
		b, got := newSite(t).as(jon).twice("/contacts", "/logout")
		require.Equal(t, "/login", got.location)
		require.False(t, b.signedIn())
	})
}

// After a logout, a code that was typed a moment ago signs nobody in, even with
// the cookies of that time.
func TestLogout_EndsWhatTheSessionLeft(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/logout", "/settings/sessions/revoke-others", "/2fa/revoke"} {
		t.Run(path, func(t *testing.T) {
			s := newSite(t)
			other := s.as(jon)
			other.enrollApp(jon)
			other.address = "198.51.100.9"
			b := s.half(jon)
			body := b.verifyForm("totp", s.code(jon))
			old := b.copy()
			require.Equal(t, "/contacts", b.do("POST", "/2fa/verify", body, "Content-Type", formType).location)
			switch path {
			case "/logout":
				b.post("/contacts", path)
			case "/2fa/revoke":
				other.post(path, path)
			default:
				other.post("/settings", path)
			}
			require.Equal(t, http.StatusGone, old.do("POST", "/2fa/verify", body, "Content-Type", formType).status)
			require.False(t, old.signedIn())
		})
	}
}
