package twofa

import "slices"

// facts is the input of a decision, together with the policy.
type facts struct {
	now       unixTime
	account   string
	ticket    ticket   // lists what was proven
	has       []Method // methods that the user can prove (EmailLink with any address), except RecoveryCode
	unchecked []Method // those of has that this process cannot check: of a newer release, or without a gateway here
	codes     bool     // whether unused recovery codes are left
	reset     linkAfterReset
	since     unixTime // when the account's policy last began to require more; 0 if it always has
	joined    unixTime // when the user first joined the account; 0 if unknown
	extended  unixTime // until when an admin has extended the user's grace; 0 if not at all
}

// linkAfterReset is what a reset says about the link before the next enrollment.
type linkAfterReset int

const (
	noReset    linkAfterReset = iota // the policy decides
	linkNeeded                       // a link is needed, whatever the policy says
	linkSpared                       // somebody verified the user's identity a short time ago
)

// policyResult is what a policy requires next, given the facts.
type policyResult struct {
	next    Next
	methods []Method // if next is NextChallenge, strongest first, RecoveryCode last
	due     unixTime // if next is NextDone, when the user must have enrolled; 0 if nothing is required
}

// Results that are denials.
const (
	nextUnavailable Next = "unavailable" // the user cannot prove anything to this process, but may to another one
	nextSignIn      Next = "sign in"     // no first factor of the session counts in the account
	nextSupport     Next = "support"     // the user must enroll, but cannot be mailed the link that comes first
)

// evaluate decides what a policy requires next. Every sign-in path, every live
// session and the guard end here. It is a pure function of policy and facts.
//
// A factor that this process cannot check counts as enrolled: evaluate decides
// as a process would that can check it, and then asks only for what can be
// checked here. Otherwise one process with a missing setting, or of an old
// release, would open every account.
func (p Policy) evaluate(f facts) policyResult {
	r := p.evaluateChecked(f)
	if r.next == NextChallenge {
		if r.methods = without(r.methods, f.unchecked...); len(r.methods) == 0 {
			return policyResult{next: nextUnavailable}
		}
	}
	return r
}

// evaluateChecked is evaluate for a process that can check everything.
func (p Policy) evaluateChecked(f facts) policyResult {
	at, ok := f.ticket.signedInAt(f.account)
	switch {
	case !ok:
		return policyResult{next: nextSignIn}
	case p.ExemptSSO && f.ticket.vouchedIn(f.account):
		return policyResult{next: NextDone}
	}
	accepted := p.offer(f.has)
	switch {
	case p.satisfied(f.ticket, accepted, at) && (len(accepted) > 0 || f.hasUnknown()):
		return policyResult{next: NextDone}
	case len(accepted) > 0 || f.hasUnknown():
		return f.askFor(accepted)
	}
	// The policy accepts no method that the user has. The user must still give
	// the strongest proof available. Otherwise a stolen password alone would be
	// enough to enroll a factor, or to sign in as a user who enrolled one
	// without being required to.
	var due unixTime
	if p.Required && f.now < p.due(f) {
		p.Required, due = false, p.due(f)
	}
	needsLink := p.Required && f.needsLink(p)
	m, ok := strongestOf(f.has)
	switch {
	case ok && (m != EmailLink || needsLink) && !f.ticket.hasProven(m, RecoveryCode):
		return f.askFor([]Method{m})
	case !ok && needsLink:
		return policyResult{next: nextSupport}
	case p.Required:
		return policyResult{next: NextEnroll}
	}
	return policyResult{next: NextDone, due: due}
}

// lacksFactor reports whether the policy requires a factor that the user does not
// have, now or from due on.
func (p Policy) lacksFactor(f facts) bool {
	return p.Required && len(p.offer(f.has)) == 0 && !f.hasUnknown() && !(p.ExemptSSO && f.ticket.vouchedIn(f.account))
}

// due returns the time from which a required enrollment cannot be put off. It is
// computed at every decision and never stored, so that nothing which a user does
// renews it, and a policy that allows less time does so for everybody at once.
// Times that lie ahead were set by a wrong clock and give no grace.
func (p Policy) due(f facts) unixTime {
	due := max(0, unixTimeOf(p.Deadline))
	if since := max(f.since, f.joined); p.Grace > 0 && f.joined != 0 && since <= f.now.add(issueSlack) {
		due = max(due, since.add(p.Grace))
	}
	if f.extended.isAhead(maxExtension, f.now) {
		due = max(due, f.extended)
	}
	return due
}

// needsLink reports whether an email link must precede the enrollment of the
// first factor.
func (f facts) needsLink(p Policy) bool {
	switch {
	case !f.ticket.hasFirstFactor(firstFactor.ofPerson), f.reset == linkNeeded:
		return true
	case f.reset == linkSpared:
		return false
	}
	return p.Required && !p.EnrollWithoutLink
}

// hasUnknown reports whether the user has a factor of a newer release, which
// the policy may accept.
func (f facts) hasUnknown() bool { return slices.ContainsFunc(f.has, isUnknown) }

func isUnknown(m Method) bool { return !slices.Contains(strength[:], m) }

// without returns the methods except some of them.
func without(methods []Method, except ...Method) []Method {
	if len(except) == 0 {
		return methods
	}
	return slices.DeleteFunc(slices.Clone(methods), func(m Method) bool { return slices.Contains(except, m) })
}

// offer returns the accepted methods that the user has: the strongest one, and
// those in Fallback. A factor of a newer release may be accepted and stronger
// than all others except TOTP, so that it leaves only TOTP and Fallback.
func (p Policy) offer(has []Method) (offered []Method) {
	unknown := slices.ContainsFunc(has, isUnknown)
	offered = make([]Method, 0, len(strength)+1) // and RecoveryCode
	for _, m := range strength {
		strongest := len(offered) == 0 && (m == TOTP || !unknown)
		if slices.Contains(has, m) && slices.Contains(p.methods(), m) && (strongest || slices.Contains(p.Fallback, m)) {
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

// satisfied reports whether the ticket proves one of the accepted methods. A
// recovery code counts as any of them. A remembered browser counts as the
// method that was proven in it, if this policy remembered it at the sign-in.
func (p Policy) satisfied(t ticket, accepted []Method, signedIn unixTime) bool {
	if t.hasProven(RecoveryCode) || slices.ContainsFunc(t.proven, func(p provenMethod) bool { return p.method.countsAmong(accepted) }) {
		return true
	}
	return slices.ContainsFunc(accepted, func(m Method) bool {
		at, ok := t.provenAt(rememberedBrowserMethod(m))
		return ok && p.remembers(at, signedIn)
	})
}

// remembers reports whether a browser in which a factor was proven at the time
// then is still remembered at the time now.
func (p Policy) remembers(then, now unixTime) bool {
	return p.Remember > 0 && then.within(p.Remember, now)
}

func (f facts) askFor(methods []Method) policyResult {
	if f.codes {
		methods = append(methods, RecoveryCode)
	}
	return policyResult{next: NextChallenge, methods: methods}
}

// allowsRemaining reports whether the user may remove all factors except these.
// One of them must be accepted by the policy. If none is, TurnOff must be
// TurnOffByUser, and Required must be false unless EmailLink is accepted.
func (p Policy) allowsRemaining(left []factor) bool {
	methods := p.methods()
	return slices.ContainsFunc(left, func(f factor) bool { return slices.Contains(methods, f.Method) }) ||
		(!p.Required || slices.Contains(methods, EmailLink)) && p.TurnOff == TurnOffByUser
}
