package twofa

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// A Caller identifies the user who makes a request, by a session or, while
// enrolling, by a challenge.
type Caller struct {
	// Session is the session of the user who makes the request. If it is empty,
	// expired or revoked, the request is denied with [ReasonSignedOut]. If this
	// process cannot open it, the request is denied with [ReasonUnreadable].
	// Neither applies if Challenge is accepted instead.
	Session Session
	// Challenge is the challenge of a [Result] whose Next is [NextEnroll], or
	// [Enrollment.Challenge]. Set it in addition to Session. Methods that show
	// or change factors try it first; if it is a valid enrollment challenge,
	// they ignore Session and Account. Other methods ignore it, except
	// [Manager.HeldForm].
	Challenge Challenge
	// Account is the ID of the account that the request is for, whose policy
	// applies. If empty, it is the account that the session was last issued for;
	// see [SessionInfo.Account].
	Account string
	// Form identifies the form that the request sends, for example by a hash of
	// its path and fields. [Manager.UseAction] recognizes by it a form that is
	// sent twice, and [Manager.HoldForm] binds a step-up to it. All other
	// methods ignore it. If empty, no repetition is recognized.
	Form string
	// Client describes the browser that the request comes from. A challenge is
	// accepted only from the browser and host session it was issued for, and a
	// proof for an action only from the browser in which it was given.
	Client Client
}

// openSession opens the caller's session for the account of the request. It
// does not read the user record, so the session may have been revoked.
func (m *Manager) openSession(c Caller) (ticket, error) {
	if c.Account != "" {
		if err := text.ValidateID("account", c.Account); err != nil {
			return ticket{}, notAllowed("Caller.Account: %w", err)
		}
	}
	t, err := m.readSession(c.Session)
	if err != nil {
		return t, &DeniedError{Reason: err.Reason, Account: c.Account}
	}
	t.account = cmp.Or(c.Account, t.account)
	return t, nil
}

// readSession opens a session. The error says whether another server might read
// it.
func (m *Manager) readSession(session Session) (ticket, *DeniedError) {
	t, err := m.openTicket(session.Secret, forSession)
	switch {
	case err == nil:
		return t, nil
	case errors.Is(err, errUnreadable) && !session.IsZero():
		return t, &DeniedError{Reason: ReasonUnreadable}
	}
	return t, &DeniedError{Reason: ReasonSignedOut}
}

// openCaller opens the caller's enrollment challenge if it is valid, and the
// caller's session otherwise. The challenge comes first because it records a
// newer proof. It belongs to the account that it was issued for; a session is
// used in c.Account.
func (m *Manager) openCaller(c Caller) (ticket, error) {
	t, err := m.openTicket(c.Challenge.Secret, forEnroll)
	if err != nil || !t.isFrom(c.Client) {
		return m.openSession(c)
	}
	return t, nil
}

// loadSession reads the user record for the caller's session and applies the
// guard.
func (m *Manager) loadSession(ctx context.Context, c Caller) (ticket, *userTx, error) {
	t, err := m.openSession(c)
	if err != nil {
		return t, nil, err
	}
	s, err := m.load(ctx, c.Client, t.user, t.account)
	if err == nil {
		err = s.guard(t)
	}
	return t, s, err
}

// loadUser reads the record of a ticket's user, and then looks up the user. In
// this order, a user who is disabled and then revoked cannot be let in by a
// directory's answer from before.
func (m *Manager) loadUser(ctx context.Context, c Client, t ticket) (*userTx, User, error) {
	s, err := m.load(ctx, c, t.user, t.account)
	if err != nil {
		return nil, User{}, err
	}
	u, err := m.lookUp(ctx, t.user, t.account)
	return s, u, err
}

// updateUser is update for a decision that depends on the directory. It looks
// up the user in each round, after the record was read; see loadUser.
func (m *Manager) updateUser(ctx context.Context, c Client, t ticket, fn func(*userTx, User) error) error {
	return m.update(ctx, c, t.user, t.account, func(s *userTx) error {
		u, err := m.lookUp(ctx, t.user, t.account)
		if err != nil {
			return err
		}
		s.noteAddresses(u)
		return fn(s, u)
	})
}

// loadCaller reads the user record for a request that shows factors.
func (m *Manager) loadCaller(ctx context.Context, c Caller) (ticket, *userTx, User, error) {
	t, err := m.openCaller(c)
	if err != nil {
		return t, nil, User{}, err
	}
	s, u, err := m.loadUser(ctx, c.Client, t)
	if err == nil {
		err = s.guardCaller(t, u)
	}
	return t, s, u, err
}

// change updates the user record for a request that changes factors.
func (m *Manager) change(ctx context.Context, c Caller, fn func(*userTx, ticket, User) error) error {
	t, err := m.openCaller(c)
	if err != nil {
		return err
	}
	return m.updateUser(ctx, c.Client, t, func(s *userTx, u User) error {
		if err := s.guardCaller(t, u); err != nil {
			return err
		}
		return fn(s, t, u)
	})
}

// guardCaller is the guard of requests that show or change factors. Unlike
// guard, it accepts a session that the policy sends to enrollment, because
// these requests are how the user enrolls.
func (s *userTx) guardCaller(t ticket, u User) error {
	if err := s.checkCurrent(t, u); err != nil {
		return err
	}
	v, err := s.evaluate(t, len(u.Emails) > 0)
	if err != nil {
		return err
	}
	if t.purpose == forSession && v.next == NextChallenge {
		return &DeniedError{Reason: ReasonChallenge, Account: s.account, Methods: v.methods}
	}
	return nil
}

// stampChanged reports whether the user's security stamp has changed. If it is
// the one from before the last change, the directory lags behind, and what else
// it says may be outdated, too. That is an error for directoryLag.
func (s *userTx) stampChanged(u User) (bool, error) {
	stamp := stampOf(u)
	switch {
	case stamp == s.Stamp:
		return false, nil
	case stamp == s.StampBefore && s.StampedAt.within(directoryLag, s.now):
		return false, unavailable("Config.Directory", errStale)
	}
	return true, nil
}

var errStale = errors.New("twofa: the directory returned the security stamp from before the last change")

func (s *userTx) setStamp(u User) {
	if stamp := stampOf(u); stamp != s.Stamp {
		s.StampBefore, s.Stamp, s.StampedAt = s.Stamp, stamp, s.now
	}
}

func stampOf(u User) string {
	if u.SecurityStamp == "" {
		return ""
	}
	return seal.Digest("stamp", u.ID, u.SecurityStamp)
}

// checkCurrent returns an error unless a session or an enrollment challenge is
// current and the user's security stamp has not changed since.
func (s *userTx) checkCurrent(t ticket, u User) error {
	changed, err := s.stampChanged(u)
	switch {
	case err != nil:
		return err
	case changed, !s.isCurrent(t), s.isSpent(t):
		return s.denied(ReasonSignedOut)
	}
	return nil
}

// openChallenge opens a challenge of a client.
func (m *Manager) openChallenge(c Client, ch Challenge, purposes ...purpose) (ticket, error) {
	t, err := m.openTicket(ch.Secret, purposes...)
	if err != nil || !t.isFrom(c) {
		return ticket{}, ErrExpired
	}
	return t, nil
}

// ChallengeInfo is the content of a challenge.
type ChallengeInfo struct {
	// Next is NextChallenge for a login or a step-up, and NextEnroll for an
	// enrollment that the account requires. It is empty for a new phone that is
	// being confirmed.
	Next Next
	// Account is the ID of the account that the challenge is for; may be empty.
	Account string
	// Action and Resource are those of a step-up, and otherwise empty.
	Action, Resource string
	// Sent is the method of the last link or code that was sent for the
	// challenge. It is empty if none was sent.
	Sent Method
	// InPerson reports whether the user gave a first factor of their own. If not,
	// [Manager.ReportLost] refuses, so a page must not offer it.
	InPerson bool
}

// ChallengeInfo returns the content of a challenge. It does not read the store,
// so the challenge may be used up; see [Manager.DescribeChallenge]. If the
// challenge has expired, ChallengeInfo returns its content together with
// [ErrExpired], so that a page can lead back to where it was started. If it is
// empty, from another browser or not readable here, ChallengeInfo returns only
// ErrExpired.
func (m *Manager) ChallengeInfo(c Client, ch Challenge) (ChallengeInfo, error) {
	t, err := m.cfg.Keys.openTicket(ch.Secret)
	next, isChallenge := map[purpose]Next{forLogin: NextChallenge, forAction: NextChallenge, forEnroll: NextEnroll, forPhone: ""}[t.purpose]
	if err != nil || !isChallenge || !t.isFrom(c) {
		return ChallengeInfo{}, ErrExpired
	}
	_, err = m.openTicket(ch.Secret, t.purpose)
	return ChallengeInfo{Next: next, Account: t.account, Action: t.action, Resource: t.resource, Sent: t.messageMethod,
		InPerson: t.hasFirstFactor(firstFactor.ofPerson)}, err
}

// DescribeChallenge returns the methods that a challenge accepts and those of
// them that are locked, so that a page can ask for them, the account name of the
// user, and the masked address or number that a link or code was sent to. It
// neither writes to the store nor extends the challenge.
//
// DescribeChallenge returns [ErrExpired], [ErrNotAllowed], a [*DeniedError] or
// [ErrUnavailable] under the same conditions as [Manager.Verify].
func (m *Manager) DescribeChallenge(ctx context.Context, c Client, ch Challenge) (Result, error) {
	t, err := m.openChallenge(c, ch, forLogin, forAction)
	if err != nil {
		return Result{}, err
	}
	s, u, err := m.loadUser(ctx, c, t)
	if err != nil {
		return Result{}, err
	}
	offered, err := s.offeredMethods(u, t)
	r := Result{Next: NextChallenge, Challenge: ch, Methods: offered, UserName: text.Clean(u.Name, maxUserName), Locked: s.locked(offered)}
	if slices.Contains(offered, TOTP) {
		r.Digits = s.codeDigits()
	}
	if x := s.currentMessage(t, t.messageMethod); x != nil {
		r.Sent, r.SentExpires, r.SentCode = x.Mask, x.Expires.time(), x.Code != "" && s.takesCodeNow(u, t)
	}
	return resultOrError(r, err)
}

// lookUp returns the user from the host's directory, or an error if the user
// must not enter the account.
func (m *Manager) lookUp(ctx context.Context, id, account string) (User, error) {
	err := text.ValidateID("user", id)
	if account != "" {
		err = errors.Join(err, text.ValidateID("account", account))
	}
	if err != nil {
		return User{}, notAllowed("%w", err)
	}
	u, err := m.find(ctx, id)
	switch {
	case err != nil:
		return User{}, err
	case u.Disabled:
		return User{}, notAllowed("user %q is disabled", id)
	case !u.in(account):
		return User{}, notAllowed("account %q is not among the Members of user %q", account, id)
	}
	return u, nil
}

// resultOrError returns an empty Result with an error, because a session or
// challenge must not leave if the record it belongs to was not stored.
func resultOrError(login Result, err error) (Result, error) {
	if err != nil {
		return Result{}, err
	}
	return login, nil
}

// offeredMethods returns the methods that answer a challenge.
func (s *userTx) offeredMethods(u User, t ticket) ([]Method, error) {
	changed, err := s.stampChanged(u)
	switch {
	case err != nil:
		return nil, err
	case changed, !s.isCurrent(t), s.isSpent(t):
		return nil, ErrExpired
	}
	if t.purpose == forAction {
		return s.acceptedFor(t, t.action, len(u.Emails) > 0)
	}
	v, err := s.evaluate(t, len(u.Emails) > 0)
	if err != nil {
		return nil, err
	}
	if v.next != NextChallenge {
		return nil, ErrExpired
	}
	return v.methods, nil
}

// Actor is the source of an operation on an account or a user, with a reason
// that is stored in the event. Create one with [AsUser], [AsStaff] or [AsHost].
// The methods of [Account] and [ManagedUser] refuse the zero Actor.
type Actor struct {
	kind   string
	id     string
	reason string
	caller Caller // of a user
}

const (
	actorUser  = "user"
	actorHost  = "host"
	actorStaff = "staff"
)

// AsUser returns an Actor for the user who makes a request, with the session in
// c. The reason may be empty.
func AsUser(c Caller, reason string) Actor {
	return Actor{kind: actorUser, reason: reason, caller: c}
}

// AsHost returns an Actor for code of the host that acts by itself, such as
// start-up, a migration or a command line. Never create one for a request. If
// reason is empty, it defaults to "host".
func AsHost(reason string) Actor { return Actor{kind: actorHost, reason: cmp.Or(reason, "host")} }

// AsStaff returns an Actor for a member of the host's staff, such as support.
// The host must have authenticated that person. An id that is empty or
// malformed is refused.
func AsStaff(id, reason string) Actor { return Actor{kind: actorStaff, id: id, reason: reason} }

// ofProduct reports whether the actor is the host or a named member of its
// staff.
func (a Actor) ofProduct() bool {
	return a.kind == actorHost || a.kind == actorStaff && text.ValidateID("staff", a.id) == nil
}

// event returns the actor as events name it. They name a user elsewhere.
func (a Actor) event() EventActor {
	if a.kind == actorUser {
		return EventActor{}
	}
	return EventActor{Kind: a.kind, ID: a.id}
}
