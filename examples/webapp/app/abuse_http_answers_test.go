package app_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"html"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
	"github.com/twofa-go/twofa/twofatest"
)

// Abuse cases of responses: their headers, cookies, methods and error texts.

// No response of package twofahttp, and no redirect to it, may be cached,
// framed or read by another site.
func TestAbuse_P01_P04_HeadersOfEveryResponse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in := s.as(ida)
	in.enrollApp(ida)
	in.stepUp(ida, twofa.ActionFactors)
	require.Equal(t, "/2fa/setup", in.post("/2fa/setup?start=1", "/2fa/setup", "method", "totp").location) // a QR code
	check := func(got answer, what string) {
		t.Helper()
		for name := range got.header {
			require.False(t, strings.HasPrefix(name, "Access-Control-"), "%s: %s", what, name)
		}
		require.Equal(t, "no-store", got.header.Get("Cache-Control"), what)
		require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"), what)
		csp := got.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'"} {
			require.Contains(t, csp, want, what)
		}
		require.NotContains(t, csp, "unsafe", what)
		require.Contains(t, []string{"no-referrer", "same-origin"}, got.header.Get("Referrer-Policy"), what)
	}
	private := func(got answer, what string) {
		t.Helper()
		check(got, what)
		require.Equal(t, []string{"no-referrer"}, got.header.Values("Referrer-Policy"), what)
	}
	for who, b := range map[string]*browser{"stranger": s.browser(), "password only": s.half(jon), "signed in": in} {
		for _, path := range append(slices.Concat(visits, posts), "setup?start=1", "link?token=x", "challenge?method=recovery", "nothing") {
			for _, method := range []string{"GET", "OPTIONS"} {
				private(b.do(method, "/2fa/"+path, "", "Origin", "https://evil.example",
					"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization"), who+" "+method+" "+path)
			}
		}
		for _, path := range []string{"/2fa/verify", "/2fa", "/2fa/../2fa/x"} { // answered before package twofahttp
			check(b.do("POST", path, "", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), who+" "+path)
			check(b.get(path), who+" "+path)
		}
		b.get("/2fa/link") // sets the cookie for the token
		for _, path := range posts {
			if path == "revoke" || path == "signin" || path == "cancel" {
				continue // these end the login or session
			}
			private(b.send2FA("/2fa/"+path, "method", "totp", "code", "x"), who+" POST "+path)
			private(b.do("POST", "/2fa/"+path, "x=%zz", "Content-Type", formType, "Accept", jsonType), who+" bad "+path)
		}
	}
	b := s.browser()
	private(b.typePassword(jon), "login")
	private(b.get("/contacts"), "redirect to the challenge")
	private(in.post("/contacts", "/contacts/export"), "redirect to the step-up")
	for _, rt := range s.app.Routes() {
		if rt.Path == "/static/{file}" {
			continue // public
		}
		what := "preflight " + rt.Path
		got := s.browser().do("OPTIONS", pathOf(rt), "", "Origin", "https://evil.example",
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
		check(got, what)
		check(in.do("GET", pathOf(rt), "", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), what)
	}
	for path, body := range map[string]string{
		"/api/login":        object("email", ida, "password", app.DemoPassword),
		"/api/login/send":   object("challenge", "x", "method", "email"),
		"/api/login/verify": object("challenge", "x", "method", "totp", "code", "x"),
		"/api/step-up":      object("action", "contacts.export"),
	} {
		check(in.do("POST", path, body, "Content-Type", jsonType, "Origin", s.srv.URL), path)
	}
}

func TestAbuse_P03_UnsupportedMethods(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as(ida)
	b.enrollApp(ida)
	b.stepUp(ida, twofa.ActionFactors)
	b.stepUp(ida, "contacts.export")
	token := s.token(ida, "")
	allowed := map[string][]string{}
	allow := func(path, method string) {
		allowed[path] = append(allowed[path], method)
		if method == "GET" {
			allowed[path] = append(allowed[path], "HEAD")
		}
	}
	for _, rt := range s.app.Routes() {
		if rt.Path == "/2fa/" {
			require.Empty(t, rt.Method) // its paths are added below
			continue
		}
		allow(pathOf(rt), rt.Method)
	}
	for _, path := range visits {
		allow("/2fa/"+path, "GET")
	}
	for _, path := range posts {
		allow("/2fa/"+path, "POST")
	}
	require.True(t, b.signedIn()) // updates the time in signins before the comparison
	before := s.contents()
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE"} {
		for path, methods := range allowed {
			if !slices.Contains(methods, method) {
				got := b.do(method, path, "", "Authorization", "Bearer "+token)
				require.Equal(t, http.StatusMethodNotAllowed, got.status, method+" "+path)
				require.ElementsMatch(t, methods, strings.Split(got.header.Get("Allow"), ", "), method+" "+path)
			}
		}
	}
	require.Equal(t, before, s.contents())
	require.True(t, b.signedIn())
}

// torn is SQLite with a driver that panics at each statement that contains
// word.
type torn struct {
	driver driver.Driver
	dsn    string
	word   atomic.Value
}

func (d *torn) Connect(context.Context) (driver.Conn, error) {
	c, err := d.driver.Open(d.dsn)
	if err != nil {
		return nil, err
	}
	return tornConn{c.(wholeConn), d}, nil
}

func (d *torn) Driver() driver.Driver { return d.driver }

func (d *torn) at(query string) {
	if word, _ := d.word.Load().(string); word != "" && strings.Contains(query, word) {
		panic("hunter2 at " + query)
	}
}

type wholeConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
}

type tornConn struct {
	wholeConn
	d *torn
}

func (c tornConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.d.at(query)
	return c.wholeConn.ExecContext(ctx, query, args)
}

func (c tornConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.d.at(query)
	return c.wholeConn.QueryContext(ctx, query, args)
}

// tornSite returns a site on such a database.
func tornSite(t *testing.T) (*site, *torn) {
	dir := sqliteDir(t)
	plain, err := app.OpenDB("", dir)
	require.NoError(t, err)
	require.NoError(t, plain.Close())
	d := &torn{driver: plain.Driver(), dsn: "file:" + filepath.Join(dir, "contacts.db") + "?_txlock=immediate&_pragma=busy_timeout(1000)"}
	db := sql.OpenDB(d)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return newSite(t, func(c *app.Config) { c.DB = db }), d
}

// If the store panics, the response reveals nothing, and no user is signed in.
func TestAbuse_P05_PanicInTheStore(t *testing.T) {
	t.Parallel()
	s, d := tornSite(t)
	in := s.half(jon)
	require.Equal(t, "/contacts", in.prove(jon).location)
	bearer := "Bearer " + s.token(jon, "")
	generic := func(got answer, what string) {
		t.Helper()
		require.Equal(t, http.StatusInternalServerError, got.status, what)
		require.Empty(t, got.header.Values("Set-Cookie"), what)
		for _, leak := range []string{"hunter2", "goroutine", ".go:", "panic", "twofa_records", "signins", "Brooks", "data:image/svg"} {
			require.NotContains(t, got.body, leak, what)
		}
	}
	for _, word := range []string{"FROM twofa_records", "FROM signins"} { // the guard reads both
		d.word.Store(word)
		generic(in.get("/contacts"), word)
		generic(in.do("GET", "/api/contacts", "", "Authorization", bearer), word)
		generic(in.do("POST", "/api/contacts/export", "", "Authorization", bearer), word)
		d.word.Store("")
	}
	for _, word := range []string{
		"FROM twofa_records", "UPDATE twofa_records", "INTO twofa_events", "FROM users", "INTO signins", "INTO web_sessions",
	} {
		b := s.half(jon)
		body := b.verifyForm("totp", s.code(jon))
		d.word.Store(word)
		generic(b.do("POST", "/2fa/verify", body, "Content-Type", formType), word)
		d.word.Store("")
		require.False(t, b.signedIn(), word)
	}
	require.Equal(t, "/contacts", s.half(jon).prove(jon).location, "the next login works")
	require.True(t, in.signedIn())
	require.Contains(t, s.log.String(), "panic")
}

var triesLeft = regexp.MustCompile(`You have (?:\d more tries|1 more try)\.|"attempts_left":\d,?`)

// A response does not reveal why a code is invalid, and while the method is
// locked it does not reveal whether a code is right.
func TestAbuse_P06_ErrorsRevealNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alike := func(what string, status int, answers ...answer) {
		t.Helper()
		for _, got := range answers {
			require.Equal(t, status, got.status, what)
			require.Equal(t, triesLeft.ReplaceAllString(answers[0].body, ""), triesLeft.ReplaceAllString(got.body, ""), what)
		}
	}
	inApp := func(what, email string, try func(code string) answer) {
		t.Helper()
		at := func(d time.Duration) string { return twofatest.Code(t, s.uris[email], s.clock().Add(d)) }
		wrong, used := s.wrongCode(email), at(0) // used for the enrollment just now
		alike(what, http.StatusUnprocessableEntity, try(wrong), try(used), try(at(-5*time.Minute)), try(at(-10*time.Minute)))
		require.Equal(t, http.StatusUnprocessableEntity, try(at(-15*time.Minute)).status)
		s.advance(11 * time.Second) // before, the same code gets the same answer
		alike(what+", locked", http.StatusTooManyRequests, try(wrong), try(at(30*time.Second)), try(used))
		alike(what+", malformed", http.StatusUnprocessableEntity, try("abc"), try("12345"))
	}
	codes := s.as(jon).enrollApp(jon)
	require.Equal(t, http.StatusSeeOther, s.half(jon).post("/2fa/challenge", "/2fa/verify", "method", "recovery", "code", codes[0]).status)
	b := s.half(jon)
	inApp("page", jon, func(code string) answer {
		return b.post("/2fa/challenge", "/2fa/verify", "method", "totp", "code", code)
	})
	s.as(ida).enrollApp(ida)
	pending := s.challenge(ida)
	inApp("API", ida, func(code string) answer {
		return b.do("POST", "/api/login/verify", object("challenge", pending, "method", "totp", "code", code), "Content-Type", jsonType)
	})

	typed := func(method, code string) answer {
		return b.post("/2fa/challenge", "/2fa/verify", "method", method, "code", code)
	}
	alike("recovery code", http.StatusUnprocessableEntity, typed("recovery", noCode), typed("recovery", codes[0]))

	s.browser().enrollPhone(eva, "202 555 0101")
	b = s.browser()
	b.login(eva)
	first := s.textedCode("+12025550101")
	s.advance(time.Minute)
	b.post("/2fa/challenge", "/2fa/send", "method", "sms")
	second := s.textedCode("+12025550101")
	alike("code before the newest", http.StatusUnprocessableEntity, typed("sms", another(second)), typed("sms", first))
	s.advance(5 * time.Minute)
	alike("expired code", http.StatusUnprocessableEntity, typed("sms", another(second)), typed("sms", second))

	var logins, resets []answer
	for _, email := range []string{dan, "nobody@harbor.example"} {
		logins = append(logins, b.do("POST", "/api/login", object("email", email, "password", "wrong"), "Content-Type", jsonType))
		b = s.browser()
		require.Equal(t, "/login", b.post("/forgot", "/forgot", "email", email).location)
		got := b.get("/login")
		got.body = tokenless(got.body)
		resets = append(resets, got)
	}
	alike("login of known and unknown", http.StatusUnauthorized, logins...)
	alike("reset link for known and unknown", http.StatusOK, resets...)
}

// A base URL without https is refused, except for localhost. Over http every
// cookie is still Secure, so a browser does not return it. A client that
// returns it anyway gets only Secure cookies, too.
func TestAbuse_P08_NoCookieWithoutSecure(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *app.Config) {
		c.BaseURL = "http://contacts.example"
		_, err := app.New(*c)
		require.ErrorContains(t, err, "https")
		c.BaseURL = "http://localhost:8080"
	})
	srv := httptest.NewServer(s.app)
	t.Cleanup(srv.Close)
	srv.URL = "http://contacts.example" // not localhost, which browsers treat like https
	b, held := (&site{t: t, srv: srv, app: s.app}).browser(), map[string]string{}
	b.client.Transport = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
	}}
	t.Cleanup(b.client.CloseIdleConnections)
	token := func(got answer) string {
		t.Helper()
		m := csrfField.FindStringSubmatch(got.body)
		require.NotNil(t, m, got.body)
		return m[1]
	}
	login := b.get("/login")
	require.NotEmpty(t, login.header.Values("Set-Cookie"))
	sent := form("csrf_token", token(login), "email", jon, "password", app.DemoPassword)
	require.Equal(t, http.StatusForbidden, b.do("POST", "/login", sent, "Content-Type", formType).status, "the browser did not return the cookie")
	require.False(t, b.signedIn())

	byHand := func(method, path string, fields ...string) answer {
		t.Helper()
		var cookies []string
		for name, value := range held {
			cookies = append(cookies, name+"="+value)
		}
		got := b.do(method, path, form(fields...), "Content-Type", formType, "Cookie", strings.Join(cookies, "; "))
		for _, line := range got.header.Values("Set-Cookie") {
			c, err := http.ParseSetCookie(line)
			require.NoError(t, err)
			require.True(t, c.Secure && strings.HasPrefix(c.Name, "__Host-"), line)
			held[c.Name] = c.Value
		}
		return got
	}
	page := byHand("GET", "/login")
	require.Equal(t, "/2fa/challenge", byHand("POST", "/login", "csrf_token", token(page), "email", gus, "password", app.DemoPassword).location)
	_, link, _ := strings.Cut(s.lastMessage(gus, "/2fa/link?").Text, "token=")
	link = strings.Fields(link)[0]
	page = byHand("GET", "/2fa/challenge")
	require.Equal(t, "/2fa/setup", byHand("POST", "/2fa/link", "csrf_token", token(page), "token", link).location)
	for _, step := range [][]string{{"/2fa/setup", "method", "totp"}, {"/2fa/setup/saved", "saved", "yes"}} {
		page = byHand("GET", "/2fa/setup")
		require.Equal(t, "/2fa/setup", byHand("POST", step[0], "csrf_token", token(page), step[1], step[2]).location)
	}
	page = byHand("GET", "/2fa/setup")
	code := twofatest.Code(t, html.UnescapeString(otpauthURI.FindString(page.body)), s.clock())
	require.Equal(t, "/2fa/done?next=%2Fcontacts", byHand("POST", "/2fa/setup/confirm", "csrf_token", token(page), "code", code).location)
	require.Equal(t, http.StatusOK, byHand("GET", "/contacts").status)
	for _, name := range []string{sessionCookie, challengeCookie, setupCookie, browserCookie} {
		require.Contains(t, held, name, "every cookie was set")
	}
	require.False(t, b.signedIn(), "a browser that keeps the rules is not signed in")
}
