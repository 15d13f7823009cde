package twofa

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// Begin starts where the host's own login ends, whatever the door: password,
// SSO callback, reset link, invitation. It decides what else is needed. It
// writes only where the login ends here, where it is the user's first, or
// where the user's Stamp has changed.
//
// Errors: [ErrNotAllowed] for a disabled user or one who is not a member of
// the account, [ErrUnavailable]. Every error means "not signed in".
func (m *Manager) Begin(ctx context.Context, f FirstFactor) (Result, error) {
	switch f.By {
	case ByPassword, BySSO, ByEmail, ByToken:
	default:
		return Result{}, notAllowed("FirstFactor.By is %q", text.Clean(string(f.By), 20))
	}
	if f.ProviderOf != "" && text.ValidateID("account", f.ProviderOf) != nil {
		return Result{}, notAllowed("FirstFactor.ProviderOf is no account id")
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
		login = s.nextStep(u, t)
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

// Verify checks a proof against a challenge. Success spends the challenge and
// everything derived from it. What comes next is in the result: a login may
// still have to go through set-up; a step-up returns the session it was for,
// to be kept under a new id of the host's session (ASVS 7.2.4).
//
// Errors: [ErrInvalidCode], [ErrLocked], [ErrExpired] (begin again),
// [ErrNotEnrolled], [ErrNotAllowed] for a method that is not on offer,
// [ErrUnavailable].
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
		login = s.completeProof(u, t, p)
		return nil
	})
	return resultOrError(login, err)
}

// Proof is what a person typed or clicked.
type Proof struct {
	Method Method
	Code   string // the code, or the token of a link
	// Remember asks that this browser is not asked again, where the policy
	// gives that a lifetime.
	Remember bool
}

// Format hides the proof: the code may still be good.
func (p Proof) Format(f fmt.State, _ rune) { redact(f) }

// LogValue hides the proof.
func (p Proof) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON fails: the code may still be good.
func (p Proof) MarshalJSON() ([]byte, error) { return nil, errSecretMarshal }

// Cancel ends a login or step-up that is not wanted any more; its challenge,
// and everything sent for it, is dead.
func (m *Manager) Cancel(ctx context.Context, c Client, ch Challenge) error {
	t, err := m.cfg.Keys.openTicket(ch.Secret, m.now(), forLogin, forAction, forEnroll)
	if err != nil || !t.isFrom(c) {
		return ErrExpired
	}
	return m.update(ctx, c, t.user, t.account, func(s *userTx) error {
		if !s.isCurrent(t) || !s.spend(t) {
			return ErrExpired
		}
		return nil
	})
}

// Offer returns what a challenge asks for, for the page that shows it. It
// writes nothing.
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

// verifyProof tries the proof, whatever its method.
func (s *userTx) verifyProof(u User, t ticket, p Proof, offered []Method) error {
	if !slices.Contains(offered, p.Method) {
		if !slices.Contains(s.enrolledMethods(true), p.Method) && (p.Method != RecoveryCode || s.Codes == nil) {
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

// completeProof says what a right proof leads to.
func (s *userTx) completeProof(u User, t ticket, p Proof) Result {
	now := s.now
	if t.purpose == forAction {
		s.recordGrant(t, p.Method)
		if p.Method == TOTP || p.Method == SMS {
			t = t.withProof(p.Method, now)
		}
		return Result{Next: NextDone, Session: s.issueSession(t), Action: t.action}
	}
	t = t.withProof(p.Method, now)
	login := s.nextStep(u, t)
	switch {
	case p.Method == RecoveryCode:
		s.Browsers = nil
	case login.Next == NextDone && p.Method != EmailLink:
		// Not on the way to set-up: its challenge is bound to the old token.
		login.Browser = s.markKnown(p.Method, p.Remember)
	}
	return login
}
