package browser

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// setUpApp enrolls an authenticator app from the settings, in the order for
// voluntary enrollment: QR code, first code, recovery codes.
func (b *tab) setUpApp() (*phone, []string) {
	b.t.Helper()
	b.goTo("/2fa/")
	b.press("Set up two-factor authentication")
	return b.enrollApp("/2fa/")
}

// enrollApp continues on the page that starts the enrollment, which ends on another
// page.
func (b *tab) enrollApp(end string) (*phone, []string) {
	b.t.Helper()
	b.press("Set up authenticator app")
	p := b.scan()
	b.fill("Enter the 6-digit code from the app", p.code())
	b.press("Continue")
	codes := b.savedCodes()
	b.press("Done")
	b.at(end)
	return p, codes
}

func TestS1_VoluntarySetup(t *testing.T) {
	t.Parallel()
	inEachBrowserAtLength(t, func(t *testing.T, in *engine) {
		s := in.newSite(t)
		jon := s.person(t)
		jon.logIn("jon@brook.example")
		jon.at("/contacts")
		jon.goTo("/settings")
		jon.reads("Your account is protected by your password only")
		jon.press("Set up two-factor authentication")
		jon.press("Set up authenticator app")

		jon.reads("Step 1 of 2")
		phone := jon.scan()
		require.Contains(t, phone.uri, "otpauth://totp/Acme%20Contacts:jon%40brook.example?")
		jon.click("Can’t scan it?")
		key := eval[string](jon, `document.querySelector('.key code').innerText`)
		require.Equal(t, phone.secret(), strings.ReplaceAll(key, " ", ""), "the key to type must be the key in the QR code")

		jon.fill("Enter the 6-digit code from the app", "000000")
		jon.press("Continue")
		jon.reads("That code did not work")
		require.Equal(t, phone.uri, jon.scan().uri, "a wrong code must not change the key that was scanned")
		jon.fill("Enter the 6-digit code from the app", phone.code())
		jon.press("Continue")

		jon.reads("Step 2 of 2")
		codes := jon.codes()
		require.Len(t, codes, 10)

		// Before Done is pressed, no factor is active.
		other := s.person(t)
		other.logIn("jon@brook.example")
		other.at("/contacts")

		require.True(t, jon.disabled("Done"))
		require.Equal(t, codes, jon.savedCodes())
		require.False(t, jon.disabled("Done"))
		jon.press("Done")
		jon.at("/2fa/")
		jon.reads("You’ll be asked for a code the next time you sign in")
		jon.reads("10 of 10 codes unused")

		last := s.person(t)
		last.logIn("jon@brook.example")
		last.at("/2fa/challenge")
	})
}

func TestS1_DoneIsDisabledUntilCodesAreSaved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	jon := s.browser(t)
	jon.countPrints()
	jon.logIn("jon@brook.example")
	jon.goTo("/2fa/setup?start=1&method=totp")
	jon.press("Set up authenticator app")
	jon.fill("Enter the 6-digit code from the app", jon.scan().code())
	jon.press("Continue")
	codes := jon.codes()
	require.Len(t, codes, 10)

	for _, c := range []struct {
		button string
		saved  func() string // presses the button and returns the codes that the user then has
	}{
		{"Download", func() string { return jon.download("Download") }},
		{"Copy", func() string {
			jon.click("Copy")
			jon.until(`document.querySelector('[data-said]').innerText === 'Copied'`)
			return eval[string](jon, `navigator.clipboard.readText()`)
		}},
		{"Print", func() string {
			jon.click("Print")
			require.Equal(t, 1, eval[int](jon, `window.prints`))
			jon.prefer("print", "light")
			defer jon.prefer("", "light")
			printed := strings.Split(strings.TrimSpace(jon.text()), "\n")
			require.Equal(t, "Acme Contacts recovery codes", printed[0])
			require.Contains(t, printed, "Account: jon@brook.example")
			lines := slices.DeleteFunc(printed, func(line string) bool { return line == "" })
			require.Len(t, lines, 3+len(codes), "nothing else must be printed: %q", lines)
			return jon.text()
		}},
	} {
		jon.goTo("/2fa/setup")
		require.True(t, jon.disabled("Done"), "before %s", c.button)
		jon.reads("Download, print or copy your codes to continue")
		got := c.saved()
		for _, code := range codes {
			require.Contains(t, got, code, c.button)
		}
		require.False(t, jon.disabled("Done"), "after %s", c.button)
		jon.readsNot("Download, print or copy your codes to continue")
	}
	jon.press("Done")
	jon.reads("10 of 10 codes unused")
}

func TestS1_WithoutScript(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	jon := s.browser(t)
	jon.forbidScript()
	jon.logIn("jon@brook.example")
	jon.goTo("/2fa/")
	jon.press("Set up two-factor authentication")
	jon.press("Set up authenticator app")
	phone := jon.scan()
	jon.fill("Enter the 6-digit code from the app", phone.code())
	jon.press("Continue")

	require.Len(t, jon.codes(), 10)
	require.False(t, jon.offers("Copy"), "buttons that need a script must not be shown")
	require.False(t, jon.offers("Print"))
	jon.savedCodes()

	// Without a script the user ticks a box to confirm that the codes are saved.
	// The browser itself requires the box.
	require.True(t, eval[bool](jon, `document.querySelector('[data-done]').matches(':invalid')`))
	jon.click("Done")
	jon.at("/2fa/setup")
	jon.click("I’ve saved, printed or written down my recovery codes")
	jon.press("Done")
	jon.at("/2fa/")
	jon.reads("10 of 10 codes unused")

	again := s.browser(t) // the first one has just given a proof
	again.forbidScript()
	again.logIn("jon@brook.example")
	again.at("/2fa/challenge")
	again.fill("6-digit code", phone.code())
	again.press("Continue")
	again.at("/contacts")
}

func TestS1_RequiredSetup(t *testing.T) {
	t.Parallel()
	inEachBrowserAtLength(t, func(t *testing.T, in *engine) {
		s := in.newSite(t)
		hana := s.person(t)
		hana.goTo("/members")
		hana.at("/login")
		hana.fill("Email", "hana@summit.example")
		hana.fill("Password", "demo-boat-sails-far")
		hana.press("Sign in")
		hana.reads("Check your email") // the strongest proof that she can give comes first
		hana.goTo(s.mailedLink("hana@summit.example"))
		hana.press("Sign in")

		hana.at("/2fa/setup")
		hana.reads("Your account requires two-factor authentication")
		hana.goTo("/contacts")
		hana.at("/2fa/setup") // no other page is open to her
		hana.press("Set up authenticator app")
		hana.reads("Step 1 of 2")
		require.Len(t, hana.codes(), 10, "recovery codes come first")
		require.True(t, hana.disabled("Next"))
		require.Len(t, hana.savedCodes(), 10)
		hana.press("Next")

		hana.reads("Step 2 of 2")
		phone := hana.scan()
		hana.fill("Enter the 6-digit code from the app", phone.code())
		hana.press("Confirm")
		hana.reads("Two-factor authentication is on")
		hana.press("Continue")
		hana.at("/members") // the page that she asked for at first
		hana.reads("gus@summit.example")
	})
}

func TestS12_SingleRecoveryCode(t *testing.T) {
	t.Parallel()
	s := newSite(t, "-recovery-codes", "1")
	jon := s.browser(t)
	jon.logIn("jon@brook.example")
	jon.goTo("/2fa/")
	jon.press("Set up two-factor authentication")
	jon.press("Set up authenticator app")
	jon.fill("Enter the 6-digit code from the app", jon.scan().code())
	jon.press("Continue")
	jon.reads("Save your recovery code\n")
	require.True(t, jon.disabled("Done"))
	codes := jon.savedCodes()
	require.Len(t, codes, 1)
	jon.press("Done")
	jon.reads("1 of 1 codes unused")

	again := s.browser(t) // the first one has just given a proof
	again.logIn("jon@brook.example")
	again.press("Use a recovery code")
	again.fill("Recovery code", codes[0])
	again.press("Continue")
	again.reads("no codes left")
}
