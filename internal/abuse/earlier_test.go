package abuse

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

// A proof that was given earlier in the session counts for an action with a
// MaxAge only if the action would ask this user for that method now, in this
// browser, and nothing has changed since.
func TestAbuse_L01_L02_WhichEarlierProofsCount(t *testing.T) {
	reports := func(methods ...twofa.Method) func(*twofa.Config) {
		return func(c *twofa.Config) {
			c.Policy.Actions = map[string]twofa.ActionRule{"reports": {MaxAge: 10 * time.Minute, Methods: methods}}
		}
	}
	both := func(edits ...func(*twofa.Config)) func(*twofa.Config) {
		return func(c *twofa.Config) {
			for _, edit := range edits {
				edit(c)
			}
		}
	}
	login := func(m twofa.Method) func(w *world) *person {
		return func(w *world) *person {
			for _, c := range proofs {
				if c.method == m {
					p, code := c.asked(w)
					require.NoError(w.t, p.verify(m, code))
					return p
				}
			}
			panic(m)
		}
	}
	for name, c := range map[string]struct {
		edit   func(*twofa.Config)
		signIn func(w *world) *person
		then   func(w *world, p *person)
		counts bool
	}{
		"authenticator":                    {reports(), login(twofa.TOTP), nil, true},
		"authenticator, one second less":   {reports(), login(twofa.TOTP), func(w *world, _ *person) { w.clock.Add(10*time.Minute - time.Second) }, true},
		"authenticator, too old":           {reports(), login(twofa.TOTP), func(w *world, _ *person) { w.clock.Add(10 * time.Minute) }, false},
		"authenticator, on another server": {reports(), login(twofa.TOTP), func(w *world, p *person) { *p = *p.on(w.again()) }, true},
		"authenticator, in another browser": {reports(), login(twofa.TOTP), func(_ *world, p *person) {
			p.client.Browser = twofa.NewSecret("elsewhere")
		}, false},
		"authenticator, without a browser":       {reports(), login(twofa.TOTP), func(_ *world, p *person) { p.client.Browser = twofa.Secret{} }, false},
		"authenticator, only codes are accepted": {reports(twofa.RecoveryCode), login(twofa.TOTP), nil, false},
		"recovery code":                          {reports(), login(twofa.RecoveryCode), nil, false},
		"recovery code that is accepted":         {reports(twofa.TOTP, twofa.RecoveryCode), login(twofa.RecoveryCode), nil, true},
		"link":                                   {both(byLink, reports()), login(twofa.EmailLink), nil, false},
		"link that is accepted":                  {both(byLink, reports(twofa.TOTP, twofa.EmailLink)), login(twofa.EmailLink), nil, true},
		"text message":                           {both(byText, reports(twofa.TOTP, twofa.SMS)), login(twofa.SMS), nil, true},
		"text message, no longer accepted": {both(byText, reports(twofa.TOTP, twofa.SMS)), login(twofa.SMS), func(w *world, p *person) {
			strict := twofa.Policy{Actions: map[string]twofa.ActionRule{"reports": {MaxAge: 10 * time.Minute, Methods: []twofa.Method{twofa.TOTP}}}}
			require.NoError(w.t, w.acme().SetPolicy(w.t.Context(), strict, ""))
			p.account = "acme"
		}, false},
		"remembered browser": {both(remembering, reports()), func(w *world) *person { _, p := w.remembered("ada"); return p }, nil, false},
		"password only":      {reports(), func(w *world) *person { p := w.person("ada"); p.begin(); return p }, nil, false},
		"after CredentialsChanged by the user": {reports(), login(twofa.TOTP), func(w *world, p *person) {
			require.NoError(w.t, w.User(twofa.AsUser(p.caller(), ""), "ada").CredentialsChanged(w.t.Context()))
			require.NoError(w.t, p.Check(w.t.Context(), p.caller()))
		}, false},
		"after CredentialsChanged and Resume": {reports(), login(twofa.TOTP), func(w *world, p *person) {
			require.NoError(w.t, w.User(twofa.AsUser(p.caller(), ""), "ada").CredentialsChanged(w.t.Context()))
			require.NoError(w.t, p.took(p.Resume(w.t.Context(), p.caller())))
			require.NoError(w.t, p.Check(w.t.Context(), p.caller()))
		}, false},
		"after CredentialsChanged and another login": {reports(), login(twofa.TOTP), func(w *world, p *person) {
			require.NoError(w.t, w.User(twofa.AsUser(p.caller(), ""), "ada").CredentialsChanged(w.t.Context()))
			require.NoError(w.t, p.took(p.Begin(w.t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Session: p.session, Client: p.client})))
			require.Equal(w.t, twofa.NextDone, p.login.Next, "its proof still counts for the login")
		}, false},
		"after the removal of another factor": {reports(), login(twofa.TOTP), func(w *world, p *person) {
			uri := p.uri
			*p = *p.second(twofa.EnrollRequest{})
			require.NoError(w.t, p.Remove(w.t.Context(), p.caller(), p.factor(1)))
			p.uri = uri
		}, false},
		"moved to another browser by Resume": {reports(), login(twofa.TOTP), func(w *world, p *person) {
			p.client.Browser = twofa.NewSecret("elsewhere")
			require.NoError(w.t, p.took(p.Resume(w.t.Context(), p.caller())))
		}, false},
		"moved to another browser by a step-up for something else": {reports(), login(twofa.TOTP), func(w *world, p *person) {
			p.client.Browser = twofa.NewSecret("elsewhere")
			require.NoError(w.t, p.took(p.StepUp(w.t.Context(), p.caller(), export, "")))
			w.clock.Add(30 * time.Second)
			require.NoError(w.t, p.verify(twofa.TOTP, p.now()))
		}, true}, // a code was typed there
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.edit)
			p := c.signIn(w)
			if c.then != nil {
				c.then(w, p)
			}
			check := p.CheckAction(t.Context(), p.caller(), "reports", "")
			use := p.use("reports", "")
			l, stepUp := p.StepUp(t.Context(), p.caller(), "reports", "")
			if c.counts {
				require.NoError(t, check)
				require.NoError(t, use)
				require.NoError(t, stepUp)
				require.Equal(t, twofa.NextDone, l.Next)
				require.NoError(t, p.use("reports", "list 7"), "whatever the resource")
			} else {
				denied(t, check, twofa.ReasonMissing)
				denied(t, use, twofa.ReasonMissing)
				require.NotEqual(t, twofa.NextDone, l.Next)
			}
			denied(t, p.use("each time", ""), twofa.ReasonMissing, "a rule without MaxAge wants a new proof")
		})
	}
}

// A proof that was given hours ago in a session does not precede a required
// enrollment, whether the session is resumed or another first factor is added
// to it. Otherwise a weaker proof of a moment ago would be enough.
func TestAbuse_F09_OldProofBeforeARequiredEnrollment(t *testing.T) {
	for name, enter := range map[string]func(*person) error{
		"Resume": func(p *person) error { return p.took(p.Resume(p.t.Context(), p.caller())) },
		"Begin":  (*person).password,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *twofa.Config) {
				c.Policy = twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS},
					Actions: map[string]twofa.ActionRule{"reports": {Methods: []twofa.Method{twofa.EmailLink}}}}
			})
			w.policy("beta", twofa.Policy{Methods: []twofa.Method{twofa.TOTP}, Required: true})
			ada := w.person("ada")
			ada.begin()
			ada.setUpPhone(adasPhone)
			ada = ada.browser("laptop")
			ada.begin()
			require.NoError(t, ada.send(twofa.SMS))
			require.NoError(t, ada.verify(twofa.SMS, ada.out.TextCode(t, adasPhone)))
			ada.account = "beta"
			require.NoError(t, enter(ada))
			require.Equal(t, twofa.NextEnroll, ada.login.Next, "the phone was proven a moment ago")

			w.clock.Add(15 * time.Minute)
			ada.account = ""
			require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), "reports", "")))
			require.NoError(t, ada.send(twofa.EmailLink))
			require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))
			ada.account = "beta"
			require.NoError(t, enter(ada))
			require.Equal(t, twofa.NextChallenge, ada.login.Next, "a link is not enough for a user who has a phone")
			require.Equal(t, twofa.SMS, ada.login.Methods[0])
			require.Error(t, failure(ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})))
		})
	}
}

// A login that adds a first factor to a session replaces it. What belongs to the
// session before must not outlive a logout, which names the new one alone.
func TestAbuse_E14_LogoutAfterAnotherFirstFactor(t *testing.T) {
	w := newWorld(t)
	laptop := w.enrolled("ada").browser("laptop")
	laptop.begin()
	code, caller, ch := laptop.code(), laptop.caller(), laptop.login.Challenge
	require.NoError(t, laptop.verify(twofa.TOTP, code))
	before := *laptop
	require.NoError(t, laptop.password())
	require.NoError(t, laptop.SignedOut(t.Context(), laptop.caller()))
	_, err := w.Verify(t.Context(), caller, ch, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code)})
	require.ErrorIs(t, err, twofa.ErrExpired, "the answer must not be given again")

	laptop = &before
	require.NoError(t, laptop.stepUp(export))
	before = *laptop
	require.NoError(t, laptop.password())
	require.NoError(t, laptop.SignedOut(t.Context(), laptop.caller()))
	denied(t, before.use(export, ""), twofa.ReasonMissing)
}
