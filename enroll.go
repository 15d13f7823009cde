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

// EnrollRequest is the input of [Manager.Enroll].
type EnrollRequest struct {
	// Method is TOTP, SMS, or RecoveryCode for a new set of recovery codes. If
	// empty, it defaults to TOTP.
	Method Method
	// Name is the name of the new factor, such as the user's name for a device.
	// Control characters are removed, and it is cut to 128 bytes. If empty, it
	// defaults to the name of the replaced factor, "Authenticator app" or
	// "Phone". It is ignored for RecoveryCode.
	Name string
	// Replaces is the ID of the factor that the new one replaces when it
	// becomes active. A phone can replace only a phone, and an app only an app.
	// If empty, a factor is added. It is ignored for RecoveryCode.
	Replaces string
	// Phone is the phone number as the user typed it. It is required for SMS,
	// unless Assigned is set, and ignored otherwise.
	Phone string
	// Region is the ISO 3166-1 alpha-2 code of the country that is assumed if
	// Phone has no country code. If empty, Phone must have one.
	Region string
	// Assigned, for SMS, is the ID of [Factors.Assigned] as the user was shown it.
	// The code is sent to that number, and Phone and Region are ignored. If empty,
	// Phone is used.
	Assigned string
}

// Enrollment is an enrollment that has been started but is not active yet. Its
// secrets must be shown only to the user. They can be shown again with
// [Manager.PendingEnrollment].
type Enrollment struct {
	ID       string // ID of the new factor
	Method   Method // TOTP, SMS, or RecoveryCode if only recovery codes were generated
	Name     string // requested name of the new factor; empty for the default
	Replaces string // ID of the factor to be replaced; empty if a factor is added
	// UserName is [User.Name], as one line of at most 64 bytes,
	// for a printed page. It may be empty.
	UserName string
	// URI is the otpauth address of the QR code, for TOTP. See [Enrollment.PNG]
	// and [Enrollment.SVG].
	URI Secret
	// Key is the key of an authenticator app for typing by hand, in groups of
	// four characters, for TOTP.
	Key Secret
	// Phone is the phone number that a code was texted to, for SMS. All digits
	// except the last two are masked.
	Phone string
	// Digits is the number of digits of the code that confirms the enrollment.
	// It is zero for RecoveryCode.
	Digits int
	// Codes are the recovery codes that the user must save. They are not valid
	// before the enrollment is active. Codes is empty if the user keeps earlier
	// codes or [NoRecoveryCodes] is configured.
	Codes []Secret
	// Confirmed reports whether the first code was right. It is always true for
	// RecoveryCode, which needs none.
	Confirmed bool
	// Saved reports whether [Manager.SaveCodes] was called or Codes is empty.
	Saved bool
	// Expires is the time at which the enrollment is discarded if there is no
	// further step; see [Lifetimes.Enrollment].
	Expires time.Time
	// SentExpires is the time at which the code that was texted last expires. It
	// is the zero Time if Method is not SMS or the code is no longer valid.
	SentExpires time.Time
	// Challenge, if not empty, must be passed to the next step as
	// [Caller.Challenge]. It replaces the challenge that led to enrollment, if
	// there was one. It is returned only by Enroll, and is set for SMS and for
	// an enrollment that a policy requires.
	Challenge Challenge
}

// Enroll starts an enrollment. [Manager.Confirm] and [Manager.SaveCodes]
// complete it. A pending enrollment of the user is discarded. For SMS, a code
// is sent to the number.
//
// If the user has a factor, Enroll needs a fresh proof for [ActionFactors]. If
// the rule for that action is single-use, the call uses up the proof. To enroll
// an app or phone, two other proofs are accepted instead for 15 minutes: a
// recovery code used in this session, and the proof that led to a required
// enrollment.
//
// If the user has no factor, the session must have a first factor of the user's
// own ([Manager.CheckPerson]) that is less than 15 minutes old. Otherwise an
// attacker with an older session could enroll an authenticator of their own.
// After a reset, and in a session that began through the identity provider of a
// single account, the user must open an email link instead, which
// [Manager.StepUp] for ActionFactors asks for. An API token is never enough.
//
// Errors:
//   - [*DeniedError] if the session or a proof is missing or too old
//   - [ErrNotAllowed] if the policy does not accept the method, the user
//     already has 5 apps or a phone, recovery codes are turned off, no text
//     message may be sent to the number, or the user must not enter the account
//   - [ErrNotEnrolled] if the user has no factor with the ID Replaces, or asks
//     for recovery codes without having a factor, or if the number with the ID
//     Assigned is no longer offered
//   - [ErrLocked] if text messages were requested too often; see [RetryAfter]
//   - [ErrUndeliverable] if the number cannot receive text messages
//   - [ErrUnavailable]
func (m *Manager) Enroll(ctx context.Context, c Caller, e EnrollRequest) (Enrollment, error) {
	e.Method = cmp.Or(e.Method, TOTP)
	if e.Method == SMS {
		return m.enrollPhone(ctx, c, e)
	}
	var started Enrollment
	err := m.change(ctx, c, func(s *userTx, t ticket, u User) error {
		if err := s.mayEnroll(t, u, e); err != nil {
			return err
		}
		p := s.newPending(t, e)
		if e.Method == TOTP {
			p.App = m.cfg.TOTP.newParams()
		}
		started = s.describePending(u)
		if t.purpose == forEnroll {
			started.Challenge = s.renewChallenge(t, c)
		}
		return nil
	})
	if err != nil {
		return Enrollment{}, err
	}
	return started, nil
}

// newPending replaces the pending enrollment. It generates recovery codes if
// the user has none left or asks for new ones.
func (s *userTx) newPending(t ticket, e EnrollRequest) *pendingEnrollment {
	s.dropAnswers(t.enrollmentID()) // a step of the new enrollment must not get the answer of the last one
	_, recovered := t.provenAt(RecoveryCode)
	s.Pending = &pendingEnrollment{FactorID: seal.NewID(), SessionID: t.sessionID, Browser: browserHash(s.client.Browser), Method: e.Method,
		Name: text.Clean(e.Name, maxName), Replaces: e.Replaces, Confirmed: e.Method == RecoveryCode, Saved: true, Elevate: !recovered && s.Reset == nil,
		Ends: s.now.add(maxEnrollment)}
	s.renewPending()
	s.emit(Event{Type: event.EnrollmentStarted, Method: e.Method, Session: t.sessionID})
	if n := s.m.cfg.Recovery.Codes; n > 0 && (e.Method == RecoveryCode || s.codesLeft() == 0) {
		s.Pending.Codes, s.Pending.Saved = newRecoveryCodes(n), false
	}
	return s.Pending
}

// renewPending gives the user time for the next step of an enrollment.
func (s *userTx) renewPending() {
	s.Pending.Expires = min(s.now.add(s.m.cfg.Lifetimes.Enrollment), s.Pending.Ends)
}

// renewChallenge returns the enrollment challenge for the next step, if the
// enrollment has one, and otherwise that of the caller. It has the same ID as
// the ones before, which remain valid.
func (s *userTx) renewChallenge(t ticket, c Caller) Challenge {
	if t.purpose != forEnroll {
		return c.Challenge
	}
	t.expires = s.Pending.Expires
	if s.Pending.Method != SMS { // a code that was sent for a phone confirms nothing any more
		t.messageID, t.messageMethod, t.messageKey = "", "", ""
	}
	return Challenge{s.m.cfg.Keys.sealTicket(t)}
}

func (s *userTx) mayEnroll(t ticket, u User, e EnrollRequest) error {
	if err := s.authorizeChange(t, len(u.Emails) > 0); err != nil && (len(s.Factors) == 0 || e.Method == RecoveryCode || !s.mayReenroll(t)) {
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
	if i := s.factorIndex(e.Replaces); i < 0 || s.Factors[i].Method != e.Method {
		return ErrNotEnrolled
	}
	return nil
}

// mayReenroll reports whether a user whose factors are lost or not accepted has
// just given another proof: a recovery code in this session, or any method on
// the way to a required enrollment.
func (s *userTx) mayReenroll(t ticket) bool {
	return slices.ContainsFunc(t.proven, func(p provenMethod) bool {
		if p.method == RecoveryCode {
			return s.opens(p)
		}
		return s.isRecent(p.at) && t.purpose == forEnroll && !isRememberedBrowser(p.method)
	})
}

// PendingEnrollment returns the pending enrollment of the caller's session, to
// show it again. It needs no fresh proof and changes nothing. It works only in
// the browser in which the enrollment was started; if c.Client.Browser is empty,
// an attacker who has the session can read the secrets as well.
//
// Errors: [ErrExpired] if this session has no pending enrollment,
// [*DeniedError], [ErrNotAllowed], [ErrUnavailable].
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

// checkPending returns ErrExpired if the session has no pending enrollment in
// this browser. No other session may complete it, because an attacker who
// started it knows its key, and no other browser may see it, because a copied
// session would be enough to read its secrets.
func (s *userTx) checkPending(t ticket) error {
	if s.Pending == nil || s.Pending.SessionID != t.sessionID || !seal.Equal(s.Pending.Browser, browserHash(s.client.Browser)) ||
		!s.Pending.Expires.isAhead(s.m.cfg.Lifetimes.Enrollment, s.now) {
		return ErrExpired
	}
	if p := s.Pending; p.Method == TOTP && !p.App.known() || !slices.Contains([]Method{TOTP, SMS, RecoveryCode}, p.Method) {
		return unavailable("enrollment", errUnchecked)
	}
	return nil
}

func (s *userTx) describePending(u User) Enrollment {
	p := s.Pending
	e := Enrollment{ID: p.FactorID, Method: p.Method, Name: p.Name, Replaces: p.Replaces, UserName: text.Clean(u.Name, 64), Confirmed: p.Confirmed, Saved: p.Saved, Expires: p.Expires.time()}
	switch p.Method {
	case TOTP:
		e.Digits = p.App.Digits
		e.URI, e.Key = NewSecret(s.m.cfg.otpauth(u, s.labelSuffix(), p.App)), NewSecret(text.Groups(p.App.typedKey()))
	case SMS:
		e.Digits = textDigits
		e.Phone, e.SentExpires = text.MaskPhone(p.Phone), s.confirmationExpires()
	}
	e.Codes = asSecrets(p.Codes)
	return e
}

// confirmationExpires returns the time at which the code that confirms the
// pending number expires, or the zero Time.
func (s *userTx) confirmationExpires() (last time.Time) {
	for _, x := range s.Messages {
		if x.Bucket == confirmBucket && x.Attempt == s.Pending.FactorID && x.Expires.isAhead(textTTL, s.now) {
			last = x.Expires.time()
		}
	}
	return last
}

// labelSuffix returns what tells the new entry in an authenticator app from
// those of this user that may be there already: the name that the user chose, or
// the time. Apps that key entries by their label would otherwise overwrite the
// old one before the new one is confirmed.
func (s *userTx) labelSuffix() string {
	switch {
	case s.Pending.Name != "":
		return s.Pending.Name
	case slices.ContainsFunc(s.Factors, func(f factor) bool { return f.Method == TOTP }):
		return s.Pending.Ends.add(-maxEnrollment).time().Format("2006-01-02 15:04")
	}
	return ""
}

// enrollPhone starts the enrollment of a phone, or sends another code for the
// same one. The text message is counted before it is sent. Only the returned
// challenge can confirm the number by it, because it contains the key of the
// code's hash.
func (m *Manager) enrollPhone(ctx context.Context, c Caller, e EnrollRequest) (Enrollment, error) {
	var phone Phone
	var err error
	if e.Assigned == "" {
		if phone, err = m.cfg.destination(e.Phone, e.Region); err != nil {
			return Enrollment{}, err
		}
	}
	var out pendingMessage
	var started Enrollment
	err = m.change(ctx, c, func(s *userTx, t ticket, u User) error {
		if err := s.mayEnroll(t, u, e); err != nil {
			return err
		}
		if e.Assigned != "" {
			if phone, err = s.assignedNumber(u, e.Assigned); err != nil {
				return err
			}
		}
		if err := s.reserveUserSend(SMS, confirmBucket); err != nil {
			return err
		}
		if p := s.Pending; p == nil || s.checkPending(t) != nil || p.Method != SMS || p.Phone != phone.E164 || p.Replaces != e.Replaces || p.Confirmed {
			s.newPending(t, e).Phone = phone.E164
			s.voidCodes(confirmBucket, 0) // they confirm nothing any more
		}
		s.renewPending()
		p := s.Pending
		if t.purpose == forSession {
			t.purpose, t.id = forPhone, seal.NewID()
			t.bindTo(c.Client)
		}
		t.expires = p.Expires
		x := message{ID: seal.NewID(), Method: SMS, Bucket: confirmBucket, Attempt: p.FactorID, SessionID: t.sessionID}
		t.messageID, t.messageMethod = x.ID, SMS
		out = s.composeText(u, &t, &x, phone, budgetUnconfirmed)
		out = s.addMessage(x, out)
		s.emit(Event{Type: event.Sent, Method: SMS, Session: t.sessionID, Detail: "to confirm " + x.Mask})
		started = s.describePending(u)
		started.Challenge = Challenge{m.cfg.Keys.sealTicket(t)}
		return nil
	})
	if err == nil {
		err = m.handOver(ctx, c.Client, out)
	}
	if err != nil {
		return Enrollment{}, err
	}
	return started, nil
}

// confirmsPhone reports whether the code is the one texted to the pending
// number, and uses it up if so.
func (s *userTx) confirmsPhone(c Caller, code string) bool {
	t, err := s.m.openTicket(c.Challenge.Secret, forPhone, forEnroll)
	if err != nil || !t.isFrom(c.Client) {
		return false
	}
	x := s.currentMessage(t, SMS)
	code, ok := text.Digits(code, textDigits)
	if x == nil || !ok || x.Attempt != s.Pending.FactorID || !seal.Equal(x.Hash, textHash(t.messageKey, s.user, x.ID, code)) {
		return false
	}
	s.voidCodes(confirmBucket, 0)
	return true
}

// RegenerateCodes generates a new set of recovery codes. It is short for
// [Manager.Enroll] with the method RecoveryCode and returns the same errors. It
// needs a fresh proof for [ActionFactors]. The codes must be shown to the user
// and become valid when [Manager.SaveCodes] is called. Until then the old codes
// remain valid, so a user who never saw the new ones is not locked out.
func (m *Manager) RegenerateCodes(ctx context.Context, c Caller) (Enrollment, error) {
	return m.Enroll(ctx, c, EnrollRequest{Method: RecoveryCode})
}

// tellOldPhone sends a text message to the number that is being replaced, so
// that an attacker who takes over a session cannot change it unnoticed.
func (s *userTx) tellOldPhone(u User, number string) {
	phone, err := s.m.cfg.destination(number, "")
	if err != nil {
		return // no longer an allowed destination; the notice by mail must do
	}
	out := s.m.cfg.newTextMessage(number, CodeText{Replaced: true, Locale: s.m.languageOf(u, s.client.Language)})
	s.deferredTexts = append(s.deferredTexts, pendingMessage{user: s.user, account: s.account, number: phone, budget: budgetReplaced, text: &out})
}
