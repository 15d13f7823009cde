package twofahttp_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

const trusted = "https://app.example.com"

// untrusted lists origins that resemble a trusted one.
var untrusted = []string{"https://evil.example", "https://app.example.com.evil.example", "https://evil-app.example.com", "https://sub.app.example.com",
	"http://app.example.com", "https://app.example.com:444", "https://app.example.com:443", "https://app.example.com.", "https://App.example.com", "https://app.example.com/",
	"https://example.com", "https://app.example.com, https://evil.example", "null", "*", "", " https://app.example.com/x"}

func trust(_ *twofa.Config, c *twofahttp.Config) {
	c.TrustedOrigins = []string{trusted, "http://localhost:3000"}
}

// from sends a request as a page of another origin on the same site would.
func (b *browser) from(origin, method, path, accept string, pairs ...string) answer {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r := b.request(method, path, form.Encode())
	r.Header.Set("Accept", accept)
	r.Header.Set("Sec-Fetch-Site", "same-site")
	r.Header.Set("Origin", origin)
	return b.do(r)
}

// shared reports whether a script of an origin can read an answer.
func shared(t *testing.T, a answer, origin string) bool {
	t.Helper()
	if len(a.Header.Values("Access-Control-Allow-Origin")) == 0 {
		for name := range a.Header {
			require.False(t, strings.HasPrefix(name, "Access-Control-"), name)
		}
		return false
	}
	require.Equal(t, []string{origin}, a.Header.Values("Access-Control-Allow-Origin"))
	require.Equal(t, []string{"true"}, a.Header.Values("Access-Control-Allow-Credentials"))
	require.Contains(t, a.Header.Values("Vary"), "Origin")
	return true
}

// A page of a trusted origin may call an action of the host. It needs the proof,
// as everybody does.
func TestAbuse_G04_ActionFromAnotherOrigin(t *testing.T) {
	h := newHost(t, stepUpPolicy, trust)
	b := h.browser()
	phone, _ := b.enroll("ada")
	a := b.from(trusted, "POST", "/contacts/export", "application/json")
	require.Equal(t, 401, a.StatusCode, "no proof")
	require.True(t, shared(t, a, trusted))
	require.Equal(t, "/2fa/confirm?action=contacts.export&resource=", pageOf(t, a))
	b.follow(b.get(pageOf(t, a)))
	b.prove(phone)
	for _, origin := range untrusted {
		if origin == "" {
			continue // without an Origin, Sec-Fetch-Site decides, as below
		}
		a := b.from(origin, "POST", "/contacts/export", "application/json")
		require.Equal(t, 403, a.StatusCode, origin)
		require.False(t, shared(t, a, origin), origin)
	}
	require.Equal(t, 403, b.from("", "POST", "/contacts/export", "*/*").StatusCode)
	require.Zero(t, h.exports)
	require.Equal(t, secretExport, b.from(trusted, "POST", "/contacts/export", "application/json").Body, "the proof was not used up")
	require.Equal(t, 401, b.from(trusted, "POST", "/contacts/export", "application/json").StatusCode, "and serves once")
}

// The forms of the pages need their token, whichever origin is trusted. A script
// of that origin cannot read it.
func TestAbuse_G04_FormsFromAnotherOrigin(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), trust)
	b, phone, _ := h.pending("ada")
	b.get("/2fa/challenge")
	token := b.csrf
	code := phone.next()
	for _, origin := range append(slices.Clone(untrusted), "https://other.example.com") {
		a := b.from(origin, "POST", "/2fa/verify", "text/html", "csrf_token", token, "method", "totp", "code", code)
		require.Equal(t, 403, a.StatusCode, origin)
		require.Contains(t, a.Body, "another site", origin)
	}
	for _, forged := range []string{"", "forged", strings.Repeat("A", len(token))} {
		a := b.from(trusted, "POST", "/2fa/verify", "application/json", "csrf_token", forged, "method", "totp", "code", code)
		require.Equal(t, "form_expired", problemCode(t, a))
	}
	for _, rt := range twofahttp.Routes() {
		if rt.Method == "POST" && rt.Path != "case" { // whose link decides; see TestAbuse_G03_CaseFormWithoutItsLink
			a := b.from(trusted, "POST", "/2fa/"+rt.Path, "application/json")
			require.Equal(t, 403, a.StatusCode, rt.Path)
		}
		for _, accept := range []string{"text/html", "*/*"} {
			a := b.from(trusted, "GET", "/2fa/"+rt.Path, accept)
			if shared(t, a, trusted) {
				require.NotContains(t, a.Body, token, rt.Path)
				require.Contains(t, a.Header.Get("Content-Type"), "json", rt.Path)
			}
		}
	}
	require.False(t, b.signedIn())
	b.get("/2fa/challenge")
	a := b.from(trusted, "POST", "/2fa/verify", "text/html", "csrf_token", b.csrf, "method", "totp", "code", code)
	require.Equal(t, 303, a.StatusCode, "the token decides")
}

// A first factor is continued only by the page that has bounced it.
func TestAbuse_G04_BouncedLoginFromAnotherOrigin(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), trust)
	held, err := h.m.HoldFirstFactor(twofa.FirstFactor{UserID: "mallory", By: twofa.BySSO})
	require.NoError(t, err)
	for _, origin := range append(slices.Clone(untrusted), trusted) {
		b := h.browser()
		require.Equal(t, 403, b.from(origin, "POST", "/2fa/login", "text/html", "held", held.Reveal()).StatusCode, origin)
		require.False(t, b.signedIn())
	}
}

// Trust is no redirect: users do not return to another origin.
func TestAbuse_I09_NextOnATrustedOrigin(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), trust)
	require.Equal(t, "/", h.browser().post("/login", "user", "ada", "next", trusted+"/contacts").Header.Get("Location"))
}

// Only JSON, and only for a trusted origin, can be read by a script of another
// origin.
func TestAbuse_P04_CORSOfEveryRoute(t *testing.T) {
	h := newHost(t, stepUpPolicy, trust)
	half, _, _ := h.pending("ada")
	in := h.browser()
	in.enroll("bob")
	paths := []string{"/contacts", "/contacts/export", "/report", "/2fa/nothing"}
	for _, rt := range twofahttp.Routes() {
		paths = append(paths, "/2fa/"+rt.Path)
	}
	read := 0
	for name, b := range map[string]*browser{"stranger": h.browser(), "password only": half, "signed in": in} {
		for _, path := range paths {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
				for _, accept := range []string{"text/html", "*/*"} {
					for _, origin := range []string{"https://evil.example", "null"} {
						require.False(t, shared(t, b.from(origin, method, path, accept), origin), "%s: %s %s", name, method, path)
					}
					a := b.from(trusted, method, path, accept)
					isJSON := strings.Contains(a.Header.Get("Content-Type"), "json")
					require.Equal(t, isJSON, shared(t, a, trusted), "%s: %s %s", name, method, path)
					require.NotContains(t, a.Header.Get("Access-Control-Allow-Origin"), "*")
					if isJSON {
						read++
					}
				}
			}
		}
	}
	require.Greater(t, read, 100)
}

func TestAbuse_P04_Preflight(t *testing.T) {
	h := newHost(t, stepUpPolicy, trust)
	preflight := func(origin, path string, ask bool) answer {
		b := h.browser() // browsers send no cookies
		r := b.request("OPTIONS", path, "")
		r.Header.Set("Origin", origin)
		r.Header.Set("Accept", "*/*")
		if ask {
			r.Header.Set("Access-Control-Request-Method", "DELETE")
			r.Header.Set("Access-Control-Request-Headers", "content-type,traceparent")
		}
		return b.do(r)
	}
	for _, path := range []string{"/contacts", "/contacts/export", "/report", "/2fa/status", "/2fa/verify"} {
		for _, origin := range []string{trusted, "http://localhost:3000"} {
			a := preflight(origin, path, true)
			require.Equal(t, 204, a.StatusCode, path)
			require.Empty(t, a.Body, "nothing behind the guard has answered")
			require.True(t, shared(t, a, origin))
			require.Equal(t, "DELETE", a.Header.Get("Access-Control-Allow-Methods"))
			require.Equal(t, "content-type,traceparent", a.Header.Get("Access-Control-Allow-Headers"))
			require.Empty(t, a.Cookies())
		}
		require.GreaterOrEqual(t, preflight(trusted, path, false).StatusCode, 400, "an OPTIONS request that is no preflight")
		for _, origin := range untrusted {
			a := preflight(origin, path, true)
			require.GreaterOrEqual(t, a.StatusCode, 400, origin)
			require.False(t, shared(t, a, origin), origin)
		}
	}
	require.Zero(t, h.exports)
}

// Without trusted origins, there is no CORS at all.
func TestAbuse_P04_NoTrustedOrigin(t *testing.T) {
	b := newHost(t, twofa.PolicyOptional()).browser()
	for _, origin := range append(slices.Clone(untrusted), trusted) {
		a := b.from(origin, "GET", "/contacts", "*/*")
		require.False(t, shared(t, a, origin))
		require.Empty(t, a.Header.Values("Vary"))
	}
}

func TestTrustedOrigins_OfTheConfiguration(t *testing.T) {
	good := []string{"https://app.example.com", "https://app.example.com:8443", "http://localhost:3000", "http://app.localhost:3000", "http://127.0.0.1:8080", "http://[::1]:8080", "https://xn--bcher-kva.example"}
	require.NoError(t, newWith(t, nil, twofahttp.Config{TrustedOrigins: good}))
	for _, origin := range good {
		require.NoError(t, http.NewCrossOriginProtection().AddTrustedOrigin(origin))
	}
	for _, bad := range append(slices.Clone(untrusted), "app.example.com", "//app.example.com", "https://", "https://*.example.com", "https://*", "https://x@app.example.com",
		"https://app.example.com?x", "https://app.example.com#", "https://app.example.com/app", "ftp://app.example.com", "file://", "http://localhost:80", "http://localhost.evil.example", "https://bücher.example", "https://a b", "HTTPS://app.example.com") {
		if slices.Contains([]string{"https://evil.example", "https://app.example.com.evil.example", "https://evil-app.example.com", "https://sub.app.example.com",
			"https://app.example.com:444", "https://app.example.com.", "https://example.com"}, bad) {
			continue // another origin, but a valid one
		}
		require.ErrorContains(t, newWith(t, nil, twofahttp.Config{TrustedOrigins: []string{trusted, bad}}), "TrustedOrigins[1]: must be a scheme and a host", "%q", bad)
	}
}
