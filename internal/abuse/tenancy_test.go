package abuse

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// sso signs the person in through an account's own identity provider.
func (p *person) sso(provider string) error {
	return p.took(p.Begin(p.t.Context(), twofa.FirstFactor{UserID: p.id, Account: p.account, By: twofa.BySSO, ProviderOf: provider,
		Session: p.session, Client: p.client}))
}

// password adds a password to the person's session.
func (p *person) password() error {
	return p.took(p.Begin(p.t.Context(), twofa.FirstFactor{UserID: p.id, Account: p.account, By: twofa.ByPassword, Session: p.session, Client: p.client}))
}

func (p *person) in(account string) twofa.Caller {
	c := p.caller()
	c.Account, c.Challenge = account, twofa.Challenge{}
	return c
}

// The identity provider of one account opens no other account, and nothing that
// all accounts share.
func TestTenancy_ProviderOfOneAccount(t *testing.T) {
	w := newWorld(t)
	eve := w.person("ada") // an admin who controls the provider of acme
	eve.account = "acme"
	require.NoError(t, eve.sso("acme"))
	require.NoError(t, eve.Check(t.Context(), eve.caller()))
	denied(t, eve.Check(t.Context(), eve.in("beta")), twofa.ReasonSignInHere)
	denied(t, failure(eve.Resume(t.Context(), eve.in("beta"))), twofa.ReasonSignInHere)
	denied(t, failure(eve.StepUp(t.Context(), eve.in("beta"), export, "")), twofa.ReasonSignInHere)
	denied(t, failure(eve.Factors(t.Context(), eve.in("beta"))), twofa.ReasonSignInHere)
	denied(t, eve.CheckPerson(t.Context(), eve.caller()), twofa.ReasonSignInHere)
	denied(t, failure(eve.Enroll(t.Context(), eve.caller(), twofa.EnrollRequest{})), twofa.ReasonMissing)

	// Her password counts everywhere, and the provider still only in acme.
	eve.account = "beta"
	require.NoError(t, eve.password())
	require.Equal(t, twofa.NextDone, eve.login.Next)
	for _, account := range []string{"acme", "beta"} {
		require.NoError(t, eve.Check(t.Context(), eve.in(account)))
	}
	require.NoError(t, eve.CheckPerson(t.Context(), eve.caller()))
	d, err := eve.DescribeSession(eve.session)
	require.NoError(t, err)
	require.Len(t, d.FirstFactors, 2)
}

// Through SSO alone, the first factor is enrolled only after a link to the
// user's own address.
func TestTenancy_FirstFactorNeedsTheMailbox(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada")
	ada.account = "acme"
	require.NoError(t, ada.sso("acme"))
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), twofa.ActionFactors, "")))
	require.Equal(t, []twofa.Method{twofa.EmailLink}, ada.login.Methods)
	require.NoError(t, ada.send(twofa.EmailLink))
	require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))
	ada.enroll()
	require.NoError(t, ada.Check(t.Context(), ada.in("acme")))
}

func TestTenancy_FirstFactorWithoutAnAddress(t *testing.T) {
	w := newWorld(t)
	w.setUser("ada", func(u *twofa.User) { u.Emails = nil })
	ada := w.person("ada")
	ada.account = "acme"
	require.NoError(t, ada.sso("acme"))
	denied(t, failure(ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})), twofa.ReasonSupport)
	denied(t, failure(ada.StepUp(t.Context(), ada.caller(), twofa.ActionFactors, "")), twofa.ReasonSupport)
	w.policy("acme", twofa.PolicyAuthenticator())
	ada.session = twofa.Session{}
	denied(t, ada.password(), twofa.ReasonSupport)
}

// An empty account of a Caller is that of the session.
func TestTenancy_EmptyAccountIsThatOfTheSession(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada")
	ada.account = "acme"
	require.Equal(t, twofa.NextDone, ada.begin())
	w.policy("acme", twofa.PolicyAuthenticator())
	denied(t, ada.Check(t.Context(), ada.in("")), twofa.ReasonChallenge)
}

// An account in another spelling is one that the user is no member of, and not
// an account without a policy.
func TestTenancy_OtherSpellingOfAnAccount(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada")
	ada.account = "acme"
	require.Equal(t, twofa.NextDone, ada.begin())
	for _, account := range []string{"ACME", "acme ", "nowhere", "acm\u0435"} {
		require.Error(t, ada.Check(t.Context(), ada.in(account)), account)
		require.ErrorIs(t, failure(ada.Resume(t.Context(), ada.in(account))), twofa.ErrNotAllowed, account)
	}
}

// A session of another user ends before the login that may fail.
func TestTenancy_LoginOfAnotherUserEndsTheSession(t *testing.T) {
	w := newWorld(t)
	bob := w.enrolled("bob")
	require.NoError(t, bob.stepUp(export))
	ada := w.person("ada")
	_, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Session: bob.session, Client: ada.client})
	require.NoError(t, err)
	denied(t, bob.CheckAction(t.Context(), bob.caller(), export, ""), twofa.ReasonMissing)
}

// A session continues only in its own browser.
func TestTenancy_SessionOfAnotherBrowserIsNotContinued(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	thief := ada.browser("other")
	thief.session = ada.session
	require.NoError(t, thief.password())
	require.Equal(t, twofa.NextChallenge, thief.login.Next, "the proofs of the copied session do not count")
}

// A password that was changed while it was being verified signs nobody in.
func TestTenancy_StampOfTheVerifiedPassword(t *testing.T) {
	w := newWorld(t)
	_, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, SecurityStamp: "0"})
	require.ErrorIs(t, err, twofa.ErrNotAllowed)
	_, err = w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, SecurityStamp: "1"})
	require.NoError(t, err)
}

// A directory that lags behind ends no session, and signs nobody in.
func TestTenancy_DirectoryLagsBehind(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	w.setUser("ada", func(u *twofa.User) { u.SecurityStamp = "2" })
	require.NoError(t, w.User(twofa.AsUser(ada.caller(), ""), "ada").CredentialsChanged(t.Context()))
	w.setUser("ada", func(u *twofa.User) { u.SecurityStamp = "1" }) // a replica
	_, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: ada.stranger().client})
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	require.ErrorIs(t, failure(ada.Factors(t.Context(), ada.caller())), twofa.ErrUnavailable)
	require.NoError(t, ada.Check(t.Context(), ada.caller()))
	w.clock.Add(2 * time.Minute) // then it is a change like any other
	_, err = w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: ada.stranger().client})
	require.NoError(t, err)
	denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonSignedOut)
	require.Equal(t, event.Credentials, w.events[len(w.events)-1].Type, "and the user is told")
}

// A login that read the directory before a user was disabled and revoked leaves
// no session.
func TestTenancy_DirectoryIsAskedAfterTheRecord(t *testing.T) {
	for name, known := range map[string]bool{"known": true, "new": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if known {
				w.person("ada").begin()
			}
			w.cfg.Store = &beforeSwap{Store: w.store, do: func() {
				w.setUser("ada", func(u *twofa.User) { u.Disabled = true })
				require.NoError(t, w.User(twofa.AsHost("suspended"), "ada").Revoke(t.Context()))
			}}
			_, err := w.again().Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})
			require.ErrorIs(t, err, twofa.ErrNotAllowed)
		})
	}
}

// A step-up ends with the session that it is for.
func TestTenancy_StepUpNeedsItsLiveSession(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), export, "")))
	proof := twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(ada.code())}
	for name, c := range map[string]twofa.Caller{"none": {Client: ada.client}, "another": {Session: w.person("ada").session, Client: ada.client}} {
		_, err := w.Verify(t.Context(), c, ada.login.Challenge, proof)
		require.ErrorIs(t, err, twofa.ErrExpired, name)
	}
	require.NoError(t, ada.took(w.Verify(t.Context(), ada.caller(), ada.login.Challenge, proof)))
}

// A session that no person of their own vouched for does not survive a change
// of credentials.
func TestTenancy_SSOSessionDoesNotSurviveANewPassword(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada")
	ada.account = "acme"
	require.NoError(t, ada.sso("acme"))
	require.NoError(t, w.User(twofa.AsUser(ada.caller(), ""), "ada").CredentialsChanged(t.Context()))
	denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonSignedOut)
}

// beforeSwap is a store that does something before its first swap.
type beforeSwap struct {
	twofa.Store
	do func()
}

func (s *beforeSwap) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	if do := s.do; do != nil {
		s.do = nil
		do()
	}
	return s.Store.Swap(ctx, prev, next, events...)
}

// A host that forgets to name the account is told once, because the policies of
// its accounts are then not enforced.
func TestTenancy_ForgottenAccountIsLogged(t *testing.T) {
	var logs strings.Builder
	w := newWorld(t, func(c *twofa.Config) { c.Logger = slog.New(slog.NewTextHandler(&logs, nil)) })
	ada := w.person("ada")
	ada.account = "acme"
	ada.begin()
	require.Empty(t, logs.String())
	ada.account = ""
	ada.begin()
	ada.begin()
	require.Equal(t, 1, strings.Count(logs.String(), "FirstFactor.Account is empty"))
}

// An admin who controls the identity provider of one account signs in as one of
// its members again and again. Their record is shared by all accounts, so it must
// not grow until it can no longer be written.
func TestTenancy_HeldSignInsDoNotFillTheRecord(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Lifetimes.Link = time.Hour })
	w.policy("acme", twofa.PolicyAuthenticator())
	ada := w.enrolled("ada")
	var err error
	for range 4000 {
		var held twofa.Secret
		held, err = w.HoldFirstFactor(twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.BySSO, ProviderOf: "acme"})
		require.NoError(t, err)
		var f twofa.FirstFactor
		f, err = w.HeldFirstFactor(held)
		require.NoError(t, err)
		if _, err = w.Begin(t.Context(), f); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, twofa.ErrLocked)
	require.Positive(t, twofa.RetryAfter(err))
	laptop := ada.browser("laptop")
	laptop.account = "beta"
	laptop.begin()
	require.NoError(t, laptop.verify(twofa.TOTP, laptop.code()), "the owner is not kept out elsewhere")
	w.clock.Add(2 * time.Hour)
	ada.account, ada.session = "acme", twofa.Session{}
	require.NoError(t, ada.sso("acme"), "nor here, later")
}

// An admin who controls the identity provider of one account can sign in there
// as a member at any time. That must not be enough to end the member's sessions
// and logins in other accounts, or the member could never complete a login.
func TestTenancy_ProviderOfOneAccountRevokesNothingElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		members []string
		before  func(*person) error
		revokes bool
	}{
		"the provider alone":                    {[]string{"acme", "beta"}, nil, false},
		"if the user belongs to this one alone": {[]string{"acme"}, nil, true},
		"with a password":                       {[]string{"acme", "beta"}, (*person).password, true},
		"with a proof":                          {[]string{"acme", "beta"}, func(p *person) error { return p.stepUp(export) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ada := w.person("ada")
			ada.account = c.members[len(c.members)-1]
			require.Equal(t, twofa.NextDone, ada.begin())
			ada.enroll()
			w.setUser("ada", func(u *twofa.User) {
				u.Members = nil
				for _, account := range c.members {
					u.Members = append(u.Members, twofa.Member{Account: account})
				}
			})
			w.policy("acme", twofa.PolicyAuthenticator())
			eve := ada.browser("elsewhere")
			eve.account = "acme"
			require.NoError(t, eve.sso("acme"))
			if c.before != nil {
				require.NoError(t, c.before(eve))
			}
			err := w.User(twofa.AsUser(eve.caller(), ""), "ada").Revoke(t.Context())
			if c.revokes {
				require.NoError(t, err)
				denied(t, ada.Check(t.Context(), ada.in(ada.account)), twofa.ReasonSignedOut)
				return
			}
			denied(t, err, twofa.ReasonSignInHere)
			require.NoError(t, ada.Check(t.Context(), ada.in("beta")))
		})
	}
}
