package twofahttp_test

import (
	"encoding/json"
	"html/template"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
	"github.com/twofa-go/twofa/locale/es"
	"github.com/twofa-go/twofa/locale/fr"
	"github.com/twofa-go/twofa/locale/ja"
	"github.com/twofa-go/twofa/locale/ptbr"
	"github.com/twofa-go/twofa/twofahttp"
	"github.com/twofa-go/twofa/twofatest"
)

// withCases lets staff open cases.
func withCases(m *twofa.Config, _ *twofahttp.Config) {
	m.Mail.CaseURL = twofahttp.CaseURL("https://app.example.com/2fa/")
}

func (h *host) by(staff, user string) *twofa.ManagedUser {
	return h.m.User(twofa.AsStaff(staff, "called back at the number on file"), user)
}

// openCase opens a case for a user, and returns it with the path of the mailed link.
func (h *host) openCase(user string) (twofa.Case, string) {
	h.Helper()
	h.clock.pass(time.Minute) // after the login of the user
	c, err := h.by("sam", user).OpenCase(h.Context(), twofa.ResetRequest{})
	require.NoError(h, err)
	mail := h.outbox.mails[len(h.outbox.mails)-1].Text.Reveal()
	link := regexp.MustCompile(`https://app\.example\.com(/2fa/case\?token=\S+)`).FindStringSubmatch(mail)
	require.NotNil(h, link, mail)
	return c, link[1]
}

func (h *host) caseOf(user string) *twofa.Case {
	h.Helper()
	c, err := h.by("nora", user).Case(h.Context())
	require.NoError(h, err)
	return c
}

// caseToken returns the token in a link, as the form of its page sends it.
func caseToken(link string) string {
	u, _ := url.Parse(link)
	return u.Query().Get("token")
}

// The link shows what was asked, and its button ends it, for a user who cannot sign
// in and in a browser that keeps no cookie.
func TestCase_LinkEndsItWithoutCookies(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), withCases)
	h.browser().enroll("ada")
	c, link := h.openCase("ada")
	b := h.browser()
	b.client.Jar = nil
	page := b.get(link)
	require.Equal(t, 200, page.StatusCode)
	require.Contains(t, page.Body, english("page.case.heading", "issuer", template.HTML("<bdi>Acme</bdi>")))
	require.Contains(t, page.Body, english("page.case.text", "date", "1 March 2026, 09:01 UTC"))
	require.Contains(t, page.Body, english("page.case.from", "date", "2 March 2026, 09:01 UTC"))
	require.NotContains(t, page.Body, "sam", "the names of the staff are not the reader's business")
	require.NotContains(t, page.Body, "called back")
	b.csrf = "none"
	done := b.post("/2fa/case", "token", caseToken(link))
	require.Equal(t, 200, done.StatusCode)
	require.Contains(t, done.Body, english("message.case_stopped.title"))
	require.Contains(t, done.Body, `href="/"`, "the way on")
	require.Nil(t, h.caseOf("ada"))
	h.clock.pass(80 * time.Hour)
	_, err := h.by("nora", "ada").ApproveCase(t.Context(), c.ID)
	require.ErrorIs(t, err, twofa.ErrExpired)
}

// With cookies, the button leads to a page that can be loaded again, and a double
// click ends there, too.
func TestCase_LinkPressedTwice(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), withCases)
	h.browser().enroll("ada")
	_, link := h.openCase("ada")
	b := h.browser()
	b.get(link)
	cookies := b.jar.Cookies(b.request("GET", "/", "").URL)
	twice := h.browser()
	twice.client.Jar = nil // the second click has the cookies of before the first answer
	for range 2 {
		r := twice.request("POST", "/2fa/case", url.Values{"token": {caseToken(link)}}.Encode())
		for _, c := range cookies {
			r.AddCookie(c)
		}
		a := twice.do(r)
		require.Equal(t, "/2fa/done?next=%2F", a.Header.Get("Location"))
		b.jar.SetCookies(r.URL, a.Cookies())
	}
	require.Contains(t, b.get("/2fa/done?next=%2F").Body, english("message.case_stopped.text"))
	require.Equal(t, 303, b.get("/2fa/done?next=%2F").StatusCode)
}

func TestCase_PageSaysWhereItStands(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), withCases)
	phone, _ := h.browser().enroll("ada")
	c, link := h.openCase("ada")
	h.clock.pass(25 * time.Hour)
	require.Contains(t, h.browser().get(link).Body, english("page.case.now"))
	_, err := h.by("nora", "ada").ApproveCase(t.Context(), c.ID)
	require.NoError(t, err)
	require.Contains(t, h.browser().get(link).Body, english("page.case.approved"))
	h.browser().enter("ada", phone)
	require.Contains(t, h.browser().get(link).Body, english("page.case.suspended"))
}

// A scanner that opens each link in a mail, with and without cookies, ends nothing.
func TestAbuse_N06_I04_ScannerOpensTheCaseLink(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), withCases)
	h.browser().enroll("ada")
	_, link := h.openCase("ada")
	before := h.store.writes()
	for _, jar := range []bool{true, false} {
		scanner := h.browser()
		if !jar {
			scanner.client.Jar = nil
		}
		for _, method := range []string{"GET", "HEAD", "GET", "OPTIONS", "PUT", "DELETE"} {
			r := scanner.request(method, link, "")
			r.Header.Set("User-Agent", "Mail scanner")
			a := scanner.do(r)
			require.Contains(t, []int{200, 405}, a.StatusCode, method)
		}
	}
	require.Equal(t, before, h.store.writes())
	require.NotNil(t, h.caseOf("ada"))
	page := h.browser().get(link)
	require.Equal(t, "no-store", page.Header.Get("Cache-Control"))
	require.Equal(t, "no-referrer", page.Header.Get("Referrer-Policy"), "the token does not leave with a link to another site")
	require.NotContains(t, page.Body, "data-submit", "the script does not press the button")
	require.NotContains(t, h.logs.String(), caseToken(link))
}

// Old, forged and foreign tokens end nothing, and the page says what to do.
func TestAbuse_N06_ForeignCaseLinks(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink(), withCases)
	owner, pending := h.browser(), h.browser()
	owner.login("ada")
	owner.openLink()
	owner.enroll("ada")
	_, old := h.openCase("ada")
	require.NoError(t, h.by("sam", "ada").CancelCase(t.Context(), h.caseOf("ada").ID))
	h.openCase("ada")
	h.clock.pass(time.Hour)
	pending.login("bob")
	signIn := tokenOf(h.mailed())
	before := h.store.writes()
	for name, token := range map[string]string{
		"none": "", "garbage": "x.y", "of an earlier case": caseToken(old), "cut off": caseToken(old)[:40], "of a sign-in": signIn,
		"a session": h.sessions.byID[owner.cookie(sessionCookie)], "a challenge": pending.cookie("__Host-twofa-challenge"),
	} {
		b := h.browser()
		for _, a := range []answer{b.get("/2fa/case?token=" + url.QueryEscape(token)), b.post("/2fa/case", "token", token)} {
			require.Equal(t, 410, a.StatusCode, name)
			require.Contains(t, a.Body, english("message.case_over.title"), name)
			require.Contains(t, a.Body, english("message.case_over.text"), name)
			require.Contains(t, a.Body, `<a class="btn" href="/">`, "the next step")
		}
		require.Equal(t, "case_over", problemCode(t, b.api("GET", "/2fa/case?token="+url.QueryEscape(token))), name)
	}
	require.Equal(t, before, h.store.writes())
	require.NotNil(t, h.caseOf("ada"))
}

// Another site cannot press the button, and needs the token of the link for it
// anyway.
func TestAbuse_G03_CaseFormWithoutItsLink(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), withCases)
	b := h.browser()
	b.enroll("ada")
	_, link := h.openCase("ada")
	body := url.Values{"token": {caseToken(link)}}.Encode()
	for site, origin := range map[string]string{"cross-site": "https://evil.example", "same-site": "https://sub.example.com", "": "https://evil.example"} {
		r := b.request("POST", "/2fa/case", body)
		r.Header.Set("Origin", origin)
		r.Header.Set("Sec-Fetch-Site", site)
		if site == "" {
			r.Header.Del("Sec-Fetch-Site")
		}
		require.Equal(t, 403, b.do(r).StatusCode, site)
	}
	require.Equal(t, 410, b.post("/2fa/case", "id", h.caseOf("ada").ID).StatusCode, "the ID of the case is no token")
	require.Equal(t, 410, b.post("/2fa/case?token="+url.QueryEscape(caseToken(link))).StatusCode, "nor does the address count")
	require.Equal(t, 415, b.raw("/2fa/case", "application/json", "{}").StatusCode)
	require.NotNil(t, h.caseOf("ada"))
}

func TestCase_StoreFails(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), withCases)
	b := h.browser()
	b.enroll("ada")
	_, link := h.openCase("ada")
	b.get(link)
	h.store.broken(twofa.ErrUnavailable, false)
	for _, a := range []answer{b.get(link), b.post("/2fa/case", "token", caseToken(link))} {
		require.Equal(t, 503, a.StatusCode)
		require.Contains(t, a.Body, `href="/2fa/case?token=`, "to try again")
	}
	require.Equal(t, "unavailable", problemCode(t, b.api("GET", link)))
	h.store.broken(nil, false)
	require.NotNil(t, h.caseOf("ada"))
}

var questionForm = regexp.MustCompile(`name="id" value="([^"]+)"`)

// After a login, the user is asked once, and goes on where they wanted.
func TestAbuse_N06_LoginAsksAboutTheCase(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), withCases)
	phone, _ := h.browser().enroll("ada")
	c, _ := h.openCase("ada")
	b := h.browser()
	b.login("ada", "next", "/contacts?x=1")
	a := b.post("/2fa/verify", "method", "totp", "code", phone.next())
	require.Equal(t, "/2fa/asked?next=%2Fcontacts%3Fx%3D1", a.Header.Get("Location"))
	page := b.follow(a)
	require.Contains(t, page.Body, english("page.asked.heading", "issuer", template.HTML("<bdi>Acme</bdi>")))
	require.Contains(t, page.Body, english("page.case.suspended"))
	require.Contains(t, page.Body, `<button class="btn" name="mine" value="yes">`)
	require.Contains(t, page.Body, `<button class="btn" name="mine" value="no">`, "both look the same")
	require.Contains(t, page.Body, `<a class="btn-link" href="/contacts?x=1">`)
	require.Equal(t, c.ID, questionForm.FindStringSubmatch(page.Body)[1])
	require.True(t, h.caseOf("ada").Suspended)

	require.Equal(t, 400, b.post("/2fa/asked", "id", c.ID, "mine", "maybe", "next", "/contacts").StatusCode)
	require.True(t, h.caseOf("ada").Suspended)
	page = b.follow(b.post("/2fa/asked", "id", c.ID, "mine", "yes", "next", "/contacts?x=1"))
	require.Contains(t, page.Body, english("message.case_confirmed.title"))
	require.Contains(t, page.Body, `href="/contacts?x=1"`)
	require.False(t, h.caseOf("ada").Suspended)

	again := h.browser()
	require.Contains(t, again.enter("ada", phone).Body, english("page.asked.heading", "issuer", template.HTML("<bdi>Acme</bdi>")), "each login asks")
	page = again.follow(again.post("/2fa/asked", "id", c.ID, "mine", "no", "next", "/"))
	require.Contains(t, page.Body, english("message.case_stopped.title"))
	require.Nil(t, h.caseOf("ada"))
	require.Equal(t, "/contacts", again.get("/2fa/asked?next=/contacts").Header.Get("Location"), "nothing to ask")
	require.Equal(t, 410, again.post("/2fa/asked", "id", c.ID, "mine", "no").StatusCode)
	require.NotContains(t, h.browser().enter("ada", phone).Body, english("page.asked.yes"))
}

// A proof for an action is no login, and the question leads to local paths only.
func TestAbuse_N06_AskedLeadsToLocalPathsOnly(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), withCases)
	b := h.browser()
	phone, _ := b.enroll("ada")
	c, _ := h.openCase("ada")
	h.clock.pass(staleProof)
	b.follow(b.post("/contacts/export"))
	require.NotContains(t, b.prove(phone).Body, english("page.asked.yes"))
	for _, next := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"} {
		require.NotContains(t, b.get("/2fa/asked?next="+url.QueryEscape(next)).Body, "evil")
		page := b.get("/2fa/asked?next=" + url.QueryEscape(next))
		require.Contains(t, page.Body, `<a class="btn-link" href="/">`)
	}
	a := b.post("/2fa/asked", "id", c.ID, "mine", "no", "next", "https://evil.example/")
	require.Equal(t, "/2fa/done?next=%2F", a.Header.Get("Location"))
}

// An old session, which may be stolen, can end a case but not say that it is the
// user's own. After a new login, it can.
func TestAbuse_N06_N07_OldSessionCannotConfirm(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), withCases)
	b := h.browser()
	phone, _ := b.enroll("ada")
	c, _ := h.openCase("ada")
	h.browser().enter("ada", phone)
	require.True(t, h.caseOf("ada").Suspended)
	page := b.post("/2fa/asked", "id", c.ID, "mine", "yes", "next", "/2fa/")
	require.Equal(t, 401, page.StatusCode)
	require.Contains(t, page.Body, english("message.case_sign_in.text"))
	require.Contains(t, page.Body, `name="next" value="/2fa/asked?next=%2F2fa%2F"`, "and then back to the question")
	require.True(t, h.caseOf("ada").Suspended)
	a := b.post("/2fa/signin", "next", "/2fa/asked?next=%2F2fa%2F")
	require.Equal(t, "/login?next=%2F2fa%2Fasked%3Fnext%3D%252F2fa%252F", a.Header.Get("Location"))
	b.login("ada", "next", "/2fa/asked?next=%2F2fa%2F")
	b.prove(phone)
	page = b.follow(b.post("/2fa/asked", "id", c.ID, "mine", "yes", "next", "/2fa/"))
	require.Contains(t, page.Body, english("message.case_confirmed.title"), "on the settings")
	require.Contains(t, page.Body, english("page.asked.no"), "which still offer to stop it")
	require.False(t, h.caseOf("ada").Suspended)

	b = h.browser()
	b.enter("ada", phone)
	require.NoError(t, h.by("sam", "ada").CancelCase(t.Context(), c.ID))
	c, _ = h.openCase("ada")
	page = b.follow(b.post("/2fa/asked", "id", c.ID, "mine", "no", "next", "/2fa/"))
	require.Contains(t, page.Body, english("message.case_stopped.title"))
	require.Nil(t, h.caseOf("ada"))
}

// Another user, a login that is not complete, another site and a GET answer nothing.
func TestAbuse_N06_N08_G03_AnswersThatDoNotCount(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), withCases)
	owner := h.browser()
	owner.enroll("ada")
	other, pending := h.browser(), h.browser()
	other.enroll("bob")
	c, _ := h.openCase("ada")
	pending.login("ada")
	before := h.store.writes()
	require.Equal(t, 410, other.post("/2fa/asked", "id", c.ID, "mine", "no").StatusCode)
	require.Equal(t, "/contacts", other.get("/2fa/asked?next=/contacts").Header.Get("Location"))
	require.Equal(t, 401, pending.post("/2fa/asked", "id", c.ID, "mine", "no").StatusCode)
	require.Equal(t, 403, h.browser().post("/2fa/asked", "id", c.ID, "mine", "no").StatusCode)
	for _, b := range []*browser{pending, h.browser()} {
		require.Equal(t, 303, b.get("/2fa/asked").StatusCode)
	}
	for _, query := range []string{"", "?id=" + c.ID + "&mine=no"} {
		require.Equal(t, 200, owner.get("/2fa/asked"+query).StatusCode)
		require.Equal(t, 405, owner.do(owner.request("PUT", "/2fa/asked"+query, "")).StatusCode)
	}
	r := owner.request("POST", "/2fa/asked", url.Values{"id": {c.ID}, "mine": {"no"}, "csrf_token": {owner.csrf}}.Encode())
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	require.Equal(t, 403, owner.do(r).StatusCode)
	require.Equal(t, 403, owner.raw("/2fa/asked", formType, url.Values{"id": {c.ID}, "mine": {"no"}}.Encode()).StatusCode, "no form token")
	require.Equal(t, before, h.store.writes())
	require.NotNil(t, h.caseOf("ada"))
}

// The settings ask as well, and pages of the host show a banner that leads to the
// question.
func TestCase_SettingsAndBanner(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), withCases)
	b := h.browser()
	b.enroll("ada")
	banners := func(path string) []twofahttp.Banner {
		r := b.request("GET", path, "")
		for _, c := range b.jar.Cookies(r.URL) {
			r.AddCookie(c)
		}
		return h.web.Banners(r)
	}
	require.Empty(t, banners("/contacts"))
	require.Empty(t, h.web.Banners(httptest.NewRequestWithContext(t.Context(), "GET", "/contacts", nil)), "nobody is signed in")
	h.openCase("ada")
	page := b.get("/2fa/")
	require.Contains(t, page.Body, english("page.asked.heading", "issuer", template.HTML("<bdi>Acme</bdi>")))
	require.Contains(t, page.Body, `name="mine" value="no"`)
	list := banners("/contacts?x=1")
	require.Len(t, list, 1)
	require.Equal(t, twofahttp.Banner{Kind: "case", Title: locale.English().Text("page.banner.case.title", nil), Text: locale.English().Text("page.banner.case.text", nil),
		Button: locale.English().Text("page.banner.case.button", nil), URL: "/2fa/asked?next=%2Fcontacts%3Fx%3D1"}, list[0])
	require.Contains(t, b.get(list[0].URL).Body, `<a class="btn-link" href="/contacts?x=1">`)

	h.store.broken(twofa.ErrUnavailable, false)
	require.Empty(t, banners("/contacts"))
	require.Contains(t, h.logs.String(), "twofahttp: unavailable")
	h.store.broken(nil, false)
	require.NoError(t, h.m.User(twofa.AsHost("x"), "ada").Revoke(t.Context()))
	require.Empty(t, banners("/contacts"), "the session has ended")
}

// All three banners, and the pages, in each language.
func TestCase_Languages(t *testing.T) {
	languages := []*locale.Catalog{locale.English(), de.Catalog(), es.Catalog(), fr.Catalog(), ja.Catalog(), ptbr.Catalog()}
	h := newHost(t, twofa.PolicyOptional(), withCases, func(m *twofa.Config, _ *twofahttp.Config) { m.Languages = languages })
	b := h.browser()
	b.enroll("ada")
	pending := h.browser()
	pending.login("ada")
	pending.follow(pending.post("/2fa/lost"))
	_, link := h.openCase("ada")
	for _, c := range languages {
		b.header.Set("Accept-Language", c.Tag())
		pending.header.Set("Accept-Language", c.Tag())
		html := func(id string, args locale.Args) string { return string(c.HTML(id, args)) }
		require.Contains(t, b.get(link).Body, html("page.case.stop", nil))
		require.Contains(t, b.get("/2fa/asked?next=/x").Body, html("page.asked.yes", nil))
		require.Contains(t, pending.get("/2fa/lost").Body, html("page.lost.opens", nil))
		require.Contains(t, b.get("/2fa/case?token=x").Body, html("message.case_over.text", nil))
		r := b.request("GET", "/", "")
		r.Header.Set("Accept-Language", c.Tag())
		for _, cookie := range b.jar.Cookies(r.URL) {
			r.AddCookie(cookie)
		}
		list := h.web.Banners(r)
		require.Len(t, list, 2)
		require.Equal(t, []string{"case", "lost"}, []string{list[0].Kind, list[1].Kind})
		require.Equal(t, c.Text("page.banner.lost.title", locale.Args{"date": c.Date(h.clock.now())}), list[1].Title)
		page := b.get("/2fa/").Body
		require.Contains(t, page, html("page.banner.lost.text", nil))
	}
}

// A report of a lost device forgets browsers, tells the user, and opens nothing.
func TestAbuse_N06_ReportLostOpensNothing(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, codes := h.pending("ada")
	page := b.get("/2fa/help")
	require.Contains(t, page.Body, `<a class="btn-link" href="/2fa/lost">`)
	require.NotContains(t, h.browser().get("/2fa/help").Body, "/2fa/lost", "nobody has typed a password")
	before := h.store.writes()
	page = b.get("/2fa/lost")
	for _, id := range []string{"page.lost.browsers", "page.lost.told", "page.lost.opens", "page.lost.ends"} {
		require.Contains(t, page.Body, english(id))
	}
	require.Equal(t, before, h.store.writes(), "the page itself changes nothing")
	mails := len(h.outbox.mails)
	a := b.post("/2fa/lost")
	require.Equal(t, "/2fa/challenge", a.Header.Get("Location"))
	page = b.follow(a)
	require.Contains(t, page.Body, english("message.lost_reported.title"))
	require.Contains(t, page.Body, english("message.lost_reported.text", "issuer", "Acme"))
	require.Contains(t, page.Body, english("page.challenge.heading"), "the login waits where it was")
	require.NotContains(t, b.get("/2fa/challenge").Body, english("message.lost_reported.title"), "it is said once")
	require.Len(t, h.outbox.mails, mails+1)
	require.False(t, b.signedIn())

	b.get("/2fa/lost")
	h.clock.pass(11 * time.Second)
	require.Equal(t, 303, b.post("/2fa/lost").StatusCode)
	require.Len(t, h.outbox.mails, mails+1, "once a day")

	page = b.follow(b.post("/2fa/verify", "method", "recovery", "code", codes[0]))
	require.Contains(t, page.Body, english("page.recovered.lost.heading"))
	require.Contains(t, b.get("/2fa/").Body, english("page.banner.lost.title", "date", "1 March 2026"))
	require.Contains(t, b.get("/2fa/").Body, english("page.banner.lost.text"))
	again := h.browser()
	again.enter("ada", phone)
	require.NotContains(t, again.get("/2fa/").Body, english("page.banner.lost.text"), "a code of the device ends the report")
}

// Only a pending login of this browser can report, with the form token.
func TestAbuse_N06_N08_G03_ReportLostWithoutALogin(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	signedIn := h.browser()
	signedIn.enter("ada", phone)
	thief := h.browser()
	thief.login("bob")
	thief.get("/2fa/revoke")
	thief.setCookie("__Host-twofa-challenge", b.cookie("__Host-twofa-challenge"))
	writes := h.store.writes()
	require.Equal(t, 403, b.raw("/2fa/lost", formType, "").StatusCode)
	r := b.request("POST", "/2fa/lost", "csrf_token="+url.QueryEscape(b.csrf))
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	require.Equal(t, 403, b.do(r).StatusCode)
	require.Equal(t, 405, b.do(b.request("DELETE", "/2fa/lost", "")).StatusCode)
	require.Equal(t, 410, signedIn.post("/2fa/lost").StatusCode)
	require.Equal(t, 410, thief.post("/2fa/lost").StatusCode, "a challenge of another browser")
	var p struct{ Code string }
	r = signedIn.request("POST", "/2fa/lost", "csrf_token="+url.QueryEscape(signedIn.csrf))
	r.Header.Set("Accept", "application/json")
	require.NoError(t, json.Unmarshal([]byte(signedIn.do(r).Body), &p))
	require.Equal(t, "expired", p.Code)
	require.Equal(t, writes, h.store.writes())
	events, err := h.store.Events(t.Context(), twofa.EventQuery{User: "ada", Types: []string{event.Lost}})
	require.NoError(t, err)
	require.Empty(t, events.Events)
}

// The password alone does not reveal whether a user has a factor that the challenge
// does not accept.
func TestAbuse_N06_ReportLostRevealsNoFactor(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	b.login("ada")
	require.NotContains(t, b.get("/2fa/help").Body, "/2fa/lost", "a link in a mailbox is not lost with a device")
	require.Equal(t, "/2fa/challenge", b.get("/2fa/lost").Header.Get("Location"))
	require.Equal(t, "not_allowed", problemCode(t, func() answer {
		r := b.request("POST", "/2fa/lost", "csrf_token="+url.QueryEscape(b.csrf))
		r.Header.Set("Accept", "application/json")
		return b.do(r)
	}()))
}

// A login by the identity provider of one account is offered no report, and cannot
// make one.
func TestAbuse_N06_IdentityProviderIsOfferedNoReport(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	h.browser().enroll("ada")
	b := h.browser()
	require.Contains(t, b.login("ada", "sso", "acme", "account", "acme").Body, "Enter your code")
	require.NotContains(t, b.get("/2fa/help").Body, "/2fa/lost")
	require.Equal(t, "/2fa/challenge", b.get("/2fa/lost").Header.Get("Location"))
	require.Equal(t, "sign_in_here", problemCode(t, func() answer {
		r := b.request("POST", "/2fa/lost", "csrf_token="+url.QueryEscape(b.csrf))
		r.Header.Set("Accept", "application/json")
		return b.do(r)
	}()))
	events, err := h.store.Events(t.Context(), twofa.EventQuery{User: "ada", Types: []string{event.Lost}})
	require.NoError(t, err)
	require.Empty(t, events.Events)
}

// The address of the link must lead to the page of this package.
func TestNew_CaseURLLeadsHere(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), withCases, func(m *twofa.Config, c *twofahttp.Config) {
		c.Prefix, c.BasePath = "/mfa/", "/app"
		m.Mail.LinkURL, m.Mail.CaseURL = twofahttp.LinkURL("https://app.example.com/app/mfa"), twofahttp.CaseURL("https://app.example.com/app/mfa")
	})
	require.Equal(t, "https://app.example.com/app/mfa/case?token=token", h.m.Info().Case)
	for _, wrong := range []string{"https://app.example.com/2fa/link?token=", "https://app.example.com/case?token=", "https://app.example.com/2fa/case?t="} {
		m, err := twofa.New(twofa.Config{Issuer: "Acme", Store: h.store, Keys: twofatest.KeyRing(t, "case"), Directory: twofa.LookUp(h.user), Mail: twofa.MailConfig{Mailer: h.outbox,
			CaseURL: func(l twofa.LinkRequest) string { return wrong + l.Token.Reveal() }}})
		require.NoError(t, err)
		_, err = twofahttp.New(twofahttp.Config{Manager: m, Sessions: h.sessions})
		require.ErrorContains(t, err, "Manager: must be one whose Mail.CaseURL leads to /2fa/case?token=…")
		require.True(t, strings.Contains(err.Error(), wrong))
	}
}
