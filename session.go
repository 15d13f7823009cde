package twofa

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
)

// Reason says why a request was denied.
type Reason string

// Why a request was denied, and what helps.
const (
	ReasonSignedOut Reason = "signed_out"             // no session, or it is dead: log in again
	ReasonChallenge Reason = "second_factor_required" // this account asks for more than was proven: see Resume
	ReasonEnroll    Reason = "enrollment_required"    // there is nothing to prove it with: set-up first
	ReasonMissing   Reason = "proof_missing"          // a fresh proof is needed: see StepUp
	ReasonStale     Reason = "proof_expired"          // the proof is older than MaxAge: see StepUp
)

// DeniedError says why a guard refused and what would do.
type DeniedError struct {
	Reason   Reason
	Account  string
	Action   string        // the step-up action, if it was about one
	Resource string        // and its resource
	Methods  []Method      // what would do
	MaxAge   time.Duration // proofs older than this are too old; 0 means each serves once
}

// Error says that it was denied, and the reason.
func (e *DeniedError) Error() string { return "twofa: denied: " + string(e.Reason) }

// Check is the guard: it returns nil if the session is live and has proven
// what the account's policy asks for now, a [*DeniedError] if not, and
// [ErrUnavailable] where that cannot be known. It costs one read and writes
// nothing. Whether the person may enter the account is the host's to know.
func (m *Manager) Check(ctx context.Context, c Caller) error {
	_, _, err := m.guard(ctx, c)
	return err
}

// guard reads the caller's session and user, and guards.
func (m *Manager) guard(ctx context.Context, c Caller) (ticket, *userTx, error) {
	t, s, err := m.liveSession(ctx, c)
	if err == nil {
		err = s.guard(t)
	}
	return t, s, err
}

// guard is the decision of every guard: what a session has proven against what
// the account asks for. The directory is not asked, so every user counts as
// having a mailbox; where one has none, Resume finds out.
func (s *userTx) guard(t ticket) error {
	if !s.isCurrent(t) {
		return s.denied(ReasonSignedOut)
	}
	f := facts{account: s.account, ticket: t, has: s.enrolledMethods(true), codes: s.codesLeft() > 0}
	switch v := s.policy.evaluate(f); v.next {
	case NextDone:
		return nil
	case NextEnroll:
		return &DeniedError{Reason: ReasonEnroll, Account: s.account, Methods: slices.Clone(s.policy.methods())}
	default:
		return &DeniedError{Reason: ReasonChallenge, Account: s.account, Methods: v.methods}
	}
}

func (s *userTx) denied(r Reason) error { return &DeniedError{Reason: r, Account: s.account} }

// openSession opens the caller's session, before anything is read.
func (m *Manager) openSession(c Caller) (ticket, error) {
	t, err := m.cfg.Keys.openTicket(c.Session.Secret, m.cfg.Now(), forSession)
	if err != nil || (c.Account != "" && checkID("account", c.Account) != nil) {
		return t, &DeniedError{Reason: ReasonSignedOut, Account: c.Account}
	}
	return t, nil
}

// liveSession opens the caller's session and reads its user.
func (m *Manager) liveSession(ctx context.Context, c Caller) (ticket, *userTx, error) {
	t, err := m.openSession(c)
	if err != nil {
		return t, nil, err
	}
	s, err := m.load(ctx, c.Client, t.user, c.Account)
	if err == nil && !s.isCurrent(t) {
		err = s.denied(ReasonSignedOut)
	}
	return t, s, err
}

// Resume says what a live session still needs in the caller's account: nothing,
// a challenge, or set-up. It is for a session that Check refused with
// ReasonChallenge or ReasonEnroll; the first factor it was made with counts, for
// set-up only while it is at most 15 minutes old, else ReasonSignedOut.
func (m *Manager) Resume(ctx context.Context, c Caller) (Result, error) {
	t, s, err := m.liveSession(ctx, c)
	if err != nil {
		return Result{}, err
	}
	u, err := m.lookup(ctx, t.user, c.Account)
	if err != nil {
		return Result{}, err
	}
	if s.Stamp != stampOf(u) {
		return Result{}, s.denied(ReasonSignedOut)
	}
	t.account, t.stamp = c.Account, s.Stamp
	v := s.policy.evaluate(s.facts(u, t))
	if v.next == NextEnroll {
		if len(s.Factors) == 0 && s.authorizeChange(t) != nil {
			return Result{}, s.authorizeChange(t)
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

// issueChallenge makes a challenge for a live session.
func (s *userTx) issueChallenge(t ticket, p purpose, ttl time.Duration) Challenge {
	t.ends = t.expires
	t.purpose, t.id, t.epoch, t.expires = p, newID(), s.Epoch, s.now.Add(ttl).Unix()
	t.messageID, t.messageMethod, t.messageKey = "", "", ""
	return Challenge{s.m.cfg.Keys.sealTicket(t)}
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
	t, err := m.cfg.Keys.openTicket(session.Secret, m.cfg.Now(), forSession)
	if err != nil {
		return SessionInfo{}, &DeniedError{Reason: ReasonSignedOut}
	}
	d := SessionInfo{User: t.user, Account: t.account, ID: t.sessionID, By: t.by, AMR: t.amr(),
		AuthTime: time.Unix(t.at, 0).UTC(), Expires: time.Unix(t.expires, 0).UTC()}
	for _, p := range t.proven {
		d.Proofs = append(d.Proofs, ProvenMethod{p.method, time.Unix(p.at, 0).UTC()})
	}
	return d, nil
}

// amr names what was proven. A remembered browser and a mailbox add no factor.
func (t ticket) amr() []string {
	var amr []string
	if t.by == ByPassword {
		amr = append(amr, "pwd")
	}
	names := map[Method]string{TOTP: "otp", SMS: "sms", EmailLink: "x-email", RecoveryCode: "x-recovery"}
	for _, p := range t.proven {
		amr = append(amr, cmp.Or(names[p.method], "x-browser"))
	}
	if t.by == ByPassword && t.hasProven(TOTP, SMS) {
		amr = append(amr, "mfa")
	}
	return amr
}

// CredentialsChanged is to be called after the host has changed a user's
// password, address or another first factor: everything proven before is dead,
// beside the session that made the change, if the caller is one.
func (m *Manager) CredentialsChanged(ctx context.Context, by Caller, user string) error {
	return m.revoke(ctx, by, user, true, Event{Type: event.Credentials, Notice: true})
}

// Revoke ends everything a user has open: sessions (the caller's too), pending
// logins, remembered browsers and grants. Factors and recovery codes stay. It
// is the one call for "my credentials may be in other hands" and for "log out
// everywhere".
func (m *Manager) Revoke(ctx context.Context, by Caller, user string) error {
	return m.revoke(ctx, by, user, false, Event{Type: event.Revoked, Notice: true})
}

func (m *Manager) revoke(ctx context.Context, by Caller, user string, keep bool, e Event) error {
	if err := checkID("user", user); err != nil {
		return err
	}
	var t ticket
	if by.host == "" {
		var err error
		if t, err = m.openSession(by); err != nil {
			return err
		}
		if t.user != user {
			return ErrNotAllowed
		}
	}
	u, err := m.cfg.User(ctx, user)
	if err != nil || u.ID != user {
		u = User{ID: user} // the host may be deleting the person: revoke all the same
	}
	return m.update(ctx, by.Client, user, by.Account, func(s *userTx) error {
		switch {
		case by.host == "" && !s.isCurrent(t):
			return s.denied(ReasonSignedOut)
		case s.Epoch == "":
			return nil
		}
		if by.host != "" {
			e.Actor, e.Detail = "host", by.host
		}
		s.Stamp = stampOf(u)
		survivor := ""
		if keep {
			survivor = t.sessionID
		}
		s.newEpoch(survivor)
		s.emit(e)
		return nil
	})
}

// newEpoch ends everything that was proven before, beside one session.
// Factors, codes and counters stay.
func (s *userTx) newEpoch(survivor string) {
	s.Epoch, s.KeptSession = newID(), survivor
	s.Grants, s.Messages, s.Pending, s.Browsers = nil, nil, nil, nil
	s.dirty = true
}

// Erase deletes all second-factor state of a user: for an account that is
// deleted, and for who has lost everything and has shown to the host's support
// who it is. It mails nobody. Nothing made before works again, also if the id
// were given to another person. A record that cannot be read is deleted, too.
// Only the host may.
func (m *Manager) Erase(ctx context.Context, by Caller, user string) error {
	if by.host == "" {
		return ErrNotAllowed
	}
	if err := checkID("user", user); err != nil {
		return err
	}
	return m.retryOnConflict(ctx, func() error {
		records, err := m.cfg.Store.Get(ctx, userKey(user))
		if err != nil {
			return unavailable("store", err)
		}
		if len(records) == 0 {
			return nil
		}
		e := Event{ID: newID(), Time: m.cfg.Now().UTC().Truncate(time.Second), Type: event.Erased, User: user,
			Actor: "host", Detail: clean(by.host, 200)}
		if err := m.swap(ctx, records[0].Version, Record{Key: userKey(user)}, []Event{e}); err != nil {
			return err
		}
		m.publish(ctx, e)
		return nil
	})
}
