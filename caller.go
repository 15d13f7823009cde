package twofa

import (
	"context"
	"errors"
	"slices"

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
	// they ignore Session and Account. Other methods ignore it.
	Challenge Challenge
	// Account is the ID of the account that the request is for, whose policy
	// applies. If empty, [Config.Policy] applies, even if the user signed in to
	// an account with a stricter policy. The host must verify that the user is
	// a member, because [Manager.Check] does not.
	Account string
	// Client describes the browser that the request comes from. A challenge is
	// accepted only from the browser and host session it was issued for.
	Client Client
}

// openSession opens the caller's session. It does not read the user record, so
// the session may have been revoked.
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
	return t, nil
}

// readSession opens a session. The error says whether another server might read
// it.
func (m *Manager) readSession(session Session) (ticket, *DeniedError) {
	t, err := m.cfg.Keys.openTicket(session.Secret, m.now(), forSession)
	switch {
	case err == nil:
		return t, nil
	case errors.Is(err, errUnreadable) && !session.IsZero():
		return t, &DeniedError{Reason: ReasonUnreadable}
	}
	return t, &DeniedError{Reason: ReasonSignedOut}
}

// openCaller opens the caller's enrollment challenge if it is valid, and the
// caller's session otherwise, and looks up the user. The challenge comes first
// because it records a newer proof. It belongs to the account that it was
// issued for; a session is used in c.Account.
func (m *Manager) openCaller(ctx context.Context, c Caller) (ticket, User, error) {
	t, err := m.cfg.Keys.openTicket(c.Challenge.Secret, m.now(), forEnroll)
	if err != nil || !t.isFrom(c.Client) {
		if t, err = m.openSession(c); err != nil {
			return t, User{}, err
		}
		t.account = c.Account
	}
	u, err := m.lookUp(ctx, t.user, t.account)
	return t, u, err
}

// loadSession reads the user record for the caller's session and applies the
// guard.
func (m *Manager) loadSession(ctx context.Context, c Caller) (ticket, *userTx, error) {
	t, err := m.openSession(c)
	if err != nil {
		return t, nil, err
	}
	s, err := m.load(ctx, c.Client, t.user, c.Account)
	if err == nil {
		err = s.guard(t)
	}
	return t, s, err
}

// loadCaller reads the user record for a request that shows factors.
func (m *Manager) loadCaller(ctx context.Context, c Caller) (ticket, *userTx, User, error) {
	t, u, err := m.openCaller(ctx, c)
	if err != nil {
		return t, nil, u, err
	}
	s, err := m.load(ctx, c.Client, t.user, t.account)
	if err == nil {
		err = s.guardCaller(t, u)
	}
	return t, s, u, err
}

// change updates the user record for a request that changes factors.
func (m *Manager) change(ctx context.Context, c Caller, fn func(*userTx, ticket, User) error) error {
	t, u, err := m.openCaller(ctx, c)
	if err != nil {
		return err
	}
	return m.update(ctx, c.Client, t.user, t.account, func(s *userTx) error {
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
	if !s.isCurrent(t) || s.Stamp != stampOf(u) || s.isSpent(t) {
		return s.denied(ReasonSignedOut)
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

// openChallenge opens a challenge and looks up its user, whose security stamp
// must not have changed since the challenge was issued.
func (m *Manager) openChallenge(ctx context.Context, c Client, ch Challenge, purposes ...purpose) (ticket, User, error) {
	t, err := m.cfg.Keys.openTicket(ch.Secret, m.now(), purposes...)
	if err != nil || !t.isFrom(c) {
		return ticket{}, User{}, ErrExpired
	}
	u, err := m.lookUp(ctx, t.user, t.account)
	if err == nil && t.stamp != stampOf(u) {
		err = ErrExpired
	}
	return t, u, err
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
	if !s.isCurrent(t) || s.isSpent(t) {
		return nil, ErrExpired
	}
	if t.purpose == forAction {
		return s.acceptedFor(t.action, u)
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

// acceptedFor returns the methods that the user can prove and the action
// accepts.
func (s *userTx) acceptedFor(action string, u User) ([]Method, error) {
	r := s.policy.Rule(action)
	fallback := s.policy.Fallback
	if action == ActionFactors {
		fallback = nil // all accounts share the factors that it changes
	}
	f := s.facts(ticket{}, len(u.Emails) > 0)
	accepted := Policy{Methods: r.Methods, Fallback: fallback}.offer(f.has)
	methods := without(accepted, f.unchecked...)
	if slices.Contains(r.Methods, RecoveryCode) && s.codesLeft() > 0 {
		methods = append(methods, RecoveryCode)
	}
	switch {
	case len(methods) > 0:
	case len(accepted) > 0 || f.hasUnknown():
		return nil, unavailable("factor", errUnchecked)
	default:
		return nil, &DeniedError{Reason: ReasonEnroll, Account: s.account, Action: action, Methods: r.Methods, MaxAge: r.MaxAge}
	}
	return methods, nil
}
