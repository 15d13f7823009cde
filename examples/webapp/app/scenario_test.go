package app_test

import (
	"encoding/csv"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
	"github.com/twofa-go/twofa/internal/engines"
	"github.com/twofa-go/twofa/twofatest"
)

// Scenarios of users, from the first page to the last. The IDs S01 to S15 are
// those of the scenarios that the library was designed for.

func TestScenario_S01_VoluntaryEnrollment(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	jon := s.as("jon@brook.example")
	require.Contains(t, jon.get("/settings").body, "Your account is protected by your password only")
	require.Contains(t, jon.get("/2fa/").body, "Set up two-factor authentication")

	jon.post("/2fa/setup?start=1", "/2fa/setup", "method", "totp")
	page := jon.get("/2fa/setup").body
	require.Contains(t, page, "data:image/svg", "the page contains the QR code")
	jon.scan("jon@brook.example")
	_, typed, _ := strings.Cut(s.uris["jon@brook.example"], "secret=")
	require.Contains(t, strings.ReplaceAll(page, " ", ""), typed[:32], "the page contains the key to enter by hand")

	require.Equal(t, http.StatusUnprocessableEntity, jon.post("/2fa/setup", "/2fa/setup/confirm", "code", "000000").status)
	require.Equal(t, "/2fa/setup", jon.post("/2fa/setup", "/2fa/setup/confirm", "code", s.code("jon@brook.example")).location)
	page = jon.get("/2fa/setup").body
	codes := shownCodes(page)
	require.Len(t, codes, 10)
	require.Contains(t, page, "data-done", "a script enables Done after the codes are saved")
	require.Contains(t, jon.get("/2fa/twofa.js").body, "disabled = true")
	require.ElementsMatch(t, codes, shownCodes(jon.get("/2fa/setup/codes.txt").body))

	// Nothing is active before Done, and Done needs the checkbox.
	require.Equal(t, "/contacts", s.browser().login("jon@brook.example").location)
	require.Equal(t, http.StatusUnprocessableEntity, jon.post("/2fa/setup", "/2fa/setup/saved").status)
	jon.post("/2fa/setup", "/2fa/setup/saved", "saved", "yes")
	require.Contains(t, jon.get("/settings").body, "10 of 10 unused")
	require.Equal(t, "/2fa/challenge", s.browser().login("jon@brook.example").location)
}

func TestScenario_S01_RequiredEnrollment(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	hana := s.browser()
	hana.get("/login?next=/members")
	require.Equal(t, "/2fa/challenge", hana.login("hana@summit.example").location, "the strongest proof available comes first")
	require.Equal(t, "/2fa/setup", hana.prove("hana@summit.example").location)
	require.Equal(t, "/2fa/setup", hana.get("/members").location, "no other page is open")

	require.Contains(t, hana.get("/2fa/setup").body, "Your account requires two-factor authentication")
	hana.post("/2fa/setup", "/2fa/setup", "method", "totp")
	page := hana.get("/2fa/setup").body
	require.Len(t, shownCodes(page), 10, "recovery codes come first")
	require.NotContains(t, page, "otpauth:")
	hana.post("/2fa/setup", "/2fa/setup/saved", "saved", "yes")
	hana.scan("hana@summit.example")
	got := hana.post("/2fa/setup", "/2fa/setup/confirm", "code", s.code("hana@summit.example"))
	require.Equal(t, "/2fa/done?next=%2Fmembers", got.location)
	require.Contains(t, hana.get(got.location).body, `href="/members">Continue`, "leads to the requested page")
	require.Contains(t, hana.get("/members").body, "gus@summit.example")
}

func TestScenario_S02_LoginWithCodes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	codes := s.as("jon@brook.example").enrollApp("jon@brook.example")

	b := s.browser()
	require.Equal(t, "/2fa/challenge", b.login("jon@brook.example").location)
	require.False(t, b.signedIn())
	require.Equal(t, "/contacts", b.prove("jon@brook.example").location)
	require.True(t, b.signedIn())

	for _, c := range []struct {
		name, code string
		want       int
	}{
		{"recovery code", codes[3], http.StatusSeeOther},
		{"used recovery code", codes[3], http.StatusUnprocessableEntity},
		{"lower case, without hyphens", strings.ToLower(strings.ReplaceAll(codes[4], "-", "")), http.StatusSeeOther},
	} {
		b := s.browser()
		b.login("jon@brook.example")
		require.Equal(t, c.want, b.post("/2fa/challenge", "/2fa/verify", "method", "recovery", "code", c.code).status, c.name)
		if c.want == http.StatusSeeOther {
			require.Contains(t, b.get("/2fa/recovered?next=/contacts").body, "codes left")
			require.Contains(t, b.get("/contacts").body, "You signed in with a recovery code")
		}
	}
	require.Contains(t, s.lastMessage("jon@brook.example", "recovery codes was used").Subject, "Recovery code used")
}

func TestScenario_S03_ViewAndRenewCodes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	jon := s.as("jon@brook.example")
	codes := jon.enrollApp("jon@brook.example")
	s.advance(time.Hour)

	asksForCode(t, jon.post("/2fa/revoke", "/2fa/codes"), "a fresh code is needed")
	jon.stepUp("jon@brook.example", twofa.ActionFactors)
	require.ElementsMatch(t, codes, shownCodes(jon.post("/2fa/revoke", "/2fa/codes").body))

	require.Equal(t, "/2fa/setup", jon.post("/2fa/revoke", "/2fa/codes/new").location)
	fresh := shownCodes(jon.get("/2fa/setup").body)
	require.Len(t, fresh, 10)
	b := s.browser()
	b.login("jon@brook.example")
	require.Equal(t, http.StatusUnprocessableEntity, b.post("/2fa/challenge", "/2fa/verify", "method", "recovery", "code", fresh[0]).status,
		"new codes are invalid until they are saved")
	jon.post("/2fa/setup", "/2fa/setup/saved", "saved", "yes")
	require.Equal(t, http.StatusUnprocessableEntity, b.post("/2fa/challenge", "/2fa/verify", "method", "recovery", "code", codes[0]).status,
		"the old codes are invalid")
	s.advance(11 * time.Second) // before, the same code gets the same answer
	require.Equal(t, http.StatusSeeOther, b.post("/2fa/challenge", "/2fa/verify", "method", "recovery", "code", fresh[0]).status)

	hidden := newSite(t, func(c *app.Config) { c.ViewableCodes = false })
	jon = hidden.as("jon@brook.example")
	jon.enrollApp("jon@brook.example")
	jon.stepUp("jon@brook.example", twofa.ActionFactors)
	require.Equal(t, http.StatusForbidden, jon.post("/2fa/revoke", "/2fa/codes").status, "codes are not viewable")
}

func TestScenario_S04_EmailLink(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada, other := s.browser(), s.browser()
	require.Contains(t, ada.follow(ada.login("ada@harbor.example")).body, "a•••@harbor.example")
	link := s.mailedLink("ada@harbor.example")

	// Another browser, such as on a phone, explains it and does not use up the
	// link.
	require.Contains(t, other.get(link).body, "Open this link in the other browser")
	other.get("/login")
	_, token, _ := strings.Cut(link, "token=")
	got := other.send2FA("/2fa/link", "token", token)
	require.Equal(t, http.StatusForbidden, got.status)
	require.Contains(t, got.body, "Open the link in the other browser")
	require.False(t, other.signedIn())
	require.False(t, ada.signedIn())
	for _, method := range []string{"HEAD", "GET", "GET"} { // mail scanners and previews
		require.Equal(t, http.StatusOK, s.browser().do(method, link, "").status)
	}

	require.Equal(t, "/contacts", ada.openLink(link).location)
	require.True(t, ada.signedIn())
	require.Contains(t, ada.get(link).body, "You’re already signed in")
	require.Contains(t, ada.get("/settings").body, "by password, sign-in link")
}

func TestScenario_S06_SSOIsNotAsked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.as("ben@harbor.example").enrollApp("ben@harbor.example")
	ben := s.browser()
	require.Equal(t, "/contacts", ben.get(ben.askProvider("harbor", "ben")).location)
	require.True(t, ben.signedIn())

	// Harbor's provider vouches only for Harbor.
	s.as("cleo@harbor.example").enrollApp("cleo@harbor.example")
	cleo := s.browser()
	cleo.get(cleo.askProvider("harbor", "cleo"))
	cleo.post("/contacts", "/switch", "account", "meadow")
	require.Equal(t, "/login?reason=sign_in_here", cleo.get("/contacts").location)
	require.Contains(t, cleo.get("/login").body, "asks you to sign in again")
	require.Contains(t, cleo.get("/settings").body, "Sign in to this account", "no circle, whatever the login page does")

	// Going back needs nothing. A password adds a first factor for Meadow, and
	// the one for Harbor stays.
	require.Equal(t, "/contacts", cleo.post("/login", "/switch", "account", "harbor").location)
	require.Contains(t, cleo.get("/contacts").body, "Harbor")
	cleo.post("/contacts", "/switch", "account", "meadow")
	require.Equal(t, "/2fa/challenge", cleo.login("cleo@harbor.example").location)
	require.Equal(t, "/contacts", cleo.prove("cleo@harbor.example").location)
	require.Contains(t, cleo.get("/contacts").body, "Meadow")
	require.Equal(t, "/contacts", cleo.post("/contacts", "/switch", "account", "harbor").location)
	require.Contains(t, cleo.get("/contacts").body, "Harbor")
}

// Harbor's provider must not change the password that opens Meadow, too.
func TestScenario_S06_SSOChangesNoPassword(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cleo := s.browser()
	cleo.get(cleo.askProvider("harbor", "cleo"))
	require.True(t, cleo.signedIn())
	got := cleo.post("/settings", "/settings/password", "current", app.DemoPassword, "password", "another long password")
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.Contains(t, got.body, "Sign in with your password")
	require.Contains(t, got.body, "/login?next=%2Fsettings")
}

// enrollPhone enrolls the phone number of a member of Meadow.
func (b *browser) enrollPhone(email, number string) {
	b.t.Helper()
	require.Equal(b.t, "/2fa/challenge", b.login(email).location)
	require.Equal(b.t, "/2fa/setup", b.prove(email).location)
	require.Equal(b.t, "/2fa/setup", b.post("/2fa/setup", "/2fa/setup", "method", "sms", "phone", number, "region", "US").location)
	require.Equal(b.t, "/2fa/setup", b.post("/2fa/setup", "/2fa/setup/saved", "saved", "yes").location)
	require.Equal(b.t, "/2fa/done?next=%2Fcontacts", b.post("/2fa/setup", "/2fa/setup/confirm", "code", b.textedCode("+1"+strings.ReplaceAll(number, " ", ""))).location)
}

// An admin resets a member who has lost everything. A member of two accounts is for
// support.
func TestScenario_S08_ResetByAnAdmin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	admin, member := s.as(ben), s.as(dan)
	admin.enrollApp(ben)
	member.enrollApp(dan)
	require.Contains(t, admin.get("/members/dan/manage").body, "help if they can’t sign in")
	require.Contains(t, admin.get("/2fa/team/member?id=dan").body, `href="/2fa/team/reset?id=dan"`)
	reset := func(id string) answer {
		return admin.post("/2fa/team/reset?id="+id, "/2fa/team/reset", "id", id, "reason", "asked in the office")
	}
	asksForCode(t, reset("dan"), "a fresh code is needed")
	require.True(t, member.signedIn())
	admin.stepUp(ben, twofa.ActionReset)
	require.Equal(t, "/2fa/team/member?id=dan", reset("dan").location)
	require.False(t, member.signedIn())
	require.Contains(t, s.lastMessage(dan, "were removed").Subject, "Two-factor authentication reset")
	require.Contains(t, s.lastMessage(ada, "of a member").Subject, "Two-factor authentication of a member reset")
	require.Empty(t, s.stored("dan").Factors)

	page := admin.get("/2fa/team/member?id=cleo").body
	require.Contains(t, page, "Only support can reset this member")
	require.Contains(t, page, "mailto:help@acme.example")
	require.NotContains(t, page, "meadow")
	require.Equal(t, http.StatusForbidden, reset("cleo").status)
}

func TestScenario_S09_TextMessages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	eva := s.browser()
	eva.enrollPhone("eva@meadow.example", "202 555 0101")

	// An unknown browser is asked for a code by text message.
	b := s.browser()
	require.Contains(t, b.follow(b.login("eva@meadow.example")).body, "•••• 01")
	got := b.post("/2fa/challenge", "/2fa/verify", "method", "sms", "code", s.textedCode("+12025550101"), "remember", "yes")
	require.Equal(t, "/contacts", got.location)
	b.post("/contacts", "/logout")
	require.Equal(t, "/contacts", b.login("eva@meadow.example").location, "a remembered browser is not asked")
	require.True(t, b.signedIn())
	require.Equal(t, "/2fa/challenge", s.browser().login("eva@meadow.example").location)

	// A change of number is confirmed by text message, and the old number is
	// notified.
	eva = b
	factor := idAfter(eva.get("/2fa/").body, "replaces=")
	change := []string{"method", "sms", "phone", "+12025550177", "replaces", factor}
	asksForCode(t, eva.post("/2fa/setup?start=1", "/2fa/setup", change...))
	eva.get("/2fa/confirm?action=factors")
	s.advance(6 * time.Minute)
	eva.post("/2fa/challenge", "/2fa/send", "method", "sms")
	require.Equal(t, http.StatusSeeOther, eva.post("/2fa/challenge", "/2fa/verify", "method", "sms", "code", s.textedCode("+12025550101")).status)
	s.advance(6 * time.Minute)
	require.Equal(t, "/2fa/setup", eva.post("/2fa/setup?start=1", "/2fa/setup", change...).location)
	code := s.textedCode("+12025550177")
	require.Contains(t, eva.get("/2fa/").body, "•••• 01", "the old number works until the new one is confirmed")
	require.Equal(t, "/2fa/", eva.post("/2fa/setup", "/2fa/setup/confirm", "code", code).location)
	require.Contains(t, eva.get("/2fa/").body, "•••• 77")
	require.Contains(t, s.lastMessage("+12025550101", "another phone").Text, "codes now go to another phone")
}

// idAfter returns the ID that follows word on a page.
func idAfter(page, word string) string {
	_, rest, _ := strings.Cut(page, word)
	return rest[:strings.IndexAny(rest, `"&`)]
}

func TestScenario_S10_ExportAsksEveryTime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.enter("eva@meadow.example")
	eva := s.browser()
	eva.login("eva@meadow.example")
	eva.prove("eva@meadow.example", "remember", "yes")
	eva.post("/contacts", "/logout")
	require.Equal(t, "/contacts", eva.login("eva@meadow.example").location, "a remembered browser")

	for range 2 {
		got := eva.post("/contacts", "/contacts/export")
		asksForCode(t, got)
		require.Contains(t, got.body, "Export contacts")
		_, main, _ := strings.Cut(got.body, "<main")
		token := csrfField.FindStringSubmatch(main)[1]
		held := heldField.FindStringSubmatch(got.body)[1]
		got = eva.do("POST", "/2fa/verify", form("csrf_token", token, "held", held, "method", "totp", "code", eva.code("eva@meadow.example")),
			"Content-Type", formType, "Sec-Fetch-Site", "same-origin")
		require.Contains(t, got.body, "Continue: <bdi>Export contacts</bdi>")
		require.Contains(t, got.body, `action="/contacts/export"`)
		sent := func() answer { // the token from before the code is still valid
			_, main, _ := strings.Cut(got.body, "<main")
			return eva.do("POST", "/contacts/export", form("csrf_token", csrfField.FindStringSubmatch(main)[1]), "Content-Type", formType, "Sec-Fetch-Site", "same-origin")
		}
		file := sent()
		require.Equal(t, http.StatusOK, file.status, file.body)
		require.Contains(t, file.body, "Avery Placeholder")
		require.Equal(t, http.StatusConflict, sent().status, "sent twice")
		s.advance(10 * time.Second)
	}
	require.Equal(t, 2, strings.Count(s.log.String(), "event=action_used user=eva account=meadow"))
}

func TestScenario_S11_TurningItOff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, email string
		policy      twofa.Policy
		want        int
	}{
		{"by the user", "jon@brook.example", twofa.PolicyOptional(), http.StatusSeeOther},
		{"email link is required", "jon@brook.example", twofa.PolicyEmailLink(), http.StatusSeeOther},
		{"a factor is required", "jon@brook.example", twofa.PolicyAuthenticator(), http.StatusForbidden},
		{"by an admin only", "jon@brook.example", twofa.Policy{TurnOff: twofa.TurnOffByAdmin}, http.StatusForbidden},
		{"by support only", "jon@brook.example", twofa.Policy{TurnOff: twofa.TurnOffBySupport}, http.StatusForbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			jon := s.as(c.email)
			jon.enrollApp(c.email)
			require.NoError(t, s.app.Manager().Account(twofa.AsHost("test"), "brook").SetPolicy(t.Context(), c.policy, ""))
			s.advance(staleProof)
			id := idAfter(jon.get("/2fa/").body, "replaces=")
			asksForCode(t, jon.post("/2fa/revoke", "/2fa/factors/remove", "id", id), "a fresh code is needed")
			jon.stepUp(c.email, twofa.ActionFactors)
			require.Equal(t, c.want, jon.post("/2fa/revoke", "/2fa/factors/remove", "id", id).status)
			require.Equal(t, c.want == http.StatusForbidden, strings.Contains(jon.get("/2fa/").body, "replaces="), "the factor is in the list")
		})
	}
}

func TestScenario_S12_SingleRecoveryCode(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *app.Config) { c.RecoveryCodes = 1 })
	jon := s.as("jon@brook.example")
	jon.post("/2fa/setup?start=1", "/2fa/setup", "method", "totp")
	jon.scan("jon@brook.example")
	jon.post("/2fa/setup", "/2fa/setup/confirm", "code", s.code("jon@brook.example"))
	page := jon.get("/2fa/setup").body
	require.Contains(t, page, "Save your recovery code<")
	codes := shownCodes(page)
	require.Len(t, codes, 1)
	jon.post("/2fa/setup", "/2fa/setup/saved", "saved", "yes")

	b := s.browser()
	b.login("jon@brook.example")
	require.Equal(t, http.StatusSeeOther, b.post("/2fa/challenge", "/2fa/verify", "method", "recovery", "code", codes[0]).status)
	require.Contains(t, b.get("/2fa/recovered").body, "no codes left")
}

func TestScenario_S14_NewPhoneWithoutGap(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	jon := s.as("jon@brook.example")
	codes := jon.enrollApp("jon@brook.example")
	other, old := s.as("jon@brook.example"), s.uris["jon@brook.example"]
	s.advance(time.Hour)

	jon.stepUp("jon@brook.example", twofa.ActionFactors)
	id := idAfter(jon.get("/2fa/").body, "replaces=")
	jon.post("/2fa/setup?start=1", "/2fa/setup", "method", "totp", "replaces", id)
	b := s.browser()
	b.login("jon@brook.example")
	require.Equal(t, "/contacts", b.prove("jon@brook.example").location, "the old app works until the new one is confirmed")

	jon.scan("jon@brook.example")
	require.Equal(t, "/2fa/", jon.post("/2fa/setup", "/2fa/setup/confirm", "code", s.code("jon@brook.example")).location)
	require.True(t, jon.signedIn(), "this session stays")
	require.False(t, other.signedIn(), "every other session has ended")

	b = s.browser()
	b.login("jon@brook.example")
	s.advance(30 * time.Second)
	stale := b.post("/2fa/challenge", "/2fa/verify", "method", "totp", "code", twofatest.Code(t, old, s.clock()))
	require.Equal(t, http.StatusUnprocessableEntity, stale.status, "a code of the old app is invalid")
	require.Equal(t, "/contacts", b.prove("jon@brook.example").location)
	b = s.browser()
	b.login("jon@brook.example")
	require.Equal(t, http.StatusSeeOther, b.post("/2fa/challenge", "/2fa/verify", "method", "recovery", "code", codes[0]).status,
		"the recovery codes stay")
}

func TestScenario_S15_EverythingEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	eva := s.enter("eva@meadow.example")
	remembered := s.browser()
	remembered.login("eva@meadow.example")
	remembered.prove("eva@meadow.example", "remember", "yes")
	eva.stepUp("eva@meadow.example", "contacts.export")
	token := s.token("eva@meadow.example", "")
	half := s.browser()
	half.login("eva@meadow.example")

	require.Contains(t, remembered.get("/settings").body, `href="/2fa/revoke"`)
	got := remembered.post("/2fa/revoke", "/2fa/revoke")
	require.Equal(t, "/2fa/done", got.location)
	require.False(t, remembered.signedIn())
	require.False(t, eva.signedIn())
	require.Equal(t, http.StatusUnauthorized, eva.do("GET", "/api/me", "", "Authorization", "Bearer "+token).status)
	require.Equal(t, http.StatusGone, half.send2FA("/2fa/verify", "method", "totp", "code", s.code("eva@meadow.example")).status)
	require.Equal(t, "/2fa/challenge", remembered.login("eva@meadow.example").location, "no browser is remembered")
	require.Contains(t, s.lastMessage("eva@meadow.example", "signed out").Subject, "signed out of")
	require.Equal(t, "/contacts", remembered.prove("eva@meadow.example").location, "the app itself stays")
}

// The product on PostgreSQL: one scenario that writes to most tables, and
// concurrent uses of one proof.
func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	db := openDB(t, engines.PostgreSQL(t))
	s := newSite(t, func(c *app.Config) { c.DB = db })
	b := s.enter(eva)
	b.stepUp(eva, "contacts.export")
	body := form("csrf_token", b.csrf("/contacts"))
	answers := together(t, 10, func(int) (answer, error) {
		return b.send("POST", "/contacts/export", body, "Content-Type", formType)
	})
	require.Equal(t, 1, count(answers, http.StatusOK))
	token := s.token(eva, "")
	b.post("/2fa/revoke", "/2fa/revoke")
	require.Equal(t, http.StatusUnauthorized, b.do("GET", "/api/me", "", "Authorization", "Bearer "+token).status)
	require.NoError(t, s.app.Sweep(t.Context()))

	again, err := app.New(app.Config{DB: db, Keys: twofatest.KeyRing(t, "webapp"), Demo: true, BaseURL: s.srv.URL})
	require.NoError(t, err, "a second start changes nothing")
	again.Close()
}

// Sign-ins that are older than the second factor have no session of package
// twofa.
func TestTables_OlderThanSecondFactor(t *testing.T) {
	t.Parallel()
	db := testDB(t)
	s := newSite(t, func(c *app.Config) { c.DB = db })
	b := s.as(jon)
	_, err := db.ExecContext(t.Context(), `ALTER TABLE signins DROP COLUMN twofa`)
	require.NoError(t, err)
	again, err := app.New(app.Config{DB: db, Keys: twofatest.KeyRing(t, "webapp"), Demo: true, BaseURL: s.srv.URL})
	require.NoError(t, err)
	defer again.Close()
	require.Contains(t, b.get("/contacts").location, "/login")
	require.True(t, s.as(jon).signedIn())
}

func TestKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := app.LoadKeys("", dir, false)
	require.ErrorContains(t, err, "TWOFA_KEYS")
	_, err = app.LoadKeys("", dir, true)
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(dir, "twofa.key"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	first, err := os.ReadFile(filepath.Join(dir, "twofa.key"))
	require.NoError(t, err)
	_, err = app.LoadKeys("", dir, true)
	require.NoError(t, err)
	second, err := os.ReadFile(filepath.Join(dir, "twofa.key"))
	require.NoError(t, err)
	require.Equal(t, first, second)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1, "no temporary file is left")
	_, err = app.LoadKeys("not a ring", dir, true)
	require.Error(t, err, "the environment takes precedence")
}

// An admin sees who exported what and how many, when and from where, on the page and
// in the file. The member sees the same in their own log.
func TestScenario_S13_WhoExportedWhat(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	jon, ida := s.as("jon@brook.example"), s.as("ida@brook.example")
	require.Contains(t, ida.get("/2fa/activity").body, "Changed the policy", "the demo data has some activity")
	jon.enrollApp("jon@brook.example")
	s.advance(staleProof)
	jon.stepUp("jon@brook.example", "contacts.export")
	require.Equal(t, http.StatusOK, jon.post("/contacts", "/contacts/export").status)
	page := ida.get("/2fa/activity?type=action&user=jon%40brook.example").body
	require.Contains(t, page, "Done: Export contacts")
	require.Contains(t, page, "Number: 12")
	require.Contains(t, page, "<bdi>jon@brook.example</bdi>", "the name of the account, as in the directory")
	require.Contains(t, page, "127.0.0.1")
	require.Contains(t, jon.get("/2fa/history").body, "Done: Export contacts")
	require.Equal(t, http.StatusForbidden, jon.get("/2fa/activity").status)

	s.advance(2 * time.Minute)
	rows, err := csv.NewReader(strings.NewReader(ida.get("/2fa/activity.csv?type=action").body)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 2)
	for name, want := range map[string]string{"user": "jon", "user_name": "jon@brook.example", "detail": "contacts.export", "count": "12", "failed": "false", "ip": "127.0.0.1"} {
		require.Equal(t, want, rows[1][slices.Index(rows[0], name)], name)
	}
}

// An export that fails half way is recorded as one that failed.
func TestScenario_S13_FailedExport(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	jon, ida := s.as("jon@brook.example"), s.as("ida@brook.example")
	jon.enrollApp("jon@brook.example")
	s.advance(staleProof)
	jon.stepUp("jon@brook.example", "contacts.export")
	s.without("contacts", func() {
		require.Equal(t, http.StatusServiceUnavailable, jon.post("/members", "/contacts/export").status)
	})
	require.Contains(t, ida.get("/2fa/activity?type=action").body, "Failed: Export contacts")
}
