package abuse

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

// Permissions of one account must not reach into another account, and changes
// to returned values must not reach back into the library.

func (w *world) policy(account string, p twofa.Policy) {
	w.t.Helper()
	p.EnrollWithoutLink = p.EnrollWithoutLink || w.cfg.Mail.LinkURL == nil
	require.NoError(w.t, w.Account(twofa.AsHost("test"), account).SetPolicy(w.t.Context(), p, ""))
}

// smsFallback accepts a text message as well as the authenticator, and
// remembers browsers.
func smsFallback() twofa.Policy {
	return twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, Fallback: []twofa.Method{twofa.SMS}, Remember: aMonth}
}

// withBoth returns a user who has an authenticator and a phone.
func (w *world) withBoth(id string) *person {
	w.policy("beta", smsFallback())
	p := w.person(id)
	p.account = "beta"
	p.begin()
	p.enroll()
	require.NoError(w.t, p.stepUp(twofa.ActionFactors))
	return p.setUpPhone(adasPhone)
}

func TestAbuse_E18_MailerWithoutLinksDemandsNoLink(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.LinkURL = nil; c.Policy = twofa.PolicyAuthenticator() })
	require.Equal(t, twofa.NextEnroll, w.person("ada").begin())
}

func TestAbuse_K13_RememberedBrowserCountsForItsMethodOnly(t *testing.T) {
	w := newWorld(t)
	ada := w.withBoth("ada")
	w.policy("acme", twofa.Policy{Methods: []twofa.Method{twofa.TOTP}, Required: true, Remember: aMonth})
	thief := ada.browser("elsewhere")
	thief.begin()
	require.NoError(t, thief.send(twofa.SMS))
	require.NoError(t, thief.took(thief.Verify(t.Context(), thief.caller(), thief.login.Challenge,
		twofa.Proof{Method: twofa.SMS, Code: twofa.NewSecret(w.out.TextCode(t, adasPhone)), Remember: true})))
	require.Equal(t, twofa.NextDone, thief.begin(), "an account that accepts text messages")
	thief.account = "acme"
	require.Equal(t, twofa.NextChallenge, thief.begin())
}

func TestAbuse_F19_FallbackDoesNotChangeFactors(t *testing.T) {
	w := newWorld(t)
	thief := w.withBoth("ada").browser("elsewhere")
	thief.begin()
	require.NoError(t, thief.send(twofa.SMS))
	require.NoError(t, thief.verify(twofa.SMS, w.out.TextCode(t, adasPhone)))
	require.NoError(t, thief.took(thief.StepUp(t.Context(), thief.caller(), twofa.ActionFactors, "")))
	require.Equal(t, []twofa.Method{twofa.TOTP}, thief.login.Methods)
}

func TestAbuse_F20_TokenIsNoFreshFirstFactor(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada")
	require.NoError(t, ada.took(w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByToken, Client: ada.client})))
	_, err := w.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
	denied(t, err, twofa.ReasonSignedOut)
}

func TestAbuse_G06_EveryAccountOfTheUserDecidesOnRemoval(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	w.policy("acme", twofa.Policy{Required: true, TurnOff: twofa.TurnOffBySupport})
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	f, err := ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	require.False(t, f.List[0].Removable)
	require.ErrorIs(t, ada.Remove(t.Context(), ada.caller(), f.List[0].ID), twofa.ErrNotAllowed)
	w.policy("acme", twofa.PolicyOptional())
	require.NoError(t, ada.Remove(t.Context(), ada.caller(), f.List[0].ID))
}

func TestAbuse_K14_ClientsWithoutATokenEvictNoBrowser(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	before, err := ada.Browsers(t.Context(), ada.caller())
	require.NoError(t, err)
	for range 12 {
		program := w.person("ada")
		program.client.Browser, program.uri = twofa.Secret{}, ada.uri
		program.begin()
		require.NoError(t, program.verify(twofa.TOTP, program.code()))
		require.True(t, program.login.Browser.IsZero())
	}
	after, err := ada.Browsers(t.Context(), ada.caller())
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestAbuse_M13_PoliciesAreCopied(t *testing.T) {
	mine := twofa.Policy{Methods: []twofa.Method{twofa.TOTP}, Actions: map[string]twofa.ActionRule{"export": {Methods: []twofa.Method{twofa.TOTP}}}}
	w := newWorld(t, func(c *twofa.Config) { c.Policy = mine })
	ada := w.enrolled("ada")
	mine.Methods[0], mine.Actions["export"] = twofa.EmailLink, twofa.ActionRule{MaxAge: time.Hour}
	info, err := w.Account(twofa.AsHost("test"), "acme").Policy(t.Context())
	require.NoError(t, err)
	p := info.Policy
	p.Actions["export"].Methods[0] = twofa.EmailLink
	p.Actions["export"] = twofa.ActionRule{MaxAge: time.Hour}

	var d *twofa.DeniedError
	require.ErrorAs(t, ada.CheckAction(t.Context(), ada.caller(), "export", ""), &d)
	_ = append(d.Methods, twofa.RecoveryCode, twofa.RecoveryCode)
	d.Methods[0] = twofa.RecoveryCode
	require.ErrorAs(t, ada.CheckAction(t.Context(), ada.caller(), "export", ""), &d)
	require.Equal(t, []twofa.Method{twofa.TOTP}, d.Methods)
	require.Zero(t, d.MaxAge)
	require.Equal(t, twofa.NextChallenge, ada.begin())
	require.Equal(t, []twofa.Method{twofa.TOTP, twofa.RecoveryCode}, ada.login.Methods)
}

func TestAbuse_M14_AuditTextShowsWhatWeakensAPolicy(t *testing.T) {
	strict := twofa.PolicyAuthenticator()
	for i, weaker := range []func(*twofa.Policy){
		func(p *twofa.Policy) { p.Required = false },
		func(p *twofa.Policy) { p.Methods = []twofa.Method{twofa.TOTP, twofa.SMS} },
		func(p *twofa.Policy) {
			p.Methods, p.Fallback = []twofa.Method{twofa.TOTP, twofa.SMS}, []twofa.Method{twofa.SMS}
		},
		func(p *twofa.Policy) { p.Remember = aMonth },
		func(p *twofa.Policy) { p.TurnOff = twofa.TurnOffByUser },
		func(p *twofa.Policy) { p.Actions = map[string]twofa.ActionRule{"export": {MaxAge: time.Hour}} },
	} {
		p := strict
		weaker(&p)
		require.NotEqual(t, strict.String(), p.String(), strconv.Itoa(i))
	}
}

func TestAbuse_M13_MethodsOfADenialAreCopied(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) {
		c.Mail.LinkURL = nil
		c.Policy = twofa.Policy{Methods: []twofa.Method{twofa.TOTP}, Required: true}
	})
	w.policy("acme", twofa.PolicyOptional())
	ada := w.person("ada")
	ada.account = "acme"
	require.Equal(t, twofa.NextDone, ada.begin())
	ada.account = "beta"
	for range 2 {
		var d *twofa.DeniedError
		require.ErrorAs(t, ada.Check(t.Context(), ada.caller()), &d)
		require.Equal(t, twofa.ReasonEnroll, d.Reason)
		require.Equal(t, []twofa.Method{twofa.TOTP}, d.Methods)
		d.Methods[0] = twofa.EmailLink
	}
}

// Factors are shared by all accounts, so no rule may let a text message change
// the authenticator of a user who has one.
func TestAbuse_L03_NoRuleLetsATextMessageChangeTheAuthenticator(t *testing.T) {
	w := newWorld(t, byText)
	p := smsFallback()
	p.Actions = map[string]twofa.ActionRule{twofa.ActionFactors: {Methods: []twofa.Method{twofa.SMS}}}
	err := w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), p, "")
	require.ErrorContains(t, err, `Policy.Actions["factors"].Methods: must include TOTP`)
	p.Actions[twofa.ActionFactors] = twofa.ActionRule{Methods: []twofa.Method{twofa.SMS, twofa.TOTP}}
	w.policy("acme", p)
}

// A host may keep a policy in a variable and set and compare it on many
// goroutines at once, because the library only reads it.
func TestSetPolicyOnlyReadsThePolicy(t *testing.T) {
	w := newWorld(t, byText)
	shared := twofa.PolicySMS()
	shared.EnrollWithoutLink = true
	shared.Fallback = []twofa.Method{twofa.SMS}
	shared.Actions = map[string]twofa.ActionRule{export: {MaxAge: time.Minute, Methods: []twofa.Method{twofa.TOTP, twofa.SMS}}}
	rush(t, 20, w.servers(2), func(m *twofa.Manager, i int) error {
		return m.Account(twofa.AsHost("start"), "account"+strconv.Itoa(i%4)).SetPolicy(t.Context(), shared, "")
	})
	info, err := w.Account(twofa.AsHost("test"), "account1").Policy(t.Context())
	require.NoError(t, err)
	require.Equal(t, shared, info.Policy)
}
