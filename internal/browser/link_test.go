package browser

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
)

func TestS4_EmailLink(t *testing.T) {
	t.Parallel()
	inEachBrowserAtLength(t, func(t *testing.T, in *engine) {
		s := in.newSite(t)
		ada := s.person(t)
		ada.logIn("ada@harbor.example")
		ada.reads("Check your email")
		ada.reads("a•••@harbor.example")
		ada.goTo("/contacts")
		ada.at("/2fa/challenge")
		link := s.mailedLink("ada@harbor.example")

		// A mail scanner opens the link first. The link stays valid.
		for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodGet} {
			request, err := http.NewRequest(method, link, nil)
			require.NoError(t, err)
			answer, err := http.DefaultClient.Do(request)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			require.Equal(t, http.StatusOK, answer.StatusCode)
		}

		// The mail program opens a second tab. After the button is pressed there, the waiting tab continues.
		mail := ada.newTab()
		mail.goTo(link)
		mail.reads("Select the button to finish signing in")
		mail.press("Sign in")
		mail.at("/contacts")
		ada.until(`location.pathname === '/contacts'`)
		ada.reads("Avery Sample")

		// Opening the link again is harmless and offers no button.
		mail.goTo(link)
		mail.reads("You’re already signed in")
		require.False(t, mail.offers("Sign in"))
		stranger := s.person(t)
		stranger.goTo(link)
		stranger.reads("Open this link in the other browser")
	})
}

// The mail is read on a phone. The user types its code in the browser in which they
// sign in.
func TestS4_MailedCode(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithSMTP(t, func(c *app.Config) { c.MailedCodes = true })
	ada, phone := s.browser(t), s.browser(t)
	ada.logIn("ada@harbor.example")
	ada.reads("We emailed a link and a code to a•••@harbor.example")
	ada.reads("Waiting for you to open the link")
	phone.goTo(s.mailedLink("ada@harbor.example"))
	phone.reads("Is there a code in the email?")

	code := s.mailedCode("ada@harbor.example")
	ada.fill("6-digit code", "000 000")
	ada.press("Continue")
	ada.reads("That code did not work")
	ada.fill("6-digit code", code)
	ada.press("Continue")
	ada.at("/contacts")
	phone.goTo("/contacts")
	phone.at("/login")

	// Five wrong codes lock codes, but the link of the next mail works.
	clock.Add(time.Hour)
	other := s.browser(t)
	other.logIn("ada@harbor.example")
	for _, wrong := range []string{"000000", "000001", "000002", "000003", "000004"} {
		other.fill("6-digit code", wrong)
		other.press("Continue")
	}
	other.reads("We accept codes from an email again in 1 minute")
	require.False(t, other.offers("Continue"))
	other.goTo(s.mailedLink("ada@harbor.example"))
	other.press("Sign in")
	other.at("/contacts")
}

func TestS4_LinkInAnotherBrowser(t *testing.T) {
	t.Parallel()
	inEachBrowserAtLength(t, func(t *testing.T, in *engine) {
		s := in.newSite(t)
		ada, phone := s.person(t), s.person(t)
		ada.logIn("ada@harbor.example")
		link := s.mailedLink("ada@harbor.example")

		phone.goTo(link)
		phone.reads("Open this link in the other browser")
		phone.reads("It’s still valid")
		require.False(t, phone.offers("Sign in"), "there must be no button that could use up the link")
		phone.goTo("/contacts")
		phone.at("/login")

		// A browser in which another user has typed their password shows a button,
		// but the link is not valid there either.
		ben := s.person(t)
		ben.logIn("ben@harbor.example")
		ben.goTo(link)
		ben.press("Sign in")
		ben.reads("This link is no longer valid")
		ben.goTo("/contacts")
		ben.at("/2fa/challenge")

		ada.goTo(link)
		ada.press("Sign in")
		ada.at("/contacts")
	})
}

func TestS4_LinkWithoutScript(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.browser(t)
	ada.forbidScript()
	ada.logIn("ada@harbor.example")
	ada.readsNot("Waiting for you")
	mail := ada.newTab()
	mail.goTo(s.mailedLink("ada@harbor.example"))
	mail.press("Sign in")
	ada.press("I opened the link")
	ada.at("/contacts")
}

func TestS4_SendLinkAgain(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithClock(t)
	ada := s.browser(t)
	ada.logIn("ada@harbor.example")
	first := s.mailedLink("ada@harbor.example")

	ada.press("Email me a new link")
	ada.reads("We can send the next link in 1 minute")
	require.Equal(t, first, s.mailedLink("ada@harbor.example"), "no email may be sent yet")
	clock.Add(time.Minute)
	ada.press("Email me a new link")
	second := s.mailedLink("ada@harbor.example")
	require.NotEqual(t, token(t, first), token(t, second))

	ada.goTo(first)
	ada.press("Sign in")
	ada.reads("Open the newest email")
	ada.goTo(second)
	ada.press("Sign in")
	ada.at("/contacts")
}

func token(t *testing.T, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	require.NoError(t, err)
	return u.Query().Get("token")
}
