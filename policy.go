package twofa

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa/event"
)

// Policy says what an account asks of its members. The zero Policy is that of
// [PolicyOptional]: who has set up an authenticator is asked for it.
type Policy struct {
	// Methods that are accepted at login. Empty means TOTP alone. SMS and
	// EmailLink need TOTP beside them: SMS is restricted by NIST SP 800-63B-4,
	// section 3.2.9, which asks for an unrestricted alternative; and who has
	// an authenticator shall not be asked for less in an account that forgot.
	Methods []Method `json:"methods,omitempty"`
	// Fallback names methods that stay on offer to a user who has a stronger
	// one. Each lowers what a phisher needs to the weakest on offer; empty
	// means none.
	Fallback []Method `json:"fallback,omitempty"`
	// Required holds who has none of Methods in set-up until there is one.
	// Before that comes the best proof there is all the same: where the
	// Manager mails links, one to the person's address, also if EmailLink is
	// not among Methods; it may be all that stands between a stolen password
	// and a new factor.
	Required bool `json:"required,omitempty"`
	// ExemptSSO does not ask members whom this account's own identity
	// provider vouched for; it has asked them.
	ExemptSSO bool `json:"exempt_sso,omitempty"`
	// Remember is how long a browser in which a real factor was proven is not
	// asked again at login, if the person wished so: 1 to 90 days, counted
	// from that proof. 0 means never. A remembered browser lowers assurance to
	// the first factor (NIST SP 800-63B-4, section 5.1).
	Remember time.Duration `json:"remember,omitempty"`
	// TurnOff says who may remove the last factor.
	TurnOff TurnOff `json:"turn_off,omitempty"`
	// Actions holds the rule for each step-up action that shall differ from
	// [ActionRule]'s zero value.
	Actions map[string]ActionRule `json:"actions,omitempty"`
}

// TurnOff says who may turn a user's second factor off. Where the policy is
// Required and accepts no EmailLink, nobody may, whatever it says.
type TurnOff string

// Who may turn it off.
const (
	TurnOffByUser    TurnOff = ""        // the person, after a fresh proof
	TurnOffByAdmin   TurnOff = "admin"   // an admin of the account
	TurnOffBySupport TurnOff = "support" // the host's support, after proving identity
)

// ActionRule is what one step-up action asks for. The zero rule asks for an
// authenticator code each time.
type ActionRule struct {
	// MaxAge is how old the proof may be, at most 60 minutes. 0 means that
	// each proof serves once.
	MaxAge time.Duration `json:"max_age,omitempty"`
	// Methods that are accepted; empty means TOTP, and SMS where the policy
	// accepts it at login. EmailLink or RecoveryCode count only if named here.
	Methods []Method `json:"methods,omitempty"`
}

// PolicyOptional asks who has set up an authenticator, and nobody else.
func PolicyOptional() Policy { return Policy{Methods: []Method{TOTP}} }

// PolicyAuthenticator requires an authenticator app; members who come through
// the account's own SSO are exempt. A link is mailed before the first set-up,
// where [MailConfig.LinkURL] is set.
func PolicyAuthenticator() Policy {
	return Policy{Methods: []Method{TOTP}, Required: true, ExemptSSO: true, TurnOff: TurnOffByAdmin}
}

// PolicyEmailLink mails a link after the password to everyone who has nothing
// stronger. A link proves control of a mailbox, not of a device.
func PolicyEmailLink() Policy {
	return Policy{Methods: []Method{TOTP, EmailLink}, Required: true, ExemptSSO: true}
}

// PolicySMS texts a code, unless the user has an authenticator, and does not
// ask in a browser remembered for up to 30 days.
func PolicySMS() Policy {
	return Policy{Methods: []Method{TOTP, SMS}, Required: true, ExemptSSO: true, Remember: 30 * day * time.Second}
}

const (
	day        = 24 * 60 * 60 // seconds
	maxMaxAge  = time.Hour
	onceMaxAge = 5 * time.Minute // a proof that serves once has to be used within this
)

// strength orders the methods a user can enroll or is given, strongest first.
var strength = [...]Method{TOTP, SMS, EmailLink}

// validate reports everything that is wrong with a policy.
func (p Policy) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, m := range p.Methods {
		if !slices.Contains(strength[:], m) {
			bad("Policy.Methods: %q cannot be accepted at login; use TOTP, SMS or EmailLink", m)
		}
	}
	if len(p.Methods) > 0 && !slices.Contains(p.Methods, TOTP) {
		bad("Policy.Methods: SMS is restricted and EmailLink no factor: both need TOTP beside them")
	}
	for _, m := range p.Fallback {
		if !slices.Contains(p.methods(), m) {
			bad("Policy.Fallback: %q is not among Methods", m)
		}
	}
	if slices.Contains(p.Methods, EmailLink) && !p.Required {
		bad("Policy.Required: must be set where EmailLink is among Methods, since every member has it")
	}
	if p.Remember != 0 && (p.Remember < day*time.Second || p.Remember > 90*day*time.Second) {
		bad("Policy.Remember: %v is not 0 or 1 to 90 days", p.Remember)
	}
	if !slices.Contains([]TurnOff{TurnOffByUser, TurnOffByAdmin, TurnOffBySupport}, p.TurnOff) {
		bad("Policy.TurnOff: %q is not known", p.TurnOff)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Actions)) {
		errs = append(errs, p.Actions[name].validate(name))
	}
	return errors.Join(errs...)
}

func (r ActionRule) validate(name string) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("Policy.Actions[%q]"+format, append([]any{clean(name, 20)}, args...)...))
	}
	if name == "" || len(name) > maxName {
		bad(": the name must have 1 to %d bytes", maxName)
	}
	if r.MaxAge < 0 || r.MaxAge > maxMaxAge {
		bad(".MaxAge: %v is not 0 to %v", r.MaxAge, maxMaxAge)
	}
	if name == ActionFactors && len(r.Methods) > 0 && !slices.Contains(r.Methods, TOTP) {
		bad(".Methods: must name TOTP: who has an authenticator shall not change it by less")
	}
	for _, m := range r.Methods {
		switch {
		case m != RecoveryCode && !slices.Contains(strength[:], m):
			bad(".Methods: %q is not known", m)
		case name == ActionFactors && m != TOTP && m != SMS:
			bad(".Methods: %q is weaker than the factors it would change, which all accounts share", m)
		}
	}
	return errors.Join(errs...)
}

func (p Policy) methods() []Method {
	if len(p.Methods) == 0 {
		return []Method{TOTP}
	}
	return p.Methods
}

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
func (p Policy) remembers(then, now int64) bool {
	return p.Remember > 0 && then <= now+issueSlack && now-then < int64(p.Remember/time.Second)
}

// issueSlack is how far, in seconds, the clocks of servers may disagree about
// a time of issue. It never lengthens anything.
const issueSlack = 60

func (f facts) askFor(methods []Method) policyResult {
	if f.codes {
		methods = append(methods, RecoveryCode)
	}
	return policyResult{NextChallenge, methods}
}

// accountRecord is what is kept under "account/<id>".
type accountRecord struct{ Policy Policy }

func (a *accountRecord) walk(w *wire) {
	p := &a.Policy
	methods := func(m *[]Method) { list(w, m, func(m *Method) { word(w, m) }) }
	methods(&p.Methods)
	methods(&p.Fallback)
	w.flag(&p.Required)
	w.flag(&p.ExemptSSO)
	w.number((*int64)(&p.Remember))
	word(w, &p.TurnOff)
	table(w, &p.Actions, func(r *ActionRule) {
		w.number((*int64)(&r.MaxAge))
		methods(&r.Methods)
	})
}

func (a *accountRecord) check() string {
	if a.Policy.validate() != nil {
		return "holds a policy that this release does not understand"
	}
	return ""
}

// Policy returns the policy in force for an account: its own, or
// [Config.Policy] where it has set none. The caller owns the result.
func (m *Manager) Policy(ctx context.Context, account string) (Policy, error) {
	_, p, err := m.policy(ctx, account)
	if err != nil {
		return Policy{}, err
	}
	return p, nil
}

// policy also returns the version of the account's record, "" if it has none.
func (m *Manager) policy(ctx context.Context, account string) (version string, p Policy, err error) {
	if account == "" {
		return "", m.cfg.Policy.clone(), nil
	}
	if err := checkID("account", account); err != nil {
		return "", p, notAllowed("%w", err)
	}
	var a accountRecord
	r, err := m.get(ctx, accountKey(account), &a)
	if err == nil && r.Version == "" {
		a.Policy = m.cfg.Policy.clone()
	}
	return r.Version, a.Policy, err
}

func (p Policy) clone() Policy {
	p.Methods, p.Fallback, p.Actions = slices.Clone(p.Methods), slices.Clone(p.Fallback), maps.Clone(p.Actions)
	for name, r := range p.Actions {
		r.Methods = slices.Clone(r.Methods)
		p.Actions[name] = r
	}
	return p
}

// SetPolicy sets an account's policy. It is enforced from the next request on,
// on every server. Setting the policy that is in force writes nothing, so that
// a host may call it at every start. by says who does it; see [Host].
func (m *Manager) SetPolicy(ctx context.Context, by Caller, account string, p Policy) error {
	if by.host == "" {
		return ErrNotAllowed
	}
	if err := errors.Join(checkID("account", account), p.validate(), m.cfg.supports(p)); err != nil {
		return err
	}
	return m.retryOnConflict(ctx, func() error {
		version, old, err := m.policy(ctx, account)
		if err != nil {
			return err
		}
		if version != "" && old.equal(p) {
			return nil
		}
		e := Event{ID: newID(), Time: m.cfg.Now().UTC().Truncate(time.Second), Type: event.Policy,
			Account: account, Actor: "host", Detail: clean(by.host+": "+p.String(), 200)}
		if err := m.write(ctx, accountKey(account), version, &accountRecord{p}, []Event{e}); err != nil {
			return err
		}
		m.publish(ctx, e)
		return nil
	})
}

func (p Policy) equal(q Policy) bool {
	a, b := wire{}, wire{}
	(&accountRecord{p}).walk(&a)
	(&accountRecord{q}).walk(&b)
	return string(a.buf) == string(b.buf)
}

// String describes the policy in a few words, for logs and audit.
func (p Policy) String() string {
	var b strings.Builder
	for i, m := range p.methods() {
		if i > 0 {
			b.WriteByte('+')
		}
		b.WriteString(string(m))
	}
	if p.Required {
		b.WriteString(" required")
	} else {
		b.WriteString(" optional")
	}
	if p.ExemptSSO {
		b.WriteString(", SSO exempt")
	}
	for _, m := range p.Fallback {
		b.WriteString(", or " + string(m))
	}
	if p.Remember > 0 {
		fmt.Fprintf(&b, ", browsers %d days", p.Remember/(day*time.Second))
	}
	if p.TurnOff != TurnOffByUser {
		b.WriteString(", turned off by " + string(p.TurnOff))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Actions)) {
		r := p.Rule(name)
		fmt.Fprintf(&b, ", %s by %v", name, r.Methods)
		if r.MaxAge == 0 {
			b.WriteString(" each time")
		} else {
			fmt.Fprintf(&b, " within %v", r.MaxAge)
		}
	}
	return b.String()
}
