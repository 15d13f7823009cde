package twofa

import (
	"errors"
	"slices"

	"github.com/twofa-go/twofa/event"
)

// isFresh reports whether a rule accepts the grant now. If its MaxAge is zero,
// the grant can be used once, within onceMaxAge.
func (g grant) isFresh(r ActionRule, now unixTime) bool {
	age := r.MaxAge
	if age == 0 {
		age = onceMaxAge
	}
	return g.At.within(age, now) && slices.Contains(r.Methods, g.Method)
}

func (g grant) matches(account, action, resource, sid string) bool {
	return g.Account == account && g.Action == action && g.Resource == resource && g.SessionID == sid
}

// findGrant returns the index of the session's fresh grant for the action, or a
// DeniedError.
func (s *userTx) findGrant(t ticket, action, resource string) (int, error) {
	r := s.policy.Rule(action)
	denied := &DeniedError{Reason: ReasonMissing, Account: s.account, Action: action, Resource: resource, Methods: r.Methods, MaxAge: r.MaxAge}
	for i, g := range s.Grants {
		if !g.matches(s.account, action, resource, t.sessionID) {
			continue
		}
		if g.isFresh(r, s.now) {
			return i, nil
		}
		denied.Reason = ReasonStale
	}
	return 0, denied
}

// recordGrant records a fresh proof. It replaces an older grant for the same
// action, because two of them would allow a single-use action twice.
func (s *userTx) recordGrant(t ticket, m Method) {
	g := grant{Account: s.account, Action: t.action, Resource: t.resource, SessionID: t.sessionID, Method: m, At: s.now}
	s.Grants = slices.DeleteFunc(s.Grants, func(o grant) bool {
		return o.matches(g.Account, g.Action, g.Resource, g.SessionID)
	})
	s.Grants = append(s.Grants, g)
	s.emit(Event{Type: event.StepUp, Method: m, Session: t.sessionID, Detail: actionLabel(t.action, t.resource)})
}

// useGrant is like findGrant but also uses up a single-use grant.
func (s *userTx) useGrant(t ticket, action, resource string) error {
	i, err := s.findGrant(t, action, resource)
	if err != nil || s.policy.Rule(action).MaxAge > 0 {
		return err
	}
	s.emit(Event{Type: event.ActionUsed, Method: s.Grants[i].Method, Session: t.sessionID, Detail: actionLabel(action, resource)})
	s.Grants = slices.Delete(s.Grants, i, i+1)
	return nil
}

// authorizeChange returns an error unless the session may change factors or
// view recovery codes. It requires a fresh proof for ActionFactors, which it
// uses up if the rule is single-use. If the user has no factor, it requires
// what mayEnrollFirst does.
func (s *userTx) authorizeChange(t ticket, mail bool) error {
	if len(s.Factors) > 0 {
		return s.useGrant(t, ActionFactors, "")
	}
	return s.mayEnrollFirst(t, mail)
}

// mayEnrollFirst returns an error unless the user has just proven to be the
// person who may enroll the very first factor, which all accounts share: by a
// first factor of their own, or by an email link. The identity provider of one
// account is not enough, and neither is an API token.
func (s *userTx) mayEnrollFirst(t ticket, mail bool) error {
	linked, proven := t.provenAt(EmailLink)
	switch {
	case t.hasFirstFactor(func(f firstFactor) bool { return f.ofPerson() && s.isRecent(f.at) }), proven && s.isRecent(linked) && !t.onlyByToken():
		return nil
	case t.hasFirstFactor(firstFactor.ofPerson), t.onlyByToken():
		return s.firstFactorTooOld()
	case !mail:
		return s.denied(ReasonSupport)
	}
	return &DeniedError{Reason: ReasonMissing, Account: s.account, Action: ActionFactors, Methods: []Method{EmailLink}, MaxAge: enrollChallengeTTL}
}

// firstFactorTooOld returns an error that tells the user to log in again.
func (s *userTx) firstFactorTooOld() error {
	return &DeniedError{Reason: ReasonSignedOut, Account: s.account, Action: ActionFactors, MaxAge: enrollChallengeTTL}
}

// firstEnrollment returns what a user without a factor can prove before
// enrolling the first one. The error is that of mayEnrollFirst, or tells the
// user to enroll if nothing more is needed.
func (s *userTx) firstEnrollment(t ticket, mail bool) ([]Method, error) {
	err := s.mayEnrollFirst(t, mail)
	denied, _ := errors.AsType[*DeniedError](err)
	switch {
	case err == nil:
		r := s.policy.Rule(ActionFactors)
		return nil, &DeniedError{Reason: ReasonEnroll, Account: s.account, Action: ActionFactors, Methods: r.Methods, MaxAge: r.MaxAge}
	case denied.Reason != ReasonMissing:
		return nil, err
	case s.m.cfg.Mail.LinkURL == nil:
		return nil, unavailable("factor", errUnchecked)
	}
	return denied.Methods, nil
}

func actionLabel(action, resource string) string {
	if resource == "" {
		return action
	}
	return action + " " + resource
}
