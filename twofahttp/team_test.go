package twofahttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"html/template"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
	"github.com/twofa-go/twofa/locale/es"
	"github.com/twofa-go/twofa/locale/fr"
	"github.com/twofa-go/twofa/locale/ja"
	"github.com/twofa-go/twofa/locale/ptbr"
	"github.com/twofa-go/twofa/twofahttp"
)

const twoWeeks = 14 * 24 * time.Hour

var withGrace = twofa.Policy{Methods: []twofa.Method{twofa.TOTP}, Required: true, Grace: twoWeeks}

func TestTeam_ShowsWhereEachMemberStands(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	o.in("anna")
	page := b.get("/2fa/team")
	require.Equal(t, 200, page.StatusCode)
	require.Contains(t, page.Body, english("page.team.lead.optional"))
	members, labels := rows(page.Body)
	require.Equal(t, []string{"Olga", "Adam", "Anna", "Mia", "Max"}, labels, "the host's order")
	require.Equal(t, english("page.team.state.on"), stateIn(members["Adam"]))
	require.Contains(t, members["Adam"], english("page.team.you"))
	require.NotContains(t, members["Anna"], english("page.team.you")+"</span>")
	require.Contains(t, members["Adam"], english("factor.totp"))
	require.Contains(t, members["Adam"], "<bdi dir=\"ltr\">adam@example.com</bdi>")
	require.Contains(t, members["Adam"], "1 March 2026", "the last sign-in")
	require.Equal(t, english("page.team.state.off"), stateIn(members["Mia"]))
	require.Contains(t, members["Mia"], english("page.team.unknown"), "a last sign-in that is not known is not called never")
	require.Contains(t, members["Olga"], english("page.team.role.owner"))
	require.Contains(t, members["Mia"], `href="/2fa/team/member?id=mia"`)

	o.require(withGrace)
	page = b.get("/2fa/team")
	require.Contains(t, page.Body, english("page.team.lead.required"))
	require.Contains(t, page.Body, english("page.team.lead.days", "count", 14))
	members, _ = rows(page.Body)
	require.Equal(t, english("page.team.state.grace"), stateIn(members["Mia"]))
	require.Contains(t, members["Mia"], "15 March 2026", "the date from which Mia must have enrolled")
	o.require(twofa.Policy{Methods: []twofa.Method{twofa.TOTP}, Required: true})
	members, _ = rows(b.get("/2fa/team").Body)
	require.Equal(t, english("page.team.state.overdue"), stateIn(members["Mia"]))
	require.Contains(t, members["Mia"], english("page.team.due.now"))

	o.require(twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.EmailLink}, Required: true, Deadline: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)})
	page = b.get("/2fa/team")
	require.Contains(t, page.Body, english("page.team.lead.deadline", "date", "1 May 2026"))
	require.Contains(t, page.Body, english("page.team.lead.link"))
	members, _ = rows(page.Body)
	require.Equal(t, english("page.team.state.weak"), stateIn(members["Mia"]))
	require.Contains(t, members["Mia"], english("page.settings.email"))
}

// walkPages opens each page of the list. It returns all labels.
func walkPages(b *browser, path string) (labels []string, pages int) {
	for path != "" {
		page := b.get(path)
		require.Equal(b.h, 200, page.StatusCode, page.Body)
		_, more := rows(page.Body)
		labels, pages, path = append(labels, more...), pages+1, ""
		if m := nextPattern.FindStringSubmatch(page.Body); m != nil {
			path = html.UnescapeString(m[1])
		}
	}
	return labels, pages
}

func TestTeam_PagesOfAHundred(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	o.hire(245)
	b, _ := o.in("adam")
	labels, pages := walkPages(b, "/2fa/team")
	require.Equal(t, 3, pages)
	require.Len(t, labels, 250)
	slices.Sort(labels)
	require.Len(t, slices.Compact(labels), 250, "each member once")
	for _, q := range o.questions() {
		require.Equal(t, "acme", q.Account)
		require.Equal(t, 100, q.Limit)
	}
	require.Contains(t, b.get("/2fa/team").Body, english("page.team.shown", "count", 100))
	second := b.get("/2fa/team?after=200").Body
	require.Contains(t, second, english("page.team.shown", "count", 50))
	require.Contains(t, second, `<a class="btn-link" href="/2fa/team">`+english("page.team.first")+"</a>")
}

// A filter looks through ten parts of the list in a request. If it has found
// nobody, the page says so and leads on.
func TestTeam_FilterLooksThroughAThousandMembers(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	o.listed = nil
	o.hire(2400)
	o.list("adam")
	b, _ := o.in("adam")
	page := b.get("/2fa/team?state=on")
	require.Contains(t, page.Body, english("page.team.empty.part", "count", 1000))
	require.Len(t, o.questions(), 10)
	labels, pages := walkPages(b, "/2fa/team?state=on")
	require.Equal(t, []string{"Adam"}, labels)
	require.Equal(t, 3, pages)

	labels, pages = walkPages(b, "/2fa/team?state=off")
	require.Len(t, labels, 2400)
	require.Equal(t, 25, pages)
	require.Contains(t, b.get("/2fa/team?state=off&after=2400").Body, english("page.team.empty.end"))
}

func TestTeam_Filters(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	o.in("olga")
	filters := func(page string) []string {
		part, _, _ := strings.Cut(page[strings.Index(page, `<nav class="filters"`):], "</nav>")
		var names []string
		for line := range strings.Lines(part) {
			if _, text, ok := strings.Cut(line, `">`); ok && strings.HasPrefix(line, "<a") {
				name, _, _ := strings.Cut(text, " <span")
				if strings.Contains(line, `aria-current="true"`) {
					name = "[" + name + "]"
				}
				names = append(names, name)
			}
		}
		return names
	}
	require.Equal(t, []string{"[All]", "Needs attention", "Weak", "On", "Off", "Locked"}, filters(b.get("/2fa/team").Body))
	require.Equal(t, []string{"[All]", "Needs attention", "Weak", "On", "Off", "Locked"}, filters(b.get("/2fa/team?state=nonsense").Body))
	require.Equal(t, []string{"All", "[Needs attention]", "Weak", "On", "Off", "Locked", "Lost device", "Support case"}, filters(b.get("/2fa/team?state=attention").Body))
	require.Equal(t, []string{"All", "Needs attention", "Weak", "On", "Off", "Locked", "Lost device", "[Support case]"}, filters(b.get("/2fa/team?state=case").Body))
	policy := withGrace
	policy.ExemptSSO = true
	o.require(policy)
	require.Equal(t, []string{"All", "Needs attention", "Overdue", "[Not yet]", "Weak", "On", "SSO", "Locked"}, filters(b.get("/2fa/team?state=grace").Body))
	require.Equal(t, []string{"All", "Needs attention", "Overdue", "Not yet", "Weak", "On", "SSO", "Locked", "[Unreadable]"}, filters(b.get("/2fa/team?state=unreadable").Body))

	require.NoError(t, o.store.Swap(t.Context(), "", twofa.Record{Key: "user/max", Version: "1", Data: []byte("not ours")}))
	for state, want := range map[string][]string{"on": {"Olga", "Adam"}, "grace": {"Anna", "Mia"}, "unreadable": {"Max"}, "attention": {"Anna", "Mia", "Max"}, "sso": nil, "off": nil} {
		page := b.get("/2fa/team?state=" + state).Body
		_, labels := rows(page)
		require.Equal(t, want, labels, state)
		if want == nil {
			require.Contains(t, page, english("page.team.empty.filter"))
		}
	}
}

func TestTeam_Search(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	page := b.get("/2fa/team?q=M%C4%B1")
	require.Contains(t, page.Body, english("page.team.empty.search", "search", templateBDI("Mı")))
	page = b.get("/2fa/team?q=%E2%80%AEmax%0A&state=off")
	_, labels := rows(page.Body)
	require.Equal(t, []string{"Max"}, labels)
	require.Equal(t, "max", o.questions()[len(o.questions())-1].Search, "without characters that change the direction")
	require.Contains(t, page.Body, `name="q" type="search" dir="auto" value="max"`)
	require.Contains(t, page.Body, `<input type="hidden" name="state" value="off">`, "a search keeps the filter")
	require.Contains(t, page.Body, `href="/2fa/team?q=max&amp;state=attention"`, "a filter keeps the search")
	require.Contains(t, page.Body, `href="/2fa/team.csv?q=max&amp;state=off"`)
	require.Contains(t, b.get("/2fa/team?q=max&state=on").Body, english("page.team.empty.both", "search", templateBDI("max")))
	require.Contains(t, b.get("/2fa/team?state=attention").Body, english("page.team.empty.attention"))
}

// templateBDI returns what the function bdi of the templates does.
func templateBDI(value string) template.HTML { return template.HTML("<bdi>" + value + "</bdi>") }

// The counts arrive a part at a time, each of at most 1,000 members.
func TestTeam_Counts(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	o.hire(2100)
	b, _ := o.in("adam")
	o.require(withGrace)
	total, parts := map[string]int{}, 0
	for after := ""; ; parts++ {
		a := b.api("GET", "/2fa/team/counts?q=&after="+url.QueryEscape(after))
		require.Equal(t, 200, a.StatusCode, a.Body)
		require.Equal(t, "application/json", a.Header.Get("Content-Type"))
		var part struct {
			Counts map[string]int
			Next   string
		}
		require.NoError(t, json.Unmarshal([]byte(a.Body), &part))
		for name, n := range part.Counts {
			total[name] += n
		}
		if after = part.Next; after == "" {
			break
		}
	}
	require.Equal(t, 2, parts)
	require.Equal(t, map[string]int{"all": 2105, "attention": 2104, "on": 1, "grace": 2104, "weak": 0, "overdue": 0, "off": 0, "sso": 0, "locked": 0, "unreadable": 0, "unknown": 0, "lost": 0, "case": 0}, total)
	require.Contains(t, b.get("/2fa/team?q=m").Body, `data-counts="/2fa/team/counts?q=m"`)
	require.NotContains(t, b.get("/2fa/team").Body, "2,104", "the page itself counts nobody")
}

// A list that the host cannot read is not shown as an empty one.
func TestTeam_ListThatCannotBeRead(t *testing.T) {
	member := func(n int) (list []twofahttp.TeamMember) {
		for i := range n {
			list = append(list, twofahttp.TeamMember{ID: strconv.Itoa(i)})
		}
		return list
	}
	for name, answer := range map[string]func(twofahttp.TeamQuery) (twofahttp.TeamPage, error){
		"error": func(twofahttp.TeamQuery) (twofahttp.TeamPage, error) { return twofahttp.TeamPage{}, errors.New("down") },
		"an error of twofa's": func(twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
			return twofahttp.TeamPage{}, &twofa.DeniedError{Reason: twofa.ReasonSignedOut}
		},
		"more than asked for": func(q twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
			return twofahttp.TeamPage{Members: member(q.Limit + 1)}, nil
		},
		"no end": func(q twofahttp.TeamQuery) (twofahttp.TeamPage, error) { return twofahttp.TeamPage{Next: "same"}, nil },
		"a long cursor": func(twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
			return twofahttp.TeamPage{Next: strings.Repeat("x", 3000)}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, twofa.PolicyOptional())
			b, _ := o.in("adam")
			o.answers(answer)
			page := b.get("/2fa/team?after=same")
			says(t, page, "members_unavailable", "")
			require.NotContains(t, page.Body, english("page.team.empty"))
			require.NotContains(t, page.Body, "data-counts")
			require.NotContains(t, page.Body, "team.csv")
			require.Contains(t, page.Body, english("page.team.nav.policy"), "the other pages can be reached")
			require.Contains(t, o.logs.String(), "Config.Team")
			require.Equal(t, "members_unavailable", problemCode(t, b.api("GET", "/2fa/team?after=same")))
			require.Equal(t, "members_unavailable", problemCode(t, b.api("GET", "/2fa/team/counts?q=&after=same")))
			require.Equal(t, 503, b.get("/2fa/team.csv?after=same").StatusCode)
			require.True(t, b.signedIn())
		})
	}
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	require.Equal(t, 404, b.get("/2fa/team?after="+strings.Repeat("x", 3000)).StatusCode, "a cursor that is not the host's")
	o.answers(func(twofahttp.TeamQuery) (twofahttp.TeamPage, error) { panic("hunter2") })
	require.Equal(t, 500, b.get("/2fa/team").StatusCode)
	require.NotContains(t, o.logs.String(), "hunter2")
	o.answers(func(twofahttp.TeamQuery) (twofahttp.TeamPage, error) { return twofahttp.TeamPage{}, nil })
	require.Contains(t, b.get("/2fa/team").Body, english("page.team.empty"))
}

// Only members whom the directory confirms are shown, once each. Parts that
// contain nobody do not make the page look for them without end.
func TestTeam_ListWithFaults(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	o.answers(func(twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
		return twofahttp.TeamPage{Members: []twofahttp.TeamMember{{ID: "mia", Name: "Mia"}, {ID: ""}, {ID: "bert", Name: "Bert of beta"}, {ID: "mia", Name: "Mia again"}, {ID: "nobody", Name: "Nobody"}, {ID: strings.Repeat("x", 300)}, {ID: "max"}}}, nil
	})
	page := b.get("/2fa/team").Body
	_, labels := rows(page)
	require.Equal(t, []string{"Mia", "max"}, labels, "a member without a name and an address has the ID")
	require.NotContains(t, page, "Bert")

	o.answers(func(twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
		return twofahttp.TeamPage{Members: []twofahttp.TeamMember{{ID: "bert"}, {ID: "nobody"}}}, nil
	})
	require.Contains(t, b.get("/2fa/team").Body, english("page.team.empty"))
	require.Contains(t, o.logs.String(), "confirms none of them")

	n := 0
	o.answers(func(twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
		n++
		return twofahttp.TeamPage{Next: strconv.Itoa(n)}, nil
	})
	page = b.get("/2fa/team?state=on").Body
	require.Equal(t, 10, n)
	require.Contains(t, page, english("page.team.empty.part", "count", 0))
}

// A member can choose their own name.
func TestTeam_NamesAreHarmless(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	o.answers(func(q twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
		if q.ID != "" {
			require.Equal(t, 1, q.Limit)
			return twofahttp.TeamPage{Members: []twofahttp.TeamMember{{ID: "mia", Name: "<b>Mia</b>\u202e\n\x1b[31m", Email: "\u2066m\u2069@example.com"}}}, nil
		}
		return twofahttp.TeamPage{Members: []twofahttp.TeamMember{{ID: "mia", Name: "<b>Mia</b>\u202e\n\x1b[31m", Email: "\u2066m\u2069@example.com"}, {ID: "max", Name: strings.Repeat("é", 5000)}}}, nil
	})
	for _, path := range []string{"/2fa/team", "/2fa/team/member?id=mia"} {
		page := b.get(path).Body
		require.Contains(t, page, "<bdi>&lt;b&gt;Mia&lt;/b&gt;[31m</bdi>", path)
		require.Contains(t, page, "m@example.com")
		require.NotRegexp(t, "[\u202a-\u202e\u2066-\u2069\x1b]", page, path)
	}
	_, labels := rows(b.get("/2fa/team").Body)
	require.LessOrEqual(t, len(labels[1]), 200)
}

// The pages exist in each language.
func TestTeam_Languages(t *testing.T) {
	languages := []*locale.Catalog{locale.English(), de.Catalog(), es.Catalog(), fr.Catalog(), ja.Catalog(), ptbr.Catalog()}
	o := newOffice(t, twofa.PolicyOptional(), func(c *twofa.Config, _ *twofahttp.Config) { c.Languages = languages })
	b, _ := o.in("adam")
	o.require(withGrace)
	for _, c := range languages {
		b.header.Set("Accept-Language", c.Tag())
		for _, path := range []string{"/2fa/team", "/2fa/team/member?id=mia"} {
			page := b.get(path)
			require.Equal(t, 200, page.StatusCode)
			require.Contains(t, page.Body, string(c.HTML("page.team.state.grace", nil)), c.Tag()+path)
			require.NotContains(t, page.Body, "page.team.")
		}
	}
}

func TestTeam_NotWithoutTheHostsList(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) { c.Team = nil })
	b, _ := o.in("olga")
	for _, rt := range twofahttp.TeamRoutes() {
		require.Equal(t, 404, b.do(b.request(rt.Method, "/2fa/"+rt.Path+"?id=mia", "")).StatusCode, rt.Path)
	}
}

func TestTeam_NeedsAnAccount(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b := o.browser()
	b.login("olga") // names no account
	require.Equal(t, 404, b.get("/2fa/team").StatusCode)
	require.Empty(t, o.questions())
	b.header.Set("X-Account", "acme")
	_, labels := rows(b.get("/2fa/team").Body)
	require.Len(t, labels, 5)
}

// A browser that leaves the page hangs up on the counts. That is not an error of the
// host's.
func TestTeam_ClientThatHangsUpIsNoError(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	before := len(o.logs.String())
	ctx, cancel := context.WithCancel(t.Context())
	o.answers(func(twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
		cancel()
		return twofahttp.TeamPage{}, ctx.Err()
	})
	r := b.request("GET", "/2fa/team/counts?q=", "").WithContext(ctx)
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	o.web.Handler().ServeHTTP(w, r)
	require.Equal(t, 503, w.Code)
	require.NotContains(t, o.logs.String()[before:], "level=ERROR")
	require.Contains(t, o.logs.String()[before:], "members_unavailable")
}

// The page explains each status that it can show, in the words of the page about one
// member.
func TestTeam_ExplainsTheStatuses(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	explained := func() map[string]string {
		_, legend, ok := strings.Cut(b.get("/2fa/team").Body, "</svg>"+english("page.team.legend")+"</summary>")
		require.True(t, ok)
		found := map[string]string{}
		for badge, text := range facts(regexp.MustCompile(`(?s)<dt><span class="badge[^"]*">\s*<svg.*?</svg>([^<]+)</span></dt>`).ReplaceAllString(legend, "<dt>$1</dt>")) {
			found[badge] = text
		}
		return found
	}
	require.Equal(t, map[string]string{
		english("page.team.state.on"):     english("page.member.state.on"),
		english("page.team.state.weak"):   english("page.member.state.weak"),
		english("page.team.state.off"):    english("page.member.state.off"),
		english("page.team.state.locked"): english("page.member.state.locked"),
	}, explained())
	o.require(withGrace)
	words := explained()
	require.Equal(t, english("page.member.state.grace"), words[english("page.team.state.grace")])
	require.Equal(t, english("page.member.state.overdue", "issuer", "Acme"), words[english("page.team.state.overdue")])
	require.NotContains(t, words, english("page.team.state.off"))
}

// The way up from the pages of admins leads to the list of members, and from there
// the header of the host leads on. It does not lead to the settings of the admin.
func TestTeam_CrumbsStayWithTheTeam(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	for path, want := range map[string]string{"/2fa/team": "", "/2fa/policy": "", "/2fa/team/member?id=mia": `<a href="/2fa/team">`} {
		_, crumbs, _ := strings.Cut(b.get(path).Body, `<nav class="crumbs"`)
		crumbs, _, _ = strings.Cut(crumbs, "</nav>")
		require.NotContains(t, crumbs, `href="/2fa/"`, path)
		require.Contains(t, crumbs, want, path)
		require.Equal(t, want == "", crumbs == "", path)
	}
	preview := b.preview("grace", "1")
	require.Contains(t, preview.Body, `<li><a href="/2fa/team">`)
	require.Contains(t, preview.Body, `<li><a href="/2fa/policy">`)
	require.NotContains(t, preview.Body, `<a href="/2fa/">`)
}
