package twofa

import "context"

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

// change opens the caller, asks the directory, and decides.
func (m *Manager) change(ctx context.Context, c Caller, decide func(*userTx, ticket, User) error) error {
	t, u, err := m.caller(ctx, c)
	if err != nil {
		return err
	}
	return m.update(ctx, c.Client, t.user, t.account, func(s *userTx) error {
		if err := s.callerLives(t, u); err != nil {
			return err
		}
		err := decide(s, t, u)
		if err == nil && s.uses {
			_ = s.useGrant(t, ActionFactors, "") // gone already where the change ended all grants
		}
		return err
	})
}

// openChange is change for what only looks.
func (m *Manager) openChange(ctx context.Context, c Caller) (ticket, *userTx, User, error) {
	t, u, err := m.caller(ctx, c)
	if err != nil {
		return t, nil, u, err
	}
	s, err := m.load(ctx, c.Client, t.user, t.account)
	if err == nil {
		err = s.callerLives(t, u)
	}
	return t, s, u, err
}

// caller opens a challenge that leads to set-up, which is in the account it was
// made for and comes first, since the session it was made of has proven less;
// else the session, which is in the account that the caller says.
func (m *Manager) caller(ctx context.Context, c Caller) (ticket, User, error) {
	t, err := m.cfg.Keys.openTicket(c.Challenge.Secret, m.cfg.Now(), forEnroll)
	if err != nil || !t.isFrom(c.Client) {
		if t, err = m.openSession(c); err != nil {
			return t, User{}, err
		}
		t.account = c.Account
	}
	u, err := m.lookup(ctx, t.user, t.account)
	return t, u, err
}

// callerLives checks a caller against the record: a session must satisfy the
// policy, as at any guard; a challenge that leads to set-up must not be spent.
func (s *userTx) callerLives(t ticket, u User) error {
	if !s.isCurrent(t) || s.Stamp != stampOf(u) || s.isSpent(t) {
		return s.denied(ReasonSignedOut)
	}
	v := s.policy.evaluate(s.facts(u, t))
	if t.purpose == forSession && v.next == NextChallenge {
		return &DeniedError{Reason: ReasonChallenge, Account: s.account, Methods: v.methods}
	}
	return nil
}
