package twofatest

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// SessionHost is a [twofahttp.Sessions] under test together with its host.
type SessionHost struct {
	// Sessions is the implementation under test.
	Sessions twofahttp.Sessions
	// Middleware wraps each handler, as the host does. If nil, nothing does.
	Middleware func(http.Handler) http.Handler
	// Change stores any value in the session of a request, as the host does for a
	// message on the next page. If nil, the session has no other values.
	Change func(r *http.Request)
	// Issue returns another session of a user each time. If nil, the sessions are
	// texts that no Manager has issued.
	Issue func() twofa.Session
	// Faults break the session store in different ways, by name, until heal is
	// called. If empty, failures are not tested.
	Faults map[string]func() (heal func())
}

// RunSessions tests an implementation of [twofahttp.Sessions] against its contract.
// Each rule of the contract is a subtest, and a failure message includes the rule.
// RunSessions calls open once for each rule, and once for each fault. open must
// return a host whose store is not broken. It may be the same one each time. Requests have the host example.com, over
// https, and are not sent over a network.
//
// Run the test with the race detector enabled.
func RunSessions(t *testing.T, open func(t *testing.T) SessionHost) {
	t.Helper()
	for _, rule := range sessionRules {
		t.Run(rule.name, func(t *testing.T) { rule.run(t, open(t)) })
	}
	for _, fault := range slices.Sorted(maps.Keys(open(t).Faults)) {
		for _, rule := range faultRules {
			t.Run(rule.name+"/"+fault, func(t *testing.T) {
				h := open(t)
				rule.run(t, SessionHost{h.Sessions, h.Middleware, h.Change, h.Issue, map[string]func() func(){"": h.Faults[fault]}})
			})
		}
	}
}

// sessionRule is one sentence of the contract and a check of it.
type sessionRule struct {
	name, text string
	check      func(p *sessionProbe)
}

// failer is the part of [testing.TB] that rules use.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

func (rule sessionRule) run(t failer, h SessionHost) {
	t.Helper()
	rule.check(&sessionProbe{failer: t, rule: rule.text, SessionHost: h})
}

type sessionProbe struct {
	failer
	SessionHost
	rule   string
	mu     sync.Mutex
	issued int
}

func (p *sessionProbe) failf(format string, args ...any) {
	p.Helper()
	p.Errorf("%s\nthe rule: %s", fmt.Sprintf(format, args...), p.rule)
}

func (p *sessionProbe) issue() twofa.Session {
	if p.Issue != nil {
		return p.Issue()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issued++
	return twofa.ParseSession(fmt.Sprintf("session %d", p.issued))
}

// cookieJar is the cookies of a browser by name, for one host. Attributes except the
// expiry are ignored.
type cookieJar map[string]string

// visit sends a request with the cookies of a browser. It returns false if the
// handler has failed, or if it was answered with a server error. The browser keeps
// the cookies in any case.
func (p *sessionProbe) visit(b cookieJar, handle func(w http.ResponseWriter, r *http.Request) error) bool {
	r := httptest.NewRequest("POST", "https://example.com/", nil)
	for name, value := range b {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	ok := false
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := handle(w, r); err != nil {
			http.Error(w, "unavailable", http.StatusServiceUnavailable)
			return
		}
		ok = true
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	if p.Middleware != nil {
		handler = p.Middleware(handler)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 || c.Value == "" {
			delete(b, c.Name)
		} else {
			b[c.Name] = c.Value
		}
	}
	return ok && w.Code < http.StatusInternalServerError
}

func (p *sessionProbe) signIn(b cookieJar, s twofa.Session) bool {
	return p.visit(b, func(w http.ResponseWriter, r *http.Request) error {
		err := p.Sessions.SignIn(w, r, s)
		if err != nil && p.Sessions.Session(r).Reveal() == s.Reveal() {
			p.failf("after SignIn failed, Session of the same request returns its session")
		}
		return err
	})
}

func (p *sessionProbe) signOut(b cookieJar) bool {
	return p.visit(b, func(w http.ResponseWriter, r *http.Request) error { return p.Sessions.SignOut(w, r) })
}

// change stores a value in the session of the host. while is called before.
func (p *sessionProbe) change(b cookieJar, while func()) {
	p.visit(b, func(_ http.ResponseWriter, r *http.Request) error {
		while()
		if p.Change != nil {
			p.Change(r)
		}
		return nil
	})
}

// session returns the session by which a browser is signed in.
func (p *sessionProbe) session(b cookieJar) (s twofa.Session) {
	p.visit(maps.Clone(b), func(_ http.ResponseWriter, r *http.Request) error {
		s = p.Sessions.Session(r)
		return nil
	})
	return s
}

func (p *sessionProbe) want(b cookieJar, want twofa.Session, when string) {
	p.Helper()
	if got := p.session(b); got.Reveal() != want.Reveal() {
		p.failf("%s, Session returns %s, want %s", when, described(got), described(want))
	}
}

func (p *sessionProbe) must(ok bool, what string) {
	p.Helper()
	if !ok {
		p.failf("%s failed", what)
	}
}

var nobody twofa.Session

// described names a session without its secret.
func described(s twofa.Session) string {
	if s.IsZero() {
		return "none"
	}
	return fmt.Sprintf("one of %d bytes", len(s.Reveal()))
}

var sessionRules = []sessionRule{
	{"no session", "Session returns the zero Session if there is none, whatever the cookie is", func(p *sessionProbe) {
		p.want(cookieJar{}, nobody, "without a cookie")
		b := cookieJar{}
		p.must(p.signIn(b, p.issue()), "SignIn")
		for name, value := range b {
			p.want(cookieJar{name: "x"}, nobody, "with a made-up cookie")
			p.want(cookieJar{name: strings.Repeat("x", len(value))}, nobody, "with a made-up cookie")
		}
	}},
	{"signed in", "after SignIn, Session returns the session in the requests of this browser and of no other", func(p *sessionProbe) {
		b, s := cookieJar{}, p.issue()
		p.must(p.signIn(b, s), "SignIn")
		p.want(b, s, "after SignIn")
		p.want(cookieJar{}, nobody, "in another browser")
		p.change(b, func() {})
		p.want(b, s, "after another request of the same browser")
	}},
	{"new ID", "SignIn gives the session a new ID: a cookie of before is not signed in, because an attacker may have planted or copied it", func(p *sessionProbe) {
		b := cookieJar{}
		p.change(b, func() {})
		planted, first, second := maps.Clone(b), p.issue(), p.issue()
		p.must(p.signIn(b, first), "SignIn")
		p.want(planted, nobody, "with the cookie of before the sign-in")
		copied := maps.Clone(b)
		p.must(p.signIn(b, second), "SignIn of a user who is signed in")
		p.want(b, second, "after the second SignIn")
		p.want(copied, nobody, "with the cookie of before the second SignIn")
	}},
	{"signed out", "SignOut ends the session itself, not only the cookie of one browser", func(p *sessionProbe) {
		b := cookieJar{}
		p.must(p.signIn(b, p.issue()), "SignIn")
		copied := maps.Clone(b)
		p.must(p.signOut(b), "SignOut")
		p.want(b, nobody, "after SignOut")
		p.want(copied, nobody, "after SignOut, with a copy of the cookie")
		p.must(p.signOut(b), "SignOut of a browser that is not signed in")
		p.must(p.signOut(cookieJar{}), "SignOut of a browser without a cookie")
	}},
	{"another user", "SignOut and SignIn in one request sign the next user in; in between, nobody is signed in", func(p *sessionProbe) {
		b, s := cookieJar{}, p.issue()
		p.must(p.signIn(b, p.issue()), "SignIn")
		copied := maps.Clone(b)
		p.must(p.visit(b, func(w http.ResponseWriter, r *http.Request) error {
			if err := p.Sessions.SignOut(w, r); err != nil {
				return err
			}
			if got := p.Sessions.Session(r); !got.IsZero() {
				p.failf("after SignOut, Session of the same request returns %s", described(got))
			}
			return p.Sessions.SignIn(w, r, s)
		}), "SignOut and SignIn")
		p.want(b, s, "after SignOut and SignIn")
		p.want(copied, nobody, "with the cookie of the user before")
	}},
	{"request under way at SignOut", "a request that began before SignOut, and ends later, does not sign the user in again", func(p *sessionProbe) {
		b := cookieJar{}
		p.must(p.signIn(b, p.issue()), "SignIn")
		slow, copied := maps.Clone(b), maps.Clone(b)
		p.change(slow, func() { p.must(p.signOut(b), "SignOut") })
		p.want(slow, nobody, "after the slow request")
		p.want(copied, nobody, "with the cookie of before SignOut")
		maps.Copy(b, slow)
		p.want(b, nobody, "with the cookies of both responses")
	}},
	{"request under way at SignIn", "a request that began before SignIn, and ends later, does not sign anybody in by the old ID", func(p *sessionProbe) {
		b := cookieJar{}
		p.must(p.signIn(b, p.issue()), "SignIn")
		slow, copied, s := maps.Clone(b), maps.Clone(b), p.issue()
		p.change(slow, func() { p.must(p.signIn(b, s), "SignIn") })
		p.want(b, s, "after SignIn and the slow request")
		p.want(copied, nobody, "with the cookie of before SignIn")
	}},
	{"many browsers", "the methods may be called concurrently, and each browser has its own session", func(p *sessionProbe) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				b, s := cookieJar{}, p.issue()
				p.must(p.signIn(b, s), "SignIn")
				p.want(b, s, "after SignIn")
				p.must(p.signOut(b), "SignOut")
				p.want(b, nobody, "after SignOut")
			})
		}
		all.Wait()
	}},
	{"one browser, twice", "a form that is sent twice signs in with one of its sessions, or with none", func(p *sessionProbe) {
		var all sync.WaitGroup
		b, sessions := cookieJar{}, map[string]bool{"": true}
		p.must(p.signIn(b, p.issue()), "SignIn")
		copies := make([]cookieJar, 4)
		for i := range copies {
			s := p.issue()
			copies[i], sessions[s.Reveal()] = maps.Clone(b), true
			all.Go(func() { p.signIn(copies[i], s) })
		}
		all.Wait()
		for _, c := range copies {
			if got := p.session(c); !sessions[got.Reveal()] {
				p.failf("Session returns %s, which none of the requests has stored", described(got))
			}
		}
		p.want(b, nobody, "with the cookie of before")
	}},
}

// broken calls handle while the session store is broken.
func (p *sessionProbe) broken(handle func()) {
	heal := p.Faults[""]()
	defer heal()
	handle()
}

var faultRules = []sessionRule{
	{"SignIn fails", "if SignIn returns an error, or its response is an error, nobody is signed in; otherwise the user is", func(p *sessionProbe) {
		b := cookieJar{}
		p.change(b, func() {})
		before, s, ok := maps.Clone(b), p.issue(), false
		p.broken(func() { ok = p.signIn(b, s) })
		if ok {
			p.want(b, s, "after SignIn returned nil")
		} else {
			p.want(b, nobody, "after SignIn failed")
		}
		p.want(before, nobody, "with the cookie of before")
	}},
	{"SignIn again fails", "if SignIn of a user who is signed in fails, its session is not stored", func(p *sessionProbe) {
		b, first, second, ok := cookieJar{}, p.issue(), p.issue(), false
		p.must(p.signIn(b, first), "SignIn")
		before := maps.Clone(b)
		p.broken(func() { ok = p.signIn(b, second) })
		if ok {
			p.want(b, second, "after SignIn returned nil")
			p.want(before, nobody, "with the cookie of before")
			return
		}
		for _, jar := range []cookieJar{b, before} {
			if got := p.session(jar); got.Reveal() == second.Reveal() {
				p.failf("after SignIn failed, Session returns its session")
			}
		}
	}},
	{"SignOut fails", "if SignOut returns nil, and its response is no error, the user is signed out", func(p *sessionProbe) {
		b, ok := cookieJar{}, false
		p.must(p.signIn(b, p.issue()), "SignIn")
		before := maps.Clone(b)
		p.broken(func() { ok = p.signOut(b) })
		if ok {
			p.want(b, nobody, "after SignOut returned nil")
			p.want(before, nobody, "with the cookie of before")
		}
	}},
	{"SignIn after a failed SignOut", "the next request is not affected by a failure", func(p *sessionProbe) {
		b, s := cookieJar{}, p.issue()
		p.must(p.signIn(b, p.issue()), "SignIn")
		p.broken(func() { p.signOut(b) })
		p.must(p.signIn(b, s), "SignIn")
		p.want(b, s, "after SignIn")
	}},
}
