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
	return a.render(w, r, http.StatusOK, "forgot", "Reset your password", nil)
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
	return a.render(w, r, http.StatusOK, "reset", "Choose a new password", nil)
}

// reset is a door: who can read the mailbox chooses a password and is let in
// as far as a password goes.
func (a *App) reset(w http.ResponseWriter, r *http.Request) error {
	ctx, token := r.Context(), r.PathValue("token")
	if err := checkNewPassword(r.PostFormValue("password")); err != nil {
		return err
	}
	if _, err := a.db.findLink(ctx, linkReset, token, a.now()); err != nil { // before the work that a hash is
		return deadLink(err)
	}
	hash, err := a.password.hash(ctx, r.PostFormValue("password"))
	if err != nil {
		return err
	}
	u, err := a.db.resetPassword(ctx, token, hash, a.now())
	if err != nil {
		return deadLink(err)
	}
	if err := a.twofa.CredentialsChanged(ctx, twofa.Host("password reset"), u.ID); err != nil {
		return halfDone(err)
	}
	return halfDone(a.enterFirstAccount(w, r, u, twofa.ByEmail))
}

// resetPassword spends a reset link and sets the password of whom it was mailed to.
func (s store) resetPassword(ctx context.Context, token, hash string, now time.Time) (u user, err error) {
	err = s.inTx(ctx, func(tx store) error {
		l, err := tx.spendLink(ctx, linkReset, token, now)
		if err != nil {
			return err
		}
		if u, err = tx.userByEmail(ctx, l.Email); err != nil {
			return err
		}
		return tx.setPassword(ctx, u.ID, hash, "")
	})
	return u, err
}

func deadLink(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return errDeadLink
	}
	return err
}
