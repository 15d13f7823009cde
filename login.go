package twofa

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
)

// Next says what comes next.
type Next string

// What comes next.
const (
	NextDone      Next = "done"      // signed in: keep Result.Session
	NextChallenge Next = "challenge" // ask for one of Result.Methods
	NextEnroll    Next = "enroll"    // set-up first: Result.Challenge opens that and nothing else
)

// Result is where a login, set-up or step-up stands.
type Result struct {
	Next      Next
	Session   Session   // with NextDone; empty where StepUp found a good proof: keep the one you have
	Challenge Challenge // with NextChallenge and NextEnroll; replaces the one before
	Methods   []Method  // on offer, strongest first; the recovery code last
	Sent      string    // where something was sent to, masked
	Action    string    // the step-up action that was proven; "" where it was a login
	// Browser, if not empty, replaces the token in the browser's long-lived
	// cookie.
	Browser Secret
}

const (
	challengeTTL       = 10 * time.Minute
	enrollChallengeTTL = 15 * time.Minute // also how old a first factor may be to set up the first authenticator
	sessionTTL         = 24 * time.Hour
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
		return Result{}, notAllowed("FirstFactor.By is %q", clean(string(f.By), 20))
	}
	if f.ProviderOf != "" && checkID("account", f.ProviderOf) != nil {
		return Result{}, notAllowed("FirstFactor.ProviderOf is no account id")
	}
	u, err := m.lookup(ctx, f.UserID, f.Account)
	if err != nil {
		return Result{}, err
	}
	var login Result
	err = m.update(ctx, f.Client, f.UserID, f.Account, func(s *userTx) error {
		s.initOrCheckStamp(u)
		t := ticket{id: newID(), sessionID: newID(), user: f.UserID, account: f.Account, epoch: s.Epoch, stamp: s.Stamp,
			by: f.By, sso: f.ProviderOf, at: s.now.Unix()}
		t.bindTo(f.Client)
		if p, ok := s.rememberedProof(); ok && (f.By == ByPassword || f.By == BySSO) {
			t.proven = []provenMethod{p}
		}
		login = s.nextStep(u, t)
		if login.Next == NextDone {
			login.Browser = s.rotateToken()
		}
		return nil
	})
	return loginOrError(login, err)
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
	return loginOrError(login, err)
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
	t, err := m.cfg.Keys.openTicket(ch.Secret, m.cfg.Now(), forLogin, forAction, forEnroll)
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
	return loginOrError(Result{Next: NextChallenge, Challenge: ch, Methods: offered, Sent: s.sentTo(t)}, err)
}

// loginOrError drops what was prepared if it did not come to be.
func loginOrError(login Result, err error) (Result, error) {
	if err != nil {
		return Result{}, err
	}
	return login, nil
}

// openChallenge opens a challenge and asks the directory for its user, who must still
// be the one it was made for.
func (m *Manager) openChallenge(ctx context.Context, c Client, ch Challenge, purposes ...purpose) (ticket, User, error) {
	t, err := m.cfg.Keys.openTicket(ch.Secret, m.cfg.Now(), purposes...)
	if err != nil || !t.isFrom(c) {
		return ticket{}, User{}, ErrExpired
	}
	u, err := m.lookup(ctx, t.user, t.account)
	if err == nil && t.stamp != stampOf(u) {
		err = ErrExpired
	}
	return t, u, err
}

// bindTo ties a challenge to the client it was made for.
func (t *ticket) bindTo(c Client) {
	t.browser, t.host = browserHash(c.Browser), ""
	if !c.HostSession.IsZero() {
		t.host = digest("host session", c.HostSession.Reveal())
	}
}

// isCurrent reports whether a ticket belongs to the user's present epoch, or is the
// session that outlived the last change. Its challenges did not.
func (s *userTx) isCurrent(t ticket) bool {
	return s.Epoch != "" && (t.epoch == s.Epoch || (t.purpose == forSession && s.KeptSession != "" && t.sessionID == s.KeptSession))
}

// offeredMethods returns the methods a challenge is on offer for.
func (s *userTx) offeredMethods(u User, t ticket) ([]Method, error) {
	if !s.isCurrent(t) || s.isSpent(t) {
		return nil, ErrExpired
	}
	if t.purpose == forAction {
		return s.acceptedFor(t.action, u)
	}
	v := s.policy.evaluate(s.facts(u, t))
	if v.next != NextChallenge {
		return nil, ErrExpired
	}
	return v.methods, nil
}

func (s *userTx) facts(u User, t ticket) facts {
	return facts{account: s.account, ticket: t, has: s.enrolledMethods(len(u.Emails) > 0), codes: s.codesLeft() > 0}
}

// enrolledMethods returns what the user can prove, beside recovery codes.
func (s *userTx) enrolledMethods(mail bool) []Method {
	has := make([]Method, 0, maxFactors+2)
	for i := range s.Factors {
		has = append(has, s.Factors[i].Method)
	}
	if mail && s.m.cfg.Mail.LinkURL != nil { // a Mailer alone sends notices
		has = append(has, EmailLink)
	}
	return has
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
	now := s.now.Unix()
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
		s.forgetBrowsers()
	case login.Next == NextDone && p.Method != EmailLink:
		// Not on the way to set-up: its challenge is bound to the old token.
		login.Browser = s.markKnown(p.Method, p.Remember)
	}
	return login
}

// nextStep takes a ticket to where the policy wants it next.
func (s *userTx) nextStep(u User, t ticket) Result {
	v := s.policy.evaluate(s.facts(u, t))
	if v.next == NextDone {
		return s.completeLogin(t)
	}
	t.id, t.epoch, t.messageID, t.messageMethod, t.messageKey = newID(), s.Epoch, "", "", ""
	t.purpose, t.expires = forLogin, s.now.Add(challengeTTL).Unix()
	if v.next == NextEnroll {
		t.purpose, t.expires = forEnroll, s.now.Add(enrollChallengeTTL).Unix()
	}
	return Result{Next: v.next, Methods: v.methods, Challenge: Challenge{s.m.cfg.Keys.sealTicket(t)}}
}

// completeLogin ends a login: the ticket becomes a session.
func (s *userTx) completeLogin(t ticket) Result {
	s.LastLogin = s.now.Unix()
	s.emit(Event{Type: event.Login, Method: t.strongest(), Session: t.sessionID, Detail: string(t.by)})
	return Result{Next: NextDone, Session: s.issueSession(t)}
}

// issueSession seals what a ticket has proven. It carries the present epoch.
func (s *userTx) issueSession(t ticket) Session {
	switch {
	case t.purpose == forSession:
	case t.ends != 0: // it lives on; no proof lengthens it
		t.expires = t.ends
	default:
		t.expires = s.now.Add(s.m.cfg.Lifetimes.Session).Unix()
	}
	return Session{s.m.cfg.Keys.sealTicket(ticket{purpose: forSession, sessionID: t.sessionID, user: t.user, account: t.account,
		epoch: s.Epoch, stamp: t.stamp, by: t.by, sso: t.sso, at: t.at, expires: t.expires, proven: t.proven})}
}

// strongest returns the strongest method proven, "" where there is none.
func (t ticket) strongest() Method {
	for _, m := range strength {
		if t.hasProven(m) {
			return m
		}
	}
	if len(t.proven) > 0 {
		return t.proven[0].method
	}
	return ""
}
