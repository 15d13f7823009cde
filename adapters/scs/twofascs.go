// Package twofascs stores the sessions of package twofa in those of
// github.com/alexedwards/scs. Use [Sessions.LoadAndSave] instead of that of scs:
//
//	manager := scs.New() // as before, with your Store
//	sessions := twofascs.New(manager)
//	web, err := twofahttp.New(twofahttp.Config{Manager: m, Sessions: sessions})
//	sessions.SecureCookies = web.SecureCookies
//	http.ListenAndServe(addr, sessions.LoadAndSave(mux))
//
// The methods of the manager, such as manager.Put, work as before.
//
// With scs alone, SignIn and SignOut cannot do what [twofahttp.Sessions] requires:
//
//   - Its LoadAndSave stores a session when the response begins. If that fails, the
//     code of the user has been used up, and the response of the handler follows
//     the error.
//   - A request that began before a logout stores the session that it has loaded, if
//     it changes a value, or if the manager has an IdleTimeout. The user is then
//     signed in again. The same is true of the session ID that a sign-in replaced.
//
// This package therefore stores each sign-in under a key of its own in the same
// Store. The session of scs has only that key. A sign-in is stored before SignIn
// returns, and deleted before SignOut returns, and no other request writes it.
package twofascs

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// Sessions is a [twofahttp.Sessions]. Create one with [New]. It is safe for
// concurrent use.
type Sessions struct {
	// SecureCookies reports whether the session cookie of a request is Secure. Set
	// it to [twofahttp.Server.SecureCookies] before the first request: at
	// http://localhost, the cookie is then plain, and its name has no prefix such as
	// "__Host-", because Safari drops Secure cookies there. If nil, the cookie is
	// always Secure. Cookie.Secure of the manager is ignored.
	SecureCookies func(*http.Request) bool

	manager *scs.SessionManager
	signins *scs.SessionManager
}

var _ twofahttp.Sessions = (*Sessions)(nil)

// Keys of values in sessions of scs.
const (
	keySignin  = "twofa.signin"  // in that of the host: the token of the sign-in
	keySession = "twofa.session" // in the sign-in
)

// New returns Sessions that use the Store, Codec, Lifetime and Cookie of a manager.
// A sign-in ends after Lifetime. Iterate of the manager also visits the sign-ins,
// which have one value.
func New(manager *scs.SessionManager) *Sessions {
	return &Sessions{manager: manager, signins: scs.New()} // which has a context key of its own
}

// LoadAndSave is the middleware that loads the session of a request and stores it
// before the response is sent. It must be in front of Handler and Guard of
// [twofahttp.Server] and of every handler that calls its FirstFactor. If the
// session cannot be loaded or stored, ErrorFunc of the manager answers, and the
// response of next is discarded.
//
// A request whose session has ended meanwhile, or has got a new ID, stores nothing.
func (s *Sessions) LoadAndSave(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Cookie")
		e := s.entry(r)
		sent := ""
		if c, err := r.Cookie(e.manager.Cookie.Name); err == nil {
			sent = c.Value
		}
		ctx, err := e.manager.Load(r.Context(), sent)
		if err == nil {
			ctx, err = e.signins.Load(ctx, e.manager.GetString(ctx, keySignin))
		}
		if err != nil {
			e.manager.ErrorFunc(w, r, err)
			return
		}
		e.before = r.Context()
		a := &answer{ResponseWriter: w, header: w.Header().Clone()}
		a.save = func() error { return e.save(ctx, a, sent) }
		a.fail = func(err error) { e.manager.ErrorFunc(w, r, err) }
		next.ServeHTTP(a, r.WithContext(context.WithValue(ctx, entryKey{s}, e)))
		_ = a.begin()
	})
}

// Session implements [twofahttp.Sessions]. It panics if LoadAndSave is missing.
func (s *Sessions) Session(r *http.Request) twofa.Session {
	e := s.entryOf(r)
	return twofa.ParseSession(e.signins.GetString(r.Context(), keySession))
}

// SignIn implements [twofahttp.Sessions]. The session gets a new ID and keeps its
// values, as with RenewToken of scs. It panics if LoadAndSave is missing.
func (s *Sessions) SignIn(_ http.ResponseWriter, r *http.Request, session twofa.Session) error {
	e, ctx := s.entryOf(r), r.Context()
	err := e.signIn(ctx, session)
	if err != nil { // what was stored, or is stored late, must not be found
		_ = e.signins.Clear(ctx)
		e.manager.Remove(ctx, keySignin)
	}
	return err
}

// SignOut implements [twofahttp.Sessions]. Call it at logout instead of Destroy of
// scs. It removes all values of the session. It panics if LoadAndSave is missing.
func (s *Sessions) SignOut(_ http.ResponseWriter, r *http.Request) error {
	return s.entryOf(r).signOut(r.Context())
}

// entry is the session of one request.
type entry struct {
	manager *scs.SessionManager // with the cookie that fits the request
	signins *scs.SessionManager
	before  context.Context // without a session
}

type entryKey struct{ s *Sessions }

func (s *Sessions) entry(r *http.Request) *entry {
	manager, signins := *s.manager, *s.signins
	if manager.Cookie.Secure = s.SecureCookies == nil || s.SecureCookies(r); !manager.Cookie.Secure {
		manager.Cookie.Name = strings.TrimPrefix(strings.TrimPrefix(manager.Cookie.Name, "__Host-"), "__Secure-")
	}
	signins.Store, signins.Codec = manager.Store, manager.Codec
	signins.Lifetime, signins.HashTokenInStore = manager.Lifetime, manager.HashTokenInStore
	return &entry{manager: &manager, signins: &signins}
}

// missingLoadAndSaveError is a type of its own, because the log has the types of
// panics only.
type missingLoadAndSaveError struct{}

func (missingLoadAndSaveError) Error() string {
	return "twofascs: the request has no session; put LoadAndSave of twofascs.Sessions in front of all handlers"
}

func (s *Sessions) entryOf(r *http.Request) *entry {
	e, ok := r.Context().Value(entryKey{s}).(*entry)
	if !ok {
		panic(missingLoadAndSaveError{})
	}
	return e
}

// signIn stores the sign-in last. Before that, nobody is signed in by anything that
// was stored.
func (e *entry) signIn(ctx context.Context, session twofa.Session) error {
	if err := e.signins.RenewToken(ctx); err != nil { // deletes the one of before
		return err
	}
	if err := e.manager.RenewToken(ctx); err != nil {
		return err
	}
	e.manager.Put(ctx, keySignin, e.signins.Token(ctx))
	if _, _, err := e.manager.Commit(ctx); err != nil {
		return err
	}
	e.signins.Put(ctx, keySession, session.Reveal())
	_, _, err := e.signins.Commit(ctx)
	return err
}

func (e *entry) signOut(ctx context.Context) error {
	if err := destroy(ctx, e.signins); err != nil {
		return err
	}
	return destroy(ctx, e.manager)
}

// destroy ends a session of scs without asking the store for one that was never
// stored.
func destroy(ctx context.Context, m *scs.SessionManager) error {
	if m.Token(ctx) == "" {
		return m.Clear(ctx)
	}
	return m.Destroy(ctx)
}

// save stores the session of the host and sets its cookie. sent is the token in
// the cookie of the request.
func (e *entry) save(ctx context.Context, w http.ResponseWriter, sent string) error {
	if e.manager.GetString(ctx, keySignin) != e.signins.Token(ctx) { // the host has destroyed or cleared its session
		if err := destroy(ctx, e.signins); err != nil {
			return err
		}
	}
	switch e.manager.Status(ctx) {
	case scs.Modified:
		if ended, err := e.hasEnded(ctx, sent); ended || err != nil {
			return err
		}
		token, expiry, err := e.manager.Commit(ctx)
		if err != nil {
			return err
		}
		e.manager.WriteSessionCookie(ctx, w, token, expiry)
	case scs.Destroyed:
		e.manager.WriteSessionCookie(ctx, w, "", time.Time{})
	}
	return nil
}

// hasEnded reports whether another request has ended the session, or given it a new
// ID, since it was loaded. Storing it would bring the old ID back to the browser.
func (e *entry) hasEnded(ctx context.Context, sent string) (bool, error) {
	if token := e.manager.Token(ctx); token == "" || token != sent {
		return false, nil
	}
	now, err := e.manager.Load(e.before, sent)
	return err == nil && e.manager.Token(now) == "", err
}
