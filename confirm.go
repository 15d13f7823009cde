package twofa

import (
	"cmp"
	"context"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// Confirm checks the first code of a pending enrollment. For a phone,
// c.Challenge must be [Enrollment.Challenge], and the texted code is valid for
// 5 minutes.
//
// If the user must still save recovery codes, the result is [NextEnroll], and
// [Manager.SaveCodes] must follow. Otherwise the new factor becomes active, and
// the result is [NextDone] with a session that replaces the caller's. It is
// NextChallenge or NextEnroll instead if the policy still requires something.
// All other sessions of the user are invalidated, and so are all pending logins
// and fresh proofs. Browsers are no longer remembered, but remain known. The
// browser of this request becomes known.
//
// Errors:
//   - [ErrInvalidCode] for a wrong code; see [AttemptsLeft] and [ClockOffset]
//   - [ErrExpired] if this session has no pending enrollment in this browser:
//     five wrong codes or too much time have ended it (see
//     [Lifetimes.Enrollment]), another session or browser started it, or the
//     factor to be replaced was removed
//   - [*DeniedError] if the session or challenge is invalid or not enough
//   - [ErrNotAllowed] if the user must not enter the account, or if the
//     enrollment is one of recovery codes, which have no code to confirm
//   - [ErrUnavailable]
//
// A last step that is repeated within ten seconds gets the same answer again, as
// at [Manager.Verify].
func (m *Manager) Confirm(ctx context.Context, c Caller, code string) (Result, error) {
	ctx, cancel := uncancelable(ctx)
	defer cancel()
	return m.advanceEnrollment(ctx, c, "code "+code, func(s *userTx, t ticket, proof string) error {
		p := s.Pending
		switch {
		case p.Method == RecoveryCode:
			return ErrNotAllowed // there is no code to confirm
		case p.Confirmed && seal.Equal(p.Proof, proof):
			return errUnchanged
		case p.Confirmed:
			return &codeError{left: maxConfirmations - p.Fails}
		case !s.canConfirm(code):
			return &codeError{left: maxConfirmations - p.Fails, malformed: true}
		}
		err := s.checkPendingCode(c, code)
		if err == nil {
			p.Confirmed, p.Proof = true, proof
			return nil
		}
		p.Fails++
		s.emit(Event{Type: event.Failed, Method: p.Method, Session: t.sessionID, Detail: "enrollment"})
		if p.Fails >= maxConfirmations {
			s.Pending = nil
		}
		return keep(err)
	})
}

// canConfirm reports whether text has the form of a code of the pending factor.
func (s *userTx) canConfirm(code string) bool {
	digits := textDigits
	if s.Pending.Method == TOTP {
		digits = s.Pending.App.Digits
	}
	_, ok := text.Digits(code, digits)
	return ok
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
	return m.advanceEnrollment(ctx, c, "saved", func(s *userTx, _ ticket, _ string) error {
		s.Pending.Saved = true
		return nil
	})
}

// advanceEnrollment runs a step of the pending enrollment and activates it if
// that was the last step. The last step gets its answer again for replayTTL; any
// other can be repeated anyway.
func (m *Manager) advanceEnrollment(ctx context.Context, c Caller, input string, step func(s *userTx, t ticket, proof string) error) (Result, error) {
	t, err := m.openCaller(c)
	if err != nil {
		return Result{}, err
	}
	// A session has one pending enrollment, and its code is used up.
	proof := string(seal.KeyedHash([]byte(t.sessionID), "enrollment", browserHash(c.Client.Browser), input))
	id := t.enrollmentID()
	var login Result
	err = m.updateUser(ctx, c.Client, t, func(s *userTx, u User) error {
		if a := s.answerTo(id, proof); a != nil {
			login, err = s.repeatActivation(*a, u, t, c)
			return cmp.Or(err, errUnchanged)
		}
		if err := s.guardCaller(t, u); err != nil {
			return err
		}
		if err := s.checkPending(t); err != nil {
			return err
		}
		err := step(s, t, proof)
		if err != nil && err != errUnchanged {
			s.keepFailure(id, proof, err)
			return err
		}
		if p := s.Pending; !p.Confirmed || !p.Saved {
			s.renewPending()
			login = Result{Next: NextEnroll, Challenge: s.renewChallenge(t, c)}
			return nil
		}
		method, elevate := s.Pending.Method, s.Pending.Elevate
		if login, err = s.activate(u, t, c); err != nil {
			return err
		}
		s.keepAnswer(answer{ID: id, Proof: proof, SessionID: t.sessionID, Method: method, Elevate: elevate})
		return nil
	})
	return resultOrError(login, err)
}

// repeatActivation gives the answer to the last step of an enrollment again, as
// of then.
func (s *userTx) repeatActivation(a answer, u User, t ticket, c Caller) (Result, error) {
	changed, err := s.stampChanged(u)
	switch {
	case err != nil:
		return Result{}, err
	case changed:
		return Result{}, ErrExpired
	case a.SessionID == "":
		return Result{}, a.failure(s.now)
	case a.Method == RecoveryCode:
		return Result{Next: NextDone, Session: c.Session}, nil
	}
	s.now = a.At
	return s.resultOfActivation(u, t, a.Method, a.Elevate)
}

// activate makes the pending enrollment active, in the same write as everything
// that follows from it.
func (s *userTx) activate(u User, t ticket, c Caller) (Result, error) {
	p := s.Pending
	if len(p.Codes) > 0 {
		if s.Codes != nil {
			s.CodesReplaced = s.now
		}
		s.Codes = s.newCodeSet(p.Codes)
		s.resetCounters(RecoveryCode)
		alone := p.Method == RecoveryCode // otherwise the notice of the factor is enough
		s.emit(Event{Type: event.CodesGenerated, Session: t.sessionID, Left: len(p.Codes), Notice: alone})
	}
	if p.Method == RecoveryCode {
		s.Pending = nil
		return Result{Next: NextDone, Session: c.Session}, nil
	}
	if len(s.Factors) == 0 && !t.hasFirstFactor(firstFactor.ofPerson) && !t.hasProven(EmailLink) {
		return Result{}, notAllowed("the first factor of user %q needs a first factor of their own", s.user)
	}
	if err := s.installFactor(u, t); err != nil {
		return Result{}, err
	}
	s.newEpoch(t.sessionID)
	if t.purpose == forEnroll {
		s.spend(t)
	}
	return s.resultOfActivation(u, t, p.Method, p.Elevate)
}

// resultOfActivation returns the next step after an enrollment has become
// active. Its first code is a proof.
func (s *userTx) resultOfActivation(u User, t ticket, m Method, elevate bool) (Result, error) {
	t = s.carry(t).withProof(provenMethod{method: m, at: s.now, elevate: elevate})
	login := Result{Next: NextDone}
	if t.purpose == forEnroll {
		var err error
		if login, err = s.nextStep(u, t); err != nil {
			return Result{}, err
		}
	} else {
		login.Session = s.issueSession(t)
	}
	if login.Next == NextDone {
		login.Browser = s.markKnown(m, false, cmp.Or(t.id, s.activationSeed(t)))
	}
	return login, nil
}

// activationSeed returns a secret for the browser of an enrollment that has no
// challenge. It is the same if the answer is given again, also if the host
// already has the new session. Nobody can compute it from a record.
func (s *userTx) activationSeed(t ticket) string {
	return string(seal.KeyedHash(s.m.cfg.Keys.all()[0].Lookup, "activation", t.sessionID, s.cookie().Secret, s.Epoch))
}

// installFactor adds the new factor, or replaces the one that it was enrolled
// for, and resets the counters of its method.
func (s *userTx) installFactor(u User, t ticket) error {
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
			s.tellOldPhone(u, s.Factors[i].Phone)
		}
		s.Factors[i], e.Type, e.Detail = f, event.Replaced, f.Name
	}
	s.resetCounters(f.Method)
	s.Reset = nil
	s.emit(e)
	s.endLost(t, f.Method)
	s.endCase(t.sessionID)
	return nil
}

func defaultName(m Method) string {
	if m == SMS {
		return "Phone"
	}
	return "Authenticator app"
}
