package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// The daily call reminds a member before the deadline, once, and tells the
// admins. A deactivated member is not reminded.
func TestRemind(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.as(ben).enrollApp(ben)
	policy := twofa.PolicyAuthenticator()
	policy.Grace = 10 * 24 * time.Hour
	require.NoError(t, s.app.Manager().Account(twofa.AsHost("test"), "harbor").SetPolicy(t.Context(), policy, ""))
	s.as(ada).act("dan/deactivate")
	const subject = "Set up two-factor authentication for Acme Contacts by "
	reminded := func(to string) (n int) {
		for _, m := range s.outbox() {
			if m.To == to && strings.HasPrefix(m.Subject, subject) {
				n++
			}
		}
		return n
	}
	var days []int
	for day := range 12 {
		before := reminded(cleo)
		for range 2 { // as after a restart
			require.NoError(t, s.app.Remind(t.Context()))
		}
		if reminded(cleo) > before {
			days = append(days, day)
		}
		s.advance(24 * time.Hour)
	}
	require.Equal(t, []int{3, 9}, days, "7 days and 1 day before")
	require.Equal(t, 2, reminded(cleo), "once each")
	require.Zero(t, reminded(ben), "has an app")
	require.Zero(t, reminded(dan), "is deactivated")
	require.Zero(t, reminded(jon), "belongs to another account")
	require.Contains(t, s.lastMessage(ben, "Your account requires two-factor authentication.").Subject, "still need")

	s.without("members", func() { require.Error(t, s.app.Remind(t.Context())) })
}
