package app_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
)

const calledBack = "called back at the number on file"

// A case takes two members of staff and time. The reset ends the user's sign-ins, and
// the next enrollment needs the link.
func TestSupport_CaseResetsAUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	old := s.as(jon)
	codes := old.enrollApp(jon)
	s.advance(time.Minute)
	ctx := t.Context()
	require.Error(t, s.app.OpenCase(ctx, "nobody@brook.example", "Sam", calledBack))
	require.Error(t, s.app.OpenCase(ctx, jon, "", calledBack), "staff must be named")
	require.Equal(t, "Write down how you verified who is asking.", app.SupportProblem(s.app.OpenCase(ctx, jon, "Sam", " ")))
	require.ErrorIs(t, s.app.OpenCase(ctx, ida, "Sam", calledBack), twofa.ErrNotEnrolled)
	require.NoError(t, s.app.OpenCase(ctx, jon, "Sam", calledBack))
	require.Contains(t, s.lastMessage(jon, "/2fa/case?token=").Subject, "Support was asked")
	require.True(t, old.signedIn())

	_, err := s.app.ApproveCase(ctx, jon, "Nora", calledBack)
	require.Contains(t, app.SupportProblem(err), "too early")
	s.advance(72 * time.Hour)
	_, err = s.app.ApproveCase(ctx, jon, "Sam", calledBack)
	require.ErrorIs(t, err, twofa.ErrNotAllowed)
	require.Error(t, s.app.CancelCase(ctx, jon, "", calledBack))
	reset, err := s.app.ApproveCase(ctx, jon, "Nora", calledBack)
	require.NoError(t, err)
	require.True(t, reset)
	_, err = s.app.ApproveCase(ctx, jon, "Nora", calledBack)
	require.ErrorIs(t, err, twofa.ErrExpired)
	require.False(t, old.signedIn())
	require.Contains(t, s.log.String(), `event=reset user=jon account="" method="" actor=staff actor_id=Nora`)
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

// The pages of the product say that a case is open, and lead to the question.
func TestSupport_ProductShowsTheBanner(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as(jon)
	b.enrollApp(jon)
	require.NotContains(t, b.get("/contacts").body, "Support was asked")
	s.advance(time.Minute)
	require.NoError(t, s.app.OpenCase(t.Context(), jon, "Sam", calledBack))
	page := b.get("/contacts").body
	require.Contains(t, page, "Support was asked to reset your two-factor authentication")
	require.Contains(t, page, `href="/2fa/asked?next=%2Fcontacts"`)
	require.NotContains(t, s.as(ida).get("/contacts").body, "Support was asked", "only the user is asked")
	c, err := s.app.CaseOf(t.Context(), jon)
	require.NoError(t, err)
	got := b.post("/2fa/asked?next=/contacts", "/2fa/asked", "id", c.ID, "mine", "no", "next", "/contacts")
	require.Contains(t, b.follow(got).body, "The reset was stopped")
	require.NotContains(t, b.get("/contacts").body, "Support was asked")
	require.ErrorIs(t, s.app.CancelCase(t.Context(), jon, "Nora", "x"), twofa.ErrExpired)
}

// The demo page does the same for whoever plays the staff, and says why a button did
// nothing.
func TestSupport_DemoPage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.as(jon).enrollApp(jon)
	s.advance(time.Minute)
	b := s.browser()
	const page = "/dev/support?email=jon%40brook.example&staff=Nora"
	require.Contains(t, b.get(page).body, "There is no open case.")
	require.Equal(t, http.StatusNotFound, b.get("/dev/support?email=x%40brook.example").status)
	do := func(staff, what, reason string) answer {
		return b.post(page, "/dev/support", "email", jon, "staff", staff, "do", what, "reason", reason)
	}
	require.Equal(t, http.StatusConflict, do("Sam", "open", "").status)
	require.Equal(t, http.StatusNotFound, do("Sam", "reset", calledBack).status)
	require.Contains(t, b.follow(do("Sam", "open", calledBack)).body, "Sam opened a case on")
	got := do("Nora", "approve", calledBack)
	require.Equal(t, http.StatusConflict, got.status)
	require.Contains(t, got.body, "too early")
	s.advance(24 * time.Hour)
	require.Contains(t, do("Sam", "approve", calledBack).body, "cannot approve it")
	require.Contains(t, b.follow(do("Nora", "approve", calledBack)).body, "One more approval by somebody else")
	require.Contains(t, b.follow(do("Otto", "approve", calledBack)).body, "The user was reset.")
	require.Equal(t, http.StatusConflict, do("Sam", "open", calledBack).status, "nothing to reset")
}

// A user whose password somebody else has is signed out everywhere, and keeps the
// factor.
func TestSupport_SignOutUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in := s.as(jon)
	in.enrollApp(jon)
	require.Error(t, s.app.SignOutUser(t.Context(), jon, "", calledBack))
	require.True(t, in.signedIn())
	b := s.browser()
	require.Contains(t, b.follow(b.post("/dev/support?email=jon%40brook.example", "/dev/support", "email", jon, "staff", "Sam", "do", "signout", "reason", calledBack)).body, "signed out everywhere")
	require.False(t, in.signedIn())
	require.Contains(t, s.log.String(), "actor=staff actor_id=Sam")
	require.Equal(t, "/2fa/challenge", s.browser().login(jon).location)
}

// Without the demo, the page does not exist.
func TestSupport_NoPageWithoutTheDemo(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *app.Config) { c.Demo, c.Mailer = false, &app.Outbox{} })
	require.Equal(t, http.StatusNotFound, s.browser().get("/dev/support").status)
}
