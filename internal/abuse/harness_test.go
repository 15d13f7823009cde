package abuse

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/internal/harness"
	"github.com/twofa-go/twofa/twofatest"
)

// world is a host in a test, with a directory, a store, a clock and an outbox.
type world struct {
	*twofa.Manager
	t     testing.TB
	cfg   twofa.Config
	store twofa.Store
	clock *twofatest.Clock
	out   *twofatest.Outbox

	mu     sync.Mutex
	users  map[string]twofa.User
	events []twofa.Event
}

// keyText is the key ring of newWorld, as text for [twofa.ParseKeyRing].
const keyText = "test1:Hf0c9wJ5rVq1mYx8B3sKzL7uTgE2oNaPdR6iSlCkXhM="

// newWorld creates a host with every method configured. edit may change the
// configuration before New is called.
func newWorld(t testing.TB, edit ...func(*twofa.Config)) *world {
	w := &world{t: t, store: memstore.New(), clock: twofatest.NewClock(harness.Start), out: &twofatest.Outbox{}, users: map[string]twofa.User{}}
	for _, id := range []string{"ada", "bob"} {
		w.users[id] = twofa.User{ID: id, Name: id + "@example.com", Emails: []string{id + "@example.com"}, SecurityStamp: "1",
			Members: []twofa.Member{{Account: "acme"}, {Account: "beta"}}}
	}
	w.cfg = twofa.Config{
		Issuer: "Acme", Store: w.store, Keys: ring(t, keyText), Now: w.clock.Now, Directory: twofa.LookUp(w.lookup),
		Mail: twofa.MailConfig{Mailer: w.out, LinkURL: func(l twofa.LinkRequest) string { return "https://app.example.com/2fa/link?token=" + l.Token.Reveal() },
			CaseURL:     func(l twofa.LinkRequest) string { return "https://app.example.com/2fa/case?token=" + l.Token.Reveal() },
			NoticeEmail: func(twofa.NoticeEmail) twofa.Email { return twofa.Email{} }},
		SMS: twofa.SMSConfig{Sender: w.out, Phone: harness.Numbers{}, Countries: []string{"CH"}, WebOTPHost: "app.example.com"},
		OnEvent: func(_ context.Context, e twofa.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	}
	for _, f := range edit {
		f(&w.cfg)
	}
	w.cfg.Policy.EnrollWithoutLink = w.cfg.Policy.EnrollWithoutLink || w.cfg.Mail.LinkURL == nil
	if w.cfg.Mail.Mailer == nil {
		w.cfg.Mail.CaseURL = nil
	}
	w.store = w.cfg.Store
	w.Manager = w.again()
	return w
}

// again creates another Manager on the same store, like that of another server.
func (w *world) again() *twofa.Manager {
	m, err := twofa.New(w.cfg)
	require.NoError(w.t, err)
	return m
}

func (w *world) lookup(_ context.Context, id string) (twofa.User, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, ok := w.users[id]
	if !ok {
		return u, errors.New("no such user")
	}
	return u, nil
}

func (w *world) setUser(id string, edit func(*twofa.User)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u := w.users[id]
	edit(&u)
	w.users[id] = u
}

func (w *world) types() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		list = append(list, e.Type)
	}
	return list
}

// count returns how many events of a type a session has.
func (w *world) count(kind, session string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Type == kind && e.Session == session {
			n++
		}
	}
	return n
}

// person is a user with a browser, a host session and, after enrollment, an
// app.
type person struct {
	*world
	id      string
	client  twofa.Client
	account string
	login   twofa.Result
	session twofa.Session
	uri     string
	codes   []string
}

func (w *world) person(id string) *person {
	return &person{world: w, id: id, client: twofa.Client{IP: "192.0.2.7", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
		Browser: twofa.NewSecret("binding of " + id)}}
}

// browser returns the same user in another browser.
func (p *person) browser(name string) *person {
	q := *p
	q.client.Browser, q.session, q.login = twofa.NewSecret("binding of "+p.id+" in "+name), twofa.Session{}, twofa.Result{}
	return &q
}

func (p *person) caller() twofa.Caller {
	return twofa.Caller{Session: p.session, Challenge: p.login.Challenge, Account: p.account, Client: p.client}
}

// took records the result of a login.
func (p *person) took(l twofa.Result, err error) error {
	if err != nil {
		return err
	}
	p.login = l
	if !l.Session.IsZero() {
		p.session = l.Session
	}
	if !l.Browser.IsZero() {
		p.client.Browser = l.Browser
	}
	return nil
}

func (p *person) begin() twofa.Next {
	p.t.Helper()
	require.NoError(p.t, p.took(p.Begin(p.t.Context(), twofa.FirstFactor{UserID: p.id, Account: p.account, By: twofa.ByPassword, Client: p.client})))
	return p.login.Next
}

func (p *person) verify(m twofa.Method, code string) error {
	return p.took(p.Verify(p.t.Context(), p.caller(), p.login.Challenge, twofa.Proof{Method: m, Code: twofa.NewSecret(code)}))
}

func (p *person) send(m twofa.Method) error {
	return p.took(p.Send(p.t.Context(), p.client, p.login.Challenge, m))
}

// code returns a code of the app. It moves the clock first, because the
// previous code may be used up.
func (p *person) code() string {
	p.clock.Add(30 * time.Second)
	return p.now()
}

func (p *person) now() string { return twofatest.Code(p.t, p.uri, p.clock.Now()) }

// enroll enrolls an authenticator and keeps its URI and the recovery codes.
func (p *person) enroll() *person {
	p.t.Helper()
	e, err := p.Enroll(p.t.Context(), p.caller(), twofa.EnrollRequest{})
	require.NoError(p.t, err)
	p.uri = e.URI.Reveal()
	require.NoError(p.t, p.took(p.Confirm(p.t.Context(), p.caller(), p.code())))
	if !e.Saved {
		p.keep(e)
		require.NoError(p.t, p.took(p.SaveCodes(p.t.Context(), p.caller())))
	}
	require.Equal(p.t, twofa.NextDone, p.login.Next)
	return p
}

func (p *person) keep(e twofa.Enrollment) {
	p.codes = nil
	for _, c := range e.Codes {
		p.codes = append(p.codes, c.Reveal())
	}
}

// enrolled returns a user who is signed in and has an authenticator.
func (w *world) enrolled(id string) *person {
	p := w.person(id)
	require.Equal(w.t, twofa.NextDone, p.begin())
	return p.enroll()
}

// stepUp gives a fresh proof for an action.
func (p *person) stepUp(action string) error {
	p.t.Helper()
	if err := p.took(p.StepUp(p.t.Context(), p.caller(), action, "")); err != nil || p.login.Next == twofa.NextDone {
		return err
	}
	return p.verify(twofa.TOTP, p.code())
}

// sessionID returns the ID of the session.
func (p *person) sessionID() string { return p.idOf(p.session) }

func (w *world) idOf(s twofa.Session) string {
	w.t.Helper()
	d, err := w.DescribeSession(s)
	require.NoError(w.t, err)
	return d.ID
}

func (p *person) token() string {
	p.t.Helper()
	u, err := url.Parse(p.out.Link(p.t, p.id+"@example.com"))
	require.NoError(p.t, err)
	return u.Query().Get("token")
}

// notSignedIn checks that a token is no session, whether it is void or cannot be
// read.
func notSignedIn(t testing.TB, err error) {
	t.Helper()
	var d *twofa.DeniedError
	require.ErrorAs(t, err, &d)
	require.Contains(t, []twofa.Reason{twofa.ReasonSignedOut, twofa.ReasonUnreadable}, d.Reason)
}

func denied(t testing.TB, err error, reason twofa.Reason, what ...any) {
	t.Helper()
	var d *twofa.DeniedError
	require.ErrorAs(t, err, &d, what...)
	require.Equal(t, reason, d.Reason, what...)
}
