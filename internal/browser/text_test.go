package browser

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const evasPhone = "+12025550101"

// setUpPhone signs Eva in and enrolls her phone number.
func (b *tab) setUpPhone() {
	b.t.Helper()
	b.enrollPhone("eva@meadow.example", "202 555 0101")
}

// enrollPhone signs in a user whose account requires a second factor, and enrolls
// the user's phone number.
func (b *tab) enrollPhone(email, number string) {
	b.t.Helper()
	b.logIn(email)
	b.openMailedLink(email)
	b.goTo("/2fa/setup?start=1&method=sms")
	b.choose("Country", "US")
	b.fill("Mobile number", number)
	b.press("Text me a code")
	b.download("Download")
	b.press("Next")
	b.fill("6-digit code from the text message", b.textedCode("+1"+strings.ReplaceAll(number, " ", "")))
	b.press("Confirm")
	b.press("Continue")
	b.at("/contacts")
}

func TestS9_TextMessageCodes(t *testing.T) {
	t.Parallel()
	inEachBrowserAtLength(t, func(t *testing.T, in *engine) {
		s, clock := in.newSiteWithClock(t)
		eva := s.person(t)
		eva.setUpPhone()

		// A new browser is asked for a code, and is remembered if the user ticks the box.
		clock.Add(time.Hour)
		laptop := s.person(t)
		laptop.logIn("eva@meadow.example")
		laptop.at("/2fa/challenge")
		laptop.reads("We texted a code to •••• 01")
		require.Contains(t, s.newest(evasPhone).Text, "\n@localhost #"+s.textedCode(evasPhone), "browsers must be able to fill in the code")
		laptop.click("Remember this browser for 30 days\nWe won’t ask for a second step here. Don’t use this on a shared device.")
		laptop.fill("6-digit code", s.textedCode(evasPhone))
		laptop.press("Continue")
		laptop.at("/contacts")

		// The remembered browser is not asked again. Any other browser is.
		laptop.signOut()
		laptop.logIn("eva@meadow.example")
		laptop.at("/contacts")
		clock.Add(time.Hour)
		strange := s.person(t)
		strange.logIn("eva@meadow.example")
		strange.at("/2fa/challenge")

		// A change of the number needs a fresh code from the old number, then a code
		// from the new one. The old number works until then, and is notified.
		clock.Add(time.Hour)
		laptop.goTo("/2fa/")
		laptop.click("Actions for Phone")
		laptop.press("Change number")
		laptop.fill("Mobile number", "+1 202 555 0177")
		laptop.press("Text me a code")
		laptop.reads("Confirm it’s you")
		laptop.press("Text me a code")
		laptop.fill("6-digit code", s.textedCode(evasPhone))
		clock.Add(time.Minute) // one user gets at most one text message a minute
		laptop.press("Continue")
		laptop.until(`location.pathname === '/2fa/setup'`)
		laptop.reads("We texted a code to •••• 77")
		require.Len(t, s.sent("+12025550177"), 1)
		before := len(s.sent(evasPhone))
		laptop.fill("6-digit code from the text message", s.textedCode("+12025550177"))
		laptop.press("Confirm")
		laptop.at("/2fa/")
		laptop.reads("•••• 77")
		laptop.readsNot("Text messages to •••• 01")
		require.Len(t, s.sent(evasPhone), before+1)
		require.Contains(t, s.newest(evasPhone).Text, "codes now go to another phone")
	})
}

// signOut presses Sign out in the menu of the user.
func (b *tab) signOut() {
	b.t.Helper()
	b.clickOn(`document.querySelector('details.acme-me > summary')`)
	b.press("Sign out")
	b.at("/login")
}

func TestS10_ExportNeedsCodeEveryTime(t *testing.T) {
	t.Parallel()
	inEachBrowserAtLength(t, func(t *testing.T, in *engine) {
		s, clock := in.newSiteWithClock(t)
		eva := s.person(t)
		eva.setUpPhone()
		clock.Add(time.Hour)
		eva.signOut()
		eva.logIn("eva@meadow.example")
		eva.click("Remember this browser for 30 days\nWe won’t ask for a second step here. Don’t use this on a shared device.")
		eva.fill("6-digit code", s.textedCode(evasPhone))
		eva.press("Continue")
		eva.signOut()
		eva.logIn("eva@meadow.example")
		eva.at("/contacts") // remembered, so no code is asked for at sign-in

		for range 2 {
			clock.Add(time.Hour)
			eva.goTo("/contacts")
			eva.press("Export as CSV")
			eva.reads("You asked for: Export contacts")
			eva.press("Text me a code")
			eva.fill("6-digit code", s.textedCode(evasPhone))
			rows, err := csv.NewReader(strings.NewReader(eva.download("Continue"))).ReadAll()
			require.NoError(t, err)
			require.Len(t, rows, 13, "a heading and 12 contacts")
			require.Equal(t, "Avery Placeholder", rows[1][0])

			clock.Add(10 * time.Second)
			eva.press("Go back")
			eva.press("Export as CSV") // the code was valid for one file
			eva.reads("You asked for: Export contacts")
			eva.press("Cancel")
		}
	})
}
