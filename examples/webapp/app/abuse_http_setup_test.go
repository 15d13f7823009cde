package app_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
)

// Abuse cases of enrollment, factors and recovery codes.

// visits lists the paths below /2fa/ that accept a GET.
var visits = []string{"", "challenge", "status", "help", "link", "confirm", "recovered", "setup", "setup/codes.txt", "factors/rename", "factors/remove",
	"codes/new", "browsers/forget", "browsers/forget-all", "revoke", "style.css", "twofa.js"}

// visited returns the path of every page of the product and of package
// twofahttp.
func (s *site) visited() (paths []string) {
	for _, rt := range s.app.Routes() {
		if rt.Method == "GET" {
			paths = append(paths, pathOf(rt))
		}
	}
	for _, path := range visits {
		paths = append(paths, "/2fa/"+path)
	}
	return append(paths, "/2fa/setup?start=1", "/2fa/setup?start=1&method=totp", "/2fa/confirm?action=factors")
}

const hana = "hana@summit.example"

// Only the pages of an enrollment contain its key, and only until it is
// confirmed.
func TestAbuse_F03_F04_KeyIsNeverShownAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	owner := s.as(jon)
	codes := owner.enrollApp(jon)
	_, key, _ := strings.Cut(s.uris[jon], "secret=")
	key, _, _ = strings.Cut(key, "&")
	require.Len(t, key, 32)
	owner.stepUp(jon, twofa.ActionFactors) // not even a fresh proof shows the key
	id := idAfter(owner.get("/2fa/").body, "replaces=")
	for name, b := range map[string]*browser{"password only": s.half(jon), "signed in": owner} {
		for _, path := range append(s.visited(), "/2fa/setup?start=1&replaces="+id, "/2fa/qr", "/2fa/setup/qr.svg", "/2fa/setup/qr.png", "/2fa/secret") {
			got := b.get(path)
			require.NotContains(t, strings.ReplaceAll(got.body, " ", ""), key, name+" "+path)
			require.NotContains(t, got.body, "otpauth:", name+" "+path)
			require.NotContains(t, got.body, codes[0], name+" "+path)
			if name == "password only" && strings.HasPrefix(path, "/2fa/setup") {
				require.Contains(t, []int{http.StatusSeeOther, http.StatusNotFound}, got.status, path)
			}
		}
	}
}

// A visit that another site causes creates no key and changes none.
func TestAbuse_F05_VisitFromAnotherSiteChangesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as(jon)
	visitAll := func() {
		t.Helper()
		before, session := s.state(), b.cookie(sessionCookie)
		for _, path := range append(slices.Clone(visits), posts...) {
			for _, method := range []string{"GET", "HEAD"} {
				b.do(method, "/2fa/"+path+"?start=1&method=totp&action=factors&saved=yes&token=x&code=000000", "",
					"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Referer", "https://evil.example/")
			}
		}
		require.Equal(t, before, s.state())
		require.Equal(t, session, b.cookie(sessionCookie))
	}
	visitAll()
	require.NotContains(t, b.get("/2fa/setup").body, "otpauth:", "no key was created")
	b.post("/2fa/setup?start=1", "/2fa/setup", "method", "totp")
	b.scan(jon)
	pending := s.uris[jon]
	visitAll()
	b.scan(jon)
	require.Equal(t, pending, s.uris[jon], "the same key is pending")
	require.Equal(t, "/2fa/setup", b.post("/2fa/setup", "/2fa/setup/confirm", "code", s.code(jon)).location)
}

var elsewhere = regexp.MustCompile(`(?i)(?:src|href|action|srcset|url\()["'=(\s]*(?:https?:)?//`)

// An enrollment belongs to the session that started it. Its QR code is part of
// the page, so no other service draws it.
func TestAbuse_F06_T05_EnrollmentBelongsToItsSession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, c := range []struct {
		name, email, another string
		enter                func(s *site, email string) *browser // until enrollment is possible
	}{
		{"voluntary", jon, ida, (*site).as},
		{"required", gus, hana, func(s *site, email string) *browser {
			b := s.browser()
			b.login(email)
			require.Equal(s.t, "/2fa/setup", b.prove(email).location)
			return b
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, second, other := c.enter(s, c.email), c.enter(s, c.email), c.enter(s, c.another)
			require.Equal(t, "/2fa/setup", b.post("/2fa/setup?start=1", "/2fa/setup", "method", "totp").location)
			if c.name == "required" { // recovery codes come first
				b.post("/2fa/setup", "/2fa/setup/saved", "saved", "yes")
			}
			page := b.get("/2fa/setup")
			require.Contains(t, page.body, "data:image/svg")
			require.NotRegexp(t, elsewhere, page.body, "nothing is loaded from another site")
			require.Contains(t, page.header.Get("Content-Security-Policy"), "default-src 'none'")
			require.NotRegexp(t, `https?:|\*`, page.header.Get("Content-Security-Policy"))
			b.scan(c.email)
			code := s.code(c.email)
			for _, not := range []*browser{second, other, s.browser()} {
				for _, path := range []string{"/2fa/setup", "/2fa/setup?start=1", "/2fa/setup/codes.txt", "/2fa/setup/qr.svg", "/2fa/qr.png"} {
					got := not.get(path)
					require.NotContains(t, got.body, "data:image/svg", path)
					require.Empty(t, shownCodes(got.body), path)
				}
				require.Equal(t, http.StatusNotFound, not.get("/2fa/setup/qr.svg").status)
				not.get("/2fa/link") // sets the cookie for the token
				for _, path := range []string{"/2fa/setup/confirm", "/2fa/setup/saved"} {
					got := not.send2FA(path, "code", code, "saved", "yes")
					require.Contains(t, []int{http.StatusGone, http.StatusUnauthorized}, got.status, path)
				}
			}
			require.Zero(t, s.rows(`SELECT count(*) FROM twofa_events WHERE type = 'enrolled'`))
			require.Equal(t, http.StatusSeeOther, b.post("/2fa/setup", "/2fa/setup/confirm", "code", code).status, "nothing was used up")
		})
	}
}

// A required last factor cannot be removed, with any path or method, even if
// concurrent requests remove two of two.
func TestAbuse_G06_RequiredLastFactorStays(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.enter(gus)
	b.stepUp(gus, twofa.ActionFactors)
	own, lib := b.csrf("/settings"), b.csrf("/2fa/revoke")
	token := "Bearer " + s.token(gus, "")
	id := idAfter(b.get("/2fa/").body, "replaces=")
	before := s.state()
	for _, c := range []struct {
		method, path, kind, body string
		want                     int
	}{
		{"POST", "/2fa/factors/remove", formType, form("csrf_token", lib, "id", id), http.StatusForbidden},
		{"POST", "/2fa/factors/remove", formType, form("csrf_token", lib, "id", id, "force", "yes", "account", "brook"), http.StatusForbidden},
		{"POST", "/2fa/factors/remove", jsonType, object("csrf_token", lib, "id", id), http.StatusUnsupportedMediaType},
		{"POST", "/2fa/factors/remove-all", formType, form("csrf_token", lib), http.StatusNotFound},
		{"DELETE", "/2fa/factors/" + id, "", "", http.StatusNotFound},
		{"PATCH", "/settings", jsonType, object("twofa", "off"), http.StatusMethodNotAllowed},
		{"POST", "/settings/profile", formType, form("csrf_token", own, "name", "Gus", "twofa", "off", "factors", ""), http.StatusSeeOther},
		{"PATCH", "/api/me", jsonType, object("twofa", "off"), http.StatusMethodNotAllowed},
		{"DELETE", "/api/factors/" + id, "", "", http.StatusNotFound},
	} {
		for _, accept := range []string{"text/html", jsonType} {
			got := b.do(c.method, c.path, c.body, "Content-Type", c.kind, "Accept", accept, "Authorization", token)
			require.Equal(t, c.want, got.status, c.method+" "+c.path)
		}
	}
	require.Equal(t, before, s.state())

	b.enrollApp(gus, "name", "Tablet")
	b.stepUp(gus, twofa.ActionFactors)
	lib = b.csrf("/2fa/revoke")
	page := b.get("/2fa/").body
	one := idAfter(page, "replaces=")
	two := idAfter(page[strings.LastIndex(page, "replaces="):], "replaces=")
	require.NotEqual(t, one, two)
	together(t, 8, func(i int) (answer, error) {
		id := []string{one, two}[i%2]
		return b.send("POST", "/2fa/factors/remove", form("csrf_token", lib, "id", id), "Content-Type", formType)
	})
	require.Equal(t, 1, s.rows(`SELECT count(*) FROM twofa_events WHERE type = 'removed'`), "only one of the two was removed")
	require.Zero(t, s.rows(`SELECT count(*) FROM twofa_events WHERE type = 'turned_off'`))
	require.Equal(t, "/2fa/challenge", s.browser().login(gus).location)
}

func TestAbuse_G09_PhoneNumberDuringChange(t *testing.T) {
	t.Parallel()
	const before, after = "+12025550101", "+12025550177"
	s := newSite(t)
	b := s.browser()
	b.enrollPhone(eva, "202 555 0101")
	change := []string{"method", "sms", "phone", after, "replaces", idAfter(b.get("/2fa/").body, "replaces=")}
	s.advance(staleProof)
	asksForCode(t, b.post("/2fa/setup?start=1", "/2fa/setup", change...), "a session is not enough")
	require.Equal(t, "/2fa/challenge", b.get("/2fa/confirm?action=factors").location)
	s.advance(6 * time.Minute)
	b.post("/2fa/challenge", "/2fa/send", "method", "sms")
	require.Equal(t, http.StatusSeeOther, b.post("/2fa/challenge", "/2fa/verify", "method", "sms", "code", s.textedCode(before)).status)
	for _, m := range s.outbox() {
		require.NotEqual(t, after, m.To, "nothing is sent to the new number before the proof")
	}

	require.Equal(t, "/2fa/setup", b.post("/2fa/setup?start=1", "/2fa/setup", change...).location)
	fresh := s.textedCode(after)
	old := s.browser()
	require.Equal(t, "/2fa/challenge", old.login(eva).location)
	require.Equal(t, http.StatusUnprocessableEntity, old.post("/2fa/challenge", "/2fa/verify", "method", "sms", "code", fresh).status)
	require.Equal(t, "/contacts", old.post("/2fa/challenge", "/2fa/verify", "method", "sms", "code", s.textedCode(before)).location,
		"the old number works until the new one is confirmed")
	require.Equal(t, http.StatusUnprocessableEntity, b.post("/2fa/setup", "/2fa/setup/confirm", "code", s.textedCode(before)).status,
		"a code for the old number does not confirm the new one")

	require.Equal(t, "/2fa/", b.post("/2fa/setup", "/2fa/setup/confirm", "code", fresh).location)
	require.Contains(t, s.lastMessage(before, "another phone").Text, "codes now go to another phone")
	require.Contains(t, s.lastMessage(eva, "in place of another one").Subject, "Phone replaced")
	s.advance(10 * time.Minute)
	require.Equal(t, "/2fa/challenge", s.browser().login(eva).location)
	require.Equal(t, after, s.outbox()[len(s.outbox())-1].To)
	require.False(t, old.signedIn(), "sessions proven with the old number have ended")
}

// Recovery codes are shown while they are generated. Afterwards no page
// contains them, and no browser stores them. If they are viewable, only a POST
// with a fresh proof shows them.
func TestAbuse_H06_CodesAreShownOnce(t *testing.T) {
	t.Parallel()
	for name, viewable := range map[string]bool{"viewable": true, "not viewable": false} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(c *app.Config) { c.ViewableCodes = viewable })
			b := s.as(jon)
			b.enrollApp(jon)
			b.stepUp(jon, twofa.ActionFactors)
			require.Equal(t, "/2fa/setup", b.post("/2fa/revoke", "/2fa/codes/new").location)
			page, file := b.get("/2fa/setup"), b.get("/2fa/setup/codes.txt")
			codes := shownCodes(page.body)
			require.Len(t, codes, 10)
			require.Equal(t, codes, shownCodes(file.body))
			for _, got := range []answer{page, file, b.post("/2fa/setup", "/2fa/setup/saved", "saved", "yes")} {
				require.Equal(t, "no-store", got.header.Get("Cache-Control"))
			}
			for _, path := range append(s.visited(), "/2fa/codes", "/2fa/codes?format=text", "/2fa/codes/new") {
				got := b.get(path)
				require.Empty(t, shownCodes(got.body), path)
				if strings.HasPrefix(path, "/2fa/") {
					require.Equal(t, "no-store", got.header.Get("Cache-Control"), path)
				}
			}
			again := b.post("/2fa/revoke", "/2fa/codes")
			require.Equal(t, viewable, slices.Contains(shownCodes(again.body), codes[0]))
			require.Equal(t, "no-store", again.header.Get("Cache-Control"))
			s.advance(time.Hour)
			require.Empty(t, shownCodes(b.post("/2fa/revoke", "/2fa/codes", "format", "text").body), "not without a fresh proof")
		})
	}
}

// An attacker who has only the password can neither view nor generate recovery
// codes, and cannot choose the code that is used up.
func TestAbuse_H07_H12_CodesBeforeTheProof(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	codes := s.as(jon).enrollApp(jon)
	b, held := s.half(jon), s.browser()
	held.login(gus)
	require.Equal(t, "/2fa/setup", held.prove(gus).location) // email link, no factor yet
	before := s.state()
	for page, b := range map[string]*browser{"/2fa/challenge": b, "/2fa/setup": held} {
		for _, path := range []string{"/2fa/codes", "/2fa/codes/new"} {
			got := b.post(page, path, "format", "text")
			require.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, got.status, page+" "+path)
			require.Empty(t, shownCodes(got.body))
		}
		require.Empty(t, shownCodes(b.get("/2fa/setup/codes.txt").body))
	}
	require.Equal(t, before, s.state())

	for _, code := range []string{noCode, "", codes[3][:24]} {
		got := b.post("/2fa/challenge", "/2fa/verify?index=3", "method", "recovery", "code", code, "index", "3", "id", "3", "hash", codes[3])
		require.Equal(t, http.StatusUnprocessableEntity, got.status, code)
	}
	got := b.follow(b.post("/2fa/challenge", "/2fa/verify", "method", "recovery", "code", codes[3], "index", "5"))
	require.Contains(t, got.body, "9 codes left", "only the entered code is used up")
	got = s.half(jon).post("/2fa/challenge", "/2fa/verify", "method", "recovery", "code", codes[5])
	require.Equal(t, http.StatusSeeOther, got.status)
}

// A user who has an app must use it, at login, even if the account accepts text
// messages from users without one, and before an action.
func TestAbuse_E13_WeakerMethodIsNotOffered(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	owner := s.enter(finn)
	owner.stepUp(finn, twofa.ActionFactors)
	require.Equal(t, "/2fa/setup", owner.post("/2fa/setup?start=1", "/2fa/setup", "method", "sms", "phone", "+12025550102").location)
	require.Equal(t, "/2fa/", owner.post("/2fa/setup", "/2fa/setup/confirm", "code", s.textedCode("+12025550102")).location)
	s.advance(time.Hour)

	refused := func(b *browser, where string) {
		t.Helper()
		sent := len(s.outbox())
		for _, method := range []string{"sms", "email"} {
			page := b.get("/2fa/challenge?method=" + method).body
			require.Contains(t, page, `name="method" value="totp"`, where)
			require.NotContains(t, page, `href="/2fa/challenge?method=`+method, where)
			require.Equal(t, http.StatusForbidden, b.post("/2fa/challenge", "/2fa/send", "method", method).status, where)
		}
		require.Equal(t, http.StatusForbidden, b.post("/2fa/challenge", "/2fa/verify", "method", "sms", "code", "000000").status, where)
		require.Len(t, s.outbox(), sent, where)
	}
	b := s.half(finn)
	refused(b, "login")
	status, out := s.call("/api/login", "", "email", finn, "password", app.DemoPassword)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, []any{"totp", "recovery"}, out["methods"])
	status, _ = s.call("/api/login/send", "", "challenge", out["challenge"].(string), "method", "sms")
	require.Equal(t, http.StatusForbidden, status)
	require.Equal(t, "/contacts", b.prove(finn).location)

	b.post("/contacts", "/switch", "account", "summit") // accepts only an app
	s.advance(staleProof)
	require.Equal(t, "/2fa/challenge", b.get("/2fa/confirm?action=contacts.export").location)
	refused(b, "export")
	require.NotEqual(t, http.StatusOK, b.post("/contacts", "/contacts/export").status)
}
