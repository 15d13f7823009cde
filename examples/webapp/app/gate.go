package app

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
)

// The three functions in this file are where a second factor goes into this
// product: after a first factor, in front of every signed-in route, and around
// what is sensitive.

// Doors: how somebody came in.
const (
	byPassword   = "password"
	byReset      = "reset link"
	byInvitation = "invitation"
	bySSO        = "single sign-on"
)

// firstFactorDone is where every door of the product ends, browser and API
// alike, once it knows who is there. No other function may call signIn.
func (a *App) firstFactorDone(w http.ResponseWriter, r *http.Request, userID, accountID, by string) error {
	return a.signIn(w, r, userID, accountID, by)
}

// guard stands in front of every route for signed-in people. It asks anew at
// each request whether the sign-in still exists and what role its owner has.
func (a *App) guard(needs Role, next page) page {
	return func(w http.ResponseWriter, r *http.Request) error {
		v, err := a.findVisitor(r)
		if errors.Is(err, sql.ErrNoRows) {
			return a.askToSignIn(w, r)
		}
		if err != nil {
			return err
		}
		if !v.Role.Covers(needs) {
			return &httpError{http.StatusForbidden, "Your role does not allow this. Ask an owner of the account."}
		}
		return next(w, r.WithContext(context.WithValue(r.Context(), visitorKey{}, v)))
	}
}

// sensitive goes around what needs more than being signed in. Viewing asks
// (GET, HEAD), doing spends (POST).
func (a *App) sensitive(action string, next page) page {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodPost {
			v := visitorOf(r)
			a.log.InfoContext(r.Context(), "sensitive action", "action", action,
				"user", v.User.ID, "account", v.Account.ID, "ip", clientIP(r))
		}
		return next(w, r)
	}
}
