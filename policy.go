package twofa

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa/internal/text"
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
	return Policy{Methods: []Method{TOTP, SMS}, Required: true, ExemptSSO: true, Remember: 30 * day}
}

// validate reports everything that is wrong with a policy.
func (p Policy) validate() error {
	var bad problems
	for _, m := range p.Methods {
		bad.require(slices.Contains(strength[:], m), "Policy.Methods: must be TOTP, SMS or EmailLink, is %q", m)
	}
	bad.require(len(p.Methods) == 0 || slices.Contains(p.Methods, TOTP),
		"Policy.Methods: must include TOTP, because SMS is restricted and EmailLink is not a factor; is %q", p.Methods)
	for _, m := range p.Fallback {
		bad.require(slices.Contains(p.methods(), m), "Policy.Fallback: must be among Methods, is %q", m)
	}
	bad.require(p.Required || !slices.Contains(p.Methods, EmailLink), "Policy.Required: must be set if Methods has EmailLink, because every member has an address")
	bad.require(p.Remember == 0 || p.Remember >= day && p.Remember <= 90*day, "Policy.Remember: must be 0 or 1 to 90 days, is %v", p.Remember)
	bad.require(slices.Contains([]TurnOff{TurnOffByUser, TurnOffByAdmin, TurnOffBySupport}, p.TurnOff),
		"Policy.TurnOff: must be TurnOffByUser, TurnOffByAdmin or TurnOffBySupport, is %q", p.TurnOff)
	for _, name := range slices.Sorted(maps.Keys(p.Actions)) {
		p.Actions[name].validate(&bad, name)
	}
	return bad.err()
}

func (r ActionRule) validate(bad *problems, name string) {
	field := fmt.Sprintf("Policy.Actions[%q]", text.Clean(name, 20))
	bad.require(name != "" && len(name) <= maxName, "%s: must have a name of 1 to %d bytes, has %d", field, maxName, len(name))
	bad.require(r.MaxAge >= 0 && r.MaxAge <= maxMaxAge, "%s.MaxAge: must be 0 to %v, is %v", field, maxMaxAge, r.MaxAge)
	for _, m := range r.Methods {
		bad.require(m == RecoveryCode || slices.Contains(strength[:], m), "%s.Methods: must be TOTP, SMS, EmailLink or RecoveryCode, is %q", field, m)
		bad.require(name != ActionFactors || m == TOTP || m == SMS,
			"%s.Methods: must be TOTP or SMS, because all accounts share the factors that it changes; is %q", field, m)
	}
	bad.require(name != ActionFactors || len(r.Methods) == 0 || slices.Contains(r.Methods, TOTP),
		"%s.Methods: must include TOTP, because an authenticator must not be changed by anything weaker; is %q", field, r.Methods)
}

func (p Policy) methods() []Method {
	if len(p.Methods) == 0 {
		return []Method{TOTP}
	}
	return p.Methods
}

func (p Policy) clone() Policy {
	p.Methods, p.Fallback, p.Actions = slices.Clone(p.Methods), slices.Clone(p.Fallback), maps.Clone(p.Actions)
	for name, r := range p.Actions {
		r.Methods = slices.Clone(r.Methods)
		p.Actions[name] = r
	}
	return p
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
		fmt.Fprintf(&b, ", browsers %d days", p.Remember/day)
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

// Rule returns what an action asks for under the policy, with the defaults
// filled in.
func (p Policy) Rule(action string) ActionRule {
	r, ok := p.Actions[action]
	if !ok && action == ActionFactors {
		r.MaxAge = 15 * time.Minute
	}
	r.Methods = slices.Clone(r.Methods)
	if len(r.Methods) == 0 {
		r.Methods = []Method{TOTP}
		if action == ActionFactors || slices.Contains(p.methods(), SMS) {
			r.Methods = append(r.Methods, SMS)
		}
	}
	return r
}

// ActionFactors is the built-in action that stands before showing, making,
// changing and removing factors and recovery codes. Unless the policy has a
// rule for it, a proof with any enrolled factor lasts 15 minutes.
const ActionFactors = "factors"
