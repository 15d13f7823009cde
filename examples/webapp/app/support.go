package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/twofa-go/twofa"
)

// ResetFactors removes all factors and recovery codes of a user who has lost
// them, signs the user out everywhere, and tells them by email. Before the next
// enrollment, the user must open a link at that address. staff names the
// employee, and reason goes into the event.
//
// The caller must have verified who is asking: an attacker who has the password
// and the mailbox needs nothing else afterwards.
func (a *App) ResetFactors(ctx context.Context, email, staff, reason string) error {
	if staff == "" {
		return errors.New("app: a reset must name the employee")
	}
	u, err := a.db.userByEmail(ctx, email)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("app: there is no user with the address %q", email)
	}
	if err != nil {
		return err
	}
	if err := a.twofa.User(twofa.AsHost(staff+": "+reason), u.ID).Reset(ctx, twofa.ResetRequest{}); err != nil {
		return err
	}
	_, err = a.db.ExecContext(ctx, `DELETE FROM signins WHERE user_id = $1`, u.ID)
	return err
}
