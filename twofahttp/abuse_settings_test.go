package twofahttp_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

func TestAbuse_G01_RemovalNeedsFreshProof(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	phone, _ := b.enroll("ada")
	id := idPattern.FindStringSubmatch(b.get("/2fa/").Body)[1]
	remove := func(b *browser) int {
		b.get("/2fa/revoke")
		r := b.request("POST", "/2fa/factors/remove", "csrf_token="+b.csrf+"&id="+id)
		r.Header.Set("Accept", "application/json")
		return b.do(r).StatusCode
	}
	thief := h.browser()
	thief.setCookie(sessionCookie, b.cookie(sessionCookie))
	require.Equal(t, 401, remove(thief), "the proof does not count in another browser")
	h.clock.pass(staleProof)
	require.Equal(t, 401, remove(b), "a session is no fresh proof")
	b.enter("ada", phone)
	h.clock.pass(staleProof)
	b.get("/2fa/")
	page := b.follow(b.post("/2fa/factors/remove", "id", id))
	require.Contains(t, page.Body, "Confirm it’s you", "the proof of the login is too old")
	b.prove(phone)
	page = b.follow(b.post("/2fa/factors/remove", "id", id))
	require.Contains(t, page.Body, english("page.settings.lead.off"))
}

// postPaths returns the paths of all POST requests.
func postPaths() (paths []string) {
	for _, rt := range twofahttp.Routes() {
		if rt.Method == "POST" {
			paths = append(paths, "/2fa/"+rt.Path)
		}
	}
	return paths
}

func TestAbuse_G02_G04_RequestFromAnotherSite(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.enroll("ada")
	b.get("/2fa/")
	before := h.store.writes()
	for _, path := range postPaths() {
		for site, origin := range map[string]string{"cross-site": "https://evil.example", "same-site": "https://sub.example.com", "": "https://evil.example", "cross-site ": "null"} {
			r := b.request("POST", path, "csrf_token="+b.csrf)
			r.Header.Set("Origin", origin)
			r.Header.Set("Sec-Fetch-Site", site)
			if site == "" {
				r.Header.Del("Sec-Fetch-Site")
			}
			require.Equal(t, 403, b.do(r).StatusCode, path+" "+site)
		}
	}
	require.Equal(t, before, h.store.writes())
	require.True(t, b.signedIn())
}

func TestAbuse_G03_InvalidFormToken(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, other := h.browser(), h.browser()
	b.enroll("ada")
	other.get("/2fa/challenge")
	for _, path := range postPaths() {
		if path == "/2fa/login" {
			continue // its page was sent without cookies; see TestBounce_ForeignPostKeepsTheKnownBrowser
		}
		if path == "/2fa/case" {
			continue // it works without cookies; see TestAbuse_G03_CaseFormWithoutItsLink
		}
		for _, token := range []string{"", "x", other.csrf, "&csrf_token=" + b.csrf} {
			r := b.request("POST", path, "csrf_token="+token)
			r.Header.Del("Sec-Fetch-Site")
			require.Contains(t, []int{400, 403}, b.do(r).StatusCode, path)
		}
		r := h.browser().request("POST", path, "csrf_token="+b.csrf)
		require.Equal(t, 403, h.browser().do(r).StatusCode, "the token of another browser is invalid")
	}
	require.True(t, b.signedIn())
}

func TestAbuse_G05_K07_IDsOfAnotherUser(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	ada, bob := h.browser(), h.browser()
	ada.enroll("ada")
	phone, _ := bob.enroll("bob")
	factors := idPattern.FindAllStringSubmatch(ada.get("/2fa/").Body, -1)
	require.NotEmpty(t, factors)
	ids := append(slices.Clone(factors), []string{"", ada.browserID()})
	bob.follow(bob.get("/2fa/confirm?action=factors&next=/2fa/"))
	bob.prove(phone)
	for _, id := range ids {
		for _, path := range []string{"/2fa/factors/remove", "/2fa/factors/rename", "/2fa/browsers/forget"} {
			require.Equal(t, 404, bob.post(path, "id", id[1], "name", "mine").StatusCode, path)
		}
		require.Equal(t, 404, bob.post("/2fa/setup", "method", "totp", "replaces", id[1]).StatusCode)
	}
	require.Equal(t, factors, idPattern.FindAllStringSubmatch(ada.get("/2fa/").Body, -1))
	require.Equal(t, ids[len(ids)-1][1], ada.browserID())
	bob.post("/2fa/browsers/forget", "id", bob.browserID())
	require.Contains(t, bob.get("/2fa/").Body, english("page.settings.browsers.none"), "the user's own browser is forgotten")
}

func TestAbuse_G11_Framing(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.enroll("ada")
	page := b.get("/2fa/")
	require.Contains(t, page.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
}

func TestAbuse_H06_CodesAreShownOnce(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	phone, codes := b.enroll("ada")
	b.follow(b.get("/2fa/confirm?action=factors&next=/2fa/"))
	b.prove(phone)
	for _, path := range []string{"/2fa/setup", "/2fa/", "/2fa/codes", "/2fa/setup/codes.txt"} {
		page := b.get(path)
		require.Equal(t, "no-store", page.Header.Get("Cache-Control"))
		require.NotContains(t, page.Body, codes[0])
	}
	require.Equal(t, 403, b.post("/2fa/codes").StatusCode, "codes that are not viewable are never shown again")
}

func TestAbuse_H07_CodesDuringPendingLogin(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(c *twofa.Config, _ *twofahttp.Config) { c.Recovery.Viewable = true })
	b, _, codes := h.pending("ada")
	for _, path := range []string{"/2fa/codes", "/2fa/codes/new"} {
		page := b.post(path, "format", "text")
		require.Equal(t, 401, page.StatusCode, path)
		require.NotContains(t, page.Body, codes[0])
	}
}

func TestAbuse_H12_ClientChoosesCodeToUseUp(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, _, codes := h.pending("ada")
	require.Equal(t, 422, b.post("/2fa/verify", "method", "recovery", "code", "0000-0000-0000-0000-0000-0000", "index", "3", "id", "3").StatusCode)
	page := b.follow(b.post("/2fa/verify", "method", "recovery", "code", codes[3]))
	require.Contains(t, page.Body, "9 codes left")
}

func TestAbuse_T05_QRCodeIsShownToItsUserOnly(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, eve := h.browser(), h.browser()
	b.login("ada")
	eve.login("eve")
	b.get("/2fa/setup?start=1")
	page := b.follow(b.post("/2fa/setup", "method", "totp"))
	require.Contains(t, page.Body, `<img src="data:image/svg`, "the QR code is part of the page")
	require.NotContains(t, page.Body, "https://")
	require.NotContains(t, eve.get("/2fa/setup").Body, "data:image/svg")
	require.NotContains(t, h.browser().get("/2fa/setup").Body, "data:image/svg")
}
