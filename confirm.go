package twofa

import (
	"cmp"
	"context"

	"github.com/twofa-go/twofa/event"
)

// Confirm checks the first code of what is being set up. If the recovery codes
// are saved, it becomes active, and the result is NextDone with the session
// upgraded: every other session, challenge and browser of the user is dead.
// Otherwise NextEnroll: [Manager.SaveCodes] is left.
//
// Errors: [ErrInvalidCode], for which [ClockOffset] may tell that the person's
// clock is wrong; [ErrExpired] after five of them, after ten minutes, or from
// another session than the one that started.
func (m *Manager) Confirm(ctx context.Context, c Caller, code string) (Result, error) {
	return m.finish(ctx, c, func(s *state, t ticket) error {
		if s.Setup.Confirmed {
			return nil
		}
		s.dirty = true
		err := s.confirm(c, code)
		if err == nil {
			s.Setup.Confirmed = true
			return nil
		}
		s.Setup.Fails++
		s.event(Event{Type: event.Failed, Method: s.Setup.Method, Session: t.sid, Detail: "set-up"})
		if s.Setup.Fails >= maxConfirmations {
			s.Setup = nil
		}
		return err
	})
}

// confirm compares a code with the pending factor.
func (s *state) confirm(c Caller, code string) error {
	p := s.Setup
	failure := &codeError{left: maxConfirmations - 1 - p.Fails}
	if p.Method == SMS {
		if !s.confirmsPhone(c, code) {
			return failure
		}
		return nil
	}
	var ok bool
	if p.Step, ok = p.App.match(code, s.now, s.m.cfg.TOTP.Strict); !ok {
		failure.clock, _ = p.App.offset(code, s.now)
		return failure
	}
	return nil
}

// SaveCodes acknowledges that the person has saved the recovery codes of the
// pending set-up. If the code is confirmed, it becomes active; see
// [Manager.Confirm]. A new set of codes becomes live here, and the old one
// dies.
func (m *Manager) SaveCodes(ctx context.Context, c Caller) (Result, error) {
	return m.finish(ctx, c, func(s *state, _ ticket) error {
		s.Setup.Saved, s.dirty = true, true
		return nil
	})
}

// finish takes a step of a set-up, and activates it if it was the last.
func (m *Manager) finish(ctx context.Context, c Caller, step func(*state, ticket) error) (Result, error) {
	var login Result
	err := m.change(ctx, c, func(s *state, t ticket, u User) error {
		if err := s.ownSetup(t); err != nil {
			return err
		}
		if err := step(s, t); err != nil {
			return err
		}
		if !s.Setup.Confirmed || !s.Setup.Saved {
			login = Result{Next: NextEnroll, Challenge: c.Challenge}
			return nil
		}
		var err error
		login, err = s.activate(u, t, c)
		return err
	})
	return loginOrError(login, err)
}

// activate makes the pending set-up live, in the write that everything else
// it changes is part of.
func (s *state) activate(u User, t ticket, c Caller) (Result, error) {
	p := s.Setup
	if len(p.Codes) > 0 {
		s.Codes = s.newCodeSet(p.Codes)
		delete(s.Counters, bucket(RecoveryCode, true))
		delete(s.Counters, bucket(RecoveryCode, false))
		alone := p.Method == RecoveryCode // else the notice of the factor is enough
		s.event(Event{Type: event.CodesGenerated, Session: t.sid, Left: len(p.Codes), Notice: alone})
	}
	if p.Method == RecoveryCode {
		s.Setup = nil
		return Result{Next: NextDone, Session: c.Session}, nil
	}
	if err := s.place(t); err != nil {
		s.dirty = false
		return Result{}, err
	}
	s.newEpoch(t.sid)
	t = t.prove(p.Method, s.now.Unix())
	login := Result{Next: NextDone}
	if t.purpose == forEnroll {
		s.spend(t)
		login = s.advance(u, t)
	} else {
		login.Session = s.session(t)
	}
	if login.Next == NextDone {
		login.Browser = s.recognise(p.Method, false)
	}
	return login, nil
}

// place puts the new factor where it belongs: into the list, or in the place
// of the one it replaces. Its counters start anew.
func (s *state) place(t ticket) error {
	p := s.Setup
	f := factor{ID: p.ID, Method: p.Method, Name: cmp.Or(p.Name, defaultName(p.Method)), App: p.App, Phone: p.Phone, Step: p.Step,
		Added: s.now.Unix(), Used: s.now.Unix()}
	e := Event{Type: event.Enrolled, Method: f.Method, Session: t.sid, Detail: f.Name, Notice: true}
	if p.Replaces == "" {
		s.Factors = append(s.Factors, f)
	} else {
		i := s.factorIndex(p.Replaces)
		if i < 0 {
			return ErrExpired
		}
		if p.Name == "" {
			f.Name = s.Factors[i].Name
		}
		if f.Method == SMS {
			s.tellOldPhone(s.Factors[i].Phone)
		}
		s.Factors[i], e.Type, e.Detail = f, event.Replaced, f.Name
	}
	delete(s.Counters, bucket(f.Method, true))
	delete(s.Counters, bucket(f.Method, false))
	s.event(e)
	return nil
}

func defaultName(m Method) string {
	if m == SMS {
		return "Phone"
	}
	return "Authenticator app"
}
