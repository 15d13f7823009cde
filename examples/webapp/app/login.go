package app

import (
	"encoding/json"
	"errors"
	"net/http"
)

func (a *App) home(w http.ResponseWriter, r *http.Request) error {
	http.Redirect(w, r, "/contacts", http.StatusSeeOther)
	return nil
}

type loginForm struct {
	Email, Problem, DemoPassword string
	Demo                         []DemoPerson
}

func (a *App) loginPage(w http.ResponseWriter, r *http.Request) error {
	return a.showLogin(w, r, http.StatusOK, loginForm{})
}

func (a *App) showLogin(w http.ResponseWriter, r *http.Request, status int, form loginForm) error {
	if a.demo {
		form.Demo, form.DemoPassword = DemoPeople(), DemoPassword
	}
	a.render(w, r, status, "login", "Sign in", form)
	return nil
}

// login is the main door.
func (a *App) login(w http.ResponseWriter, r *http.Request) error {
	email := r.PostFormValue("email")
	u, err := a.checkPassword(r, email, r.PostFormValue("password"))
	if shown, ok := errors.AsType[*httpError](err); ok {
		return a.showLogin(w, r, shown.status, loginForm{Email: email, Problem: shown.text})
	}
	if err != nil {
		return err
	}
	return a.enterFirstAccount(w, r, u, byPassword)
}

// enterFirstAccount goes on to the account that u has been in longest; there
// u can switch to the others.
func (a *App) enterFirstAccount(w http.ResponseWriter, r *http.Request, u user, by string) error {
	in, err := a.db.membershipsOf(r.Context(), u.ID)
	if err != nil {
		return err
	}
	if len(in) == 0 {
		return &httpError{http.StatusForbidden, "You are not a member of any account. Ask for an invitation."}
	}
	return a.firstFactorDone(w, r, u.ID, in[0].Account.ID, by)
}

func (a *App) logout(w http.ResponseWriter, r *http.Request) error {
	if err := a.forgetBrowser(r.Context()); err != nil {
		return err
	}
	a.flash(r, "You are signed out.")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// switchAccount moves a sign-in to another account of the same person. It is
// no door: the next request meets the guard of that account.
func (a *App) switchAccount(w http.ResponseWriter, r *http.Request) error {
	v, to := visitorOf(r), r.PostFormValue("account")
	if _, err := a.db.member(r.Context(), to, v.User.ID); err != nil {
		return hideMissing(err)
	}
	_, err := a.db.ExecContext(r.Context(), `UPDATE signins SET account_id = $1 WHERE id = $2`, to, v.Signin)
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/contacts", http.StatusSeeOther)
	return nil
}

// apiLogin is the door for programs: a password for a bearer token.
func (a *App) apiLogin(w http.ResponseWriter, r *http.Request) error {
	var in struct{ Email, Password, Account string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return &httpError{http.StatusBadRequest, "Send a JSON object with email and password."}
	}
	u, err := a.checkPassword(r, in.Email, in.Password)
	if err != nil {
		return err
	}
	if in.Account == "" {
		return a.enterFirstAccount(w, r, u, byPassword)
	}
	if _, err := a.db.member(r.Context(), in.Account, u.ID); err != nil {
		return hideMissing(err)
	}
	return a.firstFactorDone(w, r, u.ID, in.Account, byPassword)
}

func (a *App) apiLogout(w http.ResponseWriter, r *http.Request) error {
	_, err := a.db.ExecContext(r.Context(), `DELETE FROM signins WHERE id = $1`, visitorOf(r).Signin)
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
