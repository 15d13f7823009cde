package twofa

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// Begin starts second-factor authentication once the host has verified a first
// factor: a password, an SSO callback, a reset link, an invitation or an API
// token. It decides what else is needed. It writes to the store only if the
// login is complete, if it is the user's first, if [User.SecurityStamp] has
// changed, or if the request carries a replaced browser token.
//
// Begin returns [ErrNotAllowed] if the user is disabled or not a member of the
// account, or if f is not valid, a [*DeniedError] with [ReasonSignInHere] if no
// first factor counts in the account, or with [ReasonSupport] if the user must
// enroll but cannot be mailed, and [ErrUnavailable] if a record, the policy or
// the directory cannot be read or written. For a first factor of
// [Manager.HeldFirstFactor] it returns [ErrExpired] if its login has ended, and
// [ErrLocked] if the user has just signed in hundreds of times. After any error,
// f has signed nobody in.
func (m *Manager) Begin(ctx context.Context, f FirstFactor) (Result, error) {
	if err := f.validate(); err != nil {
		return Result{}, err
	}
	earlier, err := m.earlierSession(ctx, f)
	if err != nil {
		return Result{}, err
	}
	t := ticket{user: f.UserID, account: f.Account}
	var login Result
	err = m.updateUser(ctx, f.Client, t, func(s *userTx, u User) error {
		if f.SecurityStamp != "" && f.SecurityStamp != u.SecurityStamp {
			return notAllowed("FirstFactor.SecurityStamp: is no longer that of user %q", f.UserID)
		}
		if f.Account == "" && len(u.Members) > 0 {
			m.warnOfNoAccount(ctx)
		}
		changed, err := s.initOrCheckStamp(u)
		if err != nil {
			return err
		}
		t := s.newLogin(f, u, earlier)
		if f.held != "" && (s.isSpent(ticket{id: f.held}) || s.isSpent(ticket{id: nextID(f.held)})) {
			return ErrExpired // that login has ended
		}
		if p, ok := s.rememberedProof(); ok && (f.By == ByPassword || f.By == BySSO) {
			t = t.withProof(p)
		}
		if login, err = s.nextStep(u, t); err != nil {
			if changed || len(s.events) > 0 {
				return keep(err) // a changed stamp or a copied token counts even so
			}
			return err
		}
		switch {
		case login.Next == NextDone:
			login.Browser = s.rotateToken()
			if f.held != "" && len(s.Spent) >= maxSpentHeld {
				return &lockedError{holdTTL} // one account's provider must not fill the record, which all accounts share
			}
			if f.held != "" {
				s.spend(t)
			}
		case !changed && len(s.events) == 0:
			return errUnchanged
		}
		return nil
	})
	return resultOrError(login, err)
}

// initOrCheckStamp starts the first epoch of a new user, or a new epoch if the
// security stamp has changed, of which the user is then told.
func (s *userTx) initOrCheckStamp(u User) (changed bool, err error) {
	first := s.Epoch == ""
	if changed, err = s.stampChanged(u); err != nil || !changed && !first {
		return false, err
	}
	s.setStamp(u)
	s.newEpoch("")
	s.ease()
	if !first {
		s.emit(Event{Type: event.Credentials, Reason: "noticed at login", Notice: true})
	}
	return true, nil
}

// earlierSession returns the session that the browser has so far. If it belongs
// to another user, it is ended. If it cannot be opened, it is as good as none.
func (m *Manager) earlierSession(ctx context.Context, f FirstFactor) (ticket, error) {
	t, err := m.openTicket(f.Session.Secret, forSession)
	switch {
	case err != nil:
		return ticket{}, nil
	case t.user != f.UserID:
		return ticket{}, m.SignedOut(ctx, Caller{Session: f.Session, Client: f.Client})
	}
	return t, nil
}

// newLogin returns the ticket of a login, which continues the earlier session
// if that is a live one in the same browser and outlives the login. It has a new
// ID even so, because an attacker may have planted the earlier one.
func (s *userTx) newLogin(f FirstFactor, u User, earlier ticket) ticket {
	t := ticket{user: f.UserID}
	ends := min(earlier.expires, earlier.started.add(s.m.cfg.lifetime(forSession)))
	if s.isCurrent(earlier) && earlier.isFrom(f.Client) && ends > s.now.add(s.m.cfg.lifetime(forLogin)) {
		t = s.carry(earlier)
		t.ends = earlier.expires
	}
	t.sessionID, t.replaces = seal.NewID(), earlier.sessionID
	t.purpose, t.id, t.account, t.epoch = forLogin, cmp.Or(f.held, seal.NewID()), f.Account, s.Epoch
	t.setMembers(u, f.Account)
	t.bindTo(f.Client)
	return t.withFirstFactor(firstFactor{by: f.By, providerOf: f.ProviderOf, at: s.now})
}

// Verify checks the user's proof for a login or a step-up. If the proof is
// right, Verify uses up the challenge, together with every challenge that
// [Manager.Send] returned for it. A login may then still require enrollment;
// see [Result.Next]. A step-up returns an updated session with the same ID and
// expiry. Before you store a Session, give the host's own session a new ID
// (ASVS 5.0, 7.2.4), because an attacker may have planted the old one.
//
// Forms are sent twice, so the same proof for the same challenge, from the same
// browser and within ten seconds, gets the same answer again: a session with
// the same ID, or the same error. Nothing is written or counted for it. After
// Cancel, [Manager.SignedOut] or a change of credentials, it is not given. An
// attempt counts even if ctx is canceled, because an attacker could otherwise
// hang up; it takes at most ten seconds.
//
// Verify returns:
//
//   - [ErrInvalidCode] if the code or token is wrong, expired or used. See
//     [AttemptsLeft].
//   - [ErrLocked] if the method is locked or disabled, even if the code is
//     right. See [RetryAfter].
//   - [ErrExpired] if the challenge is used up, expired, from another browser
//     or no longer needed, if the user's credentials have changed, or if
//     c.Session is not the live session that the step-up is for. Start again
//     with [Manager.Begin] or [Manager.StepUp].
//   - [ErrNotAllowed] if the challenge does not accept the method, whether the
//     user has it or not, or if the user is disabled or no longer a member of
//     the account.
//   - a [*DeniedError] if the user no longer has any method that the step-up
//     accepts.
//   - [ErrUnavailable] if a record, the policy or the directory cannot be read
//     or written.
func (m *Manager) Verify(ctx context.Context, c Caller, ch Challenge, p Proof) (Result, error) {
	t, err := m.openChallenge(c.Client, ch, forLogin, forAction)
	if err != nil {
		return Result{}, err
	}
	var session ticket
	if t.purpose == forAction {
		session, _ = m.openSession(c)
	}
	ctx, cancel := uncancelable(ctx)
	defer cancel()
	// The challenges from before and after a Send have the same ID.
	hash := string(seal.KeyedHash([]byte(t.id), "proof", string(p.Method), p.Code.Reveal(), t.messageID, browserHash(c.Client.Browser)))
	var login Result
	err = m.updateUser(ctx, c.Client, t, func(s *userTx, u User) error {
		if t.purpose == forAction && !(session.sessionID == t.sessionID && s.isCurrent(session)) {
			return ErrExpired
		}
		if a := s.answerTo(t.spentID(), hash); a != nil {
			login, err = s.repeatAnswer(*a, u, t, p)
			return cmp.Or(err, errUnchanged)
		}
		offered, err := s.offeredMethods(u, t)
		if err != nil {
			return err
		}
		if err := s.verifyProof(u, t, p, offered); err != nil {
			s.keepFailure(t.spentID(), hash, err)
			return err
		}
		s.spend(t)
		s.keepAnswer(answer{ID: t.spentID(), Proof: hash, SessionID: t.sessionID})
		login, err = s.completeProof(u, t, p)
		return err
	})
	return resultOrError(login, err)
}

// Proof is the user's answer to a challenge: a typed code or an opened link.
type Proof struct {
	// Method must be one of [Result.Methods].
	Method Method
	// Code is the code as typed, or the token of an email link. With
	// [MailConfig.CodeBesideLink] and EmailLink, it can be either.
	Code Secret
	// Remember makes this browser a remembered browser if the login is
	// complete, Method is TOTP or SMS, and [Policy.Remember] is set. If it is
	// false, such a login makes the browser no longer remembered.
	Remember bool
}

// Format writes a placeholder, because the code may still be valid.
func (p Proof) Format(f fmt.State, _ rune) { redact(f) }

// LogValue returns a placeholder.
func (p Proof) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON always fails, because the code may still be valid.
func (p Proof) MarshalJSON() ([]byte, error) { return nil, errSecretMarshal }

// Cancel ends a login, a step-up or a required enrollment that the user no
// longer wants. If a link or code was sent for it, or a proof was tried, Cancel
// uses up the challenge, so they are no longer valid. Otherwise it writes
// nothing: the host must delete the challenge, which is valid until it expires.
//
// Cancel returns [ErrExpired] if the challenge is used up, expired or from
// another browser, or if the user's credentials or factors have changed since.
// It returns [ErrLocked] after 20 canceled challenges in an hour, so that nobody
// keeps the owner out by canceling, and [ErrUnavailable] if the user's record
// cannot be read or written.
func (m *Manager) Cancel(ctx context.Context, c Client, ch Challenge) error {
	t, err := m.openChallenge(c, ch, forLogin, forAction, forEnroll)
	if err != nil {
		return err
	}
	return m.update(ctx, c, t.user, noPolicy, func(s *userTx) error {
		ended := s.isSpent(t) || !s.isCurrent(t)
		tried := s.endAnswers(t)
		sent := slices.ContainsFunc(s.Messages, func(x message) bool { return x.Attempt == t.id })
		switch {
		case ended && tried: // the answer must not be given again
			return keep(ErrExpired)
		case ended:
			return ErrExpired
		case !tried && !sent && t.messageID == "":
			return errUnchanged
		case len(s.Spent) >= maxSpent:
			return &lockedError{hour}
		}
		if err := s.reserve(cancelAllowance, cancelBucket); err != nil {
			return err
		}
		s.spend(t)
		return nil
	})
}

func (s *userTx) verifyProof(u User, t ticket, p Proof, offered []Method) error {
	if !slices.Contains(offered, p.Method) {
		return ErrNotAllowed // the same whether the user has the method or not
	}
	code := p.Code.Reveal()
	isCode := s.canBeCode(p.Method, code)
	switch p.Method {
	case TOTP:
		return s.tryCode(TOTP, isCode, func() outcome { return s.tryTOTP(code) })
	case RecoveryCode:
		return s.tryCode(RecoveryCode, isCode, func() outcome { return s.tryRecovery(code) })
	case SMS:
		return s.tryCode(SMS, isCode, func() outcome { return s.tryText(t, code) })
	case EmailLink:
		if isLinkToken(code) || !s.takesCode(u, t) {
			return s.tryLink(u, t, code)
		}
		return s.tryCode(EmailLink, isCode, func() outcome { return s.tryMailedCode(u, t, code) })
	}
	return ErrNotAllowed
}

// canBeCode reports whether text has the form of a code of the method.
func (s *userTx) canBeCode(m Method, code string) bool {
	switch m {
	case TOTP:
		return slices.ContainsFunc(s.Factors, func(f factor) bool {
			_, ok := text.Digits(code, f.App.Digits)
			return f.Method == TOTP && ok
		})
	case SMS, EmailLink:
		_, ok := text.Digits(code, textDigits)
		return ok
	}
	_, ok := canonicalRecovery(code)
	return ok
}

// answerTo returns the answer that a proof got within the last ten seconds, or
// nil. The answer may be from a server whose clock is a little ahead. Whatever
// ends sessions removes answers.
func (s *userTx) answerTo(id, proof string) *answer {
	for i := range s.Answers {
		if a := &s.Answers[i]; a.ID == id && seal.Equal(a.Proof, proof) && s.now.sub(a.At).Abs() < replayTTL {
			return a
		}
	}
	return nil
}

// failure returns the error that a wrong proof got.
func (a answer) failure(now unixTime) error {
	return &codeError{left: a.Left, wait: max(0, a.Until.sub(now))}
}

// dropAnswers removes the answers under an ID.
func (s *userTx) dropAnswers(id string) {
	s.Answers = slices.DeleteFunc(s.Answers, func(a answer) bool { return a.ID == id })
}

// endAnswers removes the answers to the proofs of a challenge, and those to
// earlier steps of the same login, step-up or enrollment. It reports whether
// there were any that have not expired.
func (s *userTx) endAnswers(t ticket) (ended bool) {
	s.Answers = slices.DeleteFunc(s.Answers, func(a answer) bool {
		own := a.ID == t.spentID() || a.ID == t.enrollmentID() || a.SessionID == t.sessionID
		ended = ended || own && a.At.within(a.life(), s.now)
		return own
	})
	return ended
}

func (s *userTx) keepAnswer(a answer) {
	a.At = s.now
	s.Answers = append(s.Answers, a)
}

// keepFailure keeps the answer to a wrong code that was counted.
func (s *userTx) keepFailure(id, proof string, err error) {
	failure, ok := errors.AsType[*codeError](err)
	if _, counted := errors.AsType[keptError](err); !ok || !counted {
		return
	}
	s.keepAnswer(answer{ID: id, Proof: proof, Left: failure.left, Until: s.now.add(failure.wait)})
}

// repeatAnswer gives an answer again, as of then. It changes nothing, so that it
// renews no grant, and asks the directory and the policy as they are now.
func (s *userTx) repeatAnswer(a answer, u User, t ticket, p Proof) (Result, error) {
	changed, err := s.stampChanged(u)
	switch {
	case err != nil:
		return Result{}, err
	case changed, !s.isCurrent(t):
		return Result{}, ErrExpired
	case a.SessionID == "":
		return Result{}, a.failure(s.now)
	}
	s.now = a.At
	return s.resultOf(u, t, p)
}

// completeProof records a right proof and returns the next step.
func (s *userTx) completeProof(u User, t ticket, p Proof) (Result, error) {
	if t.purpose == forAction {
		s.recordGrant(t, p.provenAs())
	}
	s.seenHere(func(x *seen) { x.Proof, x.Method = s.now, p.Method })
	s.endLost(t, p.Method)
	if isFactor(p.Method) {
		s.suspendCase(p.Method)
	}
	if p.Method == RecoveryCode && t.purpose == forLogin {
		s.forgetRemembered()
	}
	return s.resultOf(u, t, p)
}

// resultOf returns the next step after a right proof.
func (s *userTx) resultOf(u User, t ticket, p Proof) (Result, error) {
	t = t.withProof(provenMethod{method: p.provenAs(), at: s.now, elevate: true})
	if t.purpose == forAction {
		return Result{Next: NextDone, Session: s.issueSession(t), Action: t.action}, nil
	}
	isDevice := p.Method == TOTP || p.Method == SMS
	s.newBrowser = isDevice && !s.client.Browser.IsZero() && s.knownBrowser() == nil
	login, err := s.nextStep(u, t)
	switch {
	case err != nil:
		return Result{}, err
	case login.Next == NextDone && isDevice:
		// A login that continues with enrollment keeps its token, because the
		// enrollment challenge is bound to it.
		login.Browser = s.markKnown(p.Method, p.Remember, t.id)
	}
	return login, nil
}
