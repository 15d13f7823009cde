package abuse

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// Somebody with the password reports the device as lost. No browser is remembered
// any longer, the user and the admins are told once, and nothing opens.
func TestAbuse_N06_LostDeviceOpensNothing(t *testing.T) {
	w := team(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	mia := w.signedIn("mia", "acme")
	mia.begin()
	report := func() error { return mia.ReportLost(t.Context(), mia.client, mia.login.Challenge) }
	require.Equal(t, []string{"mia@example.com", "adam@example.com", "alma@example.com", "olga@example.com"}, w.tells(func() { require.NoError(t, report()) }))
	require.Empty(t, w.tells(func() { require.NoError(t, report()) }), "a second time within a day")
	w.clock.Add(time.Minute)
	require.Equal(t, twofa.NextChallenge, mia.begin())
	statuses, err := w.Account(twofa.AsHost("test"), "acme").Statuses(t.Context(), "mia")
	require.NoError(t, err)
	require.NotZero(t, statuses[0].Lost)

	told := w.tells(func() { require.NoError(t, mia.verify(twofa.RecoveryCode, mia.codes[0])) })
	require.NotContains(t, told, "adam@example.com", "a recovery code is no device")
	standing, err := w.Standing(t.Context(), mia.caller())
	require.NoError(t, err)
	require.NotZero(t, standing.Lost)

	again := mia.browser("of whoever has the device")
	again.begin()
	require.Contains(t, w.tells(func() { require.NoError(t, again.verify(twofa.TOTP, again.code())) }), "adam@example.com", "the admins learn that it is in use")
	require.Equal(t, 1, w.count(event.LostCleared, again.sessionID()))
	standing, err = w.Standing(t.Context(), again.caller())
	require.NoError(t, err)
	require.Zero(t, standing.Lost)

	again.begin()
	require.Empty(t, w.tells(func() { require.NoError(t, again.ReportLost(t.Context(), again.client, again.login.Challenge)) }), "told once a day, even so")
	standing, err = w.Standing(t.Context(), again.caller())
	require.NoError(t, err)
	require.NotZero(t, standing.Lost, "but it is lost again")
	w.clock.Add(24 * time.Hour)
	again.begin()
	require.NotEmpty(t, w.tells(func() { require.NoError(t, again.ReportLost(t.Context(), again.client, again.login.Challenge)) }))
}

// A remembered browser is asked again, and stays known.
func TestAbuse_K04_LostDeviceEndsRemembering(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Policy.Remember = 30 * 24 * time.Hour })
	_, p := w.remembered("ada")
	require.Equal(t, twofa.NextDone, p.begin())
	thief := p.browser("of an attacker")
	require.Equal(t, twofa.NextChallenge, thief.begin())
	require.NoError(t, w.ReportLost(t.Context(), thief.client, thief.login.Challenge))
	require.Equal(t, twofa.NextChallenge, p.begin())
}

func TestLost_BadInput(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	require.NoError(t, ada.stepUp("export"))
	for name, ch := range map[string]twofa.Challenge{"none": {}, "garbage": twofa.ParseChallenge("x"), "a step-up": ada.login.Challenge} {
		require.ErrorIs(t, ada.ReportLost(t.Context(), ada.client, ch), twofa.ErrExpired, name)
	}
	ada.begin()
	require.ErrorIs(t, ada.ReportLost(t.Context(), ada.browser("other").client, ada.login.Challenge), twofa.ErrExpired, "another browser")
	require.NotContains(t, w.types(), event.Lost)
}

// A thief reports the device first and ends the report with a code of it. The report
// of the owner on the same day counts even so.
func TestAbuse_K04_N06_ThiefReportsFirst(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Policy.Remember = aMonth; c.Mail.NoticeEmail = nil })
	ada := w.enrolled("ada")
	w.clock.Add(time.Hour)
	thief := ada.browser("of the thief")
	thief.begin()
	require.NoError(t, w.ReportLost(t.Context(), thief.client, thief.login.Challenge))
	thief.remember()
	require.Equal(t, twofa.NextDone, thief.begin())
	w.clock.Add(time.Hour)
	owner := ada.browser("of the owner")
	owner.begin()
	report := func() error { return w.ReportLost(t.Context(), owner.client, owner.login.Challenge) }
	require.Empty(t, w.tells(func() { require.NoError(t, report()) }), "mail once a day")
	statuses, err := w.Account(twofa.AsHost("test"), "acme").Statuses(t.Context(), "ada")
	require.NoError(t, err)
	require.NotZero(t, statuses[0].Lost)
	require.Equal(t, twofa.NextChallenge, thief.begin(), "no browser is remembered")
	require.Contains(t, w.tells(func() { require.NoError(t, thief.verify(twofa.TOTP, thief.code())) }), "ada@example.com", "it is in use again")
	require.NoError(t, report())
}

// Whoever has the password and the device cannot send mail all the time.
func TestAbuse_N06_LostAndFoundIsToldThreeTimesADay(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	ada := w.enrolled("ada")
	for range 5 {
		w.clock.Add(time.Hour)
		thief := ada.browser("of the thief")
		thief.begin()
		require.NoError(t, w.ReportLost(t.Context(), thief.client, thief.login.Challenge))
		require.NoError(t, thief.verify(twofa.TOTP, thief.code()))
	}
	var told []bool
	for _, e := range w.events {
		if e.Type == event.LostCleared {
			told = append(told, e.Notice)
		}
	}
	require.Equal(t, []bool{true, true, true, false, false}, told, "the event is always there")
}

// Somebody with the password signs in to one account, so that only its admins would
// hear of the loss. Those of the other accounts are told as well, also when the
// device is in use again.
func TestAbuse_N06_AdminsOfEveryAccountHearOfTheLoss(t *testing.T) {
	w := team(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	w.setUser("mia", func(u *twofa.User) {
		u.Members = append(u.Members, twofa.Member{Account: "beta", Since: u.Members[0].Since})
	})
	mia := w.signedIn("mia", "acme")
	w.clock.Add(time.Minute)
	thief := mia.browser("thief")
	thief.account = "beta"
	thief.begin()
	everybody := []string{"mia@example.com", "ben@example.com", "adam@example.com", "alma@example.com", "olga@example.com"}
	require.ElementsMatch(t, everybody, w.tells(func() { require.NoError(t, w.ReportLost(t.Context(), thief.client, thief.login.Challenge)) }))
	told := w.tells(func() { require.NoError(t, thief.verify(twofa.TOTP, thief.code())) })
	for _, address := range everybody {
		require.Contains(t, told, address)
	}
}

// The admin of acme, with nothing but its identity provider, cannot make the browsers
// of a member ask for codes in beta.
func TestAbuse_N06_IdentityProviderReportsNoLoss(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil; c.Policy.Remember = aMonth })
	ada := w.enrolled("ada")
	laptop := ada.browser("laptop")
	laptop.account = "beta"
	laptop.remember()
	require.Equal(t, twofa.NextDone, laptop.begin())
	for name, first := range map[string]twofa.FirstFactor{
		"identity provider": {UserID: "ada", Account: "acme", By: twofa.BySSO, ProviderOf: "acme"},
		"API token":         {UserID: "ada", Account: "acme", By: twofa.ByToken},
	} {
		admin := ada.browser(name)
		first.Client = admin.client
		require.NoError(t, admin.took(w.Begin(t.Context(), first)))
		require.Equal(t, twofa.NextChallenge, admin.login.Next)
		info, err := w.ChallengeInfo(admin.client, admin.login.Challenge)
		require.NoError(t, err)
		require.False(t, info.InPerson, name)
		var denied *twofa.DeniedError
		require.ErrorAs(t, w.ReportLost(t.Context(), admin.client, admin.login.Challenge), &denied, name)
		require.Equal(t, twofa.ReasonSignInHere, denied.Reason, name)
	}
	require.Equal(t, twofa.NextDone, laptop.begin())
	require.NotContains(t, w.types(), event.Lost)
}
