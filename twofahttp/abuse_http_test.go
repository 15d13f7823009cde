package twofahttp_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

var headers = map[string]string{
	"Cache-Control":          "no-store",
	"X-Content-Type-Options": "nosniff",
	"Referrer-Policy":        "no-referrer",
}

func TestAbuse_P01_P04_HeadersOfEveryResponse(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, _, _ := h.pending("ada")
	in := h.browser()
	in.enroll("bob")
	for _, who := range []*browser{b, in, h.browser()} {
		for _, path := range append(guardedPaths, "/2fa/nothing", "/2fa/../2fa/verify") {
			checkHeaders(t, h, who, "GET", path, "text/html")
			checkHeaders(t, h, who, "POST", path, "application/json")
		}
		for _, rt := range twofahttp.Routes() {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "OPTIONS"} {
				checkHeaders(t, h, who, method, "/2fa/"+rt.Path, "text/html")
				checkHeaders(t, h, who, method, "/2fa/"+rt.Path, "*/*")
			}
		}
	}
}

func checkHeaders(t *testing.T, h *host, b *browser, method, path, accept string) {
	t.Helper()
	r := b.request(method, path, "")
	r.Header.Set("Accept", accept)
	r.Header.Set("Origin", "https://evil.example")
	r.Header.Set("Access-Control-Request-Method", "POST")
	a := b.do(r)
	for name := range a.Header {
		require.False(t, strings.HasPrefix(name, "Access-Control-"), "%s %s: %s", method, path, name)
	}
	if !strings.HasPrefix(path, "/2fa/") && a.StatusCode < 400 && a.StatusCode != 303 || strings.Contains(path, "..") || path == "/2fa" {
		return // not a page of the package
	}
	for name, want := range headers {
		require.Equal(t, want, a.Header.Get(name), "%s %s: %s", method, path, name)
	}
	csp := a.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'", "script-src 'self'"} {
		require.Contains(t, csp, want)
	}
	require.NotContains(t, csp, "unsafe")
	require.Empty(t, regexp.MustCompile(`(?i)<script>|\son\w+=|style="|javascript:`).FindString(a.Body), path)
}

// A page that another origin opened in a popup keeps its opener, and the form of
// a login may end on another origin. Pages with secrets are cut off.
func TestAbuse_P01_PopupsAndRedirectsAfterForms(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	require.Empty(t, b.get("/contacts").Header.Get("Cross-Origin-Opener-Policy"), "a redirect of the guard")
	b.login("ada")
	require.Empty(t, b.get("/2fa/").Header.Get("Cross-Origin-Opener-Policy"))
	page := b.follow(b.post("/2fa/setup", "method", "totp"))
	require.Contains(t, page.Body, "data:image/svg")
	require.Equal(t, "same-origin", page.Header.Get("Cross-Origin-Opener-Policy"))
	require.NotContains(t, page.Header.Get("Content-Security-Policy"), "form-action")
}

func TestAbuse_P03_UnsupportedMethods(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.enroll("ada")
	allowed := map[string][]string{}
	for _, rt := range twofahttp.Routes() {
		allowed[rt.Path] = append(allowed[rt.Path], rt.Method)
		if rt.Method == "GET" {
			allowed[rt.Path] = append(allowed[rt.Path], "HEAD")
		}
	}
	before := h.store.writes()
	for path, methods := range allowed {
		slices.Sort(methods)
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"} {
			if slices.Contains(methods, method) {
				continue
			}
			a := b.do(b.request(method, "/2fa/"+path, "csrf_token="+b.csrf))
			require.Equal(t, 405, a.StatusCode, method+" "+path)
			require.Equal(t, strings.Join(methods, ", "), a.Header.Get("Allow"))
		}
	}
	require.Equal(t, before, h.store.writes())
}

func TestAbuse_P05_PanicInStore(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	code := phone.next()
	session := b.cookie(sessionCookie)
	h.store.broken(nil, true)
	for _, do := range []func() answer{
		func() answer { return b.post("/2fa/verify", "method", "totp", "code", code) },
		func() answer { return b.post("/login", "user", "ada") },
		func() answer { return b.get("/2fa/challenge") },
	} {
		a := do()
		require.Equal(t, 500, a.StatusCode)
		require.Contains(t, a.Body, "Something went wrong")
		for _, leak := range []string{"hunter2", "goroutine", ".go:", "panic"} {
			require.NotContains(t, a.Body, leak)
		}
		for _, c := range a.Cookies() {
			require.NotEqual(t, sessionCookie, c.Name)
		}
	}
	require.Contains(t, h.logs.String(), "twofahttp: panic")
	require.NotContains(t, h.logs.String(), "hunter2", "the panic value may be a secret")
	h.store.broken(nil, false)
	require.Equal(t, session, b.cookie(sessionCookie))
	require.False(t, b.signedIn(), "nobody is signed in by an unfinished request")

	in := h.browser()
	in.enter("ada", phone)
	h.store.broken(nil, true)
	require.Equal(t, 500, in.get("/contacts").StatusCode, "the guard lets nothing through")
	require.Equal(t, 500, in.api("POST", "/contacts/export").StatusCode)
	require.Zero(t, h.exports)
}

// tornSessions panics after SignIn has set the cookie.
type tornSessions struct{ *sessions }

func (s tornSessions) SignIn(w http.ResponseWriter, r *http.Request, session twofa.Session) error {
	_ = s.sessions.SignIn(w, r, session)
	panic("after the cookie")
}

func TestAbuse_P05_PanicDuringSignIn(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.Sessions = tornSessions{c.Sessions.(*sessions)}
	})
	b := h.browser()
	a := b.post("/login", "user", "ada")
	require.Equal(t, 500, a.StatusCode)
	require.Empty(t, b.cookie(sessionCookie))
	require.False(t, b.signedIn())
}

func TestUnavailable_KeepsPendingLogin(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	code := phone.next()
	in := h.browser()
	in.enroll("bob")
	h.store.broken(errors.New("connection refused to db.internal"), false)
	page := b.post("/2fa/verify", "method", "totp", "code", code)
	require.Equal(t, 503, page.StatusCode)
	require.NotEmpty(t, page.Header.Get("Retry-After"))
	require.Contains(t, page.Body, "nothing you did is lost")
	require.Contains(t, page.Body, `href="/2fa/challenge"`)
	require.NotContains(t, page.Body, "db.internal")
	require.Contains(t, h.logs.String(), "db.internal", "the log has the cause")
	require.Equal(t, 503, b.get("/2fa/challenge").StatusCode)
	require.Equal(t, 503, b.get("/2fa/status").StatusCode)
	require.Equal(t, 503, in.get("/contacts").StatusCode, "a session that cannot be checked is refused")
	require.Equal(t, 503, in.api("GET", "/contacts").StatusCode)
	require.Equal(t, 503, in.get("/2fa/").StatusCode)
	require.Equal(t, 503, h.browser().post("/login", "user", "ada").StatusCode)

	h.store.broken(nil, false)
	b.get("/2fa/challenge")
	require.Equal(t, 303, b.post("/2fa/verify", "method", "totp", "code", code).StatusCode, "the code was not used up")
	require.True(t, in.signedIn())
}

func TestAbuse_P06_ErrorsRevealNothing(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	phone, _ := h.browser().enroll("ada")
	used := phone.next()
	first := h.browser()
	first.login("ada")
	require.Equal(t, 303, first.post("/2fa/verify", "method", "totp", "code", used).StatusCode)
	b := h.browser()
	b.login("ada")
	var answers []string
	for _, malformed := range []string{"abc", "", "12345"} {
		require.Contains(t, b.post("/2fa/verify", "method", "totp", "code", malformed).Body, "This try was not counted")
	}
	wrongs := phone.wrongs(4)
	for i, code := range []string{wrongs[0], used, wrongs[1], used} {
		h.clock.pass(11 * time.Second) // before, the same code gets the same answer
		a := b.post("/2fa/verify", "method", "totp", "code", code)
		left := []string{"You have 4 more tries.", "You have 3 more tries.", "You have 2 more tries.", "You have 1 more try."}[i]
		require.Contains(t, a.Body, left)
		answers = append(answers, fmt.Sprint(a.StatusCode, strings.Replace(a.Body, left, "", 1)))
	}
	require.Len(t, slices.Compact(answers), 1, "wrong and used codes look alike")
	require.Contains(t, answers[0], "If you have just used this code, wait for the next one.")

	b.post("/2fa/verify", "method", "totp", "code", wrongs[2])
	right, wrong := b.post("/2fa/verify", "method", "totp", "code", phone.code()), b.post("/2fa/verify", "method", "totp", "code", wrongs[3])
	require.Equal(t, http.StatusTooManyRequests, right.StatusCode)
	require.Equal(t, "60", right.Header.Get("Retry-After"))
	require.Contains(t, right.Body, "Try again in 1 minute.")
	require.Equal(t, right.StatusCode, wrong.StatusCode)
	require.Equal(t, right.Body, wrong.Body)
}

// Cookies are Secure even over plain http. A browser then drops all of them, so
// no login is left incomplete.
func TestAbuse_P08_EveryCookieIsSecure(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "http://app.example.com/login", nil)
	h.web.FirstFactor(w, r, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword}, "/")
	require.NotEmpty(t, w.Result().Cookies())
	for _, c := range w.Result().Cookies() {
		require.True(t, c.Secure, c.Name)
	}
}

// A browser without Fetch Metadata sends "Origin: null" with our forms, because
// of no-referrer. The form token decides.
func TestAbuse_P01_BrowserWithoutFetchMetadata(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	phone, _ := h.browser().enroll("ada")
	for token, want := range map[string]int{"": 303, "forged": 403} {
		b := h.browser()
		b.login("ada")
		b.get("/2fa/challenge")
		if token != "" {
			b.csrf = token
		}
		form := url.Values{"csrf_token": {b.csrf}, "method": {"totp"}, "code": {phone.next()}}
		r := b.request("POST", "/2fa/verify", form.Encode())
		r.Header.Del("Sec-Fetch-Site")
		r.Header.Set("Origin", "null")
		require.Equal(t, want, b.do(r).StatusCode, token)
	}
}

// A middleware in front may read the form, as one for CSRF or method override
// does.
func TestAbuse_P03_FormReadByAMiddleware(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	phone, _ := h.browser().enroll("ada")
	b := h.browser()
	b.login("ada")
	b.get("/2fa/challenge")
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.FormValue("_method")
		h.web.Handler().ServeHTTP(w, r)
	})
	for body, want := range map[string]int{
		url.Values{"csrf_token": {b.csrf}, "method": {"totp"}, "code": {phone.next()}}.Encode(): 303,
		"csrf_token=forged&method=totp&code=000000":                                             403,
		"csrf_token=" + b.csrf + "&code=1&code=2":                                               400,
	} {
		r := b.request("POST", "/2fa/verify", body)
		for _, c := range b.client.Jar.Cookies(r.URL) {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Equal(t, want, w.Code, body)
	}
}
