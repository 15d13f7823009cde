package twofahttp

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/twofa-go/twofa"
	names "github.com/twofa-go/twofa/internal/text"
)

// postPolicy saves the policy of a preview. It takes no other policy, so nothing is
// saved whose effect the admin has not seen.
func (x *exchange) postPolicy() (view, error) {
	x.retryURL = x.path("policy")
	reason := x.form.Get("reason")
	draft, err := x.heldPolicy(reason)
	switch {
	case errors.Is(err, twofa.ErrExpired):
		return x.withPolicy(x.previewAgain)
	case err != nil:
		return view{}, err
	case !isReason(reason):
		return x.withPolicy(func(info twofa.PolicyInfo) (view, error) {
			return x.showPreview(info, draft, previewData{}, errPolicyReason)
		})
	}
	err = x.savePolicy(draft, reason)
	denied, _ := errors.AsType[*twofa.DeniedError](err)
	switch {
	case errors.Is(err, twofa.ErrConflict):
		return x.withPolicy(func(info twofa.PolicyInfo) (view, error) {
			return x.previewChanged(info, draft)
		})
	case denied != nil && denied.Reason == twofa.ReasonRole:
		return x.withPolicy(func(twofa.PolicyInfo) (view, error) { return view{}, errWeaker }) // an admin, but no owner
	case err != nil:
		return view{}, err
	}
	x.notify("policy_saved")
	return redirectTo(x.path("policy"))
}

func (x *exchange) savePolicy(draft policyDraft, reason string) error {
	if draft.policy == nil {
		return x.team(reason).UnsetPolicy(x.ctx(), draft.version)
	}
	return x.team(reason).SetPolicy(x.ctx(), *draft.policy, draft.version)
}

// withPolicy calls show with the policy in force.
func (x *exchange) withPolicy(show func(twofa.PolicyInfo) (view, error)) (view, error) {
	info, err := x.team("").Policy(x.ctx())
	if err != nil {
		return view{}, err
	}
	return show(info)
}

// The reason of a change has at most so many characters, and at most so many bytes
// are kept.
const (
	reasonCharacters = 160
	reasonBytes      = 500
)

// isReason reports whether a text can be kept as the reason of an act, without
// anything left out.
func isReason(s string) bool {
	s = strings.TrimSpace(s)
	return utf8.RuneCountInString(s) <= reasonCharacters && names.Clean(s, reasonBytes) == s
}
