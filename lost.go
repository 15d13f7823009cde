package twofa

import (
	"context"
	"time"

	"github.com/twofa-go/twofa/event"
)

// ReportLost records that the user has lost the device with their second factor.
// Call it from the page that asks for the second factor. No browser is remembered
// any longer, and the user and the admins of all their accounts are told by mail, so
// that whoever found or stole the device is noticed. It opens nothing: the user still
// needs a recovery code, another method or a reset.
//
// The report ends when the user proves an authenticator or a phone, or enrolls one.
// They are told of that, too. A report within a day of another one does the same, but
// records no event and sends no mail, so that somebody who has only the password
// cannot send mail all the time.
//
// A login by one account's own identity provider or by an API token cannot report,
// because the admin of one account could otherwise make the browsers of a member
// ask for codes in all others.
//
// Errors: [ErrExpired], [ErrNotAllowed], [ErrUnavailable] under the same conditions
// as [Manager.Verify]; [*DeniedError] with [ReasonSignInHere] if the first factor is
// not the user's own; [ErrNotEnrolled] if the user has no factor.
func (m *Manager) ReportLost(ctx context.Context, c Client, ch Challenge) error {
	t, err := m.openChallenge(c, ch, forLogin)
	if err != nil {
		return err
	}
	return m.updateUser(ctx, c, t, func(s *userTx, u User) error {
		if _, err := s.offeredMethods(u, t); err != nil {
			return err
		}
		if !t.hasFirstFactor(firstFactor.ofPerson) {
			return s.denied(ReasonSignInHere)
		}
		if len(s.Factors) == 0 {
			return ErrNotEnrolled
		}
		told := s.reserve(lostAllowance, lostBucket) != nil // the user and the admins, within the last day
		if told && s.Lost != 0 && !s.remembersAny() {
			return errUnchanged
		}
		s.Lost = s.now
		s.forgetRemembered()
		if !told {
			s.emit(Event{Type: event.Lost, Session: t.sessionID, Notice: true})
		}
		return nil
	})
}

// endLost ends the report that the device was lost, because the user has just
// proven or enrolled a factor. If a thief did, the user and the admins learn of it,
// up to three times a day.
func (s *userTx) endLost(t ticket, m Method) {
	if s.Lost != 0 && (m == TOTP || m == SMS) {
		s.Lost = 0
		s.emit(Event{Type: event.LostCleared, Method: m, Session: t.sessionID, Notice: s.reserve(foundAllowance, foundBucket) == nil})
	}
}

// Standing is what a product should show a signed-in user about their own second
// factor, for example in a banner.
type Standing struct {
	// Due, if not zero, is the time from which the account requires a factor that
	// the user does not have yet; see [Policy.Grace].
	Due time.Time
	// Lost, if not zero, is when somebody reported the user's device as lost; see
	// [Manager.ReportLost].
	Lost time.Time
	// Case is an open support case to reset the user. Ask the user whether they have
	// asked for it, and call [Manager.AnswerCase]. It is nil if there is none, and for
	// a session that cannot answer, because it has no first factor of the person's own.
	Case *Case
}

// Standing returns what to show the caller's user. It reads the store once and
// does not write. It needs no fresh proof, and also answers a session that does
// not meet the policy.
//
// Errors: [*DeniedError] if the session is not current, [ErrNotAllowed] if the
// account's ID is malformed, [ErrUnavailable].
func (m *Manager) Standing(ctx context.Context, c Caller) (Standing, error) {
	t, err := m.openSession(c)
	if err != nil {
		return Standing{}, err
	}
	s, err := m.load(ctx, c.Client, t.user, t.account)
	if err != nil {
		return Standing{}, err
	}
	if !s.isCurrent(t) {
		return Standing{}, s.denied(ReasonSignedOut)
	}
	var shown *Case
	if x := s.describeCase(); x != nil && t.hasFirstFactor(firstFactor.ofPerson) {
		c := x.forUser()
		shown = &c
	}
	return Standing{Due: s.policy.evaluate(s.facts(t, true)).due.time(), Lost: s.Lost.time(), Case: shown}, nil
}
