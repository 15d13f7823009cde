package abuse

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

// sending is a world whose messages can fail.
func sending(t *testing.T, m twofa.Method) (p *person, s *sender) {
	s = &sender{}
	edit := byLink
	if m == twofa.SMS {
		edit = byText
	}
	w := newWorld(t, edit, func(c *twofa.Config) {
		if m == twofa.EmailLink {
			c.Mail.Mailer = s
		}
		c.SMS.Sender = s
	})
	w.out = &s.Outbox
	p = w.person("ada")
	if m == twofa.SMS {
		p = w.withPhone("ada", adasPhone)
	}
	p.begin()
	return p, s
}

func undeliverable(context.Context, func() error) error {
	return fmt.Errorf("gateway: 21614: %w", twofa.ErrUndeliverable)
}

// A recipient that can never receive messages is not an outage. The message is
// given back, at most twice a day, so that the user can correct the number.
func TestAbuse_J11_PermanentRefusalIsGivenBack(t *testing.T) {
	for _, m := range []twofa.Method{twofa.SMS, twofa.EmailLink} {
		t.Run(string(m), func(t *testing.T) {
			p, s := sending(t, m)
			s.do = undeliverable
			for range 2 {
				l, err := p.Send(t.Context(), p.client, p.login.Challenge, m)
				require.ErrorIs(t, err, twofa.ErrUndeliverable)
				require.NotErrorIs(t, err, twofa.ErrUnavailable)
				require.Zero(t, l)
				p.clock.Add(15 * time.Minute) // the number has a limit of its own, which is not given back
				p.begin()
			}
			require.ErrorIs(t, p.send(m), twofa.ErrUndeliverable, "the third one of a day")
			s.do = nil
			require.ErrorIs(t, p.send(m), twofa.ErrLocked, "is not given back")
			p.clock.Add(time.Minute)
			p.begin()
			if m == twofa.SMS {
				p.clock.Add(5 * time.Minute)
				p.begin()
			}
			require.NoError(t, p.send(m))
			require.NoError(t, p.verify(m, received(p, s, m, -1)))
		})
	}
	t.Run("a number that is enrolled", func(t *testing.T) {
		s := &sender{do: undeliverable}
		w := newWorld(t, byText, func(c *twofa.Config) { c.SMS.Sender = s })
		w.out = &s.Outbox
		ada := w.person("ada")
		ada.begin()
		require.ErrorIs(t, failure(ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: otherPhone})), twofa.ErrUndeliverable)
		s.do = nil
		ada.setUpPhone(adasPhone) // at once
	})
	t.Run("a failure that may pass is not given back", func(t *testing.T) {
		p, s := sending(t, twofa.SMS)
		s.do = func(context.Context, func() error) error { return errDown }
		require.ErrorIs(t, p.send(twofa.SMS), twofa.ErrUnavailable)
		require.ErrorIs(t, p.send(twofa.SMS), twofa.ErrLocked)
	})
}

// A send that fails takes away nothing that has arrived.
func TestAbuse_I07_J05_FailedSendKeepsWhatArrived(t *testing.T) {
	for _, m := range []twofa.Method{twofa.SMS, twofa.EmailLink} {
		for name, do := range map[string]func(context.Context, func() error) error{
			"fails":         func(context.Context, func() error) error { return errDown },
			"panics":        func(context.Context, func() error) error { panic("gateway") },
			"undeliverable": undeliverable,
		} {
			t.Run(string(m)+" "+name, func(t *testing.T) {
				p, s := sending(t, m)
				require.NoError(t, p.send(m))
				arrived := received(p, s, m, -1)
				p.clock.Add(time.Minute)
				s.do = do
				require.Error(t, p.send(m))
				require.NoError(t, p.verify(m, arrived), "with the challenge that came with it")
			})
		}
		t.Run(string(m)+" handed over", func(t *testing.T) {
			p, s := sending(t, m)
			require.NoError(t, p.send(m))
			older, arrived := *p, received(p, s, m, -1)
			p.clock.Add(time.Minute)
			require.NoError(t, p.send(m))
			require.ErrorIs(t, older.verify(m, arrived), twofa.ErrInvalidCode, "the older one is void")
			require.NoError(t, p.verify(m, received(p, s, m, -1)))
		})
	}
	t.Run("while a phone is enrolled", func(t *testing.T) {
		s := &sender{}
		w := newWorld(t, byText, func(c *twofa.Config) { c.SMS.Sender = s })
		w.out = &s.Outbox
		ada := w.person("ada")
		ada.begin()
		e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: adasPhone})
		require.NoError(t, err)
		ada.login.Challenge = e.Challenge
		w.clock.Add(time.Minute)
		s.do = func(context.Context, func() error) error { return errDown }
		require.ErrorIs(t, failure(ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: adasPhone})), twofa.ErrUnavailable)
		require.NoError(t, ada.confirm(s.TextCode(t, adasPhone)))
	})
}

// If the write that voids the older code fails, both are valid. They share their
// failures, so that two codes do not give twice as many guesses.
func TestAbuse_J03_TwoLiveCodesShareTheirFailures(t *testing.T) {
	w, store := newFault(t, byText)
	ada, older := w.texted("ada")
	before := *ada
	w.clock.Add(time.Minute)
	swaps := 0
	store.Refuse = func(r twofa.Record) error {
		if r.Key != "user/ada" {
			return nil
		}
		if swaps++; swaps > 1 { // the claim is written, and what follows is not
			return errFault
		}
		return nil
	}
	require.NoError(t, ada.send(twofa.SMS), "the message was handed over")
	store.Refuse = nil
	newer := w.out.TextCode(t, adasPhone)
	t.Run("both are valid", func(t *testing.T) {
		for i := range 4 {
			p := []*person{&before, ada}[i%2]
			require.ErrorIs(t, p.verify(twofa.SMS, p.wrongCode(twofa.SMS)), twofa.ErrInvalidCode)
		}
		first := before
		require.NoError(t, first.verify(twofa.SMS, older))
		require.ErrorIs(t, ada.verify(twofa.SMS, newer), twofa.ErrExpired, "the challenge is used up")
	})
	t.Run("until five failures of both", func(t *testing.T) {
		w, store := newFault(t, byText)
		ada, older := w.texted("ada")
		before := *ada
		w.clock.Add(time.Minute)
		swaps := 0
		store.Refuse = func(r twofa.Record) error {
			if r.Key == "user/ada" {
				if swaps++; swaps > 1 {
					return errFault
				}
			}
			return nil
		}
		require.NoError(t, ada.send(twofa.SMS))
		store.Refuse = nil
		newer := w.out.TextCode(t, adasPhone)
		for i := range 5 {
			p := []*person{&before, ada}[i%2]
			require.ErrorIs(t, p.verify(twofa.SMS, p.wrongCode(twofa.SMS)), twofa.ErrInvalidCode)
		}
		w.clock.Add(time.Minute)
		require.ErrorIs(t, before.verify(twofa.SMS, older), twofa.ErrInvalidCode)
		w.clock.Add(2 * time.Minute)
		require.ErrorIs(t, ada.verify(twofa.SMS, newer), twofa.ErrInvalidCode)
	})
}

// After a logout of the host, or in another session, a code completes no
// step-up: neither with a challenge nor with a link or code that was sent for
// it.
func TestAbuse_E14_StepUpEndsWithItsSession(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	other := ada.another()
	require.NoError(t, other.verify(twofa.TOTP, other.code()))
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), export, "")))
	for name, session := range map[string]twofa.Session{"none": {}, "another one of hers": other.session, "rubbish": twofa.ParseSession("x.y")} {
		thief := *ada
		thief.session = session
		require.ErrorIs(t, thief.verify(twofa.TOTP, thief.code()), twofa.ErrExpired, name)
	}
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()), "none of it used up the challenge")

	t.Run("codes that were sent", func(t *testing.T) {
		w := newWorld(t, byText)
		ada := w.withPhone("ada", adasPhone)
		ada.begin()
		require.NoError(t, ada.send(twofa.SMS))
		require.NoError(t, ada.verify(twofa.SMS, w.out.TextCode(t, adasPhone)))
		w.clock.Add(10 * time.Minute)
		require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), export, "")))
		require.NoError(t, ada.send(twofa.SMS))
		require.NoError(t, w.SignedOut(t.Context(), ada.caller()))
		require.ErrorIs(t, ada.verify(twofa.SMS, w.out.TextCode(t, adasPhone)), twofa.ErrInvalidCode)
	})
	t.Run("a pending enrollment", func(t *testing.T) {
		w := newWorld(t)
		ada := pendingPage(w, false)
		require.NoError(t, w.SignedOut(t.Context(), ada.caller()))
		require.ErrorIs(t, failure(ada.PendingEnrollment(t.Context(), ada.caller())), twofa.ErrExpired)
	})
	t.Run("a login of another user in the browser", func(t *testing.T) {
		w := newWorld(t)
		ada := w.enrolled("ada")
		require.NoError(t, ada.stepUp(export))
		bob := w.person("bob")
		bob.client = ada.client
		_, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: "bob", By: twofa.ByPassword, Session: ada.session, Client: bob.client})
		require.NoError(t, err)
		denied(t, ada.use(export, ""), twofa.ReasonMissing)
	})
}
