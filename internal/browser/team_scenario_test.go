package browser

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Scenarios in which the admins of an account act, on the product, with several
// people in browsers of their own.

// enterWithApp signs a user in to an account that requires an authenticator app,
// and enrolls the app.
func (b *tab) enterWithApp(email string) *phone {
	b.t.Helper()
	b.logIn(email)
	b.openMailedLink(email)
	b.goTo("/2fa/setup?start=1&method=totp")
	return b.enrollRequiredApp()
}

// openMailedLink opens the newest email link in this browser.
func (b *tab) openMailedLink(email string) {
	b.t.Helper()
	b.goTo(b.mailedLink(email))
	b.press("Sign in")
}

// enrollRequiredApp enrolls an authenticator app in the order for a required
// enrollment, and ends on the page that says that it is done.
func (b *tab) enrollRequiredApp() *phone {
	b.t.Helper()
	b.press("Set up authenticator app")
	b.savedCodes()
	b.press("Next")
	p := b.scan()
	b.fill("Enter the 6-digit code from the app", p.code())
	b.press("Confirm")
	b.reads("Two-factor authentication is on")
	return p
}

// signInWith signs in at the identity provider of an account.
func (b *tab) signInWith(account, name string) {
	b.t.Helper()
	b.goTo("/sso")
	b.fill("Account", account)
	b.press("Continue")
	b.at("/dev/idp/" + account)
	b.pressOn(`[...document.querySelectorAll('button.person')].find((e) => e.innerText.includes('` + name + `'))`)
}

// rows returns the text of the cells of the table on the page, by the name in
// the first cell.
func (b *tab) rows() map[string][]string {
	b.t.Helper()
	cells := eval[[][]string](b, `[...document.querySelectorAll('tbody tr')].map((r) => [...r.cells].map((c) => c.innerText.trim()))`)
	byName := map[string][]string{}
	for _, row := range cells {
		name, _, _ := strings.Cut(row[0], "\n")
		byName[name] = row
	}
	return byName
}

// An admin sees which members have which kind of second factor, and when each
// last signed in to this account.
func TestS7_WhoHasWhat(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s, clock := newSiteWithClock(t)
	finn := s.browser(t)
	finn.enrollPhone("finn@meadow.example", "202 555 0102")
	finnIn := clock.Now().UTC()
	clock.Add(24 * time.Hour)
	cleo := s.browser(t)
	cleo.signInWith("meadow", "Cleo Demo")
	cleo.at("/contacts") // not asked for anything
	cleoIn := clock.Now().UTC()
	clock.Add(24 * time.Hour)
	eva := s.browser(t)
	phone := eva.enterWithApp("eva@meadow.example")
	eva.press("Continue")
	evaIn := clock.Now().UTC()

	eva.press("Members")
	eva.look("host-members", "Members of Meadow")
	eva.pressOn(`document.querySelector('a[href="/members/finn/manage"]')`)
	eva.look("host-member", "Finn Demo")
	eva.press("All members")
	eva.press("Sign-in security")
	eva.at("/2fa/team")
	eva.until(`document.querySelector('[data-count=all]').textContent === '3'`)
	eva.look("s7-team", "Team sign-in security")
	rows := eva.rows()
	require.Len(t, rows, 3, "the members of this account, and no others")
	const day = "2 January 2006"
	for name, want := range map[string][]string{
		"Eva Demo":  {"On", "Authenticator app", "Owner", evaIn.Format(day)},
		"Finn Demo": {"Weak", "Phone", "Member", finnIn.Format(day)},
		"Cleo Demo": {"SSO", "Single sign-on", "Member", cleoIn.Format(day)},
	} {
		require.Equal(t, want, rows[name][1:5], name)
	}
	eva.pressOn(`document.querySelector('a[href$="/member?id=finn"]')`)
	eva.look("s7-member", "Finn Demo")
	eva.readsNot("555")
	eva.readsNot("•••")

	// The file has the same, for a spreadsheet.
	eva.press("Team sign-in security")
	file, err := csv.NewReader(strings.NewReader(eva.download("Download CSV"))).ReadAll()
	require.NoError(t, err)
	require.Len(t, file, 4)

	// A later sign-in moves the date. One to another account does not.
	clock.Add(24 * time.Hour)
	clock.Add(time.Minute)
	other := s.browser(t)
	other.signInWith("harbor", "Cleo Demo")
	other.at("/contacts")
	again := s.browser(t)
	again.logIn("finn@meadow.example")
	again.fill("6-digit code", s.textedCode("+12025550102"))
	again.press("Continue")
	again.at("/contacts")
	eva.logIn("eva@meadow.example")
	eva.fill("6-digit code", phone.code())
	eva.press("Continue")
	eva.goTo("/2fa/team")
	rows = eva.rows()
	require.Equal(t, clock.Now().UTC().Format(day), rows["Finn Demo"][4])
	require.Equal(t, cleoIn.Format(day), rows["Cleo Demo"][4])

	// A member of the account who is no admin sees no list.
	again.goTo("/members")
	require.False(t, again.offers("Sign-in security"))
	again.goTo("/2fa/team")
	again.readsNot("Cleo Demo")
	again.look("s7-refused", "Only an admin can do this")
}
