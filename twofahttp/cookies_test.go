package twofahttp_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// atLocalhost serves the application over plain http at http://localhost, where
// mailed links lead, too.
func atLocalhost(t *testing.T, policy twofa.Policy) *host {
	h := newHost(t, policy, func(c *twofa.Config, _ *twofahttp.Config) {
		c.Mail.LinkURL = twofahttp.LinkURL("http://localhost:8080/2fa/")
	})
	h.sessions.secure = h.web.SecureCookies
	plain := httptest.NewServer(h.srv.Config.Handler)
	t.Cleanup(plain.Close)
	h.srv.Close()
	h.srv = plain
	h.srv.URL = strings.Replace(plain.URL, "127.0.0.1", "localhost", 1)
	return h
}

// The cookie jar of net/http does what Safari does: it returns no Secure cookie
// to http://localhost.
func TestBrowserWithoutSecureCookiesAtLocalhost(t *testing.T) {
	h := atLocalhost(t, twofa.PolicyOptional())
	b := h.browser()
	phone, _ := b.enroll("ada")
	b = h.browser()
	require.Contains(t, b.login("ada").Body, "Enter your code")
	b.prove(phone)
	require.True(t, b.signedIn())
	require.NotEmpty(t, b.cookie("twofa-browser"))
	b.get("/2fa/setup?start=1")
	require.Equal(t, "/2fa/setup", b.post("/2fa/setup", "method", "totp").Header.Get("Location"), "a step-up and the forms of settings work, too")
}

// secureCase is a request and whether its cookies must be Secure.
type secureCase struct {
	name   string
	host   string
	proto  int // minor version of HTTP
	header []string
	tls    bool
	secure bool
}

var secureCases = []secureCase{
	{"localhost", "localhost:8080", 1, nil, false, false},
	{"without a port", "localhost", 1, nil, false, false},
	{"capitals", "LOCALHOST:8080", 1, nil, false, false},
	{"a subdomain of localhost", "acme.localhost:8080", 1, nil, false, false},
	{"IPv4", "127.8.9.1:8080", 1, nil, false, false},
	{"IPv6", "[::1]:8080", 1, nil, false, false},
	{"a proxy for development", "localhost:5173", 1, []string{"X-Forwarded-For", "::1, 127.0.0.1:5", "X-Forwarded-Proto", "http", "X-Forwarded-Host", "localhost:5173", "Origin", "http://localhost:5173"}, false, false},
	{"a page with no-referrer", "localhost:8080", 1, []string{"Origin", "null"}, false, false},

	{"a public host", "app.example.com", 1, nil, false, true},
	{"a public host on port 80", "app.example.com:80", 1, []string{"X-Forwarded-Host", "localhost"}, false, true},
	{"a name that was rebound to this machine", "rebind.example:8080", 1, nil, false, true},
	{"a name that looks like it", "localhost.example.com", 1, nil, false, true},
	{"another name that looks like it", "notlocalhost", 1, nil, false, true},
	{"an address in a name", "127.0.0.1.example.com", 1, nil, false, true},
	{"a local network", "192.168.1.5:8080", 1, nil, false, true},
	{"any address", "0.0.0.0:8080", 1, nil, false, true},
	{"no host", "", 1, nil, false, true},
	{"TLS", "localhost:8443", 1, nil, true, true},
	{"TLS at a proxy", "localhost", 1, []string{"X-Forwarded-Proto", "https"}, false, true},
	{"TLS at one of two proxies", "localhost", 1, []string{"X-Forwarded-Proto", "http, https"}, false, true},
	{"TLS at a proxy, by RFC 7239", "localhost", 1, []string{"Forwarded", "for=127.0.0.1;proto=https"}, false, true},
	{"TLS at a proxy, in another spelling", "localhost", 1, []string{"X-Forwarded-Ssl", "on"}, false, true},
	{"nginx with its defaults", "127.0.0.1:8080", 0, nil, false, true},
	{"a proxy that replaces the host", "localhost:8080", 1, []string{"X-Forwarded-Host", "app.example.com"}, false, true},
	{"a proxy that names the client", "localhost:8080", 1, []string{"X-Forwarded-For", "203.0.113.9"}, false, true},
	{"a proxy that only passes a form on", "localhost:8080", 1, []string{"Origin", "https://app.example.com"}, false, true},
}

func (c secureCase) request() *http.Request {
	r := httptest.NewRequest("POST", "/login", nil)
	r.Host, r.ProtoMinor = c.host, c.proto
	for i := 0; i < len(c.header); i += 2 {
		r.Header.Set(c.header[i], c.header[i+1])
	}
	if c.tls {
		r.TLS = &tls.ConnectionState{}
	}
	return r
}

func TestAbuse_I19_K09_P02_P08_PlainCookiesOnlyOnLoopback(t *testing.T) {
	h := atLocalhost(t, twofa.PolicyOptional())
	for _, c := range secureCases {
		t.Run(c.name, func(t *testing.T) {
			w, r := httptest.NewRecorder(), c.request()
			require.Equal(t, c.secure, h.web.SecureCookies(r))
			h.web.Client(w, browserRequest(r))
			require.Len(t, w.Result().Cookies(), 1)
			cookie := w.Result().Cookies()[0]
			require.Equal(t, c.secure, cookie.Secure)
			require.Equal(t, c.secure, strings.HasPrefix(cookie.Name, "__Host-"))
			require.True(t, cookie.HttpOnly && cookie.Path == "/" && cookie.Domain == "" && cookie.SameSite == http.SameSiteLaxMode)

			for _, name := range []string{"twofa-browser", "__Host-twofa-browser"} { // a cookie of the other name is not read
				r := browserRequest(c.request())
				r.AddCookie(&http.Cookie{Name: name, Value: cookie.Value})
				w := httptest.NewRecorder()
				read := h.web.Client(w, r).Browser.Reveal() == cookie.Value
				require.Equal(t, name == cookie.Name, read, name)
				require.Equal(t, read, len(w.Result().Cookies()) == 0, name)
			}
		})
	}
}

func browserRequest(r *http.Request) *http.Request {
	r.Header.Set("Accept", "text/html")
	return r
}

// If mailed links lead to a public site, a request for localhost comes from a
// proxy that replaces the Host.
func TestAbuse_P08_NoPlainCookiesIfLinksLeadElsewhere(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	r := httptest.NewRequest("GET", "http://localhost/", nil)
	require.True(t, h.web.SecureCookies(r), "links lead to app.example.com")
	h = newHost(t, twofa.PolicyOptional(), noMail)
	require.False(t, h.web.SecureCookies(r))
}

// A subdomain can plant plain cookies at a public site. An attacker can also get
// one from the server itself, with a forged Host. Neither counts there.
func TestAbuse_E07_PlantedPlainCookies(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), noMail)
	mallory, _, _ := h.pending("mallory")
	victim := h.browser()
	u, _ := url.Parse(h.srv.URL)
	for _, name := range []string{"twofa-browser", "twofa-challenge"} {
		value := mallory.cookie("__Host-" + name)
		require.NotEmpty(t, value)
		victim.jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
	}
	require.Contains(t, mallory.get("/2fa/challenge").Body, "Enter your code")
	require.NotContains(t, victim.get("/2fa/challenge").Body, "Enter your code")
	require.NotEqual(t, mallory.cookie("__Host-twofa-browser"), victim.cookie("__Host-twofa-browser"))

	w := httptest.NewRecorder()
	planted := h.web.Client(w, browserRequest(httptest.NewRequest("GET", "http://localhost/login", nil)))
	r := browserRequest(httptest.NewRequest("GET", "http://app.example.com/login", nil))
	r.AddCookie(w.Result().Cookies()[0])
	require.NotEqual(t, planted.Browser.Reveal(), h.web.Client(httptest.NewRecorder(), r).Browser.Reveal())
}

func TestWarnsOfAProxyThatReplacesTheHost(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), noMail)
	r := httptest.NewRequest("POST", "http://127.0.0.1:8080/login", nil)
	r.Header.Set("Origin", "https://app.example.com")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	h.web.FirstFactor(httptest.NewRecorder(), browserRequest(r), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword}, "/")
	require.Contains(t, h.logs.String(), "a proxy replaces the Host header")
}

// A provider's redirect (OIDC) ends a login by a GET, which has no Origin. Behind a
// proxy that replaces the Host and names nothing, the pages are then served with
// plain cookies, which a subdomain could have planted. Their forms name the site.
func TestAbuse_E07_PlainCookiesBehindAProxyThatNamesNothing(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), noMail)
	b := h.browser()
	phone, _ := b.enroll("mallory")
	cookies := map[string]*http.Cookie{}
	send := func(handler http.Handler, r *http.Request) *httptest.ResponseRecorder {
		r.Host = "127.0.0.1:8080"
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, browserRequest(r))
		for _, c := range w.Result().Cookies() {
			cookies[c.Name] = c
		}
		return w
	}
	callback := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.web.FirstFactor(w, r, twofa.FirstFactor{UserID: "mallory", By: twofa.BySSO}, "/")
	})
	w := send(callback, httptest.NewRequest("GET", "/callback?code=1", nil))
	require.Equal(t, http.StatusSeeOther, w.Code)
	page := send(h.web.Handler(), httptest.NewRequest("GET", "/2fa/challenge", nil))
	require.Contains(t, page.Body.String(), "Enter your code", "with plain cookies")

	token := tokenPattern.FindStringSubmatch(page.Body.String())
	form := url.Values{"csrf_token": {token[1]}, "method": {"totp"}, "code": {phone.next()}}
	r := httptest.NewRequest("POST", "/2fa/verify", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", formType)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", originOfForms(page.Header().Get("Referrer-Policy"), "https://app.example.com"))
	w = send(h.web.Handler(), r)
	require.Equal(t, http.StatusForbidden, w.Code, w.Header().Get("Location"))
	require.Contains(t, w.Body.String(), saysBlocked)
	require.Contains(t, h.logs.String(), "a proxy replaces the Host header")
}

// originOfForms returns the header Origin with which browsers send the forms of a
// page (Fetch Standard, section 3.1).
func originOfForms(policy, origin string) string {
	if policy == "no-referrer" {
		return "null"
	}
	return origin
}

// droppingJar is the jar of a browser that keeps no cookie whose name contains a
// text.
type droppingJar struct {
	http.CookieJar
	text string
}

func (j *droppingJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	j.CookieJar.SetCookies(u, slices.DeleteFunc(cookies, func(c *http.Cookie) bool { return strings.Contains(c.Name, j.text) }))
}

// Cookies leaves out cookies that were kept before.
func (j *droppingJar) Cookies(u *url.URL) []*http.Cookie {
	return slices.DeleteFunc(j.CookieJar.Cookies(u), func(c *http.Cookie) bool { return strings.Contains(c.Name, j.text) })
}

// drop makes the browser drop cookies whose name contains text.
func (b *browser) drop(text string) { b.client.Jar = &droppingJar{b.jar, text} }

const saysBlocked = "Your browser does not accept cookies from this site"

func TestBlockedCookies(t *testing.T) {
	blocked := func(t *testing.T, page answer) {
		t.Helper()
		require.Equal(t, 403, page.StatusCode)
		require.Contains(t, page.Body, saysBlocked)
		require.NotContains(t, page.Body, "took too long")
	}
	t.Run("login", func(t *testing.T) {
		h := newHost(t, twofa.PolicyOptional())
		h.browser().enroll("ada")
		b := h.browser()
		b.drop("")
		page := b.login("ada")
		blocked(t, page)
		require.Contains(t, page.Body, `href="/login">Try again`)
	})
	t.Run("login by link", func(t *testing.T) {
		h := newHost(t, twofa.PolicyEmailLink())
		b := h.browser()
		b.drop("")
		blocked(t, b.login("ada"))
		require.Contains(t, b.get(h.mailed()).Body, "Allow cookies for this site")
	})
	t.Run("enrollment", func(t *testing.T) {
		h := newHost(t, twofa.PolicyAuthenticator(), noMail)
		b := h.browser()
		b.drop("")
		blocked(t, b.login("ada"))
	})
	t.Run("only ours, with a live session", func(t *testing.T) { // the browser would be redirected in circles
		h := newHost(t, twofa.PolicyOptional())
		b := h.browser()
		b.login("ada", "account", "beta")
		require.True(t, b.signedIn())
		require.NoError(t, h.m.Account(twofa.AsHost("test"), "beta").SetPolicy(t.Context(), withoutLink(twofa.PolicyAuthenticator()), ""))
		b.drop("twofa")
		page := b.follow(b.get("/contacts"))
		blocked(t, page)
		require.Contains(t, page.Body, `href="/">Try again`)
	})
	t.Run("step-up", func(t *testing.T) {
		h := newHost(t, twofa.PolicyOptional())
		b := h.browser()
		b.enroll("ada")
		h.clock.pass(staleProof)
		b.drop("twofa")
		blocked(t, b.follow(b.post("/contacts/export")))
	})
	t.Run("a form, after the page was shown", func(t *testing.T) {
		h := newHost(t, twofa.PolicyOptional())
		b := h.browser()
		b.enroll("ada")
		b.get("/2fa/")
		b.drop("twofa")
		blocked(t, b.post("/2fa/codes/new"))
		r := b.request("POST", "/2fa/codes/new", "csrf_token="+b.csrf)
		r.Header.Set("Accept", "application/json")
		require.Contains(t, b.do(r).Body, `"code":"cookies_blocked"`)
		b.drop("nothing")
		require.Equal(t, "/2fa/setup", b.post("/2fa/codes/new").Header.Get("Location"))
	})
	t.Run("the code, after the challenge was shown", func(t *testing.T) {
		h := newHost(t, twofa.PolicyOptional())
		b, phone, _ := h.pending("ada")
		b.drop("")
		blocked(t, b.post("/2fa/verify", "method", "totp", "code", phone.next()))
	})
	t.Run("only the host's", func(t *testing.T) { // the login would start again and again
		h := newHost(t, twofa.PolicyOptional())
		phone, _ := h.browser().enroll("ada")
		b := h.browser()
		b.drop(sessionCookie)
		blocked(t, b.enter("ada", phone))
		require.Equal(t, 401, b.api("GET", "/contacts").StatusCode, "programs get the same answer as ever")
		b.drop("nothing")
		b.enter("ada", phone)
		require.True(t, b.signedIn(), "the user has allowed cookies")
		require.Empty(t, b.cookie("__Host-twofa-bounced"))
	})
}

// Without cookies, but without having been sent any either, a user is not told
// that they are blocked. A forged mark changes nothing if there are cookies.
func TestBlockedCookies_OnlyIfTheyWereSet(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	require.Contains(t, b.get("/2fa/challenge?cookies=set").Body, "Enter your code")
	b.prove(phone)
	require.True(t, b.signedIn())
	require.Contains(t, b.follow(b.post("/2fa/revoke")).Body, "You are signed out everywhere")
	require.Equal(t, "login page", b.follow(b.get("/contacts")).Body, "signed out, soon after the login")

	b = h.browser()
	require.NotContains(t, b.get("/2fa/challenge").Body, saysBlocked)
	require.Equal(t, "/login?next=%2Fcontacts", b.get("/contacts").Header.Get("Location"))
	require.Contains(t, h.browser().post("/2fa/verify").Body, "The page you came from was out of date")
}

// Chromium drops the pages that it has kept for Back only if a cookie changes, each
// time that the user signs out.
func TestSignOut_ChangesACookie(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	seen := map[string]bool{"": true}
	for range 2 {
		b.login("ada")
		b.get("/2fa/")
		b.post("/2fa/revoke")
		value := b.cookie("__Host-twofa-bounced")
		require.False(t, seen[value], value)
		seen[value] = true
	}
}
