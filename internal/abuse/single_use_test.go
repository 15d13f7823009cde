package abuse

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/harness"
	"github.com/twofa-go/twofa/twofatest"
)

// begun begins n logins, each in a new browser.
func (p *person) begun(n int) []*person {
	p.t.Helper()
	list := make([]*person, n)
	for i := range list {
		list[i] = p.browser(string(rune('a' + i)))
		require.Equal(p.t, twofa.NextChallenge, list[i].begin())
	}
	return list
}

// on returns the same user, at another server.
func (p *person) on(m *twofa.Manager) *person {
	q := *p
	q.world = &world{Manager: m, t: p.t, cfg: p.cfg, store: p.store, clock: p.clock, out: p.out}
	return &q
}

// another returns the same user in a new browser, which is challenged.
func (p *person) another() *person { return p.begun(1)[0] }

func TestAbuse_A01_SameCodeASecondLater(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	code := ada.code()
	logins := ada.begun(2)
	require.NoError(t, logins[0].verify(twofa.TOTP, code))
	w.clock.Add(time.Second)
	require.ErrorIs(t, logins[1].verify(twofa.TOTP, code), twofa.ErrInvalidCode)
	require.Contains(t, w.types(), event.Reused)
}

// The code is accepted in the last second of its step. It is sent again when
// the next step has begun and the code is still within the skew.
func TestAbuse_A02_SameCodeInTheNextStep(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	w.clock.Add(59 * time.Second)
	code := ada.now()
	logins := ada.begun(2)
	require.NoError(t, logins[0].verify(twofa.TOTP, code))
	w.clock.Add(2 * time.Second)
	require.NotEqual(t, code, ada.now())
	require.ErrorIs(t, logins[1].verify(twofa.TOTP, code), twofa.ErrInvalidCode)
}

func TestAbuse_A03_UnusedCodeOfAnEarlierStep(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	earlier, later := ada.code(), ada.code()
	w.clock.Add(-30 * time.Second)
	logins := ada.begun(2)
	require.NoError(t, logins[0].verify(twofa.TOTP, later), "one step ahead is within the skew")
	require.ErrorIs(t, logins[1].verify(twofa.TOTP, earlier), twofa.ErrInvalidCode)
}

// If the clock is set back, the code of a used-up step stays used up.
func TestAbuse_A03_ClockSetBack(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	w.clock.Add(time.Hour)
	first := ada.now()
	require.NoError(t, ada.another().verify(twofa.TOTP, first))
	w.clock.Add(-10 * time.Minute)
	for range 4 {
		require.ErrorIs(t, ada.another().verify(twofa.TOTP, ada.code()), twofa.ErrInvalidCode)
	}
	w.clock.Add(10*time.Minute - time.Minute)
	require.NoError(t, ada.another().verify(twofa.TOTP, ada.code()), "until the clock has caught up")
}

// surfaces lists all places that accept an authenticator code.
var surfaces = []struct {
	name string
	try  func(p *person, code string) error
}{
	{"login", func(p *person, code string) error { return p.another().verify(twofa.TOTP, code) }},
	{"step-up for an action", func(p *person, code string) error { return p.prove("contacts.export", code) }},
	{"step-up for turning off, new codes, another phone", func(p *person, code string) error { return p.prove(twofa.ActionFactors, code) }},
	{"a login under way in a known browser", func(p *person, code string) error {
		p.begin()
		return p.verify(twofa.TOTP, code)
	}},
}

// prove answers the step-up of an action with a code. It uses a new resource,
// for which there is no proof yet.
func (p *person) prove(action, code string) error {
	p.t.Helper()
	resource := strconv.Itoa(len(p.types()))
	require.NoError(p.t, p.took(p.StepUp(p.t.Context(), p.caller(), action, resource)))
	require.Equal(p.t, twofa.NextChallenge, p.login.Next)
	return p.verify(twofa.TOTP, code)
}

// eachTime configures a host that asks for a new proof for each change of
// factors.
func eachTime(c *twofa.Config) {
	c.Policy.Actions = map[string]twofa.ActionRule{twofa.ActionFactors: {}}
}

// By default, the proof of the login or of the enrollment is enough to change
// factors, and no code is asked for.
func TestAbuse_A04_LoginCountsForChangesOfFactors(t *testing.T) {
	ada := newWorld(t).enrolled("ada")
	for _, p := range []*person{ada, ada.another()} {
		if p != ada {
			require.NoError(t, p.verify(twofa.TOTP, p.code()))
		}
		require.NoError(t, p.took(p.StepUp(t.Context(), p.caller(), twofa.ActionFactors, "")))
		require.Equal(t, twofa.NextDone, p.login.Next)
		require.True(t, p.login.Session.IsZero())
		require.NoError(t, p.Rename(t.Context(), p.caller(), p.factor(0), "mine"))
	}
}

func TestAbuse_A04_OneCodeOnEverySurface(t *testing.T) {
	for _, first := range surfaces {
		for _, second := range surfaces {
			t.Run(first.name+", then "+second.name, func(t *testing.T) {
				ada := newWorld(t, eachTime).enrolled("ada")
				code := ada.code()
				require.NoError(t, first.try(ada, code))
				require.ErrorIs(t, second.try(ada, code), twofa.ErrInvalidCode)
			})
		}
		t.Run("enrollment, then "+first.name, func(t *testing.T) {
			ada := newWorld(t, eachTime).enrolled("ada")
			require.ErrorIs(t, first.try(ada, ada.now()), twofa.ErrInvalidCode, "this code confirmed the enrollment")
		})
	}
}

func TestAbuse_A05_A06_ReplayAfterRestartAndOnAnotherServer(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	other := w.again() // has been running all the time
	code := ada.code()
	logins := ada.begun(3)
	require.NoError(t, logins[0].verify(twofa.TOTP, code))
	require.ErrorIs(t, logins[1].on(other).verify(twofa.TOTP, code), twofa.ErrInvalidCode)
	require.ErrorIs(t, logins[2].on(w.again()).verify(twofa.TOTP, code), twofa.ErrInvalidCode)
}

// second enrolls one more authenticator and returns the user with its app.
func (p *person) second(e twofa.EnrollRequest) *person {
	p.t.Helper()
	require.NoError(p.t, p.stepUp(twofa.ActionFactors))
	started, err := p.Enroll(p.t.Context(), p.caller(), e)
	require.NoError(p.t, err)
	q := *p
	q.uri = started.URI.Reveal()
	require.NoError(p.t, q.took(q.Confirm(p.t.Context(), q.caller(), q.code())))
	require.Equal(p.t, twofa.NextDone, q.login.Next)
	return &q
}

// factor returns the ID of the n-th factor.
func (p *person) factor(n int) string {
	p.t.Helper()
	f, err := p.Factors(p.t.Context(), p.caller())
	require.NoError(p.t, err)
	return f.List[n].ID
}

func TestAbuse_A07_TwoAuthenticatorsInOneStep(t *testing.T) {
	w := newWorld(t)
	phone := w.enrolled("ada")
	tablet := phone.second(twofa.EnrollRequest{Name: "tablet"})
	w.clock.Add(30 * time.Second)
	logins := phone.begun(4)
	require.NoError(t, logins[0].verify(twofa.TOTP, phone.now()))
	require.NoError(t, logins[1].verify(twofa.TOTP, tablet.now()), "each authenticator has used up only its own step")
	require.ErrorIs(t, logins[2].verify(twofa.TOTP, phone.now()), twofa.ErrInvalidCode)
	require.ErrorIs(t, logins[3].verify(twofa.TOTP, tablet.now()), twofa.ErrInvalidCode)
}

func TestAbuse_A08_CodeOfAReplacedAuthenticator(t *testing.T) {
	w := newWorld(t)
	old := w.enrolled("ada")
	fresh := old.second(twofa.EnrollRequest{Replaces: old.factor(0)})
	w.clock.Add(30 * time.Second)
	logins := old.begun(2)
	require.ErrorIs(t, logins[0].verify(twofa.TOTP, old.now()), twofa.ErrInvalidCode)
	require.NoError(t, logins[1].verify(twofa.TOTP, fresh.now()))
	f, err := fresh.Factors(t.Context(), fresh.caller())
	require.NoError(t, err)
	require.Len(t, f.List, 1)
}

func TestAbuse_B01_TOTPCodeRace(t *testing.T) {
	bursts(t, nil, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada := w.enrolled("ada")
		code := ada.code()
		logins := ada.begun(100)
		got := burst(100, func(m *twofa.Manager, i int) error { return logins[i].on(m).verify(twofa.TOTP, code) })
		require.Equal(t, tally{ok: 1, wrong: 5, locked: 94}, got)
	})
}

func TestAbuse_B02_OneChallengeOneSession(t *testing.T) {
	bursts(t, nil, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada := w.enrolled("ada")
		code := ada.code()
		login := ada.another()
		var mu sync.Mutex
		var sessions []twofa.Session
		got := burst(50, func(m *twofa.Manager, _ int) error {
			l, err := m.Verify(t.Context(), login.caller(), login.login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code)})
			mu.Lock()
			defer mu.Unlock()
			if !l.Session.IsZero() {
				sessions = append(sessions, l.Session)
			}
			return err
		})
		require.Equal(t, tally{ok: 50}, got)
		for _, s := range sessions {
			require.Equal(t, w.idOf(sessions[0]), w.idOf(s), "one session, however often the form was sent")
			require.NoError(t, w.Check(t.Context(), twofa.Caller{Session: s}))
		}
		require.Equal(t, 1, w.count(event.Login, w.idOf(sessions[0])))
		w.clock.Add(10 * time.Second)
		require.ErrorIs(t, login.verify(twofa.TOTP, code), twofa.ErrExpired)
	})
}

func TestAbuse_B03_RecoveryCodeRace(t *testing.T) {
	bursts(t, nil, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada := w.enrolled("ada")
		logins := ada.begun(100)
		got := burst(100, func(m *twofa.Manager, i int) error { return logins[i].on(m).verify(twofa.RecoveryCode, ada.codes[0]) })
		require.Equal(t, tally{ok: 1, wrong: 5, locked: 94}, got)
		f, err := ada.Factors(t.Context(), ada.caller())
		require.NoError(t, err)
		require.Equal(t, len(ada.codes)-1, f.CodesLeft)
	})
}

func TestAbuse_B04_LinkConfirmedTwentyTimes(t *testing.T) {
	mailed := func(c *twofa.Config) { c.Policy = twofa.PolicyEmailLink() }
	bursts(t, mailed, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada := w.person("ada")
		ada.begin()
		require.NoError(t, ada.send(twofa.EmailLink))
		token := ada.token()
		sessions := make([]string, 20)
		got := burst(20, func(m *twofa.Manager, i int) error {
			tab := ada.on(m)
			err := tab.verify(twofa.EmailLink, token)
			sessions[i] = tab.sessionID()
			return err
		})
		require.Equal(t, tally{ok: 20}, got)
		require.Len(t, slices.Compact(sessions), 1)
		require.Equal(t, 1, w.count(event.Login, sessions[0]))
		w.clock.Add(10 * time.Second)
		require.ErrorIs(t, ada.verify(twofa.EmailLink, token), twofa.ErrExpired)
	})
}

// smsUser returns a user whose second factor is a phone. The user is challenged
// for a text message in other browsers.
func (w *world) smsUser(id string) *person {
	w.t.Helper()
	p := w.person(id)
	p.begin()
	e, err := p.Enroll(w.t.Context(), p.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: number})
	require.NoError(w.t, err)
	p.keep(e)
	p.login.Challenge = e.Challenge
	require.NoError(w.t, p.took(p.SaveCodes(w.t.Context(), p.caller())))
	p.login.Challenge = e.Challenge
	require.NoError(w.t, p.took(p.Confirm(w.t.Context(), p.caller(), w.out.TextCode(w.t, number))))
	require.Equal(w.t, twofa.NextDone, p.login.Next)
	w.clock.Add(time.Hour)
	return p
}

const number = "+41791234567"

// bySMS configures a host that sends codes by text message.
func bySMS(c *twofa.Config) { c.Policy, c.Mail.Mailer, c.Mail.LinkURL = twofa.PolicySMS(), nil, nil }

func TestAbuse_B05_TextMessageRace(t *testing.T) {
	bursts(t, bySMS, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		login := w.smsUser("ada").another()
		require.NoError(t, login.send(twofa.SMS))
		code := w.out.TextCode(t, number)
		sessions := make([]string, 50)
		got := burst(50, func(m *twofa.Manager, i int) error {
			tab := login.on(m)
			err := tab.verify(twofa.SMS, code)
			sessions[i] = tab.sessionID()
			return err
		})
		require.Equal(t, tally{ok: 50}, got)
		require.Len(t, slices.Compact(sessions), 1)
		require.Equal(t, 1, w.count(event.Login, sessions[0]))
		w.clock.Add(10 * time.Second)
		require.ErrorIs(t, login.verify(twofa.SMS, code), twofa.ErrExpired)
	})
}

// guess returns the i-th code of a burst of 50, of which the last is right.
func guess(p *person, i int) string {
	if i == 49 {
		return p.now()
	}
	return notNow(p, i)
}

// notNow returns the i-th of many codes that are right at no step near the
// current one.
func notNow(p *person, i int) string {
	near := []string{p.codeIn(-60), p.codeIn(-30), p.codeIn(0), p.codeIn(30), p.codeIn(60)}
	for n := 100_000 + 10*i; ; n++ {
		if code := strconv.Itoa(n); !slices.Contains(near, code) {
			return code
		}
	}
}

// codeIn returns the code that the app shows after the given number of seconds.
func (p *person) codeIn(seconds int) string {
	return twofatest.Code(p.t, p.uri, p.clock.Now().Add(time.Duration(seconds)*time.Second))
}

func TestAbuse_B06_FiftyGuessesAtOnce(t *testing.T) {
	bursts(t, nil, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada := w.enrolled("ada")
		w.clock.Add(30 * time.Second)
		login := ada.another()
		got := burst(50, func(m *twofa.Manager, i int) error {
			return login.on(m).verify(twofa.TOTP, guess(ada, i))
		})
		require.LessOrEqual(t, got.ok, 1)
		require.LessOrEqual(t, got.ok+got.wrong, 5, "no more results than attempts")
		require.Equal(t, 50, got.ok+got.wrong+got.locked+got.expired)
		if got.ok == 0 {
			require.Equal(t, tally{wrong: 5, locked: 45}, got)
		}
	})
}

// The right code is among the guesses as soon as the sixth has been answered.
// The counter belongs to the user, not to the login.
func TestAbuse_B07_FiftyGuessesInFiftyLogins(t *testing.T) {
	bursts(t, nil, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada := w.enrolled("ada")
		w.clock.Add(30 * time.Second)
		logins := ada.begun(50)
		got := burst(50, func(m *twofa.Manager, i int) error { return logins[i].on(m).verify(twofa.TOTP, notNow(ada, i)) })
		require.Equal(t, tally{wrong: 5, locked: 45}, got)
		require.ErrorIs(t, ada.another().verify(twofa.TOTP, ada.now()), twofa.ErrLocked, "the failures are still counted")
	})
}

func TestAbuse_B08_ThirtySendsGiveOneMessage(t *testing.T) {
	t.Run("text", func(t *testing.T) {
		bursts(t, bySMS, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
			logins, before := w.smsUser("ada").begun(30), len(w.out.Texts())
			require.Equal(t, tally{ok: 1, locked: 29}, burst(30, func(m *twofa.Manager, i int) error { return logins[i].on(m).send(twofa.SMS) }))
			require.Len(t, w.out.Texts(), before+1)
		})
	})
	t.Run("link", func(t *testing.T) {
		mailed := func(c *twofa.Config) { c.Policy = twofa.PolicyEmailLink() }
		bursts(t, mailed, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
			logins := w.person("ada").begun(30)
			require.Equal(t, tally{ok: 1, locked: 29}, burst(30, func(m *twofa.Manager, i int) error { return logins[i].on(m).send(twofa.EmailLink) }))
			require.Len(t, w.out.Mails(), 1)
		})
	})
}

func TestAbuse_B09_TwoEnrollmentsAtOnce(t *testing.T) {
	bursts(t, nil, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada := w.person("ada")
		ada.begin()
		tabs := make([]*person, 2)
		require.Equal(t, tally{ok: 2}, burst(2, func(m *twofa.Manager, i int) error {
			tabs[i] = ada.on(m)
			e, err := m.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
			tabs[i].uri = e.URI.Reveal()
			return err
		}))
		require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
		confirmed := make([]bool, 2)
		got := burst(2, func(m *twofa.Manager, i int) error {
			_, err := m.Confirm(t.Context(), tabs[i].caller(), tabs[i].now())
			confirmed[i] = err == nil
			return err
		})
		require.Equal(t, 1, got.ok, "the later enrollment replaced the earlier one")
		w.clock.Add(30 * time.Second)
		logins := ada.begun(2)
		for i, tab := range tabs {
			err := logins[i].verify(twofa.TOTP, tab.now())
			require.Equal(t, confirmed[i], err == nil)
		}
	})
}

// An old code is redeemed while the new set becomes active, in either order.
// The first of the two wins completely.
func TestAbuse_B10_NewSetWhileACodeIsRedeemed(t *testing.T) {
	setUp := func(t *testing.T) (store *harness.BarrierStore, owner, thief *person, old string) {
		w, store := newBarrier(t)
		ada := w.enrolled("ada")
		require.NoError(t, ada.stepUp(twofa.ActionFactors))
		e, err := ada.RegenerateCodes(t.Context(), ada.caller())
		require.NoError(t, err)
		old = ada.codes[0]
		ada.keep(e)
		return store, ada, ada.another(), old
	}
	alive := func(t *testing.T, p *person) {
		for i, login := range p.begun(len(p.codes)) {
			require.NoError(t, login.verify(twofa.RecoveryCode, p.codes[i]))
		}
	}
	t.Run("the set first", func(t *testing.T) {
		store, owner, thief, old := setUp(t)
		store.Between(func() { require.NoError(t, owner.took(owner.SaveCodes(t.Context(), owner.caller()))) })
		require.ErrorIs(t, thief.verify(twofa.RecoveryCode, old), twofa.ErrInvalidCode)
		alive(t, owner)
	})
	t.Run("the code first", func(t *testing.T) {
		store, owner, thief, old := setUp(t)
		store.Between(func() { require.NoError(t, thief.verify(twofa.RecoveryCode, old)) })
		require.NoError(t, owner.took(owner.SaveCodes(t.Context(), owner.caller())))
		alive(t, owner)
	})
}

func TestAbuse_B11_TurnedOffWhileItBecomesRequired(t *testing.T) {
	required := func(t *testing.T, w *world) {
		require.NoError(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), twofa.PolicyAuthenticator(), ""))
	}
	for name, order := range map[string]func(t *testing.T, w *world, store *harness.BarrierStore, remove func() error){
		"policy between read and write": func(t *testing.T, w *world, store *harness.BarrierStore, remove func() error) {
			store.Between(func() { required(t, w) })
			_ = remove()
		},
		"policy first": func(t *testing.T, w *world, _ *harness.BarrierStore, remove func() error) {
			required(t, w)
			require.ErrorIs(t, remove(), twofa.ErrNotAllowed)
		},
		"policy last": func(t *testing.T, w *world, _ *harness.BarrierStore, remove func() error) {
			require.NoError(t, remove())
			required(t, w)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, store := newBarrier(t)
			ada := w.person("ada")
			ada.account = "acme"
			ada.begin()
			ada.enroll()
			require.NoError(t, ada.stepUp(twofa.ActionFactors))
			id := ada.factor(0)
			order(t, w, store, func() error { return ada.Remove(t.Context(), ada.caller(), id) })
			f, err := ada.Factors(t.Context(), ada.caller())
			if err == nil && len(f.List) > 0 {
				require.NoError(t, ada.Check(t.Context(), ada.caller()))
				return
			}
			denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonChallenge)
			require.NotEqual(t, twofa.NextDone, ada.begin(), "required, no factor, and a full session")
		})
	}
}

func TestAbuse_B12_BrowserIsRememberedOnce(t *testing.T) {
	bursts(t, bySMS, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada := w.smsUser("ada")
		login := ada.another()
		require.NoError(t, login.send(twofa.SMS))
		proof := twofa.Proof{Method: twofa.SMS, Code: twofa.NewSecret(w.out.TextCode(t, number)), Remember: true}
		got := burst(10, func(m *twofa.Manager, _ int) error {
			_, err := m.Verify(t.Context(), login.caller(), login.login.Challenge, proof)
			return err
		})
		require.Equal(t, tally{ok: 10}, got)
		list, err := ada.Browsers(t.Context(), ada.caller())
		require.NoError(t, err)
		remembered := slices.DeleteFunc(list, func(b twofa.Browser) bool { return !b.Remembered })
		require.Len(t, remembered, 1)
	})
}

// Many operations run on one user at once. Nothing crashes, and nothing that
// must be unique is doubled.
func TestAbuse_B14_EverythingAtOnce(t *testing.T) {
	bursts(t, nil, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada := w.enrolled("ada")
		require.NoError(t, ada.stepUp(twofa.ActionFactors))
		require.NoError(t, ada.stepUp("contacts.export"))
		id, code, logins := ada.factor(0), ada.code(), ada.begun(40)
		var mu sync.Mutex
		done := map[string]int{}
		tasks := []struct {
			name string
			do   func(m *twofa.Manager, p *person) error
		}{
			{"code", func(m *twofa.Manager, p *person) error { return p.on(m).verify(twofa.TOTP, code) }},
			{"recovery", func(m *twofa.Manager, p *person) error { return p.on(m).verify(twofa.RecoveryCode, ada.codes[0]) }},
			{"action", func(m *twofa.Manager, _ *person) error {
				return m.UseAction(t.Context(), ada.caller(), "contacts.export", "")
			}},
			{"other", func(m *twofa.Manager, p *person) error {
				_ = m.Rename(t.Context(), ada.caller(), id, "phone")
				_, _ = m.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
				_, _ = m.Browsers(t.Context(), ada.caller())
				return m.Cancel(t.Context(), p.client, p.login.Challenge)
			}},
		}
		burst(40, func(m *twofa.Manager, i int) error {
			task := tasks[i%len(tasks)]
			err := task.do(m, logins[i])
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				done[task.name]++
			}
			return err
		})
		require.Equal(t, map[string]int{"code": 1, "recovery": 1, "action": 1, "other": 10}, done)
	})
}

// A confirmed replacement ends all logins in progress on the old authenticator,
// even if they had read the record before it was written.
func TestAbuse_B15_OldAuthenticatorDuringItsReplacement(t *testing.T) {
	w, store := newBarrier(t)
	ada := w.enrolled("ada")
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Replaces: ada.factor(0)})
	require.NoError(t, err)
	w.clock.Add(30 * time.Second)
	thief, stolen := ada.another(), ada.now()
	ada.uri = e.URI.Reveal()
	store.Between(func() { require.NoError(t, ada.took(ada.Confirm(t.Context(), ada.caller(), ada.now()))) })
	require.ErrorIs(t, thief.verify(twofa.TOTP, stolen), twofa.ErrExpired)
	require.NoError(t, ada.Check(t.Context(), ada.caller()))
}

func TestAbuse_B15_LoginsDuringChanges(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, p *person){
		"cancelled": func(t *testing.T, p *person) {
			require.ErrorIs(t, p.verify(twofa.TOTP, p.wrongCode(twofa.TOTP)), twofa.ErrInvalidCode) // otherwise Cancel writes nothing
			require.NoError(t, p.Cancel(t.Context(), p.client, p.login.Challenge))
		},
		"revoked": func(t *testing.T, p *person) {
			require.NoError(t, p.User(twofa.AsHost("stolen"), p.id).Revoke(t.Context()))
		},
		"erased": func(t *testing.T, p *person) {
			require.NoError(t, p.User(twofa.AsHost("gone"), p.id).Delete(t.Context()))
		},
		"password changed": func(t *testing.T, p *person) {
			require.NoError(t, p.User(twofa.AsHost("reset"), p.id).CredentialsChanged(t.Context()))
		},
		"finished by other": func(t *testing.T, p *person) {
			require.NoError(t, p.on(p.again()).verify(twofa.RecoveryCode, p.codes[0]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, store := newBarrier(t)
			ada := w.enrolled("ada")
			login, code := ada.another(), ada.code()
			store.Between(func() { change(t, login) })
			require.ErrorIs(t, login.verify(twofa.TOTP, code), twofa.ErrExpired)
			require.True(t, login.session.IsZero())
		})
	}
}

// If Cancel and Verify race, only one has an effect, if a proof was tried
// before. Otherwise there is nothing to cancel.
func TestAbuse_B15_CancelAgainstVerify(t *testing.T) {
	bursts(t, nil, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		login := w.enrolled("ada").another()
		require.ErrorIs(t, login.verify(twofa.TOTP, login.wrongCode(twofa.TOTP)), twofa.ErrInvalidCode)
		code := login.code()
		got := burst(2, func(m *twofa.Manager, i int) error {
			if i == 0 {
				return m.Cancel(t.Context(), login.client, login.login.Challenge)
			}
			return login.on(m).verify(twofa.TOTP, code)
		})
		require.Equal(t, tally{ok: 1, expired: 1}, got)
	})
}

// Many calls try to use one proof for an action.
func TestAbuse_B15_OneGrantUsedFiftyTimes(t *testing.T) {
	bursts(t, nil, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada := w.enrolled("ada")
		require.NoError(t, ada.stepUp("contacts.export"))
		got := burst(50, func(m *twofa.Manager, _ int) error {
			return m.UseAction(t.Context(), ada.caller(), "contacts.export", "")
		})
		require.Equal(t, tally{ok: 1, denied: 49}, got)
	})
}
