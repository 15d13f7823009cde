package twofa

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

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
// account, or if f is not valid, and [ErrUnavailable] if a record, the policy
// or the directory cannot be read or written. After any error, the user is not
// signed in.
func (m *Manager) Begin(ctx context.Context, f FirstFactor) (Result, error) {
	switch f.By {
	case ByPassword, BySSO, ByEmail, ByToken:
	default:
		return Result{}, notAllowed("FirstFactor.By: must be ByPassword, BySSO, ByEmail or ByToken, is %q", text.Clean(string(f.By), 20))
	}
	if f.ProviderOf != "" && text.ValidateID("account", f.ProviderOf) != nil {
		return Result{}, notAllowed("FirstFactor.ProviderOf: must be empty or an account ID")
	}
	u, err := m.lookUp(ctx, f.UserID, f.Account)
	if err != nil {
		return Result{}, err
	}
	var login Result
	err = m.update(ctx, f.Client, f.UserID, f.Account, func(s *userTx) error {
		changed := s.initOrCheckStamp(u)
		t := ticket{id: seal.NewID(), sessionID: seal.NewID(), user: f.UserID, account: f.Account, epoch: s.Epoch, stamp: s.Stamp,
			by: f.By, sso: f.ProviderOf, at: s.now}
		t.bindTo(f.Client)
		if p, ok := s.rememberedProof(); ok && (f.By == ByPassword || f.By == BySSO) {
			t.proven = []provenMethod{p}
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
		case !changed && len(s.events) == 0:
			return errUnchanged
		}
		return nil
	})
	return resultOrError(login, err)
}

// Verify checks the user's proof for a login or a step-up. If the proof is
// right, Verify uses up the challenge, together with every challenge that
// [Manager.Send] returned for it. A login may then still require enrollment;
// see [Result.Next]. A step-up returns an updated session with the same ID and
// expiry. Before you store a Session, give the host's own session a new ID
// (ASVS 5.0, 7.2.4), because an attacker may have planted the old one.
//
// Verify returns:
//
//   - [ErrInvalidCode] if the code or token is wrong, expired or used. See
//     [AttemptsLeft].
//   - [ErrLocked] if the method is locked or disabled, even if the code is
//     right. See [RetryAfter].
//   - [ErrExpired] if the challenge is used up, expired, from another browser
//     or no longer needed, or if the user's credentials have changed. Start
//     again with [Manager.Begin] or [Manager.StepUp].
//   - [ErrNotEnrolled] if the user does not have the method.
//   - [ErrNotAllowed] if the challenge does not accept the method, or if the
//     user is disabled or no longer a member of the account.
//   - a [*DeniedError] if the user no longer has any method that the step-up
//     accepts.
//   - [ErrUnavailable] if a record, the policy or the directory cannot be read
//     or written.
//
// The difference between ErrNotEnrolled and ErrNotAllowed tells a user who has
// passed the first factor which factors exist. Show the same message for both.
func (m *Manager) Verify(ctx context.Context, c Client, ch Challenge, p Proof) (Result, error) {
	t, u, err := m.openChallenge(ctx, c, ch, forLogin, forAction)
	if err != nil {
		return Result{}, err
	}
	var login Result
	err = m.update(ctx, c, t.user, t.account, func(s *userTx) error {
		offered, err := s.offeredMethods(u, t)
		if err != nil {
			return err
		}
		if err := s.verifyProof(u, t, p, offered); err != nil {
			return err
		}
		s.spend(t)
		login, err = s.completeProof(u, t, p)
		return err
	})
	return resultOrError(login, err)
}

// Proof is the user's answer to a challenge: a typed code or an opened link.
type Proof struct {
	// Method must be one of [Result.Methods].
	Method Method
	// Code is the code as typed, or the token of an email link.
	Code string
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
// longer wants. It uses up the challenge, so links and codes that were sent for
// it are no longer valid.
//
// Cancel returns [ErrExpired] if the challenge is used up, expired or from
// another browser, or if the user's credentials or factors have changed since.
// It returns [ErrUnavailable] if the user's record cannot be read or written.
func (m *Manager) Cancel(ctx context.Context, c Client, ch Challenge) error {
	t, err := m.cfg.Keys.openTicket(ch.Secret, m.now(), forLogin, forAction, forEnroll)
	if err != nil || !t.isFrom(c) {
		return ErrExpired
	}
	return m.update(ctx, c, t.user, noPolicy, func(s *userTx) error {
		if !s.isCurrent(t) || !s.spend(t) {
			return ErrExpired
		}
		return nil
	})
}

// DescribeChallenge returns the methods that a challenge accepts, so that a
// page can ask for them, and the masked address or number that a link or code
// was sent to. It neither writes to the store nor extends the challenge.
//
// DescribeChallenge returns [ErrExpired], [ErrNotAllowed], a [*DeniedError] or
// [ErrUnavailable] under the same conditions as [Manager.Verify].
func (m *Manager) DescribeChallenge(ctx context.Context, c Client, ch Challenge) (Result, error) {
	t, u, err := m.openChallenge(ctx, c, ch, forLogin, forAction)
	if err != nil {
		return Result{}, err
	}
	s, err := m.load(ctx, c, t.user, t.account)
	if err != nil {
		return Result{}, err
	}
	offered, err := s.offeredMethods(u, t)
	return resultOrError(Result{Next: NextChallenge, Challenge: ch, Methods: offered, Sent: s.sentTo(t)}, err)
}

func (s *userTx) verifyProof(u User, t ticket, p Proof, offered []Method) error {
	if !slices.Contains(offered, p.Method) {
		if !slices.Contains(s.facts(t, true).has, p.Method) && (p.Method != RecoveryCode || s.Codes == nil) {
			return ErrNotEnrolled
		}
		return ErrNotAllowed
	}
	switch p.Method {
	case TOTP:
		return s.tryCode(TOTP, func() outcome { return s.tryTOTP(p.Code) })
	case RecoveryCode:
		return s.tryCode(RecoveryCode, func() outcome { return s.tryRecovery(p.Code) })
	case SMS:
		return s.tryCode(SMS, func() outcome { return s.tryText(t, p.Code) })
	case EmailLink:
		return s.tryLink(u, t, p.Code)
	}
	return ErrNotAllowed
}

// completeProof records a right proof and returns the next step.
func (s *userTx) completeProof(u User, t ticket, p Proof) (Result, error) {
	now := s.now
	if t.purpose == forAction {
		s.recordGrant(t, p.Method)
		if p.Method == TOTP || p.Method == SMS {
			t = t.withProof(p.Method, now)
		}
		return Result{Next: NextDone, Session: s.issueSession(t), Action: t.action}, nil
	}
	t = t.withProof(p.Method, now)
	login, err := s.nextStep(u, t)
	switch {
	case err != nil:
		return Result{}, err
	case p.Method == RecoveryCode:
		s.Browsers = nil
	case login.Next == NextDone && p.Method != EmailLink:
		// A login that continues with enrollment keeps its token, because the
		// enrollment challenge is bound to it.
		login.Browser = s.markKnown(p.Method, p.Remember)
	}
	return login, nil
}
