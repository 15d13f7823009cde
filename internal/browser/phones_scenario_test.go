package browser

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
)

var linkInInvitation = regexp.MustCompile(`http://\S+/invite/\S+`)

// invite lets an admin invite somebody, who joins the account.
func (b *tab) invite(guest *tab, name, email string) {
	b.t.Helper()
	b.goTo("/members")
	b.fill("Email", email)
	b.press("Send invitation")
	b.reads("Invitation sent")
	guest.goTo(linkInInvitation.FindString(guest.newest(email).Text))
	guest.fill("Your name", name)
	guest.fill("Choose a password", app.DemoPassword)
	guest.press("Join")
}

// The owner turns text messages on and enters a number for each member. Each
// member is shown the end of it after the mailed link, confirms it by a code, and
// is asked for a code by text message at the next sign-in.
func TestS9_OwnerEntersTheNumbers(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s, clock := newSiteWithSMTP(t)
	ida := s.browser(t)
	ida.logIn("ida@brook.example")
	phone, _ := ida.setUpApp()
	for name, email := range map[string]string{"Kim Guest": "kim@brook.example", "Lou Guest": "lou@brook.example"} {
		guest := s.browser(t)
		ida.invite(guest.self(), name, email)
		guest.at("/contacts")
	}
	clock.Add(10 * time.Minute)
	ida.setPolicy(phone, map[string]string{"[value=sms]": "yes"}, func() { ida.reads("Jon Demo") })

	ida.press("Members")
	ida.press("Phone numbers")
	ida.look("s9-list", "Phone numbers of Brook")
	ida.fill("Email address and number, one member on each line", "jon@brook.example, 202 555 0104\nkim@brook.example, 12345\nlou@brook.example, +1 202 555 0106\n")
	ida.choose("Country of numbers without a code", "US")
	ida.fill("Where the list comes from", "HR list")
	ida.press("Enter numbers")
	ida.reads("2 entered, 1 not entered")
	ida.look("s9-results", "Phone numbers of Brook")
	rows := ida.rows()
	require.Equal(t, []string{"•••• 04", "Entered", "The member confirms it at the next sign-in."}, rows["jon@brook.example"][1:])
	require.Equal(t, []string{"12345", "Not a phone number"}, rows["kim@brook.example"][1:3])
	require.Equal(t, "kim@brook.example, 12345", eval[string](ida, `document.querySelector('textarea').value`), "the form keeps the line to correct")
	ida.fill("Email address and number, one member on each line", "kim@brook.example, 202 555 0105")
	ida.press("Enter numbers")
	ida.reads("1 entered")

	// Jon signs in. Nothing was texted until he asks for it.
	const jonsPhone = "+12025550104"
	jon := s.browser(t)
	jon.logIn("jon@brook.example")
	jon.look("s9-link", "Check your email")
	jon.readsNot("04")
	jon.openMailedLink("jon@brook.example")
	jon.reads("An admin of your account entered this number for you: •••• 04. Is it yours?")
	jon.readsNot("555")
	require.Empty(t, s.sent(jonsPhone))
	jon.look("s9-offer", "Set up two‑factor authentication")
	jon.click("No, use a different number")
	jon.look("s9-offer-other", "Set up two‑factor authentication")
	jon.press("Yes, text me a code")
	jon.savedCodes()
	jon.press("Next")
	require.Len(t, s.sent(jonsPhone), 1)
	jon.fill("6-digit code from the text message", s.textedCode(jonsPhone))
	jon.press("Confirm")
	jon.reads("Two-factor authentication is on")
	jon.press("Continue")
	jon.at("/contacts")

	// The next sign-in asks for a code by text message.
	clock.Add(time.Hour)
	laptop := s.browser(t)
	laptop.logIn("jon@brook.example")
	laptop.reads("We texted a code to •••• 04")
	laptop.fill("6-digit code", s.textedCode(jonsPhone))
	laptop.press("Continue")
	laptop.at("/contacts")

	// The owner replaces Lou's number while Lou looks at it, without script.
	const right = "+12025550107"
	lou := s.browser(t)
	lou.logIn("lou@brook.example")
	lou.openMailedLink("lou@brook.example")
	lou.reads("•••• 06")
	lou.allowScript(false)
	defer lou.allowScript(true)
	lou.goTo("/2fa/setup")
	ida.goTo("/members/phones")
	ida.reads("Confirm it’s you")
	ida.fill("6-digit code", phone.code())
	ida.press("Continue")
	ida.at("/members/phones")
	ida.fill("Email address and number, one member on each line", "lou@brook.example, "+right)
	ida.fill("Where the list comes from", "corrected")
	ida.press("Enter numbers")
	ida.reads("1 entered")
	lou.press("Yes, text me a code")
	lou.reads("The number for you has changed")
	lou.reads("•••• 07")
	require.Empty(t, s.sent("+12025550106"))
	lou.press("Yes, text me a code")
	require.Len(t, s.sent(right), 1)
}
