package app

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"time"

	"github.com/twofa-go/twofa"
)

const resetLifetime = 30 * time.Minute

func (a *App) forgotPage(w http.ResponseWriter, r *http.Request) error {
	a.render(w, r, http.StatusOK, "forgot", "Reset your password", nil)
	return nil
}

// forgot answers the same, and as fast, whether the address is known or not.
func (a *App) forgot(w http.ResponseWriter, r *http.Request) error {
	email := r.PostFormValue("email")
	if _, ok := a.limit.attempt(clientIP(r), "mail "+normalEmail(email)); !ok {
		return errTooMany
	}
	a.mail(r.Context(), func(ctx context.Context) (twofa.Email, error) {
		u, err := a.db.userByEmail(ctx, email)
		if errors.Is(err, sql.ErrNoRows) {
			return twofa.Email{}, nil
		}
		if err != nil {
			return twofa.Email{}, err
		}
		token, err := a.db.newLink(ctx, link{Kind: linkReset, Email: u.Email, Expires: a.now().Add(resetLifetime)})
		return twofa.Email{To: u.Email, Subject: "Reset your Acme Contacts password", Text: "Hello " + u.Name + ",\n\n" +
			"choose a new password within 30 minutes:\n\n" + a.link("reset", token) + "\n\n" +
			"If you did not ask for this, do nothing: your password stays as it is.\n"}, err
	})
	a.flash(r, "If we know that address, a link is on its way to it.")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

var errDeadLink = &httpError{http.StatusGone, "This link has been used or is too old. Ask for a new one."}

// resetPage shows a form and changes nothing: mail scanners open links.
func (a *App) resetPage(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.db.findLink(r.Context(), linkReset, r.PathValue("token"), a.now()); err != nil {
		return deadLink(err)
	}
	a.render(w, r, http.StatusOK, "reset", "Choose a new password", nil)
	return nil
}

// reset is a door: who can read the mailbox chooses a password and is let in
// as far as a password goes.
func (a *App) reset(w http.ResponseWriter, r *http.Request) error {
	ctx, token := r.Context(), r.PathValue("token")
	if err := checkNewPassword(r.PostFormValue("password")); err != nil {
		return err
	}
	l, err := a.db.spendLink(ctx, linkReset, token, a.now())
	if err != nil {
		return deadLink(err)
	}
	u, err := a.db.userByEmail(ctx, l.Email)
	if err != nil {
		return err
	}
	if err := a.setPassword(ctx, u.ID, r.PostFormValue("password"), "", twofa.Host("password reset")); err != nil {
		return err
	}
	return a.enterFirstAccount(w, r, u, twofa.ByEmail)
}

func deadLink(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return errDeadLink
	}
	return err
}
