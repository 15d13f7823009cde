package twofa

import (
	"context"
	"slices"
	"time"
)

// Check is the guard of every request. It returns nil if the session is valid
// and has proven what the policy of the account requires now. Otherwise it
// returns a [*DeniedError], [ErrNotAllowed] if the account's ID is malformed,
// or [ErrUnavailable] if the record or the policy cannot be read. It reads from
// the store once and does not write.
//
// Check does not verify that the user is a member of the account; the host
// must. It applies the policy of c.Account, even if the session was issued for
// another account.
func (m *Manager) Check(ctx context.Context, c Caller) error {
	_, _, err := m.loadSession(ctx, c)
	return err
}

// Resume starts the challenge or enrollment that a session still needs in
// c.Account. Call it when [Manager.Check] has refused a session with
// [ReasonChallenge] or [ReasonEnroll], for example because the user has
// switched to an account with a stricter policy. If nothing is needed, the
// result is [NextDone] with a session for c.Account.
//
// The session's first factor still counts, unless the user has no second factor
// and must enroll one. In that case, Resume returns a [*DeniedError] with
// [ReasonSignedOut] if the first factor is more than 15 minutes old or an API
// token. It also returns a *DeniedError if the session is not valid,
// [ErrNotAllowed] if the user is disabled or not a member of the account, and
// [ErrUnavailable] if a record, the policy or the directory cannot be read.
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
	v, err := s.evaluate(t, len(u.Emails) > 0)
	if err != nil {
		return Result{}, err
	}
	if v.next == NextEnroll {
		if len(s.Factors) == 0 && !s.hasFreshFirstFactor(t) {
			return Result{}, s.firstFactorTooOld()
		}
		// A stolen session must not be enough to enroll a factor, so the proof
		// that precedes enrollment has to be recent.
		t.proven = slices.DeleteFunc(t.proven, func(p provenMethod) bool { return !s.isRecent(p.at) })
		if v, err = s.evaluate(t, len(u.Emails) > 0); err != nil {
			return Result{}, err
		}
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

// SessionInfo is the content of a session.
type SessionInfo struct {
	// User is the ID of the user.
	User string
	// Account is the ID of the account that the session was last issued for, by
	// a login, Resume, a step-up or an enrollment. It does not limit the
	// session to that account: [Manager.Check] applies the policy of
	// [Caller.Account].
	Account string
	// ID is the ID of the session, which is also in events. It is not a secret
	// and can be logged.
	ID string
	// By is the way in which the first factor was verified.
	By FirstFactorMethod
	// Proofs lists the methods that were proven in this session, and the
	// remembered browser that was accepted instead, if any.
	Proofs []ProvenMethod
	// AMR lists the proven methods by their names in RFC 8176. Methods that have
	// no registered name are x-email, x-recovery and x-browser. It includes
	// "mfa" only if a password and also TOTP or SMS were proven.
	AMR []string
	// AuthTime is the time of the first factor.
	AuthTime time.Time
	// Expires is the time at which the session expires.
	Expires time.Time
}

// ProvenMethod is a method that was proven, and the time of that proof.
type ProvenMethod struct {
	// Method is the proven method. For a remembered browser, it is "browser/"
	// followed by the method that was proven in it, as in "browser/totp".
	Method Method
	// At is the time of the proof. For a remembered browser, it is the time of
	// the last proof in that browser.
	At time.Time
}

// DescribeSession returns the content of a session. It does not read the store,
// so the session may have been revoked; see [Manager.Check]. It returns a
// [*DeniedError] with [ReasonSignedOut] if the session is empty or has expired,
// and with [ReasonUnreadable] if this process cannot open it.
func (m *Manager) DescribeSession(session Session) (SessionInfo, error) {
	t, denied := m.readSession(session)
	if denied != nil {
		return SessionInfo{}, denied
	}
	d := SessionInfo{User: t.user, Account: t.account, ID: t.sessionID, By: t.by, AMR: t.amr(),
		AuthTime: t.at.time(), Expires: t.expires.time()}
	for _, p := range t.proven {
		d.Proofs = append(d.Proofs, ProvenMethod{p.method, p.at.time()})
	}
	return d, nil
}
