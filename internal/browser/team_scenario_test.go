package browser

import (
	"encoding/csv"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
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

// A member who is locked out signs in with a recovery code and sets up a new app.
// Wrong codes of somebody else do not stand in the way.
func TestS8_RecoveryCode(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithSMTP(t)
	jon := s.browser(t)
	jon.logIn("jon@brook.example")
	old, codes := jon.setUpApp()
	jon.signOut()
	attacker := s.browser(t)
	attacker.logIn("jon@brook.example")
	for _, code := range []string{"000000", "000001", "000002", "000003", "000004"} {
		attacker.fill("6-digit code", code)
		attacker.press("Continue")
	}
	attacker.reads("You can try again in 1 minute")

	clock.Add(time.Hour)
	b := s.browser(t)
	b.logIn("jon@brook.example")
	b.press("Use a recovery code")
	b.fill("Recovery code", codes[0])
	b.press("Continue")
	b.reads("9 codes left")
	b.look("s8-recovered", "You’re signed in")
	b.press("Set up a new phone")
	b.press("Set up authenticator app")
	fresh := b.scan()
	b.fill("Enter the 6-digit code from the app", fresh.code())
	b.press("Confirm")
	require.Contains(t, s.newest("jon@brook.example").Text, "authenticator app")
	clock.Add(time.Minute)
	again := s.browser(t)
	again.logIn("jon@brook.example")
	again.fill("6-digit code", old.code())
	again.press("Continue")
	again.reads("That code did not work")
	again.fill("6-digit code", fresh.code())
	again.press("Continue")
	again.at("/contacts")
}

// An admin resets a member who has lost everything. The sessions of the member end,
// the member and the other admins are told, and a new app needs the password and a
// link to the member's own address.
func TestS8_Reset(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithSMTP(t)
	gus, hana := s.browser(t), s.browser(t)
	own := gus.enterWithApp("gus@summit.example")
	old := hana.enterWithApp("hana@summit.example")
	hana.press("Continue")
	hana.at("/contacts")
	gus.goTo("/members/finn/role?role=admin")
	gus.press("Make admin")
	clock.Add(time.Hour)
	lost := s.browser(t)
	lost.logIn("hana@summit.example") // on a new device, and the phone is gone
	lost.reads("Open your authenticator app")

	gus.goTo("/members/hana/manage")
	gus.press("Details")
	gus.look("s8-member", "Hana Demo")
	gus.pressOn(`document.querySelector('a[href="/2fa/team/reset?id=hana"]')`)
	gus.look("s8-reset", "Reset two-factor authentication for Hana Demo?")
	gus.illustrate("reset")
	gus.fill("Reason", "Lost the phone, asked in the office")
	gus.press("Reset two-factor authentication")
	gus.reads("Reset a member’s two-factor authentication")
	hana.press("Members") // nothing has happened yet
	hana.at("/members")
	gus.fill("6-digit code", own.code())
	gus.click("Continue") // the next page sends the form by itself
	gus.until(`document.body.innerText.includes('Two-factor authentication reset')`)
	gus.at("/2fa/team/member")
	gus.look("s8-done", "Hana Demo")
	gus.reads("there is nothing to reset")

	hana.press("Contacts")
	hana.at("/login")
	require.Contains(t, s.newest("hana@summit.example").Subject, "Two-factor authentication reset")
	require.NotContains(t, s.newest("hana@summit.example").Text, "/2fa/link")
	require.Contains(t, s.newest("finn@meadow.example").Subject, "Two-factor authentication of a member reset")
	require.Contains(t, s.newest("finn@meadow.example").Text, "Member: hana@summit.example")

	// The code page from before leads nowhere, and so does the password alone.
	lost.fill("6-digit code", old.code())
	lost.press("Continue")
	lost.reads("took too long")
	lost.logIn("hana@summit.example")
	lost.look("s8-link", "Check your email")
	lost.goTo("/2fa/setup?start=1")
	lost.at("/2fa/challenge")
	lost.openMailedLink("hana@summit.example")
	lost.at("/2fa/setup")
	fresh := lost.enrollRequiredApp()
	lost.press("Continue")
	lost.at("/contacts")
	require.NotEqual(t, old.secret(), fresh.secret())

	clock.Add(time.Minute)
	again := s.browser(t)
	again.logIn("hana@summit.example")
	again.fill("6-digit code", old.code())
	again.press("Continue")
	again.reads("That code did not work")
	again.fill("6-digit code", fresh.code())
	again.press("Continue")
	again.at("/contacts")
	gus.goTo("/2fa/team")
	require.Equal(t, "On", gus.rows()["Hana Demo"][1])

	// The owner cannot be helped by anybody in the account.
	gus.pressOn(`document.querySelector('a[href$="/member?id=gus"]')`)
	gus.look("s8-self", "Gus Demo")
	gus.reads("You can’t reset yourself")
	gus.goTo("/2fa/team/reset?id=finn") // belongs to another account as well
	gus.look("s8-support", "Reset two-factor authentication")
	gus.reads("Only support can reset this member")
	require.False(t, gus.offers("Reset two-factor authentication"))
}

// A member who was removed and is added again enrolls a new app. The old one no
// longer works.
func TestS8_RemovedAndAddedAgain(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithSMTP(t)
	ben, dan := s.browser(t), s.browser(t)
	ben.logIn("ben@harbor.example")
	ben.openMailedLink("ben@harbor.example")
	dan.logIn("dan@harbor.example")
	dan.openMailedLink("dan@harbor.example")
	dan.goTo("/2fa/setup?start=1&method=totp")
	old, _ := dan.enrollApp("/2fa/")
	clock.Add(time.Hour)

	ben.goTo("/members/dan/manage")
	ben.press("Remove")
	ben.press("Remove member")
	ben.goTo(ben.mailedLink("ben@harbor.example")) // the proof of the login is too old
	ben.press("Yes, it’s me")
	ben.goTo("/members/dan/manage")
	ben.press("Remove")
	ben.press("Remove member")
	ben.reads("Dan Demo is no longer a member")
	dan.goTo("/contacts")
	dan.at("/login")
	require.Contains(t, s.newest("dan@harbor.example").Subject, "Two-factor authentication reset")
	require.Contains(t, s.newest("ada@harbor.example").Subject, "Two-factor authentication of a member reset")

	ben.fill("Email", "dan@harbor.example")
	ben.press("Send invitation")
	again := s.browser(t)
	again.goTo(regexp.MustCompile(`http://\S+/invite/\S+`).FindString(s.newest("dan@harbor.example").Text))
	again.fill("Your password", app.DemoPassword)
	again.press("Join")
	again.at("/2fa/challenge")
	again.readsNot("authenticator app")
	again.openMailedLink("dan@harbor.example")
	again.at("/contacts")
	again.goTo("/2fa/setup?start=1&method=totp")
	fresh, _ := again.enrollApp("/2fa/")

	clock.Add(time.Minute)
	later := s.browser(t)
	later.logIn("dan@harbor.example")
	later.fill("6-digit code", old.code())
	later.press("Continue")
	later.reads("That code did not work")
	later.fill("6-digit code", fresh.code())
	later.press("Continue")
	later.at("/contacts")
}

// A member exports all contacts. The admin sees who did it, what, when and from where,
// and downloads the same as a table. The member sees it in their own settings.
func TestS13_WhoExportedWhat(t *testing.T) {
	t.Parallel()
	nodeModules(t)
	s, clock := newSiteWithClock(t)
	ida, jon := s.browser(t), s.browser(t)
	ida.logIn("ida@brook.example")
	ida.at("/contacts")
	jon.logIn("jon@brook.example")
	phone, _ := jon.setUpApp()
	clock.Add(time.Hour)
	jon.goTo("/contacts")
	jon.press("Export as CSV")
	jon.fill("6-digit code", phone.code())
	require.NotEmpty(t, jon.download("Continue"))
	exported := clock.Now().UTC()
	clock.Add(2 * time.Minute)

	ida.goTo("/members")
	ida.press("Sign-in security")
	ida.press("Activity")
	ida.look("s13-activity", "Team sign-in security")
	ida.fill("Member", "jon@brook.example")
	ida.choose("Activity", "action")
	ida.press("Apply filters")
	rows := eval[[][]string](ida, `[...document.querySelectorAll('tbody tr')].map((r) => [...r.cells].map((c) => c.innerText.trim()))`)
	require.Len(t, rows, 1)
	require.Regexp(t, `^Done: Export contacts\s+Number: 12$`, rows[0][0])
	require.Equal(t, exported.Format("2 January 2006, 15:04 UTC"), rows[0][1])
	require.Equal(t, "jon@brook.example", rows[0][2])
	require.Regexp(t, `^(127\.0\.0\.1|::1)\s+Chrome on Linux$`, rows[0][4])
	ida.look("s13-filtered", "Team sign-in security")
	file, err := csv.NewReader(strings.NewReader(ida.download("Download CSV"))).ReadAll()
	require.NoError(t, err)
	require.Len(t, file, 2)
	row := map[string]string{}
	for i, name := range file[0] {
		row[name] = file[1][i]
		require.NotRegexp(t, `^[=+\-@]`, file[1][i], name)
	}
	require.Equal(t, []string{"action", "jon", "contacts.export", "12", "false", exported.Format(time.RFC3339)}, []string{row["type"], row["user"], row["detail"], row["count"], row["failed"], row["time"]})

	// A mistake in a field keeps the others.
	ida.goTo("/2fa/activity?type=action&from=2026-05-05&to=2026-05-04")
	ida.reads("Choose a last day")
	ida.look("s13-mistake", "Team sign-in security")

	jon.goTo("/2fa/")
	jon.reads("Done: Export contacts")
	jon.press("View all activity")
	jon.look("s13-history", "Recent security activity")
	jon.reads("Done: Export contacts")
	jon.goTo("/2fa/activity")
	jon.reads("Only an admin can do this")
}
