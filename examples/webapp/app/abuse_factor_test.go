package app_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
)

// Abuse cases of enrollment, remembered browsers, the fresh proof before an
// export, cookies and the log.

// posts lists the paths below /2fa/ that accept a POST.
var posts = []string{"challenge", "verify", "send", "cancel", "link", "setup", "setup/confirm", "setup/saved", "factors/rename",
	"factors/remove", "codes", "codes/new", "browsers/forget", "browsers/forget-all", "revoke", "signin"}

// state returns the version of every record of package twofa, to compare.
func (s *site) state() (versions []string) {
	s.t.Helper()
	rows, err := s.db.QueryContext(s.t.Context(), `SELECT key, version FROM twofa_records ORDER BY 1`)
	require.NoError(s.t, err)
	defer rows.Close()
	for rows.Next() {
		var key, version string
		require.NoError(s.t, rows.Scan(&key, &version))
		versions = append(versions, key+" "+version)
	}
	require.NoError(s.t, rows.Err())
	return versions
}

func TestAbuse_F02_EnrollmentFromAPendingLogin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.half(jon)
	before := s.state()
	for _, path := range posts {
		if path == "challenge" || path == "verify" || path == "cancel" || path == "link" || path == "send" || path == "signin" {
			continue // the next steps of the login, and its end
		}
		got := b.post("/2fa/challenge", "/2fa/"+path, "method", "totp", "saved", "yes")
		require.Equal(t, http.StatusUnauthorized, got.status, path)
		require.NotContains(t, got.body, "otpauth:")
		require.Empty(t, shownCodes(got.body))
	}
	for _, path := range []string{"", "setup", "setup?start=1", "setup/codes.txt"} {
		require.Equal(t, "/2fa/challenge", b.get("/2fa/"+path).location, path)
	}
	require.Equal(t, before, s.state())
}

func TestAbuse_F09_SecondFactorByLongLivedSession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as(jon)
	s.advance(15 * time.Minute)
	got := b.post("/2fa/setup?start=1", "/2fa/setup", "method", "totp")
	require.Equal(t, http.StatusUnauthorized, got.status, "the first factor needs a recent password")
	require.Contains(t, got.body, "Sign in again")
	require.Contains(t, b.post("/2fa/revoke", "/2fa/signin", "next", "/2fa/setup").location, "/login?next=")
	require.False(t, b.signedIn())

	b = s.as(jon)
	b.enrollApp(jon)
	s.advance(time.Hour)
	asksForCode(t, b.post("/2fa/setup?start=1", "/2fa/setup", "method", "totp"), "another factor needs a fresh code")
	b.stepUp(jon, twofa.ActionFactors)
	require.Equal(t, "/2fa/setup", b.post("/2fa/setup?start=1", "/2fa/setup", "method", "totp").location)
}

func TestAbuse_F11_DestinationFromTheRequest(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	b.login(ada)
	s.advance(61 * time.Second)
	b.post("/2fa/challenge", "/2fa/send?email=thief@evil.example", "method", "email", "email", "thief@evil.example", "to", "thief@evil.example", "phone", "+12025550199")
	s.browser().enrollPhone(eva, "202 555 0101")
	b = s.browser()
	b.login(eva)
	s.advance(3 * time.Minute)
	b.post("/2fa/challenge", "/2fa/send", "method", "sms", "phone", "+12025550199", "to", "+12025550199")
	status, _ := s.call("/api/login/send", "", "challenge", "x", "method", "sms", "to", "+12025550199")
	require.Equal(t, http.StatusBadRequest, status)
	for _, m := range s.outbox() {
		require.Contains(t, []string{ada, eva, "+12025550101"}, m.To)
	}
	require.Len(t, s.outbox(), 7, "three links, one notice of the enrollment, three text messages")
}

// A user is created only through a link that was sent to the address.
func TestAbuse_F16_UnverifiedAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.as(ada).post("/members", "/members/invite", "email", "gil@example.com", "role", "member")
	thief := s.browser()
	require.Equal(t, http.StatusUnauthorized, thief.typePassword("gil@example.com").status)
	require.Contains(t, thief.get("/2fa/setup?start=1").location, "/login", "there is no user to enroll for")

	link, gil := s.linkIn(s.lastMessage("gil@example.com", "/invite/")), s.browser()
	gil.post(link, link, "name", "Gil Demo", "password", app.DemoPassword)
	gil.prove("gil@example.com")
	require.Contains(t, gil.get("/2fa/").body, ">Email link<")
	require.NotContains(t, gil.get("/2fa/").body, "factors/remove", "no factor is enrolled")
}

func TestAbuse_G01_TurningOffByCookieOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as(jon)
	b.enrollApp(jon)
	s.advance(time.Hour)
	id := idAfter(b.get("/2fa/").body, "replaces=")
	before := s.state()
	asksForCode(t, b.post("/2fa/revoke", "/2fa/factors/remove", "id", id), "the session cookie is not enough")
	got := s.half(jon).post("/2fa/challenge", "/2fa/factors/remove", "id", id)
	require.Equal(t, http.StatusUnauthorized, got.status, "the password is not enough")
	require.Equal(t, before, s.state())
	b.stepUp(jon, twofa.ActionFactors)
	require.Equal(t, "/2fa/", b.post("/2fa/revoke", "/2fa/factors/remove", "id", id).location, "a fresh code is enough")
	require.Contains(t, b.get("/2fa/").body, "Your account is protected by your password only")
}

// forged sends every POST of the product and of package twofahttp as another
// site would make the browser send it, for a user who is signed in and has just
// given a fresh proof. If with is true, the form contains the right token.
func forged(t *testing.T, with bool, header ...string) {
	s := newSite(t)
	b := s.as(jon)
	b.enrollApp(jon)
	b.stepUp(jon, twofa.ActionFactors)
	b.stepUp(jon, "contacts.export")
	own, lib := b.csrf("/contacts"), b.csrf("/2fa/revoke")
	id, before := idAfter(b.get("/2fa/").body, "replaces="), s.state()
	paths := map[string]string{}
	for _, rt := range s.app.Routes() {
		if rt.Method == "POST" && !strings.HasPrefix(rt.Path, "/api/") {
			paths[pathOf(rt)] = own
		}
	}
	for _, path := range posts {
		paths["/2fa/"+path] = lib
	}
	require.Greater(t, len(paths), 30)
	for path, token := range paths {
		body := form("id", id, "method", "totp", "saved", "yes", "name", "x", "account", "brook")
		if with {
			body += "&csrf_token=" + token
		}
		got := b.do("POST", path, body, append(header, "Content-Type", formType)...)
		require.Equal(t, http.StatusForbidden, got.status, path)
		require.NotContains(t, got.body, "Brooks", path)
	}
	require.Equal(t, before, s.state())
	require.True(t, b.signedIn())
}

func TestAbuse_G02_ForgedByAnotherSite(t *testing.T) {
	t.Parallel()
	forged(t, true, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
}

func TestAbuse_G03_ForgedInAnOldBrowser(t *testing.T) {
	t.Parallel()
	forged(t, false)
}

func TestAbuse_G04_ForgedBySubdomain(t *testing.T) {
	t.Parallel()
	forged(t, true, "Origin", "https://sub.127.0.0.1", "Sec-Fetch-Site", "same-site")
}

func TestAbuse_G10_ChangeOfFactorsEndsOtherSessions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	here := s.as(jon)
	change := func(name string, do func()) {
		t.Run(name, func(t *testing.T) {
			there, token := s.as(jon), s.token(jon, "")
			if s.uris[jon] != "" {
				here.stepUp(jon, twofa.ActionFactors)
			}
			do()
			require.True(t, here.signedIn(), "this session stays")
			require.False(t, there.signedIn())
			require.Equal(t, http.StatusUnauthorized, there.do("GET", "/api/me", "", "Authorization", "Bearer "+token).status)
			require.Empty(t, revokePath.FindAllString(here.get("/settings").body, -1), "ended sessions are not listed")
		})
	}
	change("the first", func() { here.enrollApp(jon) })
	change("another", func() { here.enrollApp(jon, "name", "Tablet") })
	change("removed", func() {
		here.post("/2fa/revoke", "/2fa/factors/remove", "id", idAfter(here.get("/2fa/").body, "replaces="))
	})
}

// remembered returns a browser in which the account Meadow does not ask.
func (s *site) remembered(email string) *browser {
	s.t.Helper()
	if s.uris[email] == "" {
		s.enter(email)
	}
	b := s.browser()
	require.Equal(s.t, "/2fa/challenge", b.typePassword(email).location)
	require.Equal(s.t, "/contacts", b.prove(email, "remember", "yes").location)
	b.post("/contacts", "/logout")
	return b
}

const finn = "finn@meadow.example"

func TestAbuse_K01_ForgedBrowser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	good := s.remembered(eva).cookie(browserCookie)
	_, value, _ := strings.Cut(good, "=")
	var otherKeys string
	require.NoError(t, s.db.QueryRowContext(t.Context(), `SELECT version FROM twofa_records WHERE key = 'user/eva'`).Scan(&otherKeys))
	for _, forged := range []string{
		strings.Repeat("A", len(value)), value[:len(value)-1], value + "A", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJldmEifQ.", otherKeys,
		"eyJ1c2VyIjoiZXZhIiwicmVtZW1iZXIiOnRydWV9AAAAAAAA", "true",
	} {
		b := s.browser()
		b.setCookie(browserCookie + "=" + forged)
		require.Equal(t, "/2fa/challenge", b.typePassword(eva).location, forged)
	}
	b := s.browser()
	b.setCookie(good)
	require.Equal(t, "/contacts", b.typePassword(eva).location, "the real cookie works")
}

func TestAbuse_K02_BrowserOfAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.enter(finn)
	b := s.remembered(eva)
	require.Equal(t, "/2fa/challenge", b.typePassword(finn).location)
	require.False(t, b.signedIn())
}

func TestAbuse_K03_BrowserPastItsTime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.remembered(eva)
	s.advance(30*24*time.Hour - time.Second)
	require.Equal(t, "/contacts", b.typePassword(eva).location)
	b.post("/contacts", "/logout")
	b.setCookie(b.cookie(browserCookie)) // without its expiry
	s.advance(time.Second)
	require.Equal(t, "/2fa/challenge", b.typePassword(eva).location, "use does not extend the time")
}

func TestAbuse_K04_EventsThatForgetBrowsers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(s *site, other *browser)
	}{
		{"password change", func(s *site, other *browser) {
			got := other.post("/settings", "/settings/password", "current", app.DemoPassword, "password", app.DemoPassword)
			require.Equal(s.t, http.StatusSeeOther, got.status)
		}},
		{"password reset", func(s *site, _ *browser) {
			b := s.browser()
			b.post("/forgot", "/forgot", "email", eva)
			link := s.linkIn(s.lastMessage(eva, "/reset/"))
			b.post(link, link, "password", app.DemoPassword)
		}},
		{"another factor", func(s *site, other *browser) { other.enrollApp(eva) }},
		{"factor replaced", func(s *site, other *browser) {
			other.enrollApp(eva, "replaces", idAfter(other.get("/2fa/").body, "replaces="))
		}},
		{"factor removed", func(s *site, other *browser) {
			require.NoError(s.t, s.app.Manager().Account(twofa.AsHost("test"), "meadow").SetPolicy(s.t.Context(), twofa.Policy{Remember: 30 * 24 * time.Hour}, ""))
			got := other.post("/2fa/revoke", "/2fa/factors/remove", "id", idAfter(other.get("/2fa/").body, "replaces="))
			require.Equal(s.t, "/2fa/", got.location)
			s.as(eva).enrollApp(eva) // so that a challenge is possible
		}},
		{"login with a recovery code", func(s *site, other *browser) {
			codes := shownCodes(other.post("/2fa/revoke", "/2fa/codes").body)
			b := s.half(eva)
			require.Equal(s.t, http.StatusSeeOther, b.post("/2fa/challenge", "/2fa/verify", "method", "recovery", "code", codes[0]).status)
		}},
		{"log out everywhere", func(s *site, other *browser) { other.post("/2fa/revoke", "/2fa/revoke") }},
		{"forgotten", func(s *site, other *browser) { other.post("/2fa/revoke", "/2fa/browsers/forget-all") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			b, other := s.remembered(eva), s.as(eva)
			other.stepUp(eva, twofa.ActionFactors)
			c.do(s, other)
			require.Equal(t, "/2fa/challenge", b.typePassword(eva).location)
		})
	}
}

func TestAbuse_K11_StricterAccountAsks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.remembered(finn)
	require.Equal(t, "/contacts", b.typePassword(finn).location)
	require.Contains(t, b.get("/contacts").body, "Meadow · member")
	b.post("/contacts", "/switch", "account", "summit")
	require.Equal(t, "/2fa/challenge", b.get("/contacts").location, "Summit remembers no browser")
	require.Equal(t, "/2fa/challenge", b.get("/settings").location)
	require.Equal(t, "/settings", b.prove(finn).location)
	require.Contains(t, b.get("/contacts").body, "Summit · member")
}

const gus = "gus@summit.example"

func TestAbuse_L01_ExportWithoutProof(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.enter(gus)
	s.advance(staleProof)
	before := s.state()
	got := b.post("/contacts", "/contacts/export")
	asksForCode(t, got)
	require.NotContains(t, got.body, "Peak")
	require.Empty(t, got.header.Get("Content-Disposition"))
	require.Equal(t, before, s.state())
	got = b.do("POST", "/api/contacts/export", "", "Authorization", "Bearer "+s.token(gus, ""))
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.Contains(t, got.header.Get("WWW-Authenticate"), `max_age="300"`)
	require.NotContains(t, got.body, "Peak")
	require.NotContains(t, s.log.String(), "sensitive action")
}

func TestAbuse_L02_ProofTooOld(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.enter(gus)
	b.stepUp(gus, "contacts.export")
	for range 2 { // Summit accepts a proof for five minutes
		require.Contains(t, b.post("/contacts", "/contacts/export").body, "Avery Peak")
	}
	s.advance(5 * time.Minute)
	got := b.post("/contacts", "/contacts/export")
	asksForCode(t, got)
	require.NotContains(t, got.body, "Peak")
}

func TestAbuse_L03_ProofOfAnotherSession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	one := s.enter(gus)
	two, token := s.as(gus), s.token(gus, "")
	one.stepUp(gus, "contacts.export")
	asksForCode(t, two.post("/contacts", "/contacts/export"))
	require.Equal(t, http.StatusUnauthorized, two.do("POST", "/api/contacts/export", "", "Authorization", "Bearer "+token).status)
	require.Equal(t, http.StatusOK, one.post("/contacts", "/contacts/export").status)
}

func TestAbuse_L05_ProofThatIsOnlyClaimed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.enter(gus)
	s.advance(staleProof)
	token := b.csrf("/contacts")
	for _, header := range [][]string{
		{"X-Step-Up", "1"}, {"Cookie", b.cookie(sessionCookie) + "; stepup=true"}, {"X-AMR", "otp mfa"},
		{"Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJhbXIiOlsib3RwIiwibWZhIl19."},
	} {
		got := b.do("POST", "/contacts/export?mfa=1&export=ready", form("csrf_token", token, "mfa", "1"), append(header, "Content-Type", formType)...)
		require.Contains(t, got.location, "/2fa/confirm?", header)
	}
	asksForCode(t, b.post("/contacts?export=ready", "/contacts/export"))
}

func TestAbuse_L06_NothingToProveItWith(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as(ada)
	got := b.follow(b.post("/contacts", "/contacts/export"))
	require.Equal(t, http.StatusForbidden, got.status)
	require.Contains(t, got.body, "/2fa/setup?start=1")
	require.NotContains(t, got.body, "Sample")
	got = b.do("POST", "/api/contacts/export", "", "Authorization", "Bearer "+s.token(ada, ""))
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.NotContains(t, got.body, "Sample")
}

func TestAbuse_L08_ProofDiesWithWhatItStoodOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fresh bool // whether what ends the proof is a new one
		do    func(b *browser)
	}{
		{"logout", false, func(b *browser) { b.post("/contacts", "/logout") }},
		{"password change", false, func(b *browser) {
			b.post("/settings", "/settings/password", "current", app.DemoPassword, "password", app.DemoPassword)
		}},
		{"change of factors", true, func(b *browser) {
			b.stepUp(gus, twofa.ActionFactors)
			b.enrollApp(gus)
			b.setCookie(b.cookie(sessionCookie))
		}},
		{"log out everywhere", false, func(b *browser) { b.post("/2fa/revoke", "/2fa/revoke") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			b := s.enter(gus)
			b.stepUp(gus, "contacts.export")
			require.Equal(t, http.StatusOK, b.post("/contacts", "/contacts/export").status)
			old := b.cookie(sessionCookie)
			c.do(b)
			// Try with the current cookie and with the old one.
			page := "/login"
			if b.signedIn() {
				page = "/contacts"
			}
			got := b.post(page, "/contacts/export")
			require.Equal(t, c.fresh, got.status == http.StatusOK)
			require.Equal(t, c.fresh, strings.Contains(got.body, "Peak"))
			thief := s.browser()
			thief.setCookie(old)
			got = thief.post("/login", "/contacts/export")
			require.NotEqual(t, http.StatusOK, got.status)
			require.NotContains(t, got.body, "Peak")
		})
	}
}

func TestAbuse_L12_OtherMethodsOnTheExport(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.enter(gus)
	s.advance(staleProof)
	token := "Bearer " + s.token(gus, "")
	for _, path := range []string{"/contacts/export", "/api/contacts/export"} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "PROPFIND"} {
			got := b.do(method, path, "", "Range", "bytes=0-10", "Authorization", token)
			require.Equal(t, http.StatusMethodNotAllowed, got.status, method)
			require.Empty(t, got.header.Get("Content-Disposition"))
			require.NotContains(t, got.header.Get("Content-Type"), "csv")
			require.NotContains(t, got.body, "Peak")
		}
	}
	got := b.do("POST", "/contacts/export", form("csrf_token", b.csrf("/contacts")), "Content-Type", formType, "Range", "bytes=0-10")
	require.Equal(t, http.StatusSeeOther, got.status)
}

func TestAbuse_L13_OneProofTwoExports(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.enter(eva)
	b.stepUp(eva, "contacts.export")
	body := form("csrf_token", b.csrf("/contacts"))
	answers := together(t, 10, func(int) (answer, error) {
		return b.send("POST", "/contacts/export", body, "Content-Type", formType)
	})
	require.Equal(t, 1, count(answers, http.StatusOK))
	for _, got := range answers {
		require.Equal(t, got.status == http.StatusOK, strings.Contains(got.body, "Avery Placeholder"))
	}
}

func TestAbuse_P02_AttributesOfEveryCookie(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	seen := map[string]bool{}
	look := func(got answer) answer {
		for _, c := range got.header.Values("Set-Cookie") {
			name, _, _ := strings.Cut(c, "=")
			seen[name] = true
			require.True(t, strings.HasPrefix(name, "__Host-"), c)
			for _, want := range []string{"Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
				require.Contains(t, c, want)
			}
			require.NotContains(t, c, "Domain")
			require.Less(t, len(c), 4096)
		}
		return got
	}
	b := s.browser()
	look(b.get("/login?next=/" + strings.Repeat("a", 3000)))
	look(b.typePassword(eva))
	look(b.prove(eva))
	look(b.post("/2fa/setup", "/2fa/setup", "method", "totp"))
	look(b.post("/2fa/setup", "/2fa/setup/saved", "saved", "yes"))
	b.scan(eva)
	look(b.post("/2fa/setup", "/2fa/setup/confirm", "code", s.code(eva)))
	look(b.get("/2fa/confirm?action=contacts.export"))
	look(b.prove(eva))
	look(b.get("/contacts"))
	look(b.post("/contacts", "/logout"))
	require.Equal(t, map[string]bool{sessionCookie: true, challengeCookie: true, challengeCookie + "-next": true, setupCookie: true, browserCookie: true, "__Host-twofa-bounced": true, noticeCookie: true}, seen)
}

func TestAbuse_Q08_AuditStaysOnItsLine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as(jon)
	b.post("/settings", "/settings/profile", "name", "Jon \x1b[31m")
	codes := b.enrollApp(jon)
	require.NotEmpty(t, codes)
	b.stepUp(jon, twofa.ActionFactors)
	id := idAfter(b.get("/2fa/").body, "replaces=")
	b.post("/2fa/revoke", "/2fa/factors/rename", "id", id, "name", "Phone\r\nlevel=INFO msg=forged event=login user=ida\x1b[2J")
	b.do("GET", "/contacts", "", "X-Forwarded-For", "1.2.3.4 event=forged", "User-Agent", `x" event=forged`)

	// Go's client does not send control characters. Go's server refuses them.
	conn, err := tls.Dial("tcp", s.srv.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true}) // the test's own server
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "GET /login HTTP/1.1\r\nHost: x\r\nUser-Agent: a\x1b[31m\x00b\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	require.NoError(t, res.Body.Close())

	log := s.log.String()
	require.NotContains(t, log, "\x1b")
	require.NotContains(t, log, "\nlevel=")
	require.Contains(t, log, "event=renamed user=jon")
	require.NotContains(t, log, " event=forged ")
	for line := range strings.Lines(log) {
		require.True(t, strings.HasPrefix(line, "time="), line)
	}
	var detail string
	require.NoError(t, s.db.QueryRowContext(t.Context(), `SELECT data FROM twofa_events WHERE type = 'renamed'`).Scan(&detail))
	require.NotContains(t, detail, "\n")
	require.NotContains(t, detail, "x1b")
}
