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
	// Removable says that the policy lets the person remove it, after a fresh
	// proof.
	Removable bool
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
		shown := Factor{ID: f.ID, Method: f.Method, Name: f.Name, Added: unix(f.Added), LastUsed: unix(f.Used), Removable: s.mayRemove(i)}
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
		if !s.mayRemove(i) {
			return ErrNotAllowed
		}
		f := s.Factors[i]
		s.Factors = slices.Delete(s.Factors, i, i+1)
		s.newEpoch(t.sid)
		s.event(Event{Type: EventRemoved, Method: f.Method, Session: t.sid, Detail: f.Name, Notice: true}, c.Client)
		if len(s.Factors) == 0 {
			s.Codes, s.Counters = nil, nil
			s.event(Event{Type: EventTurnedOff, Session: t.sid, Notice: true}, c.Client)
		}
		return nil
	})
}

// mayRemove reports whether the policy lets the person remove a factor: one
// that it accepts is left, or it neither requires one nor keeps turning off to
// others.
func (s *state) mayRemove(i int) bool {
	methods := s.policy.methods()
	for j := range s.Factors {
		if j != i && slices.Contains(methods, s.Factors[j].Method) {
			return true
		}
	}
	mailbox := slices.Contains(methods, EmailLink) && s.m.cfg.Mailer != nil
	return (!s.policy.Required || mailbox) && s.policy.TurnOff == ByMember
}
