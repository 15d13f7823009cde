package twofa

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Factors is what a user has, for a settings page. Nothing in it is secret.
type Factors struct {
	List          []Factor
	CodesLeft     int
	CodesTotal    int
	CodesMade     time.Time
	CodesViewable bool   // RecoveryCodes will show them
	Email         string // masked address that links go to, "" where the policy sends none
	Required      bool   // the policy asks for a factor: the last one cannot be removed
	TurnOff       TurnOff
	Methods       []Method // that can be set up here
	Setup         bool     // a set-up of this session's is pending
}

// Factor is an authenticator app or a phone.
type Factor struct {
	ID       string
	Method   Method
	Name     string
	Phone    string // masked
	Added    time.Time
	LastUsed time.Time
}

// Factors lists what the caller has set up. It needs no fresh proof.
func (m *Manager) Factors(ctx context.Context, c Caller) (Factors, error) {
	t, s, u, err := m.openChange(ctx, c)
	if err != nil {
		return Factors{}, err
	}
	v := Factors{CodesLeft: s.codesLeft(), Required: s.policy.Required, TurnOff: s.policy.TurnOff, Setup: s.ownSetup(t) == nil}
	if s.Codes != nil {
		v.CodesTotal, v.CodesMade = s.Codes.Total, unix(s.Codes.Made)
		v.CodesViewable = m.cfg.ViewableCodes && s.Codes.Codes != ""
	}
	if slices.Contains(s.policy.methods(), EmailLink) && slices.Contains(s.has(len(u.Emails) > 0), EmailLink) {
		v.Email = maskEmail(u.Emails[0])
	}
	for _, method := range []Method{TOTP, SMS} {
		if slices.Contains(s.policy.methods(), method) && (method == TOTP || m.cfg.SMS != nil) {
			v.Methods = append(v.Methods, method)
		}
	}
	for i := range s.Factors {
		f := &s.Factors[i]
		shown := Factor{ID: f.ID, Method: f.Method, Name: f.Name, Added: unix(f.Added), LastUsed: unix(f.Used)}
		if f.Method == SMS {
			number, err := s.unseal(f)
			if err != nil {
				return Factors{}, unavailable("phone", err)
			}
			shown.Phone = maskPhone(number)
		}
		v.List = append(v.List, shown)
	}
	return v, nil
}

// Rename gives one of the caller's factors another name. It needs a fresh
// proof for [ActionFactors]. An id that is not the caller's is ErrNotEnrolled.
func (m *Manager) Rename(ctx context.Context, c Caller, id, name string) error {
	return m.change(ctx, c, func(s *state, t ticket, _ User) error {
		if err := s.mayChange(t); err != nil {
			return err
		}
		i := s.factorIndex(id)
		if i < 0 {
			return ErrNotEnrolled
		}
		f := &s.Factors[i]
		f.Name = cmp.Or(clean(name, maxName), defaultName(f.Method))
		s.event(Event{Type: EventRenamed, Method: f.Method, Session: t.sid, Detail: f.Name}, c.Client)
		return nil
	})
}

// Remove removes one of the caller's factors. It needs a fresh proof for
// [ActionFactors]. With the last factor goes everything else: recovery codes,
// browsers, grants; the policy says who may do that. Every other session of
// the user is dead.
//
// Errors: [*DeniedError], [ErrNotEnrolled] for an id that is not the caller's,
// [ErrNotAllowed] where the policy forbids it.
func (m *Manager) Remove(ctx context.Context, c Caller, id string) error {
	return m.change(ctx, c, func(s *state, t ticket, _ User) error {
		if err := s.mayChange(t); err != nil {
			return err
		}
		i := s.factorIndex(id)
		if i < 0 {
			return ErrNotEnrolled
		}
		f := s.Factors[i]
		left := slices.Delete(slices.Clone(s.Factors), i, i+1)
		if s.lastFactor(left) && (s.needsFactor() || s.policy.TurnOff != ByMember) {
			return ErrNotAllowed
		}
		s.Factors = left
		s.newEpoch(t.sid)
		s.event(Event{Type: EventRemoved, Method: f.Method, Session: t.sid, Detail: f.Name, Notice: true}, c.Client)
		if len(left) == 0 {
			s.Codes, s.Counters = nil, nil
			s.event(Event{Type: EventTurnedOff, Session: t.sid, Notice: true}, c.Client)
		}
		return nil
	})
}

// lastFactor reports whether nothing the policy accepts would be left.
func (s *state) lastFactor(left []factor) bool {
	return !slices.ContainsFunc(left, func(f factor) bool { return slices.Contains(s.policy.methods(), f.Method) })
}

// needsFactor reports whether the policy requires more than a mailbox.
func (s *state) needsFactor() bool {
	return s.policy.Required && !(slices.Contains(s.policy.methods(), EmailLink) && s.m.cfg.Mailer != nil)
}
