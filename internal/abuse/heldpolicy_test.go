package abuse

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

// A held policy opens for 30 minutes, only in the session, browser and account in
// which it was sealed, and nothing else opens as one.
func TestAbuse_M05_HeldPolicyIsOfOneSession(t *testing.T) {
	w := team(t)
	olga, adam := w.signedIn("olga", "acme"), w.signedIn("adam", "acme")
	strict := twofa.PolicyAuthenticator()
	strict.Grace, strict.Actions = 7*aDay, map[string]twofa.ActionRule{export: {MaxAge: time.Minute}}
	held, err := olga.as().HoldPolicy(&strict, "v1")
	require.NoError(t, err)
	p, version, err := olga.as().HeldPolicy(held)
	require.NoError(t, err)
	require.Equal(t, strict, *p)
	require.Equal(t, "v1", version)
	require.True(t, w.inForce("acme").Default, "it saves nothing")

	none, err := olga.as().HoldPolicy(nil, "v2")
	require.NoError(t, err)
	p, version, err = olga.as().HeldPolicy(none)
	require.NoError(t, err)
	require.Nil(t, p)
	require.Equal(t, "v2", version)
	zero, err := olga.as().HoldPolicy(&twofa.Policy{}, "v3")
	require.NoError(t, err)
	p, _, err = olga.as().HeldPolicy(zero)
	require.NoError(t, err)
	require.Equal(t, twofa.Policy{}, *p, "the zero Policy is one")

	thief := olga.browser("other")
	thief.session = olga.session
	second := w.person("olga")
	second.account = "acme"
	second.begin()
	text := held.Reveal()
	for name, open := range map[string]func() error{
		"another user":        func() error { return failureOf(adam.as().HeldPolicy(held)) },
		"another browser":     func() error { return failureOf(thief.as().HeldPolicy(held)) },
		"tampered":            func() error { return failureOf(olga.as().HeldPolicy(twofa.NewSecret(text[:len(text)-2] + "AA"))) },
		"cut":                 func() error { return failureOf(olga.as().HeldPolicy(twofa.NewSecret(text[:len(text)-1]))) },
		"empty":               func() error { return failureOf(olga.as().HeldPolicy(twofa.Secret{})) },
		"a session":           func() error { return failureOf(olga.as().HeldPolicy(olga.session.Secret)) },
		"another host's keys": func() error { return failureOf(olga.as().HeldPolicy(foreignHeld(t))) },
	} {
		require.ErrorIs(t, open(), twofa.ErrExpired, name)
	}
	require.Error(t, failure(w.DescribeSession(twofa.ParseSession(text))), "and it opens as nothing else")

	w.clock.Add(30*time.Minute - time.Second)
	require.NoError(t, failureOf(olga.as().HeldPolicy(held)))
	w.clock.Add(time.Second)
	require.ErrorIs(t, failureOf(olga.as().HeldPolicy(held)), twofa.ErrExpired)
}

// foreignHeld returns a policy that was sealed with other keys.
func foreignHeld(t *testing.T) twofa.Secret {
	t.Helper()
	held, err := team(t).signedIn("olga", "acme").as().HoldPolicy(&twofa.Policy{}, "v")
	require.NoError(t, err)
	return held
}

func failureOf(_ *twofa.Policy, _ string, err error) error { return err }

func TestAbuse_M05_HeldPolicyNeedsASessionAndAValidPolicy(t *testing.T) {
	w := team(t)
	olga := w.signedIn("olga", "acme")
	_, err := olga.as().HoldPolicy(&twofa.Policy{Grace: -1}, "v")
	require.ErrorIs(t, err, twofa.ErrInvalid)
	_, err = w.acme().HoldPolicy(&twofa.Policy{}, "v")
	require.ErrorIs(t, err, twofa.ErrNotAllowed, "the host has no session")
	require.ErrorIs(t, failureOf(w.acme().HeldPolicy(twofa.NewSecret("x"))), twofa.ErrNotAllowed)
	_, err = w.Account(twofa.AsUser(twofa.Caller{}, ""), "acme").HoldPolicy(nil, "v")
	denied(t, err, twofa.ReasonSignedOut)
	_, err = w.Account(twofa.AsUser(olga.caller(), ""), "a\nb").HoldPolicy(nil, "v")
	require.ErrorIs(t, err, twofa.ErrInvalid)
}

// The admin who set a policy is named, as long as the directory confirms it.
func TestAccount_PolicyNamesItsAdmin(t *testing.T) {
	w := team(t)
	u := w.users["olga"]
	u.Name = "Olga\u202e"
	w.users["olga"] = u
	olga, adam := w.signedIn("olga", "acme"), w.signedIn("adam", "acme")
	require.NoError(t, olga.sets(required()))
	info, err := adam.as().Policy(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Olga", info.ByName)
	u.Members = nil
	w.users["olga"] = u
	info, err = adam.as().Policy(t.Context())
	require.NoError(t, err)
	require.Empty(t, info.ByName, "no longer a member")
	require.Equal(t, "olga", info.By.ID)
	require.NoError(t, w.acme().SetPolicy(t.Context(), twofa.PolicySMS(), ""))
	info, err = adam.as().Policy(t.Context())
	require.NoError(t, err)
	require.Empty(t, info.ByName)
}

// A preview says of each member what the next request then does, also for a member
// whose factor is no longer accepted, and for the default of the host.
func TestAccount_PreviewAgreesWithWhatHappens(t *testing.T) {
	w := team(t)
	olga := w.signedIn("olga", "acme")
	impact := func(p twofa.Policy, user string) twofa.Impact {
		impacts, err := olga.as().Preview(t.Context(), p, user)
		require.NoError(t, err)
		require.Len(t, impacts, 1)
		return impacts[0]
	}
	same := impact(twofa.PolicyOptional(), "mia")
	require.False(t, same.Changed)
	require.False(t, same.Enroll)
	at := impact(twofa.PolicyAuthenticator(), "mia")
	require.True(t, at.Changed && at.Enroll && at.Due.IsZero())
	require.Equal(t, twofa.NextChallenge, at.Then, "the link comes first")
	link := impact(twofa.PolicyEmailLink(), "mia")
	require.True(t, link.Changed && !link.Enroll)
	graceful := twofa.PolicyAuthenticator()
	graceful.Deadline = w.clock.Now().Add(aMonth)
	later := impact(graceful, "mia")
	require.True(t, later.Changed && later.Enroll)
	require.Equal(t, graceful.Deadline.Unix(), later.Due.Unix())
	require.False(t, impact(graceful, "olga").Changed, "has an authenticator")

	// The default of the host starts no new grace, unlike a policy that is set.
	w.cfg.Policy = required()
	w.cfg.Policy.Grace = aDay
	w.Manager = w.again()
	w.policy("acme", twofa.PolicyOptional())
	w.clock.Add(2 * aDay)
	host := w.Account(twofa.AsHost("test"), "acme")
	set, err := host.Preview(t.Context(), w.cfg.Policy, "mia")
	require.NoError(t, err)
	require.Equal(t, w.clock.Now().Add(aDay).Unix(), set[0].Due.Unix())
	unset, err := host.PreviewUnset(t.Context(), "mia")
	require.NoError(t, err)
	require.True(t, unset[0].Enroll && unset[0].Due.IsZero())
	require.NoError(t, host.UnsetPolicy(t.Context(), w.inForce("acme").Version))
	after, err := host.PreviewUnset(t.Context(), "mia")
	require.NoError(t, err)
	require.False(t, after[0].Changed, "it is in force")
}
