package app

import (
	"context"
	"net/http"
	"strings"
	"time"
)

type signinRow struct {
	ID, Door, IP, Agent, Account string
	API, Current                 bool
	Created, Seen                time.Time
}

// signinsOf lists where a user is signed in, in whatever account.
func (s store) signinsOf(ctx context.Context, userID, current string, now time.Time) ([]signinRow, error) {
	rows, err := s.QueryContext(ctx, `SELECT s.id, s.door, s.ip, s.agent, a.name, s.bearer IS NOT NULL, s.created, s.seen
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
		if err := rows.Scan(&row.ID, &row.Door, &row.IP, &row.Agent, &row.Account, &row.API, &created, &seen); err != nil {
			return nil, err
		}
		row.Created, row.Seen, row.Current = time.Unix(created, 0), time.Unix(seen, 0), row.ID == current
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
	a.render(w, r, http.StatusOK, "settings", "Settings", rows)
	return nil
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

// changePassword asks for the old one: a session left open is not enough.
func (a *App) changePassword(w http.ResponseWriter, r *http.Request) error {
	v, next := visitorOf(r), r.PostFormValue("password")
	if err := checkNewPassword(next); err != nil {
		return err
	}
	if _, err := a.checkPassword(r, v.User.Email, r.PostFormValue("current")); err != nil {
		return err
	}
	if err := a.setPassword(r.Context(), v.User.ID, next, v.Signin); err != nil {
		return err
	}
	if err := a.sessions.RenewToken(r.Context()); err != nil {
		return err
	}
	return a.toSettings(w, r, "Your password is changed. You are signed out everywhere else.")
}

func (a *App) revokeSession(w http.ResponseWriter, r *http.Request) error {
	err := oneRow(a.db.ExecContext(r.Context(), `DELETE FROM signins WHERE id = $1 AND user_id = $2`,
		r.PathValue("id"), visitorOf(r).User.ID))
	if err != nil {
		return hideMissing(err)
	}
	return a.toSettings(w, r, "That session has ended.")
}

func (a *App) revokeOthers(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	_, err := a.db.ExecContext(r.Context(), `DELETE FROM signins WHERE user_id = $1 AND id <> $2`, v.User.ID, v.Signin)
	if err != nil {
		return err
	}
	return a.toSettings(w, r, "You are signed out everywhere else.")
}
