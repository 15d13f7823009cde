package app_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
	"github.com/twofa-go/twofa/twofatest"
)

// Abuse cases of the sign-in paths.

const (
	jon = "jon@brook.example"
	ida = "ida@brook.example"
	ada = "ada@harbor.example"
	dan = "dan@harbor.example"
	eva = "eva@meadow.example"
)

// half returns a browser in which a user with an app has entered only the
// password.
func (s *site) half(email string) *browser {
	s.t.Helper()
	if s.uris[email] == "" {
		s.as(email).enrollApp(email)
	}
	b := s.browser()
	require.Equal(s.t, "/2fa/challenge", b.typePassword(email).location)
	return b
}

// together runs n requests concurrently and returns their responses.
func together(t *testing.T, n int, request func(i int) (answer, error)) []answer {
	t.Helper()
	answers, errs := make([]answer, n), make([]error, n)
	start, wg := make(chan struct{}), sync.WaitGroup{}
	for i := range n {
		wg.Go(func() {
			<-start
			answers[i], errs[i] = request(i)
		})
	}
	close(start)
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	return answers
}

func count(answers []answer, status int) (n int) {
	for _, got := range answers {
		if got.status == status {
			n++
		}
	}
	return n
}

func (s *site) rows(query string, args ...any) (n int) {
	s.t.Helper()
	require.NoError(s.t, s.db.QueryRowContext(s.t.Context(), query, args...).Scan(&n))
	return n
}

// wrongCode returns a code that is wrong now and in the periods before and
// after. Each call returns another one, because the same code would get the same
// answer again for ten seconds.
func (s *site) wrongCode(email string) string {
	var near []string
	for _, d := range []time.Duration{-30 * time.Second, 0, 30 * time.Second} {
		near = append(near, twofatest.Code(s.t, s.uris[email], s.clock().Add(d)))
	}
	for {
		if guess := fmt.Sprintf("%06d", s.guesses.Add(1)); !slices.Contains(near, guess) {
			return guess
		}
	}
}

// verifyForm returns the body of the form with a code.
func (b *browser) verifyForm(method, code string) string {
	b.t.Helper()
	return form("csrf_token", b.csrf("/2fa/challenge"), "method", method, "code", code)
}

func TestAbuse_B02_ParallelVerify(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.half(jon)
	_, err := s.db.ExecContext(t.Context(), `DELETE FROM signins`) // of the enrollment
	require.NoError(t, err)
	body := b.verifyForm("totp", s.code(jon))
	pending := b.cookie(challengeCookie)
	answers := together(t, 50, func(i int) (answer, error) {
		return b.send("POST", "/2fa/verify", body, "Content-Type", formType, "Test-Address", fmt.Sprintf("198.51.100.%d", i))
	})
	s.sameSession(answers)
	s.advance(11 * time.Second)
	b.setCookie(pending)
	require.Equal(t, http.StatusGone, b.do("POST", "/2fa/verify", body, "Content-Type", formType).status, "used up")
}

// sameSession checks that all answers to one form lead in, with one proof and
// one session of package twofa.
func (s *site) sameSession(answers []answer) {
	s.t.Helper()
	require.Equal(s.t, len(answers), count(answers, http.StatusSeeOther))
	rows, err := s.db.QueryContext(s.t.Context(), `SELECT twofa FROM signins`)
	require.NoError(s.t, err)
	defer rows.Close()
	ids := map[string]bool{}
	for rows.Next() {
		var session string
		require.NoError(s.t, rows.Scan(&session))
		d, err := s.app.Manager().DescribeSession(twofa.ParseSession(session))
		require.NoError(s.t, err)
		ids[d.ID] = true
	}
	require.NoError(s.t, rows.Err())
	require.Len(s.t, ids, 1)
}

func TestAbuse_B04_ParallelLinkConfirmations(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	b.login(ada)
	link := s.mailedLink(ada)
	_, token, _ := strings.Cut(link, "token=")
	body := form("csrf_token", b.csrf(link), "token", token)
	answers := together(t, 20, func(i int) (answer, error) {
		return b.send("POST", "/2fa/link", body, "Content-Type", formType, "Test-Address", fmt.Sprintf("198.51.100.%d", i))
	})
	s.sameSession(answers)
}

func TestAbuse_B07_BurstOverManyLogins(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.half(jon)
	browsers := make([]*browser, 50)
	for i := range browsers {
		browsers[i] = s.browser()
		browsers[i].address = fmt.Sprintf("198.51.100.%d", i)
		browsers[i].typePassword(jon)
	}
	wrong := s.wrongCode(jon)
	bodies := make([]string, len(browsers))
	for i, b := range browsers {
		bodies[i] = b.verifyForm("totp", wrong)
	}
	answers := together(t, len(browsers), func(i int) (answer, error) {
		return browsers[i].send("POST", "/2fa/verify", bodies[i], "Content-Type", formType)
	})
	require.Equal(t, 5, count(answers, http.StatusUnprocessableEntity), "five guesses in all browsers together")
	require.Equal(t, http.StatusTooManyRequests, browsers[0].do("POST", "/2fa/verify",
		browsers[0].verifyForm("totp", s.code(jon)), "Content-Type", formType).status, "even the right code is refused")
}

func TestAbuse_C04_NewLoginDoesNotResetFailures(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	statuses := []int{}
	for range 2 {
		b := s.half(jon)
		for range 4 {
			statuses = append(statuses, b.post("/2fa/challenge", "/2fa/verify", "method", "totp", "code", s.wrongCode(jon)).status)
		}
	}
	require.Equal(t, []int{422, 422, 422, 422, 422, 429, 429, 429}, statuses, "a right password does not reset the counter")
}

func TestAbuse_C06_SpellingsShareOneCounter(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.half(jon)
	last := 0
	for _, spelling := range []string{"jon@brook.example", "JON@brook.example", " jon@brook.example ", "Jon@Brook.Example", "jon@BROOK.example", "jOn@brook.example"} {
		b := s.browser()
		require.Equal(t, "/2fa/challenge", b.typePassword(spelling).location, spelling)
		last = b.post("/2fa/challenge", "/2fa/verify", "method", "totp", "code", s.wrongCode(jon)).status
	}
	require.Equal(t, http.StatusTooManyRequests, last)
}

func TestAbuse_C07_FailuresOfOneUserDoNotAffectAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	attacker := s.half(jon)
	attacker.address = "203.0.113.66"
	s.half(ida)
	token := attacker.csrf("/2fa/challenge")
	for range 200 {
		attacker.do("POST", "/2fa/verify", form("csrf_token", token, "method", "totp", "code", s.wrongCode(jon)), "Content-Type", formType)
	}
	b := s.browser()
	b.address = "198.51.100.7"
	require.Equal(t, "/2fa/challenge", b.login(ida).location)
	require.Equal(t, "/contacts", b.prove(ida).location)
}

func TestAbuse_C14_LockLeavesLiveSessionsAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	owner := s.as(jon)
	owner.enrollApp(jon)
	attacker := s.half(jon)
	for range 6 {
		attacker.post("/2fa/challenge", "/2fa/verify", "method", "totp", "code", s.wrongCode(jon))
	}
	require.Equal(t, http.StatusTooManyRequests, attacker.prove(jon).status)
	require.True(t, owner.signedIn())
	require.Contains(t, s.lastMessage(jon, "wrong code").Subject, "Wrong code")
	owner.stepUp(jon, twofa.ActionFactors) // the owner's browser is known and has its own counter
	s.advance(2 * time.Minute)
	require.Equal(t, "/contacts", s.half(jon).prove(jon).location, "the lock expires")
}

func TestAbuse_D02_JSONTypes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.half(jon)
	s.advance(30 * time.Second)
	_, out := s.call("/api/login", "", "email", jon, "password", app.DemoPassword)
	challenge, code := out["challenge"].(string), s.code(jon)
	for _, body := range []string{
		`{"challenge":"%s","method":"totp","code":` + code + `}`,
		`{"challenge":"%s","method":"totp","code":null}`,
		`{"challenge":"%s","method":"totp","code":["000000","` + code + `"]}`,
		`{"challenge":"%s","method":"totp","code":{"$gt":""}}`,
		`{"challenge":"%s","method":"totp","code":"000000","code":"` + code + `"}`,
		`{"challenge":"%s","method":"totp","Code":"` + code + `"}`,
		`{"challenge":"%s","method":"totp","code":"` + code + `","user":"ida"}`,
		`{"challenge":"%s","method":"totp","code":"` + code + `"} {}`,
		`{"challenge":"%s","method":"totp","code":"` + code + `"`,
		`[{"challenge":"%s","method":"totp","code":"` + code + `"}]`,
		`"%s"`, ``, `null`,
	} {
		if strings.Contains(body, "%s") {
			body = fmt.Sprintf(body, challenge)
		}
		got := s.browser().do("POST", "/api/login/verify", body, "Content-Type", "application/json")
		require.Equal(t, http.StatusBadRequest, got.status, body)
		require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	}
	for _, kind := range []string{"text/plain", formType, ""} {
		got := s.browser().do("POST", "/api/login/verify", `{}`, "Content-Type", kind)
		require.Equal(t, http.StatusUnsupportedMediaType, got.status)
	}
	require.NotContains(t, s.log.String(), "event=failed", "no code was compared")
	status, _ := s.call("/api/login/verify", "", "challenge", challenge, "method", "totp", "code", code)
	require.Equal(t, http.StatusOK, status, "the code is still valid")
	status, _ = s.call("/api/login/verify", "", "challenge", challenge, "method", "totp")
	require.NotEqual(t, http.StatusOK, status, "a missing field is refused")
}

func TestAbuse_D15_HeadersThatClaimSomething(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.half(jon)
	for _, header := range [][]string{
		{"User-Agent", "internal-monitor"}, {"X-Requested-With", "XMLHttpRequest"}, {"X-Debug", "1"}, {"Host", "localhost"},
		{"X-Original-URL", "/login"}, {"X-Rewrite-URL", "/login"}, {"X-Forwarded-For", "127.0.0.1"}, {"X-HTTP-Method-Override", "OPTIONS"},
	} {
		got := b.do("GET", "/contacts", "", header...)
		if header[0] == "X-Requested-With" { // a script gets the page's address as JSON
			require.Equal(t, http.StatusUnauthorized, got.status)
			require.Contains(t, got.body, `"page":"/2fa/challenge"`)
		} else {
			require.Equal(t, "/2fa/challenge", got.location, header)
		}
		require.NotContains(t, got.body, "Brooks")
	}
}

// E01, E02: a user who has entered only the password can use no route, neither
// with the cookies nor with any value as a bearer token.
func TestAbuse_E01_PendingRouteMatrix(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.half(jon)
	for _, rt := range s.app.Routes() {
		if rt.Needs == app.Anyone {
			continue
		}
		t.Run(rt.Method+" "+rt.Path, func(t *testing.T) {
			for _, method := range []string{rt.Method, "GET", "HEAD", "OPTIONS", "PUT", "DELETE"} {
				got := b.do(method, pathOf(rt), "")
				switch {
				case got.status == http.StatusMethodNotAllowed: // by the mux, before any handler
				case strings.HasPrefix(rt.Path, "/api/"):
					require.Equal(t, http.StatusUnauthorized, got.status, method)
				case method == "POST":
					require.Equal(t, http.StatusForbidden, got.status, "it has no token for a form")
				default:
					require.Equal(t, "/2fa/challenge", got.location, method)
				}
				require.NotContains(t, got.body, "Brooks")
			}
			if rt.Method == "POST" && !strings.HasPrefix(rt.Path, "/api/") {
				got := b.post("/login", pathOf(rt)) // the token of a form does not sign in
				require.Equal(t, http.StatusUnauthorized, got.status)
			}
		})
	}
	got := b.do("GET", "/contacts", "", "Connection", "Upgrade", "Upgrade", "websocket")
	require.Equal(t, "/2fa/challenge", got.location)
	got = b.do("GET", "/contacts", "", "Accept", "text/event-stream")
	require.Equal(t, http.StatusUnauthorized, got.status)
}

func TestAbuse_E02_PendingTokenAsBearer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.half(jon)
	_, out := s.call("/api/login", "", "email", jon, "password", app.DemoPassword)
	var session string // as an attacker with a copy of the database has it
	require.NoError(t, s.db.QueryRowContext(t.Context(), `SELECT twofa FROM signins ORDER BY created DESC LIMIT 1`).Scan(&session))
	tokens := []string{out["challenge"].(string), session, ""}
	for _, name := range []string{challengeCookie, browserCookie, sessionCookie} {
		_, value, _ := strings.Cut(b.cookie(name), "=")
		tokens = append(tokens, value)
	}
	for _, rt := range s.app.Routes() {
		if rt.Needs != app.Anyone && strings.HasPrefix(rt.Path, "/api/") {
			for _, token := range tokens {
				got := b.do(rt.Method, pathOf(rt), "", "Authorization", "Bearer "+token)
				require.Equal(t, http.StatusUnauthorized, got.status, rt.Path)
				require.Contains(t, got.body, `"code":"signed_out"`, "the API ignores the cookies of the request")
			}
		}
	}
}

func TestAbuse_E03_ProofOfAnotherUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b, other := s.half(jon), s.half(ida)
	got := b.do("POST", "/2fa/verify?user_id=ida&user=ida", b.verifyForm("totp", s.code(jon))+"&user_id=ida&user=ida&account=harbor",
		"Content-Type", formType)
	require.Equal(t, "/contacts", got.location)
	require.Contains(t, b.get("/settings").body, "jon@brook.example", "the request cannot name another user")

	// The challenge of another user does not work in this browser, with the
	// code of either user.
	b = s.half(jon)
	b.setCookie(other.cookie(challengeCookie))
	for _, who := range []string{jon, ida} {
		require.Equal(t, http.StatusGone, b.send2FA("/2fa/verify", "method", "totp", "code", s.code(who)).status)
		require.False(t, b.signedIn())
	}
}

func TestAbuse_E05_PendingLoginExpires(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.half(jon)
	token := b.csrf("/2fa/challenge")
	s.advance(9*time.Minute + 59*time.Second)
	require.Equal(t, http.StatusOK, b.get("/2fa/challenge").status)
	s.advance(time.Second)
	got := b.do("POST", "/2fa/verify", form("csrf_token", token, "method", "totp", "code", s.code(jon)), "Content-Type", formType)
	require.Equal(t, http.StatusGone, got.status)
	require.Contains(t, b.get("/contacts").location, "/login", "the login must start again")
}

func TestAbuse_E06_SessionIDChangesAtEachStep(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.half(jon)
	b := s.browser()
	b.get("/login")
	ids := []string{b.cookie(sessionCookie)}
	b.login(jon)
	ids = append(ids, b.cookie(sessionCookie))
	b.prove(jon)
	ids = append(ids, b.cookie(sessionCookie))
	require.Len(t, map[string]bool{ids[0]: true, ids[1]: true, ids[2]: true}, 3)
	for _, old := range ids[:2] {
		thief := s.browser()
		thief.setCookie(old)
		require.Contains(t, thief.get("/contacts").location, "/login")
	}

	// A change of factors in a session changes the ID, too.
	b = s.as(ida)
	before := b.cookie(sessionCookie)
	b.enrollApp(ida)
	require.NotEqual(t, before, b.cookie(sessionCookie))
	thief := s.browser()
	thief.setCookie(before)
	require.False(t, thief.signedIn())
}

func TestAbuse_E07_PlantedSession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.half(jon)
	attacker, victim := s.browser(), s.browser()
	attacker.get("/login")
	attacker.get("/2fa/link")
	for _, name := range []string{sessionCookie, browserCookie} {
		victim.setCookie(attacker.cookie(name))
	}
	victim.login(jon)
	require.False(t, attacker.signedIn())
	victim.prove(jon)
	require.True(t, victim.signedIn())
	require.False(t, attacker.signedIn())
}

func TestAbuse_E09_KnownBrowserAfterTheSession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as(jon)
	b.enrollApp(jon)
	s.advance(12 * time.Hour)
	require.False(t, b.signedIn())
	require.Equal(t, "/2fa/challenge", b.login(jon).location, "Brook remembers no browser, not even a known one")

	s.enter(eva)
	b = s.browser()
	b.login(eva)
	b.prove(eva, "remember", "yes")
	s.advance(12 * time.Hour)
	require.False(t, b.signedIn())
	require.Equal(t, "/contacts", b.login(eva).location, "Meadow remembers it")
}

func TestAbuse_E10_EverySignInPathAsks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, c := range []struct {
		path   string
		signIn func(b *browser) answer
	}{
		{"password", func(b *browser) answer { return b.login(dan) }},
		{"reset link", func(b *browser) answer {
			b.post("/forgot", "/forgot", "email", dan)
			link := s.linkIn(s.lastMessage(dan, "/reset/"))
			return b.post(link, link, "password", app.DemoPassword)
		}},
		{"invitation", func(b *browser) answer {
			s.as(ida).post("/members", "/members/invite", "email", dan, "role", "member")
			link := s.linkIn(s.lastMessage(dan, "/invite/"))
			return b.post(link, link, "password", app.DemoPassword)
		}},
		{"single sign-on", func(b *browser) answer { return b.get(b.askProvider("harbor", "dan")) }},
	} {
		t.Run(c.path, func(t *testing.T) {
			if s.uris[dan] == "" {
				s.as(dan).enrollApp(dan)
			}
			if c.path == "single sign-on" { // the account does not trust its provider
				p := twofa.PolicyEmailLink()
				p.ExemptSSO = false
				require.NoError(t, s.app.Manager().Account(twofa.AsHost("test"), "harbor").SetPolicy(t.Context(), p, ""))
			}
			b := s.browser()
			require.Equal(t, "/2fa/challenge", c.signIn(b).location)
			require.False(t, b.signedIn())
			require.Equal(t, "/contacts", b.prove(dan).location)
			require.True(t, b.signedIn())
		})
	}
	t.Run("api", func(t *testing.T) {
		status, out := s.call("/api/login", "", "email", dan, "password", app.DemoPassword)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "challenge", out["next"])
		require.NotContains(t, out, "token")
	})
}

func TestAbuse_E11_ResetByMailboxOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.half(jon)
	thief := s.browser()
	thief.post("/forgot", "/forgot", "email", jon)
	link := s.linkIn(s.lastMessage(jon, "/reset/"))
	require.Equal(t, "/2fa/challenge", thief.post(link, link, "password", "the thief's password").location)
	require.False(t, thief.signedIn())
	page := thief.get("/2fa/challenge").body
	require.NotContains(t, page, "Link by email", "the mailbox that received the reset link is no second factor")
	for _, path := range []string{"/2fa/setup", "/2fa/factors/remove", "/2fa/codes/new"} {
		thief.post("/2fa/challenge", path, "method", "totp")
	}
	thief = s.browser()
	thief.get("/login")
	require.Equal(t, "/2fa/challenge", thief.post("/login", "/login", "email", jon, "password", "the thief's password").location, "2FA is still on")
	require.Equal(t, "/contacts", thief.prove(jon).location) // with the app
}

func TestAbuse_E12_WrongCodeThenThePage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.half(jon)
	require.Equal(t, http.StatusUnprocessableEntity, b.post("/2fa/challenge", "/2fa/verify", "method", "totp", "code", s.wrongCode(jon)).status)
	require.Equal(t, "/2fa/challenge", b.get("/contacts").location)
	for _, cookie := range []string{"mfa=1", "signin=jon", challengeCookie + "=k=action&a=brook&n=%2Fcontacts"} {
		b.setCookie(cookie)
		require.Equal(t, http.StatusSeeOther, b.get("/contacts").status, cookie)
		require.Equal(t, http.StatusUnauthorized, b.do("GET", "/api/me", "", "Authorization", "Bearer done").status)
	}
}

func TestAbuse_E14_Logout(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pending := s.half(jon)
	require.Equal(t, http.StatusUnprocessableEntity, pending.post("/2fa/challenge", "/2fa/verify", "method", "totp", "code", s.wrongCode(jon)).status)
	challenge, session := pending.cookie(challengeCookie), pending.cookie(sessionCookie)
	pending.post("/2fa/challenge", "/2fa/cancel")
	require.Empty(t, pending.cookie(challengeCookie))
	pending.setCookie(challenge)
	pending.setCookie(session)
	require.Equal(t, http.StatusGone, pending.send2FA("/2fa/verify", "method", "totp", "code", s.code(jon)).status, "a canceled login is over")

	full := s.as(jon)
	session = full.cookie(sessionCookie)
	require.Equal(t, "/login", full.post("/contacts", "/logout").location)
	full.setCookie(session)
	require.False(t, full.signedIn())
}

func TestAbuse_I02_LinkOfTheAttackersLogin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	attacker, victim := s.browser(), s.browser()
	attacker.login(ada)
	link := s.mailedLink(ada)
	require.Contains(t, victim.get(link).body, "someone else knows your password")
	_, token, _ := strings.Cut(link, "token=")
	require.Equal(t, http.StatusForbidden, victim.send2FA("/2fa/link", "token", token).status)
	require.False(t, victim.signedIn())
	require.False(t, attacker.signedIn())
}

func TestAbuse_I03_LinkForwardedToAVictim(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	attacker, victim := s.browser(), s.browser()
	attacker.login(dan)
	own := s.mailedLink(dan)
	victim.login(ada) // has entered the password and has her own challenge
	_, token, _ := strings.Cut(own, "token=")
	victim.get(own)
	require.Equal(t, http.StatusUnprocessableEntity, victim.send2FA("/2fa/link", "token", token).status)
	require.False(t, victim.signedIn(), "the victim is not signed in to the attacker's account")
	require.Equal(t, "/contacts", victim.openLink(s.mailedLink(ada)).location, "her own link still works")
	require.Equal(t, "/contacts", attacker.openLink(own).location, "his link was not used up")
}

func TestAbuse_I08_HostHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, header := range [][]string{
		{"Host", "evil.example"}, {"X-Forwarded-Host", "evil.example"}, {"Forwarded", "host=evil.example"}, {"X-Forwarded-Proto", "http"},
	} {
		b := s.browser()
		token := b.csrf("/login")
		s.advance(15 * time.Minute)
		got := b.do("POST", "/login", form("csrf_token", token, "email", ada, "password", app.DemoPassword), append(header, "Content-Type", formType)...)
		require.Equal(t, "/2fa/challenge", got.location)
		m := s.outbox()[len(s.outbox())-1]
		require.Contains(t, m.Text, s.srv.URL+"/2fa/link?token=")
		require.NotContains(t, m.Text, "evil")
	}
	// An absolute request line.
	conn, err := tls.Dial("tcp", s.srv.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true}) // the test's own server
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "GET https://evil.example/login HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NotContains(t, string(body), "evil.example")
}

// A response does not reveal whether a user exists, and nothing can be sent
// again without the password.
func TestAbuse_I14_J09_ResponsesDoNotRevealUsers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	before := len(s.outbox())
	var answers []answer
	for _, email := range []string{jon, "nobody@brook.example"} {
		b := s.browser()
		got := b.post("/login", "/login", "email", email, "password", "wrong")
		got.body = strings.ReplaceAll(got.body, `value="`+email+`"`, "")
		answers = append(answers, got)
		again := b.do("POST", "/2fa/send", form("method", "email", "csrf_token", "x"), "Content-Type", formType)
		require.Equal(t, http.StatusForbidden, again.status, "there is no login to send a link for")
	}
	require.Equal(t, answers[0].status, answers[1].status)
	require.Equal(t, tokenless(answers[0].body), tokenless(answers[1].body))
	require.Len(t, s.outbox(), before)
}

// tokenless removes the token, which differs in each form.
func tokenless(page string) string {
	return regexp.MustCompile(`name="csrf_token" value="[^"]*"`).ReplaceAllString(page, "")
}
