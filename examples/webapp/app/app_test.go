package app_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
	"github.com/twofa-go/twofa/internal/engines"
	"github.com/twofa-go/twofa/twofatest"
)

// site is the app on a TLS server of its own.
type site struct {
	t   *testing.T
	srv *httptest.Server
	app *app.App
	db  *sql.DB
	log *syncBuffer

	mu   sync.Mutex
	now  time.Time
	uris map[string]string // what the authenticator apps have scanned, by e-mail address
}

func newSite(t *testing.T, change ...func(*app.Config)) *site {
	t.Helper()
	s := &site{t: t, log: &syncBuffer{}, now: time.Now(), uris: map[string]string{}}
	s.srv = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	cfg := app.Config{
		DB: testDB(t), Keys: twofatest.KeyRing(t, "webapp"), Demo: true, ViewableCodes: true, BaseURL: "https://" + s.srv.Listener.Addr().String(), Now: s.clock,
		Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&cfg)
	}
	a, err := app.New(cfg)
	require.NoError(t, err)
	s.app, s.db = a, cfg.DB
	s.srv.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(s.log, nil), slog.LevelWarn)
	s.srv.StartTLS()
	t.Cleanup(func() { s.srv.Close(); a.Close() })
	return s
}

// serve lets a test choose the address that its connection seems to come from.
func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	if ip := r.Header.Get("Test-Address"); ip != "" {
		r.RemoteAddr = net.JoinHostPort(ip, "4444")
		r.Header.Del("Test-Address")
	}
	s.app.ServeHTTP(w, r)
}

// testDB is an SQLite file. With TWOFA_WEBAPP_POSTGRES in the environment every
// test runs on PostgreSQL; without, one does.
func testDB(t *testing.T) *sql.DB {
	if os.Getenv("TWOFA_WEBAPP_POSTGRES") != "" {
		return openDB(t, engines.PostgreSQL(t))
	}
	db, err := app.OpenDB("", sqliteDir(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// sqliteDir is a folder with a database that holds the demo data.
func sqliteDir(t *testing.T) string {
	template.once.Do(func() { template.file = seeded(t) })
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "contacts.db"), template.file, 0o600))
	return dir
}

// template is a database with the demo data, made once: most of what a test
// would wait for is the disk.
var template struct {
	once sync.Once
	file []byte
}

func seeded(t *testing.T) []byte {
	dir := t.TempDir()
	db, err := app.OpenDB("", dir)
	require.NoError(t, err)
	a, err := app.New(app.Config{DB: db, Keys: twofatest.KeyRing(t, "webapp"), Demo: true, BaseURL: "https://localhost"})
	require.NoError(t, err)
	a.Close()
	require.NoError(t, db.Close()) // writes what is in the log into the file
	file, err := os.ReadFile(filepath.Join(dir, "contacts.db"))
	require.NoError(t, err)
	return file
}

func openDB(t *testing.T, dsn string) *sql.DB {
	db, err := app.OpenDB(dsn, t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func (s *site) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *site) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// browser has its own cookies and follows no redirect.
type browser struct {
	*site
	client  *http.Client
	address string // where it connects from; "" means this machine
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return &browser{s, &http.Client{
		Transport: s.srv.Client().Transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, ""}
}

type answer struct {
	status   int
	body     string
	header   http.Header
	location string
}

// do sends a request as a browser does; a header given as "" is left out.
func (b *browser) do(method, path, body string, header ...string) answer {
	b.t.Helper()
	got, err := b.send(method, path, body, header...)
	require.NoError(b.t, err)
	return got
}

// send is do for other goroutines than the test's.
func (b *browser) send(method, path, body string, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.srv.URL+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0")
	if b.address != "" {
		req.Header.Set("Test-Address", b.address)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			for _, c := range b.client.Jar.Cookies(req.URL) { // the client picks them by Host
				req.AddCookie(c)
			}
		} else {
			req.Header.Set(header[i], header[i+1])
		}
	}
	res, err := b.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, string(text), res.Header, strings.TrimPrefix(res.Header.Get("Location"), b.srv.URL)}, err
}

func (b *browser) get(path string) answer { b.t.Helper(); return b.do("GET", path, "") }

// follow goes where an answer leads, like a person whose browser does that.
func (b *browser) follow(got answer) answer {
	b.t.Helper()
	for range 10 {
		if got.location == "" {
			return got
		}
		got = b.get(got.location)
	}
	b.t.Fatal("redirects without end")
	return got
}

const formType = "application/x-www-form-urlencoded"

var csrfField = regexp.MustCompile(`name="csrf_token" value="([^"]+)"`)

// csrf is the token that the forms of a page carry.
func (b *browser) csrf(page string) string {
	b.t.Helper()
	got := b.get(page)
	m := csrfField.FindStringSubmatch(got.body)
	require.NotNil(b.t, m, "no form on %s: %d %s", page, got.status, got.location)
	return m[1]
}

// post sends a form the way a browser would: with the token of the page it is on.
func (b *browser) post(page, path string, fields ...string) answer {
	b.t.Helper()
	return b.do("POST", path, form(append(fields, "csrf_token", b.csrf(page))...),
		"Content-Type", formType, "Origin", b.srv.URL, "Sec-Fetch-Site", "same-origin", "Referer", b.srv.URL+page)
}

// send2FA sends a form of the second factor's that the browser was not shown:
// its token is a hash of a cookie, and who writes requests by hand knows both.
func (b *browser) send2FA(path string, fields ...string) answer {
	b.t.Helper()
	_, token, ok := strings.Cut(b.cookie(browserCookie), "=")
	require.True(b.t, ok, "this browser has not seen a page yet")
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte("twofahttp form"))
	return b.do("POST", path, form(append(fields, "csrf_token", base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))...),
		"Content-Type", formType, "Origin", b.srv.URL, "Sec-Fetch-Site", "same-origin")
}

func form(fields ...string) string {
	v := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		v.Set(fields[i], fields[i+1])
	}
	return v.Encode()
}

// login types the password. What comes after that is up to the account.
func (b *browser) login(email string) answer {
	b.t.Helper()
	b.advance(61 * time.Second) // the least there is between two mails or texts
	return b.typePassword(email)
}

func (b *browser) typePassword(email string) answer {
	b.t.Helper()
	return b.post("/login", "/login", "email", email, "password", app.DemoPassword)
}

// as is a browser in which somebody has signed in all the way.
func (s *site) as(email string) *browser {
	s.t.Helper()
	b := s.browser()
	got := b.login(email)
	if got.location == "/2fa/challenge" {
		got = b.prove(email)
	}
	require.Equal(s.t, http.StatusSeeOther, got.status, got.body)
	require.True(s.t, b.signedIn(), got.location)
	return b
}

// prove answers what a login or step-up asks for: with the authenticator app
// where there is one, else with the mailed link.
func (b *browser) prove(email string, fields ...string) answer {
	b.t.Helper()
	if b.uris[email] != "" {
		return b.post("/2fa/challenge", "/2fa/verify", append(fields, "method", "totp", "code", b.code(email))...)
	}
	return b.openLink(b.mailedLink(email))
}

// code waits for the next code of somebody's authenticator app: each is good once.
func (s *site) code(email string) string {
	s.t.Helper()
	require.NotEmpty(s.t, s.uris[email], "%s has no app", email)
	s.advance(30 * time.Second)
	return twofatest.Code(s.t, s.uris[email], s.clock())
}

// openLink opens a mailed link and presses the button.
func (b *browser) openLink(link string) answer {
	b.t.Helper()
	_, token, _ := strings.Cut(link, "token=")
	return b.post(link, "/2fa/link", "token", token)
}

// setUpApp sets up an authenticator app, in the order of a voluntary set-up:
// QR code, code, recovery codes. It returns those.
func (b *browser) setUpApp(email string, fields ...string) (codes []string) {
	b.t.Helper()
	require.Equal(b.t, "/2fa/setup", b.post("/2fa/setup?start=1", "/2fa/setup", append(fields, "method", "totp")...).location)
	b.scan(email)
	got := b.post("/2fa/setup", "/2fa/setup/confirm", "code", b.code(email))
	if got.location == "/2fa/setup" {
		codes = shownCodes(b.get("/2fa/setup").body)
		got = b.post("/2fa/setup", "/2fa/setup/saved", "saved", "yes")
	}
	require.Contains(b.t, got.location, "/2fa/?done=", got.body)
	return codes
}

// enter is as for somebody whose account demands an authenticator app: link
// by mail, recovery codes, QR code, code.
func (s *site) enter(email string) *browser {
	s.t.Helper()
	b := s.browser()
	require.Equal(s.t, "/2fa/challenge", b.login(email).location)
	require.Equal(s.t, "/2fa/setup", b.prove(email).location)
	require.Equal(s.t, "/2fa/setup", b.post("/2fa/setup", "/2fa/setup", "method", "totp").location)
	require.Equal(s.t, "/2fa/setup", b.post("/2fa/setup", "/2fa/setup/saved", "saved", "yes").location)
	b.scan(email)
	require.Equal(s.t, "/contacts", b.post("/2fa/setup", "/2fa/setup/confirm", "code", b.code(email)).location)
	return b
}

var otpauthURI = regexp.MustCompile(`otpauth://totp/[^"]+`)

// scan reads the QR code of the set-up page.
func (b *browser) scan(email string) {
	b.t.Helper()
	body := b.get("/2fa/setup").body
	uri := otpauthURI.FindString(body)
	require.NotEmpty(b.t, uri, body)
	b.uris[email] = html.UnescapeString(uri)
}

// stepUp gives the fresh proof that an action asks for.
func (b *browser) stepUp(email, action string) {
	b.t.Helper()
	require.Equal(b.t, "/2fa/challenge", b.get("/2fa/confirm?action="+action).location)
	require.Equal(b.t, http.StatusSeeOther, b.prove(email).status)
}

var recoveryCode = regexp.MustCompile(`[0-9A-Z]{4}(?:-[0-9A-Z]{4}){5}`)

func shownCodes(body string) []string { return recoveryCode.FindAllString(body, -1) }

func (b *browser) signedIn() bool { return b.get("/contacts").status == http.StatusOK }

// cookie is a cookie that a browser holds, as it sends it.
func (b *browser) cookie(name string) string {
	u, _ := url.Parse(b.srv.URL)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

const (
	sessionCookie   = "__Host-session"
	challengeCookie = "__Host-twofa-challenge"
	setupCookie     = "__Host-twofa-setup"
	browserCookie   = "__Host-twofa-browser"
)

// setCookie puts a cookie, as cookie gives it, into a browser.
func (b *browser) setCookie(cookie string) {
	u, _ := url.Parse(b.srv.URL)
	name, value, _ := strings.Cut(cookie, "=")
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

// call sends JSON to the API and reads what comes back.
func (s *site) call(path, bearer string, fields ...string) (int, map[string]any) {
	s.t.Helper()
	in := map[string]string{}
	for i := 0; i < len(fields); i += 2 {
		in[fields[i]] = fields[i+1]
	}
	body, err := json.Marshal(in)
	require.NoError(s.t, err)
	got := s.browser().do("POST", path, string(body), "Content-Type", "application/json", "Authorization", "Bearer "+bearer)
	var out map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(got.body), &out), got.body)
	return got.status, out
}

// token gets a bearer token from the API's door.
func (s *site) token(email, account string) string {
	s.t.Helper()
	s.advance(61 * time.Second)
	status, out := s.call("/api/login", "", "email", email, "password", app.DemoPassword, "account", account)
	require.Equal(s.t, http.StatusOK, status, out)
	if out["next"] == "challenge" {
		method, code := "totp", ""
		if s.uris[email] != "" {
			code = s.code(email)
		} else {
			method = "email"
			_, out = s.call("/api/login/send", "", "challenge", out["challenge"].(string), "method", method)
			_, code, _ = strings.Cut(s.mailedLink(email), "token=")
		}
		status, out = s.call("/api/login/verify", "", "challenge", out["challenge"].(string), "method", method, "code", code)
		require.Equal(s.t, http.StatusOK, status, out)
	}
	return out["token"].(string)
}

// outbox is everything that was sent, newest last, read the way any client can.
func (s *site) outbox() (all []app.Message) {
	s.t.Helper()
	require.NoError(s.t, json.Unmarshal([]byte(s.browser().get("/dev/outbox.json").body), &all))
	return all
}

// lastMessage is the newest message to an address or number that has part in it.
func (s *site) lastMessage(to, part string) app.Message {
	s.t.Helper()
	for _, m := range slices.Backward(s.outbox()) {
		if m.To == to && strings.Contains(m.Text, part) {
			return m
		}
	}
	require.Fail(s.t, "no message", "%s to %s", part, to)
	return app.Message{}
}

// linkIn is the path of the link in a message.
func (s *site) linkIn(m app.Message) string {
	s.t.Helper()
	_, rest, ok := strings.Cut(m.Text, s.srv.URL)
	require.True(s.t, ok, m.Text)
	return strings.Fields(rest)[0]
}

// mailedLink is the newest sign-in link to an address.
func (s *site) mailedLink(to string) string {
	s.t.Helper()
	return s.linkIn(s.lastMessage(to, "/2fa/link?"))
}

// textedCode is the newest code to a number.
func (s *site) textedCode(to string) string {
	s.t.Helper()
	return s.lastMessage(to, "Acme Contacts").Text[:6]
}

// syncBuffer takes log lines from many goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var _ twofa.Mailer = (*app.Outbox)(nil)
