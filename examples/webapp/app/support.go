package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// This file is what the support staff of Acme do. For a user who has lost every
// factor and whom no admin can help, they open a case, which another one approves
// days later. The caller of these functions must have authenticated the member of
// staff. Outside of demo mode, staff use the commands of [App.Operate].
// docs/support.md says what staff must do before.

// CaseOf returns the open case of a user, nil if there is none.
func (a *App) CaseOf(ctx context.Context, email string) (*twofa.Case, error) {
	id, err := a.idOf(ctx, email)
	if err != nil {
		return nil, err
	}
	return a.twofa.User(twofa.AsHost("support looks at a case"), id).Case(ctx)
}

// OpenCase opens a case for a user. staff is the member of staff, and reason goes
// into the event.
func (a *App) OpenCase(ctx context.Context, email, staff, reason string) error {
	u, err := a.staffOn(ctx, email, staff, reason)
	if err == nil {
		_, err = u.OpenCase(ctx, twofa.ResetRequest{}) // every user of Acme can be mailed a link
	}
	return err
}

// ApproveCase approves the open case of a user, and reports whether the user is now
// reset. All sign-ins of the user then end.
func (a *App) ApproveCase(ctx context.Context, email, staff, reason string) (reset bool, err error) {
	u, err := a.staffOn(ctx, email, staff, reason)
	if err != nil {
		return false, err
	}
	open, err := u.Case(ctx)
	if err != nil {
		return false, err
	}
	if open == nil {
		return false, twofa.ErrExpired
	}
	approved, err := u.ApproveCase(ctx, open.ID)
	if err != nil || !approved.Reset {
		return false, err
	}
	_, err = a.db.ExecContext(ctx, `DELETE FROM signins WHERE user_id IN (SELECT id FROM users WHERE email = $1)`, normalEmail(email))
	return true, err
}

// CancelCase ends the open case of a user without a reset.
func (a *App) CancelCase(ctx context.Context, email, staff, reason string) error {
	u, err := a.staffOn(ctx, email, staff, reason)
	if err != nil {
		return err
	}
	open, err := u.Case(ctx)
	if err != nil {
		return err
	}
	if open == nil {
		return twofa.ErrExpired
	}
	return u.CancelCase(ctx, open.ID)
}

// SignOutUser ends all sessions of a user, forgets all remembered browsers and takes
// back every fresh proof, for a user whose password or device somebody else has. The
// factors stay.
func (a *App) SignOutUser(ctx context.Context, email, staff, reason string) error {
	u, err := a.staffOn(ctx, email, staff, reason)
	if err != nil {
		return err
	}
	if err := u.Revoke(ctx); err != nil {
		return err
	}
	_, err = a.db.ExecContext(ctx, `DELETE FROM signins WHERE user_id IN (SELECT id FROM users WHERE email = $1)`, normalEmail(email))
	return err
}

// staffOn returns a user as a member of staff acts on them.
func (a *App) staffOn(ctx context.Context, email, staff, reason string) (*twofa.ManagedUser, error) {
	if staff == "" {
		return nil, errors.New("app: an act of support must name the member of staff")
	}
	id, err := a.idOf(ctx, email)
	return a.twofa.User(twofa.AsStaff(staff, reason), id), err
}

func (a *App) idOf(ctx context.Context, email string) (string, error) {
	u, err := a.db.userByEmail(ctx, email)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("app: there is no user with the address %q", email)
	}
	return u.ID, err
}

// SupportProblem says in words for the staff why a call failed.
func SupportProblem(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, twofa.ErrLocked):
		return "It is too early: two approvals count from 24 hours on, one from 72 hours on."
	case errors.Is(err, twofa.ErrExpired):
		return "There is no open case. It was stopped, it expired, or the user was reset."
	case errors.Is(err, twofa.ErrNotEnrolled):
		return "The user has no second factor, so there is nothing to reset."
	case errors.Is(err, twofa.ErrInvalid):
		return "Write down how you verified who is asking."
	}
	return err.Error() // names the rule, for example that whoever opened a case cannot approve it
}

// demoStaff are the members of staff in demo mode. Anybody can act as any of them,
// as at the fake identity provider. A product has a sign-in for its staff.
func demoStaff() []string { return []string{"Sam", "Nora", "Otto"} }

// supportData is the data of the demo page for staff.
type supportData struct {
	Email, Staff, Reason string
	Found                bool
	Name                 string
	Case                 *twofa.Case
	Now                  time.Time
	Everybody            []string // members of staff
	Problem              string
}

func (a *App) supportPage(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	return a.showSupport(w, r, http.StatusOK, supportData{Email: strings.TrimSpace(q.Get("email")), Staff: q.Get("staff")})
}

func (a *App) showSupport(w http.ResponseWriter, r *http.Request, status int, d supportData) error {
	d.Everybody, d.Now = demoStaff(), a.now()
	if d.Email != "" {
		u, err := a.db.userByEmail(r.Context(), d.Email)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			status, d.Problem = http.StatusNotFound, "There is no user with this address."
		case err != nil:
			return err
		default:
			d.Found, d.Name = true, u.Name
			if d.Case, err = a.CaseOf(r.Context(), d.Email); err != nil {
				return err
			}
		}
	}
	return a.render(w, r, status, "support", "Support", d)
}

// support does what a button of the page asks for.
func (a *App) support(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	d := supportData{Email: r.PostFormValue("email"), Staff: r.PostFormValue("staff"), Reason: strings.TrimSpace(r.PostFormValue("reason"))}
	said, err := "", error(nil)
	switch r.PostFormValue("do") {
	case "open":
		said, err = "The case is open. The user and the admins of their accounts were told by email.", a.OpenCase(ctx, d.Email, d.Staff, d.Reason)
	case "approve":
		var reset bool
		if reset, err = a.ApproveCase(ctx, d.Email, d.Staff, d.Reason); reset {
			said = "The user was reset. They must open a mailed link before they set up a new factor."
		} else {
			said = "Approved. One more approval by somebody else resets the user."
		}
	case "cancel":
		said, err = "The case is over, and nothing was removed.", a.CancelCase(ctx, d.Email, d.Staff, d.Reason)
	case "signout":
		said, err = "The user is signed out everywhere, and no browser is remembered.", a.SignOutUser(ctx, d.Email, d.Staff, d.Reason)
	default:
		return errNotFound
	}
	if errors.Is(err, twofa.ErrUnavailable) {
		return err
	}
	if err != nil {
		d.Problem = SupportProblem(err)
		return a.showSupport(w, r, http.StatusConflict, d)
	}
	a.flash(r, said)
	http.Redirect(w, r, "/dev/support?"+url.Values{"email": {d.Email}, "staff": {d.Staff}}.Encode(), http.StatusSeeOther)
	return nil
}
