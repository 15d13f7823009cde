package app

import (
	"cmp"
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

type loginForm struct {
	Email, Password string
	Note, Problem   string // why the visitor sees the page, and what was wrong with the form
	DemoPassword    string
	Demo            []demoTeam
}

// loginPage stores the page to return to, which the guard puts into the query.
// An attacker can put any URL there, so FirstFactor redirects only to a path of
// this site.
func (a *App) loginPage(w http.ResponseWriter, r *http.Request) error {
	if next := r.URL.Query().Get("next"); next != "" {
		a.sessions.Put(r.Context(), keyReturn, next)
	}
	form := loginForm{Email: r.URL.Query().Get("email"), Note: a.whyLogin(r)}
	if v := visitorOf(r); v != nil {
		form.Email = cmp.Or(form.Email, v.User.Email)
	}
	if a.demo && slices.ContainsFunc(DemoPeople(), func(p DemoPerson) bool { return p.Email == form.Email }) {
		form.Password = DemoPassword
	}
	return a.showLogin(w, r, http.StatusOK, form)
}

// whyLogin returns why a visitor who has signed in before sees the login page,
// or "".
func (a *App) whyLogin(r *http.Request) string {
	v := visitorOf(r)
	if v == nil && a.sessions.GetString(r.Context(), keySignin) == "" {
		return ""
	}
	denied, _ := errors.AsType[*twofa.DeniedError](a.twofa.Check(r.Context(), a.web.Caller(r)))
	switch {
	case v == nil || denied != nil && denied.Reason == twofa.ReasonSignedOut:
		return "Your session has ended. Sign in again, and you’ll continue where you left off."
	case denied != nil && denied.Reason == twofa.ReasonSignInHere && v.Account.SSO:
		return v.Account.Name + " asks you to sign in again, with your password or through its own single sign-on. To go back, choose another account in the menu."
	case denied != nil && denied.Reason == twofa.ReasonSignInHere:
		return v.Account.Name + " asks you to sign in again, with your password. To go back, choose another account in the menu."
	}
	return "You’re signed in as " + v.User.Email + "."
}

func (a *App) showLogin(w http.ResponseWriter, r *http.Request, status int, form loginForm) error {
	if a.demo {
		var err error
		if form.Demo, err = a.demoTeams(r.Context()); err != nil {
			return err
		}
		form.DemoPassword = DemoPassword
	}
	return a.render(w, r, status, "login", "Sign in", form)
}

// login is the sign-in path with a password.
func (a *App) login(w http.ResponseWriter, r *http.Request) error {
	email := r.PostFormValue("email")
	u, err := a.checkPassword(r, email, r.PostFormValue("password"))
	if err == nil {
		err = a.enterFirstAccount(w, r, u, twofa.ByPassword)
	}
	if shown, ok := errors.AsType[*httpError](err); ok {
		return a.showLogin(w, r, shown.status, loginForm{Email: email, Problem: shown.text})
	}
	return err
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
		return &httpError{http.StatusForbidden, "You’re not a member of any account. Ask for an invitation."}
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
	a.flash(r, "You’re signed out.")
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
