package app_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
)

// site is the app on a TLS server of its own.
type site struct {
	t   *testing.T
	srv *httptest.Server
	app *app.App
	log *syncBuffer

	mu  sync.Mutex
	now time.Time
}

func newSite(t *testing.T, change ...func(*app.Config)) *site {
	t.Helper()
	s := &site{t: t, srv: httptest.NewUnstartedServer(nil), log: &syncBuffer{}, now: time.Now()}
	cfg := app.Config{
		DB: testDB(t), Demo: true, BaseURL: "https://" + s.srv.Listener.Addr().String(), Now: s.clock,
		Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&cfg)
	}
	a, err := app.New(cfg)
	require.NoError(t, err)
	s.app, s.srv.Config.Handler = a, a
	s.srv.StartTLS()
	t.Cleanup(func() { s.srv.Close(); a.Close() })
	return s
}

// testDB is an SQLite file, or a schema of its own in the PostgreSQL database
// that TWOFA_WEBAPP_DATABASE names.
func testDB(t *testing.T) *sql.DB {
	dsn := os.Getenv("TWOFA_WEBAPP_DATABASE")
	if dsn != "" {
		admin, err := app.OpenDB(dsn, "")
		require.NoError(t, err)
		defer admin.Close()
		schema := fmt.Sprintf("webapp_%d", time.Now().UnixNano())
		_, err = admin.ExecContext(t.Context(), "CREATE SCHEMA "+schema)
		require.NoError(t, err)
		u, err := url.Parse(dsn)
		require.NoError(t, err)
		q := u.Query()
		q.Set("search_path", schema)
		u.RawQuery = q.Encode()
		dsn = u.String()
	}
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
	client *http.Client
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return &browser{s, &http.Client{
		Transport: s.srv.Client().Transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

type answer struct {
	status   int
	body     string
	header   http.Header
	location string
}

func (b *browser) do(method, path, body string, header ...string) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.srv.URL+path, strings.NewReader(body))
	require.NoError(b.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.client.Do(req)
	require.NoError(b.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(b.t, err)
	return answer{res.StatusCode, string(text), res.Header, strings.TrimPrefix(res.Header.Get("Location"), b.srv.URL)}
}

func (b *browser) get(path string) answer { b.t.Helper(); return b.do("GET", path, "") }

var csrfField = regexp.MustCompile(`name="csrf_token" value="([^"]+)"`)

// post sends a form the way a browser would: with the token of the page it is on.
func (b *browser) post(page, path string, fields ...string) answer {
	b.t.Helper()
	m := csrfField.FindStringSubmatch(b.get(page).body)
	require.NotNil(b.t, m, "no form on %s", page)
	return b.do("POST", path, form(append(fields, "csrf_token", m[1])...),
		"Content-Type", "application/x-www-form-urlencoded", "Origin", b.srv.URL, "Sec-Fetch-Site", "same-origin")
}

func form(fields ...string) string {
	v := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		v.Set(fields[i], fields[i+1])
	}
	return v.Encode()
}

// as is a browser in which somebody has signed in.
func (s *site) as(email string) *browser {
	s.t.Helper()
	b := s.browser()
	got := b.post("/login", "/login", "email", email, "password", app.DemoPassword)
	require.Equal(s.t, http.StatusSeeOther, got.status, got.body)
	return b
}

func (b *browser) signedIn() bool { return b.get("/contacts").status == http.StatusOK }

// cookie is the session cookie a browser holds.
func (b *browser) cookie() string {
	u, _ := url.Parse(b.srv.URL)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == "__Host-session" {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

// token gets a bearer token from the API's door.
func (s *site) token(email, account string) string {
	s.t.Helper()
	in, _ := json.Marshal(map[string]string{"email": email, "password": app.DemoPassword, "account": account})
	got := s.browser().do("POST", "/api/login", string(in))
	require.Equal(s.t, http.StatusOK, got.status, got.body)
	var out struct{ Token string }
	require.NoError(s.t, json.Unmarshal([]byte(got.body), &out))
	return out.Token
}

// lastMail is the newest message, read the way any client can.
func (s *site) lastMail() app.Message {
	s.t.Helper()
	var all []app.Message
	require.NoError(s.t, json.Unmarshal([]byte(s.browser().get("/dev/outbox.json").body), &all))
	require.NotEmpty(s.t, all)
	return all[len(all)-1]
}

// lastLink is the path of the link in the newest message.
func (s *site) lastLink() string {
	s.t.Helper()
	text := s.lastMail().Text
	_, rest, ok := strings.Cut(text, s.srv.URL)
	require.True(s.t, ok, text)
	return strings.Fields(rest)[0]
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
