package twofa

import (
	"context"
	"time"
)

// Check is the guard of every request. It returns nil if the session is valid
// and has proven what the policy of the account requires now. Otherwise it
// returns a [*DeniedError], [ErrNotAllowed] if the account's ID is malformed,
// or [ErrUnavailable] if the record or the policy cannot be read. It reads from
// the store once and does not write.
//
// Check does not ask the directory. It passes a session only in accounts whose
// member the user was when the session was last issued, for at most 100
// accounts; in others, it denies with [ReasonChallenge], and [Manager.Resume]
// asks the directory. A user who is removed from an account is therefore let in
// until the host calls [ManagedUser.Revoke].
func (m *Manager) Check(ctx context.Context, c Caller) error {
	_, _, err := m.loadSession(ctx, c)
	return err
}

// CheckPerson checks whether the session has a first factor of the person's
// own: a password, a link to their own address, or an identity provider that
// the host trusts for everybody. It also does what [Manager.Check] does. Call it
// before the user changes a password or an address. Otherwise an admin who
// controls the identity provider of one account could take over its members in
// all others.
//
// If there is no such first factor, CheckPerson returns a [*DeniedError] with
// [ReasonSignInHere] and [ActionCredentials]. After a reset, it returns one with
// [ReasonEnroll] until the user has opened a link or enrolled a factor, because an
// attacker who has the password could otherwise change the address that the link
// goes to. Its other errors are those of
// Check.
func (m *Manager) CheckPerson(ctx context.Context, c Caller) error {
	t, s, err := m.loadSession(ctx, c)
	if err != nil {
		return err
	}
	switch {
	case !t.hasFirstFactor(firstFactor.ofPerson):
		return &DeniedError{Reason: ReasonSignInHere, Account: s.account, Action: ActionCredentials}
	case s.Reset != nil && len(s.Factors) == 0 && !t.hasProven(EmailLink):
		return &DeniedError{Reason: ReasonEnroll, Account: s.account, Action: ActionCredentials}
	}
	return nil
}

// ActionCredentials is the Action of a [DeniedError] of [Manager.CheckPerson].
// It is the change of a password or an address. Policies have no rule for it.
const ActionCredentials = "credentials"

// Resume starts the challenge or enrollment that a session still needs in
// c.Account. Call it when [Manager.Check] has refused a session with
// [ReasonChallenge] or [ReasonEnroll], for example because the user has
// switched to an account with a stricter policy. If nothing is needed, the
// result is [NextDone] with a session for c.Account.
//
// The session's first factor still counts, unless the user has no second factor
// and must enroll one. In that case, Resume returns a [*DeniedError] with
// [ReasonSignedOut] if the first factor is more than 15 minutes old or an API
// token. It also returns a *DeniedError if the session is not valid, or with
// [ReasonSignInHere] if none of its first factors counts in the account,
// [ErrNotAllowed] if the user is disabled or not a member of the account, and
// [ErrUnavailable] if a record, the policy or the directory cannot be read.
func (m *Manager) Resume(ctx context.Context, c Caller) (Result, error) {
	t, err := m.openSession(c)
	if err != nil {
		return Result{}, err
	}
	s, u, err := m.loadUser(ctx, c.Client, t)
	if err != nil {
		return Result{}, err
	}
	if err := s.checkCurrent(t, u); err != nil {
		return Result{}, err
	}
	t.setMembers(u, t.account)
	v, err := s.evaluate(t, len(u.Emails) > 0)
	if err != nil {
		return Result{}, err
	}
	if v.next == NextEnroll {
		if len(s.Factors) == 0 && !t.hasFirstFactor(func(f firstFactor) bool { return f.countsIn(s.account) && f.by != ByToken && s.isRecent(f.at) }) {
			return Result{}, s.firstFactorTooOld()
		}
		if t, v, err = s.evaluateRecent(t, u); err != nil {
			return Result{}, err
		}
	}
	t.bindTo(c.Client)
	switch v.next {
	case NextDone:
		return Result{Next: NextDone, Session: s.issueSession(t), Due: v.due.time()}, nil
	case NextEnroll:
		return Result{Next: NextEnroll, Challenge: s.issueChallenge(t, forEnroll)}, nil
	}
	return Result{Next: NextChallenge, Methods: v.methods, Challenge: s.issueChallenge(t, forLogin)}, nil
}

// SignedOut must be called when the host ends a session, as at logout. It ends
// everything that belongs to the session: fresh proofs, a pending enrollment,
// links and codes that were sent for a step-up, and answers that would be given
// again (see [Manager.Verify]). The session itself is valid
// until it expires, so the host must delete it. [Manager.Begin] calls SignedOut
// for a session that belongs to another user, and a login does the same for the
// session that it replaces.
//
// A session that is no longer valid is not an error. SignedOut returns
// [ErrUnavailable] if the record cannot be read or written.
func (m *Manager) SignedOut(ctx context.Context, c Caller) error {
	t, err := m.openTicket(c.Session.Secret, forSession)
	if err != nil {
		return nil
	}
	return m.update(ctx, c.Client, t.user, noPolicy, func(s *userTx) error {
		if !s.isCurrent(t) || !s.endSession(t.sessionID) {
			return errUnchanged
		}
		return nil
	})
}

// SessionInfo is the content of a session.
type SessionInfo struct {
	// User is the ID of the user.
	User string
	// Account is the ID of the account that the session was last issued for, by
	// a login, Resume, a step-up or an enrollment. It does not limit the
	// session to that account; see [Caller.Account].
	Account string
	// ID is the ID of the session, which is also in events. It is not a secret
	// and can be logged.
	ID string
	// FirstFactors lists the first factors of the session, the latest last.
	FirstFactors []GivenFirstFactor
	// Proofs lists the methods that were proven in this session, and the
	// remembered browser that was accepted instead, if any.
	Proofs []ProvenMethod
	// AMR lists the proven methods by their names in RFC 8176. Methods that have
	// no registered name are x-email, x-email_code, x-recovery and x-browser. It
	// includes
	// "mfa" only if a password and also TOTP or SMS were proven.
	AMR []string
	// AuthTime is the time of the latest first factor.
	AuthTime time.Time
	// Expires is the time at which the session expires.
	Expires time.Time
}

// GivenFirstFactor is a first factor of a session.
type GivenFirstFactor struct {
	By FirstFactorMethod // the way in which it was verified
	// ProviderOf is the account whose own identity provider vouched for the
	// user. If it is not empty, the first factor counts in that account only.
	ProviderOf string
	At         time.Time // when it was verified
}

// ProvenMethod is a method that was proven, and the time of that proof.
type ProvenMethod struct {
	// Method is the proven method. For a remembered browser, it is "browser/"
	// followed by the method that was proven in it, as in "browser/totp". For a
	// mailed code, it is "email_code"; see [MailConfig.CodeBesideLink].
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
	d := SessionInfo{User: t.user, Account: t.account, ID: t.sessionID, AMR: t.amr(), Expires: t.expires.time()}
	for _, f := range t.first {
		d.FirstFactors = append(d.FirstFactors, GivenFirstFactor{f.by, f.providerOf, f.at.time()})
		d.AuthTime = f.at.time()
	}
	for _, p := range t.proven {
		d.Proofs = append(d.Proofs, ProvenMethod{p.method, p.at.time()})
	}
	return d, nil
}
