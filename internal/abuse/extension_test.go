package abuse

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// An extension that gives a member no more time than the policy is refused and
// changes nothing. One that is shorter than an earlier extension has an effect.
func TestAdmin_ExtensionWithoutEffectIsRefused(t *testing.T) {
	w := team(t)
	adam := w.signedIn("adam", "acme")
	p := required()
	p.Grace = 14 * aDay
	require.NoError(t, adam.sets(p))
	due := w.clock.Now().Add(14 * aDay).Truncate(time.Second)
	status := func() twofa.Status {
		t.Helper()
		all, err := adam.as().Statuses(t.Context(), "mia")
		require.NoError(t, err)
		return all[0]
	}
	require.Equal(t, due.UTC(), status().PolicyDue)
	events := len(w.events)
	for _, until := range []time.Time{w.clock.Now().Add(aDay), due} {
		err := adam.as().Extend(t.Context(), "mia", until)
		require.ErrorIs(t, err, twofa.ErrInvalid)
		require.ErrorContains(t, err, "until when the member has time anyway")
	}
	for _, e := range w.events[events:] {
		require.Equal(t, event.AdminAct, e.Type, "nothing is written to the member")
	}
	require.NoError(t, adam.as().Extend(t.Context(), "mia", due.Add(2*aDay)))
	require.Equal(t, due.Add(2*aDay).UTC(), status().Due)
	require.Equal(t, due.UTC(), status().PolicyDue, "the extension is not part of it")
	require.NoError(t, adam.as().Extend(t.Context(), "mia", due.Add(aDay)))
	require.Equal(t, due.Add(aDay).UTC(), status().Due)
	require.NoError(t, adam.as().Extend(t.Context(), "mia", time.Time{}), "to end it is always possible")
	require.Equal(t, due.UTC(), status().Due)

	optional := p
	optional.Required = false
	require.NoError(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), optional, ""))
	require.Zero(t, status().PolicyDue)
	require.NoError(t, adam.as().Extend(t.Context(), "mia", w.clock.Now().Add(aDay)), "nothing is required yet")
}

// Factors.Overdue is the time until which a user could put enrollment off. It is zero
// for one who never could, and after the enrollment.
func TestFactors_Overdue(t *testing.T) {
	w := team(t)
	mia := w.person("mia")
	mia.account = "acme"
	require.Equal(t, twofa.NextDone, mia.begin())
	p := required()
	p.EnrollWithoutLink, p.Deadline = true, w.clock.Now().Add(aDay).Truncate(time.Second)
	set := func() { require.NoError(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), p, "")) }
	overdue := func() time.Time {
		t.Helper()
		factors, err := w.Factors(t.Context(), mia.caller())
		require.NoError(t, err)
		return factors.Overdue
	}
	set()
	require.Zero(t, overdue(), "there is still time")
	w.clock.Add(aDay)
	require.Equal(t, twofa.NextEnroll, mia.begin())
	require.Equal(t, p.Deadline.UTC(), overdue())
	p.Deadline = time.Time{}
	set()
	require.Zero(t, overdue(), "nobody had time")
	p.Deadline = w.clock.Now().Add(-aMonth)
	set()
	w.setUser("mia", func(u *twofa.User) { u.Members[0].Since = w.clock.Now().Add(-time.Hour) })
	require.Equal(t, twofa.NextEnroll, mia.begin())
	require.Zero(t, overdue(), "Mia joined after the deadline")
	p.Deadline = w.clock.Now().Add(-time.Minute)
	set()
	mia.enroll()
	require.Zero(t, overdue(), "nothing is missing")
}
