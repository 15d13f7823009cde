package app

import (
	"context"
	"database/sql"
	"errors"
	"net/http"

	"github.com/twofa-go/twofa"
)

// Everything in this file is where the second factor meets the product: after
// a first factor, in front of every signed-in route, around what is sensitive,
// and where it is kept who is signed in. secondfactor.go configures it.

// firstFactorDone is where every door of the product ends, browser and API
// alike, once it knows who is there. What that is worth, the account's policy
// says: hostSessions.SignIn and apiAnswer sign in, and nothing else does.
func (a *App) firstFactorDone(w http.ResponseWriter, r *http.Request, userID, accountID string, by twofa.FirstFactorMethod) error {
	first := twofa.FirstFactor{UserID: userID, Account: accountID, By: by}
	if by == twofa.BySSO {
		first.ProviderOf = accountID // startSSO asked the provider of this account
	}
	if wantsJSON(r) {
		return a.apiFirstFactor(w, r, first)
	}
	next := a.sessions.GetString(r.Context(), keyReturn)
	if err := a.forgetBrowser(r.Context()); err != nil { // nobody is signed in now, under a new session id
		return err
	}
	a.web.FirstFactor(w, r, first, next)
	return nil
}

// guard stands in front of every route for signed-in people. It asks anew at
// each request whether the sign-in still exists, whether what was proven in it
// is enough for the account it is in, and what role its owner has.
func (a *App) guard(needs Role, next page) page {
	return a.identify(through(a.web.Guard, func(w http.ResponseWriter, r *http.Request) error {
		if v := visitorOf(r); v == nil || !v.Role.Covers(needs) {
			return &httpError{http.StatusForbidden, "Your role does not allow this. Ask an owner of the account."}
		}
		return next(w, r)
	}))
}

// sensitive goes around what needs a fresh proof. Viewing asks (GET, HEAD),
// doing spends (POST).
func (a *App) sensitive(action string, next page) page {
	require := func(h http.Handler) http.Handler { return a.web.RequireAction(action, h) }
	return through(require, func(w http.ResponseWriter, r *http.Request) error {
		if v := visitorOf(r); r.Method == http.MethodPost {
			a.log.InfoContext(r.Context(), "sensitive action", "action", action,
				"user", v.User.ID, "account", v.Account.ID, "ip", clientIP(r))
		}
		return next(w, r)
	})
}

// identify finds out whose request it is and turns nobody away: the guard does,
// and the pages of the second factor decide for themselves.
func (a *App) identify(next page) page {
	return func(w http.ResponseWriter, r *http.Request) error {
		v, err := a.findVisitor(r)
		if err == nil {
			r = r.WithContext(context.WithValue(r.Context(), visitorKey{}, v))
		} else if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return next(w, r)
	}
}

// through puts a middleware of net/http's kind in front of a page.
func through(middleware func(http.Handler) http.Handler, next page) page {
	return func(w http.ResponseWriter, r *http.Request) (err error) {
		middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { err = next(w, r) })).ServeHTTP(w, r)
		return err
	}
}

// hostSessions keeps what was proven in the row of a sign-in: the browser
// holds no more than the random id of its web session, a program its token.
type hostSessions struct{ app *App }

// Session implements twofahttp.Sessions.
func (s hostSessions) Session(r *http.Request) twofa.Session {
	if v := visitorOf(r); v != nil {
		return v.Proven
	}
	return twofa.Session{}
}

// SignIn implements twofahttp.Sessions. The session gets a new id and loses all
// it held, so nothing planted before lives on.
func (s hostSessions) SignIn(_ http.ResponseWriter, r *http.Request, proven twofa.Session) error {
	id, err := s.app.newSignin(r, proven, sql.NullString{})
	if err != nil {
		return unavailable(err)
	}
	if err := s.app.forgetBrowser(r.Context()); err != nil {
		return unavailable(err)
	}
	s.app.sessions.Put(r.Context(), keySignin, id)
	return nil
}

// SignOut implements twofahttp.Sessions.
func (s hostSessions) SignOut(_ http.ResponseWriter, r *http.Request) error {
	return unavailable(s.app.forgetBrowser(r.Context()))
}
