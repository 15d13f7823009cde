package twofa

import "context"

// CheckAction checks whether the session may perform the action now. It does
// what [Manager.Check] does and also requires a fresh proof, given by this
// session with an accepted method, for exactly this account, action and
// resource (an empty resource is a value like any other). The proof counts only
// in the browser in which it was given ([Client.Browser]). CheckAction does not
// use it up.
//
// Use it for an action whose rule has a MaxAge, for example to read data several
// times. For a single-use rule, call [Manager.UseAction] immediately before the
// action, because a proof that is only checked is valid again and again for 5
// minutes. Any account can have such a rule, so if one lets the session pass,
// CheckAction logs an error, at most once an hour. To show a page with a button
// for the action, call [Manager.PeekAction].
//
// If there is no such proof, CheckAction returns a [*DeniedError] with
// [ReasonMissing], or with [ReasonStale] if the proof is too old or was given
// with a method that the rule does not accept. Its other errors are those of
// Check: a *DeniedError, [ErrNotAllowed] or [ErrUnavailable].
func (m *Manager) CheckAction(ctx context.Context, c Caller, action, resource string) error {
	once, err := m.peek(ctx, c, action, resource)
	if err == nil && once && m.firstThisHour(&m.checkLogged) {
		m.cfg.Logger.ErrorContext(ctx, "twofa: CheckAction let an action pass whose proofs are single-use; call UseAction before the action, or PeekAction to show a page", "action", action)
	}
	return err
}

// PeekAction is like [Manager.CheckAction], for a page that only shows whether
// the action is possible, such as one with the button for it. The action itself
// must call [Manager.UseAction].
func (m *Manager) PeekAction(ctx context.Context, c Caller, action, resource string) error {
	_, err := m.peek(ctx, c, action, resource)
	return err
}

// peek returns nil if the session has a fresh proof for the action, and whether
// the rule of the action is single-use.
func (m *Manager) peek(ctx context.Context, c Caller, action, resource string) (once bool, err error) {
	t, s, err := m.loadSession(ctx, c)
	if err != nil {
		return false, err
	}
	_, err = s.findGrant(t, action, resource)
	return s.policy.Rule(action).MaxAge == 0, err
}

// UseAction is like [Manager.CheckAction] but also uses up a single-use proof
// (see [ActionRule.MaxAge]). Of any number of concurrent calls for one
// single-use proof, on any number of servers, exactly one succeeds. If MaxAge
// is positive, UseAction does the same as CheckAction.
//
// Call it immediately before the action. If the action then fails, the user
// must give a new proof.
func (m *Manager) UseAction(ctx context.Context, c Caller, action, resource string) error {
	t, err := m.openSession(c)
	if err != nil {
		return err
	}
	return m.update(ctx, c.Client, t.user, t.account, func(s *userTx) error {
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

// StepUp starts a step-up. It returns a challenge, with which the user proves a
// method for the action; see [Manager.Send] and [Manager.Verify]. If there
// already is a fresh proof, the result is [NextDone] without a session, and the
// current session remains valid. If the rule has a MaxAge, a proof that was
// given earlier in this session and browser counts, too, such as that of the
// login. Remembered browsers never count. Email links and recovery codes count
// only if [ActionRule.Methods] includes them.
//
// StepUp returns a [*DeniedError] if Check refuses the session, or with
// [ReasonEnroll] if the user has none of the accepted methods. It returns
// [ErrNotAllowed] if action is empty, if action or resource is longer than 128
// bytes, or if the user is disabled or not a member of the account, and
// [ErrUnavailable] if a record, the policy or the directory cannot be read.
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
	u, err := m.lookUp(ctx, t.user, t.account)
	if err != nil {
		return Result{}, err
	}
	methods, err := s.acceptedFor(t, action, len(u.Emails) > 0)
	if err != nil {
		return Result{}, err
	}
	t.action, t.resource = action, resource
	t.bindTo(c.Client)
	return Result{Next: NextChallenge, Methods: methods, Challenge: s.issueChallenge(t, forAction)}, nil
}
