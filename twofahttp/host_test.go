package twofahttp_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofahttp"
)

// host is a small application with the library in front of it.
type host struct {
	*testing.T
	m        *twofa.Manager
	web      *twofahttp.Server
	srv      *httptest.Server
	store    *faultyStore
	clock    *clock
	outbox   *outbox
	sessions *sessions
	logs     *logBuffer
	stamps   sync.Map // user → stamp
	exports  int      // how often the export was delivered
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	c.t = c.t.Add(d)
	c.mu.Unlock()
}

// faultyStore fails or panics on demand.
type faultyStore struct {
	*memstore.Store
	mu    sync.Mutex
	fail  error
	panic bool
	swaps int
}

func (s *faultyStore) broken(fail error, panics bool) {
	s.mu.Lock()
	s.fail, s.panic = fail, panics
	s.mu.Unlock()
}

func (s *faultyStore) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panic {
		panic("the store knows a secret: hunter2")
	}
	return s.fail
}

func (s *faultyStore) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, keys...)
}

func (s *faultyStore) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	if err := s.check(); err != nil {
		return err
	}
	s.mu.Lock()
	s.swaps++
	s.mu.Unlock()
	return s.Store.Swap(ctx, prev, next, events...)
}

func (s *faultyStore) writes() int { s.mu.Lock(); defer s.mu.Unlock(); return s.swaps }

type outbox struct {
	mu    sync.Mutex
	mails []twofa.Email
	texts []twofa.TextMessage
}

func (o *outbox) SendMail(_ context.Context, m twofa.Email) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mails = append(o.mails, m)
	return nil
}

func (o *outbox) SendSMS(_ context.Context, m twofa.TextMessage) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.texts = append(o.texts, m)
	return nil
}

func (o *outbox) ParsePhone(raw, region string) (twofa.Phone, error) {
	raw = strings.ReplaceAll(raw, " ", "")
	if region == "CH" && strings.HasPrefix(raw, "0") {
		raw = "+41" + raw[1:]
	}
	if !strings.HasPrefix(raw, "+41") {
		return twofa.Phone{}, errors.New("not a Swiss number")
	}
	return twofa.Phone{E164: raw, Country: "CH", Mobile: true}, nil
}

var linkPattern = regexp.MustCompile(`https://[^\s]+/2fa/link\?token=[^\s<"]+`)

// link returns the last link that was mailed.
func (o *outbox) link() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := len(o.mails) - 1; i >= 0; i-- {
		if l := linkPattern.FindString(o.mails[i].Text); l != "" {
			return l
		}
	}
	return ""
}

func (o *outbox) links() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range o.mails {
		if linkPattern.MatchString(m.Text) {
			n++
		}
	}
	return n
}

func (o *outbox) code() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return regexp.MustCompile(`\d{6}`).FindString(o.texts[len(o.texts)-1].Body)
}

func (o *outbox) sentTexts() int { o.mu.Lock(); defer o.mu.Unlock(); return len(o.texts) }

// sessions is the host's session library.
type sessions struct {
	mu   sync.Mutex
	byID map[string]string
}

const sessionCookie = "__Host-app"

func (s *sessions) Session(r *http.Request) twofa.Session {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return twofa.Session{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return twofa.ParseSession(s.byID[c.Value])
}

func (s *sessions) start(w http.ResponseWriter, r *http.Request, text string) {
	id := rand.Text()
	s.mu.Lock()
	if c, err := r.Cookie(sessionCookie); err == nil {
		delete(s.byID, c.Value)
	}
	s.byID[id] = text
	s.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: id, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func (s *sessions) SignIn(w http.ResponseWriter, r *http.Request, session twofa.Session) error {
	s.start(w, r, session.Reveal())
	return nil
}

func (s *sessions) SignOut(w http.ResponseWriter, r *http.Request) error {
	s.start(w, r, "")
	return nil
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *logBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

const secretExport = "name,phone\nAda,+41791234567\n"

// newHost starts an application under a policy. tune may change the rest.
func newHost(t *testing.T, policy twofa.Policy, tune ...func(*twofa.Config, *twofahttp.Config)) *host {
	t.Helper()
	h := &host{T: t, store: &faultyStore{Store: memstore.New()}, clock: &clock{t: time.Date(2026, 3, 1, 9, 0, 10, 0, time.UTC)},
		outbox: &outbox{}, sessions: &sessions{byID: map[string]string{}}, logs: &logBuffer{}}
	mux := http.NewServeMux()
	h.srv = httptest.NewTLSServer(mux)
	t.Cleanup(h.srv.Close)
	keys, err := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	require.NoError(t, err)
	logger := slog.New(slog.NewTextHandler(h.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	mc := twofa.Config{Issuer: "Acme", Store: h.store, Keys: keys, User: h.user, Policy: policy, Now: h.clock.now, Logger: logger,
		Mail: twofa.MailConfig{Mailer: h.outbox, LinkURL: twofahttp.LinkURL("https://app.example.com/2fa/")},
		SMS:  twofa.SMSConfig{Sender: h.outbox, Phone: h.outbox, Countries: []string{"CH"}}}
	wc := twofahttp.Config{Sessions: h.sessions, Issuer: "Acme", Now: h.clock.now, Logger: logger,
		Regions: []twofahttp.Region{{Code: "CH", Name: "Switzerland (+41)"}},
		Actions: map[string]twofahttp.Action{"contacts.export": {Title: "Export contacts", Page: "/contacts"}}}
	for _, f := range tune {
		f(&mc, &wc)
	}
	h.m, err = twofa.New(mc)
	require.NoError(t, err)
	wc.Manager = h.m
	h.web, err = twofahttp.New(wc)
	require.NoError(t, err)
	h.routes(mux)
	return h
}

// noMail leaves a member who has set up nothing with nothing: with a mailer,
// what is demanded is set up only after a link was opened.
func noMail(c *twofa.Config, _ *twofahttp.Config) { c.Mail.Mailer, c.Mail.LinkURL = nil, nil }

func (h *host) user(_ context.Context, id string) (twofa.User, error) {
	stamp, _ := h.stamps.Load(id)
	text, _ := stamp.(string)
	return twofa.User{ID: id, Name: id + "@example.com", Emails: []string{id + "@example.com"}, SecurityStamp: text,
		Members: []twofa.Member{{Account: "acme"}, {Account: "beta"}}}, nil
}

func (h *host) routes(mux *http.ServeMux) {
	mux.Handle("/2fa/", h.web.Handler())
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie(sessionCookie); err != nil {
			h.sessions.start(w, r, "")
		}
		_, _ = io.WriteString(w, "login page")
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		first := twofa.FirstFactor{UserID: r.PostFormValue("user"), Account: r.PostFormValue("account"), By: twofa.ByPassword}
		h.web.FirstFactor(w, r, first, r.PostFormValue("next"))
	})
	say := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, text) })
	}
	export := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.exports++
		_, _ = io.WriteString(w, secretExport)
	})
	app := http.NewServeMux()
	app.Handle("/", say("home page"))
	app.Handle("/contacts", say("contacts page"))
	app.Handle("/contacts/export", h.web.RequireAction("contacts.export", export))
	app.Handle("/report", h.web.RequireAction("report", export)) // its rule has a MaxAge
	mux.Handle("/", h.web.Guard(app))
}

// browser has its own cookies.
type browser struct {
	h      *host
	client *http.Client
	jar    *cookiejar.Jar
	csrf   string
	header http.Header // added to every request
}

func (h *host) browser() *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(h, err)
	transport := &http.Transport{TLSClientConfig: h.srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()}
	transport.TLSClientConfig.NextProtos = nil
	transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	h.Cleanup(transport.CloseIdleConnections)
	return &browser{h: h, jar: jar, header: http.Header{}, client: &http.Client{Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answer is a response, read to its end.
type answer struct {
	*http.Response
	Body string
}

var (
	tokenPattern = regexp.MustCompile(`name="csrf_token" value="([^"]+)"`)
	keyPattern   = regexp.MustCompile(`<p class="key"><code translate="no">([^<]+)</code>`)
	codesPattern = regexp.MustCompile(`<li><code>([^<]+)</code></li>`)
	idPattern    = regexp.MustCompile(`name="id" value="([^"]+)"`)
)

func (b *browser) do(r *http.Request) answer {
	b.h.Helper()
	for name, values := range b.header {
		r.Header[name] = values
	}
	res, err := b.client.Do(r)
	require.NoError(b.h, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(b.h, err)
	_ = res.Body.Close()
	if m := tokenPattern.FindStringSubmatch(string(body)); m != nil {
		b.csrf = m[1]
	}
	return answer{res, string(body)}
}

func (b *browser) request(method, path, body string) *http.Request {
	r, err := http.NewRequestWithContext(b.h.Context(), method, b.h.srv.URL+path, strings.NewReader(body))
	require.NoError(b.h, err)
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	return r
}

func (b *browser) get(path string) answer { return b.do(b.request("GET", path, "")) }

// post sends a form with the token of the last page.
func (b *browser) post(path string, pairs ...string) answer {
	form := url.Values{"csrf_token": {b.csrf}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.do(b.request("POST", path, form.Encode()))
}

// follow goes where redirects lead.
func (b *browser) follow(a answer) answer {
	b.h.Helper()
	for range 8 {
		to := a.Header.Get("Location")
		if a.StatusCode != http.StatusSeeOther {
			return a
		}
		require.True(b.h, strings.HasPrefix(to, "/"), "leads away: %s", to)
		a = b.get(to)
	}
	require.Fail(b.h, "goes round in circles")
	return a
}

func (b *browser) login(user string, pairs ...string) answer {
	b.h.Helper()
	return b.follow(b.post("/login", append([]string{"user", user}, pairs...)...))
}

// signedIn reports whether the closed part of the application answers.
func (b *browser) signedIn() bool { return b.get("/contacts").Body == "contacts page" }

func (b *browser) cookie(name string) string {
	u, _ := url.Parse(b.h.srv.URL)
	for _, c := range b.jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) setCookie(name, value string) {
	u, _ := url.Parse(b.h.srv.URL)
	b.jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

// app is an authenticator app with one key.
type app struct {
	h   *host
	key string
}

func (h *host) scan(page string) app {
	h.Helper()
	m := keyPattern.FindStringSubmatch(page)
	require.NotNil(h, m, "no key on the page: %s", page)
	return app{h, strings.ReplaceAll(m[1], " ", "")}
}

func (a app) code() string {
	code, err := totp.GenerateCode(a.key, a.h.clock.now())
	require.NoError(a.h, err)
	return code
}

// next waits for the next code.
func (a app) next() string {
	a.h.clock.pass(30 * time.Second)
	return a.code()
}

func (a app) wrong() string {
	code := a.code()
	return string('0'+(code[0]-'0'+5)%10) + code[1:]
}

func codesOn(page string) (codes []string) {
	for _, m := range codesPattern.FindAllStringSubmatch(page, -1) {
		codes = append(codes, html.UnescapeString(m[1]))
	}
	return codes
}

// enroll logs a user in who has nothing, and sets up an app.
func (b *browser) enroll(user string, pairs ...string) (app, []string) {
	b.h.Helper()
	b.login(user, pairs...)
	b.get("/2fa/setup?start=1")
	page := b.follow(b.post("/2fa/setup", "method", "totp"))
	phone := b.h.scan(page.Body)
	page = b.follow(b.post("/2fa/setup/confirm", "code", phone.code()))
	codes := codesOn(page.Body)
	if len(codes) > 0 {
		page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	}
	require.Contains(b.h, page.Body, `<span class="badge on">On</span>`)
	return phone, codes
}

// enter logs in with an app.
func (b *browser) enter(user string, phone app, pairs ...string) answer {
	b.h.Helper()
	b.login(user)
	return b.follow(b.post("/2fa/verify", append([]string{"method", "totp", "code", phone.next()}, pairs...)...))
}

// prove passes the step-up that the last answer asked for.
func (b *browser) prove(phone app) answer {
	b.h.Helper()
	return b.follow(b.post("/2fa/verify", "method", "totp", "code", phone.next()))
}

// pending returns a browser in which an enrolled user has typed the password.
func (h *host) pending(user string) (*browser, app, []string) {
	h.Helper()
	phone, codes := h.browser().enroll(user)
	b := h.browser()
	require.Contains(h, b.login(user).Body, "Enter your code")
	return b, phone, codes
}

// api asks like a program, not like a person's browser.
func (b *browser) api(method, path string) answer {
	r := b.request(method, path, "")
	r.Header.Set("Accept", "application/json")
	return b.do(r)
}

// raw posts a body as it is.
func (b *browser) raw(path, kind, body string) answer {
	r := b.request("POST", path, body)
	r.Header.Set("Content-Type", kind)
	if kind == "" {
		r.Header.Del("Content-Type")
	}
	return b.do(r)
}

const formType = "application/x-www-form-urlencoded"
