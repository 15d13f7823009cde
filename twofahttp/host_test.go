package twofahttp_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofahttp"
)

// host is a small application that uses the package.
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
	stamps   sync.Map // security stamps by user
	exports  int      // number of exports that were delivered
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
	gets  int

	failEvents error  // of Events only
	pages      int    // calls of Events until atPage is called
	atPage     func() // may be nil
}

func (s *faultyStore) brokenEvents(fail error) {
	s.mu.Lock()
	s.failEvents = fail
	s.mu.Unlock()
}

// afterEvents calls f once, before a later page of events is read.
func (s *faultyStore) afterEvents(pages int, f func()) {
	s.mu.Lock()
	s.pages, s.atPage = pages, f
	s.mu.Unlock()
}

func (s *faultyStore) Events(ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
	s.mu.Lock()
	f := s.atPage
	if s.pages--; s.pages != 0 {
		f = nil
	}
	s.mu.Unlock()
	if f != nil {
		f()
	}
	s.mu.Lock()
	fail := s.failEvents
	s.mu.Unlock()
	if fail == nil {
		fail = s.check()
	}
	if fail != nil {
		return twofa.EventPage{}, fail
	}
	return s.Store.Events(ctx, q)
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
	s.mu.Lock()
	s.gets++
	s.mu.Unlock()
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
func (s *faultyStore) reads() int  { s.mu.Lock(); defer s.mu.Unlock(); return s.gets }

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
		if l := linkPattern.FindString(o.mails[i].Text.Reveal()); l != "" {
			return l
		}
	}
	return ""
}

func (o *outbox) links() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range o.mails {
		if linkPattern.MatchString(m.Text.Reveal()) {
			n++
		}
	}
	return n
}

func (o *outbox) code() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return regexp.MustCompile(`\d{6}`).FindString(o.texts[len(o.texts)-1].Body.Reveal())
}

func (o *outbox) sentTexts() int { o.mu.Lock(); defer o.mu.Unlock(); return len(o.texts) }

// sessions is a minimal session library.
type sessions struct {
	mu   sync.Mutex
	byID map[string]string

	secure func(*http.Request) bool // if nil, the cookie is Secure
}

const sessionCookie = "__Host-app"

func (s *sessions) cookie(r *http.Request) *http.Cookie {
	c := &http.Cookie{Name: sessionCookie, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if s.secure != nil && !s.secure(r) {
		c.Name, c.Secure = "app", false
	}
	return c
}

func (s *sessions) Session(r *http.Request) twofa.Session {
	c, err := r.Cookie(s.cookie(r).Name)
	if err != nil {
		return twofa.Session{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return twofa.ParseSession(s.byID[c.Value])
}

func (s *sessions) start(w http.ResponseWriter, r *http.Request, text string) {
	cookie := s.cookie(r)
	cookie.Value = rand.Text()
	s.mu.Lock()
	if c, err := r.Cookie(cookie.Name); err == nil {
		delete(s.byID, c.Value)
	}
	s.byID[cookie.Value] = text
	s.mu.Unlock()
	http.SetCookie(w, cookie)
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

// newHost starts an application with a policy. tune can change other settings.
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
	mc := twofa.Config{Issuer: "Acme", Store: h.store, Keys: keys, Directory: twofa.LookUp(h.user), Policy: policy, Now: h.clock.now, Logger: logger,
		Mail: twofa.MailConfig{Mailer: h.outbox, LinkURL: twofahttp.LinkURL("https://app.example.com/2fa/")},
		SMS:  twofa.SMSConfig{Sender: h.outbox, Phone: h.outbox, Countries: []string{"CH"}}}
	wc := twofahttp.Config{Sessions: h.sessions, Issuer: "Acme", Now: h.clock.now, Logger: logger,
		Regions: []twofahttp.Region{{Code: "CH", Name: "Switzerland (+41)"}},
		Actions: map[string]twofahttp.Action{"contacts.export": {Title: "Export contacts", Page: "/contacts"}},
		Team: func(context.Context, twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
			return twofahttp.TeamPage{}, nil
		}}
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

// noMail removes the mailer. With a mailer, a user without a factor must open a
// mailed link before a required enrollment.
func noMail(c *twofa.Config, _ *twofahttp.Config) {
	c.Mail.Mailer, c.Mail.LinkURL, c.Policy.EnrollWithoutLink = nil, nil, true
}

func (h *host) user(_ context.Context, id string) (twofa.User, error) {
	stamp, _ := h.stamps.Load(id)
	text, _ := stamp.(string)
	return twofa.User{ID: id, Name: id + "@example.com", Emails: []string{id + "@example.com"}, SecurityStamp: text,
		Members: []twofa.Member{{Account: "acme"}, {Account: "beta"}}}, nil
}

func (h *host) routes(mux *http.ServeMux) {
	mux.Handle("/2fa/", h.web.Handler())
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie(h.sessions.cookie(r).Name); err != nil {
			h.sessions.start(w, r, "")
		}
		_, _ = io.WriteString(w, "login page")
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		first := twofa.FirstFactor{UserID: r.PostFormValue("user"), Account: r.PostFormValue("account"), By: twofa.ByPassword}
		if provider := r.PostFormValue("sso"); provider != "" {
			first.By, first.ProviderOf = twofa.BySSO, provider
		}
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
	app.Handle("/report", h.web.RequireAction("report", export)) // the policy's rule has a MaxAge
	mux.Handle("/", h.web.Guard(app))
}

// withoutLink returns the policy for a host that mails no links.
func withoutLink(p twofa.Policy) twofa.Policy {
	p.EnrollWithoutLink = true
	return p
}
