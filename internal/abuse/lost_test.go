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
	require.Empty(t, w.tells(func() { require.NoError(t, again.ReportLost(t.Context(), again.client, again.login.Challenge)) }), "once a day, even so")
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
