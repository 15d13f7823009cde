package twofa

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// An Account is a handle with which an [Actor] reads and changes the policy of
// one account.
type Account struct {
	m  *Manager
	by Actor
	id string
}

// Account returns the account with an ID. It does no I/O and checks nothing;
// the methods return [ErrNotAllowed] if the actor is empty or a user.
func (m *Manager) Account(by Actor, id string) *Account { return &Account{m, by, id} }

// PolicyInfo is the policy in force for an account, and where it comes from.
type PolicyInfo struct {
	Policy  Policy     // the policy in force
	Version string     // version for [Account.SetPolicy], so that nobody overwrites an unseen change; [Manager.Rekey] changes it, too
	Since   time.Time  // time at which it was set; zero if Default
	By      EventActor // the actor who set it; zero if Default
	Default bool       // whether the account has set no policy, so that [Config.Policy] applies
}

// Special versions.
const (
	// Overwrite is a special version for [Account.SetPolicy] and
	// [Account.UnsetPolicy]. With it, they replace the policy whichever version
	// is in force, even a record that this release cannot read: one that is
	// corrupt, or that contains restrictions of a newer release. Only [AsHost]
	// may use it.
	Overwrite = "overwrite"

	defaultVersion = "default" // of an account that has set no policy
)

// Policy returns the policy in force for the account. If the account's ID is
// empty, that is [Config.Policy]. The caller owns the result.
//
// Errors: [ErrInvalid], [ErrNotAllowed], [ErrUnavailable]; a [*RecordError] if
// the stored policy cannot be read.
func (a *Account) Policy(ctx context.Context) (PolicyInfo, error) {
	fallback := PolicyInfo{Policy: a.m.cfg.Policy.clone(), Version: defaultVersion, Default: true}
	if a.id == "" && a.by.ofProduct() {
		return fallback, nil
	}
	if err := a.validate(); err != nil {
		return PolicyInfo{}, err
	}
	r, stored, err := a.read(ctx)
	if err != nil {
		return PolicyInfo{}, err
	}
	if stored.Policy == nil {
		return fallback, nil
	}
	return PolicyInfo{Policy: stored.Policy.policy(), Version: r.Version, Since: stored.Since.time(),
		By: EventActor{Kind: stored.ByKind, ID: stored.ByID}}, nil
}

// SetPolicy sets the account's policy. It is enforced from the next request on,
// on every server. Setting the policy that the account has already set writes
// nothing. Setting a policy equal to [Config.Policy] pins it: later changes of
// Config.Policy no longer apply to the account.
//
// ifVersion is the [PolicyInfo.Version] that the change is based on. If another
// version is in force, SetPolicy changes nothing and returns ErrConflict. An
// empty ifVersion replaces whichever policy is in force; only [AsHost] may
// leave it empty. Fields of a newer release that this one does not know are
// kept, except if [Overwrite] replaces a record that cannot be read.
//
// Do not call SetPolicy at every start: during a rollout, a server of the old
// release that restarts would put the old policy back. Call
// [Account.EnsurePolicy] instead.
//
// Errors: [ErrInvalid] with everything that is wrong with the policy, or if the
// account's ID is empty or malformed; [ErrConflict], [ErrNotAllowed],
// [ErrUnavailable]; a [*RecordError] if the stored policy cannot be read.
func (a *Account) SetPolicy(ctx context.Context, p Policy, ifVersion string) error {
	if err := a.m.accepts(p); err != nil {
		return err
	}
	return a.replace(ctx, &p, ifVersion)
}

// EnsurePolicy sets the account's policy if the account has set none. Call it
// at start-up. After [Account.UnsetPolicy] the account has none, so EnsurePolicy
// sets it again.
//
// Errors are those of [Account.SetPolicy], except ErrConflict.
func (a *Account) EnsurePolicy(ctx context.Context, p Policy) error {
	if err := a.m.accepts(p); err != nil {
		return err
	}
	if info, err := a.Policy(ctx); err != nil || !info.Default {
		return err
	}
	if err := a.replace(ctx, &p, defaultVersion); err != nil && err != ErrConflict {
		return err
	}
	return nil
}

// UnsetPolicy removes the account's own policy, so that [Config.Policy] applies.
// Errors and ifVersion are those of [Account.SetPolicy].
func (a *Account) UnsetPolicy(ctx context.Context, ifVersion string) error {
	return a.replace(ctx, nil, ifVersion)
}

// accepts reports what is wrong with a policy before it is stored.
func (m *Manager) accepts(p Policy) error {
	var bad problems
	bad.add(p.validate())
	bad.add(m.cfg.supports(p))
	size := len(seal.Encode(nil, storePolicy(p, nil)))
	bad.require(size <= maxPolicy, "Policy: must have at most %d bytes, has %d", maxPolicy, size)
	if err := bad.err(); err != nil {
		return invalid("%w", err)
	}
	return nil
}

// validate refuses actors and accounts that cannot be.
func (a *Account) validate() error {
	if !a.by.ofProduct() {
		return notAllowed("the Actor is empty or a user")
	}
	if err := text.ValidateID("account", a.id); err != nil {
		return invalid("%w", err)
	}
	return nil
}

func (a *Account) read(ctx context.Context) (r Record, stored accountRecord, err error) {
	r, err = a.m.get(ctx, accountKey(a.id), &stored)
	return r, stored, err
}

// replace stores a policy, or none, if the version is the expected one.
func (a *Account) replace(ctx context.Context, p *Policy, ifVersion string) error {
	if err := a.validate(); err != nil {
		return err
	}
	if (ifVersion == "" || ifVersion == Overwrite) && a.by.kind != actorHost {
		return notAllowed("only AsHost may replace a policy without its version")
	}
	var conflict error
	err := a.m.retryOnConflict(ctx, nil, func() error {
		r, stored, err := a.read(ctx)
		unreadable := err != nil
		if unreadable && (ifVersion != Overwrite || r.Version == "") {
			return err
		}
		if unreadable {
			stored = accountRecord{}
		}
		before, version := stored.Policy, r.Version
		if before == nil {
			version = defaultVersion
		}
		if conflict = nil; ifVersion != "" && ifVersion != Overwrite && ifVersion != version {
			conflict = ErrConflict
			return nil
		}
		stored.Policy = nil
		if p != nil {
			stored.Policy = storePolicy(*p, before)
		}
		if !unreadable && samePolicy(before, stored.Policy) {
			return nil
		}
		now := a.m.now()
		stored.Seq++
		stored.Since, stored.ByKind, stored.ByID = now, a.by.kind, a.by.id
		e := Event{Type: event.Policy, Seq: stored.Seq, Account: a.id, Actor: a.by.event(), Reason: a.by.reason,
			Before: before.json(), After: stored.Policy.json()}
		if unreadable {
			e.Before, e.Detail = nil, "the policy before could not be read"
		}
		e = e.issued(now)
		if err := a.m.write(ctx, accountKey(a.id), r.Version, &stored, []Event{e}); err != nil {
			return err
		}
		a.m.publish(ctx, e, "")
		return nil
	})
	return cmp.Or(err, conflict)
}

// accountRecord is the policy of an account, under "account/<id>".
type accountRecord struct {
	seal.Unknown
	Policy *storedPolicy // nil if the account has set none
	Since  unixTime
	ByKind string
	ByID   string
	Seq    uint64 // number of the last event
}

func (a *accountRecord) Fields(c *seal.Codec) {
	seal.Optional(c, 5, &a.Policy)
	seal.Int(c, 8, &a.Since)
	seal.Text(c, 12, &a.ByKind)
	seal.Text(c, 16, &a.ByID)
	seal.Int(c, 22, &a.Seq)
}

func (a *accountRecord) problem() string {
	if a.Policy == nil {
		return ""
	}
	return a.Policy.problem()
}

// storedPolicy is a [Policy] as it is stored, with the fields of a newer
// release. Durations are in seconds.
type storedPolicy struct {
	seal.Unknown
	Methods   []Method
	Fallback  []Method
	Required  bool
	NoLink    bool
	ExemptSSO bool
	Remember  int64
	TurnOff   TurnOff
	Actions   map[string]storedRule
}

func (p *storedPolicy) Fields(c *seal.Codec) {
	seal.Texts(c, 5, &p.Methods)
	seal.Texts(c, 9, &p.Fallback)
	seal.Bool(c, 13, &p.Required)
	seal.Bool(c, 16, &p.ExemptSSO)
	seal.Int(c, 20, &p.Remember)
	seal.Text(c, 25, &p.TurnOff)
	seal.Map(c, 29, &p.Actions)
	seal.Bool(c, 32, &p.NoLink)
}

// storedRule is an [ActionRule] as it is stored.
type storedRule struct {
	seal.Unknown
	MaxAge  int64
	Methods []Method
}

func (r *storedRule) Fields(c *seal.Codec) {
	seal.Int(c, 4, &r.MaxAge)
	seal.Texts(c, 9, &r.Methods)
}

// problem says which word of the policy this release does not know. The policy
// is then refused, because the word may restrict.
func (p *storedPolicy) problem() string {
	known := Policy{Methods: p.Methods, Fallback: p.Fallback, TurnOff: p.TurnOff}.unknownWord()
	for _, name := range slices.Sorted(maps.Keys(p.Actions)) {
		known = cmp.Or(known, Policy{Methods: p.Actions[name].Methods}.unknownWord())
	}
	if known == "" {
		return ""
	}
	return fmt.Sprintf("holds a policy with %q, which this release does not know", text.Clean(known, 40))
}

// storePolicy returns a policy as it is stored in place of before, whose
// unknown fields it keeps.
func storePolicy(p Policy, before *storedPolicy) *storedPolicy {
	if before == nil {
		before = &storedPolicy{}
	}
	p = p.clone()
	s := &storedPolicy{Unknown: before.Unknown, Methods: p.Methods, Fallback: p.Fallback, Required: p.Required, NoLink: p.EnrollWithoutLink, ExemptSSO: p.ExemptSSO,
		Remember: int64(p.Remember / time.Second), TurnOff: p.TurnOff}
	for name, r := range p.Actions {
		if s.Actions == nil {
			s.Actions = map[string]storedRule{}
		}
		s.Actions[name] = storedRule{before.Actions[name].Unknown, int64(r.MaxAge / time.Second), r.Methods}
	}
	return s
}

// policy returns the policy as hosts see it.
func (p *storedPolicy) policy() Policy {
	q := Policy{Methods: p.Methods, Fallback: p.Fallback, Required: p.Required, EnrollWithoutLink: p.NoLink, ExemptSSO: p.ExemptSSO,
		Remember: time.Duration(p.Remember) * time.Second, TurnOff: p.TurnOff}
	for name, r := range p.Actions {
		if q.Actions == nil {
			q.Actions = map[string]ActionRule{}
		}
		q.Actions[name] = ActionRule{MaxAge: time.Duration(r.MaxAge) * time.Second, Methods: r.Methods}
	}
	return q
}

func samePolicy(p, q *storedPolicy) bool {
	if p == nil || q == nil {
		return p == q
	}
	return string(seal.Encode(nil, p)) == string(seal.Encode(nil, q))
}

// json returns the policy for an event, "null" if there is none.
func (p *storedPolicy) json() json.RawMessage {
	if p == nil {
		return json.RawMessage("null")
	}
	encoded, _ := json.Marshal(p.policy()) // a policy is plain data
	return encoded
}
