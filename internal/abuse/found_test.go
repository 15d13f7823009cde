package abuse

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

// Bugs that the model test (internal/model) has found, each as its smallest
// case.

func TestSendOnlyOffersWhatCanBeSent(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	w.setUser("ada", func(u *twofa.User) { u.Emails = nil })
	ada.begin()
	for _, m := range []twofa.Method{twofa.TOTP, twofa.RecoveryCode} {
		require.ErrorIs(t, ada.send(m), twofa.ErrNotAllowed, "%s is offered, but nothing is sent for it", m)
	}
	require.Empty(t, w.out.Mails())
}

func TestDescribeChallengeWithAnErrorIsEmpty(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	ada.begin()
	require.ErrorIs(t, ada.verify(twofa.TOTP, ada.wrongCode(twofa.TOTP)), twofa.ErrInvalidCode)
	require.NoError(t, ada.Cancel(t.Context(), ada.client, ada.login.Challenge))
	login, err := ada.DescribeChallenge(t.Context(), ada.client, ada.login.Challenge)
	require.ErrorIs(t, err, twofa.ErrExpired)
	require.Empty(t, login.Next)
	require.True(t, login.Challenge.IsZero())
}

// Only the browser that gave the first factor learns the name of the user.
func TestDescribeChallengeShowsTheUserAndTheEndOfTheLink(t *testing.T) {
	w := newWorld(t, byLink)
	w.setUser("ada", func(u *twofa.User) { u.Name = "ada\u202e@example.com\n" })
	ada := w.person("ada")
	ada.begin()
	info, err := ada.DescribeChallenge(t.Context(), ada.client, ada.login.Challenge)
	require.NoError(t, err)
	require.Equal(t, "ada@example.com", info.UserName)
	require.Zero(t, info.SentExpires, "nothing was sent yet")

	require.NoError(t, ada.send(twofa.EmailLink))
	info, err = ada.DescribeChallenge(t.Context(), ada.client, ada.login.Challenge)
	require.NoError(t, err)
	require.WithinDuration(t, w.clock.Now().Add(10*time.Minute), info.SentExpires, time.Second)

	info, err = ada.DescribeChallenge(t.Context(), ada.browser("thief").client, ada.login.Challenge)
	require.ErrorIs(t, err, twofa.ErrExpired)
	require.Empty(t, info)
}

// A page says how many digits a code has and until when none is accepted, before
// the user types one.
func TestDescribeChallengeShowsDigitsAndLocks(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	ada.begin()
	info, err := ada.DescribeChallenge(t.Context(), ada.client, ada.login.Challenge)
	require.NoError(t, err)
	require.Equal(t, 6, info.Digits)
	require.Empty(t, info.Locked)
	for range 5 {
		require.ErrorIs(t, ada.verify(twofa.TOTP, ada.wrongCode(twofa.TOTP)), twofa.ErrInvalidCode)
	}
	info, err = ada.DescribeChallenge(t.Context(), ada.client, ada.login.Challenge)
	require.NoError(t, err)
	require.Len(t, info.Locked, 1, "recovery codes are still accepted")
	require.WithinDuration(t, w.clock.Now().Add(time.Minute), info.Locked[twofa.TOTP], time.Second)
	w.clock.Add(time.Minute)
	info, err = ada.DescribeChallenge(t.Context(), ada.client, ada.login.Challenge)
	require.NoError(t, err)
	require.Empty(t, info.Locked)
}

// After a login with a recovery code, the factor is probably lost, until it is
// proven or replaced in any session.
func TestFactorsTellOfARecovery(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	factors := func(p *person) twofa.Factors {
		f, err := p.Factors(t.Context(), p.caller())
		require.NoError(t, err)
		return f
	}
	require.Zero(t, factors(ada).RecoveredAt)
	w.clock.Add(time.Hour)
	other := ada.another()
	require.NoError(t, other.verify(twofa.RecoveryCode, ada.codes[0]))
	require.Equal(t, w.clock.Now().Unix(), factors(other).RecoveredAt.Unix())
	require.Zero(t, factors(ada).RecoveredAt, "the other session has not used one")
	w.clock.Add(time.Hour)
	require.NotZero(t, factors(other).RecoveredAt, "it is offered as long as the session lives")
	require.Zero(t, factors(other).RecoveredUntil)
	require.NoError(t, ada.another().verify(twofa.TOTP, ada.code()))
	require.Zero(t, factors(other).RecoveredAt, "the app was found again")
}

func TestBrowsersListsKnownBrowsers(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Lifetimes.Session = 90 * 24 * time.Hour })
	ada := w.enrolled("ada")
	w.clock.Add(24 * time.Hour)
	laptop := ada.browser("laptop")
	laptop.begin()
	require.NoError(t, laptop.verify(twofa.TOTP, laptop.code()))
	list, err := laptop.Browsers(t.Context(), laptop.caller())
	require.NoError(t, err)
	require.Len(t, list, 2)
	w.clock.Add(89*24*time.Hour - 10*time.Second)
	list, err = laptop.Browsers(t.Context(), laptop.caller())
	require.NoError(t, err)
	require.Len(t, list, 1, "the other browser was last proven 90 days ago and is no longer known")
}

// After a copied cookie was noticed, a proof of the owner makes the browser known
// and remembered under new secrets, which the owner's cookie must then have.
func TestProofAfterACopyReturnsTheNewCookie(t *testing.T) {
	w := newWorld(t, remembering)
	ada := w.enrolled("ada").browser("laptop").remember()
	thief := ada.browser("copy")
	thief.client.Browser = ada.client.Browser
	require.Equal(t, twofa.NextDone, ada.begin())
	w.clock.Add(2*time.Minute + time.Second)
	require.Equal(t, twofa.NextChallenge, thief.begin(), "the copy is noticed")
	ada.remember()
	require.Equal(t, twofa.NextDone, ada.begin())
	require.Equal(t, twofa.NextChallenge, thief.begin())
}

func TestCancelIgnoresAnswersThatHaveExpired(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada").another()
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	w.clock.Add(10 * time.Second)
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), "contacts.export", "")))
	require.Equal(t, twofa.NextChallenge, ada.login.Next)
	stored := w.record("ada")
	require.NoError(t, ada.Cancel(t.Context(), ada.client, ada.login.Challenge))
	require.Equal(t, stored, w.record("ada"))
}

// A session that a server with shorter lifetimes would end before the login may
// is not continued by it. The user would be signed out at once.
func TestLoginContinuesNoSessionThatEndsBefore(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Lifetimes.Session = time.Hour })
	ada := w.enrolled("ada")
	w.clock.Add(25 * time.Minute)
	w.cfg.Lifetimes.Session = 30 * time.Minute
	shorter := ada.on(w.again())
	require.NoError(t, shorter.took(shorter.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: ada.client, Session: ada.session})))
	require.NoError(t, shorter.verify(twofa.TOTP, ada.code()))
	w.clock.Add(10 * time.Minute)
	require.NoError(t, shorter.Check(t.Context(), shorter.caller()))
}
