package browser

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestS2_LoginWithCode(t *testing.T) {
	t.Parallel()
	inEachBrowser(t, func(t *testing.T, in *engine) {
		s := in.newSite(t)
		jon := s.person(t)
		jon.logIn("jon@brook.example")
		phone, _ := jon.setUpApp()

		b := s.person(t)
		b.logIn("jon@brook.example")
		b.reads("Open your authenticator app and enter the code it shows")
		b.goTo("/contacts")
		b.at("/2fa/challenge") // the challenge cannot be skipped
		b.fill("6-digit code", phone.lastCode())
		b.press("Continue")
		b.reads("That code did not work") // a code that was used, as seen over a shoulder, is not valid again
		code := phone.code()
		b.fill("6-digit code", code[:3]+" "+code[3:]) // with a space, as apps show it
		b.press("Continue")
		b.at("/contacts")
		b.reads("Avery Brooks")
	})
}

func TestS2_LoginWithRecoveryCodeOnce(t *testing.T) {
	t.Parallel()
	inEachBrowserAtLength(t, func(t *testing.T, in *engine) {
		s := in.newSite(t)
		jon := s.person(t)
		jon.logIn("jon@brook.example")
		_, codes := jon.setUpApp()

		b := s.person(t)
		b.logIn("jon@brook.example")
		b.press("Use a recovery code")
		b.fill("Recovery code", strings.ToLower(codes[3])) // as typed from paper
		b.press("Continue")
		b.reads("9 codes left")
		b.press("Not now")
		b.at("/contacts")
		b.reads("You signed in with a recovery code")
		require.Contains(t, s.newest("jon@brook.example").Text, "recovery code")

		again := s.person(t)
		again.logIn("jon@brook.example")
		again.press("Use a recovery code")
		again.fill("Recovery code", codes[3])
		again.press("Continue")
		again.reads("That code did not work")
		again.fill("Recovery code", codes[4])
		again.press("Continue")
		again.reads("8 codes left")
	})
}

func TestS3_ViewAndRenewRecoveryCodes(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithClock(t)
	jon := s.browser(t)
	jon.logIn("jon@brook.example")
	phone, codes := jon.setUpApp()
	clock.Add(time.Hour)

	// After an hour the user must enter a code first, and presses the button once.
	jon.goTo("/2fa/")
	jon.press("View codes")
	jon.reads("Confirm it’s you")
	jon.fill("6-digit code", phone.code())
	jon.press("Continue")
	jon.until(`!!document.querySelector('[data-codes]')`)
	require.Equal(t, codes, jon.savedCodes())
	jon.press("Back to settings")

	jon.click("Actions for recovery codes")
	jon.press("Generate new codes")
	jon.reads("Your old codes keep working until you’ve saved the new ones")
	jon.press("Generate new codes")
	jon.reads("Your old codes work until you select “Done”")
	fresh := jon.savedCodes()
	require.Len(t, fresh, 10)
	require.NotContains(t, codes, fresh[0])
	jon.press("Done")
	jon.reads("Older ones no longer work")

	b := s.browser(t)
	b.logIn("jon@brook.example")
	b.press("Use a recovery code")
	b.fill("Recovery code", codes[0])
	b.press("Continue")
	b.reads("That code did not work")
	b.fill("Recovery code", fresh[0])
	b.press("Continue")
	b.reads("9 codes left")
}
