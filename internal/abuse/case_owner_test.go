package abuse

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// No member of staff can reset a user by the report that a member was removed.
func TestAbuse_N01_StaffCannotReportRemovals(t *testing.T) {
	w := newWorld(t)
	w.setUser("ada", func(u *twofa.User) { u.Members = nil })
	ada := w.enrolled("ada")
	require.ErrorIs(t, w.Account(twofa.AsStaff("sam", "x"), "invented").MemberRemoved(t.Context(), "ada"), twofa.ErrNotAllowed)
	require.False(t, ada.isReset())
}

// The identity provider of one account neither answers a case, which concerns all
// accounts, nor suspends it for ever.
func TestAbuse_N06_ProviderOfOneAccountDecidesNothing(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	w.policy("acme", twofa.Policy{Required: true, ExemptSSO: true})
	ada := w.enrolled("ada")
	w.clock.Add(time.Minute)
	x, err := w.by("sam").OpenCase(t.Context(), twofa.ResetRequest{})
	require.NoError(t, err)
	admin := ada.browser("of a bad admin")
	admin.account = "acme"
	byProvider := func() {
		w.clock.Add(time.Hour)
		require.NoError(t, admin.took(w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.BySSO, ProviderOf: "acme", Client: admin.client})))
		require.Equal(t, twofa.NextDone, admin.login.Next)
	}
	byProvider()
	require.False(t, mustCase(t, ada).Suspended)
	for _, mine := range []bool{true, false} {
		denied(t, w.AnswerCase(t.Context(), admin.caller(), x.ID, mine), twofa.ReasonSignInHere)
	}
	owner := ada.browser("of the owner")
	owner.account = "beta"
	owner.begin()
	require.NoError(t, owner.verify(twofa.TOTP, owner.code()))
	byProvider()
	require.True(t, mustCase(t, ada).Suspended, "by the owner")
}

// A login that is weaker than the owner's does not undo the suspension by it, and
// nor does a copy of the owner's session in another browser.
func TestAbuse_N06_WeakLoginLiftsNoSuspension(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail, c.Policy.Remember = nil, aMonth })
	ada := w.enrolled("ada")
	thief := ada.browser("laptop").remember()
	w.clock.Add(time.Hour)
	x, err := w.by("sam").OpenCase(t.Context(), twofa.ResetRequest{})
	require.NoError(t, err)
	w.clock.Add(time.Hour)
	owner := ada.browser("of the owner")
	owner.begin()
	require.NoError(t, owner.verify(twofa.TOTP, owner.code()))
	w.clock.Add(time.Hour)
	require.Equal(t, twofa.NextDone, thief.begin(), "remembered")
	denied(t, w.AnswerCase(t.Context(), thief.caller(), x.ID, true), twofa.ReasonSignedOut)
	copied := owner.caller()
	copied.Client = thief.client
	denied(t, w.AnswerCase(t.Context(), copied, x.ID, true), twofa.ReasonSignedOut)
	require.True(t, mustCase(t, ada).Suspended)
	told := w.tells(func() { require.NoError(t, w.AnswerCase(t.Context(), owner.caller(), x.ID, true)) })
	require.Equal(t, []string{"ada@example.com"}, told, "with the link that ends it")
	require.NotEmpty(t, w.stopLink("ada@example.com"))
	require.Equal(t, owner.sessionID(), w.events[len(w.events)-1].Session)
	require.False(t, mustCase(t, ada).Suspended)
}

// An owner who is signed in needs no login to stop a case: a proof suspends it, and
// what ends sessions or adds a factor ends it.
func TestAbuse_N06_SignedInOwnerStopsTheCase(t *testing.T) {
	for name, c := range map[string]struct {
		act  func(p *person) error
		ends bool
	}{
		"step-up": {func(p *person) error { return p.stepUp(export) }, false},
		"revoke":  {func(p *person) error { return p.User(twofa.AsUser(p.caller(), ""), "ada").Revoke(p.t.Context()) }, true},
		"password": {func(p *person) error {
			return p.User(twofa.AsUser(p.caller(), ""), "ada").CredentialsChanged(p.t.Context())
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			ada, _ := opened(t)
			require.NoError(t, c.act(ada))
			if c.ends {
				require.False(t, ada.hasCase())
			} else {
				require.True(t, mustCase(t, ada).Suspended)
			}
		})
	}
}

// Servers' clocks differ, and several things happen in one second.
func TestAbuse_N06_ClocksHideNoLogin(t *testing.T) {
	for _, by := range []time.Duration{-40 * time.Second, 0} {
		ada, x := opened(t)
		owner := ada.browser("of the owner")
		owner.begin()
		require.NoError(t, owner.verify(twofa.TOTP, owner.code()))
		require.NoError(t, owner.AnswerCase(t.Context(), owner.caller(), x.ID, true))
		later := ada.browser("another").on(ada.off(by))
		later.begin()
		require.NoError(t, later.verify(twofa.RecoveryCode, ada.codes[0]))
		require.True(t, mustCase(t, ada).Suspended, by)
	}
}

// After the user has stopped a case, none is opened for a day, and at most three in
// 30 days, because each is a mail to many.
func TestAbuse_N06_CaseIsNotReopenedAtOnce(t *testing.T) {
	ada, _ := opened(t)
	open := func() error { _, err := ada.by("sam").OpenCase(t.Context(), twofa.ResetRequest{}); return err }
	require.NoError(t, ada.CancelCase(t.Context(), ada.client, ada.stopLink("ada@example.com")))
	require.ErrorIs(t, open(), twofa.ErrLocked)
	ada.clock.Add(24 * time.Hour)
	for range 2 {
		require.NoError(t, open())
		require.NoError(t, ada.by("sam").CancelCase(t.Context(), mustCase(t, ada).ID))
	}
	require.ErrorIs(t, open(), twofa.ErrLocked)
	ada.clock.Add(30 * 24 * time.Hour)
	require.NoError(t, open())
}

// One approval is enough only if the owner could be told: a mail was accepted, and the
// addresses of the last 30 days are known.
func TestAbuse_N06_UntoldOwnerNeedsTwoApprovals(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	silent := w.with(func(c *twofa.Config) { c.Mail = twofa.MailConfig{} })
	_, err := silent.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword})
	require.NoError(t, err)
	w.enrolled("ada")
	w.clock.Add(time.Hour)
	x, err := w.by("sam").OpenCase(t.Context(), twofa.ResetRequest{})
	require.NoError(t, err)
	require.Zero(t, x.ByOneFrom, "no address was known before")

	ada, x := opened(t)
	require.NotZero(t, x.ByOneFrom)
	require.NoError(t, ada.by("sam").CancelCase(t.Context(), x.ID))
	x, err = ada.with(func(c *twofa.Config) { c.Mail.Mailer = deaf{} }).User(twofa.AsStaff("sam", "x"), "ada").OpenCase(t.Context(), twofa.ResetRequest{})
	require.NoError(t, err)
	require.Zero(t, x.ByOneFrom, "nobody was told")
}

// After a reset, the password alone changes no address, to which the link would go.
func TestAbuse_N07_AddressAfterAReset(t *testing.T) {
	ada, x := opened(t)
	ada.clock.Add(72 * time.Hour)
	done, err := ada.by("nora").ApproveCase(t.Context(), x.ID)
	require.NoError(t, err)
	require.True(t, done.Reset)
	require.NotContains(t, ada.out.Mails()[len(ada.out.Mails())-1].Text.Reveal(), "/2fa/case")
	thief := ada.browser("of a thief")
	require.Equal(t, twofa.NextDone, thief.begin())
	denied(t, thief.CheckPerson(t.Context(), thief.caller()), twofa.ReasonEnroll)
}

// Whoever has the link or the session sees no words of staff.
func TestAbuse_N06_LinkShowsNoWordsOfStaff(t *testing.T) {
	ada, x := opened(t)
	linked, err := ada.LinkedCase(t.Context(), ada.stopLink("ada@example.com"))
	require.NoError(t, err)
	standing, err := ada.Standing(t.Context(), ada.caller())
	require.NoError(t, err)
	for _, seen := range []twofa.Case{linked, *standing.Case} {
		require.Equal(t, x.ID, seen.ID)
		require.Empty(t, seen.By+seen.Reason)
	}
}

// An unlock gives no guesses in a known browser beyond its ten.
func TestAbuse_C08_UnlockGivesNoGuessesInAKnownBrowser(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	p := *ada
	p.begin()
	for range 5 {
		require.Error(t, p.verify(twofa.TOTP, p.wrongCode(twofa.TOTP)))
	}
	require.ErrorIs(t, p.verify(twofa.TOTP, p.code()), twofa.ErrLocked)
	require.NoError(t, w.staff().Unlock(t.Context(), twofa.TOTP))
	data, err := w.User(twofa.AsHost("test"), "ada").Export(t.Context())
	require.NoError(t, err)
	require.Equal(t, 5, data.Failures[len(data.Failures)-1].Consecutive)
	require.NoError(t, p.verify(twofa.TOTP, p.code()), "the lock has ended")
}

// deaf is a Mailer that accepts nothing.
type deaf struct{}

func (deaf) SendMail(context.Context, twofa.Email) error { return errors.New("down") }
