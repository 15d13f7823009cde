package abuse

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

// callerRequests lists what a caller can request except a login. Each
// returns nil only if the request succeeded.
var callerRequests = map[string]func(p *person, c twofa.Caller) error{
	"Check":       func(p *person, c twofa.Caller) error { return p.Check(p.t.Context(), c) },
	"CheckAction": func(p *person, c twofa.Caller) error { return p.CheckAction(p.t.Context(), c, "contacts.export", "") },
	"UseAction":   func(p *person, c twofa.Caller) error { return p.UseAction(p.t.Context(), c, "contacts.export", "") },
	"StepUp": func(p *person, c twofa.Caller) error {
		return failure(p.StepUp(p.t.Context(), c, "contacts.export", ""))
	},
	"Resume": func(p *person, c twofa.Caller) error { return failure(p.Resume(p.t.Context(), c)) },
	"Enroll": func(p *person, c twofa.Caller) error {
		return failure(p.Enroll(p.t.Context(), c, twofa.EnrollRequest{}))
	},
	"Enroll phone": func(p *person, c twofa.Caller) error {
		return failure(p.Enroll(p.t.Context(), c, twofa.EnrollRequest{Method: twofa.SMS, Phone: number}))
	},
	"RegenerateCodes": func(p *person, c twofa.Caller) error { return failure(p.RegenerateCodes(p.t.Context(), c)) },
	"RecoveryCodes":   func(p *person, c twofa.Caller) error { return failure(p.RecoveryCodes(p.t.Context(), c)) },
	"Enrollment":      func(p *person, c twofa.Caller) error { return failure(p.PendingEnrollment(p.t.Context(), c)) },
	"Confirm":         func(p *person, c twofa.Caller) error { return failure(p.Confirm(p.t.Context(), c, p.code())) },
	"SaveCodes":       func(p *person, c twofa.Caller) error { return failure(p.SaveCodes(p.t.Context(), c)) },
	"Factors":         func(p *person, c twofa.Caller) error { return failure(p.Factors(p.t.Context(), c)) },
	"Rename":          func(p *person, c twofa.Caller) error { return p.Rename(p.t.Context(), c, "x", "y") },
	"Remove":          func(p *person, c twofa.Caller) error { return p.Remove(p.t.Context(), c, "x") },
	"Browsers":        func(p *person, c twofa.Caller) error { return failure(p.Browsers(p.t.Context(), c)) },
	"ForgetBrowser":   func(p *person, c twofa.Caller) error { return p.ForgetBrowser(p.t.Context(), c, "x") },
	"ForgetBrowsers":  func(p *person, c twofa.Caller) error { return p.ForgetBrowsers(p.t.Context(), c) },
	"Revoke":          func(p *person, c twofa.Caller) error { return p.User(twofa.AsUser(c, ""), p.id).Revoke(p.t.Context()) },
	"CredentialsChanged": func(p *person, c twofa.Caller) error {
		return p.User(twofa.AsUser(c, ""), p.id).CredentialsChanged(p.t.Context())
	},
	"Describe": func(p *person, c twofa.Caller) error { return failure(p.DescribeSession(c.Session)) },
}

// failure returns the error of a result.
func failure[T any](_ T, err error) error { return err }

// Neither the challenge nor anything else from an unfinished login opens
// anything, as it is or in the place of a session.
func TestAbuse_E01_E02_PendingLoginOpensNothing(t *testing.T) {
	ada := newWorld(t, func(c *twofa.Config) { c.Recovery.Viewable = true }).enrolled("ada")
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), "contacts.export", "")))
	pending := ada.another()
	for kind, token := range map[string]string{
		"login": pending.login.Challenge.Reveal(), "step-up": ada.login.Challenge.Reveal(), "cookie": ada.client.Browser.Reveal(),
	} {
		for request, open := range callerRequests {
			for _, c := range []twofa.Caller{
				{Session: twofa.ParseSession(token), Client: pending.client},
				{Challenge: twofa.ParseChallenge(token), Client: pending.client},
				{Session: twofa.ParseSession(token), Challenge: twofa.ParseChallenge(token), Client: ada.client},
			} {
				stored := ada.record("ada")
				notSignedIn(t, open(ada, c))
				require.Equal(t, stored, ada.record("ada"), "%s as %s", kind, request)
			}
		}
	}
	_, err := ada.Verify(t.Context(), ada.caller(), twofa.ParseChallenge(ada.session.Reveal()), twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(ada.code())})
	require.ErrorIs(t, err, twofa.ErrExpired, "a session is not a challenge either")
}

// The challenge that leads to enrollment opens enrollment only.
func TestAbuse_E01_EnrollmentChallengeOpensOnlyEnrollment(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Policy, c.Mail.Mailer, c.Mail.LinkURL = twofa.PolicyAuthenticator(), nil, nil })
	ada := w.person("ada")
	require.Equal(t, twofa.NextEnroll, ada.begin())
	opened := []string{"Enroll", "Enrollment", "SaveCodes", "Factors"}
	for _, name := range opened {
		require.NoError(t, callerRequests[name](ada, ada.caller()), name)
	}
	for name, open := range callerRequests {
		if !slices.Contains(opened, name) && name != "Confirm" {
			require.Error(t, open(ada, ada.caller()), name)
		}
	}
	require.ErrorIs(t, ada.verify(twofa.TOTP, ada.wrongCode(twofa.TOTP)), twofa.ErrExpired)
	require.ErrorIs(t, ada.send(twofa.EmailLink), twofa.ErrExpired)
}

// A challenge names its user, and nothing that a client sends changes that.
func TestAbuse_E03_E04_ChallengeOfAnotherUser(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.enrolled("ada"), w.enrolled("bob")
	w.clock.Add(30 * time.Second)
	victim, own := bob.another(), ada.another()
	own.login.Challenge = victim.login.Challenge
	require.ErrorIs(t, own.verify(twofa.TOTP, ada.now()), twofa.ErrExpired, "the challenge is bound to his browser")
	own.client = victim.client
	for _, code := range []string{ada.now(), ada.codes[0]} {
		require.ErrorIs(t, own.verify(twofa.TOTP, code), twofa.ErrInvalidCode)
		require.ErrorIs(t, own.verify(twofa.RecoveryCode, code), twofa.ErrInvalidCode)
	}
	require.NoError(t, ada.another().verify(twofa.RecoveryCode, ada.codes[0]), "her challenge is not used up")
	require.NoError(t, victim.verify(twofa.TOTP, bob.now()))
	d, err := w.DescribeSession(victim.session)
	require.NoError(t, err)
	require.Equal(t, "bob", d.User)
}

// An attacker who planted a cookie before the login, or who copied the
// challenge, is in another browser or in another session of the host.
func TestAbuse_E07_ChallengeInAnotherBrowser(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	ada.client.HostSession = twofa.NewSecret("hers")
	login := ada.another()
	for name, change := range map[string]func(c *twofa.Client){
		"another browser":      func(c *twofa.Client) { c.Browser = twofa.NewSecret("planted") },
		"no browser":           func(c *twofa.Client) { c.Browser = twofa.Secret{} },
		"another host session": func(c *twofa.Client) { c.HostSession = twofa.NewSecret("theirs") },
		"no host session":      func(c *twofa.Client) { c.HostSession = twofa.Secret{} },
		"swapped":              func(c *twofa.Client) { c.Browser, c.HostSession = c.HostSession, c.Browser },
	} {
		copied := *login
		change(&copied.client)
		require.ErrorIs(t, copied.verify(twofa.TOTP, copied.code()), twofa.ErrExpired, name)
		require.ErrorIs(t, w.Cancel(t.Context(), copied.client, copied.login.Challenge), twofa.ErrExpired, name)
	}
	require.NoError(t, login.verify(twofa.TOTP, login.code()))
}

func TestAbuse_E05_LifetimeOfAChallenge(t *testing.T) {
	for after, want := range map[time.Duration]error{
		10*time.Minute - time.Second: nil, 10 * time.Minute: twofa.ErrExpired, 10*time.Minute + time.Second: twofa.ErrExpired, 24 * time.Hour: twofa.ErrExpired,
	} {
		w := newWorld(t)
		login := w.enrolled("ada").another()
		w.clock.Add(after)
		require.ErrorIs(t, login.verify(twofa.TOTP, login.now()), want, after)
	}
}

// A challenge that a server with a fast clock has cleaned up does not become
// valid again on a server with a slow clock.
func TestAbuse_E05_ChallengeCancelledOnAServerWithAFastClock(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	w.cfg.Now = func() time.Time { return w.clock.Now().Add(45 * time.Second) }
	ahead := w.again()
	login := ada.another()
	require.ErrorIs(t, login.verify(twofa.TOTP, login.wrongCode(twofa.TOTP)), twofa.ErrInvalidCode)
	require.NoError(t, w.Cancel(t.Context(), login.client, login.login.Challenge))
	w.clock.Add(10*time.Minute - 40*time.Second)
	ada.stranger().on(ahead).misses(1, twofa.TOTP)
	require.ErrorIs(t, login.verify(twofa.TOTP, login.now()), twofa.ErrExpired)
}

func TestAbuse_E08_NothingEnrolled(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Policy = twofa.PolicyEmailLink() })
	ada := w.person("ada")
	require.Equal(t, twofa.NextChallenge, ada.begin())
	for _, m := range []twofa.Method{twofa.TOTP, twofa.SMS, twofa.RecoveryCode} {
		for _, code := range []string{"", "000000"} {
			require.ErrorIs(t, ada.verify(m, code), twofa.ErrNotAllowed)
		}
	}
}

// Every sign-in path of the host ends in the same decision.
func TestAbuse_E10_E11_EveryFirstFactorIsChallenged(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	for _, by := range []twofa.FirstFactorMethod{twofa.ByPassword, twofa.BySSO, twofa.ByEmail, twofa.ByToken} {
		for _, account := range []string{"", "acme"} {
			provider := providerOf(by)
			if account == "" {
				provider = "" // of everybody
			}
			l, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", Account: account, By: by, ProviderOf: provider, Client: ada.stranger().client})
			require.NoError(t, err)
			require.Equal(t, twofa.NextChallenge, l.Next, by)
			require.True(t, l.Session.IsZero())
		}
	}
	for _, by := range []twofa.FirstFactorMethod{"", "Password", "saml", "sso "} {
		_, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: by})
		require.ErrorIs(t, err, twofa.ErrNotAllowed)
	}
	f, err := ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	require.Len(t, f.List, 1, "her factors are unchanged")
}

// A reset link proves the mailbox. It changes the password, but the code is
// still required, and nothing opened before stays valid.
func TestAbuse_E11_PasswordReset(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	logins := ada.begun(2)
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	w.setUser("ada", func(u *twofa.User) { u.SecurityStamp = "2" })
	require.ErrorIs(t, logins[0].verify(twofa.TOTP, ada.code()), twofa.ErrExpired, "even before the first login with the new password")
	denied(t, failure(ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})), twofa.ReasonSignedOut)
	l, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByEmail, Client: ada.stranger().client})
	require.NoError(t, err)
	require.Equal(t, twofa.NextChallenge, l.Next)
	require.ErrorIs(t, logins[1].verify(twofa.TOTP, ada.code()), twofa.ErrExpired)
	denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonSignedOut)
}

// An identity provider vouches only in its own account, and exempts only if that
// account allows it. A provider of everybody exempts nowhere.
func TestAbuse_E10_SSOOfAnotherAccount(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	exempt := twofa.Policy{ExemptSSO: true, Required: true}
	require.NoError(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), exempt, ""))
	for _, f := range []struct {
		account, sso string
		want         twofa.Next
	}{
		{"acme", "acme", twofa.NextDone}, {"acme", "beta", ""}, {"acme", "", twofa.NextChallenge},
		{"beta", "beta", twofa.NextChallenge}, {"beta", "acme", ""}, {"", "acme", ""}, {"", "", twofa.NextChallenge},
	} {
		l, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", Account: f.account, By: twofa.BySSO, ProviderOf: f.sso})
		if f.want == "" {
			denied(t, err, twofa.ReasonSignInHere)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, f.want, l.Next, f)
		if l.Next == twofa.NextDone {
			denied(t, w.Check(t.Context(), twofa.Caller{Session: l.Session, Account: "beta"}), twofa.ReasonSignInHere)
			denied(t, w.CheckAction(t.Context(), twofa.Caller{Session: l.Session, Account: "acme"}, twofa.ActionFactors, ""), twofa.ReasonMissing)
		}
	}
	_ = ada
	_, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, ProviderOf: "acme"})
	require.ErrorIs(t, err, twofa.ErrNotAllowed, "a password is no identity provider")
}

// What the client was told, or changes in its copy, is not state.
func TestAbuse_E12_WrongCodeHasNoEffect(t *testing.T) {
	login := newWorld(t).enrolled("ada").another()
	l, err := login.Verify(t.Context(), login.caller(), login.login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(login.wrongCode(twofa.TOTP))})
	require.ErrorIs(t, err, twofa.ErrInvalidCode)
	require.Zero(t, l)
}

// A user who has an authenticator is offered nothing weaker in any way.
func TestAbuse_E13_Downgrade(t *testing.T) {
	p := asked(t)
	strict := twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS, twofa.EmailLink}, Required: true}
	require.NoError(t, p.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), strict, ""))
	p.account = "acme"
	for name, policy := range map[string]twofa.Policy{
		"all accepted":  strict,
		"authenticator": twofa.PolicyAuthenticator(),
		"optional":      twofa.PolicyOptional(),
		"link":          twofa.PolicyEmailLink(),
		"text":          twofa.PolicySMS(),
	} {
		require.NoError(t, p.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), policy, ""))
		p.begin()
		require.Equal(t, []twofa.Method{twofa.TOTP, twofa.RecoveryCode}, p.login.Methods, name)
		for _, m := range []twofa.Method{twofa.SMS, twofa.EmailLink} {
			require.ErrorIs(t, p.send(m), twofa.ErrNotAllowed, name)
			require.ErrorIs(t, p.verify(m, p.now()), twofa.ErrNotAllowed, name)
		}
	}
	onlyLink := twofa.Policy{Methods: []twofa.Method{twofa.EmailLink}, Required: true}
	require.ErrorContains(t, p.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), onlyLink, ""), "must include TOTP")
}

// A session from a lenient policy is challenged under a strict one at the very
// next request. A challenge made under the old policy gives what the new one
// allows.
func TestAbuse_E13_PolicyBecomesStricter(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), twofa.PolicyEmailLink(), ""))
	ada := w.person("ada")
	ada.account = "acme"
	ada.begin()
	require.NoError(t, ada.send(twofa.EmailLink))
	require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))
	require.NoError(t, ada.Check(t.Context(), ada.caller()))
	w.clock.Add(time.Hour)
	late := ada.another()
	require.NoError(t, late.send(twofa.EmailLink))
	require.NoError(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), twofa.PolicyAuthenticator(), ""))
	denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonEnroll)
	require.NoError(t, late.verify(twofa.EmailLink, late.token()))
	require.Equal(t, twofa.NextEnroll, late.login.Next)
	require.True(t, late.session.IsZero())
}

func TestAbuse_E14_AfterLogout(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	login := ada.another()
	require.ErrorIs(t, login.verify(twofa.TOTP, login.wrongCode(twofa.TOTP)), twofa.ErrInvalidCode)
	require.NoError(t, w.Cancel(t.Context(), login.client, login.login.Challenge))
	require.ErrorIs(t, login.verify(twofa.TOTP, login.code()), twofa.ErrExpired)
	require.ErrorIs(t, w.Cancel(t.Context(), login.client, login.login.Challenge), twofa.ErrExpired)
	full := ada.another()
	require.NoError(t, full.verify(twofa.TOTP, full.code()))
	require.NoError(t, w.User(twofa.AsUser(full.caller(), ""), "ada").Revoke(t.Context()))
	for _, p := range []*person{ada, full} {
		for name, open := range callerRequests {
			if name != "Describe" { // reads nothing
				denied(t, open(p, p.caller()), twofa.ReasonSignedOut)
			}
		}
	}
}

func TestAbuse_E15_DeletedAndCreatedAgain(t *testing.T) {
	w := newWorld(t, bySMS)
	ada := w.person("ada")
	require.Equal(t, twofa.NextEnroll, ada.begin())
	ada.enroll()
	require.NoError(t, ada.stepUp("contacts.export"))
	login, code := ada.another(), ada.code()
	require.NoError(t, w.User(twofa.AsHost("deleted"), "ada").Delete(t.Context()))
	records, err := w.store.Get(t.Context(), "user/ada")
	require.NoError(t, err)
	require.Empty(t, records)
	check := func() {
		denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonSignedOut)
		require.ErrorIs(t, login.verify(twofa.TOTP, code), twofa.ErrExpired)
		require.ErrorIs(t, login.verify(twofa.RecoveryCode, ada.codes[0]), twofa.ErrExpired)
		require.ErrorIs(t, w.Cancel(t.Context(), login.client, login.login.Challenge), twofa.ErrExpired)
	}
	check()
	next := w.person("ada")
	next.client = ada.client // even on the same computer
	require.Equal(t, twofa.NextEnroll, next.begin(), "a different user, of whom nothing is known")
	check()
	next.enroll()
	check()
	require.ErrorIs(t, next.another().verify(twofa.RecoveryCode, ada.codes[0]), twofa.ErrInvalidCode)
	require.Error(t, w.User(twofa.AsUser(next.caller(), ""), "ada").Delete(t.Context()), "only the host may")
}

// Success is a nil error and nothing else. No method returns a bool, and no
// result accompanies an error.
func TestAbuse_E16_NoResultWithAnError(t *testing.T) {
	manager := reflect.TypeFor[*twofa.Manager]()
	for method := range manager.Methods() {
		for i := range method.Type.NumOut() {
			require.NotEqual(t, reflect.Bool, method.Type.Out(i).Kind(), method.Name)
		}
	}
	w, store := newFault(t, func(c *twofa.Config) { c.Recovery.Viewable, c.Policy.TurnOff = true, twofa.TurnOffByAdmin })
	ada := w.enrolled("ada")
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	login := ada.another()
	ada.clock.Add(30 * time.Second)
	calls := map[string]func() (any, error){
		"Begin": func() (any, error) {
			w.setUser("ada", func(u *twofa.User) { u.SecurityStamp += "x" })
			return w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})
		},
		"Verify": func() (any, error) {
			return w.Verify(t.Context(), login.caller(), login.login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(ada.now())})
		},
		"Enroll":          func() (any, error) { return w.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{}) },
		"RegenerateCodes": func() (any, error) { return w.RegenerateCodes(t.Context(), ada.caller()) },
		"RecoveryCodes":   func() (any, error) { return w.RecoveryCodes(t.Context(), ada.caller()) },
	}
	reads := map[string]func() (any, error){
		"Offer":      func() (any, error) { return w.DescribeChallenge(t.Context(), login.client, login.login.Challenge) },
		"Resume":     func() (any, error) { return w.Resume(t.Context(), ada.caller()) },
		"StepUp":     func() (any, error) { return w.StepUp(t.Context(), ada.caller(), "contacts.export", "") },
		"Factors":    func() (any, error) { return w.Factors(t.Context(), ada.caller()) },
		"Browsers":   func() (any, error) { return w.Browsers(t.Context(), ada.caller()) },
		"Enrollment": func() (any, error) { return w.PendingEnrollment(t.Context(), ada.caller()) },
		"Policy":     func() (any, error) { return w.Account(twofa.AsHost("test"), "acme").Policy(t.Context()) },
	}
	alone := func(calls map[string]func() (any, error)) {
		for name, call := range calls {
			if name != "Begin" { // ends what the others need
				got, err := call()
				require.ErrorIs(t, err, twofa.ErrUnavailable, name)
				require.Zero(t, got, name)
			}
		}
	}
	store.Refuse = func(twofa.Record) error { return errFault }
	alone(calls)
	store.Refuse, store.Read = nil, func([]string) error { return errFault }
	alone(calls)
	alone(reads)
	store.Refuse, store.Read = func(twofa.Record) error { return errFault }, nil
	got, err := calls["Begin"]()
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	require.Zero(t, got)
	store.Refuse = nil
	require.NoError(t, w.Cancel(t.Context(), login.client, login.login.Challenge))
	_, err = w.DescribeChallenge(t.Context(), login.client, login.login.Challenge)
	require.ErrorIs(t, err, twofa.ErrExpired)
}

// A proof is valid for one action, on one resource, in one account, by one
// session.
func TestAbuse_E17_GrantInAnotherPlace(t *testing.T) {
	w := newWorld(t, eachTime)
	ada := w.person("ada")
	ada.account = "acme"
	ada.begin()
	ada.enroll()
	other := ada.another()
	require.NoError(t, other.verify(twofa.TOTP, other.code()))
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), "contacts.export", "list 1")))
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	elsewhere := ada.caller()
	elsewhere.Account = "beta"
	for _, c := range []struct {
		caller           twofa.Caller
		action, resource string
	}{
		{ada.caller(), "contacts.delete", "list 1"}, {ada.caller(), twofa.ActionFactors, "list 1"}, {ada.caller(), "contacts.export", "list 2"},
		{ada.caller(), "contacts.export", ""}, {ada.caller(), "contacts.export list 1", ""}, {other.caller(), "contacts.export", "list 1"},
		{elsewhere, "contacts.export", "list 1"},
	} {
		denied(t, ada.UseAction(t.Context(), c.caller, c.action, c.resource), twofa.ReasonMissing)
	}
	require.NoError(t, ada.UseAction(t.Context(), ada.caller(), "contacts.export", "list 1"))
}

// A proof from the future is not accepted. Otherwise a clock that is set back
// would extend its life.
func TestAbuse_E17_ClockSetBackAfterAProof(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	require.NoError(t, ada.stepUp("contacts.export"))
	w.clock.Add(-time.Minute)
	require.NoError(t, ada.CheckAction(t.Context(), ada.caller(), "contacts.export", ""), "the clocks of servers disagree by seconds")
	w.clock.Add(-time.Second)
	denied(t, ada.UseAction(t.Context(), ada.caller(), "contacts.export", ""), twofa.ReasonStale)
}
