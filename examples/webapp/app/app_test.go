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
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
	"github.com/twofa-go/twofa/internal/engines"
	"github.com/twofa-go/twofa/twofatest"
)

// site is the app on its own TLS server.
type site struct {
	t   *testing.T
	srv *httptest.Server
	app *app.App
	db  *sql.DB
	log *syncBuffer

	guesses atomic.Int32 // wrong codes

	mu   sync.Mutex
	now  time.Time
	uris map[string]string // URIs that authenticator apps have scanned, by email address
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

// serve lets a test choose the address from which its connection seems to come.
func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	if ip := r.Header.Get("Test-Address"); ip != "" {
		r.RemoteAddr = net.JoinHostPort(ip, "4444")
		r.Header.Del("Test-Address")
	}
	s.app.ServeHTTP(w, r)
}

// testDB returns a database in an SQLite file, or a PostgreSQL database if
// TWOFA_WEBAPP_POSTGRES is set. TestPostgreSQL always uses PostgreSQL.
func testDB(t *testing.T) *sql.DB {
	if os.Getenv("TWOFA_WEBAPP_POSTGRES") != "" {
		return openDB(t, engines.PostgreSQL(t))
	}
	db, err := app.OpenDB("", sqliteDir(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// sqliteDir returns a folder with a database that contains the demo data.
func sqliteDir(t *testing.T) string {
	template.once.Do(func() { template.file = seeded(t) })
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "contacts.db"), template.file, 0o600))
	return dir
}

// template is a database with the demo data. It is created once, because a test
// would spend most of its time waiting for the disk.
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
	require.NoError(t, db.Close()) // moves the write-ahead log into the file
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

// browser is a client with its own cookies that follows no redirect.
type browser struct {
	*site
	client  *http.Client
	address string // address from which it connects; "" means this machine
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

// do sends a request as a browser does. header alternates names and values.
func (b *browser) do(method, path, body string, header ...string) answer {
	b.t.Helper()
	got, err := b.send(method, path, body, header...)
	require.NoError(b.t, err)
	return got
}

// send is like do, for goroutines other than that of the test.
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
			for _, c := range b.client.Jar.Cookies(req.URL) { // the client would choose them by Host
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
	location := strings.TrimPrefix(res.Header.Get("Location"), b.srv.URL)
	location = strings.TrimSuffix(location, "?cookies=set") // the mark of an answer with the first cookies
	return answer{res.StatusCode, string(text), res.Header, location}, err
}

func (b *browser) get(path string) answer { b.t.Helper(); return b.do("GET", path, "") }

// follow follows redirects until a page is reached.
func (b *browser) follow(got answer) answer {
	b.t.Helper()
	for range 10 {
		if got.location == "" {
			return got
		}
		got = b.get(got.location)
	}
	b.t.Fatal("redirect loop")
	return got
}

const formType = "application/x-www-form-urlencoded"

var csrfField = regexp.MustCompile(`name="csrf_token" value="([^"]+)"`)

var heldField = regexp.MustCompile(`name="held" value="([^"]+)"`)

// csrf returns the token in the forms of a page. On the pages of package
// twofahttp, the forms in the header and the footer have another one.
func (b *browser) csrf(page string) string {
	b.t.Helper()
	got := b.get(page)
	_, content, _ := strings.Cut(got.body, "<main")
	content, _, _ = strings.Cut(content, "</main>")
	m := csrfField.FindStringSubmatch(content)
	if m == nil {
		m = csrfField.FindStringSubmatch(got.body)
	}
	require.NotNil(b.t, m, "no form on %s: %d %s", page, got.status, got.location)
	return m[1]
}

// post sends a form as a browser does, with the token of the page.
func (b *browser) post(page, path string, fields ...string) answer {
	b.t.Helper()
	return b.do("POST", path, form(append(fields, "csrf_token", b.csrf(page))...),
		"Content-Type", formType, "Origin", b.srv.URL, "Sec-Fetch-Site", "same-origin", "Referer", b.srv.URL+page)
}

// send2FA sends a form of package twofahttp that the browser has not been
// shown. Its token is a hash of a cookie, so an attacker who writes requests by
// hand can compute it.
func (b *browser) send2FA(path string, fields ...string) answer {
	b.t.Helper()
	_, token, ok := strings.Cut(b.cookie(browserCookie), "=")
	require.True(b.t, ok, "the browser has no cookie for the token yet")
	secret, _, _ := strings.Cut(token, ".") // the rest of the cookie changes
	mac := hmac.New(sha256.New, []byte(secret))
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

// login enters the password. The policy of the account decides what follows.
func (b *browser) login(email string) answer {
	b.t.Helper()
	b.advance(61 * time.Second) // the minimum time between two links or text messages
	return b.typePassword(email)
}

func (b *browser) typePassword(email string) answer {
	b.t.Helper()
	return b.post("/login", "/login", "email", email, "password", app.DemoPassword)
}

// as returns a browser in which the user is signed in.
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

// prove answers the challenge of a login or step-up, with the authenticator app
// if the user has one, and with the email link otherwise.
func (b *browser) prove(email string, fields ...string) answer {
	b.t.Helper()
	if b.uris[email] != "" {
		return b.post("/2fa/challenge", "/2fa/verify", append(fields, "method", "totp", "code", b.code(email))...)
	}
	return b.openLink(b.mailedLink(email))
}

// asksForCode requires that a form was answered with the page that asks for a
// fresh code and keeps the form.
func asksForCode(t *testing.T, got answer, what ...any) {
	t.Helper()
	require.Equal(t, http.StatusUnauthorized, got.status, what...)
	require.Contains(t, got.body, `name="held"`, what...)
	require.Contains(t, got.body, "Confirm it’s you", what...)
}

// code returns the next code of the user's authenticator app. It advances the
// clock, because each code works once.
func (s *site) code(email string) string {
	s.t.Helper()
	require.NotEmpty(s.t, s.uris[email], "%s has no app", email)
	s.advance(30 * time.Second)
	return twofatest.Code(s.t, s.uris[email], s.clock())
}

// openLink opens an email link and presses the button.
func (b *browser) openLink(link string) answer {
	b.t.Helper()
	_, token, _ := strings.Cut(link, "token=")
	return b.post(link, "/2fa/link", "token", token)
}

// enrollApp enrolls an authenticator app, in the order of a voluntary
// enrollment: QR code, code, recovery codes. It returns the recovery codes.
func (b *browser) enrollApp(email string, fields ...string) (codes []string) {
	b.t.Helper()
	require.Equal(b.t, "/2fa/setup", b.post("/2fa/setup?start=1", "/2fa/setup", append(fields, "method", "totp")...).location)
	b.scan(email)
	got := b.post("/2fa/setup", "/2fa/setup/confirm", "code", b.code(email))
	if got.location == "/2fa/setup" {
		codes = shownCodes(b.get("/2fa/setup").body)
		got = b.post("/2fa/setup", "/2fa/setup/saved", "saved", "yes")
	}
	require.Contains(b.t, []string{"/2fa/", "/2fa/done?next=%2Fcontacts"}, got.location, got.body)
	return codes
}

// enter is like as, for a user without a factor in an account that requires an
// authenticator app: email link, recovery codes, QR code, code.
func (s *site) enter(email string) *browser {
	s.t.Helper()
	b := s.browser()
	require.Equal(s.t, "/2fa/challenge", b.login(email).location)
	require.Equal(s.t, "/2fa/setup", b.prove(email).location)
	require.Equal(s.t, "/2fa/setup", b.post("/2fa/setup", "/2fa/setup", "method", "totp").location)
	require.Equal(s.t, "/2fa/setup", b.post("/2fa/setup", "/2fa/setup/saved", "saved", "yes").location)
	b.scan(email)
	require.Equal(s.t, "/2fa/done?next=%2Fcontacts", b.post("/2fa/setup", "/2fa/setup/confirm", "code", b.code(email)).location)
	return b
}

var otpauthURI = regexp.MustCompile(`otpauth://totp/[^"]+`)

// scan reads the QR code of the enrollment page.
func (b *browser) scan(email string) {
	b.t.Helper()
	body := b.get("/2fa/setup").body
	uri := otpauthURI.FindString(body)
	require.NotEmpty(b.t, uri, body)
	b.uris[email] = html.UnescapeString(uri)
}

// staleProof is how long it takes until the proof of a login or an enrollment
// no longer counts for any action.
const staleProof = 15 * time.Minute

// stepUp gives a fresh proof for an action, after earlier ones no longer count.
func (b *browser) stepUp(email, action string) {
	b.t.Helper()
	b.advance(staleProof)
	require.Equal(b.t, "/2fa/challenge", b.get("/2fa/confirm?action="+action).location)
	require.Equal(b.t, http.StatusSeeOther, b.prove(email).status)
}

var recoveryCode = regexp.MustCompile(`[0-9A-Z]{4}(?:-[0-9A-Z]{4}){5}`)

func shownCodes(body string) []string { return recoveryCode.FindAllString(body, -1) }

func (b *browser) signedIn() bool { return b.get("/contacts").status == http.StatusOK }

// cookie returns a cookie of the browser as name=value, or "".
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
	noticeCookie    = "__Host-twofa-notice"
)

// setCookie adds a cookie, as returned by cookie, to a browser.
func (b *browser) setCookie(cookie string) {
	u, _ := url.Parse(b.srv.URL)
	name, value, _ := strings.Cut(cookie, "=")
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

// call sends JSON to the API and returns the status and the JSON of the
// response.
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

// token signs in through the API and returns the bearer token.
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

// outbox returns all messages, newest last. It uses the public page in demo
// mode.
func (s *site) outbox() (all []app.Message) {
	s.t.Helper()
	require.NoError(s.t, json.Unmarshal([]byte(s.browser().get("/dev/outbox.json").body), &all))
	return all
}

// lastMessage returns the newest message to an address or number that contains
// part.
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

// linkIn returns the path of the link in a message.
func (s *site) linkIn(m app.Message) string {
	s.t.Helper()
	_, rest, ok := strings.Cut(m.Text, s.srv.URL)
	require.True(s.t, ok, m.Text)
	return strings.Fields(rest)[0]
}

// mailedLink returns the newest sign-in link to an address.
func (s *site) mailedLink(to string) string {
	s.t.Helper()
	return s.linkIn(s.lastMessage(to, "/2fa/link?"))
}

// textedCode returns the newest code to a number.
func (s *site) textedCode(to string) string {
	s.t.Helper()
	return s.lastMessage(to, "Acme Contacts").Text[:6]
}

// syncBuffer is a buffer for concurrent writers.
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
