package app

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/twofa-go/twofa"
)

func (a *App) home(w http.ResponseWriter, r *http.Request) error {
	http.Redirect(w, r, "/contacts", http.StatusSeeOther)
	return nil
}

// demoTeam is one account on the login page in demo mode.
type demoTeam struct {
	DemoAccount
	People []DemoPerson
}

func demoTeams() []demoTeam {
	teams := make([]demoTeam, 0, 4)
	for _, acc := range DemoAccounts() {
		people := slices.DeleteFunc(DemoPeople(), func(p DemoPerson) bool { return p.Account != acc.ID })
		teams = append(teams, demoTeam{acc, people})
	}
	return teams
}

type loginForm struct {
	Email, Problem, DemoPassword string
	Again                        bool // the account does not accept the first factors of the visitor's session
	Demo                         []demoTeam
}

// loginPage stores the page to return to, which the guard puts into the query.
// An attacker can put any URL there, so FirstFactor redirects only to a path of
// this site.
func (a *App) loginPage(w http.ResponseWriter, r *http.Request) error {
	if next := r.URL.Query().Get("next"); next != "" {
		a.sessions.Put(r.Context(), keyReturn, next)
	}
	denied, _ := errors.AsType[*twofa.DeniedError](a.twofa.Check(r.Context(), a.web.Caller(r)))
	form := loginForm{}
	if v := visitorOf(r); v != nil && denied != nil && denied.Reason == twofa.ReasonSignInHere {
		form.Again, form.Email = true, v.User.Email
	}
	return a.showLogin(w, r, http.StatusOK, form)
}

func (a *App) showLogin(w http.ResponseWriter, r *http.Request, status int, form loginForm) error {
	if a.demo {
		form.Demo, form.DemoPassword = demoTeams(), DemoPassword
	}
	return a.render(w, r, status, "login", "Sign in", form)
}

// login is the sign-in path with a password.
func (a *App) login(w http.ResponseWriter, r *http.Request) error {
	email := r.PostFormValue("email")
	u, err := a.checkPassword(r, email, r.PostFormValue("password"))
	if shown, ok := errors.AsType[*httpError](err); ok {
		return a.showLogin(w, r, shown.status, loginForm{Email: email, Problem: shown.text})
	}
	if err != nil {
		return err
	}
	return a.enterFirstAccount(w, r, u, twofa.ByPassword)
}

// enterFirstAccount continues in the account in which the browser is signed in,
// or in the one with the user's oldest membership. The user can switch to the
// others there.
func (a *App) enterFirstAccount(w http.ResponseWriter, r *http.Request, u user, by twofa.FirstFactorMethod) error {
	in, err := a.db.membershipsOf(r.Context(), u.ID)
	if err != nil {
		return err
	}
	if len(in) == 0 {
		return &httpError{http.StatusForbidden, "You are not a member of any account. Ask for an invitation."}
	}
	account := in[0].Account.ID
	if v := visitorOf(r); v != nil && v.User.ID == u.ID {
		account = v.Account.ID
	}
	return a.firstFactorDone(w, r, u, account, by)
}

func (a *App) logout(w http.ResponseWriter, r *http.Request) error {
	caller := a.web.Caller(r)
	if err := a.forgetBrowser(r.Context()); err != nil {
		return err
	}
	if err := a.twofa.SignedOut(r.Context(), caller); err != nil {
		return halfDone(err)
	}
	a.flash(r, "You are signed out.")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// switchAccount moves a sign-in to another account of the same user. It is not
// a sign-in path, because the next request is checked by the policy of that
// account. It is not behind the guard of the account that the user leaves, so a
// user whom that account does not let in can go back.
func (a *App) switchAccount(w http.ResponseWriter, r *http.Request) error {
	v, to := visitorOf(r), r.PostFormValue("account")
	if v == nil {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return nil
	}
	if _, err := a.db.member(r.Context(), to, v.User.ID); err != nil {
		return hideMissing(err)
	}
	if err := a.enter(r.Context(), v, to); err != nil {
		return err
	}
	http.Redirect(w, r, "/contacts", http.StatusSeeOther)
	return nil
}

// enter moves a sign-in to an account of which its user is a member.
func (a *App) enter(ctx context.Context, v *visitor, account string) error {
	_, err := a.db.ExecContext(ctx, `UPDATE signins SET account_id = $1 WHERE id = $2`, account, v.Signin)
	v.Account.ID = account
	return err
}
