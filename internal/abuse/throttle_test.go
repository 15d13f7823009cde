package abuse

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// guesses counts the results of wrongCode, of which each is another.
var guesses atomic.Int64

// wrongCode returns a well-formed code that is wrong, whatever was computed or
// sent. It returns another code each time, because the same one gets the same
// answer for ten seconds.
func (p *person) wrongCode(m twofa.Method) string {
	n := int(guesses.Add(1)) % 80_000
	switch m {
	case twofa.TOTP:
		if p.uri == "" { // no code is right
			return strconv.Itoa(100_000 + n)
		}
		return notNow(p, n)
	case twofa.RecoveryCode:
		return fmt.Sprintf("0000-0000-0000-0000-%04d-%04d", n/10_000, n%10_000)
	}
	code := fmt.Sprintf("%06d", n)
	for _, sent := range p.out.Texts() {
		if sent.Body.Reveal()[:6] == code {
			return p.wrongCode(m)
		}
	}
	for _, sent := range p.out.Mails() {
		if strings.Contains(sent.Text.Reveal(), "\n"+code+"\n") {
			return p.wrongCode(m)
		}
	}
	return code
}

// miss begins a login and answers it with a wrong code.
func (p *person) miss(m twofa.Method) error {
	p.t.Helper()
	require.Equal(p.t, twofa.NextChallenge, p.begin())
	return p.verify(m, p.wrongCode(m))
}

// misses gives n wrong codes, each in a new login.
func (p *person) misses(n int, m twofa.Method) {
	p.t.Helper()
	for range n {
		require.ErrorIs(p.t, p.miss(m), twofa.ErrInvalidCode)
	}
}

// hit begins a login and answers it with the right code.
func (p *person) hit() error {
	p.t.Helper()
	require.Equal(p.t, twofa.NextChallenge, p.begin())
	return p.verify(twofa.TOTP, p.code())
}

// locked checks that err is ErrLocked with the given wait.
func locked(t testing.TB, err error, wait time.Duration) {
	t.Helper()
	require.ErrorIs(t, err, twofa.ErrLocked)
	require.Equal(t, wait, twofa.RetryAfter(err))
}

// stranger returns an attacker who has the password, in a new browser.
func (p *person) stranger() *person { return p.browser("elsewhere") }

func TestAbuse_C01_RightCodeWhileLocked(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	eve := ada.stranger()
	for left := 4; left >= 0; left-- {
		err := eve.miss(twofa.TOTP)
		require.ErrorIs(t, err, twofa.ErrInvalidCode)
		n, _ := twofa.AttemptsLeft(err)
		require.Equal(t, left, n)
		wait := time.Duration(0)
		if left == 0 {
			wait = time.Minute
		}
		require.Equal(t, wait, twofa.RetryAfter(err), "the error contains the time until the lock ends")
	}
	w.clock.Add(time.Millisecond)
	stored := w.record("ada")
	eve.begin()
	right, wrong := eve.verify(twofa.TOTP, eve.now()), eve.verify(twofa.TOTP, eve.wrongCode(twofa.TOTP))
	locked(t, right, time.Minute)
	require.Equal(t, wrong, right, "the answer does not reveal whether the code is right")
	require.Equal(t, stored, w.record("ada"), "nothing is counted while the method is locked")
	require.Contains(t, w.types(), event.Locked)
}

func TestAbuse_C02_LockEndsAndSuccessResets(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	eve := ada.stranger()
	eve.misses(5, twofa.TOTP)
	w.clock.Add(59 * time.Second)
	locked(t, eve.miss(twofa.TOTP), time.Second)
	w.clock.Add(time.Second)
	require.NoError(t, eve.hit())
	again := ada.browser("yet another")
	again.misses(4, twofa.TOTP)
	require.NoError(t, again.hit(), "the count started again")
}

func TestAbuse_C02_LocksGrow(t *testing.T) {
	for _, m := range []struct {
		method twofa.Method
		waits  []time.Duration // in minutes
	}{
		{twofa.TOTP, []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60}},
		{twofa.RecoveryCode, []time.Duration{1, 1, 1, 1, 1}},
	} {
		t.Run(string(m.method), func(t *testing.T) {
			w := newWorld(t)
			eve := w.enrolled("ada").stranger()
			eve.misses(4, m.method)
			for _, wait := range m.waits {
				eve.misses(1, m.method)
				locked(t, eve.miss(m.method), wait*time.Minute)
				w.clock.Add(wait * time.Minute)
			}
		})
	}
}

func TestAbuse_C03_NewTextMessageDoesNotResetTheCount(t *testing.T) {
	w := newWorld(t, bySMS)
	ada := w.smsUser("ada").another()
	require.NoError(t, ada.send(twofa.SMS))
	for range 4 {
		require.ErrorIs(t, ada.verify(twofa.SMS, ada.wrongCode(twofa.SMS)), twofa.ErrInvalidCode)
	}
	w.clock.Add(time.Minute)
	require.NoError(t, ada.send(twofa.SMS))
	require.ErrorIs(t, ada.verify(twofa.SMS, ada.wrongCode(twofa.SMS)), twofa.ErrInvalidCode)
	locked(t, ada.verify(twofa.SMS, w.out.TextCode(t, number)), time.Minute)
}

// Nothing that an attacker can change between guesses changes the count.
func TestAbuse_C04_C05_CounterBelongsToTheUser(t *testing.T) {
	for name, change := range map[string]func(p *person, i int){
		"a new login with the password":  func(*person, int) {},
		"another IP address and browser": func(p *person, i int) { p.client.IP, p.client.UserAgent = fmt.Sprintf("203.0.113.%d", i), "agent" },
		"another cookie":                 func(p *person, i int) { p.client.Browser = twofa.NewSecret(fmt.Sprint("forged ", i)) },
		"no cookie":                      func(p *person, _ int) { p.client.Browser = twofa.Secret{} },
		"another account":                func(p *person, i int) { p.account = []string{"", "acme", "beta"}[i%3] },
		"another server":                 func(p *person, _ int) { *p = *p.on(p.again()) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			eve := w.enrolled("ada").stranger()
			for i := range 5 {
				change(eve, i)
				eve.misses(1, twofa.TOTP)
			}
			locked(t, eve.hit(), 30*time.Second)
		})
	}
}

// A directory that finds a user under several spellings would create a counter
// and a second factor for each.
func TestAbuse_C06_AliasesAreRefused(t *testing.T) {
	w := newWorld(t)
	w.enrolled("ada")
	w.setUser("ADA", func(u *twofa.User) { *u = w.users["ada"] })
	w.setUser("ada ", func(u *twofa.User) { *u = twofa.User{ID: "ada "} })
	for _, id := range []string{"ADA", "ada ", " ada", "", "ada\x00", "a\u202eda"} {
		_, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: id, By: twofa.ByPassword})
		require.Error(t, err)
		records, err := w.store.Get(t.Context(), "user/"+id)
		require.NoError(t, err)
		require.Empty(t, records)
	}
}

func TestAbuse_C07_FailuresLockOnlyTheirUser(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.enrolled("ada"), w.enrolled("bob")
	for range 200 {
		_ = ada.stranger().miss(twofa.TOTP)
		w.clock.Add(10 * time.Minute)
	}
	require.NoError(t, bob.stranger().hit())
}

func TestAbuse_C08_OtherMethodsStayUsable(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	eve := ada.stranger()
	eve.misses(5, twofa.TOTP)
	require.ErrorIs(t, eve.miss(twofa.TOTP), twofa.ErrLocked)
	require.NoError(t, eve.verify(twofa.RecoveryCode, ada.codes[0]))
}

// A day of guessing with every method in turn is limited to the sum of what
// each method allows.
func TestAbuse_C09_SwitchingBetweenMethods(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) {
		c.OnEvent = nil
		c.Policy = twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, Fallback: []twofa.Method{twofa.SMS}}
	})
	ada := w.enrolled("ada")
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: number})
	require.NoError(t, err)
	ada.login.Challenge = e.Challenge
	require.NoError(t, ada.took(ada.Confirm(t.Context(), ada.caller(), w.out.TextCode(t, number))))
	eve, answered, wait := ada.stranger(), map[twofa.Method]int{}, map[twofa.Method]time.Time{}
	for end := w.clock.Now().Add(24 * time.Hour); w.clock.Now().Before(end); w.clock.Add(time.Minute) {
		eve.begin()
		for _, m := range eve.login.Methods {
			for !w.clock.Now().Before(wait[m]) {
				eve.begin() // on the same challenge, the same code gets the same answer
				err := eve.verify(m, eve.wrongCode(m))
				if errors.Is(err, twofa.ErrLocked) {
					wait[m] = w.clock.Now().Add(twofa.RetryAfter(err))
					break
				}
				require.ErrorIs(t, err, twofa.ErrInvalidCode)
				answered[m]++
			}
		}
	}
	require.Equal(t, map[twofa.Method]int{twofa.TOTP: 33, twofa.SMS: 33, twofa.RecoveryCode: 5 + 24*60 - 1}, answered)
}

func TestAbuse_C10_EveryProofIsCountedTogether(t *testing.T) {
	ada := newWorld(t, eachTime).enrolled("ada")
	ada.clock.Add(30 * time.Second)
	own := surfaces[1:] // the first one is another browser's, which is counted separately
	for i := range 5 {
		require.ErrorIs(t, own[i%len(own)].try(ada, ada.wrongCode(twofa.TOTP)), twofa.ErrInvalidCode)
	}
	for _, surface := range own {
		require.ErrorIs(t, surface.try(ada, ada.now()), twofa.ErrLocked, surface.name)
	}
}

func TestAbuse_C11_WrongConfirmationsEndOnlyTheEnrollment(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
	require.NoError(t, err)
	pending := *ada
	pending.uri = e.URI.Reveal()
	for i := range 20 {
		_, err := ada.Confirm(t.Context(), ada.caller(), pending.wrongCode(twofa.TOTP))
		if i < 5 {
			require.ErrorIs(t, err, twofa.ErrInvalidCode)
			continue
		}
		require.ErrorIs(t, err, twofa.ErrExpired)
	}
	_, err = ada.Confirm(t.Context(), ada.caller(), pending.now())
	require.ErrorIs(t, err, twofa.ErrExpired)
	require.NoError(t, ada.hit(), "sign-in is not locked")
}

func TestAbuse_C12_NothingIsSentWhileLocked(t *testing.T) {
	w := newWorld(t, bySMS)
	ada := w.smsUser("ada").another()
	require.NoError(t, ada.send(twofa.SMS))
	for range 5 {
		require.ErrorIs(t, ada.verify(twofa.SMS, ada.wrongCode(twofa.SMS)), twofa.ErrInvalidCode)
	}
	w.clock.Add(time.Minute)
	require.ErrorIs(t, ada.verify(twofa.SMS, ada.wrongCode(twofa.SMS)), twofa.ErrInvalidCode)
	w.clock.Add(time.Minute)
	stored, texts := w.record("ada"), len(w.out.Texts())
	for range 10 {
		locked(t, ada.send(twofa.SMS), time.Minute)
	}
	require.Len(t, w.out.Texts(), texts)
	require.Equal(t, stored, w.record("ada"))
}

// worn returns a user whose authenticator an attacker in an unknown browser has
// failed n times, as fast as the locks allow.
func worn(t *testing.T, n int, edit ...func(*twofa.Config)) (owner, eve *person) {
	w := newWorld(t, append(edit, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })...)
	owner = w.enrolled("ada")
	eve = owner.stranger()
	for range n {
		eve.misses(1, twofa.TOTP)
		w.clock.Add(time.Hour)
	}
	return owner, eve
}

func TestAbuse_C09_C13_LevelTurnsTheMethodOff(t *testing.T) {
	t.Run("one failure less does not", func(t *testing.T) {
		_, eve := worn(t, 39)
		require.NoError(t, eve.hit())
	})
	t.Run("until it has drained", func(t *testing.T) {
		owner, eve := worn(t, 41) // 40 hours, in which one has drained
		locked(t, eve.hit(), 7*time.Hour-30*time.Second)
		require.Contains(t, eve.types(), event.Disabled)
		mails := eve.out.Mails()
		require.Contains(t, mails[len(mails)-1].Text.Reveal(), "is turned off in the browsers in which they were entered")
		require.NoError(t, eve.verify(twofa.RecoveryCode, owner.codes[0]), "the other methods work")
		require.NoError(t, owner.hit(), "and so does a known browser")
		require.ErrorIs(t, eve.hit(), twofa.ErrLocked, "which gives the attacker nothing")
		owner.clock.Add(7 * time.Hour)
		require.NoError(t, eve.hit())
	})
	t.Run("or it is enrolled again", func(t *testing.T) {
		owner, eve := worn(t, 41)
		require.NoError(t, owner.hit())
		eve.uri = owner.second(twofa.EnrollRequest{Replaces: owner.factor(0)}).uri
		require.NoError(t, eve.hit())
	})
	t.Run("a success does not lower it", func(t *testing.T) {
		owner, eve := worn(t, 39)
		require.NoError(t, owner.stranger().hit())
		eve.misses(1, twofa.TOTP)
		eve.misses(1, twofa.TOTP) // one had drained
		require.ErrorIs(t, eve.hit(), twofa.ErrLocked)
	})
	t.Run("an owner who follows the notice gets in", func(t *testing.T) {
		owner, eve := worn(t, 41)
		require.NoError(t, owner.hit())
		require.NoError(t, owner.User(twofa.AsUser(owner.caller(), ""), "ada").CredentialsChanged(t.Context()))
		require.NoError(t, owner.hit(), "her browser remains known")
		require.NoError(t, owner.browser("new laptop").hit(), "and the new password allows ten more")
		require.Error(t, eve.Check(t.Context(), eve.caller()))
	})
	t.Run("a changed first factor allows ten more, three times in 30 days", func(t *testing.T) {
		owner, eve := worn(t, 41)
		for i := range 4 {
			require.NoError(t, owner.User(twofa.AsHost("reset"), "ada").CredentialsChanged(t.Context()))
			compared := 0
			for range 12 {
				if errors.Is(eve.miss(twofa.TOTP), twofa.ErrInvalidCode) {
					compared++
				}
				owner.clock.Add(time.Hour)
			}
			require.InDelta(t, map[bool]int{true: 10, false: 0}[i < 3], compared, 1, "one may have drained")
		}
	})
}

// A hundred failures without any success turn the method off, until it is proven
// in a known browser.
func TestAbuse_C09_C13_HundredFailuresInARow(t *testing.T) {
	owner, eve := worn(t, 40)
	days := 0
	for n := 40; n < 100; owner.clock.Add(time.Hour) {
		if errors.Is(eve.miss(twofa.TOTP), twofa.ErrInvalidCode) {
			n++
		}
		days++
	}
	require.Greater(t, days/24, 55)
	owner.clock.Add(10 * 24 * time.Hour)
	locked(t, eve.hit(), 0)
	require.NoError(t, owner.hit(), "her browser is known for 90 days")
	require.NoError(t, eve.hit())
}

func TestAbuse_C08_KnownBrowserCountsAsUnknownAfterTen(t *testing.T) {
	owner := newWorld(t).enrolled("ada")
	for range 10 {
		owner.misses(1, twofa.TOTP)
		owner.clock.Add(time.Hour)
	}
	owner.misses(1, twofa.TOTP)
	require.NoError(t, owner.hit(), "the counter of unknown browsers has room")
	owner.misses(4, twofa.TOTP)
	require.NoError(t, owner.hit(), "it is known again")
}

func TestAbuse_C14_LiveSessionsSurviveALock(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	ada := w.enrolled("ada")
	mails := len(w.out.Mails())
	ada.stranger().misses(5, twofa.TOTP)
	require.Len(t, w.out.Mails(), mails+1, "she is notified")
	require.NoError(t, ada.Check(t.Context(), ada.caller()))
	require.NoError(t, ada.stepUp("contacts.export"), "her browser is known")
	require.NoError(t, ada.hit())
}

func TestAbuse_C15_OneNoticeAnHour(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	eve := w.enrolled("ada").stranger()
	mails := len(w.out.Mails())
	eve.begin()
	for i := range 1000 {
		if i%100 == 0 {
			eve.begin()
		}
		_ = eve.verify(twofa.TOTP, eve.wrongCode(twofa.TOTP))
		_ = eve.verify(twofa.RecoveryCode, eve.wrongCode(twofa.RecoveryCode))
		w.clock.Add(3 * time.Second)
	}
	require.Len(t, w.out.Mails(), mails+1)
	w.clock.Add(time.Hour)
	eve.misses(1, twofa.TOTP)
	require.Len(t, w.out.Mails(), mails+2)
}

func TestAbuse_C16_GuessedLinksAffectNobody(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Policy = twofa.PolicyEmailLink() })
	ada := w.person("ada")
	ada.begin()
	require.NoError(t, ada.send(twofa.EmailLink))
	stored := w.record("ada")
	for i := range 50 {
		require.ErrorIs(t, ada.verify(twofa.EmailLink, fmt.Sprint("guess ", i)), twofa.ErrInvalidCode)
	}
	require.Equal(t, stored, w.record("ada"))
	require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))
}

// Zero is the documented default, never "unlimited" or "off".
func TestAbuse_C17_ZeroConfigIsNotUnlimited(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) {
		c.Policy, c.TOTP, c.Recovery.Codes, c.Lifetimes.Session = twofa.Policy{}, twofa.TOTPConfig{}, 0, 0
	})
	ada := w.enrolled("ada")
	require.Len(t, ada.codes, 10)
	eve := ada.stranger()
	eve.misses(5, twofa.TOTP)
	locked(t, eve.miss(twofa.TOTP), time.Minute)

	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), "contacts.export", "")))
	require.NoError(t, ada.took(ada.Verify(t.Context(), ada.caller(), ada.login.Challenge,
		twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(ada.code()), Remember: true})))
	w.clock.Add(5 * time.Minute)
	denied(t, ada.UseAction(t.Context(), ada.caller(), "contacts.export", ""), twofa.ReasonStale)
	require.Equal(t, twofa.NextChallenge, ada.begin(), "no browser is remembered")
	w.clock.Add(24 * time.Hour)
	denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonSignedOut)
}

// A server whose clock was far ahead for a moment has set a lock that ends in
// years. The lock is shortened to the longest that the schedule allows.
func TestAbuse_C18_LockOfAWrongClockEnds(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	eve := ada.stranger()
	w.clock.Add(365 * 24 * time.Hour)
	eve.misses(5, twofa.TOTP)
	w.clock.Add(-365 * 24 * time.Hour)
	locked(t, eve.miss(twofa.TOTP), time.Minute)
	w.clock.Add(59 * time.Second)
	locked(t, eve.miss(twofa.TOTP), time.Second)
	w.clock.Add(time.Second)
	require.NoError(t, eve.hit())
}

// Setting the clock back does not end a lock early.
func TestAbuse_C18_ClockSetBackWhileLocked(t *testing.T) {
	w := newWorld(t)
	eve := w.enrolled("ada").stranger()
	eve.misses(5, twofa.TOTP)
	w.clock.Add(-10 * time.Minute)
	for range 59 {
		require.ErrorIs(t, eve.miss(twofa.TOTP), twofa.ErrLocked)
		w.clock.Add(time.Second)
	}
}

// A wrong clock does not block messages for years either, to the user or to the
// number.
func TestAbuse_C18_SendsOfAWrongClockEnd(t *testing.T) {
	for name, m := range map[string]struct {
		method twofa.Method
		person func(w *world) *person
		edit   func(*twofa.Config)
	}{
		"text": {twofa.SMS, func(w *world) *person { return w.smsUser("ada") }, bySMS},
		"link": {twofa.EmailLink, func(w *world) *person { return w.person("ada") }, func(c *twofa.Config) { c.Policy = twofa.PolicyEmailLink() }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, m.edit)
			ada := m.person(w)
			w.clock.Add(365 * 24 * time.Hour)
			require.NoError(t, ada.another().send(m.method))
			w.clock.Add(-365 * 24 * time.Hour)
			require.NoError(t, ada.another().send(m.method))
			locked(t, ada.another().send(m.method), time.Minute)
		})
	}
}
