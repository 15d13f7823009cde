package twofahttp_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// stepUpPolicy has an action with a single-use proof and one with a proof that lasts.
var stepUpPolicy = twofa.Policy{Actions: map[string]twofa.ActionRule{"report": {MaxAge: 5 * time.Minute}}}

func TestAbuse_L01_L09_L12_NoActionWithoutProof(t *testing.T) {
	h := newHost(t, stepUpPolicy)
	b := h.browser()
	b.enroll("ada")
	h.clock.pass(time.Hour)
	for path, age := range map[string]string{"/contacts/export": "0", "/report": "300"} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"} {
			a := b.api(method, path)
			require.Equal(t, 401, a.StatusCode, method)
			require.Contains(t, a.Header.Get("WWW-Authenticate"), `Bearer error="insufficient_user_authentication"`)
			require.Contains(t, a.Header.Get("WWW-Authenticate"), `max_age="`+age+`"`)
			require.NotContains(t, a.Body, "Ada")
		}
		r := b.request("GET", path, "")
		r.Header.Set("Range", "bytes=0-3")
		a := b.do(r)
		require.Equal(t, 303, a.StatusCode)
		require.Empty(t, a.Header.Get("Content-Range"))
		require.Empty(t, a.Header.Get("Accept-Ranges"))
	}
	require.Equal(t, "proof_missing", problemCode(t, b.api("POST", "/report")))
	require.Zero(t, h.exports)
}

func TestAbuse_L02_ProofExpires(t *testing.T) {
	h := newHost(t, stepUpPolicy)
	b := h.browser()
	phone, _ := b.enroll("ada")
	h.clock.pass(staleProof)
	b.follow(b.get("/report"))
	require.Equal(t, secretExport, b.prove(phone).Body)
	require.Equal(t, secretExport, b.get("/report").Body, "the proof can be used again")
	h.clock.pass(5 * time.Minute)
	require.Contains(t, b.follow(b.get("/report")).Body, "Confirm it’s you")
	require.Equal(t, "proof_expired", problemCode(t, b.api("GET", "/report")))
}

func TestAbuse_L03_ProofBelongsToItsSession(t *testing.T) {
	h := newHost(t, stepUpPolicy)
	b, other := h.browser(), h.browser()
	phone, _ := b.enroll("ada")
	other.enter("ada", phone)
	h.clock.pass(staleProof)
	b.follow(b.get("/report"))
	b.prove(phone)
	require.Equal(t, 401, other.api("GET", "/report").StatusCode)
	require.Equal(t, 200, b.api("GET", "/report").StatusCode)
}

func TestAbuse_L04_L05_ClaimsByClient(t *testing.T) {
	h := newHost(t, stepUpPolicy)
	b := h.browser()
	b.enroll("ada")
	h.clock.pass(staleProof)
	b.follow(b.get("/report"))
	for _, method := range []string{"passkey", "totp", "recovery", "browser", ""} {
		require.GreaterOrEqual(t, b.post("/2fa/verify", "method", method).StatusCode, 400, method)
	}
	b.header.Set("X-Step-Up", "1")
	b.header.Set("Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJhbXIiOlsib3RwIl19.")
	b.setCookie("stepup", "true")
	require.Equal(t, 401, b.api("POST", "/contacts/export?mfa=1&amr=otp").StatusCode)
	require.Equal(t, 401, b.api("GET", "/report?mfa=1").StatusCode)
	require.Zero(t, h.exports)
}

func TestAbuse_L06_UserWithoutFactor(t *testing.T) {
	h := newHost(t, stepUpPolicy, noMail)
	b := h.browser()
	b.login("ada")
	page := b.follow(b.post("/contacts/export"))
	require.Equal(t, 403, page.StatusCode)
	require.Contains(t, page.Body, "Set up two-factor authentication first")
	require.Contains(t, page.Body, `href="/2fa/setup?start=1&amp;next=%2f2fa%2fconfirm%3faction%3d`, "and back to what needs the proof")
	require.Zero(t, h.exports)
}

func TestAbuse_L07_LockedFactor(t *testing.T) {
	h := newHost(t, stepUpPolicy)
	b := h.browser()
	phone, _ := b.enroll("ada")
	h.clock.pass(staleProof)
	b.follow(b.get("/report"))
	for _, wrong := range phone.wrongs(5) {
		b.post("/2fa/verify", "method", "totp", "code", wrong)
	}
	page := b.post("/2fa/verify", "method", "totp", "code", phone.code())
	require.Equal(t, 429, page.StatusCode)
	require.Equal(t, 401, b.api("GET", "/report").StatusCode)
	require.True(t, b.signedIn(), "the session stays valid")
}

func TestAbuse_L08_ProofEndsWithSession(t *testing.T) {
	for _, c := range []struct {
		name  string
		after int // status of the action that accepts earlier proofs
		end   func(*host, *browser, app)
	}{
		{"sign out", 401, func(h *host, b *browser, _ app) { b.get("/2fa/"); b.post("/2fa/revoke") }},
		{"password", 401, func(h *host, b *browser, _ app) { h.stamps.Store("ada", "2"); b.login("ada") }},
		{"credentials", 401, func(h *host, _ *browser, _ app) {
			require.NoError(h, h.m.User(twofa.AsHost("test"), "ada").CredentialsChanged(h.Context()))
		}},
		{"factor", 200, func(h *host, b *browser, phone app) {
			b.follow(b.get("/2fa/confirm?action=factors&next=/2fa/setup?start=1"))
			b.prove(phone)
			page := b.follow(b.post("/2fa/setup", "method", "totp"))
			b.follow(b.post("/2fa/setup/confirm", "code", h.scan(page.Body).code()))
			require.True(h, b.signedIn(), "this session stays valid")
		}}, // the proof that the change consists of counts
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t, stepUpPolicy)
			b := h.browser()
			phone, _ := b.enroll("ada")
			h.clock.pass(staleProof)
			b.follow(b.get("/report"))
			require.Equal(t, secretExport, b.prove(phone).Body)
			b.follow(b.get("/2fa/confirm?action=contacts.export&next=/contacts"))
			require.Equal(t, "contacts page", b.prove(phone).Body)
			c.end(h, b, phone)
			require.Equal(t, 401, b.api("POST", "/contacts/export").StatusCode, "a proof from before is gone")
			require.Equal(t, c.after, b.api("GET", "/report").StatusCode)
		})
	}
}

func TestAbuse_L10_NextOnAnotherSite(t *testing.T) {
	h := newHost(t, stepUpPolicy)
	b := h.browser()
	phone, _ := b.enroll("ada")
	h.clock.pass(staleProof)
	b.get("/2fa/confirm?action=report&next=" + url.QueryEscape("//evil.example/"))
	b.get("/2fa/challenge")
	a := b.post("/2fa/verify", "method", "totp", "code", phone.next())
	require.Equal(t, "/", a.Header.Get("Location"))
	a = b.get("/2fa/confirm?action=report&next=" + url.QueryEscape("https://evil.example/"))
	require.Equal(t, "/", a.Header.Get("Location"), "even if there is already a proof")
}

func TestAbuse_L11_POSTIsNotRepeated(t *testing.T) {
	h := newHost(t, stepUpPolicy)
	b := h.browser()
	phone, _ := b.enroll("ada")
	h.clock.pass(staleProof)
	r := b.request("POST", "/report", "delete=everything")
	r.Header.Set("Referer", h.srv.URL+"/contacts?page=2")
	page := b.follow(b.do(r))
	require.NotContains(t, page.Body, "everything")
	a := b.post("/2fa/verify", "method", "totp", "code", phone.next())
	require.Equal(t, "/contacts?page=2", a.Header.Get("Location"), "redirects to the page with the button")
	require.Zero(t, h.exports)

	evil := b.request("POST", "/contacts/export", "")
	evil.Header.Set("Sec-Fetch-Site", "cross-site")
	b.follow(b.get("/2fa/confirm?action=contacts.export&next=/contacts"))
	b.prove(phone)
	require.Equal(t, 403, b.do(evil).StatusCode, "another site cannot use up the proof")
	require.Equal(t, secretExport, b.post("/contacts/export").Body)
}

func TestAbuse_L13_ProofIsUsedUpOnce(t *testing.T) {
	h := newHost(t, stepUpPolicy)
	b := h.browser()
	phone, _ := b.enroll("ada")
	b.follow(b.post("/contacts/export"))
	b.prove(phone)
	see := b.get("/contacts/export")
	require.Equal(t, "/contacts", see.Header.Get("Location"), "a GET delivers nothing even with a proof")
	require.Equal(t, "no-store", see.Header.Get("Cache-Control"))
	require.Equal(t, 405, b.api("GET", "/contacts/export").StatusCode)
	require.Equal(t, 405, b.api("HEAD", "/contacts/export").StatusCode)
	results := make(chan string, 8)
	for range cap(results) {
		go func() { results <- b.api("POST", "/contacts/export").Body }()
	}
	delivered := 0
	for range cap(results) {
		if strings.Contains(<-results, "Ada") {
			delivered++
		}
	}
	require.Equal(t, 1, delivered)
}
