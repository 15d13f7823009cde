package twofa

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/text"
)

// Factors describes the second factors of a user, for a settings page. It
// contains no secrets.
type Factors struct {
	// List contains the user's authenticator apps and phone.
	List []Factor
	// CodesLeft is the number of unused recovery codes.
	CodesLeft int
	// CodesTotal is the number of recovery codes in the current set, used or
	// not. It is zero if there is no set.
	CodesTotal int
	// CodesGenerated is the time at which the current set became valid. It is
	// the zero Time if there is no set.
	CodesGenerated time.Time
	// CodesMissing reports whether the user has a factor but no unused recovery
	// code, although [RecoveryConfig] generates them. Ask the user to generate
	// some; see [Manager.RegenerateCodes].
	CodesMissing bool
	// CodesViewable reports whether [Manager.RecoveryCodes] can show the unused
	// recovery codes.
	CodesViewable bool
	// Email is the address that email links are sent to, masked between its
	// first character and the "@". It is empty if the account's policy does not
	// accept email links or the user has no address.
	Email string
	// Required is Policy.Required of the account. Whether a factor can be
	// removed is in [Factor.Removable].
	Required bool
	// TurnOff is Policy.TurnOff of the account.
	TurnOff TurnOff
	// Due, if not zero, is the time from which the account requires a factor that
	// the user does not have yet; see [Policy.Grace].
	Due time.Time
	// Overdue, if not zero, is the time until which the user could put off
	// enrolling a factor that the account requires. It is zero if the user never
	// could, or has a factor that the policy accepts.
	Overdue time.Time
	// Methods lists the methods that the account's policy lets the user enroll,
	// a subset of TOTP and SMS. A method is listed even if the user already has
	// as many factors of it as allowed.
	Methods []Method
	// RecoveredAt, if not zero, is the time at which the user gave a recovery code
	// in this session. It is zero again once a factor is proven in any session, or
	// enrolled. Until then the factors are probably lost, so ask the user to
	// replace them.
	RecoveredAt time.Time
	// RecoveredUntil, if not zero, is the time until which the session can enroll
	// an authenticator or a phone, or replace one, without a fresh proof, because
	// the user has given a recovery code.
	RecoveredUntil time.Time
	// PendingEnrollment reports whether the caller's session has an enrollment
	// that [Manager.PendingEnrollment] returns.
	PendingEnrollment bool
	// Assigned is a phone number that an admin has entered for the user, which the
	// user can confirm; otherwise nil. See [Account.AssignPhones].
	Assigned *AssignedPhone
}

// Factor is an enrolled authenticator app or phone.
type Factor struct {
	// ID identifies the factor for [Manager.Rename], [Manager.Remove] and
	// [EnrollRequest.Replaces]. It is not secret.
	ID     string
	Method Method // TOTP or SMS
	Name   string // name given by the user, or a default in English; never empty
	Named  bool   // whether the user has given a name of their own
	Phone  string // phone number with all digits masked except the last two; empty for TOTP
	// Added is the time of enrollment.
	Added time.Time
	// LastUsed is the time of the last proof with the factor, or of its
	// enrollment.
	LastUsed time.Time
	// Legacy reports whether the key of an authenticator app is shorter than 16
	// bytes (RFC 4226, section 4, R6), because it was imported. Ask the user to
	// replace the app.
	Legacy bool
	// Removable reports whether the policies of all the user's accounts let the
	// user remove the factor. [Manager.Remove] also needs a fresh proof.
	Removable bool
}

// Factors returns the factors of the caller's user. It needs no fresh proof. It
// reads the policy of each of the user's accounts.
//
// Errors: [*DeniedError], [ErrNotAllowed] if the user must not enter the
// account, [ErrUnavailable].
func (m *Manager) Factors(ctx context.Context, c Caller) (Factors, error) {
	t, s, u, err := m.loadCaller(ctx, c)
	if err != nil {
		return Factors{}, err
	}
	v := Factors{CodesLeft: s.codesLeft(), CodesMissing: s.lacksCodes(), Required: s.policy.Required, TurnOff: s.policy.TurnOff, PendingEnrollment: s.checkPending(t) == nil}
	if s.Codes != nil {
		v.CodesTotal, v.CodesGenerated = s.Codes.Total, s.Codes.Made.time()
		v.CodesViewable = m.cfg.Recovery.Viewable && s.Codes.viewable()
	}
	if slices.Contains(s.policy.methods(), EmailLink) && len(u.Emails) > 0 && m.cfg.Mail.LinkURL != nil {
		v.Email = text.MaskEmail(u.Emails[0])
	}
	for _, method := range []Method{TOTP, SMS} {
		if slices.Contains(s.policy.methods(), method) && (method == TOTP || m.cfg.SMS.Sender != nil) {
			v.Methods = append(v.Methods, method)
		}
	}
	v.RecoveredAt, v.RecoveredUntil, v.Assigned = s.recoveredAt(t).time(), s.recoveredUntil(t).time(), s.showAssigned(t, u)
	facts := s.facts(t, len(u.Emails) > 0)
	v.Due = s.policy.evaluate(facts).due.time()
	if due := s.policy.due(facts); s.policy.lacksFactor(facts) && facts.joined < due && due <= s.now {
		v.Overdue = due.time()
	}
	policies, err := m.policies(ctx, s, u)
	if err != nil {
		return Factors{}, err
	}
	for i := range s.Factors {
		f := &s.Factors[i]
		shown := Factor{ID: f.ID, Method: f.Method, Name: f.Name, Named: f.Name != defaultName(f.Method), Added: f.Added.time(), LastUsed: f.Used.time(),
			Legacy: f.isLegacy(), Removable: s.mayRemove(i, policies)}
		if f.Method == SMS {
			shown.Phone = text.MaskPhone(f.Phone)
		}
		v.List = append(v.List, shown)
	}
	return v, nil
}

// Rename changes the name of a factor of the caller's user. Control characters
// are removed, and the name is cut to 128 bytes. If it is empty, it defaults to
// "Authenticator app" or "Phone". Rename needs a fresh proof for
// [ActionFactors]. If the rule for that action is single-use, the call uses up
// the proof.
//
// Errors: [ErrNotEnrolled] if the user has no factor with this ID, [ErrLocked]
// after 20 changes in an hour, [*DeniedError], [ErrNotAllowed] if the user must
// not enter the account, [ErrUnavailable].
func (m *Manager) Rename(ctx context.Context, c Caller, id, name string) error {
	return m.change(ctx, c, func(s *userTx, t ticket, u User) error {
		if err := s.authorizeChange(t, len(u.Emails) > 0); err != nil {
			return err
		}
		i := s.factorIndex(id)
		if i < 0 {
			return ErrNotEnrolled
		}
		if err := s.reserve(changeAllowance, renameBucket); err != nil {
			return err
		}
		f := &s.Factors[i]
		f.Name = cmp.Or(text.Clean(name, maxName), defaultName(f.Method))
		s.emit(Event{Type: event.Renamed, Method: f.Method, Session: t.sessionID, Detail: f.Name})
		return nil
	})
}

// Remove removes a factor of the caller's user. It needs a fresh proof for
// [ActionFactors]. If the rule for that action is single-use, the call uses up
// the proof. All other sessions of the user are invalidated, and so are all
// pending logins and fresh proofs. Browsers are no longer remembered. If it was
// the last factor, the recovery codes are deleted as well, and all browsers
// become unknown.
//
// Errors: [ErrNotEnrolled] if the user has no factor with this ID,
// [ErrNotAllowed] if the policy of any of the user's accounts forbids it (see
// [Factor.Removable]) or the user must not enter the account, [*DeniedError],
// [ErrUnavailable].
func (m *Manager) Remove(ctx context.Context, c Caller, id string) error {
	return m.change(ctx, c, func(s *userTx, t ticket, u User) error {
		i := s.factorIndex(id)
		if i < 0 { // a form sent twice must not ask for a proof again
			return ErrNotEnrolled
		}
		if err := s.authorizeChange(t, len(u.Emails) > 0); err != nil {
			return err
		}
		policies, err := m.policies(ctx, s, u)
		if err != nil {
			return err
		}
		if !s.mayRemove(i, policies) {
			return ErrNotAllowed
		}
		f := s.Factors[i]
		s.Factors = slices.Delete(s.Factors, i, i+1)
		s.TakenAway = s.now
		s.newEpoch(t.sessionID)
		s.emit(Event{Type: event.Removed, Method: f.Method, Session: t.sessionID, Detail: f.Name, Notice: true})
		if len(s.Factors) == 0 {
			s.turnOff(s.now)
			s.emit(Event{Type: event.TurnedOff, Session: t.sessionID, Notice: true})
		}
		return nil
	})
}

// policies returns the policies of all the user's accounts, because the
// accounts share the factors. The one of the request comes first.
func (m *Manager) policies(ctx context.Context, s *userTx, u User) ([]Policy, error) {
	all := []Policy{s.policy}
	var keys []string
	for _, member := range u.Members {
		if key := accountKey(member.Account); member.Account != s.account && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return all, nil
	}
	records, err := m.readAll(ctx, keys...)
	for _, r := range records {
		var p Policy
		if p, _, err = m.policyIn(r); err != nil {
			break
		}
		all = append(all, p)
	}
	return all, err
}

// mayRemove reports whether the policies let the user remove a factor.
func (s *userTx) mayRemove(i int, policies []Policy) bool {
	left := slices.Delete(slices.Clone(s.Factors), i, i+1)
	return !slices.ContainsFunc(policies, func(p Policy) bool { return !p.allowsRemaining(left) })
}
