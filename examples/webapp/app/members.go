package app

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// Roles are decided here: only a member with a higher role changes, deactivates
// or removes another one, no member gives a role above their own, and the last
// owner of an account stays.

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
		rows[i] = memberRow{m, m.ID == v.User.ID, v.Role.Covers(Admin) && v.Role.Above(m.Role)}
	}
	return a.render(w, r, http.StatusOK, "members", "Members", membersData{rows, grants(v.Role, Anyone)})
}

type membersData struct {
	List  []memberRow
	Roles []Role // that the visitor may give
}

func (a *App) memberPage(w http.ResponseWriter, r *http.Request) error {
	m, err := a.managed(r)
	if err != nil {
		return err
	}
	return a.render(w, r, http.StatusOK, "member", m.Name, memberData{m, grants(visitorOf(r).Role, m.Role)})
}

type memberData struct {
	member
	Roles []Role // that the visitor may give instead
}

// grantable reports whether a member with role by may give role. No member can
// give a role above their own.
func grantable(by, role Role) bool { return role.rank() > 0 && by.Covers(role) }

// grants returns the roles that a member with role by may give instead of now.
func grants(by, now Role) (roles []Role) {
	for _, role := range []Role{Member, Admin, Owner} {
		if grantable(by, role) && role != now {
			roles = append(roles, role)
		}
	}
	return roles
}

var errRole = &httpError{http.StatusForbidden, "You can’t give that role."}

// mayGive returns an error if the visitor may not give a role to a member whom
// they manage. A deactivated member would be an owner whom nobody can reactivate.
func mayGive(v *visitor, m member, role Role) error {
	switch {
	case !grantable(v.Role, role):
		return errRole
	case m.Disabled:
		return &httpError{http.StatusConflict, m.Name + " is deactivated. Reactivate them first, then change the role."}
	}
	return nil
}

func (a *App) changeRole(w http.ResponseWriter, r *http.Request) error {
	ctx, v, role := r.Context(), visitorOf(r), Role(r.PostFormValue("role"))
	m, err := a.managed(r)
	if err != nil {
		return err
	}
	err = a.db.inTx(ctx, func(tx store) error {
		now, err := tx.lockMember(ctx, v.Account.ID, m.ID)
		if err == nil {
			err = mayGive(v, now, role)
		}
		if err != nil {
			return err
		}
		err = oneRow(tx.ExecContext(ctx, `UPDATE members SET role = $1 WHERE account_id = $2 AND user_id = $3 AND role = $4`,
			role, v.Account.ID, m.ID, m.Role))
		if err != nil || !m.Role.Above(role) {
			return err
		}
		return tx.endInvitations(ctx, m)
	})
	if err != nil {
		return hideMissing(err)
	}
	return a.toMembers(w, r, m.Name+" is now "+string(role)+".")
}

func (a *App) toMembers(w http.ResponseWriter, r *http.Request, done string) error {
	a.flash(r, done)
	http.Redirect(w, r, "/members", http.StatusSeeOther)
	return nil
}

func (a *App) removeMember(w http.ResponseWriter, r *http.Request) error {
	m, err := a.managed(r)
	if err != nil {
		return err
	}
	if err := a.db.inTx(r.Context(), func(tx store) error { return tx.remove(r.Context(), m) }); err != nil {
		return hideMissing(err)
	}
	a.memberRemoved(r.Context(), m.Account.ID, m.ID)
	return a.toMembers(w, r, m.Name+" is no longer a member.")
}

// memberRemoved reports a removal to package twofa, after it is stored. If that
// fails, the removal stands and the error is logged, because the form cannot be
// sent again: the member no longer exists. For the same reason, memberRemoved goes
// on if the browser disconnects.
func (a *App) memberRemoved(ctx context.Context, accountID, userID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := a.twofa.Account(twofa.AsHost("removed"), accountID).MemberRemoved(ctx, userID); err != nil {
		a.log.ErrorContext(ctx, "second factor of a removed member not reset", "account", accountID, "user", userID, "error", err)
	}
}

// leave removes the visitor from the account.
func (a *App) leave(w http.ResponseWriter, r *http.Request) error {
	ctx, v := r.Context(), visitorOf(r)
	err := a.db.inTx(ctx, func(tx store) error {
		// Lock the account, because two owners could leave at the same time.
		err := oneRow(tx.ExecContext(ctx, `UPDATE accounts SET name = name WHERE id = $1`, v.Account.ID))
		if err == nil {
			err = tx.mayLeave(ctx, v)
		}
		if err != nil {
			return err
		}
		return tx.remove(ctx, member{user: v.User, Account: v.Account, Role: v.Role})
	})
	if err != nil {
		return hideMissing(err)
	}
	a.memberRemoved(ctx, v.Account.ID, v.User.ID)
	if err := a.forgetBrowser(ctx); err != nil {
		return halfDone(err)
	}
	a.flash(r, "You’ve left "+v.Account.Name+".")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// mayLeave returns an error if the visitor is the only owner of the account.
func (s store) mayLeave(ctx context.Context, v *visitor) error {
	if v.Role != Owner {
		return nil
	}
	var others int
	err := s.QueryRowContext(ctx, `SELECT count(*) FROM members m JOIN users u ON u.id = m.user_id
		WHERE m.account_id = $1 AND m.role = 'owner' AND m.user_id <> $2 AND u.disabled = 0`, v.Account.ID, v.User.ID).Scan(&others)
	if err == nil && others == 0 {
		err = &httpError{http.StatusConflict, "You’re the only owner of " + v.Account.Name + ". Make another member an owner, then leave."}
	}
	return err
}

// lockUser keeps every other transaction that locks the user waiting until this one
// ends. A later statement sees what the transaction before has changed. Otherwise
// PostgreSQL could deactivate a user and make them an owner at the same time.
func (s store) lockUser(ctx context.Context, id string) error {
	return oneRow(s.ExecContext(ctx, `UPDATE users SET name = name WHERE id = $1`, id))
}

// lockMember is like lockUser, and returns the member as they are now.
func (s store) lockMember(ctx context.Context, accountID, userID string) (member, error) {
	if err := s.lockUser(ctx, userID); err != nil {
		return member{}, err
	}
	return s.member(ctx, accountID, userID)
}

// remove removes a member who still has the same role. It ends their sign-ins to
// the account, their open invitations to it and those that they have sent. Run it
// in a transaction.
func (s store) remove(ctx context.Context, m member) error {
	if err := s.lockUser(ctx, m.ID); err != nil {
		return err
	}
	_, err := s.ExecContext(ctx, `INSERT INTO former_members (account_id, user_id, since)
		SELECT account_id, user_id, since FROM members WHERE account_id = $1 AND user_id = $2
		ON CONFLICT (account_id, user_id) DO NOTHING`, m.Account.ID, m.ID)
	if err != nil {
		return err
	}
	err = oneRow(s.ExecContext(ctx, `DELETE FROM members WHERE account_id = $1 AND user_id = $2 AND role = $3`, m.Account.ID, m.ID, m.Role))
	if err != nil {
		return err
	}
	_, err = s.ExecContext(ctx, `DELETE FROM signins WHERE account_id = $1 AND user_id = $2`, m.Account.ID, m.ID)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(ctx, `DELETE FROM links WHERE kind = $1 AND account_id = $2 AND email = $3`, linkInvite, m.Account.ID, m.Email)
	if err != nil {
		return err
	}
	return s.endInvitations(ctx, m)
}

var errDeactivated = &httpError{http.StatusForbidden, "Your access is deactivated. Ask an admin of your account to reactivate it."}

// deactivate keeps a member from signing in, in any way, until reactivate. The
// directory says so first, then package twofa ends what was issued before.
func (a *App) deactivate(w http.ResponseWriter, r *http.Request) error {
	m, err := a.setDisabled(r, true)
	if err != nil {
		return err
	}
	by := twofa.AsHost("deactivated by " + visitorOf(r).User.ID)
	if err := a.twofa.User(by, m.ID).Revoke(r.Context()); err != nil {
		return halfDone(err)
	}
	return a.toMembers(w, r, m.Name+" is deactivated.")
}

func (a *App) reactivate(w http.ResponseWriter, r *http.Request) error {
	m, err := a.setDisabled(r, false)
	if err != nil {
		return err
	}
	return a.toMembers(w, r, m.Name+" can sign in again.")
}

// setDisabled deactivates or reactivates the member with the ID in the path, and
// ends their sign-ins and the open invitations that they have sent. Members who
// belong to another account, too, are not this account's to deactivate.
func (a *App) setDisabled(r *http.Request, disabled bool) (member, error) {
	ctx := r.Context()
	m, err := a.managedAlone(r)
	if err != nil {
		return member{}, err
	}
	err = a.db.inTx(ctx, func(tx store) error {
		if err := tx.lockUser(ctx, m.ID); err != nil {
			return err
		}
		err := oneRow(tx.ExecContext(ctx, `UPDATE users SET disabled = $1 WHERE id = $2
			AND EXISTS (SELECT 1 FROM members WHERE user_id = $2 AND account_id = $3 AND role = $4)
			AND NOT EXISTS (SELECT 1 FROM members WHERE user_id = $2 AND account_id <> $3)`,
			map[bool]int{true: 1}[disabled], m.ID, m.Account.ID, m.Role))
		if err != nil {
			return err
		}
		if _, err = tx.ExecContext(ctx, `DELETE FROM signins WHERE user_id = $1`, m.ID); err != nil {
			return err
		}
		return tx.endInvitations(ctx, m)
	})
	return m, hideMissing(err)
}

// managedAlone is like managed, for members who belong to no other account.
func (a *App) managedAlone(r *http.Request) (member, error) {
	m, err := a.managed(r)
	if err != nil {
		return member{}, err
	}
	in, err := a.db.membershipsOf(r.Context(), m.ID)
	if err == nil && len(in) > 1 {
		err = &httpError{http.StatusForbidden, "You can’t deactivate " + m.Name + ". Remove them from " + m.Account.Name + " instead."}
	}
	return m, err
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
