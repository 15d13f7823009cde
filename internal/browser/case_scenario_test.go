package browser

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Scenarios in which a user has lost every factor, with the support staff of the
// product. Each mail goes through an SMTP server.

const (
	jon = "jon@brook.example"
	ida = "ida@brook.example" // owner of the account of jon

	finn = "finn@meadow.example"
	eva  = "eva@meadow.example" // owner of the account of finn

	calledBack = "called back at the number on file"
)

// staff opens the page of a member of staff about jon.
func (s *site) staff(t *testing.T, name string) *chromiumTab {
	t.Helper()
	b := s.browser(t)
	b.goTo("/dev/support?" + url.Values{"email": {jon}, "staff": {name}}.Encode())
	return b
}

// act presses a button of that page.
func (b *tab) act(button string) {
	b.t.Helper()
	b.fill("How did you verify who is asking?", calledBack)
	b.press(button)
}

// openCase opens a case as Sam, and returns the link that jon was mailed.
func (s *site) openCase(t *testing.T) (sam *chromiumTab, link string) {
	t.Helper()
	sam = s.staff(t, "Sam")
	sam.act("Open a case")
	sam.reads("The case is open")
	for _, m := range slices.Backward(s.sent(jon)) {
		if link = regexp.MustCompile(`http://\S+/2fa/case\?token=\S+`).FindString(m.Text); link != "" {
			return sam, link
		}
	}
	t.Fatal("no mail has the link")
	return nil, ""
}

func (s *site) subjects(to string) (list []string) {
	for _, m := range s.sent(to) {
		list = append(list, m.Subject)
	}
	return list
}

// Jon has lost every factor. Support resets him after three days, and he sets up a
// new app with a link in his own mailbox.
func TestS8_SupportCaseAfterThreeDays(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s, clock := newSiteWithSMTP(t)
	old := s.browser(t)
	old.logIn(jon)
	phone, _ := old.setUpApp()
	clock.Add(time.Hour)
	sam, _ := s.openCase(t)
	sam.look("s8-staff-open", "Support")
	require.Contains(t, s.newest(jon).Subject, "Support was asked to reset two-factor authentication")
	require.Equal(t, "Support was asked to reset a member at Acme Contacts", s.newest(ida).Subject, "the admins may know whether it is true")
	require.NotContains(t, s.newest(ida).Text, "/2fa/case", "only the user has the link")

	clock.Add(72*time.Hour - time.Minute)
	nora := s.staff(t, "Nora")
	nora.act("Approve")
	nora.reads("Approved. One more approval by somebody else resets the user.")
	require.Contains(t, s.newest(jon).Subject, "approved a reset")
	clock.Add(time.Minute)
	sam.act("Approve")
	sam.reads("opened case")
	sam.reads("cannot approve it")
	nora.act("Approve")
	nora.reads("The user was reset.")
	require.Contains(t, s.newest(jon).Subject, "Two-factor authentication reset")
	old.goTo("/contacts")
	old.at("/login") // every session has ended

	fresh := s.browser(t)
	fresh.logIn(jon)
	fresh.goTo("/2fa/setup?start=1")
	fresh.press("Set up authenticator app")
	fresh.reads("Check your spam folder")
	fresh.goTo(s.mailedLink(jon))
	fresh.press("Yes, it’s me")
	next, _ := fresh.enrollApp("/2fa/")
	require.NotEqual(t, phone.secret(), next.secret())
	clock.Add(time.Minute)
	again := s.browser(t)
	again.logIn(jon)
	again.fill("6-digit code", phone.code())
	again.press("Continue")
	again.reads("That code did not work")
	again.fill("6-digit code", next.code())
	again.press("Continue")
	again.at("/contacts")
}

// Somebody has talked to support. Jon opens the link in the mail, in a browser in
// which he is not signed in, and ends the case. The scanner that opened the link
// before him has not.
func TestS8_SupportCaseEndedByTheLink(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s, clock := newSiteWithSMTP(t)
	laptop := s.browser(t)
	laptop.logIn(jon)
	laptop.setUpApp()
	clock.Add(time.Hour)
	_, link := s.openCase(t)
	for range 2 {
		answer, err := http.Get(link)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Contains(t, string(body), "It wasn’t me: stop it")
	}

	mobile := s.browser(t)
	mobile.goTo(link)
	mobile.look("s8-case-link", "Somebody asked Acme Contacts support to reset your two-factor authentication")
	mobile.reads("Nothing changes before")
	mobile.press("It wasn’t me: stop it")
	mobile.look("s8-case-stopped", "The reset was stopped")
	require.Contains(t, s.newest(jon).Subject, "was stopped")
	require.Contains(t, s.newest(ida).Subject, "was stopped")
	mobile.press("Continue")
	mobile.at("/login")
	mobile.chromium.forgive()
	mobile.goTo(link)
	mobile.look("s8-case-over", "This request to support is over")
	mobile.chromium.forgive() // the status 410

	clock.Add(72 * time.Hour)
	nora := s.staff(t, "Nora")
	nora.reads("There is no open case.")
	laptop.goTo("/contacts")
	laptop.at("/login") // the session has expired by now, but not because of the case
}

// Without script and without cookies, the button works, too.
func TestS8_CaseLinkWithoutScript(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithSMTP(t)
	laptop := s.browser(t)
	laptop.logIn(jon)
	laptop.setUpApp()
	clock.Add(time.Hour)
	_, link := s.openCase(t)
	mobile := s.browser(t)
	mobile.forbidScript()
	mobile.goTo(link)
	mobile.press("It wasn’t me: stop it")
	mobile.reads("The reset was stopped")
}

// Jon is signed in while somebody talks to support. The product says so on its own
// pages, and he ends the case there.
func TestS8_SupportCaseEndedInALiveSession(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s, clock := newSiteWithSMTP(t)
	laptop := s.browser(t)
	laptop.logIn(jon)
	laptop.setUpApp()
	clock.Add(time.Hour)
	sam, _ := s.openCase(t)
	laptop.goTo("/contacts")
	laptop.look("s8-banner", "Contacts")
	laptop.reads("Support was asked to reset your two-factor authentication")
	laptop.goTo("/2fa/")
	laptop.look("s8-settings", "Two-factor authentication")
	laptop.goTo("/contacts")
	laptop.press("Check the request")
	laptop.at("/2fa/asked")
	laptop.press("No, stop it")
	laptop.reads("The reset was stopped")
	laptop.press("Continue")
	laptop.at("/contacts")
	laptop.readsNot("Support was asked")
	sam.act("Cancel the case")
	sam.reads("There is no open case.")
	sam.chromium.forgive() // the status 409
}

// Jon finds his recovery codes. The login suspends the case until he says that it
// was his.
func TestS8_SupportCaseSuspendedByALogin(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s, clock := newSiteWithSMTP(t)
	laptop := s.browser(t)
	laptop.logIn(jon)
	_, codes := laptop.setUpApp()
	clock.Add(time.Hour)
	s.openCase(t)
	clock.Add(time.Hour)
	b := s.browser(t)
	b.logIn(jon)
	b.press("Use a recovery code")
	b.fill("Recovery code", codes[2])
	b.press("Continue")
	b.look("s8-asked", "Did you ask Acme Contacts support to reset your two-factor authentication?")
	b.press("Decide later")
	b.reads("9 codes left")

	clock.Add(72 * time.Hour)
	nora := s.staff(t, "Nora")
	nora.look("s8-staff-suspended", "Support")
	nora.act("Approve")
	nora.reads("is suspended, because user")
	nora.chromium.forgive() // the status 409
	late := s.browser(t)
	late.logIn(jon)
	late.press("Use a recovery code")
	late.fill("Recovery code", codes[3])
	late.press("Continue")
	late.press("Yes, that was me")
	late.look("s8-confirmed", "Thank you for confirming")
	nora.act("Approve")
	nora.reads("The user was reset.")
	late.goTo("/contacts")
	late.at("/login")
}

// Finn reports his phone as lost from the page that asks for its code. The report
// opens nothing. He signs in with a recovery code and sets up a new phone, which ends
// the report.
func TestS8_LostDevice(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s, clock := newSiteWithSMTP(t)
	laptop := s.browser(t)
	laptop.logIn(finn)
	laptop.openMailedLink(finn)
	laptop.goTo("/2fa/setup?start=1&method=totp")
	laptop.press("Set up authenticator app")
	codes := laptop.savedCodes()
	laptop.press("Next")
	old := laptop.scan()
	laptop.fill("Enter the 6-digit code from the app", old.code())
	laptop.press("Confirm")
	laptop.press("Continue")
	clock.Add(time.Hour)
	laptop.signOut()
	laptop.logIn(finn)
	laptop.click("Remember this browser for 30 days\nWe won’t ask for a second step here. Don’t use this on a shared device.")
	laptop.fill("6-digit code", old.code())
	laptop.press("Continue")
	laptop.signOut()

	clock.Add(time.Hour)
	b := s.browser(t)
	b.logIn(finn)
	b.press("Get help signing in")
	b.look("s8-help", "Get help signing in")
	b.press("I lost my device")
	b.look("s8-lost", "Lost your device?")
	b.press("Go back")
	b.at("/2fa/challenge")
	b.press("Get help signing in")
	b.press("I lost my device")
	b.press("Report it lost")
	b.at("/2fa/challenge")
	b.reads("Device reported lost")
	b.look("s8-lost-reported", "Enter your code")
	require.Equal(t, "Device reported lost for your Acme Contacts account", s.newest(finn).Subject)
	require.Equal(t, "A member at Acme Contacts reported a device as lost", s.newest(eva).Subject)
	laptop.logIn(finn)
	laptop.at("/2fa/challenge") // no longer remembered

	b.press("Use a recovery code")
	b.fill("Recovery code", codes[0])
	b.press("Continue")
	b.reads("Lost your phone or app?")
	b.goTo("/2fa/")
	b.look("s8-lost-settings", "Two-factor authentication")
	b.reads("Your device was reported lost on")
	b.press("Set up a new phone")
	b.press("Set up authenticator app")
	fresh := b.scan()
	b.fill("Enter the 6-digit code from the app", fresh.code())
	b.press("Confirm")
	b.at("/2fa/")
	b.readsNot("Your device was reported lost on")
	require.True(t, slices.Contains(s.subjects(eva), "A lost device or a new one is in use by a member at Acme Contacts"))

	clock.Add(time.Minute)
	laptop.logIn(finn)
	laptop.fill("6-digit code", old.code())
	laptop.press("Continue")
	laptop.reads("That code did not work")
}

// Somebody else has Finn's password. Support ends his sessions, his remembered
// browser and his fresh proof with one button. His factor stays.
func TestS15_RevokeEverywhere(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithSMTP(t)
	laptop := s.browser(t)
	laptop.logIn(finn)
	laptop.openMailedLink(finn)
	laptop.goTo("/2fa/setup?start=1&method=totp")
	phone := laptop.enrollRequiredApp()
	laptop.press("Continue")
	clock.Add(time.Hour)
	home := s.browser(t)
	home.logIn(finn)
	home.click("Remember this browser for 30 days\nWe won’t ask for a second step here. Don’t use this on a shared device.")
	home.fill("6-digit code", phone.code())
	home.press("Continue")
	home.signOut()
	home.logIn(finn)
	home.at("/contacts") // remembered
	clock.Add(time.Hour)
	laptop.goTo("/contacts")
	laptop.press("Export as CSV")
	laptop.reads("Confirm it’s you") // what follows ends the challenge, too

	sam := s.browser(t)
	sam.goTo("/dev/support?" + url.Values{"email": {finn}, "staff": {"Sam"}}.Encode())
	sam.act("Sign out everywhere")
	sam.reads("The user is signed out everywhere, and no browser is remembered.")
	laptop.fill("6-digit code", phone.code())
	laptop.press("Continue")
	require.NotEqual(t, "/contacts", eval[string](laptop, `location.pathname`))
	laptop.chromium.forgive()
	for _, b := range []*chromiumTab{laptop, home} {
		b.goTo("/contacts")
		b.at("/login")
	}
	clock.Add(time.Minute)
	home.logIn(finn)
	home.at("/2fa/challenge") // no longer remembered
	home.fill("6-digit code", phone.code())
	home.press("Continue")
	home.at("/contacts")
}
