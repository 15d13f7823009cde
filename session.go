package twofa

import (
	"context"
	"slices"
	"time"
)

// Check is the guard: it returns nil if the session is live and has proven
// what the account's policy asks for now, a [*DeniedError] if not, and
// [ErrUnavailable] where that cannot be known. It costs one read and writes
// nothing. Whether the person may enter the account is the host's to know.
func (m *Manager) Check(ctx context.Context, c Caller) error {
	_, _, err := m.loadSession(ctx, c)
	return err
}

// Resume says what a live session still needs in the caller's account: nothing,
// a challenge, or set-up. It is for a session that Check refused with
// ReasonChallenge or ReasonEnroll; the first factor it was made with counts, for
// set-up only while it is at most 15 minutes old, else ReasonSignedOut.
func (m *Manager) Resume(ctx context.Context, c Caller) (Result, error) {
	t, err := m.openSession(c)
	if err != nil {
		return Result{}, err
	}
	s, err := m.load(ctx, c.Client, t.user, c.Account)
	if err != nil {
		return Result{}, err
	}
	if !s.isCurrent(t) {
		return Result{}, s.denied(ReasonSignedOut)
	}
	u, err := m.lookUp(ctx, t.user, c.Account)
	if err != nil {
		return Result{}, err
	}
	if s.Stamp != stampOf(u) {
		return Result{}, s.denied(ReasonSignedOut)
	}
	t.account, t.stamp = c.Account, s.Stamp
	v := s.policy.evaluate(s.facts(u, t))
	if v.next == NextEnroll {
		if len(s.Factors) == 0 && !s.hasFreshFirstFactor(t) {
			return Result{}, s.firstFactorTooOld()
		}
		// What leads to set-up has to be proven now.
		t.proven = slices.DeleteFunc(t.proven, func(p provenMethod) bool { return !s.isRecent(p.at) })
		v = s.policy.evaluate(s.facts(u, t))
	}
	t.bindTo(c.Client)
	switch v.next {
	case NextDone:
		return Result{Next: NextDone, Session: s.issueSession(t)}, nil
	case NextEnroll:
		return Result{Next: NextEnroll, Challenge: s.issueChallenge(t, forEnroll, enrollChallengeTTL)}, nil
	}
	return Result{Next: NextChallenge, Methods: v.methods, Challenge: s.issueChallenge(t, forLogin, challengeTTL)}, nil
}

// SessionInfo is what a session has proven.
type SessionInfo struct {
	User    string
	Account string // the account that was entered at login
	ID      string // of the session; safe to log
	By      FirstFactorMethod
	Proofs  []ProvenMethod
	// AMR holds the RFC 8176 names of what was proven; x-email, x-recovery and
	// x-browser where there is no registered one, "mfa" only for two kinds of
	// factor.
	AMR      []string
	AuthTime time.Time // of the first factor
	Expires  time.Time
}

// ProvenMethod is a method and when it was proven.
type ProvenMethod struct {
	Method Method
	At     time.Time
}

// Describe returns what a session says of itself. It reads nothing: whether
// the session is still live is Check's to say.
func (m *Manager) DescribeSession(session Session) (SessionInfo, error) {
	t, err := m.cfg.Keys.openTicket(session.Secret, m.now(), forSession)
	if err != nil {
		return SessionInfo{}, &DeniedError{Reason: ReasonSignedOut}
	}
	d := SessionInfo{User: t.user, Account: t.account, ID: t.sessionID, By: t.by, AMR: t.amr(),
		AuthTime: t.at.time(), Expires: t.expires.time()}
	for _, p := range t.proven {
		d.Proofs = append(d.Proofs, ProvenMethod{p.method, p.at.time()})
	}
	return d, nil
}
