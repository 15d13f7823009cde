package twofa

import (
	"context"
)

// CheckAction looks whether the session may do an action now: Check, and a
// fresh proof for exactly this account, action and resource ("" is a resource
// like any other), by this session, with an accepted method. It spends nothing.
func (m *Manager) CheckAction(ctx context.Context, c Caller, action, resource string) error {
	t, s, err := m.loadSession(ctx, c)
	if err != nil {
		return err
	}
	_, err = s.findGrant(t, action, resource)
	return err
}

// UseAction is CheckAction, and spends a proof that serves once: of any number
// of calls at the same time, on any number of servers, one succeeds. Call it
// right before the action; if the action fails afterwards, the person proves
// again.
func (m *Manager) UseAction(ctx context.Context, c Caller, action, resource string) error {
	t, err := m.openSession(c)
	if err != nil {
		return err
	}
	return m.update(ctx, c.Client, t.user, c.Account, func(s *userTx) error {
		if err := s.guard(t); err != nil {
			return err
		}
		if err := s.useGrant(t, action, resource); err != nil {
			return err
		}
		if len(s.events) == 0 { // the proof remains valid until it is too old
			return errUnchanged
		}
		return nil
	})
}

// StepUp asks for the fresh proof of an action. The result is a challenge for
// Send and Verify; or NextDone, if there is a good proof already. A known
// browser, an e-mail link, a recovery code and the login itself do not count
// unless the action's rule names them.
//
// Errors: [*DeniedError] (ReasonEnroll: the user has nothing that would do).
func (m *Manager) StepUp(ctx context.Context, c Caller, action, resource string) (Result, error) {
	if action == "" || len(action) > maxName || len(resource) > maxName {
		return Result{}, ErrNotAllowed
	}
	t, s, err := m.loadSession(ctx, c)
	if err != nil {
		return Result{}, err
	}
	if _, err := s.findGrant(t, action, resource); err == nil {
		return Result{Next: NextDone}, nil
	}
	u, err := m.lookUp(ctx, t.user, c.Account)
	if err != nil {
		return Result{}, err
	}
	methods, err := s.acceptedFor(action, u)
	if err != nil {
		return Result{}, err
	}
	t.account, t.stamp, t.action, t.resource = c.Account, s.Stamp, action, resource
	t.bindTo(c.Client)
	return Result{Next: NextChallenge, Methods: methods, Challenge: s.issueChallenge(t, forAction, challengeTTL)}, nil
}
