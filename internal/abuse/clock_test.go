package abuse

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

const aYear = 365 * 24 * time.Hour

// lifetimes lists what has a lifetime: how to get it, and how to use it.
var lifetimes = []struct {
	name   string
	edit   func(*twofa.Config)
	before func(w *world) *person // what precedes it
	make   func(p *person)        // is issued now
	use    func(p *person) error
}{
	{name: "session", before: func(w *world) *person { return w.person("ada") },
		make: func(p *person) { p.begin() }, use: func(p *person) error { return p.Check(p.t.Context(), p.caller()) }},
	{name: "login", before: func(w *world) *person { return w.enrolled("ada").browser("laptop") },
		make: func(p *person) { p.begin() }, use: func(p *person) error { return p.verify(twofa.RecoveryCode, p.codes[0]) }},
	{name: "step-up", before: func(w *world) *person { p := w.enrolled("ada"); w.clock.Add(2 * time.Hour); return p },
		make: func(p *person) { require.NoError(p.t, p.took(p.StepUp(p.t.Context(), p.caller(), export, ""))) },
		use:  func(p *person) error { p.clock.Add(30 * time.Second); return p.verify(twofa.TOTP, p.now()) }},
	{name: "link", edit: byLink, before: func(w *world) *person { return w.person("ada") },
		make: func(p *person) { p.begin(); require.NoError(p.t, p.send(twofa.EmailLink)) },
		use:  func(p *person) error { return p.verify(twofa.EmailLink, p.token()) }},
	{name: "texted code", edit: byText, before: func(w *world) *person { return w.withPhone("ada", adasPhone) },
		make: func(p *person) { p.begin(); require.NoError(p.t, p.send(twofa.SMS)) },
		use:  func(p *person) error { return p.verify(twofa.SMS, p.out.TextCode(p.t, adasPhone)) }},
	{name: "remembered browser", edit: remembering, before: func(w *world) *person { return w.enrolled("ada").browser("laptop") },
		make: func(p *person) { p.remember() },
		use: func(p *person) error {
			if p.begin() != twofa.NextDone {
				return errors.New("asked")
			}
			return nil
		}},
	{name: "proof of the login", edit: stepping, before: func(w *world) *person { p := w.enrolled("ada"); w.clock.Add(2 * time.Hour); return p },
		make: func(p *person) { require.NoError(p.t, p.stepUp("reports")) },
		use:  func(p *person) error { return p.use("reports", "") }},
	{name: "enrollment", before: func(w *world) *person { p := w.enrolled("ada"); w.clock.Add(2 * time.Hour); return p },
		make: func(p *person) {
			require.NoError(p.t, p.stepUp(twofa.ActionFactors))
			require.NoError(p.t, p.enrollAnother())
		},
		use: func(p *person) error { return failure(p.PendingEnrollment(p.t.Context(), p.caller())) }},
	{name: "required enrollment", edit: requiring, before: func(w *world) *person { return w.person("ada") },
		make: func(p *person) {
			p.begin()
			e, err := p.Enroll(p.t.Context(), p.caller(), twofa.EnrollRequest{})
			require.NoError(p.t, err)
			p.login.Challenge = e.Challenge
		},
		use: func(p *person) error { return failure(p.PendingEnrollment(p.t.Context(), p.caller())) }},
}

// A clock that was wrong for a while makes nothing live longer.
func TestAbuse_R08_WrongClockExtendsNothing(t *testing.T) {
	for _, c := range lifetimes {
		edit := c.edit
		if edit == nil {
			edit = func(*twofa.Config) {}
		}
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, edit)
			p := c.before(w)
			c.make(p)
			require.NoError(t, c.use(p))
		})
		t.Run(c.name+", and the clock goes back by an hour", func(t *testing.T) {
			w := newWorld(t, edit)
			p := c.before(w)
			c.make(p)
			w.clock.Add(-time.Hour)
			require.Error(t, c.use(p))
		})
		t.Run(c.name+", made while the clock was a year ahead", func(t *testing.T) {
			w := newWorld(t, edit)
			p := c.before(w)
			if c.name == "step-up" || c.name == "proof of the login" || c.name == "enrollment" {
				w.clock.Add(aYear)
				require.Equal(t, twofa.NextChallenge, p.begin())
				require.NoError(t, p.verify(twofa.TOTP, p.code()))
				w.clock.Add(-aYear)
			}
			w.clock.Add(aYear)
			c.make(p)
			w.clock.Add(-aYear)
			for range 4 {
				require.Error(t, c.use(p))
				w.clock.Add(24 * time.Hour)
			}
		})
	}
}

// A shorter lifetime applies to sessions that were issued before.
func TestLifetimes_ShorterSessionAppliesAtOnce(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada")
	ada.begin()
	short := w.with(func(c *twofa.Config) { c.Lifetimes.Session = time.Hour })
	w.clock.Add(time.Hour - time.Second)
	require.NoError(t, short.Check(t.Context(), ada.caller()))
	_, err := short.DescribeSession(ada.session)
	require.NoError(t, err)
	w.clock.Add(time.Second)
	denied(t, short.Check(t.Context(), ada.caller()), twofa.ReasonSignedOut)
	_, err = short.DescribeSession(ada.session)
	denied(t, err, twofa.ReasonSignedOut)
	require.NoError(t, ada.Check(t.Context(), ada.caller()), "the other servers still have the longer one")
}

func TestLifetimes_Link(t *testing.T) {
	diesAt(t, time.Hour, twofa.ErrExpired, func(t *testing.T, after time.Duration) error {
		w := newWorld(t, byLink, func(c *twofa.Config) { c.Lifetimes.Link = time.Hour })
		ada, token := w.linked("ada")
		w.clock.Add(after)
		return ada.verify(twofa.EmailLink, token)
	})
	t.Run("shorter than a login", func(t *testing.T) {
		diesAt(t, 5*time.Minute, twofa.ErrInvalidCode, func(t *testing.T, after time.Duration) error {
			w := newWorld(t, byLink, func(c *twofa.Config) { c.Lifetimes.Link = 5 * time.Minute })
			ada, token := w.linked("ada")
			w.clock.Add(after)
			return ada.verify(twofa.EmailLink, token)
		})
	})
}

func TestLifetimes_Bounds(t *testing.T) {
	cfg := newWorld(t).cfg
	for field, set := range map[string]struct {
		set      func(*twofa.Lifetimes, time.Duration)
		min, max time.Duration
	}{
		"Session":    {func(l *twofa.Lifetimes, d time.Duration) { l.Session = d }, 5 * time.Minute, 90 * 24 * time.Hour},
		"Enrollment": {func(l *twofa.Lifetimes, d time.Duration) { l.Enrollment = d }, 10 * time.Minute, 2 * time.Hour},
		"Link":       {func(l *twofa.Lifetimes, d time.Duration) { l.Link = d }, 5 * time.Minute, time.Hour},
	} {
		for d, ok := range map[time.Duration]bool{0: true, set.min: true, set.max: true,
			-time.Hour: false, time.Nanosecond: false, set.min - 1: false, set.max + 1: false, 1 << 62: false} {
			c := cfg
			set.set(&c.Lifetimes, d)
			_, err := twofa.New(c)
			if ok {
				require.NoError(t, err, "%s %v", field, d)
			} else {
				require.ErrorContains(t, err, "Lifetimes."+field, d)
			}
		}
	}
}

// A policy that requires a factor needs a link before the enrollment, or says
// that none is needed.
func TestPolicy_RequiredNeedsALinkOrSaysNot(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		policy  twofa.Policy
		linkURL bool
		ok      bool
	}{
		"optional, no link":         {twofa.PolicyOptional(), false, true},
		"required, link":            {twofa.PolicyAuthenticator(), true, true},
		"required, no link":         {twofa.PolicyAuthenticator(), false, false},
		"required by text, no link": {twofa.PolicySMS(), false, false},
		"required, none is needed":  {twofa.Policy{Required: true, EnrollWithoutLink: true}, false, true},
		"none is needed, and link":  {twofa.Policy{Required: true, EnrollWithoutLink: true}, true, true},
		"not required, none needed": {twofa.Policy{EnrollWithoutLink: true}, false, true},
	} {
		cfg := w.cfg
		if !c.linkURL {
			cfg.Mail.Mailer, cfg.Mail.LinkURL, cfg.Mail.CaseURL = nil, nil, nil
		}
		cfg.Policy = twofa.Policy{}
		m, err := twofa.New(cfg)
		require.NoError(t, err)
		set := m.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), c.policy, "")
		cfg.Policy = c.policy
		_, err = twofa.New(cfg)
		if c.ok {
			require.NoError(t, err, name)
			require.NoError(t, set, name)
		} else {
			require.ErrorContains(t, err, "EnrollWithoutLink", name)
			require.ErrorIs(t, set, twofa.ErrInvalid, name)
			require.ErrorContains(t, set, "EnrollWithoutLink", name)
		}
	}
}

// A process without LinkURL does not let a password alone enroll a required
// factor.
func TestAbuse_F02_ProcessWithoutLinksEnrollsNobody(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.acme().SetPolicy(t.Context(), twofa.PolicyAuthenticator(), ""))
	f := twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: w.person("ada").client}
	without := w.with(func(c *twofa.Config) { c.Mail.LinkURL = nil })
	l, err := without.Begin(t.Context(), f)
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	require.Zero(t, l)
	w.setUser("ada", func(u *twofa.User) { u.Emails = nil })
	for _, m := range []*twofa.Manager{w.Manager, without} {
		_, err = m.Begin(t.Context(), f)
		denied(t, err, twofa.ReasonSupport)
	}
	require.NoError(t, w.acme().SetPolicy(t.Context(), twofa.Policy{Required: true, EnrollWithoutLink: true}, ""))
	l, err = without.Begin(t.Context(), f)
	require.NoError(t, err)
	require.Equal(t, twofa.NextEnroll, l.Next)
}

// A canceled login and its link stay invalid, whatever is canceled after it.
func TestAbuse_E14_CancelStaysCanceled(t *testing.T) {
	for name, cancel := range map[string]func(p *person, first twofa.Challenge) error{
		"with the challenge of the link": func(p *person, _ twofa.Challenge) error {
			return p.Cancel(t.Context(), p.client, p.login.Challenge)
		},
		"with the challenge from before": func(p *person, first twofa.Challenge) error { return p.Cancel(t.Context(), p.client, first) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, byTOTPOrLink, func(c *twofa.Config) { c.Lifetimes.Link = time.Hour })
			ada := w.person("ada")
			ada.begin()
			require.NoError(t, ada.send(twofa.EmailLink))
			require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))
			ada.enroll()
			w.clock.Add(time.Hour)
			login := ada.another()
			first := login.login.Challenge
			require.NoError(t, login.send(twofa.EmailLink))
			token := login.token()
			require.NoError(t, cancel(login, first))
			require.ErrorIs(t, login.verify(twofa.EmailLink, token), twofa.ErrExpired)
			canceled := 0
			for range 40 {
				w.clock.Add(time.Minute)
				p := ada.another()
				require.ErrorIs(t, p.verify(twofa.RecoveryCode, p.wrongCode(twofa.RecoveryCode)), twofa.ErrInvalidCode)
				switch err := p.Cancel(t.Context(), p.client, p.login.Challenge); {
				case err == nil:
					canceled++
					require.ErrorIs(t, p.verify(twofa.RecoveryCode, ada.codes[0]), twofa.ErrExpired)
				default:
					require.ErrorIs(t, err, twofa.ErrLocked)
				}
				require.ErrorIs(t, login.verify(twofa.EmailLink, token), twofa.ErrExpired)
				require.ErrorIs(t, login.verify(twofa.TOTP, login.now()), twofa.ErrExpired)
			}
			require.Equal(t, 19, canceled, "20 an hour")
			require.NoError(t, ada.hit(), "which keeps nobody out")
		})
	}
}

// Cancel writes only if something was sent or tried.
func TestAbuse_E14_CancelWritesOnlyIfNeeded(t *testing.T) {
	w, store := newFault(t)
	login := w.enrolled("ada").another()
	stored := w.record("ada")
	swaps := 0
	store.Seen = func(string, twofa.Record) { swaps++ }
	for range 100 {
		require.NoError(t, w.Cancel(t.Context(), login.client, login.login.Challenge))
	}
	require.Zero(t, swaps)
	require.Equal(t, stored, w.record("ada"))
	require.NoError(t, login.verify(twofa.TOTP, login.code()), "the host deletes the challenge")
}

// Attackers who have the password begin and cancel logins all the time. The
// owner still gets in, in a known browser.
func TestAbuse_C13_OwnerGetsInDuringAFloodOfLogins(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.OnEvent = nil })
	ada := w.enrolled("ada")
	servers := w.servers(2)
	var stop atomic.Bool
	canceled := make(chan struct{})
	var flood sync.WaitGroup
	for i := range 64 {
		eve := ada.on(servers[i%2]).browser(fmt.Sprint(i))
		flood.Go(func() {
			for n := 0; !stop.Load(); n++ {
				l, err := eve.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: eve.client})
				if err != nil {
					continue
				}
				if (i+n)%8 == 0 {
					_, _ = eve.Verify(t.Context(), twofa.Caller{Client: eve.client}, l.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(fmt.Sprintf("%06d", i*1000+n%1000))})
				}
				_ = eve.Cancel(t.Context(), eve.client, l.Challenge)
				select {
				case canceled <- struct{}{}:
				default: // the owner is signing in
				}
			}
		})
	}
	for range 4 {
		for range 64 {
			<-canceled
		}
		assert.NoError(t, ada.hit())
	}
	stop.Store(true)
	flood.Wait()
}
