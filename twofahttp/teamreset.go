package twofahttp

import (
	"github.com/twofa-go/twofa"
	names "github.com/twofa-go/twofa/internal/text"
)

// resetData is the data of the page "reset".
type resetData struct {
	Member  member
	NoReset string // why the admin cannot reset the member, as in memberData
	Admins  bool   // whether the other admins are told
	Reason  string // reason in a form that has failed
}

// getReset shows what a reset of a member means. It changes nothing.
func (x *exchange) getReset() (view, error) {
	return x.showReset(x.r.URL.Query().Get("id"), nil)
}

// showReset shows the page with the button for a reset, or why there is none.
// failed is the reason why it is shown again after its form, or nil.
func (x *exchange) showReset(id string, failed error) (view, error) {
	m, _, err := x.oneMember(id)
	if err != nil {
		return view{}, err
	}
	d := resetData{Member: m, Admins: x.m.Info().MailsAdmins, Reason: x.form.Get("reason")}
	d.NoReset, err = x.whyNoReset(m)
	return view{page: "reset", data: d, err: failed}, err
}

// whyNoReset returns why the admin cannot reset a member, or "". Support must look
// at a record that cannot be read.
func (x *exchange) whyNoReset(m member) (string, error) {
	why, err := whyNot(x.team("").PeekReset(x.ctx(), m.TeamMember.ID), m)
	switch {
	case err != nil || why != "":
		return why, err
	case m.State == twofa.StateUnreadable:
		return "support", nil
	case len(m.Factors) == 0:
		return "none", nil
	}
	return "", nil
}

// postReset resets a member. Each reset needs a fresh proof of its own, for which
// the form waits. If the form fails, its page is shown again.
func (x *exchange) postReset() (view, error) {
	id := x.form.Get("id")
	x.retryURL = x.memberURL("team/reset", id)
	if names.ValidateID("user", id) != nil {
		return view{}, twofa.ErrNotEnrolled
	}
	reason, err := x.formReason()
	if err == nil {
		err = x.team(reason).Reset(x.ctx(), id, twofa.ResetRequest{})
	}
	switch {
	case err == nil:
		x.notify("member_reset")
		return redirectTo(x.memberURL("team/member", id))
	case isFormError(err):
		return x.showReset(id, err)
	}
	return view{}, err
}
