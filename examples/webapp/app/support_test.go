package app_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSupport_ResetFactors(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	old := s.as(jon)
	codes := old.enrollApp(jon)
	require.Error(t, s.app.ResetFactors(t.Context(), "nobody@brook.example", "sam", "lost phone"))
	require.Error(t, s.app.ResetFactors(t.Context(), jon, "", "lost phone"), "staff must be named")
	require.True(t, old.signedIn())
	require.NoError(t, s.app.ResetFactors(t.Context(), jon, "sam", "lost phone"))
	require.False(t, old.signedIn())
	require.Contains(t, s.log.String(), `event=reset user=jon account="" method="" actor=host`)
	require.NotEmpty(t, s.lastMessage(jon, "were removed").Subject, "the user is told")
	delete(s.uris, jon)

	// The password is enough to sign in to an account that requires no factor,
	// but not to enroll the next one.
	b := s.browser()
	require.Equal(t, "/contacts", b.login(jon).location)
	got := b.post("/2fa/setup?start=1", "/2fa/setup", "method", "totp")
	asksForCode(t, got)
	require.Contains(t, b.follow(got).body, "We emailed a link to")
	require.Equal(t, http.StatusForbidden, b.post("/2fa/challenge", "/2fa/verify", "method", "recovery", "code", codes[0]).status)
	require.Contains(t, b.openLink(b.mailedLink(jon)).location, "/2fa/setup")
	b.enrollApp(jon)
	require.Contains(t, b.get("/2fa/").body, "10 of 10")
}
