package twofatest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// library is a session library whose cookie has the ID of a map of values. It can
// break each rule of the contract.
type library struct {
	fault  string
	mu     sync.Mutex
	byID   map[string]map[string]string
	broken bool
}

var errBroken = errors.New("broken")

func (l *library) host() SessionHost {
	return SessionHost{
		Sessions: l,
		Change:   l.change,
		Faults: map[string]func() func(){"broken": func() func() {
			l.broken = true
			return func() { l.broken = false }
		}},
	}
}

func (l *library) id(r *http.Request) string {
	if c, err := r.Cookie("id"); err == nil {
		return c.Value
	}
	return ""
}

func (l *library) setCookie(w http.ResponseWriter, value string) {
	c := &http.Cookie{Name: "id", Value: value}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func (l *library) Session(r *http.Request) twofa.Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.fault {
	case "one for all browsers":
		return twofa.ParseSession(l.byID["all"]["session"])
	case "made up":
		return twofa.ParseSession("made up")
	case "in the cookie":
		return twofa.ParseSession(l.id(r))
	}
	return twofa.ParseSession(l.byID[l.id(r)]["session"])
}

func (l *library) SignIn(w http.ResponseWriter, r *http.Request, s twofa.Session) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := rand.Text()
	switch l.fault {
	case "made up":
		return nil
	case "in the cookie":
		l.setCookie(w, s.Reveal())
		return nil
	case "one for all browsers":
		id = "all"
	case "keeps the ID":
		if old := l.id(r); old != "" {
			id = old
		}
	case "does not report errors":
		if l.broken {
			return nil
		}
	case "stores before it fails":
		l.byID[id] = map[string]string{"session": s.Reveal()}
		l.setCookie(w, id)
	}
	if l.broken {
		return errBroken
	}
	if l.fault != "keeps the old session" && l.fault != "keeps the ID" {
		delete(l.byID, l.id(r))
	}
	l.byID[id] = map[string]string{"session": s.Reveal()}
	l.setCookie(w, id)
	return nil
}

func (l *library) SignOut(w http.ResponseWriter, r *http.Request) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == "made up" {
		return nil
	}
	if l.broken && l.fault != "does not report errors" {
		return errBroken
	}
	if !l.broken && l.fault != "deletes only the cookie" {
		delete(l.byID, l.id(r))
	}
	l.setCookie(w, "")
	if l.fault == "needs a session" && l.id(r) == "" {
		return errors.New("no session")
	}
	return nil
}

func (l *library) change(r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if session := l.byID[l.id(r)]; session != nil {
		session["flash"] = "saved"
	}
}

// loadAndSave stores at the end of a request everything that it has loaded at the
// beginning, as session libraries do.
func (l *library) loadAndSave(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		id := l.id(r)
		loaded := maps.Clone(l.byID[id])
		l.mu.Unlock()
		next.ServeHTTP(w, r)
		l.mu.Lock()
		defer l.mu.Unlock()
		if loaded != nil && w.Header().Get("Set-Cookie") == "" {
			l.byID[id] = loaded
		}
	})
}

func newLibrary(fault string) SessionHost {
	l := &library{fault: fault, byID: map[string]map[string]string{}}
	h := l.host()
	if fault == "saves what it loaded" {
		h.Middleware = l.loadAndSave
	}
	return h
}

func TestRunSessions_AcceptsALibrary(t *testing.T) {
	RunSessions(t, func(*testing.T) SessionHost { return newLibrary("") })
}

// failures collects what a rule reports.
type failures []string

func (f *failures) Helper() {}
func (f *failures) Errorf(format string, args ...any) {
	*f = append(*f, fmt.Sprintf(format, args...))
}

func report(name, fault string) (f failures) {
	for _, rule := range slices.Concat(sessionRules, faultRules) {
		if rule.name == name {
			h := newLibrary(fault)
			h.Faults[""] = h.Faults["broken"]
			rule.run(&locked{failures: &f}, h)
		}
	}
	return f
}

// locked is for rules that fail in several goroutines at once.
type locked struct {
	mu sync.Mutex
	*failures
}

func (l *locked) Errorf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures.Errorf(format, args...)
}

func TestRunSessions_FindsFaults(t *testing.T) {
	for fault, rules := range map[string][]string{
		"one for all browsers":    {"signed in"},
		"in the cookie":           {"new ID", "signed out", "another user", "request under way at SignOut"},
		"keeps the ID":            {"new ID", "one browser, twice"},
		"keeps the old session":   {"new ID", "request under way at SignIn", "one browser, twice"},
		"deletes only the cookie": {"signed out", "another user", "request under way at SignOut"},
		"needs a session":         {"signed out"},
		"saves what it loaded":    {"request under way at SignOut", "request under way at SignIn"},
		"does not report errors":  {"SignIn fails", "SignIn again fails", "SignOut fails"},
		"stores before it fails":  {"SignIn fails", "SignIn again fails"},
	} {
		for _, rule := range rules {
			require.NotEmpty(t, report(rule, fault), "%s: %s", fault, rule)
		}
	}
}

// Sessions that make one up must break every rule.
func TestRunSessions_EveryRuleCanFail(t *testing.T) {
	for _, rule := range slices.Concat(sessionRules, faultRules) {
		f := report(rule.name, "made up")
		require.NotEmpty(t, f, rule.name)
		require.Contains(t, f[0], "the rule: "+rule.text)
	}
}
