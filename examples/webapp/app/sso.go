package app

import (
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// This file is single sign-on with fake identity providers, in demo mode only.
// Each account that has single sign-on has a provider of its own, which vouches
// for its members in that account and in no other. The product does the same as
// with real ones: it binds a state to the browser, accepts a code once, and
// checks that the code comes from the provider of the requested account.

// ssoCallback is the path to which a provider redirects after a login.
const ssoCallback = "/sso/callback"

func (a *App) ssoPage(w http.ResponseWriter, r *http.Request) error {
	return a.showSSO(w, r, http.StatusOK, ssoForm{})
}

type ssoForm struct {
	Account, Problem string
	Demo             []DemoAccount
}

func (a *App) showSSO(w http.ResponseWriter, r *http.Request, status int, form ssoForm) error {
	form.Demo = slices.DeleteFunc(DemoAccounts(), func(acc DemoAccount) bool { return !acc.SSO })
	return a.render(w, r, status, "sso", "Single sign-on", form)
}

func (a *App) startSSO(w http.ResponseWriter, r *http.Request) error {
	name := strings.ToLower(strings.TrimSpace(r.PostFormValue("account")))
	acc, err := a.db.account(r.Context(), name)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err != nil || !acc.SSO { // the answer does not tell which
		return a.showSSO(w, r, http.StatusNotFound, ssoForm{Account: name,
			Problem: "We don’t know an account with that name that has single sign-on. Check the spelling, or sign in with your password."})
	}
	state := rand.Text()
	a.sessions.Put(r.Context(), keySSO, state+" "+acc.ID)
	q := url.Values{"state": {state}}
	http.Redirect(w, r, "/dev/idp/"+url.PathEscape(acc.ID)+"?"+q.Encode(), http.StatusSeeOther)
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
	Account account
	State   string
	People  []member
}

// provider returns the account whose provider has the address of the request.
func (a *App) provider(r *http.Request) (account, error) {
	acc, err := a.db.account(r.Context(), r.PathValue("id"))
	if err == nil && !acc.SSO {
		err = errNotFound
	}
	return acc, hideMissing(err)
}

func (a *App) idpPage(w http.ResponseWriter, r *http.Request) error {
	acc, err := a.provider(r)
	if err != nil {
		return err
	}
	people, err := a.db.membersOf(r.Context(), acc.ID)
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "idp", acc.Name+" identity provider", idpForm{acc, r.URL.Query().Get("state"), people})
}

func (a *App) idp(w http.ResponseWriter, r *http.Request) error {
	acc, err := a.provider(r)
	if err != nil {
		return err
	}
	m, err := a.db.member(r.Context(), acc.ID, r.PostFormValue("user"))
	if err != nil {
		return hideMissing(err)
	}
	code, err := a.db.newLink(r.Context(), link{Kind: linkSSO, Email: m.Email, Account: m.Account.ID, Expires: a.now().Add(time.Minute)})
	if err != nil {
		return err
	}
	q := url.Values{"code": {code}, "state": {r.PostFormValue("state")}}
	http.Redirect(w, r, ssoCallback+"?"+q.Encode(), http.StatusSeeOther)
	return nil
}
