package abuse

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

// An attacker who has the password gets the same answers for a user who has a
// factor that the policy does not offer and for one who does not have it, at
// every call that takes a challenge.
func TestOracle_ChallengeTellsNoOtherFactor(t *testing.T) {
	answers := func(t *testing.T, factors ...twofa.ImportFactor) (list []string) {
		w := newWorld(t)
		w.mustImport("ada", factors...)
		thief := w.person("ada").browser("of a thief")
		require.Equal(t, twofa.NextChallenge, thief.begin())
		require.Equal(t, []twofa.Method{twofa.TOTP}, thief.login.Methods)
		for _, m := range []twofa.Method{twofa.SMS, twofa.EmailLink, twofa.RecoveryCode, "webauthn", ""} {
			for _, code := range []string{"", "1", "123456", "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV"} {
				err := thief.verify(m, code)
				require.ErrorIs(t, err, twofa.ErrNotAllowed)
				require.NotErrorIs(t, err, twofa.ErrNotEnrolled)
				list = append(list, fmt.Sprint(m, code, err))
			}
			list = append(list, fmt.Sprint(m, thief.send(m)))
		}
		list = append(list, fmt.Sprint(failure(thief.Enroll(t.Context(), thief.caller(), twofa.EnrollRequest{}))),
			fmt.Sprint(failure(thief.Enroll(t.Context(), thief.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: "+41791234567"}))),
			fmt.Sprint(failure(thief.Enroll(t.Context(), thief.caller(), twofa.EnrollRequest{Replaces: "x"}))),
			fmt.Sprint(failure(thief.RegenerateCodes(t.Context(), thief.caller()))), fmt.Sprint(failure(thief.Factors(t.Context(), thief.caller()))),
			fmt.Sprint(thief.Remove(t.Context(), thief.caller(), "x")), fmt.Sprint(thief.ForgetBrowsers(t.Context(), thief.caller())))
		require.Equal(t, []string{"imported"}, distinct(w.types()), "nothing is recorded")
		return list
	}
	phone := twofa.ImportFactor{Method: twofa.SMS, Phone: "+41791234567"}
	require.Equal(t, answers(t, imported(key20)), answers(t, imported(key20), phone))
}

func distinct(list []string) (out []string) {
	for _, s := range list {
		if len(out) == 0 || out[len(out)-1] != s {
			out = append(out, s)
		}
	}
	return out
}
