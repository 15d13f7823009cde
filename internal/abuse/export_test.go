package abuse

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

// An export has all personal data that is stored about one user, and no secret.
func TestExport(t *testing.T) {
	w := newWorld(t)
	host := twofa.AsHost("request for access")
	d, err := w.User(host, "ada").Export(t.Context())
	require.NoError(t, err)
	require.Equal(t, twofa.UserData{User: "ada", Time: w.clock.Now().UTC().Truncate(time.Second), Factors: []twofa.FactorData{}, Browsers: []twofa.BrowserData{},
		Failures: []twofa.FailureData{}, Proofs: []twofa.ProofData{}, Sent: map[string][]time.Time{}, Addresses: []twofa.AddressData{}, Accounts: []twofa.AccountData{}}, d)
	_, err = w.User(host, "").Export(t.Context())
	require.ErrorIs(t, err, twofa.ErrInvalid)

	phone := twofa.ImportFactor{Method: twofa.SMS, Phone: "+41 79 123 45 67", Name: "Ada's phone"}
	w.mustImport("ada", imported("GEZDGNBVGY3TQOJQ"), phone)
	w.clock.Add(time.Minute)
	ada := w.app("ada", "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ")
	ada.begin()
	require.Error(t, ada.verify(twofa.TOTP, "000000"))
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	e, err := ada.RegenerateCodes(t.Context(), ada.caller())
	require.NoError(t, err)
	ada.keep(e)
	require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), "export", "")))
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	other := w.app("ada", ada.uri).browser("another browser")
	other.begin()
	require.Error(t, other.verify(twofa.TOTP, "000000"))
	e, err = ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Name: "New app"})
	require.NoError(t, err)

	before, err := w.store.Get(t.Context(), "user/ada")
	require.NoError(t, err)
	d, err = w.User(twofa.AsStaff("s1", "ticket"), "ada").Export(t.Context())
	require.NoError(t, err)
	after, err := w.store.Get(t.Context(), "user/ada")
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.Len(t, d.Factors, 2)
	require.True(t, d.Factors[0].Legacy)
	require.Equal(t, "+41791234567", d.Factors[1].Phone, "the user's own data is not masked")
	require.Equal(t, "Ada's phone", d.Factors[1].Name)
	require.Equal(t, 10, d.CodesLeft)
	require.Equal(t, "New app", d.Pending.Name)
	require.Equal(t, "Firefox on Linux", d.Browsers[0].Device)
	require.Equal(t, 1, d.Failures[0].Consecutive)
	require.Empty(t, d.Failures[0].Browser)
	require.Equal(t, "export", d.Proofs[0].Action)
	require.False(t, d.Imported.IsZero())
	require.False(t, d.LastLogin.IsZero())

	text, err := json.Marshal(d)
	require.NoError(t, err)
	for _, part := range []string{`"user":"ada"`, `"phone":"+41791234567"`, `"legacy":true`, `"recovery_codes_left":10`, `"pending_enrollment":{`, `"device":"Firefox on Linux"`} {
		require.Contains(t, string(text), part)
	}
	secrets := append([]string{"GEZDGNBVGY3TQOJQ", strings.ReplaceAll(e.Key.Reveal(), " ", ""), e.URI.Reveal(), ada.session.Reveal(), ada.client.Browser.Reveal()}, ada.codes...)
	for _, secret := range secrets {
		require.NotContains(t, string(text), secret)
		require.NotContains(t, string(text), strings.ReplaceAll(secret, "-", ""))
	}
	require.NotContains(t, string(text), `"reset"`)
	require.NoError(t, w.User(host, "ada").Reset(t.Context(), twofa.ResetRequest{}))
	d, err = w.User(host, "ada").Export(t.Context())
	require.NoError(t, err)
	require.False(t, d.Reset.IsZero())
	require.False(t, d.TakenAway.IsZero())
	require.Empty(t, d.Factors)
}

// An export says in which accounts the user was seen, and which admins gave more
// time.
func TestExport_Accounts(t *testing.T) {
	w := team(t)
	mia := w.signedIn("mia", "acme")
	mia.begin()
	require.NoError(t, mia.verify(twofa.TOTP, mia.code()))
	end := w.clock.Now().Add(aDay).UTC().Truncate(time.Second)
	w.setUser("mia", func(u *twofa.User) { u.Members = append(u.Members, twofa.Member{Account: "beta"}) })
	for _, account := range []string{"acme", "beta"} {
		require.NoError(t, w.Account(twofa.AsHost("ill"), account).Extend(t.Context(), "mia", end))
	}
	d, err := w.User(twofa.AsHost("request for access"), "mia").Export(t.Context())
	require.NoError(t, err)
	now := w.clock.Now().UTC().Truncate(time.Second)
	require.Equal(t, []twofa.AccountData{{Account: "acme", LastLogin: now, LastProof: now, Method: twofa.TOTP, Extended: end}, {Account: "beta", Extended: end}}, d.Accounts)
}
