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

// forgot gives the same response in the same time for known and unknown
// addresses.
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
		return twofa.Email{To: u.Email, Subject: "Reset your Acme Contacts password", Text: twofa.NewSecret("Hello " + u.Name + ",\n\n" +
			"choose a new password within 30 minutes:\n\n" + a.link("reset", token) + "\n\n" +
			"If you did not ask for this, do nothing: your password stays as it is.\n")}, err
	})
	a.flash(r, "If we know that address, we’ve sent a link to it. It expires in 30 minutes.")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

var errInvalidLink = &httpError{http.StatusGone, "This link has been used or is too old. Ask for a new one."}

// resetPage shows a form and changes nothing, because mail scanners open links.
func (a *App) resetPage(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.db.findLink(r.Context(), linkReset, r.PathValue("token"), a.now()); err != nil {
		return invalidLink(err)
	}
	return a.render(w, r, http.StatusOK, "reset", "Choose a new password", nil)
}

// reset is a sign-in path. A user who can read the mailbox chooses a new
// password and has then given a first factor, like a user who entered a
// password.
func (a *App) reset(w http.ResponseWriter, r *http.Request) error {
	ctx, token := r.Context(), r.PathValue("token")
	if err := checkNewPassword(r.PostFormValue("password")); err != nil {
		return err
	}
	if _, err := a.db.findLink(ctx, linkReset, token, a.now()); err != nil { // before hashing, which is expensive
		return invalidLink(err)
	}
	hash, err := a.password.hash(ctx, r.PostFormValue("password"))
	if err != nil {
		return err
	}
	u, err := a.db.resetPassword(ctx, token, hash, a.now())
	if err != nil {
		return invalidLink(err)
	}
	if err := a.twofa.User(twofa.AsHost("password reset"), u.ID).CredentialsChanged(ctx); err != nil {
		return halfDone(err)
	}
	return halfDone(a.enterFirstAccount(w, r, u, twofa.ByEmail))
}

// resetPassword uses up a reset link and sets the password of its user.
func (s store) resetPassword(ctx context.Context, token, hash string, now time.Time) (u user, err error) {
	err = s.inTx(ctx, func(tx store) error {
		l, err := tx.useLink(ctx, linkReset, token, now)
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

// invalidLink turns a missing row into errInvalidLink.
func invalidLink(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return errInvalidLink
	}
	return err
}
