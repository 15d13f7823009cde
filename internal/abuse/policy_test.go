package abuse

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

// noLinks configures a host that mails no links, so that a required enrollment
// needs no proof of the mailbox.
func noLinks(c *twofa.Config) { c.Mail.LinkURL = nil }

// held returns a user without a factor. Her session began before account acme
// required an authenticator.
func (w *world) held() *person {
	ada := w.person("ada")
	ada.account = "acme"
	require.Equal(w.t, twofa.NextDone, ada.begin())
	require.NoError(w.t, ada.Check(w.t.Context(), ada.caller()))
	w.policy("acme", twofa.PolicyAuthenticator())
	return ada
}

func TestAbuse_M01_M08_PolicyAppliesToLiveSessionsOnEveryServer(t *testing.T) {
	w := newWorld(t, noLinks)
	servers := w.servers(3)
	ada := w.held()
	for _, m := range servers {
		denied(t, m.Check(t.Context(), ada.caller()), twofa.ReasonEnroll)
	}
	require.Equal(t, twofa.NextEnroll, ada.begin())
	require.NoError(t, ada.enroll().Check(t.Context(), ada.caller()))
}

func TestAbuse_M02_HeldUserReachesOnlyEnrollment(t *testing.T) {
	ada := newWorld(t, noLinks).held()
	open := []string{"Enroll", "Enrollment", "Factors", "SaveCodes", "Resume", "Describe", // enrollment
		"Confirm", "Revoke", "CredentialsChanged"} // sign-out
	for name, request := range callerRequests {
		if !slices.Contains(open, name) {
			require.Error(t, request(ada, ada.caller()), name)
		}
	}
	for _, name := range []string{"Check", "CheckAction", "UseAction", "StepUp", "Browsers"} {
		denied(t, callerRequests[name](ada, ada.caller()), twofa.ReasonEnroll)
	}
}

func TestAbuse_M03_UnconfirmedFactorIsNotEnough(t *testing.T) {
	ada := newWorld(t, noLinks).held()
	ada.begin()
	_, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
	require.NoError(t, err)
	require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
	denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonEnroll)
	require.Equal(t, twofa.NextEnroll, ada.begin())
}

func TestAbuse_M03_M12_MethodThatIsNoLongerAccepted(t *testing.T) {
	w := newWorld(t, byText)
	ada := w.withPhone("ada", adasPhone)
	ada.account = "acme"
	ada.begin()
	require.NoError(t, ada.send(twofa.SMS))
	require.NoError(t, ada.verify(twofa.SMS, w.out.TextCode(t, adasPhone)))
	require.NoError(t, ada.Check(t.Context(), ada.caller()))
	w.policy("acme", twofa.PolicyAuthenticator())
	denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonEnroll)
	w.clock.Add(time.Hour)
	require.Equal(t, twofa.NextChallenge, ada.begin())
	require.NoError(t, ada.send(twofa.SMS))
	require.NoError(t, ada.verify(twofa.SMS, w.out.TextCode(t, adasPhone)))
	require.Equal(t, twofa.NextEnroll, ada.login.Next)
}

func TestAbuse_M04_NoSignInPathSkipsTheRequirement(t *testing.T) {
	w := newWorld(t, noLinks)
	strict := twofa.PolicyAuthenticator()
	strict.ExemptSSO = false
	w.policy("acme", strict)
	for _, by := range []twofa.FirstFactorMethod{twofa.ByPassword, twofa.BySSO, twofa.ByEmail, twofa.ByToken} {
		ada := w.person("ada")
		err := ada.took(w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", Account: "acme", By: by, ProviderOf: providerOf(by), Client: ada.client}))
		if by == twofa.BySSO || by == twofa.ByToken {
			require.ErrorIs(t, err, twofa.ErrUnavailable, "the provider or token alone enrolls nothing, and no link can be mailed")
			continue
		}
		require.NoError(t, err)
		require.NotEqual(t, twofa.NextDone, ada.login.Next, by)
		require.True(t, ada.session.IsZero(), by)
	}
}

func providerOf(by twofa.FirstFactorMethod) string {
	if by == twofa.BySSO {
		return "acme"
	}
	return ""
}

func TestAbuse_M05_UsersCannotChangeAPolicy(t *testing.T) {
	w := newWorld(t)
	w.policy("acme", twofa.PolicyAuthenticator())
	// Staff must have seen the policy they change.
	for _, actor := range []twofa.Actor{{}, twofa.AsStaff("", "no name"), twofa.AsStaff("s1", "no version")} {
		account := w.Account(actor, "acme")
		require.ErrorIs(t, account.SetPolicy(t.Context(), twofa.PolicyOptional(), ""), twofa.ErrNotAllowed)
		require.ErrorIs(t, account.SetPolicy(t.Context(), twofa.PolicyOptional(), twofa.Overwrite), twofa.ErrNotAllowed)
		require.ErrorIs(t, account.UnsetPolicy(t.Context(), ""), twofa.ErrNotAllowed)
	}
	info, err := w.Account(twofa.AsHost("test"), "acme").Policy(t.Context())
	require.NoError(t, err)
	require.True(t, info.Policy.Required)
}

func TestAbuse_M09_MembershipOfAStrictAccountNeedsEnrollment(t *testing.T) {
	w := newWorld(t, noLinks)
	w.policy("beta", twofa.PolicyAuthenticator())
	w.setUser("ada", func(u *twofa.User) { u.Members = []twofa.Member{{Account: "acme"}} })
	ada := w.person("ada")
	ada.account = "acme"
	require.Equal(t, twofa.NextDone, ada.begin())
	w.setUser("ada", func(u *twofa.User) { u.Members = append(u.Members, twofa.Member{Account: "beta"}) })
	require.NoError(t, ada.Check(t.Context(), ada.caller()))
	ada.account = "beta"
	denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonChallenge)
	l, err := ada.Resume(t.Context(), ada.caller())
	require.NoError(t, err)
	require.Equal(t, twofa.NextEnroll, l.Next)
	require.Equal(t, twofa.NextEnroll, ada.begin())
}
