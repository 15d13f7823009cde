package twofa

import (
	"cmp"
	"context"
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

// Account returns the account with an ID. It does no I/O and checks nothing.
//
// The methods return [ErrNotAllowed] if the actor is empty. Of an [AsUser] actor
// they require a live session in the account and a role there, which the
// directory is asked for at each call. A change also needs a fresh proof for
// [ActionPolicy]. Otherwise they return a [*DeniedError], with [ReasonRole] if
// the role is too low. A change by a user leaves an event on the user who acts
// and one on what was changed, and both have the same [Event.Act].
func (m *Manager) Account(by Actor, id string) *Account { return &Account{m, by, id} }

// PolicyInfo is the policy in force for an account, and where it comes from.
type PolicyInfo struct {
	Policy  Policy     // the policy in force
	Version string     // version for [Account.SetPolicy], so that nobody overwrites an unseen change
	Since   time.Time  // time at which it was set; zero if Default
	By      EventActor // the actor who set it; zero if Default
	ByName  string     // [User].Name of the member who set it, without control characters; empty if no member did, or if the directory does not confirm it
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
// Errors: [ErrInvalid], [ErrNotAllowed], [*DeniedError], [ErrUnavailable]; a
// [*RecordError] if the stored policy cannot be read.
func (a *Account) Policy(ctx context.Context) (PolicyInfo, error) {
	fallback := PolicyInfo{Policy: a.m.cfg.Policy.clone(), Version: defaultVersion, Default: true}
	if a.id == "" && a.by.ofProduct() {
		return fallback, nil
	}
	if _, err := a.authorize(ctx, act{needs: RoleAdmin}); err != nil {
		return PolicyInfo{}, err
	}
	_, stored, err := a.read(ctx)
	if err != nil {
		return PolicyInfo{}, err
	}
	if stored.Policy == nil {
		return fallback, nil
	}
	by := EventActor{Kind: stored.ByKind, ID: stored.ByID}
	return PolicyInfo{Policy: stored.Policy.policy(), Version: stored.version(), Since: stored.Since.time(), By: by, ByName: a.nameOf(ctx, by)}, nil
}

// nameOf returns the name of a member who acted in the account. It is empty if
// the directory fails, because the name decides nothing.
func (a *Account) nameOf(ctx context.Context, by EventActor) string {
	if by.Kind != actorUser || a.by.kind != actorUser { // the host has its own directory
		return ""
	}
	users, err := a.m.membersOf(ctx, a.id, by.ID)
	if err != nil || len(users) != 1 {
		return ""
	}
	return text.Clean(users[0].Name, maxUserName)
}

// SetPolicy sets the account's policy. It is enforced from the next request on,
// on every server. Setting the policy that the account has already set writes
// nothing, and needs no fresh proof. Setting a policy equal to [Config.Policy] pins it: later changes of
// Config.Policy no longer apply to the account.
//
// ifVersion is the [PolicyInfo.Version] that the change is based on. If another
// version is in force, SetPolicy changes nothing and returns ErrConflict. An
// empty ifVersion replaces whichever policy is in force; only [AsHost] may
// leave it empty. Fields of a newer release that this one does not know are
// kept, except if [Overwrite] replaces a record that cannot be read.
//
// An [AsUser] actor must be an admin or an owner, and the session must meet the
// new policy already, without any grace. Otherwise SetPolicy returns a
// [*DeniedError] with [ReasonEnroll] and [ActionPolicy]: admins enroll first. A
// policy that requires less than the one in force needs the role in that one's
// [Policy.Weaken]. The other admins are told of it by mail if the directory is an
// [AdminLister].
//
// Do not call SetPolicy at every start: during a rollout, a server of the old
// release that restarts would put the old policy back. Call
// [Account.EnsurePolicy] instead.
//
// Errors: [ErrInvalid] with everything that is wrong with the policy, or if the
// account's ID is empty or malformed; [ErrConflict], [ErrNotAllowed],
// [*DeniedError], [ErrUnavailable]; a [*RecordError] if the stored policy cannot
// be read.
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

func (a *Account) read(ctx context.Context) (r Record, stored accountRecord, err error) {
	r, err = a.m.get(ctx, accountKey(a.id), &stored)
	return r, stored, err
}

// replace stores a policy, or none, if the version is the expected one.
func (a *Account) replace(ctx context.Context, p *Policy, ifVersion string) error {
	if (ifVersion == "" || ifVersion == Overwrite) && a.by.kind != actorHost {
		return notAllowed("only AsHost may replace a policy without its version")
	}
	if _, err := a.authorize(ctx, act{needs: RoleAdmin}); err != nil {
		return err // before anything is read for a stranger
	}
	var auth authorization
	var conflict error
	err := a.m.retryOnConflict(ctx, nil, func() error {
		r, stored, unreadable := a.read(ctx)
		if unreadable != nil && (ifVersion != Overwrite || r.Version == "") {
			return unreadable
		}
		if unreadable != nil {
			stored = accountRecord{}
		}
		c := policyChange{before: stored.Policy, after: p, fallback: a.m.cfg.Policy}
		if conflict = nil; ifVersion != "" && ifVersion != Overwrite && ifVersion != stored.version() {
			conflict = ErrConflict
			return nil
		}
		stored.Policy = nil
		if p != nil {
			stored.Policy = storePolicy(*p, c.before)
		}
		if unreadable == nil && samePolicy(c.before, stored.Policy) {
			return nil // before a proof is used up for nothing
		}
		if auth.actor == (EventActor{}) { // the version is the same in later rounds
			var err error
			if auth, err = a.authorize(ctx, c.act()); err != nil {
				return err
			}
		}
		now := a.m.now()
		switch {
		case p == nil: // Config.Policy has no such time, and neither has the next policy
			stored.Harder = 0
		case c.old().requiresLessThan(c.new()):
			stored.Harder = now
		}
		stored.PolicyVersion = seal.NewID()
		stored.Since, stored.ByKind, stored.ByID = now, auth.actor.Kind, auth.actor.ID
		e := auth.event(Event{Type: event.Policy, Account: a.id, Before: c.before.json(), After: stored.Policy.json(),
			Notice: auth.actor.Kind == actorUser && c.weakens()}, a.by.reason)
		if unreadable != nil {
			e.Before, e.Detail = nil, "the policy before could not be read"
		}
		e = stored.Audit.add(a.m.cfg.Keys, e.issued(now))
		if err := a.m.write(ctx, accountKey(a.id), r.Version, &stored, []Event{e}); err != nil {
			return err
		}
		a.m.publish(ctx, e, "")
		return nil
	})
	return cmp.Or(err, conflict)
}

// policyChange is the change of an account's policy. A nil policy means that the
// account has none, and the fallback applies.
type policyChange struct {
	before   *storedPolicy
	after    *Policy
	fallback Policy
}

func (c policyChange) old() Policy {
	if c.before == nil {
		return c.fallback
	}
	return c.before.policy()
}

func (c policyChange) new() Policy {
	if c.after == nil {
		return c.fallback
	}
	return *c.after
}

func (c policyChange) weakens() bool { return c.new().IsWeakerThan(c.old()) }

// act returns what the change needs of an admin.
func (c policyChange) act() act {
	p := c.new()
	d := act{action: ActionPolicy, needs: RoleAdmin, meets: &p}
	if c.weakens() && c.old().Weaken != RoleAdmin {
		d.needs = RoleOwner
	}
	return d
}

// HoldPolicy seals a policy whose effect the user has just seen, so that a page
// can have a button that saves this policy and no other. If p is nil, the account
// will have no policy of its own. version is the [PolicyInfo.Version] that the
// user has seen, for [Account.SetPolicy] or [Account.UnsetPolicy].
//
// Put the text into a hidden field of the form. It opens for 30 minutes, only with
// the session, browser and account of the actor, which must be an [AsUser] actor.
// It grants nothing, and writes nothing to the store.
//
// Errors: [ErrInvalid] if SetPolicy would refuse the policy, [ErrNotAllowed], and
// a [*DeniedError] if there is no session.
func (a *Account) HoldPolicy(p *Policy, version string) (Secret, error) {
	c, t, err := a.reader()
	if err != nil {
		return Secret{}, err
	}
	h := heldPolicy{version: version}
	if p != nil {
		if err := a.m.accepts(*p); err != nil {
			return Secret{}, err
		}
		h.policy = storePolicy(*p, nil)
	}
	seen := ticket{purpose: forPolicy, id: seal.NewID(), sessionID: t.sessionID, user: t.user, account: t.account, expires: a.m.now().add(reviewTTL)}
	seen.bindTo(c.Client)
	h.seen = a.m.cfg.Keys.sealTicket(seen).Reveal()
	return a.m.cfg.Keys.sealToken(policyFormat, &h), nil
}

// HeldPolicy opens a text of [Account.HoldPolicy]. It returns [ErrExpired] if the
// text was changed, is older than 30 minutes, or belongs to another session,
// browser or account. Its other errors are those of HoldPolicy.
func (a *Account) HeldPolicy(held Secret) (p *Policy, version string, err error) {
	c, t, err := a.reader()
	if err != nil {
		return nil, "", err
	}
	var h heldPolicy
	if err := a.m.cfg.Keys.openToken(policyFormat, held, maxHeldToken, &h); err != nil {
		return nil, "", ErrExpired
	}
	seen, err := a.m.openChallenge(c.Client, ParseChallenge(h.seen), forPolicy)
	if err != nil || seen.sessionID != t.sessionID || seen.user != t.user || seen.account != t.account {
		return nil, "", ErrExpired
	}
	if h.policy != nil {
		held := h.policy.policy()
		p = &held
	}
	return p, h.version, nil
}

// reader returns the user who looks at a policy, and the user's session.
func (a *Account) reader() (Caller, ticket, error) {
	if a.by.kind != actorUser {
		return Caller{}, ticket{}, notAllowed("only AsUser has a session")
	}
	if err := text.ValidateID("account", a.id); err != nil {
		return Caller{}, ticket{}, invalid("%w", err)
	}
	c := a.by.caller
	c.Account = a.id
	t, err := a.m.openSession(c)
	return c, t, err
}

// policyFormat is the number of the way held policies are sealed.
const policyFormat = "policy 1"

// heldPolicy is the content of a sealed policy.
type heldPolicy struct {
	seal.Unknown
	seen    string // sealed ticket, with the session, account, browser and expiry
	version string
	policy  *storedPolicy // nil if the account will have none
}

func (h *heldPolicy) Fields(c *seal.Codec) {
	seal.Text(c, 5, &h.seen)
	seal.Text(c, 9, &h.version)
	seal.Optional(c, 13, &h.policy)
}
