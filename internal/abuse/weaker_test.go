package abuse

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/internal/harness"
)

// An admin who may not weaken the policy cannot let in members whose grace has
// ended, by a change that starts it anew.
func TestAbuse_M10_AdminCannotStartTheGraceAnew(t *testing.T) {
	w := team(t)
	adam := w.signedIn("adam", "acme")
	w.grace(7*aDay, 0) // with ExemptSSO
	w.clock.Add(8 * aDay)
	mia := w.person("mia")
	mia.account = "acme"
	require.Equal(t, twofa.NextChallenge, mia.begin(), "the grace has ended")
	p := required()
	p.Grace = 7 * aDay
	require.Equal(t, twofa.NextChallenge, adam.begin())
	require.NoError(t, adam.verify(twofa.TOTP, adam.code()))
	denied(t, adam.sets(p), twofa.ReasonRole)
	require.Equal(t, twofa.NextChallenge, mia.begin())
	p.Grace = 0
	require.NoError(t, adam.sets(p), "without a grace, it is stricter")
}

func TestAbuse_M11_WeakerThanItLooks(t *testing.T) {
	link := twofa.Policy{Required: true, Methods: []twofa.Method{twofa.TOTP, twofa.EmailLink}, EnrollWithoutLink: true}
	noLink := twofa.Policy{Required: true, EnrollWithoutLink: true}
	rule := func(methods ...twofa.Method) twofa.Policy {
		p := twofa.PolicyAuthenticator()
		p.Actions = map[string]twofa.ActionRule{export: {Methods: methods}}
		return p
	}
	for name, c := range map[string]struct{ before, after twofa.Policy }{
		"a password alone then opens enrollment":                 {link, noLink},
		"a link is then enough for users of an authenticator":    {rule(twofa.TOTP, twofa.EmailLink), rule(twofa.EmailLink)},
		"a code is then enough for users of an authenticator":    {rule(twofa.TOTP, twofa.RecoveryCode, twofa.SMS), rule(twofa.SMS)},
		"a link is then enough for users of a text message, too": {rule(twofa.TOTP, twofa.SMS, twofa.EmailLink), rule(twofa.TOTP, twofa.EmailLink)},
	} {
		w := team(t)
		adam := w.signedIn("adam", "acme")
		w.policy("acme", c.before)
		denied(t, adam.sets(c.after), twofa.ReasonRole, name)
	}
}

// A policy that was taken back does not start the grace of the next one anew.
func TestAbuse_M10_UnsetPolicyLeavesNoGrace(t *testing.T) {
	ours := twofa.PolicyAuthenticator()
	ours.Grace = 7 * aDay
	w := team(t, func(c *twofa.Config) { c.Policy = ours })
	w.clock.Add(8 * aDay)
	mia := w.person("mia")
	mia.account = "acme"
	require.Equal(t, twofa.NextChallenge, mia.begin(), "the grace has ended")
	host := w.Account(twofa.AsHost("test"), "acme")
	require.NoError(t, host.SetPolicy(t.Context(), required(), ""))
	require.NoError(t, host.UnsetPolicy(t.Context(), ""))
	require.Equal(t, twofa.NextChallenge, mia.begin())
	impact, err := host.Preview(t.Context(), ours, "mia")
	require.NoError(t, err)
	require.Equal(t, twofa.NextChallenge, impact[0].Then)
	require.NoError(t, host.SetPolicy(t.Context(), ours, ""), "equal to the default")
	require.Equal(t, twofa.NextChallenge, mia.begin())
}

// Of two admins who change a policy at once, one does, and the other is told.
func TestAbuse_M11_TwoAdminsAtOnce(t *testing.T) {
	store := &harness.BarrierStore{Store: memstore.New()}
	w := team(t, func(c *twofa.Config) { c.Store = store })
	adam, alma := w.signedIn("adam", "acme"), w.signedIn("alma", "acme")
	policies := map[*person]twofa.Policy{adam: required(), alma: {TurnOff: twofa.TurnOffByAdmin}}
	for p := range policies {
		require.NoError(t, p.stepUp(twofa.ActionPolicy))
	}
	store.Yield()
	for round := range 30 {
		version := w.inForce("acme").Version
		answers := make(chan error, len(policies))
		for p, policy := range policies {
			policy.Actions = map[string]twofa.ActionRule{fmt.Sprint(round): {Methods: []twofa.Method{twofa.TOTP}}}
			policy.Required = true
			account := p.as()
			go func() { answers <- account.SetPolicy(t.Context(), policy, version) }()
		}
		if errs := []error{<-answers, <-answers}; errs[0] == nil {
			require.ErrorIs(t, errs[1], twofa.ErrConflict)
		} else {
			require.ErrorIs(t, errs[0], twofa.ErrConflict)
			require.NoError(t, errs[1])
		}
		policy := w.inForce("acme").Policy
		policy.Actions = nil
		require.NoError(t, w.Account(twofa.AsHost("next round"), "acme").SetPolicy(t.Context(), policy, ""))
	}
}
