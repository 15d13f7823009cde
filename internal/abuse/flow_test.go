package abuse

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

func TestS1_S2_EnrollThenSignInByCodeOrRecoveryCode(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada")
	require.Equal(t, twofa.NextDone, ada.begin())
	require.NoError(t, ada.Check(t.Context(), ada.caller()))
	ada.enroll()
	require.Len(t, ada.codes, 10)
	require.NoError(t, ada.Check(t.Context(), ada.caller()))

	again := ada.browser("laptop")
	require.Equal(t, twofa.NextChallenge, again.begin())
	require.Equal(t, []twofa.Method{twofa.TOTP, twofa.RecoveryCode}, again.login.Methods)
	require.ErrorIs(t, again.verify(twofa.TOTP, again.wrongCode(twofa.TOTP)), twofa.ErrInvalidCode)
	require.NoError(t, again.verify(twofa.TOTP, again.code()))
	require.NoError(t, again.Check(t.Context(), again.caller()))

	third := ada.browser("tablet")
	third.begin()
	require.NoError(t, third.verify(twofa.RecoveryCode, ada.codes[3]))
	require.NoError(t, third.Check(t.Context(), third.caller()))
	f, err := third.Factors(t.Context(), third.caller())
	require.NoError(t, err)
	require.Equal(t, 9, f.CodesLeft)
	third.begin()
	require.ErrorIs(t, third.verify(twofa.RecoveryCode, ada.codes[3]), twofa.ErrInvalidCode)
}

func TestS1_CodesFirst(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Policy = twofa.PolicyAuthenticator() })
	ada := w.person("ada")
	require.Equal(t, twofa.NextChallenge, ada.begin(), "the mailbox is her strongest factor and comes first")
	require.NoError(t, ada.send(twofa.EmailLink))
	require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))
	require.Equal(t, twofa.NextEnroll, ada.login.Next)
	e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
	require.NoError(t, err)
	require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
	require.Equal(t, twofa.NextEnroll, ada.login.Next)
	ada.uri = e.URI.Reveal()
	require.NoError(t, ada.took(ada.Confirm(t.Context(), ada.caller(), ada.code())))
	require.Equal(t, twofa.NextDone, ada.login.Next)
	require.NoError(t, ada.Check(t.Context(), ada.caller()))
}

func TestS3_ViewAndRegenerate(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Recovery.Viewable = true })
	ada := w.enrolled("ada")
	w.clock.Add(15 * time.Minute)
	_, err := ada.RecoveryCodes(t.Context(), ada.caller())
	denied(t, err, twofa.ReasonMissing)
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	codes, err := ada.RecoveryCodes(t.Context(), ada.caller())
	require.NoError(t, err)
	for i, c := range codes {
		require.Equal(t, ada.codes[i], c.Reveal())
	}
	old := ada.codes
	e, err := ada.RegenerateCodes(t.Context(), ada.caller())
	require.NoError(t, err)
	ada.keep(e)
	require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
	ada.begin()
	require.ErrorIs(t, ada.verify(twofa.RecoveryCode, old[0]), twofa.ErrInvalidCode)
	require.NoError(t, ada.verify(twofa.RecoveryCode, ada.codes[0]))
}

func TestS4_LinkOnlyInTheRightBrowser(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Policy = twofa.PolicyEmailLink() })
	ada := w.person("ada")
	require.Equal(t, twofa.NextChallenge, ada.begin())
	require.Equal(t, []twofa.Method{twofa.EmailLink}, ada.login.Methods)
	require.NoError(t, ada.send(twofa.EmailLink))
	token := ada.token()

	other := ada.browser("phone")
	other.begin()
	require.ErrorIs(t, other.verify(twofa.EmailLink, token), twofa.ErrInvalidCode)
	require.NoError(t, ada.verify(twofa.EmailLink, token))
	require.Equal(t, twofa.NextDone, ada.login.Next)
	require.NoError(t, ada.Check(t.Context(), ada.caller()))
}

func TestS9_TextMessageAndKnownBrowser(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Policy = twofa.PolicySMS(); c.Mail.Mailer, c.Mail.LinkURL = nil, nil })
	ada := w.person("ada")
	require.Equal(t, twofa.NextEnroll, ada.begin())
	e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: "+41 79 123 45 67"})
	require.NoError(t, err)
	ada.login.Challenge = e.Challenge
	require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
	ada.login.Challenge = e.Challenge
	require.NoError(t, ada.took(ada.Confirm(t.Context(), ada.caller(), w.out.TextCode(t, "+41791234567"))))
	require.Equal(t, twofa.NextDone, ada.login.Next)
	require.NoError(t, ada.Check(t.Context(), ada.caller()))

	w.clock.Add(time.Hour)
	laptop := ada.browser("laptop")
	require.Equal(t, twofa.NextChallenge, laptop.begin())
	require.NoError(t, laptop.send(twofa.SMS))
	require.NoError(t, laptop.took(laptop.Verify(t.Context(), laptop.caller(), laptop.login.Challenge,
		twofa.Proof{Method: twofa.SMS, Code: twofa.NewSecret(w.out.TextCode(t, "+41791234567")), Remember: true})))
	require.Equal(t, twofa.NextDone, laptop.begin(), "a remembered browser is not challenged")
	require.NoError(t, laptop.Check(t.Context(), laptop.caller()))
	w.clock.Add(31 * 24 * time.Hour)
	require.Equal(t, twofa.NextChallenge, laptop.begin())
}

func TestS10_StepUpEachTime(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	denied(t, ada.UseAction(t.Context(), ada.caller(), "contacts.export", ""), twofa.ReasonMissing)
	require.NoError(t, ada.stepUp("contacts.export"))
	require.NoError(t, ada.CheckAction(t.Context(), ada.caller(), "contacts.export", ""))
	require.NoError(t, ada.UseAction(t.Context(), ada.caller(), "contacts.export", ""))
	denied(t, ada.UseAction(t.Context(), ada.caller(), "contacts.export", ""), twofa.ReasonMissing)
}

func TestS14_ReplaceWithoutAGap(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	other := ada.browser("laptop")
	other.begin()
	require.NoError(t, other.verify(twofa.TOTP, other.code()))
	f, err := ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	old := ada.uri
	e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Replaces: f.List[0].ID, Name: "New phone"})
	require.NoError(t, err)
	require.Empty(t, e.Codes, "the active set stays")
	ada.uri = e.URI.Reveal()
	require.NoError(t, ada.took(ada.Confirm(t.Context(), ada.caller(), ada.code())))
	require.NoError(t, ada.Check(t.Context(), ada.caller()), "the session that made the change stays valid")
	denied(t, other.Check(t.Context(), other.caller()), twofa.ReasonSignedOut)
	ada.begin()
	next := ada.uri
	ada.uri = old
	require.ErrorIs(t, ada.verify(twofa.TOTP, ada.code()), twofa.ErrInvalidCode)
	ada.uri = next
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
}

func TestS15_RevokeEverything(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	require.NoError(t, ada.stepUp("contacts.export"))
	require.NoError(t, ada.User(twofa.AsUser(ada.caller(), ""), "ada").Revoke(t.Context()))
	denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonSignedOut)
	list, err := func() ([]twofa.Browser, error) {
		ada.begin()
		require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
		return ada.Browsers(t.Context(), ada.caller())
	}()
	require.NoError(t, err)
	require.Len(t, list, 1)
	denied(t, ada.CheckAction(t.Context(), ada.caller(), "contacts.export", ""), twofa.ReasonMissing)
}

// ChallengeInfo says what a challenge is for, but only to its browser.
func TestChallengeInfo(t *testing.T) {
	w := newWorld(t, byText)
	ada, _ := w.texted("ada")
	check := func(want twofa.ChallengeInfo) {
		want.InPerson = true
		t.Helper()
		got, err := w.ChallengeInfo(ada.client, ada.login.Challenge)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	check(twofa.ChallengeInfo{Next: twofa.NextChallenge, Sent: twofa.SMS})
	ada.account = "acme"
	require.Equal(t, twofa.NextChallenge, ada.begin())
	check(twofa.ChallengeInfo{Next: twofa.NextChallenge, Account: "acme"})

	got, err := w.ChallengeInfo(ada.browser("elsewhere").client, ada.login.Challenge)
	require.ErrorIs(t, err, twofa.ErrExpired)
	require.Zero(t, got, "another browser learns nothing")
	w.clock.Add(time.Hour)
	got, err = w.ChallengeInfo(ada.client, ada.login.Challenge)
	require.ErrorIs(t, err, twofa.ErrExpired)
	require.Equal(t, "acme", got.Account)

	w = newWorld(t)
	bob := w.enrolled("bob")
	w.clock.Add(time.Hour)
	for _, token := range []twofa.Secret{bob.session.Secret, twofa.NewSecret(""), twofa.NewSecret("test1.AAAA")} {
		got, err = w.ChallengeInfo(bob.client, twofa.Challenge{Secret: token})
		require.ErrorIs(t, err, twofa.ErrExpired)
		require.Zero(t, got, "it is no challenge")
	}
	up, err := w.StepUp(t.Context(), bob.caller(), "contacts.export", "7")
	require.NoError(t, err)
	got, err = w.ChallengeInfo(bob.client, up.Challenge)
	require.NoError(t, err)
	require.Equal(t, twofa.ChallengeInfo{Next: twofa.NextChallenge, Action: "contacts.export", Resource: "7", InPerson: true}, got)

	w = newWorld(t, byText, func(c *twofa.Config) { c.Policy.Methods = []twofa.Method{twofa.SMS, twofa.TOTP} })
	ada = w.person("ada")
	require.Equal(t, twofa.NextEnroll, ada.begin())
	check(twofa.ChallengeInfo{Next: twofa.NextEnroll})
	for _, step := range []struct {
		twofa.EnrollRequest
		sent twofa.Method
	}{{twofa.EnrollRequest{Method: twofa.SMS, Phone: adasPhone}, twofa.SMS}, {twofa.EnrollRequest{}, ""}} {
		e, err := w.Enroll(t.Context(), ada.caller(), step.EnrollRequest)
		require.NoError(t, err)
		ada.login.Challenge = e.Challenge
		check(twofa.ChallengeInfo{Next: twofa.NextEnroll, Sent: step.sent})
	}
	bob = w.withPhone("bob", otherPhone)
	require.Equal(t, twofa.NextChallenge, bob.begin())
	require.NoError(t, bob.send(twofa.SMS))
	require.NoError(t, bob.verify(twofa.SMS, w.out.TextCode(t, otherPhone)))
	e, err := w.Enroll(t.Context(), twofa.Caller{Session: bob.session, Client: bob.client}, twofa.EnrollRequest{Method: twofa.SMS, Phone: adasPhone, Replaces: bob.factor(0)})
	require.NoError(t, err)
	got, err = w.ChallengeInfo(bob.client, e.Challenge)
	require.NoError(t, err)
	require.Equal(t, twofa.ChallengeInfo{Sent: twofa.SMS, InPerson: true}, got, "a phone that is being confirmed")
}
