package twofa

import (
	"context"
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// extension is more time that an admin gave the user to enroll in one account.
type extension struct {
	seal.Unknown
	Account string
	Until   unixTime
}

func (e *extension) Fields(c *seal.Codec) {
	seal.Text(c, 4, &e.Account)
	seal.Int(c, 8, &e.Until)
}

// Extend gives a member more time to enroll a required factor, until at most 90
// days from now. It replaces an earlier extension. If until is not in the future,
// the extension ends. If the policy lets the member put enrollment off until then
// anyway, so that the extension would have no effect, it is refused; see
// [Status.PolicyDue]. Until the time that is given, a stolen password is enough to
// sign in as this member. The member is told by mail, and the extension ends with
// a reset. A member can be given more time 20 times an hour, because each time is
// a mail. To end an extension that there is not writes nothing to the member.
//
// The actor must give a reason. An [AsUser] actor must be an admin or an owner,
// and have a higher role than the member.
//
// Errors: [ErrInvalid], [ErrNotEnrolled] if the user is not a member of the
// account, [ErrLocked] after 20 times, [ErrNotAllowed], [*DeniedError],
// [ErrUnavailable].
func (a *Account) Extend(ctx context.Context, user string, until time.Time) error {
	now := a.m.now()
	end := max(0, unixTimeOf(until))
	var bad problems
	bad.add(text.ValidateID("user", user))
	bad.require(text.Clean(a.by.reason, 500) != "", "Actor: must give a reason")
	bad.require(end <= now.add(maxExtension), "until: must be at most 90 days from now, is %v", until)
	if err := bad.err(); err != nil {
		return invalid("%w", err)
	}
	auth, err := a.authorize(ctx, act{action: ActionPolicy, needs: RoleAdmin, member: user})
	if err != nil {
		return err
	}
	account := a.id
	if end <= now {
		account = noPolicy
	}
	return a.m.update(ctx, Client{}, user, account, func(s *userTx) error {
		member, err := a.stillMember(ctx, user)
		if err != nil {
			return err
		}
		if end <= s.now && s.extensionIndex(a.id) < 0 {
			return errUnchanged
		}
		if end > s.now {
			v := memberView{userTx: s, member: member}
			if due := v.policyDue(v.facts()); end <= due {
				return invalid("until: must be after %v, until when the member has time anyway, is %v", due.time(), until)
			}
			if err := s.reserve(changeAllowance, extendBucket); err != nil {
				return err
			}
		}
		s.beginIfNew(member)
		before := s.extend(a.id, end)
		s.emit(auth.event(Event{Type: event.Extended, Account: a.id, Before: timeJSON(before), After: timeJSON(end), Notice: true}, a.by.reason))
		return nil
	})
}

// beginIfNew starts the first epoch of a member who has never signed in.
func (s *userTx) beginIfNew(u User) {
	s.noteAddresses(u)
	if s.Epoch == "" {
		s.setStamp(u)
		s.newEpoch("")
	}
}

// Impact is what a policy would change for one member who signs in with a
// password.
type Impact struct {
	User string // ID of the member
	// Now and Then are the next step after the password under the policy in
	// force and under the new one.
	Now, Then Next
	Methods   []Method // if Then is NextChallenge, the methods that the member is asked for
	// Enroll reports whether the new policy requires a factor that the member does
	// not have.
	Enroll bool
	// Due is when the member must have enrolled it. It is zero if Enroll is false, or
	// if the member must enroll it at the next request.
	Due time.Time
	// Changed reports whether the new policy treats the member in another way than
	// the one in force.
	Changed bool
	// Unreadable reports whether the member cannot sign in to this process
	// either way, because the member's record or factors cannot be read here.
	Unreadable bool
}

// Preview returns what a policy would change for each of the users, in their
// order, without those who are not members of the account. It is decided as for
// a member who has just typed the password in an unknown browser, or has just
// signed in through the account's own identity provider if that is how the member
// last signed in. Nothing is saved. It needs at most 1,000 users, and reads all of
// them at once.
//
// The actor and the errors are those of [Account.Policy]. [ErrInvalid] also means
// that [Account.SetPolicy] would refuse the policy, or that an ID is malformed.
// See [Account.PreviewUnset] for the policy of the product.
func (a *Account) Preview(ctx context.Context, p Policy, users ...string) ([]Impact, error) {
	if err := a.m.accepts(p); err != nil {
		return nil, err
	}
	return a.preview(ctx, users, func(v memberView) Impact {
		since := v.harder
		if v.policy.requiresLessThan(p) {
			since = v.now // as SetPolicy does
		}
		return v.impact(p, since)
	})
}

// PreviewUnset is like [Account.Preview], but shows what [Account.UnsetPolicy]
// would change. Under [Config.Policy], the grace of each member counts from
// [Member.Since], whereas [Account.SetPolicy] with the same policy may start it
// again.
func (a *Account) PreviewUnset(ctx context.Context, users ...string) ([]Impact, error) {
	return a.preview(ctx, users, func(v memberView) Impact { return v.impact(a.m.cfg.Policy, 0) })
}

func (a *Account) preview(ctx context.Context, users []string, impact func(memberView) Impact) ([]Impact, error) {
	members, err := a.members(ctx, users)
	if err != nil {
		return nil, err
	}
	impacts := make([]Impact, len(members))
	for i, member := range members {
		impacts[i] = impact(member)
	}
	return impacts, nil
}

// memberView is one member for lists: the record as it was read, and the user.
type memberView struct {
	*userTx
	member     User
	unreadable bool
}

// members reads the records of users who are members, all at once.
func (a *Account) members(ctx context.Context, ids []string) ([]memberView, error) {
	if len(ids) > maxMembersAtOnce {
		return nil, invalid("users: must be at most %d, are %d", maxMembersAtOnce, len(ids))
	}
	for _, id := range ids {
		if err := text.ValidateID("user", id); err != nil {
			return nil, invalid("%w", err)
		}
	}
	if _, err := a.authorize(ctx, act{needs: RoleAdmin}); err != nil {
		return nil, err
	}
	users, err := a.m.membersOf(ctx, a.id, ids...)
	if err != nil {
		return nil, err
	}
	at := make(map[string]int, len(ids))
	for i, id := range ids {
		at[id] = i
	}
	slices.SortFunc(users, func(u, v User) int { return at[u.ID] - at[v.ID] })
	users = slices.CompactFunc(users, func(u, v User) bool { return u.ID == v.ID })
	keys := []string{accountKey(a.id)}
	for _, u := range users {
		keys = append(keys, userKey(u.ID))
	}
	records, err := a.m.readAll(ctx, keys...)
	if err != nil {
		return nil, err
	}
	p, harder, err := a.m.policyIn(records[0])
	if err != nil {
		return nil, err
	}
	views := make([]memberView, len(users))
	for i, u := range users {
		s := &userTx{m: a.m, now: a.m.now(), user: u.ID, account: a.id, policy: p, harder: harder}
		views[i] = memberView{userTx: s, member: u}
		if records[i+1].Version != "" {
			views[i].unreadable = a.m.cfg.Keys.decode(records[i+1], &s.userRecord) != nil
		}
	}
	return views, nil
}

// facts returns the facts of a login of the member that has just begun.
func (v memberView) facts() facts {
	t := ticket{user: v.user, account: v.account, epoch: v.Epoch}
	t.setMembers(v.member, v.account)
	first := firstFactor{by: ByPassword, at: v.now}
	if i := v.seenIndex(v.account); i >= 0 && v.Seen[i].Vouched {
		first = firstFactor{by: BySSO, providerOf: v.account, at: v.now}
	}
	return v.userTx.facts(t.withFirstFactor(first), len(v.member.Emails) > 0)
}

// impact returns what a policy would change that requires as much as it does
// since a time, which is zero if it always has.
func (v memberView) impact(p Policy, since unixTime) Impact {
	if v.unreadable {
		return Impact{User: v.user, Unreadable: true}
	}
	now, nowEnroll, nowDue := v.outcome(v.facts())
	v.policy = p // what counts as a method depends on whether one is required
	f := v.facts()
	f.since = since
	then, enroll, due := v.outcome(f)
	return Impact{User: v.user, Now: now.next, Then: then.next, Methods: then.methods, Enroll: enroll, Due: due.time(),
		Changed:    now.next != then.next || hasMore(now.methods, then.methods) || hasMore(then.methods, now.methods) || nowEnroll != enroll || nowDue != due,
		Unreadable: now.next == nextUnavailable || then.next == nextUnavailable}
}

// outcome returns what the policy in v requires of a login with these facts, and
// whether and from when the member must enroll a factor. The time is 0 if it is
// over.
func (v memberView) outcome(f facts) (r policyResult, enroll bool, due unixTime) {
	r = v.policy.evaluate(f)
	enroll = v.policy.lacksFactor(f)
	if at := v.policy.due(f); enroll && v.now < at {
		due = at
	}
	return r, enroll, due
}

// policyDue returns until when the policy lets the member put enrollment off without
// an extension, or 0.
func (v memberView) policyDue(f facts) unixTime {
	f.extended = 0
	if due := v.policy.due(f); v.policy.Required && v.now < due {
		return due
	}
	return 0
}

// State is where a member stands with the second factor.
type State string

// The states of a member, for [Status].
const (
	StateOn         State = "on"         // has enrolled a factor that the policy accepts
	StateWeak       State = "weak"       // is asked for an email link or a text message only
	StateGrace      State = "grace"      // must enroll a factor, but not yet; see Status.Due
	StateOverdue    State = "overdue"    // must enroll a factor at the next request
	StateOff        State = "off"        // has no factor, and the policy requires none
	StateSSO        State = "sso"        // has no factor and needs none, because of the account's identity provider
	StateLocked     State = "locked"     // is locked out of every method in unknown browsers; see Status.LockedUntil
	StateUnreadable State = "unreadable" // cannot sign in here, because the record cannot be read
	StateUnknown    State = "unknown"    // has factors of a newer release only
)

// Status is where one member stands, for the admins of an account. It contains
// no secret, no name of a factor, no number and nothing from other accounts.
type Status struct {
	User        string // ID of the member
	Role        Role
	State       State
	Factors     []StatusFactor
	CodesLeft   int       // unused recovery codes
	LastLogin   time.Time // last login to this account; zero if it is not known, which does not mean never
	LastProof   time.Time // last proof of a method in this account; zero if it is not known
	Due         time.Time // from when the member must have enrolled; zero if nothing is missing, or if there is no grace
	PolicyDue   time.Time // until when the policy lets the member put enrollment off, without Extended; zero if it does not
	Extended    time.Time // until when an admin extended the grace; zero if none did
	Lost        time.Time // when the device was reported as lost; zero if it was not
	Case        time.Time // when support opened a case to reset the member; zero if there is none
	LockedUntil time.Time // when the lock ends, if State is StateLocked; zero if waiting does not help
}

// StatusFactor is a factor of a member, for the admins of an account. It has no
// time of last use, because all accounts share the factor; see Status.LastProof.
type StatusFactor struct {
	Method Method
	Added  time.Time
	// Locked reports whether too many wrong codes have locked the method in unknown
	// browsers. It can be locked although State is StateOn, because the member has
	// another one, such as recovery codes.
	Locked bool
	// LockedUntil is when the lock ends, unless [Account.Unlock] ends it before. It
	// is zero if the method is not locked, or if it must be enrolled again.
	LockedUntil time.Time
}

// Statuses returns where each of the users stands, in their order, without those
// who are not members of the account. It reads at most 1,000 users at once, with
// one call to the directory and one to the store beside those that authorize the
// actor. A record that cannot be read is reported as [StateUnreadable].
//
// The actor and the errors are those of [Account.Policy]. [ErrInvalid] also means
// that an ID is malformed.
func (a *Account) Statuses(ctx context.Context, users ...string) ([]Status, error) {
	members, err := a.members(ctx, users)
	if err != nil {
		return nil, err
	}
	statuses := make([]Status, len(members))
	for i, member := range members {
		statuses[i] = member.status()
	}
	return statuses, nil
}

func (v memberView) status() Status {
	st := Status{User: v.user, Role: v.member.roleIn(v.account), State: StateUnreadable}
	if v.unreadable {
		return st
	}
	for _, f := range v.Factors {
		locked, wait := v.lockOf(f.Method)
		factor := StatusFactor{Method: f.Method, Added: f.Added.time(), Locked: locked}
		if wait > 0 {
			factor.LockedUntil = v.now.add(wait).time()
		}
		st.Factors = append(st.Factors, factor)
	}
	st.CodesLeft, st.Lost = v.codesLeft(), v.Lost.time()
	if x := v.openCase(); x != nil {
		st.Case = x.Opened.time()
	}
	if i := v.seenIndex(v.account); i >= 0 {
		st.LastLogin, st.LastProof = v.Seen[i].Login.time(), v.Seen[i].Proof.time()
	}
	f := v.facts()
	if f.extended.isAhead(maxExtension, v.now) {
		st.Extended = f.extended.time()
	}
	st.State, st.PolicyDue = v.state(f), v.policyDue(f).time()
	switch st.State {
	case StateGrace, StateOverdue:
		st.Due = v.policy.due(f).time()
	case StateOn, StateWeak:
		if locked, wait := v.isLocked(f); locked {
			st.State = StateLocked
			if wait > 0 {
				st.LockedUntil = v.now.add(wait).time()
			}
		}
	}
	return st
}

// state returns the state of the member, apart from locks.
func (v memberView) state(f facts) State {
	accepted := v.policy.offer(f.has)
	switch {
	case len(accepted) > 0 && accepted[0] == TOTP:
		return StateOn
	case len(accepted) > 0:
		return StateWeak
	case f.hasUnknown():
		return StateUnknown
	case v.policy.ExemptSSO && f.ticket.vouchedIn(v.account):
		return StateSSO
	case v.policy.Required && v.now < v.policy.due(f):
		return StateGrace
	case v.policy.Required:
		return StateOverdue
	case len(v.Factors) > 0: // asked for, although the policy does not accept it
		return StateWeak
	}
	return StateOff
}
