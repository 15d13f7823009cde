package app_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// operate runs a command for support. Nobody can be asked.
func (s *site) operate(args ...string) (exit int, out string) {
	var printed bytes.Buffer
	exit = s.app.Operate(s.t.Context(), args, strings.NewReader(""), &printed, &printed)
	return exit, printed.String()
}

func TestOperate_Reset(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	old := s.as(jon)
	codes := old.enrollApp(jon)
	by := []string{"-by", "sam", "-reason", "lost phone", "-yes"}
	exit, out := s.operate(append([]string{"reset", "nobody@brook.example"}, by...)...)
	require.Equal(t, 1, exit)
	require.Contains(t, out, `there is no user "nobody@brook.example"`)
	exit, out = s.operate("reset", jon, "-yes", "-reason", "lost phone")
	require.Equal(t, 2, exit, "staff must be named")
	require.Contains(t, out, "-by: required")
	require.True(t, old.signedIn())
	exit, out = s.operate(append([]string{"reset", jon}, by...)...)
	require.Equal(t, 0, exit, out)
	require.Contains(t, out, "("+jon+") was reset.")
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
