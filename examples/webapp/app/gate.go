package app

import (
	"context"
	"database/sql"
	"errors"
	"net/http"

	"github.com/twofa-go/twofa"
)

// This file contains the calls that a second factor adds to a product: after a
// first factor, in front of every route for signed-in users, around sensitive
// actions, and in the storage of sessions. secondfactor.go configures it.

// firstFactorDone is the end of every sign-in path of the product, in the
// browser and in the API. It does not sign the user in: the account's policy
// decides what else is needed. Only hostSessions.SignIn and apiAnswer sign a
// user in. Package twofa refuses a deactivated user as well; the error here has
// the product's words.
func (a *App) firstFactorDone(w http.ResponseWriter, r *http.Request, u user, accountID string, by twofa.FirstFactorMethod) error {
	if u.Disabled {
		return errDeactivated
	}
	first := twofa.FirstFactor{UserID: u.ID, Account: accountID, By: by}
	switch by {
	case twofa.BySSO:
		first.ProviderOf = accountID // startSSO asked the provider of this account
	case twofa.ByPassword:
		first.SecurityStamp = u.Stamp
	}
	if wantsJSON(r) {
		return a.apiFirstFactor(w, r, first)
	}
	return a.identify(func(w http.ResponseWriter, r *http.Request) error {
		next := a.sessions.PopString(r.Context(), keyReturn)
		// A user who is signed in adds a first factor to that session. Any
		// other browser is signed out now and has a new session ID.
		var err error
		if v := visitorOf(r); v != nil && v.User.ID == u.ID {
			err = a.enter(r.Context(), v, accountID)
		} else {
			err = a.forgetBrowser(r.Context())
		}
		if err != nil {
			return err
		}
		a.web.FirstFactor(w, r, first, next)
		return nil
	})(w, r)
}

// inPerson wraps a route that changes a first factor. A user who is signed in
// only through an account's own identity provider must first sign in with their
// own password.
func (a *App) inPerson(next page) page {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := a.twofa.CheckPerson(r.Context(), a.web.Caller(r)); err != nil {
			a.web.Error(w, r, err)
			return nil
		}
		return next(w, r)
	}
}

// guard wraps every route for signed-in users. On each request it checks that
// the sign-in still exists, that its session satisfies the policy of the
// account, and that the user's role covers needs.
func (a *App) guard(needs Role, next page) page {
	return a.identify(through(a.web.Guard, func(w http.ResponseWriter, r *http.Request) error {
		if v := visitorOf(r); v == nil || !v.Role.Covers(needs) {
			return &httpError{http.StatusForbidden, "Your role does not allow this. Ask an owner of the account."}
		}
		return next(w, r)
	}))
}

// sensitive wraps a route that needs a fresh proof. GET and HEAD check the
// proof, POST uses it up.
func (a *App) sensitive(action string, next page) page {
	return through(a.web.GuardAction(action), func(w http.ResponseWriter, r *http.Request) error {
		if v := visitorOf(r); r.Method == http.MethodPost {
			a.log.InfoContext(r.Context(), "sensitive action", "action", action,
				"user", v.User.ID, "account", v.Account.ID, "ip", clientIP(r))
		}
		return next(w, r)
	})
}

// identify finds the visitor of a request. It refuses no request, because the
// guard does that, and the pages of the second factor decide for themselves.
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

// through wraps a page in a net/http middleware.
func through(middleware func(http.Handler) http.Handler, next page) page {
	return func(w http.ResponseWriter, r *http.Request) (err error) {
		middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { err = next(w, r) })).ServeHTTP(w, r)
		return err
	}
}

// hostSessions stores the session of package twofa in the row of a sign-in. The
// browser has only the random ID of its web session, and a program only its
// bearer token.
type hostSessions struct{ app *App }

// Session implements twofahttp.Sessions.
func (s hostSessions) Session(r *http.Request) twofa.Session {
	if v := visitorOf(r); v != nil {
		return v.Proven
	}
	return twofa.Session{}
}

// SignIn implements twofahttp.Sessions. The web session gets a new ID and loses
// its content, so that an attacker who planted it gains nothing (session
// fixation). If the user was signed in before, as at a step-up, the CSRF token
// stays, because a form of before the step-up is sent again after it
// (twofahttp.Action.Resubmit).
func (s hostSessions) SignIn(_ http.ResponseWriter, r *http.Request, proven twofa.Session) error {
	id, err := s.app.newSignin(r, proven, sql.NullString{})
	if err != nil {
		return unavailable(err)
	}
	csrf := ""
	if d, err := s.app.twofa.DescribeSession(proven); err == nil && visitorOf(r) != nil && visitorOf(r).User.ID == d.User {
		csrf = s.app.csrf(r.Context())
	}
	if err := s.app.forgetBrowser(r.Context()); err != nil {
		return unavailable(err)
	}
	s.app.sessions.Put(r.Context(), keySignin, id)
	if csrf != "" {
		s.app.sessions.Put(r.Context(), keyCSRF, csrf)
	}
	return nil
}

// SignOut implements twofahttp.Sessions.
func (s hostSessions) SignOut(_ http.ResponseWriter, r *http.Request) error {
	if err := s.app.forgetBrowser(r.Context()); err != nil {
		return unavailable(err)
	}
	if v := visitorOf(r); v != nil {
		v.Proven = twofa.Session{}
	}
	return nil
}
