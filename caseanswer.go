package twofa

import (
	"context"
	"slices"

	"github.com/twofa-go/twofa/event"
)

// LinkedCase returns the open case that a mailed link belongs to, so that a page can
// show it. Opening the link must not end the case, because mail scanners open links:
// a button calls [Manager.CancelCase].
//
// It returns [ErrExpired] if the link was changed or the case is over, and
// [ErrUnavailable].
func (m *Manager) LinkedCase(ctx context.Context, token Secret) (Case, error) {
	t, err := m.openTicket(token, forCase)
	if err != nil {
		return Case{}, ErrExpired
	}
	s, err := m.load(ctx, Client{}, t.user, noPolicy)
	if err != nil {
		return Case{}, err
	}
	if x := s.openCase(); x == nil || x.ID != t.id {
		return Case{}, ErrExpired
	}
	return s.describeCase().forUser(), nil
}

// forUser returns the case without the names and words of staff, because whoever has
// the link or the session may be an attacker.
func (c *Case) forUser() Case {
	shown := *c
	shown.By, shown.Reason, shown.Approvals = "", "", nil
	for _, a := range c.Approvals {
		shown.Approvals = append(shown.Approvals, Approval{At: a.At})
	}
	return shown
}

// CancelCase ends the case that a mailed link belongs to, for its user, who need not
// be signed in. Whoever has the link can end a case and nothing else. The errors are
// those of [Manager.LinkedCase].
func (m *Manager) CancelCase(ctx context.Context, c Client, token Secret) error {
	t, err := m.openTicket(token, forCase)
	if err != nil {
		return ErrExpired
	}
	return m.update(ctx, c, t.user, noPolicy, func(s *userTx) error { return s.cancelCase(t.id, Actor{}, "") })
}

// AnswerCase is the answer of a signed-in user to the question whether the open case
// is theirs; see [Standing.Case]. The session needs a first factor of the person's
// own, because the identity provider of one account must not decide about a reset
// that concerns all of them.
//
// If the case is not theirs, it ends. If it is, a suspended case can be approved
// again, and the user and the admins are told. To say that takes a login after the
// case was opened, in the same browser. If the user has proven a factor since, it
// takes such a proof, because a weaker login must not undo what the owner's did.
//
// Errors: [ErrExpired] if the user has no such case, [*DeniedError] with
// [ReasonSignInHere] or [ReasonSignedOut] if the session is not enough,
// [ErrNotAllowed], [ErrUnavailable].
func (m *Manager) AnswerCase(ctx context.Context, c Caller, id string, isMine bool) error {
	t, err := m.openSession(c)
	if err != nil {
		return err
	}
	return m.update(ctx, c.Client, t.user, t.account, func(s *userTx) error {
		x := s.openCase()
		switch {
		case !s.isCurrent(t):
			return s.denied(ReasonSignedOut)
		case !t.hasFirstFactor(firstFactor.ofPerson):
			return s.denied(ReasonSignInHere)
		case !isMine:
			return s.cancelCase(id, Actor{}, t.sessionID)
		case x == nil || x.ID != id:
			return ErrExpired
		}
		if err := s.guard(t); err != nil {
			return err
		}
		if !t.confirms(x, c.Client) {
			return &DeniedError{Reason: ReasonSignedOut, Account: s.account, MaxAge: max(0, s.now.sub(x.Opened))}
		}
		x.Suspended, x.Proven, x.LastLogin = false, false, s.LastLogin
		s.emitCase(event.ResetConfirmed, x, Actor{}, t.sessionID)
		return nil
	})
}

// confirms reports whether a session may say that a case is the user's own.
func (t ticket) confirms(x *supportCase, c Client) bool {
	switch {
	case !t.isFrom(c):
		return false
	case x.Proven:
		return slices.ContainsFunc(t.proven, func(p provenMethod) bool { return isFactor(p.method) && p.at >= x.Opened })
	}
	return t.hasFirstFactor(func(f firstFactor) bool { return f.ofPerson() && f.at >= x.Opened })
}
