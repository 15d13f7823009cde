package app

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net/http"
	"net/mail"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

const inviteLifetime = 7 * 24 * time.Hour

type memberRow struct {
	member
	Self, Managed bool // Managed: the visitor may change and remove the member
}

func (a *App) membersPage(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	ms, err := a.db.membersOf(r.Context(), v.Account.ID)
	if err != nil {
		return err
	}
	rows := make([]memberRow, len(ms))
	for i, m := range ms {
		rows[i] = memberRow{m, m.ID == v.User.ID, v.Role.Above(m.Role)}
	}
	return a.render(w, r, http.StatusOK, "members", "Members", rows)
}

// grantable reports whether a member with role by may give role. No member can
// make an owner or give a role above their own.
func grantable(by, role Role) bool {
	return (role == Member || role == Admin) && by.Covers(role)
}

var errRole = &httpError{http.StatusForbidden, "You can’t give that role."}

func (a *App) invite(w http.ResponseWriter, r *http.Request) error {
	v, role := visitorOf(r), Role(r.PostFormValue("role"))
	addr, err := mail.ParseAddress(strings.TrimSpace(r.PostFormValue("email")))
	if err != nil || addr.Name != "" {
		return &httpError{http.StatusBadRequest, "That’s not an email address. Check it and try again."}
	}
	if !grantable(v.Role, role) {
		return errRole
	}
	if _, ok := a.limit.attempt(v.User.ID, "mail "+normalEmail(addr.Address)); !ok {
		return errTooMany
	}
	token, err := a.db.newLink(r.Context(), link{
		Kind: linkInvite, Email: addr.Address, Account: v.Account.ID,
		Role: role, Expires: a.now().Add(inviteLifetime),
	})
	if err != nil {
		return err
	}
	a.mail(r.Context(), func(context.Context) (twofa.Email, error) {
		return twofa.Email{
			To: addr.Address, Subject: "You are invited to Acme Contacts",
			Text: twofa.NewSecret(v.User.Name + " invites you to join " + v.Account.Name + " as " + string(role) + ":\n\n" +
				a.link("invite", token) + "\n\nThe link works once, within 7 days.\n"),
		}, nil
	})
	a.flash(r, "Invitation sent to "+addr.Address+".")
	http.Redirect(w, r, "/members", http.StatusSeeOther)
	return nil
}

type inviteForm struct {
	Email, Account string
	Role           Role
	Known          bool // whether the user exists and has a password
}

func (a *App) invitePage(w http.ResponseWriter, r *http.Request) error {
	l, err := a.db.findLink(r.Context(), linkInvite, r.PathValue("token"), a.now())
	if err != nil {
		return invalidLink(err)
	}
	acc, err := a.db.account(r.Context(), l.Account)
	if err != nil {
		return invalidLink(err)
	}
	_, err = a.db.userByEmail(r.Context(), l.Email)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return a.render(w, r, http.StatusOK, "invite", "Join "+acc.Name, inviteForm{l.Email, acc.Name, l.Role, err == nil})
}

// acceptInvite is a sign-in path. An existing user must enter the password.
// Only for a new user is access to the mailbox enough.
func (a *App) acceptInvite(w http.ResponseWriter, r *http.Request) error {
	ctx, token := r.Context(), r.PathValue("token")
	l, err := a.db.findLink(ctx, linkInvite, token, a.now())
	if err != nil {
		return invalidLink(err)
	}
	var u user
	by := twofa.ByPassword
	switch _, err = a.db.userByEmail(ctx, l.Email); {
	case err == nil:
		u, err = a.checkPassword(r, l.Email, r.PostFormValue("password"))
	case errors.Is(err, sql.ErrNoRows):
		u, err = a.newUser(r, l.Email)
		by = twofa.ByEmail
	}
	if err != nil {
		return err
	}
	err = a.db.inTx(ctx, func(tx store) error {
		if _, err := tx.useLink(ctx, linkInvite, token, a.now()); err != nil {
			return err
		}
		return tx.join(ctx, u, l.Account, l.Role, a.now())
	})
	if err != nil {
		return invalidLink(err)
	}
	return halfDone(a.firstFactorDone(w, r, u, l.Account, by))
}

// newUser returns the user from the form. join stores it.
func (a *App) newUser(r *http.Request, email string) (user, error) {
	name, password := strings.TrimSpace(r.PostFormValue("name")), r.PostFormValue("password")
	if err := errors.Join(checkName(name), checkNewPassword(password)); err != nil {
		return user{}, err
	}
	hash, err := a.password.hash(r.Context(), password)
	return user{ID: rand.Text(), Email: normalEmail(email), Name: name, Password: hash, Stamp: rand.Text()}, err
}

// join makes u a member of an account, and stores u if it is new. Run it in a
// transaction.
func (s store) join(ctx context.Context, u user, accountID string, role Role, now time.Time) error {
	_, err := s.ExecContext(ctx, `INSERT INTO users (id, email, name, password, stamp) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO NOTHING`, u.ID, u.Email, u.Name, u.Password, u.Stamp)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(ctx, `INSERT INTO members (account_id, user_id, role, since) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account_id, user_id) DO NOTHING`, accountID, u.ID, role, now.Unix())
	return err
}

func (a *App) changeRole(w http.ResponseWriter, r *http.Request) error {
	v, role := visitorOf(r), Role(r.PostFormValue("role"))
	m, err := a.managed(r)
	if err != nil {
		return err
	}
	if !grantable(v.Role, role) {
		return errRole
	}
	err = oneRow(a.db.ExecContext(r.Context(), `UPDATE members SET role = $1 WHERE account_id = $2 AND user_id = $3 AND role = $4`,
		role, v.Account.ID, m.ID, m.Role))
	if err != nil {
		return hideMissing(err)
	}
	a.flash(r, m.Name+" is now "+string(role)+".")
	http.Redirect(w, r, "/members", http.StatusSeeOther)
	return nil
}

func (a *App) removeMember(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	m, err := a.managed(r)
	if err != nil {
		return err
	}
	err = a.db.inTx(r.Context(), func(tx store) error {
		err := oneRow(tx.ExecContext(r.Context(), `DELETE FROM members WHERE account_id = $1 AND user_id = $2 AND role = $3`,
			v.Account.ID, m.ID, m.Role))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(r.Context(), `DELETE FROM signins WHERE account_id = $1 AND user_id = $2`, v.Account.ID, m.ID)
		return err
	})
	if err != nil {
		return hideMissing(err)
	}
	a.flash(r, m.Name+" is no longer a member.")
	http.Redirect(w, r, "/members", http.StatusSeeOther)
	return nil
}

// managed returns the member with the ID in the path if the visitor is in the
// same account and has a higher role, so never the visitor. In another account,
// the member does not exist for the visitor.
func (a *App) managed(r *http.Request) (member, error) {
	v := visitorOf(r)
	m, err := a.db.member(r.Context(), v.Account.ID, r.PathValue("id"))
	if err != nil {
		return member{}, hideMissing(err)
	}
	if !v.Role.Above(m.Role) {
		return member{}, &httpError{http.StatusForbidden, "Only a member with a higher role can do this."}
	}
	return m, nil
}

// hideMissing turns a missing row into errNotFound. A row of another account is
// missing, too.
func hideMissing(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return errNotFound
	}
	return err
}

func checkName(name string) error {
	if name == "" || len(name) > 100 || strings.ContainsAny(name, "\r\n") {
		return &httpError{http.StatusBadRequest, "A name has 1 to 100 bytes."}
	}
	return nil
}
