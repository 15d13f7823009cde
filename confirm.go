package twofa

import (
	"cmp"
	"context"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
)

// Confirm checks the first code of a pending enrollment. For a phone,
// c.Challenge must be [Enrollment.Challenge], and the texted code is valid for
// 5 minutes.
//
// If the user must still save recovery codes, the result is [NextEnroll], and
// [Manager.SaveCodes] must follow. Otherwise the new factor becomes active, and
// the result is [NextDone] with a session that replaces the caller's. It is
// NextChallenge or NextEnroll instead if the policy still requires something.
// All other sessions of the user are invalidated, and so are all pending
// logins, fresh proofs and known browsers, except the browser of this request.
//
// Errors:
//   - [ErrInvalidCode] for a wrong code; see [AttemptsLeft] and [ClockOffset]
//   - [ErrExpired] if this session has no pending enrollment: five wrong codes
//     or 10 minutes have ended it, another session started it, or the factor to
//     be replaced was removed
//   - [*DeniedError] if the session or challenge is invalid or not enough
//   - [ErrNotAllowed] if the user must not enter the account
//   - [ErrUnavailable]
func (m *Manager) Confirm(ctx context.Context, c Caller, code string) (Result, error) {
	return m.advanceEnrollment(ctx, c, func(s *userTx, t ticket) error {
		if s.Pending.Confirmed {
			return errUnchanged
		}
		err := s.checkPendingCode(c, code)
		if err == nil {
			s.Pending.Confirmed = true
			return nil
		}
		s.Pending.Fails++
		s.emit(Event{Type: event.Failed, Method: s.Pending.Method, Session: t.sessionID, Detail: "enrollment"})
		if s.Pending.Fails >= maxConfirmations {
			s.Pending = nil
		}
		return keep(err)
	})
}

func (s *userTx) checkPendingCode(c Caller, code string) error {
	p := s.Pending
	failure := &codeError{left: maxConfirmations - 1 - p.Fails}
	if p.Method == SMS {
		if !s.confirmsPhone(c, code) {
			return failure
		}
		return nil
	}
	var ok bool
	if p.Step, ok = p.App.match(code, s.now, s.m.cfg.TOTP.Strict); !ok {
		failure.clock, _ = p.App.offset(code, s.now)
		return failure
	}
	return nil
}

// SaveCodes records that the user has saved the recovery codes of the pending
// enrollment. If [Manager.Confirm] has not succeeded yet, the result is
// [NextEnroll]. Otherwise the enrollment becomes active, with the effects
// described at Confirm, and its recovery codes replace all earlier ones. An
// enrollment of recovery codes alone ([Manager.RegenerateCodes]) invalidates
// only the earlier codes and returns the caller's session unchanged.
//
// Errors: [ErrExpired] if this session has no pending enrollment. Otherwise the
// errors are those of Confirm, except [ErrInvalidCode].
func (m *Manager) SaveCodes(ctx context.Context, c Caller) (Result, error) {
	return m.advanceEnrollment(ctx, c, func(s *userTx, _ ticket) error {
		s.Pending.Saved = true
		return nil
	})
}

// advanceEnrollment runs a step of the pending enrollment and activates it if
// that was the last step.
func (m *Manager) advanceEnrollment(ctx context.Context, c Caller, step func(*userTx, ticket) error) (Result, error) {
	var login Result
	err := m.change(ctx, c, func(s *userTx, t ticket, u User) error {
		if err := s.checkPending(t); err != nil {
			return err
		}
		err := step(s, t)
		if err != nil && err != errUnchanged {
			return err
		}
		if !s.Pending.Confirmed || !s.Pending.Saved {
			login = Result{Next: NextEnroll, Challenge: c.Challenge}
			return err
		}
		login, err = s.activate(u, t, c)
		return err
	})
	return resultOrError(login, err)
}

// activate makes the pending enrollment active, in the same write as everything
// that follows from it.
func (s *userTx) activate(u User, t ticket, c Caller) (Result, error) {
	p := s.Pending
	if len(p.Codes) > 0 {
		s.Codes = s.newCodeSet(p.Codes)
		s.resetCounters(RecoveryCode)
		alone := p.Method == RecoveryCode // otherwise the notice of the factor is enough
		s.emit(Event{Type: event.CodesGenerated, Session: t.sessionID, Left: len(p.Codes), Notice: alone})
	}
	if p.Method == RecoveryCode {
		s.Pending = nil
		return Result{Next: NextDone, Session: c.Session}, nil
	}
	if err := s.installFactor(t); err != nil {
		return Result{}, err
	}
	s.newEpoch(t.sessionID)
	t = s.carry(t).withProof(provenMethod{method: p.Method, at: s.now})
	login := Result{Next: NextDone}
	if t.purpose == forEnroll {
		s.spend(t)
		var err error
		if login, err = s.nextStep(u, t); err != nil {
			return Result{}, err
		}
	} else {
		login.Session = s.issueSession(t)
	}
	if login.Next == NextDone {
		login.Browser = s.markKnown(p.Method, false, cmp.Or(t.id, seal.NewID()))
	}
	return login, nil
}

// installFactor adds the new factor, or replaces the one that it was enrolled
// for, and resets the counters of its method.
func (s *userTx) installFactor(t ticket) error {
	p := s.Pending
	f := factor{ID: p.FactorID, Method: p.Method, Name: cmp.Or(p.Name, defaultName(p.Method)), App: p.App, Phone: p.Phone, Step: p.Step,
		Added: s.now, Used: s.now}
	e := Event{Type: event.Enrolled, Method: f.Method, Session: t.sessionID, Detail: f.Name, Notice: true}
	if p.Replaces == "" {
		s.Factors = append(s.Factors, f)
	} else {
		i := s.factorIndex(p.Replaces)
		if i < 0 {
			return ErrExpired
		}
		if p.Name == "" {
			f.Name = s.Factors[i].Name
		}
		if f.Method == SMS {
			s.tellOldPhone(s.Factors[i].Phone)
		}
		s.Factors[i], e.Type, e.Detail = f, event.Replaced, f.Name
	}
	s.resetCounters(f.Method)
	s.emit(e)
	return nil
}

func defaultName(m Method) string {
	if m == SMS {
		return "Phone"
	}
	return "Authenticator app"
}
