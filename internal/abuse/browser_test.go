package abuse

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

const aMonth = 30 * 24 * time.Hour

// remembering configures a host that remembers browsers.
func remembering(c *twofa.Config) {
	c.Policy = twofa.Policy{Methods: []twofa.Method{twofa.TOTP}, Remember: aMonth}
}

// remember signs in with an authenticator and asks to be remembered.
func (p *person) remember() *person {
	p.t.Helper()
	require.Equal(p.t, twofa.NextChallenge, p.begin())
	require.NoError(p.t, p.took(p.Verify(p.t.Context(), p.caller(), p.login.Challenge,
		twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(p.code()), Remember: true})))
	return p
}

// remembered returns a user in a remembered browser, and the session in another
// browser that enrolled the authenticator.
func (w *world) remembered(id string) (setUp, p *person) {
	setUp = w.enrolled(id)
	p = setUp.browser("laptop").remember()
	require.Equal(w.t, twofa.NextDone, p.begin())
	return setUp, p
}

func TestAbuse_K01_ForgedTokenIsChallenged(t *testing.T) {
	w := newWorld(t, remembering)
	_, ada := w.remembered("ada")
	good := ada.client.Browser.Reveal()
	for _, forged := range []string{
		"", strings.Repeat("A", 43), base64.StdEncoding.EncodeToString([]byte(`{"user":"ada","remember":true}`)),
		"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.", good[:42], good + "A", " " + good, good + "\n", strings.ToLower(good),
		strings.Repeat(good, 1000), ada.session.Reveal(),
	} {
		thief := ada.browser("thief")
		thief.client.Browser = twofa.NewSecret(forged)
		require.Equal(t, twofa.NextChallenge, thief.begin(), "%.60q", forged)
	}
	require.Equal(t, twofa.NextDone, ada.begin())
}

func TestAbuse_K02_TokenOfAnotherUserIsChallenged(t *testing.T) {
	w := newWorld(t, remembering)
	_, ada := w.remembered("ada")
	bob := w.enrolled("bob")
	bob.client.Browser = ada.client.Browser
	require.Equal(t, twofa.NextChallenge, bob.begin())
	require.Equal(t, twofa.NextDone, ada.begin())
}

func TestAbuse_K03_RememberingEndsByTheServersClock(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration
		next  twofa.Next
	}{
		{"one second before", aMonth - time.Second, twofa.NextDone},
		{"on the second", aMonth, twofa.NextChallenge},
		{"when the clock of this server is hours behind", -time.Hour, twofa.NextChallenge},
		{"when the clocks of servers differ a little", -45 * time.Second, twofa.NextDone},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, remembering)
			ada := w.enrolled("ada").browser("laptop").remember()
			w.clock.Add(c.after)
			require.Equal(t, c.next, ada.begin())
		})
	}
}

func TestAbuse_K04_RememberedBrowserIsChallengedAfter(t *testing.T) {
	fresh := func(t *testing.T, p *person) { require.NoError(t, p.stepUp(twofa.ActionFactors)) }
	enroll := func(t *testing.T, p *person, e twofa.EnrollRequest) {
		fresh(t, p)
		started, err := p.Enroll(t.Context(), p.caller(), e)
		require.NoError(t, err)
		p.uri = started.URI.Reveal()
		require.NoError(t, p.took(p.Confirm(t.Context(), p.caller(), p.code())))
	}
	factor := func(t *testing.T, p *person) string {
		f, err := p.Factors(t.Context(), p.caller())
		require.NoError(t, err)
		return f.List[0].ID
	}
	for _, c := range []struct {
		name   string
		change func(*testing.T, *person)
	}{
		{"a changed password", func(t *testing.T, p *person) {
			require.NoError(t, p.User(twofa.AsUser(p.caller(), ""), "ada").CredentialsChanged(t.Context()))
		}},
		{"a changed password that the host did not report", func(_ *testing.T, p *person) {
			p.setUser("ada", func(u *twofa.User) { u.SecurityStamp = "2" })
		}},
		{"a reset password", func(t *testing.T, p *person) {
			require.NoError(t, p.User(twofa.AsHost("reset link"), "ada").CredentialsChanged(t.Context()))
		}},
		{"a second factor added", func(t *testing.T, p *person) { enroll(t, p, twofa.EnrollRequest{Name: "Tablet"}) }},
		{"a factor replaced", func(t *testing.T, p *person) { enroll(t, p, twofa.EnrollRequest{Replaces: factor(t, p)}) }},
		{"a factor removed", func(t *testing.T, p *person) {
			enroll(t, p, twofa.EnrollRequest{Name: "Tablet"})
			laptop := p.browser("laptop").remember() // remembered again, because adding a factor ended it
			require.Equal(t, twofa.NextDone, laptop.begin())
			p.client.Browser = laptop.client.Browser
			fresh(t, p)
			require.NoError(t, p.Remove(t.Context(), p.caller(), factor(t, p)))
		}},
		{"turning it off, and on again", func(t *testing.T, p *person) {
			fresh(t, p)
			require.NoError(t, p.Remove(t.Context(), p.caller(), factor(t, p)))
			again := p.browser("desk")
			require.Equal(t, twofa.NextDone, again.begin())
			p.uri = again.enroll().uri
		}},
		{"a login with a recovery code", func(t *testing.T, p *person) {
			other := p.browser("desk")
			other.begin()
			require.NoError(t, other.verify(twofa.RecoveryCode, p.codes[0]))
		}},
		{"signing out everywhere", func(t *testing.T, p *person) {
			require.NoError(t, p.User(twofa.AsUser(p.caller(), ""), "ada").Revoke(t.Context()))
		}},
		{"signing out everywhere by the host", func(t *testing.T, p *person) {
			require.NoError(t, p.User(twofa.AsHost("support"), "ada").Revoke(t.Context()))
		}},
		{"revoking the browsers", func(t *testing.T, p *person) {
			require.NoError(t, p.ForgetBrowsers(t.Context(), p.caller()))
		}},
		{"deleting the user, and creating another with that ID", func(t *testing.T, p *person) {
			require.NoError(t, p.User(twofa.AsHost("deleted"), "ada").Delete(t.Context()))
			again := p.browser("desk")
			require.Equal(t, twofa.NextDone, again.begin())
			again.enroll()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, remembering)
			setUp, ada := w.remembered("ada")
			cookie := ada.client.Browser
			c.change(t, setUp)
			thief := ada.browser("thief")
			thief.client.Browser = cookie
			require.Equal(t, twofa.NextChallenge, thief.begin())
			require.True(t, thief.login.Session.IsZero())
		})
	}
	t.Run("deactivation", func(t *testing.T) {
		w := newWorld(t, remembering)
		_, ada := w.remembered("ada")
		w.setUser("ada", func(u *twofa.User) { u.Disabled = true })
		_, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: ada.client})
		require.ErrorIs(t, err, twofa.ErrNotAllowed)
	})
}

// A sign-in path that proves only a mailbox or a token is not opened by a
// cookie.
func TestAbuse_K04_RememberedBrowserOpensNoWeakerSignInPath(t *testing.T) {
	for _, by := range []twofa.FirstFactorMethod{twofa.ByEmail, twofa.ByToken} {
		w := newWorld(t, remembering)
		_, ada := w.remembered("ada")
		l, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: by, Client: ada.client})
		require.NoError(t, err)
		require.Equal(t, twofa.NextChallenge, l.Next, by)
	}
}

func TestAbuse_K05_StoredBrowserIsUseless(t *testing.T) {
	w := newWorld(t, remembering)
	_, ada := w.remembered("ada")
	stored := w.opened("ada")
	require.NotContains(t, stored, ada.client.Browser.Reveal())
	list, err := ada.Browsers(t.Context(), ada.caller())
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprintf("%+v", list), ada.client.Browser.Reveal())
	for i := 0; i+16 <= len(stored); i++ { // a hash has 16 bytes
		thief := ada.browser("thief")
		thief.client.Browser = twofa.NewSecret(stored[i : i+16])
		require.Equal(t, twofa.NextChallenge, thief.begin())
	}
}

func TestAbuse_K06_RememberedBrowserIsNoProof(t *testing.T) {
	w := newWorld(t, remembering)
	_, ada := w.remembered("ada")
	for _, action := range []string{"contacts.export", twofa.ActionFactors} {
		denied(t, ada.UseAction(t.Context(), ada.caller(), action, ""), twofa.ReasonMissing)
		l, err := ada.StepUp(t.Context(), ada.caller(), action, "")
		require.NoError(t, err)
		require.Equal(t, []twofa.Method{twofa.TOTP}, l.Methods)
	}
	_, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
	denied(t, err, twofa.ReasonMissing)
	d, err := w.DescribeSession(ada.session)
	require.NoError(t, err)
	require.Equal(t, []string{"pwd", "x-browser"}, d.AMR, "neither otp nor mfa")
}

func TestAbuse_K07_OnlyTheOwnerRevokesBrowsers(t *testing.T) {
	w := newWorld(t, remembering)
	_, ada := w.remembered("ada")
	_, bob := w.remembered("bob")
	list, err := ada.Browsers(t.Context(), ada.caller())
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.True(t, list[0].Current && list[0].Remembered)
	require.ErrorIs(t, bob.ForgetBrowser(t.Context(), bob.caller(), list[0].ID), twofa.ErrNotEnrolled)
	require.ErrorIs(t, bob.ForgetBrowser(t.Context(), bob.caller(), "no such"), twofa.ErrNotEnrolled, "the answer is the same as for an ID that does not exist")
	require.Equal(t, twofa.NextDone, ada.begin())
	require.NoError(t, ada.ForgetBrowser(t.Context(), ada.caller(), list[0].ID))
	require.Equal(t, twofa.NextChallenge, ada.begin(), "revoking takes effect at once")
}

func TestAbuse_K08_EleventhBrowserEvictsTheOldest(t *testing.T) {
	w := newWorld(t, remembering)
	ada := w.enrolled("ada")
	var browsers []*person
	for i := range 50 {
		browsers = append(browsers, ada.browser(fmt.Sprint(i)).remember())
	}
	last := browsers[49]
	list, err := last.Browsers(t.Context(), last.caller())
	require.NoError(t, err)
	require.Len(t, list, 10)
	for i, p := range browsers {
		want := twofa.NextChallenge
		if i >= 40 {
			want = twofa.NextDone
		}
		require.Equal(t, want, p.begin(), "browser %d", i)
	}
}

func TestAbuse_K10_DailyUseDoesNotExtendTheLifetime(t *testing.T) {
	w := newWorld(t, remembering)
	ada := w.enrolled("ada").browser("laptop").remember()
	for day := range 365 {
		w.clock.Add(24 * time.Hour)
		if next := ada.begin(); day < 29 {
			require.Equal(t, twofa.NextDone, next, "day %d", day)
		} else {
			require.Equal(t, twofa.NextChallenge, next, "day %d", day)
		}
	}
}

// A user who once asked to be remembered is not remembered forever, because the
// last answer counts.
func TestAbuse_K10_LaterLoginWithoutTheWishEndsIt(t *testing.T) {
	w := newWorld(t, remembering)
	ada := w.enrolled("ada").browser("laptop").remember()
	w.clock.Add(31 * 24 * time.Hour)
	require.Equal(t, twofa.NextChallenge, ada.begin())
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	require.Equal(t, twofa.NextChallenge, ada.begin())
}

func TestAbuse_K11_EachAccountDecidesForItself(t *testing.T) {
	w := newWorld(t, remembering)
	strict := twofa.Policy{Methods: []twofa.Method{twofa.TOTP}}
	require.NoError(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), strict, ""))
	_, ada := w.remembered("ada")
	ada.account = "beta" // remembers browsers
	require.Equal(t, twofa.NextDone, ada.begin())
	require.NoError(t, ada.Check(t.Context(), ada.caller()))
	ada.account = "acme" // does not remember browsers
	denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonChallenge)
	denied(t, ada.UseAction(t.Context(), ada.caller(), "contacts.export", ""), twofa.ReasonChallenge)
	_, err := ada.Browsers(t.Context(), ada.caller())
	denied(t, err, twofa.ReasonChallenge)
	require.NoError(t, ada.took(ada.Resume(t.Context(), ada.caller())))
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	require.NoError(t, ada.Check(t.Context(), ada.caller()))
}

// After a rotation, the previous token works for two minutes, because responses
// get lost. After that it is a copy: the browser is no longer remembered, and an
// event is recorded once.
func TestAbuse_K12_CopiedTokenEndsRemembering(t *testing.T) {
	for _, first := range []string{"thief", "owner"} {
		t.Run("the "+first+" comes first", func(t *testing.T) {
			w := newWorld(t, remembering)
			ada := w.enrolled("ada").browser("laptop").remember()
			copied := ada.browser("copy")
			copied.client.Browser = ada.client.Browser
			winner, loser := ada, copied
			if first == "thief" {
				winner, loser = copied, ada
			}
			require.Equal(t, twofa.NextDone, winner.begin())
			w.clock.Add(2*time.Minute + time.Second)
			require.Equal(t, twofa.NextChallenge, loser.begin())
			require.Equal(t, twofa.NextChallenge, winner.begin(), "owner and copier cannot be told apart, so both are challenged")
			require.Contains(t, w.types(), event.BrowserReplay)
		})
	}
}

// A browser that missed an answer, once or twice, gets the same token again.
func TestAbuse_K12_LostAnswersAreNoAlarm(t *testing.T) {
	w := newWorld(t, remembering)
	ada := w.enrolled("ada").browser("laptop").remember()
	tab := ada.browser("tab")
	tab.client.Browser = ada.client.Browser
	require.Equal(t, twofa.NextDone, ada.begin())
	old := tab.client.Browser
	for range 2 {
		w.clock.Add(50 * time.Second)
		tab.client.Browser = old
		require.Equal(t, twofa.NextDone, tab.begin())
		require.Equal(t, ada.client.Browser.Reveal(), tab.client.Browser.Reveal())
	}
	require.Equal(t, twofa.NextDone, ada.begin())
	require.NotContains(t, w.types(), event.BrowserReplay)
}

// A thief who uses a copied cookie twice is noticed by the owner's next login,
// although the owner's token is two steps behind.
func TestAbuse_K12_ThiefWhoComesTwice(t *testing.T) {
	w := newWorld(t, remembering)
	ada := w.enrolled("ada").browser("laptop").remember()
	thief := ada.browser("copy")
	thief.client.Browser = ada.client.Browser
	for range 2 {
		require.Equal(t, twofa.NextDone, thief.begin())
		w.clock.Add(time.Minute)
	}
	require.Equal(t, twofa.NextChallenge, ada.begin())
	require.Contains(t, w.types(), event.BrowserReplay)
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	require.Equal(t, twofa.NextChallenge, thief.begin())
	list, err := ada.Browsers(t.Context(), ada.caller())
	require.NoError(t, err)
	require.Len(t, list, 2, "the phone, and the laptop under new secrets")
}

// Two users of one browser are both remembered in it, and neither cookie ends
// the other's.
func TestAbuse_K02_TwoUsersOfOneBrowser(t *testing.T) {
	w := newWorld(t, remembering)
	first, second := w.enrolled("ada").browser("shared").remember(), w.enrolled("bob")
	second.client.Browser = first.client.Browser
	second.remember()
	for range 3 {
		first.client.Browser = second.client.Browser
		require.Equal(t, twofa.NextDone, first.begin())
		second.client.Browser = first.client.Browser
		require.Equal(t, twofa.NextDone, second.begin())
		w.clock.Add(time.Hour)
	}
}

// Many tabs start at once. All are let in, they are one browser, and one of the
// returned tokens remains valid.
func TestAbuse_K12_TabsThatStartAtOnce(t *testing.T) {
	bursts(t, remembering, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada := w.enrolled("ada").browser("laptop").remember()
		tokens := make([]twofa.Secret, 8)
		got := burst(8, func(m *twofa.Manager, i int) error {
			l, err := m.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: ada.client})
			tokens[i] = l.Browser
			return err
		})
		require.Equal(t, tally{ok: 8}, got)
		for _, token := range tokens {
			if !token.IsZero() {
				ada.client.Browser = token
			}
		}
		w.clock.Add(time.Hour)
		require.Equal(t, twofa.NextDone, ada.begin())
		require.NotContains(t, w.types(), event.BrowserReplay)
	})
}

// An expired browser is neither listed nor can it be forgotten.
func TestAbuse_K07_ExpiredBrowserCannotBeForgotten(t *testing.T) {
	const life = 90 * 24 * time.Hour
	w := newWorld(t, func(c *twofa.Config) { c.Policy = twofa.Policy{Remember: life} })
	ada := w.enrolled("ada").remember()
	require.NoError(t, ada.ForgetBrowsers(t.Context(), ada.caller()))
	ada.remember()
	w.clock.Add(life - time.Second)
	require.Equal(t, twofa.NextDone, ada.begin())
	w.clock.Add(time.Second)
	require.ErrorIs(t, ada.ForgetBrowsers(t.Context(), ada.caller()), twofa.ErrNotEnrolled)
}
