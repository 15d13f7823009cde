package twofa

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Set-up limits.
const (
	maxFactors       = 5 // authenticator apps a user
	pendingTTL       = 10 * time.Minute
	maxConfirmations = 5 // wrong codes, then the set-up is discarded
)

// pendingEnrollment is what is pending. It never touches what is live: the code has to be
// confirmed and the recovery codes saved, in either order, and then everything
// becomes active in one write.
type pendingEnrollment struct {
	FactorID  string // of the factor it will become
	SessionID string // of the session that started it; no other may go on with it
	Method    Method
	Name      string
	Replaces  string
	App       totpParams
	Phone     string
	Codes     []string // they redeem nothing before activation
	Step      int64    // that confirmed it
	Confirmed bool
	Saved     bool
	Fails     int
	Expires   int64
}

// EnrollRequest says what is to be set up.
type EnrollRequest struct {
	Method Method // TOTP, SMS, or RecoveryCode for a new set of codes; "" means TOTP
	// Name tells several authenticators apart, for example the phone's. It is
	// cleaned and cut; "" gives a default.
	Name string
	// Replaces is the id of the factor that the new one takes the place of, in
	// the same write that makes it active.
	Replaces string
	// Phone is the number as typed, and Region the ISO 3166-1 country it is
	// read in where it has no country code. For SMS.
	Phone  string
	Region string
}

// Enrollment is a set-up under way. It holds secrets that are shown to the
// person and to nobody else; they can be shown again until it is active.
type Enrollment struct {
	ID        string
	Method    Method
	Name      string
	Replaces  string
	URI       Secret   // otpauth, for the QR code; see [Enrollment.PNG] and [Enrollment.SVG]
	Key       Secret   // for typing by hand, in groups of four
	Phone     string   // masked number that a code was texted to
	Codes     []Secret // recovery codes to save; none where a live set stays
	Confirmed bool     // the code was right
	Saved     bool     // the codes were acknowledged, or there are none
	Expires   time.Time
	// Challenge, if not empty, goes into [Caller.Challenge] when the texted
	// code is confirmed.
	Challenge Challenge
}

// Enroll starts a set-up; a pending one is discarded. It needs a fresh proof
// for [ActionFactors] if the user has a factor, else a first factor that is at
// most 15 minutes old and no API token. A session that logged in with a
// recovery code may set up a new factor for as long.
//
// Errors: [*DeniedError], [ErrNotAllowed] (limit reached, method not
// configured, number refused), [ErrNotEnrolled] (Replaces unknown; codes
// without a factor), [ErrLocked] (texts), [ErrUnavailable].
func (m *Manager) Enroll(ctx context.Context, c Caller, e EnrollRequest) (Enrollment, error) {
	e.Method = cmp.Or(e.Method, TOTP)
	if e.Method == SMS {
		return m.enrollPhone(ctx, c, e)
	}
	var started Enrollment
	err := m.change(ctx, c, func(s *userTx, t ticket, u User) error {
		if err := s.mayEnroll(t, e); err != nil {
			return err
		}
		p := s.newPending(t, e)
		if e.Method == TOTP {
			p.App = m.cfg.TOTP.newApp()
		}
		started = s.describePending(u)
		return nil
	})
	if err != nil {
		return Enrollment{}, err
	}
	return started, nil
}

// newPending makes the pending set-up. New recovery codes come with it where
// the user has none, and where they are what was asked for.
func (s *userTx) newPending(t ticket, e EnrollRequest) *pendingEnrollment {
	s.Pending = &pendingEnrollment{FactorID: newID(), SessionID: t.sessionID, Method: e.Method, Name: clean(e.Name, maxName), Replaces: e.Replaces,
		Confirmed: e.Method == RecoveryCode, Saved: true, Expires: s.now.Add(pendingTTL).Unix()}
	if n := s.m.cfg.Recovery.Codes; n > 0 && (e.Method == RecoveryCode || s.codesLeft() == 0) {
		s.Pending.Codes, s.Pending.Saved = newRecoveryCodes(n), false
	}
	s.dirty = true
	return s.Pending
}

// mayEnroll is the gate before a set-up.
func (s *userTx) mayEnroll(t ticket, e EnrollRequest) error {
	if err := s.authorizeChange(t); err != nil && (len(s.Factors) == 0 || e.Method == RecoveryCode || !s.mayReenroll(t)) {
		return err
	}
	switch e.Method {
	case RecoveryCode:
		if s.m.cfg.Recovery.Codes < 1 {
			return ErrNotAllowed
		}
		if len(s.Factors) == 0 {
			return ErrNotEnrolled
		}
		return nil
	case TOTP, SMS:
		if !slices.Contains(s.policy.methods(), e.Method) {
			return ErrNotAllowed
		}
	default:
		return ErrNotAllowed
	}
	if e.Replaces == "" {
		n := 0
		for _, f := range s.Factors {
			if f.Method == e.Method {
				n++
			}
		}
		if n >= maxFactors || (e.Method == SMS && n > 0) {
			return ErrNotAllowed
		}
		return nil
	}
	if i := s.factorIndex(e.Replaces); i < 0 || (s.Factors[i].Method == SMS) != (e.Method == SMS) {
		return ErrNotEnrolled
	}
	return nil
}

// authorizeChange is the gate before anything is done with factors and codes: a
// fresh proof with a factor; for the very first factor, a fresh first factor.
func (s *userTx) authorizeChange(t ticket) error {
	if len(s.Factors) > 0 {
		_, err := s.findGrant(t, ActionFactors, "")
		s.uses = err == nil
		return err
	}
	if !s.isRecent(t.at) || t.by == ByToken { // nobody was there just now
		return s.firstFactorTooOld()
	}
	return nil
}

// firstFactorTooOld is a refusal that only a new login helps with.
func (s *userTx) firstFactorTooOld() error {
	return &DeniedError{Reason: ReasonSignedOut, Account: s.account, Action: ActionFactors, MaxAge: enrollChallengeTTL}
}

// mayReenroll reports whether a recovery code was used in this session, or a
// method the policy no longer accepts proven on the way to set-up, just now.
func (s *userTx) mayReenroll(t ticket) bool {
	at, ok := t.provenAt(RecoveryCode)
	if !ok && t.purpose == forEnroll && len(t.proven) > 0 {
		at, ok = t.proven[0].at, true
	}
	return ok && s.isRecent(at)
}

func (s *userTx) isRecent(at int64) bool {
	now := s.now.Unix()
	return at <= now+issueSlack && now-at < int64(enrollChallengeTTL/time.Second)
}

// Enrollment returns the caller's pending set-up, to show it again. It changes
// nothing. [ErrExpired] says that there is none, or none of this session's.
func (m *Manager) PendingEnrollment(ctx context.Context, c Caller) (Enrollment, error) {
	t, s, u, err := m.openChange(ctx, c)
	if err != nil {
		return Enrollment{}, err
	}
	if err := s.checkPending(t); err != nil {
		return Enrollment{}, err
	}
	return s.describePending(u), nil
}

// checkPending reports whether there is a pending set-up of this session's.
func (s *userTx) checkPending(t ticket) error {
	if s.Pending == nil || s.Pending.SessionID != t.sessionID || s.now.Unix() >= s.Pending.Expires {
		return ErrExpired
	}
	return nil
}

// describePending shows what is pending.
func (s *userTx) describePending(u User) Enrollment {
	p := s.Pending
	e := Enrollment{ID: p.FactorID, Method: p.Method, Name: p.Name, Replaces: p.Replaces, Confirmed: p.Confirmed, Saved: p.Saved, Expires: unix(p.Expires)}
	switch p.Method {
	case TOTP:
		e.URI, e.Key = NewSecret(s.m.cfg.otpauth(u, p.App)), NewSecret(groups(p.App.key()))
	case SMS:
		e.Phone = maskPhone(p.Phone)
	}
	e.Codes = asSecrets(p.Codes)
	return e
}

func (s *userTx) factorIndex(id string) int {
	return slices.IndexFunc(s.Factors, func(f factor) bool { return f.ID == id })
}
