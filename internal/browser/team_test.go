package browser

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
	"github.com/twofa-go/twofa/locale/es"
	"github.com/twofa-go/twofa/locale/fr"
	"github.com/twofa-go/twofa/locale/ja"
	"github.com/twofa-go/twofa/locale/ptbr"
	"github.com/twofa-go/twofa/twofahttp"
	"github.com/twofa-go/twofa/twofatest"
)

// staff is the directory and the list of the account acme, which has a member in
// each state, and others.
type staff struct{ members []twofahttp.TeamMember }

const others = 2000

func newStaff() *staff {
	s := &staff{}
	for _, name := range []string{"Dana Reyes", "Casey Lindgren", "Morgan Okafor", "Jamie Castellan", "Ravi Mehrotra", "Elif Sandoval", "Toni Bergqvist", "Noor Haddad", "Maximiliana Wolkenstein-Hohenlohe-Langenburg", "مريم الحداد"} {
		s.members = append(s.members, twofahttp.TeamMember{ID: id(name), Name: name, Email: id(name) + "@a-rather-long-domain.example.com"})
	}
	for i := range others {
		s.members = append(s.members, twofahttp.TeamMember{ID: fmt.Sprintf("m%d", i), Email: fmt.Sprintf("member.%d@example.com", i)})
	}
	return s
}

// id returns the first name in lower case.
func id(name string) string {
	first, _, _ := strings.Cut(strings.ToLower(name), " ")
	return first
}

// Users implements twofa.Directory.
func (s *staff) Users(_ context.Context, ids ...string) (users []twofa.User, err error) {
	for _, m := range s.members {
		if !slices.Contains(ids, m.ID) {
			continue
		}
		in := twofa.Member{Account: "acme", Since: time.Now().Add(-365 * 24 * time.Hour)}
		switch m.ID {
		case "dana":
			in.Role = twofa.RoleOwner
		case "noor":
			in.Role = twofa.RoleAdmin
		case "casey", "morgan":
			in.Since = time.Time{} // no grace
		}
		users = append(users, twofa.User{ID: m.ID, Name: m.Email, Emails: []string{m.Email}, Members: []twofa.Member{in}})
	}
	return users, nil
}

func (s *staff) list(_ context.Context, q twofahttp.TeamQuery) (page twofahttp.TeamPage, err error) {
	from, _ := strconv.Atoi(q.After)
	for i, m := range s.members[from:] {
		switch wanted := (q.ID == "" || m.ID == q.ID) && strings.Contains(strings.ToLower(m.Name+m.Email), strings.ToLower(q.Search)); {
		case wanted && len(page.Members) == q.Limit:
			page.Next = strconv.Itoa(from + i)
			return page, nil
		case wanted:
			page.Members = append(page.Members, m)
		}
	}
	return page, nil
}

type noPhone struct{}

func (noPhone) ParsePhone(raw, _ string) (twofa.Phone, error) {
	return twofa.Phone{E164: raw, Country: "CH", Mobile: true}, nil
}

// newTeamSite starts a host whose members are in each state, and returns the tab of
// its owner and the owner's app.
func newTeamSite(t *testing.T) (*chromiumTab, *phone) {
	t.Helper()
	nodeModules(t)
	everybody, store, sent := newStaff(), memstore.New(), &twofatest.Outbox{}
	s := newSiteOf(t, twofa.Config{Directory: everybody, Store: store, Languages: languages(), SMS: twofa.SMSConfig{Sender: sent, Phone: noPhone{}, Countries: []string{"CH"}},
		Mail: twofa.MailConfig{Mailer: sent, LinkURL: twofahttp.LinkURL("http://localhost/2fa/"), CaseURL: twofahttp.CaseURL("http://localhost/2fa/")}}, twofahttp.Config{Team: everybody.list, Language: func(r *http.Request) string { return r.URL.Query().Get("lang") }})
	ctx, host := t.Context(), twofa.AsHost("test")
	key := twofa.ImportFactor{Key: twofa.NewSecret("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")}
	for user, factor := range map[string]twofa.ImportFactor{"elif": key, "noor": key, "ravi": {Method: twofa.SMS, Phone: "+41791234567"}} {
		_, err := s.m.User(host, user).Import(ctx, factor)
		require.NoError(t, err, user)
	}
	b := s.browser(t)
	phone := b.enrolled("dana")
	require.NoError(t, s.m.Account(host, "acme").SetPolicy(ctx, twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, Required: true, ExemptSSO: true, Grace: 14 * 24 * time.Hour}, ""))
	_, err := s.m.Begin(ctx, twofa.FirstFactor{UserID: "toni", Account: "acme", By: twofa.BySSO, ProviderOf: "acme"})
	require.NoError(t, err)
	login, err := s.m.Begin(ctx, twofa.FirstFactor{UserID: "noor", Account: "acme", By: twofa.ByPassword})
	require.NoError(t, err)
	for i := range 5 {
		_, err := s.m.Verify(ctx, twofa.Caller{}, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(fmt.Sprintf("00000%d", i))})
		require.ErrorIs(t, err, twofa.ErrInvalidCode)
	}
	login, err = s.m.Begin(ctx, twofa.FirstFactor{UserID: "elif", Account: "acme", By: twofa.ByPassword})
	require.NoError(t, err)
	require.NoError(t, s.m.ReportLost(ctx, twofa.Client{}, login.Challenge))
	_, err = s.m.User(twofa.AsStaff("sam", "called"), "ravi").OpenCase(ctx, twofa.ResetRequest{})
	require.NoError(t, err)
	require.NoError(t, store.Swap(ctx, "", twofa.Record{Key: "user/jamie", Version: "1", Data: []byte("not ours")}))
	return b, phone
}

func languages() []*locale.Catalog {
	return []*locale.Catalog{locale.English(), de.Catalog(), es.Catalog(), fr.Catalog(), ja.Catalog(), ptbr.Catalog()}
}

// fitsWidth requires that no part of the page is wider than the window, on the
// smallest phone and beyond.
func (b *chromiumTab) fitsWidth(name string) {
	b.t.Helper()
	for _, width := range []int64{320, 640, 959, 961} {
		b.do(chromedp.EmulateViewport(width, 800))
		require.LessOrEqual(b.t, eval[int](b, `document.documentElement.scrollWidth`), int(width), "%s at %d", name, width)
	}
	b.do(chromedp.EmulateViewport(1280, 900))
}

// smallTargets returns the links and buttons of the content that are lower than 44
// px, except for links in a sentence.
const smallTargets = `[...document.querySelectorAll('main :is(a, button, input:not([type=hidden]), textarea)')].filter((e) => e.offsetHeight && e.offsetHeight < 44).map((e) => e.outerHTML)`

func TestTeam_Pages(t *testing.T) {
	t.Parallel()
	b, _ := newTeamSite(t)
	b.goTo("/2fa/team")
	b.until(`document.querySelector('[data-count=all]').textContent === '2,010'`)
	require.Equal(t, "2", eval[string](b, `document.querySelector('[data-count=overdue]').textContent`))
	require.Equal(t, "2", eval[string](b, `document.querySelector('[data-count=on]').textContent`))
	require.Equal(t, "1", eval[string](b, `document.querySelector('[data-count=locked]').textContent`))
	require.Equal(t, "2,008", eval[string](b, `document.querySelector('[data-count=attention]').textContent`))
	b.look("team", "Team sign-in security")
	b.fitsWidth("team")
	require.Empty(t, eval[[]string](b, smallTargets))
	for _, state := range []string{"Overdue", "Not yet", "Weak", "On", "SSO", "Locked", "Unreadable", "Lost device", "Support case"} {
		require.Contains(t, eval[string](b, `document.querySelector('table').innerText`), state)
	}
	b.press("Next page")
	b.reads("First page")
	b.goTo("/2fa/team?state=attention")
	b.until(`document.querySelector('[data-count=lost]').textContent === '1'`)
	require.Equal(t, "1", eval[string](b, `document.querySelector('[data-count=case]').textContent`))
	b.pressOn(`document.querySelector('nav.filters a[href$="state=lost"]')`)
	b.reads("Elif Sandoval")
	b.readsNot("Ravi Mehrotra")
	b.goTo("/2fa/team?state=sso&after=1000")
	b.look("team-none", "Team sign-in security")
	b.fill("Search by name or email", "nobody")
	b.press("Search")
	b.look("team-search", "Team sign-in security")
	b.goTo("/2fa/team?q=" + "haddad")
	for member, heading := range map[string]string{"elif": "Elif Sandoval", "casey": "Casey Lindgren", "dana": "Dana Reyes", "toni": "Toni Bergqvist", "noor": "Noor Haddad", "ravi": "Ravi Mehrotra", "maximiliana": "Maximiliana Wolkenstein-Hohenlohe-Langenburg"} {
		b.goTo("/2fa/team/member?id=" + member)
		b.look("member-"+member, heading)
		b.fitsWidth(member)
		require.Empty(t, eval[[]string](b, smallTargets))
	}
	b.goTo("/2fa/team/member?id=jamie")
	b.look("member-jamie", "Jamie Castellan")
	if !*matrix { // TestMatrix sees the samples of these pages in other languages, too
		return
	}
	for _, c := range languages() {
		for _, path := range []string{"team?", "team?state=weak&", "team/member?id=casey&", "team/member?id=noor&", "team/reset?id=noor&"} {
			b.goTo("/2fa/" + path + "lang=" + c.Tag())
			require.Equal(t, c.Tag(), eval[string](b, `document.documentElement.lang`))
			b.fitsWidth(path + c.Tag())
			b.picture("team-" + c.Tag())
		}
	}
}

// An owner gives more time: with a code in between, and one press.
func TestTeam_MoreTime(t *testing.T) {
	t.Parallel()
	b, phone := newTeamSite(t)
	b.clock.Add(6 * time.Minute)
	b.goTo("/2fa/team?state=overdue")
	b.pressOn(`document.querySelector('a[href$="id=casey"]')`)
	b.reads("must set up a method")
	until := b.now().Add(20 * 24 * time.Hour).UTC()
	eval[bool](b, `(document.querySelector('#until').value = '`+until.Format(time.DateOnly)+`') !== ''`)
	b.fill("Reason", "Casey is on leave")
	b.press("Give more time")
	b.reads("Change team security settings")
	b.look("member-step-up", "Confirm it’s you")
	b.fill("6-digit code", b.nextCode(phone))
	b.press("Continue")
	b.until(`document.body.innerText.includes('More time given')`)
	b.reads("Not yet")
	b.look("member-extended", "Casey Lindgren")
	require.False(t, eval[bool](b, `document.querySelector('main form').checkValidity()`), "the date is missing, which does not matter for the other button")
	b.fill("Reason", "Casey is back")
	b.press("End the extra time")
	b.reads("Extra time ended")
	b.reads("must set up a method")
}

// Without script, the list and its filters work. There are no counts.
func TestTeam_WithoutScript(t *testing.T) {
	t.Parallel()
	b, _ := newTeamSite(t)
	b.forbidScript()
	b.goTo("/2fa/team")
	require.True(t, eval[bool](b, `[...document.querySelectorAll('[data-count]')].every((e) => e.hidden)`))
	b.press("Needs attention")
	b.reads("Casey Lindgren")
	require.Contains(t, b.download("Download CSV"), "Casey Lindgren,casey@a-rather-long-domain.example.com,member,overdue,")
}

// An owner unlocks a member, with a code in between, and one press.
func TestTeam_Unlock(t *testing.T) {
	t.Parallel()
	b, phone := newTeamSite(t)
	b.clock.Add(6 * time.Minute)
	for i := range 5 { // the first lock is over
		login, err := b.m.Begin(t.Context(), twofa.FirstFactor{UserID: "noor", Account: "acme", By: twofa.ByPassword})
		require.NoError(t, err)
		_, err = b.m.Verify(t.Context(), twofa.Caller{}, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(fmt.Sprintf("00001%d", i))})
		require.Error(t, err)
	}
	b.goTo("/2fa/team/member?id=noor")
	b.look("member-locked", "Noor Haddad")
	b.must(b.window.send(`document.querySelector('#unlock-reason')`, "Has the phone, asked in the office"))
	b.press("Unlock authenticator app")
	b.fill("6-digit code", b.nextCode(phone))
	b.press("Continue")
	b.until(`document.body.innerText.includes('The member can use the method again')`)
	b.reads("On")
	require.False(t, b.offers("Unlock authenticator app"))
	b.pressOn(`document.querySelector('a[href="/2fa/team/reset?id=noor"]')`)
	b.look("reset-noor", "Reset two-factor authentication for Noor Haddad?")
	b.fitsWidth("reset")
	require.Empty(t, eval[[]string](b, smallTargets))
}
