package twofa

import (
	"context"
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// act is what an actor is about to do in an account.
type act struct {
	action string  // step-up action that needs a fresh proof; empty if the act only reads
	needs  Role    // lowest role that may do it; for ActionReset, the policy says
	member string  // ID of the member it is about; empty if it is about the account
	meets  *Policy // policy that the session of the actor must meet already; nil if it is not about a policy
	peek   bool    // whether it is only asked if the act is possible

	onlySupport func(member User) bool // whether no user may do it to the member; nil if users may
}

// authorization is the answer of the gate.
type authorization struct {
	actor  EventActor
	act    string // ID of the act, which its events share; empty if it only reads
	member User   // the member it is about
}

// event returns an event of the act.
func (a authorization) event(e Event, reason string) Event {
	e.Actor, e.Act, e.Reason = a.actor, a.act, reason
	return e
}

// authorize is the gate of every act in an account. The host and its staff pass,
// because the host has authorized them. A user needs a live session in the
// account, a role that the directory confirms now and that is higher than the
// member's, and for a change also a fresh proof.
//
// The act is then authorized by a write to the record of the user who acts. The
// change itself is a second write, to another record. A crash between the two
// costs a proof and leaves an event, but never a change that nobody authorized.
//
// The role is checked before the member is looked up, so that only those who may
// see the members learn who is one.
func (a *Account) authorize(ctx context.Context, d act) (authorization, error) {
	if err := text.ValidateID("account", a.id); err != nil {
		return authorization{}, invalid("%w", err)
	}
	switch {
	case a.by.ofProduct():
		auth := authorization{actor: a.by.event(), act: actID(d)}
		err := auth.findMember(ctx, a, d)
		return auth, err
	case a.by.kind != actorUser:
		return authorization{}, notAllowed("the Actor is empty")
	}
	c := a.by.caller
	c.Account = a.id
	t, err := a.m.openSession(c)
	if err != nil {
		return authorization{}, err
	}
	auth := authorization{act: actID(d)}
	err = a.m.updateUser(ctx, c.Client, t, func(s *userTx, u User) error {
		auth.actor = EventActor{Kind: actorUser, ID: u.ID, Role: string(u.roleIn(a.id))}
		if err := s.mayAct(t, u, d); err != nil {
			return err
		}
		if err := auth.findMember(ctx, a, d); err != nil {
			return err
		}
		if d.member != "" && !u.roleIn(a.id).Above(auth.member.roleIn(a.id)) {
			return s.denied(ReasonRole)
		}
		if d.onlySupport != nil && d.onlySupport(auth.member) {
			return &DeniedError{Reason: ReasonSupport, Account: a.id, Action: d.action}
		}
		if d.action == "" || d.peek {
			return errUnchanged
		}
		m, err := s.useGrant(t, d.action, "", "")
		if err != nil {
			return err
		}
		s.emit(auth.event(Event{Type: event.AdminAct, Method: m, Session: t.sessionID, Detail: d.action}, a.by.reason))
		return nil
	})
	return auth, err
}

func actID(d act) string {
	if d.action == "" {
		return ""
	}
	return seal.NewID()
}

// mayAct returns an error unless the session and the role of a user are enough
// for an act.
func (s *userTx) mayAct(t ticket, u User, d act) error {
	if err := s.guard(t); err != nil {
		return err
	}
	if err := s.checkCurrent(t, u); err != nil {
		return err
	}
	needs := d.needs
	if d.action == ActionReset {
		needs = s.policy.resetBy()
	}
	switch {
	case needs == RoleSupport:
		return &DeniedError{Reason: ReasonSupport, Account: s.account, Action: d.action}
	case u.roleIn(s.account).rank() < needs.rank():
		return s.denied(ReasonRole)
	case s.isCooling():
		return s.denied(ReasonCooling)
	case d.member == u.ID:
		return s.denied(ReasonSelf)
	case d.meets != nil:
		return s.meets(t, u, *d.meets)
	}
	return nil
}

// meets returns an error unless the session already meets a policy without any
// grace, so that admins enroll before they require it of others. The error names
// ActionPolicy, because the step-up for it leads to what is missing.
func (s *userTx) meets(t ticket, u User, p Policy) error {
	f := s.facts(t, len(u.Emails) > 0)
	f.joined, f.extended, p.Deadline = 0, 0, time.Time{}
	v := p.evaluate(f)
	if v.next == NextDone {
		return nil
	}
	r := s.policy.Rule(ActionPolicy)
	d := &DeniedError{Reason: ReasonEnroll, Account: s.account, Action: ActionPolicy, Methods: r.Methods, MaxAge: r.MaxAge}
	if v.next == NextChallenge && slices.Contains(f.has, TOTP) {
		d.Reason = ReasonMissing
	}
	return d
}

// stillMember looks up a member again, after the record was read. The member may
// have left the account since the gate.
func (a *Account) stillMember(ctx context.Context, user string) (User, error) {
	u, err := a.m.find(ctx, user)
	if err == nil && !u.in(a.id) {
		err = ErrNotEnrolled
	}
	return u, err
}

// findMember looks up the member that an act is about. Nobody learns whether a
// user who is not a member exists.
func (auth *authorization) findMember(ctx context.Context, a *Account, d act) error {
	if d.member == "" {
		return nil
	}
	if err := text.ValidateID("user", d.member); err != nil {
		return invalid("%w", err)
	}
	users, err := a.m.membersOf(ctx, a.id, d.member)
	if err != nil {
		return err
	}
	if len(users) == 0 {
		return ErrNotEnrolled
	}
	auth.member = users[0]
	return nil
}
