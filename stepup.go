package twofa

import (
	"context"
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
)

// ActionFactors is the built-in action that stands before showing, making,
// changing and removing factors and recovery codes. Unless the policy has a
// rule for it, a proof with any enrolled factor lasts 15 minutes.
const ActionFactors = "factors"

// grant is a fresh proof for one action in one account, by one session.
type grant struct {
	Account   string
	Action    string
	Resource  string
	SessionID string
	Method    Method
	At        int64
}

const (
	maxGrants = 16
	maxName   = 128 // bytes of an action's, resource's or authenticator's name
)

// Rule returns what an action asks for under the policy, with the defaults
// filled in.
func (p Policy) Rule(action string) ActionRule {
	r, ok := p.Actions[action]
	if !ok && action == ActionFactors {
		r.MaxAge = 15 * time.Minute
	}
	r.Methods = slices.Clone(r.Methods)
	if len(r.Methods) == 0 {
		r.Methods = []Method{TOTP}
		if action == ActionFactors || slices.Contains(p.methods(), SMS) {
			r.Methods = append(r.Methods, SMS)
		}
	}
	return r
}

// isFresh reports whether the grant is good under a rule now. A time of issue
// that lies ahead by more than clocks differ is no proof of anything.
func (g grant) isFresh(r ActionRule, now int64) bool {
	age := r.MaxAge
	if age == 0 {
		age = onceMaxAge
	}
	return g.At <= now+issueSlack && now-g.At < int64(age/time.Second) && slices.Contains(r.Methods, g.Method)
}

func (g grant) matches(account, action, resource, sid string) bool {
	return g.Account == account && g.Action == action && g.Resource == resource && g.SessionID == sid
}

// CheckAction looks whether the session may do an action now: Check, and a
// fresh proof for exactly this account, action and resource ("" is a resource
// like any other), by this session, with an accepted method. It spends nothing.
func (m *Manager) CheckAction(ctx context.Context, c Caller, action, resource string) error {
	t, s, err := m.guard(ctx, c)
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
		return s.useGrant(t, action, resource)
	})
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
	t, s, err := m.guard(ctx, c)
	if err != nil {
		return Result{}, err
	}
	if _, err := s.findGrant(t, action, resource); err == nil {
		return Result{Next: NextDone}, nil
	}
	u, err := m.lookup(ctx, t.user, c.Account)
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

// acceptedFor returns the methods the user has that an action accepts.
func (s *userTx) acceptedFor(action string, u User) ([]Method, error) {
	r := s.policy.Rule(action)
	fallback := s.policy.Fallback
	if action == ActionFactors {
		fallback = nil // all accounts share what it changes
	}
	methods := Policy{Methods: r.Methods, Fallback: fallback}.offer(s.enrolledMethods(len(u.Emails) > 0))
	if slices.Contains(r.Methods, RecoveryCode) && s.codesLeft() > 0 {
		methods = append(methods, RecoveryCode)
	}
	if len(methods) == 0 {
		return nil, &DeniedError{Reason: ReasonEnroll, Account: s.account, Action: action, Methods: r.Methods, MaxAge: r.MaxAge}
	}
	return methods, nil
}

// findGrant returns the index of a grant that is good for this now.
func (s *userTx) findGrant(t ticket, action, resource string) (int, error) {
	r := s.policy.Rule(action)
	denied := &DeniedError{Reason: ReasonMissing, Account: s.account, Action: action, Resource: resource, Methods: r.Methods, MaxAge: r.MaxAge}
	for i, g := range s.Grants {
		if !g.matches(s.account, action, resource, t.sessionID) {
			continue
		}
		if g.isFresh(r, s.now.Unix()) {
			return i, nil
		}
		denied.Reason = ReasonStale
	}
	return 0, denied
}

// recordGrant writes down a fresh proof. It takes the place of an older one for the
// same action, so that one proof never serves twice.
func (s *userTx) recordGrant(t ticket, m Method) {
	g := grant{Account: s.account, Action: t.action, Resource: t.resource, SessionID: t.sessionID, Method: m, At: s.now.Unix()}
	s.Grants = slices.DeleteFunc(s.Grants, func(o grant) bool {
		return o.matches(g.Account, g.Action, g.Resource, g.SessionID)
	})
	s.Grants = append(s.Grants, g)
	s.emit(Event{Type: event.StepUp, Method: m, Session: t.sessionID, Detail: actionLabel(t.action, t.resource)})
}

func actionLabel(action, resource string) string {
	if resource == "" {
		return action
	}
	return action + " " + resource
}
