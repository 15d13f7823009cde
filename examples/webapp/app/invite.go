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

func (a *App) invite(w http.ResponseWriter, r *http.Request) error {
	v, role := visitorOf(r), Role(r.PostFormValue("role"))
	addr, err := mail.ParseAddress(strings.TrimSpace(r.PostFormValue("email")))
	if err != nil || addr.Name != "" {
		return &httpError{http.StatusBadRequest, "That’s not an email address. Check it and try again."}
	}
	if !grantable(v.Role, role) {
		return errRole
	}
	if err := a.notYetMember(r.Context(), v.Account, addr.Address); err != nil {
		return err
	}
	if _, ok := a.limit.attempt(v.User.ID, "mail "+normalEmail(addr.Address)); !ok {
		return errTooMany
	}
	token, err := a.newInvitation(r.Context(), v, addr.Address, role)
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
	return a.toMembers(w, r, "Invitation sent to "+addr.Address+".")
}

// newInvitation stores an invitation and returns the token of its link. The visitor
// is locked, because the invitations of a member who may no longer send any are
// deleted (endInvitations), and this one must not come after that.
func (a *App) newInvitation(ctx context.Context, v *visitor, email string, role Role) (token string, err error) {
	err = a.db.inTx(ctx, func(tx store) error {
		now, err := tx.lockMember(ctx, v.Account.ID, v.User.ID)
		switch {
		case errors.Is(err, sql.ErrNoRows) || err == nil && now.Disabled:
			return errSignedOut
		case err != nil:
			return err
		case !now.Role.Covers(Admin) || !grantable(now.Role, role):
			return errRole
		}
		token, err = tx.newLink(ctx, link{
			Kind: linkInvite, Email: email, Account: v.Account.ID, Inviter: v.User.ID,
			Role: role, Expires: a.now().Add(inviteLifetime),
		})
		return err
	})
	return token, err
}

// endInvitations deletes the open invitations that a member has sent. Run it in the
// transaction that removes, deactivates or demotes the member and has locked them.
func (s store) endInvitations(ctx context.Context, m member) error {
	_, err := s.ExecContext(ctx, `DELETE FROM links WHERE kind = $1 AND account_id = $2 AND inviter = $3`, linkInvite, m.Account.ID, m.ID)
	return err
}

// endInvitationsOfNobody deletes invitations that are older than the column for the
// member who sent them, because endInvitations would not find them.
func (s store) endInvitationsOfNobody(ctx context.Context) error {
	_, err := s.ExecContext(ctx, `DELETE FROM links WHERE kind = $1 AND inviter = ''`, linkInvite)
	return err
}

// notYetMember returns an error if a member of the account has the address.
func (a *App) notYetMember(ctx context.Context, acc account, email string) error {
	u, err := a.db.userByEmail(ctx, email)
	if err == nil {
		_, err = a.db.member(ctx, acc.ID, u.ID)
	}
	switch {
	case err == nil:
		return &httpError{http.StatusConflict, u.Name + " is already a member of " + acc.Name + "."}
	case errors.Is(err, sql.ErrNoRows):
		return nil
	}
	return err
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
		if err := tx.lockActive(ctx, u.ID); err != nil {
			return err
		}
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

// lockActive is like lockUser, and returns an error if the user is deactivated. A
// user who is not stored yet is active.
func (s store) lockActive(ctx context.Context, id string) error {
	err := s.lockUser(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	u, err := s.userByID(ctx, id)
	if err == nil && u.Disabled {
		err = errDeactivated
	}
	return err
}

// join makes u a member of an account, and stores u if it is new. A former member
// keeps the time of the first membership, because twofa.Policy.Grace begins then.
// Run it in a transaction, after lockActive if u may have been deactivated.
func (s store) join(ctx context.Context, u user, accountID string, role Role, now time.Time) error {
	_, err := s.ExecContext(ctx, `INSERT INTO users (id, email, name, password, stamp) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO NOTHING`, u.ID, u.Email, u.Name, u.Password, u.Stamp)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(ctx, `INSERT INTO members (account_id, user_id, role, since)
		VALUES ($1, $2, $3, COALESCE((SELECT since FROM former_members WHERE account_id = $1 AND user_id = $2), $4))
		ON CONFLICT (account_id, user_id) DO NOTHING`, accountID, u.ID, role, now.Unix())
	return err
}
