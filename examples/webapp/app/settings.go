package app

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

type signinRow struct {
	ID, Door, IP, Agent, Account string // Agent: User-Agent of the browser or program
	API, Current                 bool
	Created, Seen                time.Time
	proven                       twofa.Session
}

// Device returns a description by which the user can recognize a browser.
func (row signinRow) Device() string { return twofa.Client{UserAgent: row.Agent}.Device() }

// signinsOf returns the sign-ins of a user in all accounts.
func (s store) signinsOf(ctx context.Context, userID, current string, now time.Time) ([]signinRow, error) {
	rows, err := s.QueryContext(ctx, `SELECT s.id, s.door, s.ip, s.agent, a.name, s.bearer IS NOT NULL, s.created, s.seen, s.twofa
		FROM signins s JOIN accounts a ON a.id = s.account_id
		WHERE s.user_id = $1 AND s.expires > $2 ORDER BY s.seen DESC, s.id`, userID, now.Unix())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []signinRow
	for rows.Next() {
		var row signinRow
		var created, seen int64
		var proven string
		if err := rows.Scan(&row.ID, &row.Door, &row.IP, &row.Agent, &row.Account, &row.API, &created, &seen, &proven); err != nil {
			return nil, err
		}
		row.Created, row.Seen, row.Current = time.Unix(created, 0), time.Unix(seen, 0), row.ID == current
		row.proven = twofa.ParseSession(proven)
		all = append(all, row)
	}
	return all, rows.Err()
}

func (a *App) settingsPage(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	rows, err := a.db.signinsOf(r.Context(), v.User.ID, v.Signin, a.now())
	if err != nil {
		return err
	}
	// Package twofa may have ended a session, for example after a change of
	// factors. Do not list it.
	rows = slices.DeleteFunc(rows, func(row signinRow) bool {
		denied, ok := errors.AsType[*twofa.DeniedError](a.twofa.Check(r.Context(), twofa.Caller{Session: row.proven}))
		return ok && denied.Reason == twofa.ReasonSignedOut
	})
	factors, err := a.twofa.Factors(r.Context(), a.web.Caller(r))
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "settings", "Settings", settingsData{rows, factors})
}

type settingsData struct {
	Sessions []signinRow
	Factors  twofa.Factors
}

func (a *App) toSettings(w http.ResponseWriter, r *http.Request, done string) error {
	a.flash(r, done)
	http.Redirect(w, r, "/settings", http.StatusSeeOther)
	return nil
}

func (a *App) changeProfile(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimSpace(r.PostFormValue("name"))
	if err := checkName(name); err != nil {
		return err
	}
	_, err := a.db.ExecContext(r.Context(), `UPDATE users SET name = $1 WHERE id = $2`, name, visitorOf(r).User.ID)
	if err != nil {
		return err
	}
	return a.toSettings(w, r, "Your name is saved.")
}

// changePassword requires the old password, so that an unattended browser is
// not enough.
func (a *App) changePassword(w http.ResponseWriter, r *http.Request) error {
	ctx, v, next := r.Context(), visitorOf(r), r.PostFormValue("password")
	if err := checkNewPassword(next); err != nil {
		return err
	}
	if _, err := a.checkPassword(r, v.User.Email, r.PostFormValue("current")); err != nil {
		return err
	}
	hash, err := a.password.hash(ctx, next)
	if err != nil {
		return err
	}
	err = a.db.inTx(ctx, func(tx store) error { return tx.setPassword(ctx, v.User.ID, hash, v.Signin) })
	if err != nil {
		return err
	}
	if err := a.twofa.User(twofa.AsUser(a.web.Caller(r), ""), v.User.ID).CredentialsChanged(ctx); err != nil {
		return halfDone(err)
	}
	if err := a.sessions.RenewToken(ctx); err != nil {
		return halfDone(err)
	}
	return a.toSettings(w, r, "Your password is changed. You are signed out everywhere else.")
}

func (a *App) revokeSession(w http.ResponseWriter, r *http.Request) error {
	n, err := a.endSignins(r.Context(), `id = $1 AND user_id = $2`, r.PathValue("id"), visitorOf(r).User.ID)
	if err != nil {
		return err
	}
	if n == 0 {
		return errNotFound
	}
	return a.toSettings(w, r, "That session has ended.")
}

// endSignins deletes sign-ins and ends what package twofa keeps for them, such
// as fresh proofs and started enrollments. It returns their number.
func (a *App) endSignins(ctx context.Context, where string, args ...any) (n int, err error) {
	rows, err := a.db.QueryContext(ctx, `DELETE FROM signins WHERE `+where+` RETURNING twofa`, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var ended []twofa.Session
	for rows.Next() {
		var session string
		if err := rows.Scan(&session); err != nil {
			return 0, halfDone(err)
		}
		ended = append(ended, twofa.ParseSession(session))
	}
	if err := rows.Err(); err != nil {
		return 0, halfDone(err)
	}
	for _, session := range ended {
		if err := a.twofa.SignedOut(ctx, twofa.Caller{Session: session}); err != nil {
			return 0, halfDone(err)
		}
	}
	return len(ended), nil
}

func (a *App) revokeOthers(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	if _, err := a.endSignins(r.Context(), `user_id = $1 AND id <> $2`, v.User.ID, v.Signin); err != nil {
		return err
	}
	return a.toSettings(w, r, "You are signed out everywhere else.")
}
