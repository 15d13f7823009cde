package abuse

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

func (p *person) reset(inPerson bool) error {
	return p.User(twofa.AsHost("lost the phone"), p.id).Reset(p.t.Context(), twofa.ResetRequest{InPerson: inPerson})
}

// signIn begins a login in acme after a reset.
func (p *person) signIn(by twofa.FirstFactorMethod) error {
	p.login, p.session = twofa.Result{}, twofa.Session{}
	f := twofa.FirstFactor{UserID: p.id, Account: "acme", By: by, Client: p.client}
	if by == twofa.BySSO {
		f.ProviderOf = "acme"
	}
	return p.took(p.Begin(p.t.Context(), f))
}

// enrollAfterReset enrolls the next authenticator, with a link if one is asked
// for, and reports whether one was.
func (p *person) enrollAfterReset(by twofa.FirstFactorMethod) (linked bool, err error) {
	p.account = "acme"
	link := func() error {
		linked = true
		require.Equal(p.t, []twofa.Method{twofa.EmailLink}, p.login.Methods)
		if err := p.send(twofa.EmailLink); err != nil {
			return err
		}
		return p.verify(twofa.EmailLink, p.token())
	}
	if err := p.signIn(by); err != nil {
		return false, err
	}
	if p.login.Next == twofa.NextChallenge {
		if err := link(); err != nil {
			return linked, err
		}
	}
	e, err := p.Enroll(p.t.Context(), p.caller(), twofa.EnrollRequest{})
	if err != nil {
		if d, _ := errors.AsType[*twofa.DeniedError](err); d == nil || d.Reason != twofa.ReasonMissing {
			return linked, err
		}
		if err := p.took(p.StepUp(p.t.Context(), p.caller(), twofa.ActionFactors, "")); err != nil {
			return linked, err
		}
		if err := link(); err != nil {
			return linked, err
		}
		if e, err = p.Enroll(p.t.Context(), p.caller(), twofa.EnrollRequest{}); err != nil {
			return linked, err
		}
	}
	p.uri = e.URI.Reveal()
	require.NoError(p.t, p.confirm(p.code()))
	p.keep(e)
	require.NoError(p.t, p.took(p.SaveCodes(p.t.Context(), p.caller())))
	require.Equal(p.t, twofa.NextDone, p.login.Next)
	return linked, nil
}

// A user must give a proof between a reset and the next factor.
func TestReset_NextEnrollment(t *testing.T) {
	optional, required := twofa.PolicyOptional(), twofa.Policy{Required: true}
	lenient := twofa.Policy{Required: true, EnrollWithoutLink: true}
	noLink := func(c *twofa.Config) { c.Mail.LinkURL = nil }
	later := 24 * time.Hour
	type answer struct {
		linked bool
		err    error
		reason twofa.Reason
	}
	link, direct := answer{linked: true}, answer{}
	support := answer{reason: twofa.ReasonSupport}
	unavailable := answer{err: twofa.ErrUnavailable}
	for name, c := range map[string]struct {
		edit     func(*twofa.Config)
		policy   twofa.Policy
		mailbox  bool // whether the user has an address
		inPerson bool
		by       twofa.FirstFactorMethod
		after    time.Duration
		want     answer
	}{
		"optional":                             {nil, optional, true, false, twofa.ByPassword, 0, link},
		"optional, a month later":              {nil, optional, true, false, twofa.ByPassword, 30 * later, link},
		"required":                             {nil, required, true, false, twofa.ByPassword, 0, link},
		"required without a link":              {nil, lenient, true, false, twofa.ByPassword, 0, link},
		"optional by SSO":                      {nil, optional, true, false, twofa.BySSO, 0, link},
		"required by SSO":                      {nil, required, true, false, twofa.BySSO, 0, link},
		"in person, optional":                  {nil, optional, true, true, twofa.ByPassword, 0, direct},
		"in person, optional, in time":         {nil, optional, true, true, twofa.ByPassword, later - time.Minute, direct},
		"in person, optional, too late":        {nil, optional, true, true, twofa.ByPassword, later, link},
		"in person, required":                  {nil, required, true, true, twofa.ByPassword, 0, direct},
		"in person, required, too late":        {nil, lenient, true, true, twofa.ByPassword, later, link},
		"in person by SSO":                     {nil, optional, true, true, twofa.BySSO, 0, link},
		"in person by SSO, required":           {nil, required, true, true, twofa.BySSO, 0, link},
		"no address, optional":                 {nil, optional, false, true, twofa.ByPassword, 0, direct},
		"no address, optional, too late":       {nil, optional, false, true, twofa.ByPassword, later, support},
		"no address, required":                 {nil, required, false, true, twofa.ByPassword, 0, direct},
		"no address, required, too late":       {nil, required, false, true, twofa.ByPassword, later, support},
		"no address, without a link, too late": {nil, lenient, false, true, twofa.ByPassword, later, support},
		"no address by SSO":                    {nil, optional, false, true, twofa.BySSO, 0, support},
		"no address by SSO, required":          {nil, required, false, true, twofa.BySSO, 0, support},
		"no LinkURL, optional":                 {noLink, optional, true, true, twofa.ByPassword, 0, direct},
		"no LinkURL, optional, too late":       {noLink, optional, true, true, twofa.ByPassword, later, unavailable},
		"no LinkURL, required":                 {noLink, lenient, true, true, twofa.ByPassword, 0, direct},
		"no LinkURL, required, too late":       {noLink, lenient, true, true, twofa.ByPassword, later, unavailable},
		"no LinkURL by SSO":                    {noLink, optional, true, true, twofa.BySSO, 0, unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			edit := c.edit
			if edit == nil {
				edit = func(*twofa.Config) {}
			}
			w := newWorld(t, edit)
			ada := w.enrolled("ada")
			require.NoError(t, w.acme().SetPolicy(t.Context(), c.policy, ""))
			if !c.mailbox {
				w.setUser("ada", func(u *twofa.User) { u.Emails = nil })
			}
			require.NoError(t, ada.reset(c.inPerson))
			w.clock.Add(c.after)
			linked, err := ada.enrollAfterReset(c.by)
			switch {
			case c.want.reason != "":
				denied(t, err, c.want.reason)
			case c.want.err != nil:
				require.ErrorIs(t, err, c.want.err)
			default:
				require.NoError(t, err)
				require.Equal(t, c.want.linked, linked)
				w.clock.Add(time.Minute)
				denied(t, ada.Rename(t.Context(), ada.caller(), ada.factor(0), "mine"), twofa.ReasonMissing, "the new factor is proven once more")
				require.NoError(t, ada.stepUp(twofa.ActionFactors))
				require.NoError(t, ada.Rename(t.Context(), ada.caller(), ada.factor(0), "mine"))
				require.NoError(t, ada.enrollAnother(), "the reset is over")
			}
		})
	}
}

func (p *person) enrollAnother() error {
	return failure(p.Enroll(p.t.Context(), p.caller(), twofa.EnrollRequest{Name: "another"}))
}

// A first factor that is older than 15 minutes opens nothing, in person or not.
func TestReset_FirstFactorMustBeRecent(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	require.NoError(t, ada.reset(true))
	ada.account = "acme"
	require.NoError(t, ada.signIn(twofa.ByPassword))
	w.clock.Add(15 * time.Minute)
	denied(t, ada.enrollAnother(), twofa.ReasonSignedOut)
	require.NoError(t, ada.signIn(twofa.ByToken))
	denied(t, ada.enrollAnother(), twofa.ReasonSignedOut, "and so does an API token")
	require.NoError(t, ada.signIn(twofa.ByPassword))
	require.NoError(t, ada.enrollAnother())
}

func TestReset_AddressWentAwayAfterwards(t *testing.T) {
	for _, policy := range []twofa.Policy{twofa.PolicyOptional(), {Required: true, EnrollWithoutLink: true}} {
		w := newWorld(t)
		ada := w.enrolled("ada")
		require.NoError(t, w.acme().SetPolicy(t.Context(), policy, ""))
		require.NoError(t, ada.reset(false))
		w.setUser("ada", func(u *twofa.User) { u.Emails = nil })
		_, err := ada.enrollAfterReset(twofa.ByPassword)
		denied(t, err, twofa.ReasonSupport)
		require.NoError(t, ada.reset(true), "support can see her")
		_, err = ada.enrollAfterReset(twofa.ByPassword)
		require.NoError(t, err)
	}
}

// A later reset that is not in person closes what an earlier one opened.
func TestReset_Twice(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	require.NoError(t, ada.reset(true))
	require.NoError(t, ada.reset(false))
	linked, err := ada.enrollAfterReset(twofa.ByPassword)
	require.NoError(t, err)
	require.True(t, linked)
}

func TestReset_Refused(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	stored := w.record("ada")
	now := func(m *twofa.Manager, by twofa.Actor, id string) error {
		return m.User(by, id).Reset(t.Context(), twofa.ResetRequest{})
	}
	require.ErrorIs(t, now(w.Manager, twofa.AsUser(ada.caller(), ""), "ada"), twofa.ErrNotAllowed)
	require.ErrorIs(t, now(w.Manager, twofa.Actor{}, "ada"), twofa.ErrNotAllowed)
	require.ErrorIs(t, now(w.Manager, twofa.AsHost("test"), ""), twofa.ErrInvalid)
	require.Error(t, now(w.Manager, twofa.AsHost("test"), "nobody"))
	withoutLink := w.with(func(c *twofa.Config) { c.Mail.LinkURL = nil })
	require.ErrorIs(t, now(withoutLink, twofa.AsHost("test"), "ada"), twofa.ErrNotAllowed)
	w.setUser("ada", func(u *twofa.User) { u.Emails = nil })
	require.ErrorIs(t, now(w.Manager, twofa.AsHost("test"), "ada"), twofa.ErrNotAllowed)
	w.setUser("ada", func(u *twofa.User) { *u = twofa.User{} })
	require.Error(t, now(w.Manager, twofa.AsHost("test"), "ada"))
	require.Equal(t, stored, w.record("ada"), "nothing was removed")
}

// Whatever proves something is gone, limits stay, and each verified address is
// told.
func TestReset_WhatIsGoneAndWhatStays(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) {
		c.Mail.NoticeEmail = nil
		c.Policy = twofa.PolicySMS()
		c.Policy.Fallback = []twofa.Method{twofa.SMS}
		c.Policy.Remember = 30 * 24 * time.Hour
	})
	w.setUser("ada", func(u *twofa.User) { u.Emails = []string{"ada@example.com", "ada@example.org"} })
	ada := w.person("ada")
	ada.begin()
	require.NoError(t, ada.send(twofa.EmailLink))
	require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))
	ada.enroll()
	codes := ada.codes
	laptop := ada.browser("laptop").remember()
	require.Equal(t, twofa.NextDone, laptop.begin())
	ada.stranger().misses(5, twofa.TOTP)
	pending, half := ada.another(), ada.browser("half")
	require.NoError(t, half.signIn(twofa.ByPassword))
	require.NoError(t, ada.begunAgain().Check(t.Context(), laptop.caller()))
	require.Contains(t, w.opened("ada"), "totp/", "the counters of known browsers")
	w.clock.Add(time.Minute)
	mails := len(w.out.Mails())

	require.NoError(t, w.acme().SetPolicy(t.Context(), twofa.PolicyAuthenticator(), ""))
	require.NoError(t, ada.reset(false))
	to := map[string]string{}
	for _, m := range w.out.Mails()[mails:] {
		to[m.To] += m.Text.Reveal()
	}
	require.Len(t, to, 2)
	last := w.events[len(w.events)-1]
	require.Equal(t, event.Reset, last.Type)
	require.Equal(t, twofa.EventActor{Kind: "host"}, last.Actor)
	require.Equal(t, "lost the phone", last.Reason)

	for _, p := range []*person{ada, laptop} {
		denied(t, p.Check(t.Context(), p.caller()), twofa.ReasonSignedOut)
	}
	require.ErrorIs(t, pending.verify(twofa.TOTP, pending.code()), twofa.ErrExpired)
	require.ErrorIs(t, pending.verify(twofa.RecoveryCode, codes[1]), twofa.ErrExpired)
	require.Equal(t, twofa.NextChallenge, laptop.begin(), "the browser is no longer remembered")
	require.Equal(t, []twofa.Method{twofa.EmailLink}, laptop.login.Methods)
	require.ErrorIs(t, laptop.verify(twofa.RecoveryCode, codes[1]), twofa.ErrNotAllowed)
	require.ErrorIs(t, laptop.verify(twofa.TOTP, ada.now()), twofa.ErrNotAllowed)
	text := w.opened("ada")
	require.NotContains(t, text, "totp/", "no browser is known")
	require.Contains(t, text, "totp", "failures in unknown browsers stay")

	require.NoError(t, laptop.send(twofa.EmailLink))
	require.NoError(t, w.User(twofa.AsHost("test"), "ada").Reset(t.Context(), twofa.ResetRequest{}))
	laptop.begin()
	require.ErrorIs(t, laptop.send(twofa.EmailLink), twofa.ErrLocked, "limits of messages stay")

	require.NoError(t, w.User(twofa.AsHost("left"), "ada").Delete(t.Context()))
	records, err := w.store.Get(t.Context(), "user/ada")
	require.NoError(t, err)
	require.Empty(t, records, "Delete keeps nothing")
	laptop.begin()
	require.NoError(t, laptop.send(twofa.EmailLink))
}

// begunAgain gives a wrong code in the known browser, so that it has a counter.
func (p *person) begunAgain() *person {
	p.t.Helper()
	q := *p
	require.ErrorIs(p.t, q.miss(twofa.TOTP), twofa.ErrInvalidCode)
	return p
}

// A login that has read the record before a reset does not succeed after it.
func TestAbuse_B15_ResetDuringALogin(t *testing.T) {
	w, store := newBarrier(t)
	ada := w.enrolled("ada")
	login, code := ada.another(), ada.code()
	store.Between(func() { require.NoError(t, ada.reset(false)) })
	require.ErrorIs(t, login.verify(twofa.TOTP, code), twofa.ErrExpired)
	require.True(t, login.session.IsZero())
}

// A reset needs no policy, because it must work if none can be read.
func TestReset_WorksIfThePolicyCannotBeUsed(t *testing.T) {
	w, store := newFault(t)
	ada := w.enrolled("ada")
	store.Read = func(keys []string) error {
		for _, key := range keys {
			if key == "account/acme" {
				return errFault
			}
		}
		return nil
	}
	require.NoError(t, ada.reset(false))
}
