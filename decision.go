package twofa

import (
	"slices"
)

// facts is what a decision stands on, beside the policy.
type facts struct {
	account string
	ticket  ticket   // what has been proven
	has     []Method // what the user has; EmailLink by having an address
	codes   bool     // recovery codes are left
}

// verdict is what a policy asks for, given the facts.
type policyResult struct {
	next    Next
	methods []Method // where next is NextChallenge: strongest first, RecoveryCode last
}

// decide is the one decision every door ends in: password, SSO, reset link,
// remembered browser, live session, guard. It is pure.
func (p Policy) evaluate(f facts) policyResult {
	if p.ExemptSSO && f.ticket.by == BySSO && f.account != "" && f.ticket.sso == f.account {
		return policyResult{next: NextDone}
	}
	accepted := p.offer(f.has)
	if len(accepted) > 0 {
		if p.satisfied(f.ticket, accepted) {
			return policyResult{next: NextDone}
		}
		return f.askFor(accepted)
	}
	// Nothing the user has is accepted. What there is comes first all the
	// same: it may be all that stands between a stolen password and a new
	// factor, or was set up by a user who is not required to.
	if m, ok := strongestOf(f.has); ok && (p.Required || m != EmailLink) && !f.ticket.hasProven(m, RecoveryCode) {
		return f.askFor([]Method{m})
	}
	if p.Required {
		return policyResult{next: NextEnroll}
	}
	return policyResult{next: NextDone}
}

// offer returns the accepted methods the user has: the strongest, and those
// the policy names as fallback.
func (p Policy) offer(has []Method) (offered []Method) {
	for _, m := range strength {
		if slices.Contains(has, m) && slices.Contains(p.methods(), m) && (len(offered) == 0 || slices.Contains(p.Fallback, m)) {
			offered = append(offered, m)
		}
	}
	return offered
}

func strongestOf(has []Method) (Method, bool) {
	for _, m := range strength {
		if slices.Contains(has, m) {
			return m, true
		}
	}
	return "", false
}

// satisfied reports whether what was proven is enough where accepted is on
// offer. A recovery code stands in for any; a remembered browser for as long
// as this policy lets it.
func (p Policy) satisfied(t ticket, accepted []Method) bool {
	if t.hasProven(accepted...) || t.hasProven(RecoveryCode) {
		return true
	}
	return slices.ContainsFunc(accepted, func(m Method) bool {
		at, ok := t.provenAt(rememberedBrowserMethod(m))
		return ok && p.remembers(at, t.at)
	})
}

// remembers reports whether a browser in which a factor was proven at then is
// still remembered at now.
func (p Policy) remembers(then, now unixTime) bool {
	return p.Remember > 0 && then.within(p.Remember, now)
}

func (f facts) askFor(methods []Method) policyResult {
	if f.codes {
		methods = append(methods, RecoveryCode)
	}
	return policyResult{NextChallenge, methods}
}

// allowsRemaining reports whether the person may come down to these factors: one that the
// policy accepts is left, or it neither requires one nor keeps turning off to
// others. A mailbox is as good where links are accepted.
func (p Policy) allowsRemaining(left []factor) bool {
	methods := p.methods()
	return slices.ContainsFunc(left, func(f factor) bool { return slices.Contains(methods, f.Method) }) ||
		(!p.Required || slices.Contains(methods, EmailLink)) && p.TurnOff == TurnOffByUser
}
