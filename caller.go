package twofa

import (
	"context"
	"errors"
	"slices"

	"github.com/twofa-go/twofa/internal/text"
)

// Caller is who asks: a live session in most cases, a challenge that opens
// set-up ([NextEnroll]), or the host itself (see [Host]).
type Caller struct {
	Session   Session
	Challenge Challenge // with NextEnroll, or as returned by [Manager.Enroll]
	Account   string    // the account the request is for; its policy applies
	Client    Client
	host      string
}

// Host is the caller for code that acts by itself: start-up, a support tool, a
// command line. The reason is kept in the event. Never make one from a request.
func Host(reason string) Caller {
	if reason == "" {
		reason = "host"
	}
	return Caller{host: reason}
}

// openSession opens the caller's session. It does not read the record.
func (m *Manager) openSession(c Caller) (ticket, error) {
	t, err := m.cfg.Keys.openTicket(c.Session.Secret, m.now(), forSession)
	if err != nil || (c.Account != "" && text.ValidateID("account", c.Account) != nil) {
		return t, &DeniedError{Reason: ReasonSignedOut, Account: c.Account}
	}
	return t, nil
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

// loadSession reads the user of the caller's session and applies the guard.
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

// loadCaller reads the user of a caller who asks about factors.
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

// change updates the user of a caller who changes factors.
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

// guardCaller applies the guard to a session, and to an enrollment challenge
// requires that it has not been used up.
func (s *userTx) guardCaller(t ticket, u User) error {
	if !s.isCurrent(t) || s.Stamp != stampOf(u) || s.isSpent(t) {
		return s.denied(ReasonSignedOut)
	}
	v := s.policy.evaluate(s.facts(u, t))
	if t.purpose == forSession && v.next == NextChallenge {
		return &DeniedError{Reason: ReasonChallenge, Account: s.account, Methods: v.methods}
	}
	return nil
}

// openChallenge opens a challenge and asks the directory for its user, who must still
// be the one it was made for.
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

// lookup asks the host's directory for a person who may enter the account.
func (m *Manager) lookUp(ctx context.Context, id, account string) (User, error) {
	err := text.ValidateID("user", id)
	if account != "" {
		err = errors.Join(err, text.ValidateID("account", account))
	}
	if err != nil {
		return User{}, notAllowed("%w", err)
	}
	u, err := m.cfg.User(ctx, id)
	switch {
	case err != nil:
		return User{}, unavailable("user directory", err)
	case u.ID != id:
		return User{}, notAllowed("Config.User returned a User with ID %q for %q", u.ID, id)
	case u.Disabled:
		return User{}, notAllowed("user %q is disabled", id)
	case !u.in(account):
		return User{}, notAllowed("account %q is not among the Members of user %q", account, id)
	}
	return u, nil
}

// loginOrError drops what was prepared if it did not come to be.
func resultOrError(login Result, err error) (Result, error) {
	if err != nil {
		return Result{}, err
	}
	return login, nil
}

// offeredMethods returns the methods a challenge is on offer for.
func (s *userTx) offeredMethods(u User, t ticket) ([]Method, error) {
	if !s.isCurrent(t) || s.isSpent(t) {
		return nil, ErrExpired
	}
	if t.purpose == forAction {
		return s.acceptedFor(t.action, u)
	}
	v := s.policy.evaluate(s.facts(u, t))
	if v.next != NextChallenge {
		return nil, ErrExpired
	}
	return v.methods, nil
}

// acceptedFor returns the methods the user has that an action accepts.
func (s *userTx) acceptedFor(action string, u User) ([]Method, error) {
	r := s.policy.Rule(action)
	fallback := s.policy.Fallback
	if action == ActionFactors {
		fallback = nil // all accounts share what it changes
	}
	methods := Policy{Methods: r.Methods, Fallback: fallback}.offer(s.enrolledMethods(len(u.Emails) > 0))
	if slices.Contains(r.Methods, RecoveryCode) && s.codesLeft() > 0 {
		methods = append(methods, RecoveryCode)
	}
	if len(methods) == 0 {
		return nil, &DeniedError{Reason: ReasonEnroll, Account: s.account, Action: action, Methods: r.Methods, MaxAge: r.MaxAge}
	}
	return methods, nil
}
