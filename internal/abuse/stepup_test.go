package abuse

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

const export = "contacts.export"

// stepping configures a host in which a proof for reports lasts ten minutes and
// a proof for exports is used up by one use.
func stepping(c *twofa.Config) {
	c.Policy = twofa.Policy{Methods: []twofa.Method{twofa.TOTP}, Actions: map[string]twofa.ActionRule{"reports": {MaxAge: 10 * time.Minute}}}
}

func (p *person) use(action, resource string) error {
	return p.UseAction(p.t.Context(), p.caller(), action, resource)
}

func TestAbuse_L01_LoginIsNoStepUp(t *testing.T) {
	w := newWorld(t, stepping)
	ada := w.enrolled("ada").browser("laptop")
	ada.begin()
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	denied(t, ada.use(export, ""), twofa.ReasonMissing, "each time")
	require.NoError(t, ada.use("reports", ""), "within ten minutes")
	elsewhere := ada.caller()
	elsewhere.Client.Browser = twofa.NewSecret("has a copy of the session")
	denied(t, ada.UseAction(t.Context(), elsewhere, "reports", ""), twofa.ReasonMissing)
	w.clock.Add(10 * time.Minute)
	denied(t, ada.CheckAction(t.Context(), ada.caller(), "reports", ""), twofa.ReasonMissing)
}

func TestAbuse_L02_ProofIsStaleAtMaxAge(t *testing.T) {
	for _, c := range []struct {
		name, action string
		after        time.Duration
		reason       twofa.Reason // an empty challenge is allowed
	}{
		{"one second before", "reports", 10*time.Minute - time.Second, ""},
		{"on the second", "reports", 10 * time.Minute, twofa.ReasonStale},
		{"hours later", "reports", 5 * time.Hour, twofa.ReasonStale},
		{"serves once, one second before", export, 5*time.Minute - time.Second, ""},
		{"serves once, on the second", export, 5 * time.Minute, twofa.ReasonStale},
		{"on a server whose clock is behind", "reports", -45 * time.Second, ""},
		{"after the clock went back by minutes (R-08)", "reports", -10 * time.Minute, twofa.ReasonStale},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, stepping)
			ada := w.enrolled("ada")
			w.clock.Add(time.Hour)
			require.NoError(t, ada.stepUp(c.action))
			w.clock.Add(c.after)
			if err := ada.use(c.action, ""); c.reason != "" {
				denied(t, err, c.reason)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

func TestAbuse_L03_ProofIsForOneSession(t *testing.T) {
	w := newWorld(t, stepping)
	ada := w.enrolled("ada")
	require.NoError(t, ada.stepUp(export))
	other := ada.browser("laptop")
	other.begin()
	require.NoError(t, other.verify(twofa.TOTP, other.code()))
	denied(t, other.use(export, ""), twofa.ReasonMissing)
	bob := w.enrolled("bob")
	denied(t, bob.use(export, ""), twofa.ReasonMissing)
	require.NoError(t, ada.use(export, ""))
}

func TestAbuse_L03_ProofIsForOneActionAndResource(t *testing.T) {
	w := newWorld(t, stepping)
	ada := w.enrolled("ada")
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), export, "list 7")))
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	for _, c := range [][2]string{{export, ""}, {export, "list 8"}, {export, "list 7 "}, {export + " list 7", ""}} {
		denied(t, ada.use(c[0], c[1]), twofa.ReasonMissing)
	}
	require.NoError(t, ada.use(export, "list 7"))
	_, err := ada.StepUp(t.Context(), ada.caller(), "", "")
	require.ErrorIs(t, err, twofa.ErrNotAllowed)
	_, err = ada.StepUp(t.Context(), ada.caller(), export, strings.Repeat("x", 1000))
	require.ErrorIs(t, err, twofa.ErrNotAllowed)
}

func TestAbuse_L04_NamingAMethodProvesNothing(t *testing.T) {
	w := newWorld(t, stepping)
	ada := w.enrolled("ada")
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), export, "")))
	for _, m := range []twofa.Method{"", "passkey", "browser", "password", twofa.SMS, twofa.EmailLink, "TOTP", twofa.RecoveryCode} {
		for _, code := range []string{"", "true", ada.codes[0]} {
			require.Error(t, ada.verify(m, code), "%q", m)
		}
	}
	for _, code := range []string{"", "      ", "true", "null"} {
		require.ErrorIs(t, ada.verify(twofa.TOTP, code), twofa.ErrInvalidCode)
	}
	denied(t, ada.use(export, ""), twofa.ReasonMissing)
}

func TestAbuse_L06_UserWithoutAFactorIsRefused(t *testing.T) {
	for name, edit := range map[string]func(*twofa.Config){"optional": stepping, "links": byLink} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, edit)
			ada := w.person("ada")
			if ada.begin() == twofa.NextChallenge {
				require.NoError(t, ada.send(twofa.EmailLink))
				require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))
			}
			require.NoError(t, ada.Check(t.Context(), ada.caller()))
			denied(t, ada.use(export, ""), twofa.ReasonMissing)
			_, err := ada.StepUp(t.Context(), ada.caller(), export, "")
			denied(t, err, twofa.ReasonEnroll)
		})
	}
	t.Run("by the account's own SSO", func(t *testing.T) {
		w := newWorld(t, func(c *twofa.Config) { c.Policy = twofa.PolicyAuthenticator() })
		ada := w.person("ada")
		ada.account = "acme"
		require.NoError(t, ada.took(w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.BySSO, ProviderOf: "acme", Client: ada.client})))
		require.NoError(t, ada.Check(t.Context(), ada.caller()))
		denied(t, ada.use(export, ""), twofa.ReasonMissing)
		_, err := ada.StepUp(t.Context(), ada.caller(), export, "")
		denied(t, err, twofa.ReasonEnroll)
	})
}

func TestAbuse_L06_RecoveryLoginAllowsNoAction(t *testing.T) {
	w := newWorld(t, stepping)
	ada := w.enrolled("ada").browser("laptop")
	ada.begin()
	require.NoError(t, ada.verify(twofa.RecoveryCode, ada.codes[0]))
	require.NoError(t, ada.Check(t.Context(), ada.caller()), "ordinary pages are open")
	denied(t, ada.use(export, ""), twofa.ReasonMissing)
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), export, "")))
	require.Equal(t, []twofa.Method{twofa.TOTP}, ada.login.Methods)
	require.Error(t, ada.verify(twofa.RecoveryCode, ada.codes[1]))
	f, err := ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	require.Equal(t, 9, f.CodesLeft, "trying did not use up the code")
	denied(t, ada.Remove(t.Context(), ada.caller(), f.List[0].ID), twofa.ReasonMissing)
	denied(t, ada.Rename(t.Context(), ada.caller(), f.List[0].ID, "mine"), twofa.ReasonMissing)
	_, err = ada.RegenerateCodes(t.Context(), ada.caller())
	denied(t, err, twofa.ReasonMissing)
	w.clock.Add(15 * time.Minute)
	_, err = ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
	denied(t, err, twofa.ReasonMissing)
}

func TestAbuse_L07_LockedFactorGivesNoProof(t *testing.T) {
	w := newWorld(t, stepping)
	ada := w.enrolled("ada")
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), export, "")))
	for range 5 {
		require.ErrorIs(t, ada.verify(twofa.TOTP, ada.wrongCode(twofa.TOTP)), twofa.ErrInvalidCode)
	}
	require.ErrorIs(t, ada.verify(twofa.TOTP, ada.now()), twofa.ErrLocked)
	denied(t, ada.use(export, ""), twofa.ReasonMissing)
	require.NoError(t, ada.Check(t.Context(), ada.caller()), "the session stays valid")
}

func TestAbuse_L08_ProofIsGoneAfter(t *testing.T) {
	for _, c := range []struct {
		name   string
		proves bool // whether the change is a proof
		change func(*testing.T, *person)
	}{
		{"a changed password", false, func(t *testing.T, p *person) {
			require.NoError(t, p.User(twofa.AsUser(p.caller(), ""), "ada").CredentialsChanged(t.Context()))
		}},
		{"a replaced factor", true, func(t *testing.T, p *person) {
			require.NoError(t, p.stepUp(twofa.ActionFactors))
			f, err := p.Factors(t.Context(), p.caller())
			require.NoError(t, err)
			e, err := p.Enroll(t.Context(), p.caller(), twofa.EnrollRequest{Replaces: f.List[0].ID})
			require.NoError(t, err)
			p.uri = e.URI.Reveal()
			require.NoError(t, p.took(p.Confirm(t.Context(), p.caller(), p.code())))
		}},
		{"signing out everywhere", false, func(t *testing.T, p *person) {
			require.NoError(t, p.User(twofa.AsUser(p.caller(), ""), "ada").Revoke(t.Context()))
		}},
		{"erasing", false, func(t *testing.T, p *person) {
			require.NoError(t, p.User(twofa.AsHost("test"), "ada").Delete(t.Context()))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, stepping)
			ada := w.enrolled("ada")
			require.NoError(t, ada.stepUp("reports"))
			require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), export, "")))
			open, browser := ada.login, ada.client.Browser
			c.change(t, ada)
			if c.proves {
				require.NoError(t, ada.use("reports", ""), "the change was a proof of its own")
				ada.clock.Add(10 * time.Minute)
			}
			require.Error(t, ada.use("reports", ""))
			ada.login, ada.client.Browser = open, browser
			require.ErrorIs(t, ada.verify(twofa.TOTP, ada.code()), twofa.ErrExpired, "a step-up in progress ends, too")
			require.Error(t, ada.use(export, ""))
		})
	}
}

func TestAbuse_L08_NewLoginHasNoProof(t *testing.T) {
	w := newWorld(t, stepping)
	ada := w.enrolled("ada")
	require.NoError(t, ada.stepUp(export))
	w.clock.Add(10 * time.Minute)
	ada.begin()
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	denied(t, ada.use(export, ""), twofa.ReasonMissing)
	require.NoError(t, ada.use("reports", ""), "the login is a proof itself")
}

func TestAbuse_L13_SingleUseProofWorksOnce(t *testing.T) {
	bursts(t, stepping, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada := w.enrolled("ada")
		require.NoError(t, ada.stepUp(export))
		errs := make([]error, 2)
		burst(2, func(m *twofa.Manager, i int) error {
			errs[i] = m.UseAction(t.Context(), ada.caller(), export, "")
			return nil
		})
		if errs[0] != nil {
			errs[0], errs[1] = errs[1], errs[0]
		}
		require.NoError(t, errs[0])
		denied(t, errs[1], twofa.ReasonMissing)
	})
}

// Two proofs for one action are one grant, not two.
func TestAbuse_L13_TwoProofsGiveOneUse(t *testing.T) {
	w := newWorld(t, stepping)
	ada := w.enrolled("ada")
	caller := ada.caller()
	first, err := ada.StepUp(t.Context(), caller, export, "")
	require.NoError(t, err)
	second, err := ada.StepUp(t.Context(), caller, export, "")
	require.NoError(t, err)
	for _, l := range []twofa.Result{first, second} {
		ada.login = l
		require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	}
	require.NoError(t, ada.use(export, ""))
	denied(t, ada.use(export, ""), twofa.ReasonMissing)
}

// A stricter rule also applies to proofs that were given before.
func TestAbuse_L14_StricterRuleAppliesAtOnce(t *testing.T) {
	w := newWorld(t, byText)
	ada := w.withPhone("ada", adasPhone)
	ada.account = "acme"
	ada.begin()
	require.NoError(t, ada.send(twofa.SMS))
	require.NoError(t, ada.verify(twofa.SMS, w.out.TextCode(t, adasPhone)))
	w.clock.Add(time.Hour)
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), export, "")))
	require.NoError(t, ada.send(twofa.SMS))
	require.NoError(t, ada.verify(twofa.SMS, w.out.TextCode(t, adasPhone)))
	require.NoError(t, ada.CheckAction(t.Context(), ada.caller(), export, ""))
	strict := twofa.PolicySMS()
	strict.Actions = map[string]twofa.ActionRule{export: {Methods: []twofa.Method{twofa.TOTP}}}
	w.policy("acme", strict)
	require.Error(t, ada.use(export, ""), "a text message is no longer accepted")
}

// A single-use proof for factors allows one change. A refused change does not
// use it up.
func TestAbuse_L15_SingleUseProofForFactors(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) {
		c.Policy.Actions = map[string]twofa.ActionRule{twofa.ActionFactors: {}}
	})
	ada := w.enrolled("ada")
	f, err := ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	require.ErrorIs(t, ada.Rename(t.Context(), ada.caller(), "no such id", "x"), twofa.ErrNotEnrolled)
	require.NoError(t, ada.Rename(t.Context(), ada.caller(), f.List[0].ID, "Pixel"))
	denied(t, ada.Rename(t.Context(), ada.caller(), f.List[0].ID, "again"), twofa.ReasonMissing)
}

// No proof extends a session.
func TestAbuse_L16_StepUpDoesNotExtendTheSession(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada").browser("laptop")
	ada.begin()
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	before, err := w.DescribeSession(ada.session)
	require.NoError(t, err)
	w.clock.Add(20 * time.Hour)
	require.NoError(t, ada.stepUp("contacts.export"))
	after, err := w.DescribeSession(ada.session)
	require.NoError(t, err)
	require.Equal(t, before.Expires, after.Expires)
	w.clock.Add(4 * time.Hour)
	denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonSignedOut)
}

// A copy of the session gains nothing from what its owner proves: neither a
// proof that serves once, nor one that lasts, nor the owner's change of factors.
func TestAbuse_F09_G01_ProofIsForOneBrowser(t *testing.T) {
	w := newWorld(t, stepping)
	ada := w.enrolled("ada")
	w.clock.Add(time.Hour)
	thief := *ada
	thief.client.Browser = twofa.NewSecret("has a copy of the session")
	for _, action := range []string{export, "reports", twofa.ActionFactors} {
		require.NoError(t, ada.stepUp(action))
	}
	for name, browser := range map[string]twofa.Secret{"another browser": thief.client.Browser, "no browser": {}} {
		thief.client.Browser = browser
		denied(t, thief.use(export, ""), twofa.ReasonMissing, name)
		denied(t, thief.use("reports", ""), twofa.ReasonMissing, name)
		denied(t, failure(thief.Enroll(t.Context(), thief.caller(), twofa.EnrollRequest{})), twofa.ReasonMissing, name)
		denied(t, failure(thief.RegenerateCodes(t.Context(), thief.caller())), twofa.ReasonMissing, name)
		require.NoError(t, thief.Check(t.Context(), thief.caller()), "the session itself is valid")
	}
	for _, action := range []string{export, "reports", twofa.ActionFactors} {
		require.NoError(t, ada.use(action, ""))
	}
}
