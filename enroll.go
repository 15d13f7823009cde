package twofa

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

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
			p.App = m.cfg.TOTP.newParams()
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
	s.Pending = &pendingEnrollment{FactorID: seal.NewID(), SessionID: t.sessionID, Method: e.Method, Name: text.Clean(e.Name, maxName), Replaces: e.Replaces,
		Confirmed: e.Method == RecoveryCode, Saved: true, Expires: s.now.add(pendingTTL)}
	if n := s.m.cfg.Recovery.Codes; n > 0 && (e.Method == RecoveryCode || s.codesLeft() == 0) {
		s.Pending.Codes, s.Pending.Saved = newRecoveryCodes(n), false
	}
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

// mayReenroll reports whether a recovery code was used in this session, or a
// method the policy no longer accepts proven on the way to set-up, just now.
func (s *userTx) mayReenroll(t ticket) bool {
	at, ok := t.provenAt(RecoveryCode)
	if !ok && t.purpose == forEnroll && len(t.proven) > 0 {
		at, ok = t.proven[0].at, true
	}
	return ok && s.isRecent(at)
}

// Enrollment returns the caller's pending set-up, to show it again. It changes
// nothing. [ErrExpired] says that there is none, or none of this session's.
func (m *Manager) PendingEnrollment(ctx context.Context, c Caller) (Enrollment, error) {
	t, s, u, err := m.loadCaller(ctx, c)
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
	if s.Pending == nil || s.Pending.SessionID != t.sessionID || s.now >= s.Pending.Expires {
		return ErrExpired
	}
	return nil
}

// describePending shows what is pending.
func (s *userTx) describePending(u User) Enrollment {
	p := s.Pending
	e := Enrollment{ID: p.FactorID, Method: p.Method, Name: p.Name, Replaces: p.Replaces, Confirmed: p.Confirmed, Saved: p.Saved, Expires: p.Expires.time()}
	switch p.Method {
	case TOTP:
		e.URI, e.Key = NewSecret(s.m.cfg.otpauth(u, p.App)), NewSecret(text.Groups(p.App.typedKey()))
	case SMS:
		e.Phone = text.MaskPhone(p.Phone)
	}
	e.Codes = asSecrets(p.Codes)
	return e
}

// enrollPhone starts the set-up of a number: it is claimed, then texted, and
// what is returned alone can confirm it.
func (m *Manager) enrollPhone(ctx context.Context, c Caller, e EnrollRequest) (Enrollment, error) {
	phone, err := m.cfg.destination(e.Phone, e.Region)
	if err != nil {
		return Enrollment{}, err
	}
	var out pendingMessage
	var started Enrollment
	err = m.change(ctx, c, func(s *userTx, t ticket, u User) error {
		if err := s.mayEnroll(t, e); err != nil {
			return err
		}
		if err := s.reserveUserSend(SMS, confirmBucket); err != nil {
			return err
		}
		p := s.newPending(t, e)
		p.Phone = phone.E164
		if t.purpose == forSession {
			t.purpose, t.id, t.expires = forPhone, seal.NewID(), p.Expires
			t.bindTo(c.Client)
		}
		x := message{ID: seal.NewID(), Method: SMS, Bucket: confirmBucket, Attempt: p.FactorID}
		t.messageID, t.messageMethod = x.ID, SMS
		out = s.composeText(&t, &x, phone, budgetUnconfirmed)
		out.user, out.account, out.mask = s.user, s.account, x.Mask
		s.voidMessages(confirmBucket)
		s.Messages = append(s.Messages, x)
		s.emit(Event{Type: event.Sent, Method: SMS, Session: t.sessionID, Detail: "to confirm " + x.Mask})
		started = s.describePending(u)
		started.Challenge = Challenge{m.cfg.Keys.sealTicket(t)}
		return nil
	})
	if err == nil {
		err = m.deliver(ctx, out)
	}
	if err != nil {
		return Enrollment{}, err
	}
	return started, nil
}

// confirmsPhone checks the code that was texted to a pending number.
func (s *userTx) confirmsPhone(c Caller, code string) bool {
	t, err := s.m.cfg.Keys.openTicket(c.Challenge.Secret, s.now, forPhone, forEnroll)
	if err != nil || !t.isFrom(c.Client) {
		return false
	}
	x := s.currentMessage(t, SMS)
	code, ok := text.Digits(code, textDigits)
	if x == nil || !ok || x.Attempt != s.Pending.FactorID || !seal.Equal(x.Hash, textHash(t.messageKey, s.user, x.ID, code)) {
		return false
	}
	s.useMessage(x.ID)
	return true
}

// RegenerateCodes starts a new set of recovery codes: it is shown, and becomes
// live when [Manager.SaveCodes] acknowledges it; the old set dies in that
// write. Until then nothing has changed, so a lost answer loses nothing. It
// needs a fresh proof for [ActionFactors].
func (m *Manager) RegenerateCodes(ctx context.Context, c Caller) (Enrollment, error) {
	return m.Enroll(ctx, c, EnrollRequest{Method: RecoveryCode})
}

// tellOldPhone texts the number that is being replaced: who takes over a login
// should not be able to move it to another phone unnoticed.
func (s *userTx) tellOldPhone(number string) {
	phone, err := s.m.cfg.destination(number, "")
	if err != nil {
		return // it is not texted any more; the notice by mail remains
	}
	s.deferredTexts = append(s.deferredTexts, pendingMessage{user: s.user, account: s.account, number: phone, budget: budgetReplaced,
		text: &TextMessage{To: number, Body: text.Clean(s.m.cfg.SMS.CodeText(CodeText{Issuer: s.m.cfg.Issuer, Replaced: true}), 400)}})
}
