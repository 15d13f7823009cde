package twofahttp

import (
	"errors"

	"github.com/twofa-go/twofa"
	names "github.com/twofa-go/twofa/internal/text"
)

// postUnlock ends the lock of one method of a member. If a fresh proof is missing,
// the form waits for it. If the form fails, its page is shown again.
func (x *exchange) postUnlock() (view, error) {
	id := x.form.Get("id")
	x.retryURL = x.memberURL("team/member", id)
	if names.ValidateID("user", id) != nil {
		return view{}, twofa.ErrNotEnrolled
	}
	err := x.unlock(id, twofa.Method(x.form.Get("method")))
	switch {
	case err == nil:
		x.notify("member_unlocked")
		return redirectTo(x.retryURL)
	case isFormError(err):
		return x.showMember(id, formUnlock, err)
	}
	return view{}, err
}

func (x *exchange) unlock(id string, method twofa.Method) error {
	reason, err := x.formReason()
	if err != nil {
		return err
	}
	if method != twofa.TOTP && method != twofa.SMS {
		return errBadForm
	}
	err = x.team(reason).Unlock(x.ctx(), id, method)
	switch {
	case errors.Is(err, twofa.ErrLocked): // unlocked too often
		return waitError{"unlocks_used", twofa.RetryAfter(err)}
	case errors.Is(err, twofa.ErrNotAllowed):
		return errEnrollAgain
	}
	return err
}
