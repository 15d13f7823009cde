package twofa

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa/internal/text"
)

// Policy is what an account requires of its members at login and before
// sensitive actions. The zero Policy is equivalent to [PolicyOptional]: only
// users who have enrolled a factor are asked for it. In JSON, names are in
// snake_case and durations are whole seconds; see [Policy.MarshalJSON].
//
// [New] and [Account.SetPolicy] refuse a policy with EmailLink unless Required,
// [MailConfig.Mailer] and [MailConfig.LinkURL] are set, a Required policy unless
// LinkURL or EnrollWithoutLink is set, and a policy with SMS unless
// [SMSConfig.Sender] is set. SetPolicy also refuses a policy that needs
// more than 32 KB when it is stored.
type Policy struct {
	// Methods lists the methods that are accepted at login: TOTP, SMS and
	// EmailLink. If empty, it defaults to TOTP. Otherwise it must include TOTP,
	// because NIST requires an alternative to SMS (NIST SP 800-63B-4, section
	// 3.2.9), and so that a user who has an authenticator is never let in with
	// something weaker. A user is asked for the strongest of Methods that they
	// have. Recovery codes are always accepted.
	Methods []Method
	// Fallback lists those of Methods that a user may choose instead of a
	// stronger one. Such a user is only as safe as the weakest method they may
	// choose, because an attacker can choose it, too. If empty, there is no
	// choice.
	Fallback []Method
	// If Required is true, a user who has none of Methods must enroll one
	// before the login completes. If Methods includes EmailLink, a verified
	// address is enough. Before enrolling, the user must still give the
	// strongest proof available. That is an existing factor or an email link,
	// even if EmailLink is not in Methods. Otherwise a stolen password alone
	// would be enough to enroll a factor.
	Required bool
	// Deadline is the time from which Required applies. Until then, members who
	// have none of Methods may put enrollment off. Truncated to whole seconds.
	// If zero, Required applies at once.
	Deadline time.Time
	// Grace is how long a member may put enrollment off, 0 to 90 days in whole
	// seconds: from [Member.Since], or from the time at which the policy began
	// to require more if that is later. The later one of Deadline and the end
	// of Grace counts. Both are computed at each request. Signing in again,
	// removing a factor or leaving and rejoining the account renews neither, and
	// a shorter Grace applies at once. If a member's Since is unknown, that
	// member has no grace. If zero, there is none.
	//
	// Until enrollment is due, a stolen password is enough to sign in as a user
	// who has no factor, even if the policy before asked that user for an email
	// link.
	Grace time.Duration
	// EnrollWithoutLink lets users enroll a required factor without an email
	// link, so that a stolen password is enough to enroll one. It is for hosts
	// that cannot send mail, and for users without an address. If false, such a
	// user is denied with [ReasonSupport], and a process without
	// [MailConfig.LinkURL] refuses the enrollment as unavailable. Users who
	// signed in only through an account's own identity provider always need the
	// link.
	EnrollWithoutLink bool
	// ExemptSSO skips the challenge for members who signed in through the
	// account's own identity provider, which is trusted to have asked for a
	// second factor itself. See [FirstFactor.ProviderOf].
	ExemptSSO bool
	// Remember is how long a remembered browser is not challenged at login: 1
	// to 90 days, in whole seconds, from the last proof by TOTP or SMS in that
	// browser. The user must have asked for it ([Proof.Remember]). If zero, no
	// browser is remembered. A remembered browser lowers assurance to the first
	// factor (NIST SP 800-63B-4, section 5.1).
	Remember time.Duration
	// TurnOff is the role that may remove a user's last accepted factor. If
	// empty, it defaults to TurnOffByUser.
	TurnOff TurnOff
	// Weaken is the role that may change the policy to one that requires less:
	// RoleOwner or RoleAdmin. If empty, it defaults to RoleOwner.
	Weaken Role
	// Reset is the role that may reset members: RoleAdmin, RoleOwner, or RoleSupport
	// for nobody in the account. If empty, it defaults to RoleAdmin. A reset is what
	// an attacker asks an admin for. See [Account.Reset].
	Reset Role
	// Actions contains the rules of step-up actions, by name of the action,
	// which has 1 to 128 bytes. An action that is not in it has the zero
	// [ActionRule], except [ActionFactors].
	Actions map[string]ActionRule
}

// TurnOff is the role that may remove a user's last factor that the policy
// accepts. [Manager.Remove] permits it only with TurnOffByUser, and only if the
// policies of all of the user's accounts permit it. If a policy is Required and
// its Methods do not include EmailLink, the user can replace that factor but
// not remove it. For admins and support, the host calls [ManagedUser.Reset].
type TurnOff string

// The roles that may turn off a user's second factor. The library treats admins
// and support alike; the host must tell them apart.
const (
	TurnOffByUser    TurnOff = ""        // the user, after a fresh proof
	TurnOffByAdmin   TurnOff = "admin"   // an admin of the account
	TurnOffBySupport TurnOff = "support" // the host's support, after verifying the user's identity
)

// rank orders the values, the strictest last. It is negative for an unknown one.
func (t TurnOff) rank() int {
	return slices.Index([]TurnOff{TurnOffByUser, TurnOffByAdmin, TurnOffBySupport}, t)
}

// ActionRule is the proof that one step-up action requires. The zero ActionRule
// requires a new proof each time, by TOTP or, if the policy accepts it at
// login, by SMS.
type ActionRule struct {
	// MaxAge is how old the proof may be, at most 60 minutes, in whole seconds.
	// If zero, each proof is single-use and must be used within 5 minutes.
	MaxAge time.Duration
	// Methods lists the accepted methods: TOTP, SMS, EmailLink and
	// RecoveryCode. If empty, it defaults to TOTP, and to SMS as well if
	// [Policy.Methods] includes it. A user is asked for the strongest of them
	// that they have. They may choose another one if it is in
	// [Policy.Fallback], except for [ActionFactors].
	Methods []Method
}

// PolicyOptional returns a policy that challenges only users who have enrolled
// a factor. Every user may enroll authenticator apps.
func PolicyOptional() Policy { return Policy{Methods: []Method{TOTP}} }

// PolicyAuthenticator returns a policy that requires an authenticator app, and
// that does not let users turn it off. Members who sign in through the
// account's own identity provider are exempt. A user must open an email link
// before enrolling the first authenticator.
func PolicyAuthenticator() Policy {
	return Policy{Methods: []Method{TOTP}, Required: true, ExemptSSO: true, TurnOff: TurnOffByAdmin}
}

// PolicyEmailLink returns a policy that requires an authenticator app or, from
// users who have none, an email link. Members who sign in through the account's
// own identity provider are exempt. A link proves control of a mailbox, not of
// a device.
func PolicyEmailLink() Policy {
	return Policy{Methods: []Method{TOTP, EmailLink}, Required: true, ExemptSSO: true}
}

// PolicySMS returns a policy that requires an authenticator app or, from users
// who have none, a code by text message. Members who sign in through the
// account's own identity provider are exempt. Browsers can be remembered for 30
// days.
func PolicySMS() Policy {
	return Policy{Methods: []Method{TOTP, SMS}, Required: true, ExemptSSO: true, Remember: 30 * day}
}

// validate returns an error that lists everything that is wrong with a policy.
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
	bad.require(p.Required || !slices.Contains(p.Methods, EmailLink), "Policy.Required: must be true if Methods includes EmailLink, because every member has an address; is false")
	bad.require(p.Remember == 0 || p.Remember >= day && p.Remember <= 90*day, "Policy.Remember: must be 0 or 1 to 90 days, is %v", p.Remember)
	bad.require(p.Remember%time.Second == 0, "Policy.Remember: must be in whole seconds, is %v", p.Remember)
	bad.require(p.Grace >= 0 && p.Grace <= maxGrace, "Policy.Grace: must be 0 to 90 days, is %v", p.Grace)
	bad.require(p.Grace%time.Second == 0, "Policy.Grace: must be in whole seconds, is %v", p.Grace)
	bad.require(p.Deadline.IsZero() || p.Deadline.Unix() > 0 && p.Deadline.Year() < 10_000, "Policy.Deadline: must be zero or a time from 1970 to 9999, is %v", p.Deadline)
	bad.require(p.Weaken == "" || p.Weaken == RoleOwner || p.Weaken == RoleAdmin, "Policy.Weaken: must be RoleOwner or RoleAdmin, is %q", p.Weaken)
	bad.require(p.Reset == "" || p.resetRank() >= 0, "Policy.Reset: must be RoleAdmin, RoleOwner or RoleSupport, is %q", p.Reset)
	bad.require(p.TurnOff.rank() >= 0,
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
	oldest, ofAdmin := adminActions[name]
	bad.require(!ofAdmin || r.MaxAge <= oldest, "%s.MaxAge: must be at most %v, is %v", field, oldest, r.MaxAge)
	bad.require(r.MaxAge%time.Second == 0, "%s.MaxAge: must be in whole seconds, is %v", field, r.MaxAge)
	for _, m := range r.Methods {
		bad.require(m == RecoveryCode || slices.Contains(strength[:], m), "%s.Methods: must be TOTP, SMS, EmailLink or RecoveryCode, is %q", field, m)
		bad.require(!ofAdmin || m == TOTP, "%s.Methods: must be TOTP, is %q", field, m)
		bad.require(name != ActionFactors || m == TOTP || m == SMS,
			"%s.Methods: must be TOTP or SMS, because all accounts share the factors that it changes; is %q", field, m)
	}
	bad.require(name != ActionFactors || len(r.Methods) == 0 || slices.Contains(r.Methods, TOTP),
		"%s.Methods: must include TOTP, because an authenticator must not be changed by anything weaker; is %q", field, r.Methods)
}

// unknownWord returns the first word in the policy that this release does not
// know, or an empty string.
func (p Policy) unknownWord() string {
	for _, m := range slices.Concat(p.Methods, p.Fallback) {
		if m != RecoveryCode && !slices.Contains(strength[:], m) {
			return string(m)
		}
	}
	if p.TurnOff.rank() < 0 {
		return string(p.TurnOff)
	}
	if p.Weaken.rank() < 0 {
		return string(p.Weaken)
	}
	if p.resetRank() < 0 {
		return string(p.Reset)
	}
	return ""
}

// resetBy returns the role that may reset members.
func (p Policy) resetBy() Role { return cmp.Or(p.Reset, RoleAdmin) }

// resetRank orders the roles that may reset members, the strictest last. It is
// negative for an unknown one.
func (p Policy) resetRank() int {
	return slices.Index([]Role{RoleAdmin, RoleOwner, RoleSupport}, p.resetBy())
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

// String returns a one-line description of the policy, for logs and audit.
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
	if !p.Deadline.IsZero() {
		b.WriteString(" from " + p.Deadline.UTC().Format(time.RFC3339))
	}
	if p.Grace > 0 {
		fmt.Fprintf(&b, ", grace %v", p.Grace)
	}
	if p.EnrollWithoutLink {
		b.WriteString(", enrolled without a link")
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
	if p.Weaken == RoleAdmin {
		b.WriteString(", weakened by admins")
	}
	if p.resetBy() != RoleAdmin {
		b.WriteString(", reset by " + string(p.Reset))
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

// Rule returns the rule of an action, with defaults filled in. The caller owns
// the result.
func (p Policy) Rule(action string) ActionRule {
	r, ok := p.Actions[action]
	switch {
	case ok:
	case action == ActionFactors:
		r.MaxAge = 15 * time.Minute
	default:
		r.MaxAge = adminActions[action]
	}
	if oldest, ofAdmin := adminActions[action]; ofAdmin { // whatever a stored rule says
		return ActionRule{min(r.MaxAge, oldest), []Method{TOTP}}
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

// ActionFactors is the action that a user must have proven before viewing,
// generating, enrolling, changing or removing factors or recovery codes. If
// [Policy.Actions] has no rule for it, a proof by TOTP or SMS is valid for 15
// minutes. The Methods of a rule for it must be empty or include TOTP, and may
// include SMS. A user without a factor must instead have given a first factor of
// their own within the last 15 minutes, or have opened an email link; see
// [Manager.Enroll].
const ActionFactors = "factors"

// ActionPolicy is the action that an admin must have proven before changing the
// policy of an account or the grace of a member. A proof by TOTP is valid for 5
// minutes. A rule for it in [Policy.Actions] may only shorten that time.
const ActionPolicy = "policy"

// ActionReset is the action that an admin must have proven before resetting a
// member. Each reset needs a proof by TOTP of its own, which no rule in
// [Policy.Actions] can change.
const ActionReset = "reset"

// adminActions are the actions of admins, and how old a proof for each may be.
var adminActions = map[string]time.Duration{ActionPolicy: maxActionPolicy, ActionReset: 0}

// requiresLessThan reports whether members who satisfy p may have to enroll
// something for q. A change from p to q starts [Policy.Grace] anew.
func (p Policy) requiresLessThan(q Policy) bool {
	return q.Required && (!p.Required || p.ExemptSSO && !q.ExemptSSO || hasMore(p.methods(), q.methods()))
}

// hasMore reports whether a list has a method that the other does not have.
func hasMore(methods, others []Method) bool {
	return slices.ContainsFunc(methods, func(m Method) bool { return !slices.Contains(others, m) })
}
