package browser

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestS14_NewPhoneWithoutGap(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithClock(t)
	jon := s.browser(t)
	jon.logIn("jon@brook.example")
	old, codes := jon.setUpApp()
	clock.Add(time.Hour)
	other := s.browser(t)
	other.logIn("jon@brook.example")
	other.fill("6-digit code", old.code())
	other.press("Continue")
	other.at("/contacts")

	clock.Add(time.Hour)
	jon.goTo("/2fa/")
	jon.click("Actions for Authenticator app")
	jon.press("Move to a new phone")
	jon.reads("The old one keeps working until you’ve set up the new one")
	jon.press("Set up authenticator app")
	jon.reads("Confirm it’s you")
	jon.fill("6-digit code", old.code())
	jon.press("Continue")
	jon.until(`!!document.querySelector('.qr')`)
	fresh := jon.scan()
	require.NotEqual(t, old.secret(), fresh.secret())

	// Until the new phone is confirmed, only the old one counts.
	clock.Add(time.Minute)
	b := s.browser(t)
	b.logIn("jon@brook.example")
	b.fill("6-digit code", fresh.code())
	b.press("Continue")
	b.reads("That code did not work")
	b.fill("6-digit code", old.code())
	b.press("Continue")
	b.at("/contacts")

	clock.Add(time.Minute)
	jon.fill("Enter the 6-digit code from the app", fresh.code())
	jon.press("Confirm")
	jon.at("/2fa/")
	jon.reads("10 of 10 codes unused") // the recovery codes stay valid
	for _, session := range []*chromiumTab{other, b} {
		session.goTo("/contacts")
		session.at("/login") // every other session has ended
	}

	clock.Add(time.Minute)
	b.logIn("jon@brook.example")
	b.fill("6-digit code", old.code())
	b.press("Continue")
	b.reads("That code did not work")
	b.fill("6-digit code", fresh.code())
	b.press("Continue")
	b.at("/contacts")

	last := s.browser(t)
	last.logIn("jon@brook.example")
	last.press("Use a recovery code")
	last.fill("Recovery code", codes[0])
	last.press("Continue")
	last.reads("9 codes left")
}
