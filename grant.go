package twofa

import (
	"slices"

	"github.com/twofa-go/twofa/event"
)

// isFresh reports whether the grant is good under a rule now. A time of issue
// that lies ahead by more than clocks differ is no proof of anything.
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

// findGrant returns the index of a grant that is good for this now.
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

// recordGrant writes down a fresh proof. It takes the place of an older one for the
// same action, so that one proof never serves twice.
func (s *userTx) recordGrant(t ticket, m Method) {
	g := grant{Account: s.account, Action: t.action, Resource: t.resource, SessionID: t.sessionID, Method: m, At: s.now}
	s.Grants = slices.DeleteFunc(s.Grants, func(o grant) bool {
		return o.matches(g.Account, g.Action, g.Resource, g.SessionID)
	})
	s.Grants = append(s.Grants, g)
	s.emit(Event{Type: event.StepUp, Method: m, Session: t.sessionID, Detail: actionLabel(t.action, t.resource)})
}

// useGrant is granted, and spends a proof that serves once.
func (s *userTx) useGrant(t ticket, action, resource string) error {
	i, err := s.findGrant(t, action, resource)
	if err != nil || s.policy.Rule(action).MaxAge > 0 {
		return err
	}
	s.emit(Event{Type: event.ActionUsed, Method: s.Grants[i].Method, Session: t.sessionID, Detail: actionLabel(action, resource)})
	s.Grants = slices.Delete(s.Grants, i, i+1)
	return nil
}

// authorizeChange is the gate before factors and recovery codes are shown or
// changed. It requires a fresh proof with a factor, which it uses up if the
// policy says so. Before the very first factor it requires a fresh first factor.
func (s *userTx) authorizeChange(t ticket) error {
	if len(s.Factors) > 0 {
		return s.useGrant(t, ActionFactors, "")
	}
	if !s.hasFreshFirstFactor(t) {
		return s.firstFactorTooOld()
	}
	return nil
}

// hasFreshFirstFactor reports whether the user signed in just now. An API token
// does not count, because its user need not be present.
func (s *userTx) hasFreshFirstFactor(t ticket) bool { return s.isRecent(t.at) && t.by != ByToken }

// firstFactorTooOld is a refusal that only a new login helps with.
func (s *userTx) firstFactorTooOld() error {
	return &DeniedError{Reason: ReasonSignedOut, Account: s.account, Action: ActionFactors, MaxAge: enrollChallengeTTL}
}

func actionLabel(action, resource string) string {
	if resource == "" {
		return action
	}
	return action + " " + resource
}
