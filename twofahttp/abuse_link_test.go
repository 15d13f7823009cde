package twofahttp_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

func (h *host) mailed() string { return strings.TrimPrefix(h.outbox.link(), "https://app.example.com") }

func TestAbuse_I01_I04_OtherBrowsersAndScanners(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	b, other := h.browser(), h.browser()
	b.login("ada")
	link := h.mailed()
	before := h.store.writes()
	for range 3 {
		other.do(other.request("HEAD", link, ""))
		page := other.get(link)
		require.Equal(t, 200, page.StatusCode)
		require.Contains(t, page.Body, "works only in the browser where you entered your password")
		require.NotContains(t, page.Body, tokenOf(link), "the token is useless in this browser")
	}
	script := other.get("/2fa/twofa.js").Body
	require.Equal(t, 1, strings.Count(strings.ToLower(script), "submit()"), "the script submits one form by itself")
	require.Contains(t, script, "querySelector('form[data-submit]')")
	require.NotContains(t, b.get(link).Body, "data-submit", "which is not the form of a link")
	require.Equal(t, before, h.store.writes())
	other.login("bob")
	other.get("/2fa/challenge")
	other.setCookie("__Host-twofa-challenge", "")
	before = h.store.writes()
	page := other.post("/2fa/link", "token", tokenOf(link))
	require.Equal(t, 403, page.StatusCode)
	require.Contains(t, page.Body, "It was not used up")
	require.Equal(t, before, h.store.writes())
	require.False(t, other.signedIn())
	require.False(t, b.signedIn())

	b.get(link)
	require.Equal(t, 303, b.post("/2fa/link", "token", tokenOf(link)).StatusCode, "the user can still sign in")
	require.True(t, b.signedIn())
}

func TestAbuse_I02_VictimOpensAttackersLink(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	attacker, victim := h.browser(), h.browser()
	attacker.login("ada") // with the stolen password
	link := h.mailed()
	victim.get(link)
	require.Equal(t, 403, victim.post("/2fa/link", "token", tokenOf(link)).StatusCode)
	require.False(t, victim.signedIn())
	require.False(t, attacker.signedIn())
	require.Contains(t, attacker.get("/2fa/status").Body, "waiting")

	// The link is not valid for a pending login of the victim either.
	victim.login("bob")
	require.Equal(t, 422, victim.post("/2fa/link", "token", tokenOf(link)).StatusCode)
	require.False(t, attacker.signedIn())
}

func TestAbuse_I03_LoginCSRF(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	attacker, victim := h.browser(), h.browser()
	attacker.login("mallory")
	victim.get(h.mailed())
	victim.post("/2fa/link", "token", tokenOf(h.mailed()))
	require.False(t, victim.signedIn())
}

func TestAbuse_I05_LinkWorksOnce(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	b.login("ada")
	pending := b.cookie("__Host-twofa-challenge")
	token := tokenOf(h.mailed())
	b.get(h.mailed())
	require.Equal(t, 303, b.post("/2fa/link", "token", token).StatusCode)
	page := b.post("/2fa/link", "token", token)
	require.Equal(t, 422, page.StatusCode)
	require.Contains(t, page.Body, "It was used, it has expired")
	b.setCookie("__Host-twofa-challenge", pending)
	require.Equal(t, 303, b.post("/2fa/link", "token", token).StatusCode, "a form that was sent twice")
	b.setCookie("__Host-twofa-challenge", pending)
	h.clock.pass(11 * time.Second)
	require.Equal(t, 410, b.post("/2fa/link", "token", token).StatusCode)
}

func TestAbuse_I08_HostHeaders(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	b.header = http.Header{"X-Forwarded-Host": {"evil.example"}, "Forwarded": {"host=evil.example"}, "X-Forwarded-Proto": {"http"}}
	r := b.request("POST", "/login", "user=ada")
	r.Host = "evil.example"
	b.do(r)
	require.True(t, strings.HasPrefix(h.outbox.link(), "https://app.example.com/2fa/link?token="), h.outbox.link())
	require.NotContains(t, h.outbox.mails[len(h.outbox.mails)-1].Text.Reveal(), "evil")
}

// A link leads to the host of the login if the configuration lists it, and to no
// host that only a header names.
func TestAbuse_I08_HostOfTheLogin(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink(), func(m *twofa.Config, c *twofahttp.Config) {
		m.Mail.LinkURL = twofahttp.LinkURL("https://app.example.com/2fa/", "https://app.example.de/2fa/", "https://app.example.ch:8443/2fa")
		c.Hosts = []string{"app.example.com", "app.example.de", "app.example.ch:8443"}
	})
	for host, want := range map[string]string{
		"app.example.com": "app.example.com", "app.example.de": "app.example.de", "App.Example.DE": "app.example.de", "app.example.ch:8443": "app.example.ch:8443",
		"evil.example": "app.example.com", "app.example.de.evil.example": "app.example.com", "app.example.de:444": "app.example.com", "app.example.de.": "app.example.com",
		"app.example.ch": "app.example.com", "evil.example#app.example.de": "app.example.com", "": "app.example.com",
	} {
		h.clock.pass(time.Hour)
		b := h.browser()
		b.header = http.Header{"X-Forwarded-Host": {"app.example.de.evil.example"}, "Forwarded": {"host=evil.example"}}
		r := b.request("POST", "/login", "user=ada")
		r.Host = host
		before := h.outbox.links()
		w := httptest.NewRecorder()
		h.web.FirstFactor(w, r, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword}, "")
		require.Equal(t, before+1, h.outbox.links(), host)
		require.True(t, strings.HasPrefix(h.outbox.link(), "https://"+want+"/2fa/link?token="), "%s: %s", host, h.outbox.link())
	}
	require.NotContains(t, h.logs.String(), "leads to another host")
}

// A link that leads to another host than the login's does not work there, because
// the browser sends no cookie, and the log says why.
func TestAbuse_I01_LinkToAnotherHost(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink(), func(m *twofa.Config, c *twofahttp.Config) {
		own := twofahttp.LinkURL("https://app.example.com/2fa/", "https://app.example.de/2fa/")
		m.Mail.LinkURL = func(l twofa.LinkRequest) string {
			if l.Account == "beta" { // a mistake that New cannot see
				return twofahttp.LinkURL("https://beta.example.com/2fa/")(l)
			}
			return own(l)
		}
		c.Hosts = []string{"app.example.com", "app.example.de"}
	})
	r := h.browser().request("POST", "/login", "")
	r.Host = "app.example.de"
	w := httptest.NewRecorder()
	h.web.FirstFactor(w, r, twofa.FirstFactor{UserID: "ada", Account: "beta", By: twofa.ByPassword}, "")
	require.Contains(t, h.logs.String(), "leads to another host than the login's")
	require.Contains(t, h.logs.String(), "link=beta.example.com login=app.example.de account=beta")
	other := h.browser() // has no cookie, as at another host
	require.Contains(t, other.get("/2fa/link?token="+tokenOf(h.outbox.link())).Body, "Open this link in the other browser")
	require.Contains(t, h.logs.String(), `msg="twofahttp: link opened without the cookie of its login, in another browser or at another host" host=`+strings.TrimPrefix(h.srv.URL, "https://"))
	require.Equal(t, 403, other.post("/2fa/link", "token", tokenOf(h.outbox.link())).StatusCode)
	require.False(t, other.signedIn())
	require.NotContains(t, h.logs.String(), tokenOf(h.outbox.link()))
}

func TestAbuse_I09_NextOnAnotherSite(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	for _, next := range unsafeRedirects {
		b := h.browser()
		a := b.post("/login", "user", "ada", "next", next)
		require.Equal(t, "/", a.Header.Get("Location"), "%q", next)
		require.Empty(t, a.Header.Get("Set-Cookie2"))
	}
}

func TestAbuse_I09_NextInCookieOnAnotherSite(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	b.login("ada", "next", "/contacts")
	value := b.cookie("__Host-twofa-challenge")
	require.Contains(t, value, "n=%2Fcontacts")
	b.setCookie("__Host-twofa-challenge", strings.Replace(value, "n=%2Fcontacts", "n=javascript%3Aalert%281%29", 1))
	require.Contains(t, b.get("/2fa/challenge").Body, `data-next="/"`, "the address that the script opens")
	require.Equal(t, "/", b.post("/2fa/link", "token", tokenOf(h.mailed())).Header.Get("Location"))
}

func TestAbuse_I10_LinkPageLeaksNoToken(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	b.login("ada")
	page := b.get(h.mailed())
	require.Equal(t, "no-referrer", page.Header.Get("Referrer-Policy"))
	require.Equal(t, "no-store", page.Header.Get("Cache-Control"))
	require.Equal(t, 1, strings.Count(page.Body, tokenOf(h.mailed())), "the token is only in the form")
	require.NotContains(t, page.Body, "//", "no resource from another site")
}

func TestAbuse_I15_ManyLinks(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	b.login("ada")
	for range 50 {
		b.post("/2fa/send", "method", "email")
		h.clock.pass(time.Second)
	}
	require.Equal(t, 1, h.outbox.links())
	// With other users, messages that lead to no proof use up the address's allowance.
	for i := range 40 {
		h.browser().login("user" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
	}
	require.LessOrEqual(t, h.outbox.links(), 20)
}

func TestAbuse_I15_SharedAddressIsNotLimited(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	for i := range 60 {
		b := h.browser()
		b.login("user" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
		require.Equal(t, 303, b.post("/2fa/link", "token", tokenOf(h.outbox.link())).StatusCode)
		require.True(t, b.signedIn())
	}
}

func TestAbuse_I17_TwoTabs(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	b.login("ada")
	first := tokenOf(h.mailed())
	h.clock.pass(2 * time.Minute)
	b.login("ada")
	second := tokenOf(h.mailed())
	require.NotEqual(t, first, second)
	page := b.post("/2fa/link", "token", first)
	require.Contains(t, page.Body, "a newer one was sent")
	require.False(t, b.signedIn())
	require.Equal(t, 303, b.post("/2fa/link", "token", second).StatusCode)
	require.True(t, b.signedIn())
}

func TestAbuse_I18_J12_ResponsesContainNoSecrets(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	first := b.post("/login", "user", "ada")
	page := b.follow(first)
	token := tokenOf(h.outbox.link())
	for _, a := range []answer{first, page, b.get("/2fa/status")} {
		require.NotContains(t, a.Body, token)
		require.NotContains(t, strings.Join(a.Header.Values("Set-Cookie"), " "), token)
	}
	require.Equal(t, 1, strings.Count(page.Body, "ada@example.com"), "the name of the user, and no address")
	require.Contains(t, page.Body, `<bdi translate="no">ada@example.com</bdi>`)
	require.Contains(t, page.Body, "a•••@example.com")
	require.NotContains(t, h.logs.String(), token)

	s := newHost(t, twofa.PolicySMS(), noMail)
	c := s.browser()
	c.login("ada")
	page = c.follow(c.post("/2fa/setup", "method", "sms", "phone", "+41791234567"))
	page = c.follow(c.post("/2fa/setup/saved", "saved", "yes"))
	require.NotContains(t, page.Body, "791234567")
	require.Contains(t, page.Body, "•••• 67")
	require.NotContains(t, page.Body, s.outbox.code())
	require.NotContains(t, s.logs.String(), s.outbox.code())
	require.NotContains(t, s.logs.String(), "1234567")
}

func TestAbuse_I19_K09_P02_Cookies(t *testing.T) {
	h := newHost(t, twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.EmailLink}, Required: true, Remember: 30 * 24 * time.Hour})
	b := h.browser()
	seen := map[string]*http.Cookie{}
	look := func(a answer) answer {
		for _, c := range a.Cookies() {
			seen[c.Name] = c
			require.True(t, strings.HasPrefix(c.Name, "__Host-"), c.Name)
			require.True(t, c.Secure && c.HttpOnly, c.Name)
			require.Equal(t, http.SameSiteLaxMode, c.SameSite)
			require.Equal(t, "/", c.Path)
			require.Empty(t, c.Domain)
			require.Less(t, len(c.String()), 4096)
			require.NotContains(t, c.Value, "ada")
		}
		return a
	}
	long := "/contacts?q=" + strings.Repeat("%25", 300)
	look(b.post("/login", "user", "ada", "account", "", "next", long))
	require.Equal(t, 3600, seen["__Host-twofa-challenge"].MaxAge, "as long as a link can be valid")
	require.Equal(t, 90*24*3600, seen["__Host-twofa-browser"].MaxAge)
	require.GreaterOrEqual(t, len(seen["__Host-twofa-browser"].Value), 32)
	b.get("/2fa/challenge")
	look(b.post("/2fa/link", "token", tokenOf(h.mailed())))
	require.Equal(t, -1, seen["__Host-twofa-challenge"].MaxAge, "the cookie is deleted after the login")
}

func TestAbuse_J08_NumberChosenByAttacker(t *testing.T) {
	h := newHost(t, twofa.PolicySMS(), noMail)
	b := h.browser()
	b.login("ada")
	b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41791234567"))
	b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	b.follow(b.post("/2fa/setup/confirm", "code", h.outbox.code()))
	h.clock.pass(2 * time.Hour)
	c := h.browser()
	c.login("ada")
	h.clock.pass(10 * time.Minute / 2)
	c.post("/2fa/send", "method", "sms", "phone", "+41799999999", "to", "+41799999999")
	c.post("/2fa/setup", "method", "sms", "phone", "+41799999999")
	anonymous := h.browser()
	anonymous.get("/2fa/challenge")
	anonymous.post("/2fa/send", "method", "sms", "phone", "+41799999999")
	anonymous.post("/2fa/setup", "method", "sms", "phone", "+41799999999")
	for _, text := range h.outbox.texts {
		require.Equal(t, "+41791234567", text.To)
	}
}
