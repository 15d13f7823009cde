package twofa

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/text"
)

// Factors is what a user has, for a settings page. Nothing in it is secret.
type Factors struct {
	List              []Factor
	CodesLeft         int
	CodesTotal        int
	CodesGenerated    time.Time
	CodesViewable     bool   // RecoveryCodes will show them
	Email             string // masked address that links go to, "" where the policy sends none
	Required          bool   // the policy asks for a factor: the last one cannot be removed
	TurnOff           TurnOff
	Methods           []Method // that can be set up here
	PendingEnrollment bool     // a set-up of this session's is pending
}

// Factor is an authenticator app or a phone.
type Factor struct {
	ID       string
	Method   Method
	Name     string
	Phone    string // masked
	Added    time.Time
	LastUsed time.Time
	// Removable says that the policies of all the user's accounts let the
	// person remove it, after a fresh proof.
	Removable bool
}

// Factors lists what the caller has set up. It needs no fresh proof.
func (m *Manager) Factors(ctx context.Context, c Caller) (Factors, error) {
	t, s, u, err := m.loadCaller(ctx, c)
	if err != nil {
		return Factors{}, err
	}
	v := Factors{CodesLeft: s.codesLeft(), Required: s.policy.Required, TurnOff: s.policy.TurnOff, PendingEnrollment: s.checkPending(t) == nil}
	if s.Codes != nil {
		v.CodesTotal, v.CodesGenerated = s.Codes.Total, s.Codes.Made.time()
		v.CodesViewable = m.cfg.Recovery.Viewable && s.Codes.viewable()
	}
	if slices.Contains(s.policy.methods(), EmailLink) && slices.Contains(s.enrolledMethods(len(u.Emails) > 0), EmailLink) {
		v.Email = text.MaskEmail(u.Emails[0])
	}
	for _, method := range []Method{TOTP, SMS} {
		if slices.Contains(s.policy.methods(), method) && (method == TOTP || m.cfg.SMS.Sender != nil) {
			v.Methods = append(v.Methods, method)
		}
	}
	policies, err := m.policies(ctx, s, u)
	if err != nil {
		return Factors{}, err
	}
	for i := range s.Factors {
		f := &s.Factors[i]
		shown := Factor{ID: f.ID, Method: f.Method, Name: f.Name, Added: f.Added.time(), LastUsed: f.Used.time(), Removable: s.mayRemove(i, policies)}
		if f.Method == SMS {
			shown.Phone = text.MaskPhone(f.Phone)
		}
		v.List = append(v.List, shown)
	}
	return v, nil
}

// Rename gives one of the caller's factors another name. It needs a fresh
// proof for [ActionFactors]. An id that is not the caller's is ErrNotEnrolled.
func (m *Manager) Rename(ctx context.Context, c Caller, id, name string) error {
	return m.change(ctx, c, func(s *userTx, t ticket, _ User) error {
		if err := s.authorizeChange(t); err != nil {
			return err
		}
		i := s.factorIndex(id)
		if i < 0 {
			return ErrNotEnrolled
		}
		f := &s.Factors[i]
		f.Name = cmp.Or(text.Clean(name, maxName), defaultName(f.Method))
		s.emit(Event{Type: event.Renamed, Method: f.Method, Session: t.sessionID, Detail: f.Name})
		return nil
	})
}

// Remove removes one of the caller's factors. It needs a fresh proof for
// [ActionFactors]. With the last factor goes everything else: recovery codes,
// browsers, grants; the policy says who may do that. Every other session of
// the user is dead.
//
// Errors: [*DeniedError], [ErrNotEnrolled] for an id that is not the caller's,
// [ErrNotAllowed] where the policy of any of the user's accounts forbids it.
func (m *Manager) Remove(ctx context.Context, c Caller, id string) error {
	return m.change(ctx, c, func(s *userTx, t ticket, u User) error {
		if err := s.authorizeChange(t); err != nil {
			return err
		}
		i := s.factorIndex(id)
		if i < 0 {
			return ErrNotEnrolled
		}
		policies, err := m.policies(ctx, s, u)
		if err != nil {
			return err
		}
		if !s.mayRemove(i, policies) {
			return ErrNotAllowed
		}
		f := s.Factors[i]
		s.Factors = slices.Delete(s.Factors, i, i+1)
		s.newEpoch(t.sessionID)
		s.emit(Event{Type: event.Removed, Method: f.Method, Session: t.sessionID, Detail: f.Name, Notice: true})
		if len(s.Factors) == 0 {
			s.Codes, s.Counters = nil, nil
			s.emit(Event{Type: event.TurnedOff, Session: t.sessionID, Notice: true})
		}
		return nil
	})
}

// policies returns those of all the user's accounts, the one at hand first:
// factors are shared, so that each has a say in whether one may go.
func (m *Manager) policies(ctx context.Context, s *userTx, u User) ([]Policy, error) {
	all := []Policy{s.policy}
	for _, member := range u.Members {
		if member.Account == s.account {
			continue
		}
		_, p, err := m.policy(ctx, member.Account)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// mayRemove reports whether the policies let the person remove a factor.
func (s *userTx) mayRemove(i int, policies []Policy) bool {
	left := slices.Delete(slices.Clone(s.Factors), i, i+1)
	return !slices.ContainsFunc(policies, func(p Policy) bool { return !p.allowsRemaining(left) })
}
