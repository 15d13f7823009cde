package twofahttp_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/twofahttp"
)

var guardedPaths = []string{"/", "/contacts", "/contacts/export", "/report", "/static/logo.png", "/unknown", "/2fa"}

func TestAbuse_E01_PendingLoginReachesNothing(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, _, _ := h.pending("ada")
	for _, path := range guardedPaths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"} {
			require.Contains(t, []int{301, 303, 307, 401, 405}, b.do(b.request(method, path, "")).StatusCode, method+" "+path)
			require.Contains(t, []int{301, 307, 401, 405}, b.api(method, path).StatusCode, method+" "+path)
		}
		upgrade := b.request("GET", path, "")
		upgrade.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}}
		require.NotEqual(t, http.StatusSwitchingProtocols, b.do(upgrade).StatusCode)
	}
	require.Zero(t, h.exports)
	require.Equal(t, "/2fa/challenge", b.get("/contacts").Header.Get("Location"))
	api := b.api("GET", "/contacts")
	require.Equal(t, "application/problem+json", api.Header.Get("Content-Type"))
	require.Equal(t, "second_factor_required", problemCode(t, api))
	require.Equal(t, "signed_out", problemCode(t, h.browser().api("GET", "/contacts")))
	for _, rt := range twofahttp.Routes() { // only the pages of the challenge and of help are open
		a := b.do(b.request(rt.Method, "/2fa/"+rt.Path, "csrf_token="+b.csrf))
		switch rt.Path {
		case "challenge", "help", "verify", "send", "cancel", "link", "status", "signin", "style.css", "twofa.js":
		case "asked": // the form above has no answer
			require.Contains(t, []int{303, 400}, a.StatusCode)
		default:
			require.Contains(t, []int{303, 401, 403, 410}, a.StatusCode, rt)
			require.NotContains(t, a.Body, "data:image/svg", rt)
		}
	}
}

func problemCode(t *testing.T, a answer) string {
	t.Helper()
	var p struct{ Code string }
	require.NoError(t, json.Unmarshal([]byte(a.Body), &p), a.Body)
	return p.Code
}

func TestAbuse_E02_PendingTokenAsBearer(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, _, _ := h.pending("ada")
	c := h.browser()
	for _, token := range []string{b.cookie("__Host-twofa-challenge"), b.cookie("__Host-twofa-browser")} {
		c.header.Set("Authorization", "Bearer "+token)
		require.Equal(t, 401, c.api("GET", "/contacts").StatusCode)
	}
	c.header = http.Header{}
	c.setCookie(sessionCookie, b.cookie("__Host-twofa-challenge"))
	require.Equal(t, 401, c.api("GET", "/contacts").StatusCode)
}

func TestAbuse_E03_AnotherUserInRequest(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	h.browser().enroll("bob")
	b, phone, _ := h.pending("ada")
	b.follow(b.post("/2fa/verify?user_id=bob", "method", "totp", "code", phone.next(), "user_id", "bob", "user", "bob"))
	d, err := h.m.DescribeSession(h.sessions.Session(mustRequest(b)))
	require.NoError(t, err)
	require.Equal(t, "ada", d.User)
}

func mustRequest(b *browser) *http.Request {
	r := b.request("GET", "/", "")
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: b.cookie(sessionCookie)})
	return r
}

func TestAbuse_E04_ChallengeOfAnotherUser(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	mallory, app, _ := h.pending("mallory")
	ada, _, _ := h.pending("ada")
	mallory.setCookie("__Host-twofa-challenge", ada.cookie("__Host-twofa-challenge"))
	require.Equal(t, 410, mallory.post("/2fa/verify", "method", "totp", "code", app.next()).StatusCode, "the challenge is bound to another browser")
	require.False(t, mallory.signedIn())
}

func TestAbuse_E05_PendingLoginExpires(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	b.get("/2fa/challenge")
	h.clock.pass(10 * time.Minute)
	page := b.post("/2fa/verify", "method", "totp", "code", phone.code())
	require.Equal(t, 410, page.StatusCode)
	require.Contains(t, page.Body, "Start again")
	require.Contains(t, page.Body, `href="/login"`)
	require.False(t, b.signedIn())
	require.Empty(t, b.cookie("__Host-twofa-challenge"))
}

func TestAbuse_E06_SessionIDChanges(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	_, phone, _ := h.pending("ada")
	b := h.browser()
	b.get("/login")
	before := b.cookie(sessionCookie)
	b.login("ada")
	pending := b.cookie("__Host-twofa-challenge")
	b.follow(b.post("/2fa/verify", "method", "totp", "code", phone.next()))
	after := b.cookie(sessionCookie)
	require.NotEqual(t, before, after)
	require.True(t, b.signedIn())

	old := h.browser()
	old.setCookie(sessionCookie, before)
	require.False(t, old.signedIn(), "the old session ID is invalid")
	old.setCookie("__Host-twofa-browser", b.cookie("__Host-twofa-browser"))
	old.setCookie("__Host-twofa-challenge", pending)
	old.get("/2fa/link")
	require.Equal(t, 410, old.post("/2fa/verify", "method", "totp", "code", phone.next()).StatusCode, "the pending login has ended")
}

func TestAbuse_E06_NewLoginEndsOldSession(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	h.browser().enroll("bob")
	b := h.browser()
	b.login("ada")
	require.True(t, b.signedIn())
	b.login("bob")
	require.False(t, b.signedIn(), "nobody is signed in until the login is complete")
}

func TestAbuse_E07_PlantedCookies(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	_, phone, _ := h.pending("ada")
	attacker, victim := h.browser(), h.browser()
	attacker.get("/login")
	attacker.get("/2fa/challenge")
	for _, name := range []string{sessionCookie, "__Host-twofa-browser"} {
		require.NotEmpty(t, attacker.cookie(name))
		victim.setCookie(name, attacker.cookie(name))
	}
	victim.enter("ada", phone, "remember", "yes")
	require.True(t, victim.signedIn())
	require.False(t, attacker.signedIn())
	require.Contains(t, attacker.login("ada").Body, "Enter your code")
}

func TestAbuse_E12_WrongCodeOpensNothing(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	require.Equal(t, 422, b.post("/2fa/verify", "method", "totp", "code", phone.wrong()).StatusCode)
	require.Equal(t, 401, b.api("GET", "/contacts").StatusCode)
	b.setCookie("__Host-twofa-setup", b.cookie("__Host-twofa-challenge"))
	require.Equal(t, 401, b.api("GET", "/contacts").StatusCode)
	require.NotContains(t, b.get("/2fa/setup").Body, locale.English().Text("page.setup.totp.button", nil), "the pending login cannot enroll a factor either")
}

func TestAbuse_F02_F03_EnrollmentDuringPendingLogin(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	for _, path := range []string{"/2fa/setup", "/2fa/codes/new", "/2fa/codes", "/2fa/setup/saved", "/2fa/setup/confirm"} {
		page := b.post(path, "method", "totp", "code", phone.code(), "saved", "yes")
		require.Contains(t, []int{401, 410}, page.StatusCode, path)
		require.Empty(t, codesOn(page.Body))
	}
	for _, path := range []string{"/2fa/setup", "/2fa/setup?start=1", "/2fa/setup/codes.txt", "/2fa/"} {
		page := b.get(path)
		require.Equal(t, "/2fa/challenge", page.Header.Get("Location"), path)
		require.NotContains(t, page.Body, phone.key)
	}
}

func TestAbuse_F04_KeyIsShownOnlyWhilePending(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	phone, _ := b.enroll("ada")
	for _, path := range []string{"/2fa/setup", "/2fa/", "/2fa/setup?start=1", "/2fa/setup/codes.txt"} {
		body := b.get(path).Body
		require.NotContains(t, body, "data:image/svg", path)
		require.NotContains(t, strings.ReplaceAll(body, " ", ""), phone.key, path)
	}
}

func TestAbuse_F05_RequestFromAnotherSiteChangesNothing(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.login("ada")
	b.get("/2fa/setup?start=1")
	phone := h.scan(b.follow(b.post("/2fa/setup", "method", "totp")).Body)
	before := h.store.writes()
	for _, rt := range twofahttp.Routes() {
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			r := b.request(method, "/2fa/"+rt.Path+"?start=1&method=totp&action=factors&token=x&saved=yes", "")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			b.do(r)
		}
	}
	require.Equal(t, before, h.store.writes())
	require.Equal(t, phone, h.scan(b.get("/2fa/setup").Body), "the pending key is the same")
}

func TestAbuse_F06_EnrollmentBelongsToItsSession(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	a, other, bob := h.browser(), h.browser(), h.browser()
	a.login("ada")
	other.login("ada")
	bob.login("bob")
	a.get("/2fa/setup?start=1")
	phone := h.scan(a.follow(a.post("/2fa/setup", "method", "totp")).Body)
	for _, b := range []*browser{other, bob} {
		b.get("/2fa/setup?start=1")
		require.Equal(t, 410, b.post("/2fa/setup/confirm", "code", phone.code()).StatusCode)
		require.NotContains(t, b.get("/2fa/setup").Body, "data:image/svg")
	}
	require.Equal(t, 303, a.post("/2fa/setup/confirm", "code", phone.code()).StatusCode)
}

func TestAbuse_F09_AddingFactorNeedsFreshProof(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	phone, _ := b.enroll("ada")
	h.clock.pass(time.Hour)
	b.get("/2fa/setup?start=1")
	page := b.follow(b.post("/2fa/setup", "method", "totp"))
	require.Contains(t, page.Body, "Confirm it’s you")
	require.NotContains(t, b.get("/2fa/setup").Body, "data:image/svg")
	require.Contains(t, b.prove(phone).Body, locale.English().Text("page.setup.totp.button", nil))
	require.Contains(t, b.follow(b.post("/2fa/setup", "method", "totp")).Body, "data:image/svg")

	late := h.browser() // the very first factor needs a recent password
	late.login("bob")
	h.clock.pass(16 * time.Minute)
	late.get("/2fa/setup?start=1")
	require.Equal(t, 401, late.post("/2fa/setup", "method", "totp").StatusCode)
}
