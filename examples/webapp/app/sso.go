package app

import (
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// This file is single sign-on with a fake identity provider, in demo mode only.
// The product does the same as with a real one: it binds a state to the
// browser, accepts a code once, and checks that the code is for the requested
// account.

// ssoCallback is the path to which the provider redirects after a login.
const ssoCallback = "/sso/callback"

func (a *App) ssoPage(w http.ResponseWriter, r *http.Request) error {
	return a.render(w, r, http.StatusOK, "sso", "Single sign-on", ssoForm{})
}

type ssoForm struct{ Account, Problem string }

func (a *App) startSSO(w http.ResponseWriter, r *http.Request) error {
	name := strings.ToLower(strings.TrimSpace(r.PostFormValue("account")))
	acc, err := a.db.account(r.Context(), name)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err != nil || !acc.SSO { // the answer does not tell which
		return a.render(w, r, http.StatusNotFound, "sso", "Single sign-on",
			ssoForm{name, "We don’t know an account with that name that has single sign-on. Check the spelling, or sign in with your password."})
	}
	state := rand.Text()
	a.sessions.Put(r.Context(), keySSO, state+" "+acc.ID)
	q := url.Values{"account": {acc.ID}, "state": {state}}
	http.Redirect(w, r, "/dev/idp?"+q.Encode(), http.StatusSeeOther)
	return nil
}

// finishSSO is the sign-in path of single sign-on.
func (a *App) finishSSO(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	state, accountID, _ := strings.Cut(a.sessions.PopString(r.Context(), keySSO), " ")
	if state == "" || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
		return &httpError{http.StatusBadRequest, "This sign-in was started in another browser, or is too old. Start again."}
	}
	l, err := a.db.findLink(r.Context(), linkSSO, q.Get("code"), a.now())
	if err != nil {
		return invalidLink(err)
	}
	if l.Account != accountID {
		return errInvalidLink
	}
	u, err := a.db.userByEmail(r.Context(), l.Email)
	if err == nil {
		_, err = a.db.member(r.Context(), accountID, u.ID)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return &httpError{http.StatusForbidden, "You’re not a member of this account. Ask one of its admins for an invitation."}
	}
	if err != nil {
		return err
	}
	if _, err := a.db.useLink(r.Context(), linkSSO, q.Get("code"), a.now()); err != nil {
		return invalidLink(err)
	}
	return halfDone(a.firstFactorDone(w, r, u, accountID, twofa.BySSO))
}

type idpForm struct {
	Account, State string
	People         []member
}

func (a *App) idpPage(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	people, err := a.db.membersOf(r.Context(), q.Get("account"))
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "idp", "Demo identity provider", idpForm{q.Get("account"), q.Get("state"), people})
}

func (a *App) idp(w http.ResponseWriter, r *http.Request) error {
	m, err := a.db.member(r.Context(), r.PostFormValue("account"), r.PostFormValue("user"))
	if err != nil {
		return hideMissing(err)
	}
	code, err := a.db.newLink(r.Context(), link{Kind: linkSSO, Email: m.Email, Account: m.Account.ID, Expires: a.now().Add(time.Minute)})
	if err != nil {
		return err
	}
	q := url.Values{"code": {code}, "state": {r.PostFormValue("state")}}
	http.Redirect(w, r, "/sso/callback?"+q.Encode(), http.StatusSeeOther)
	return nil
}
