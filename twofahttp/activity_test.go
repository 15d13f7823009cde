package twofahttp_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/twofahttp"
)

// records reports an export by the user of a browser.
func (b *browser) records(a twofa.RecordedAction) {
	b.h.Helper()
	r := mustRequest(b)
	r.RemoteAddr = "127.0.0.1:1"
	require.NoError(b.h, b.h.m.RecordAction(b.h.Context(), b.h.web.Caller(r), a))
}

// happened stores an event as the library would.
func (o *office) happened(events ...twofa.Event) {
	o.Helper()
	for _, e := range events {
		if e.Time.IsZero() {
			e.Time = o.clock.now().UTC().Truncate(time.Second)
		}
		if e.ID == "" {
			e.ID = fmt.Sprint("event-", o.store.writes())
		}
		require.NoError(o, o.store.Swap(o.Context(), "", twofa.Record{Key: "x/" + e.ID, Version: "v"}, e))
	}
}

var (
	whatPattern = regexp.MustCompile(`(?s)<span class="row-name event">.*?<bdi>([^<]*)</bdi>`)
	morePattern = regexp.MustCompile(`<span class="muted"><bdi>([^<]*)</bdi></span>`)
	tagPattern  = regexp.MustCompile(`(?s)<[^>]*>`)
	cellPattern = regexp.MustCompile(`(?s)<td role="cell".*?</td>`)
	olderLink   = regexp.MustCompile(`<a class="btn-link" href="([^"]+)">Older</a>`)
)

// shownEvent is a row of the page.
type shownEvent struct {
	what                           string
	more                           []string
	when, who, whom, where, reason string
}

// eventsOn returns the rows of the page.
func eventsOn(t *testing.T, page string) (list []shownEvent) {
	t.Helper()
	for _, row := range rowPattern.FindAllString(page, -1) {
		cells := cellPattern.FindAllString(row, -1)
		require.Len(t, cells, 6)
		text := func(i int) string {
			return html.UnescapeString(strings.Join(strings.Fields(tagPattern.ReplaceAllString(cells[i], " ")), " "))
		}
		e := shownEvent{what: html.UnescapeString(whatPattern.FindStringSubmatch(cells[0])[1]), when: text(1), who: text(2), whom: text(3), where: text(4), reason: text(5)}
		for _, m := range morePattern.FindAllStringSubmatch(cells[0], -1) {
			e.more = append(e.more, html.UnescapeString(m[1]))
		}
		list = append(list, e)
	}
	return list
}

func TestActivity_WhoDidWhat(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	adam, phone := o.in("adam")
	mia, _ := o.in("mia")
	o.clock.pass(time.Hour)
	mia.records(twofa.RecordedAction{Action: "contacts.export", Resource: "all", Count: 1200})
	o.clock.pass(time.Minute)
	adam.extend("max", "2026-03-20", "New phone arrives next week")
	adam.get("/2fa/challenge")
	adam.prove(phone)
	require.NotEqual(t, 200, adam.extend("max", "2026-03-20", "New phone arrives next week").StatusCode)
	page := adam.get("/2fa/activity")
	require.Equal(t, 200, page.StatusCode)
	list := eventsOn(t, page.Body)
	require.Equal(t, english("event.extended"), list[0].what)
	none := "– " + english("page.activity.none")
	require.Equal(t, shownEvent{english("event.extended"), []string{english("event.until", "date", "20 March 2026")}, "1 March 2026, 10:01 UTC", "adam", "max", "127.0.0.1 Firefox on Linux", "New phone arrives next week"}, list[0])
	i := slices.IndexFunc(list, func(e shownEvent) bool { return strings.Contains(e.what, "Export contacts") })
	require.Equal(t, shownEvent{english("event.action.named", "action", "Export contacts"), []string{english("event.number", "number", "1200"), "all"}, "1 March 2026, 10:00 UTC", "mia", none, "127.0.0.1 Firefox on Linux", none}, list[i])
	require.True(t, slices.ContainsFunc(list, func(e shownEvent) bool { return e.what == english("event.login.password") && e.who == "mia" }))
	require.False(t, slices.ContainsFunc(list, func(e shownEvent) bool { return strings.Contains(e.what, english("event.admin_act")) }), "an act is shown once")
	require.Contains(t, adam.get("/2fa/team").Body, `<a href="/2fa/activity">`)
	require.Contains(t, adam.get("/2fa/team/member?id=mia").Body, `href="/2fa/activity?user=mia"`)

	a := adam.api("GET", "/2fa/activity?type=action")
	require.Equal(t, "application/json", a.Header.Get("Content-Type"))
	var answer struct {
		Events []twofa.Event
		Names  map[string]string
		Next   string
	}
	require.NoError(t, json.Unmarshal([]byte(a.Body), &answer))
	require.Len(t, answer.Events, 1)
	require.Equal(t, map[string]string{"mia": "mia"}, answer.Names)
}

// Every kind of actor and of user has a name of its own.
func TestActivity_Parties(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	adam, _ := o.in("adam")
	o.clock.pass(time.Hour)
	anna := twofa.EventActor{Kind: "user", ID: "anna", Role: "admin"}
	none := "– " + english("page.activity.none")
	for i, c := range []struct {
		e         twofa.Event
		who, whom string
	}{
		{twofa.Event{Type: event.Login, User: "mia"}, "mia", none},
		{twofa.Event{Type: event.Failed, User: "mia"}, english("page.activity.anybody"), "mia"},
		{twofa.Event{Type: event.Reset, User: "mia", Actor: anna}, "anna", "mia"},
		{twofa.Event{Type: event.AdminAct, User: "anna", Actor: anna}, "anna", none},
		{twofa.Event{Type: event.Policy, Actor: anna}, "anna", english("page.activity.everybody")},
		{twofa.Event{Type: event.Login, User: "left-long-ago"}, "left-long-ago " + english("page.activity.former"), none},
		{twofa.Event{Type: event.Reset, User: "mia", Actor: twofa.EventActor{Kind: "user", ID: "gone"}}, "gone " + english("page.activity.former"), "mia"},
		{twofa.Event{Type: event.Login}, english("page.activity.erased"), none},
		{twofa.Event{Type: event.Failed}, english("page.activity.anybody"), english("page.activity.erased")},
		{twofa.Event{Type: event.Reset, User: "mia", Actor: twofa.EventActor{Kind: "user"}}, english("page.activity.erased"), "mia"},
		{twofa.Event{Type: event.Extended, User: "mia", Actor: twofa.EventActor{Kind: "staff", ID: "sue"}, Reason: "secret"}, english("page.activity.support", "issuer", "Acme"), "mia"},
		{twofa.Event{Type: event.Reminded, User: "mia", Actor: twofa.EventActor{Kind: "host"}}, "Acme", "mia"},
		{twofa.Event{Type: event.Summarized, Actor: twofa.EventActor{Kind: "host"}}, "Acme", english("page.activity.everybody")},
	} {
		c.e.ID, c.e.Account = fmt.Sprint("e", i), "acme"
		o.clock.pass(time.Second)
		o.happened(c.e)
		page := adam.get("/2fa/activity").Body
		first := eventsOn(t, page)[0]
		require.Equal(t, []string{c.who, c.whom}, []string{first.who, first.whom}, "%+v", c.e)
		require.NotContains(t, page, "sue")
		require.NotContains(t, page, "secret")
	}
}

// What else is known about an event stands below its sentence.
func TestActivity_Sentences(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	adam, _ := o.in("adam")
	before, err := json.Marshal(twofa.PolicyOptional())
	require.NoError(t, err)
	after, err := json.Marshal(twofa.PolicyAuthenticator())
	require.NoError(t, err)
	for i, c := range []struct {
		e    twofa.Event
		want []string // the sentence, and what is below it
	}{
		{twofa.Event{Type: event.Login, Method: twofa.TOTP, Detail: "password"}, []string{english("event.login.totp")}},
		{twofa.Event{Type: event.Login, Detail: "sso"}, []string{english("event.login.sso")}},
		{twofa.Event{Type: event.Login, Detail: "token"}, []string{english("event.login")}},
		{twofa.Event{Type: event.Failed, Method: twofa.RecoveryCode}, []string{english("event.failed"), "Recovery code"}},
		{twofa.Event{Type: event.CodesGenerated, Left: 10}, []string{english("event.codes_generated"), english("page.member.codes", "count", 10)}},
		{twofa.Event{Type: event.RecoveryUsed, Method: twofa.RecoveryCode}, []string{english("event.recovery_used"), english("page.member.codes.none")}},
		{twofa.Event{Type: event.Action, Detail: "contacts.export", After: json.RawMessage(`{"count":3,"failed":true}`)}, []string{english("event.action.failed", "action", "Export contacts"), english("event.number", "number", "3")}},
		{twofa.Event{Type: event.ActionUsed, Detail: "contacts.exports"}, []string{english("event.action_used"), "contacts.exports"}},
		{twofa.Event{Type: event.StepUp, Detail: twofa.ActionFactors}, []string{english("event.step_up.named", "action", english("action.factors"))}},
		{twofa.Event{Type: event.Action, Detail: "host.own: <b>x</b>", After: json.RawMessage(`nonsense`)}, []string{english("event.action"), "host.own: <b>x</b>"}},
		{twofa.Event{Type: event.Policy, Before: before, After: json.RawMessage("null")}, []string{english("event.policy.default")}},
		{twofa.Event{Type: event.Policy, Before: json.RawMessage("null"), After: after}, []string{english("event.policy")}},
		{twofa.Event{Type: event.Extended, Before: json.RawMessage(`"2026-03-04T00:00:00Z"`), After: json.RawMessage("null")}, []string{english("event.extended.ended")}},
		{twofa.Event{Type: "of_a_later_release", Detail: "x"}, []string{"of_a_later_release"}},
	} {
		c.e.ID, c.e.Account, c.e.User = fmt.Sprint("s", i), "acme", "mia"
		o.clock.pass(time.Second)
		o.happened(c.e)
		first := eventsOn(t, adam.get("/2fa/activity").Body)[0]
		require.Equal(t, c.want, append([]string{first.what}, first.more...))
	}
	o.clock.pass(time.Second)
	o.happened(twofa.Event{ID: "policy", Account: "acme", Type: event.Policy, Before: before, After: after, Actor: twofa.EventActor{Kind: "host"}})
	first := eventsOn(t, adam.get("/2fa/activity").Body)[0]
	require.Contains(t, strings.Join(first.more, "\n"), english("page.policy.require.title")+": "+english("page.policy.require.authenticator"))
}

// typesOfEvents returns the constants of package event.
func typesOfEvents(t *testing.T) (types []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../event/event.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		if n, ok := n.(*ast.ValueSpec); ok {
			value, err := strconv.Unquote(n.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			types = append(types, value)
		}
		return true
	})
	require.Greater(t, len(types), 30)
	return types
}

// Each type of event has a sentence in each language, and the filter offers it. No
// sentence is about anything else.
func TestActivity_EveryTypeHasASentence(t *testing.T) {
	variants := map[string]bool{"event.number": true, "event.until": true, "event.extended.ended": true, "event.policy.default": true, "event.action.failed": true}
	for _, way := range []string{"totp", "sms", "email", "recovery", "password", "sso"} {
		variants["event.login."+way] = true
	}
	for _, kind := range []string{event.Action, event.ActionUsed, event.StepUp, event.AdminAct} {
		variants["event."+kind+".named"] = true
	}
	types := typesOfEvents(t)
	for _, c := range everyLanguage() {
		for _, kind := range types {
			require.True(t, c.Has("event."+kind), "%s: locale/en.json lacks event.%s", c.Tag(), kind)
			require.NotContains(t, c.Text("event."+kind, nil), "{{", kind)
		}
	}
	file, err := json.Marshal(locale.English())
	require.NoError(t, err)
	var texts map[string]string
	require.NoError(t, json.Unmarshal(file, &texts))
	for id := range texts {
		if kind, ok := strings.CutPrefix(id, "event."); ok {
			require.True(t, slices.Contains(types, kind) || variants[id], id)
		}
	}
	o := newOffice(t, twofa.PolicyOptional())
	adam, _ := o.in("adam")
	page := adam.get("/2fa/activity").Body
	for _, kind := range types {
		require.Contains(t, page, `<option value="`+kind+`">`, "add it to eventGroups")
	}
}

func TestActivity_Filters(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	adam, _ := o.in("adam")
	mia, _ := o.in("mia")
	max, _ := o.in("max")
	o.clock.pass(time.Hour)
	mia.records(twofa.RecordedAction{Action: "contacts.export", Count: 3})
	max.records(twofa.RecordedAction{Action: "contacts.export", Count: 4})
	o.happened(twofa.Event{ID: "reset", Account: "acme", Type: event.Reset, User: "left", Actor: twofa.EventActor{Kind: "user", ID: "anna", Role: "admin"}})
	count := func(query string) int {
		page := adam.get("/2fa/activity" + query)
		require.Equal(t, 200, page.StatusCode, query)
		list := eventsOn(t, page.Body)
		if len(list) == 0 {
			require.Contains(t, page.Body, english("page.activity.empty.filter"))
		}
		return len(list)
	}
	all := count("")
	for query, want := range map[string]int{
		"?type=action": 2, "?type=actions": 2, "?type=action&user=mia": 1, "?type=action&user=MIA%40example.com": 1, "?type=action&user=Mia": 1, "?user=left": 1, "?user=nobody": 0,
		"?actor=anna": 1, "?actor=anna%40example.com": 1, "?actor=mia": 0, "?type=resets": 1, "?type=of_a_later_release": 0, "?from=2026-03-01&type=action": 2, "?from=2026-03-02": 0,
		"?to=2026-02-28": 0, "?from=2026-03-01&to=2026-03-01&type=action": 2, "?type=" + url.QueryEscape("<b>"): all, "?user=+": all,
	} {
		require.Equal(t, want, count(query), query)
	}
	page := adam.get("/2fa/activity?user=mia&type=action&from=2026-03-01&to=2026-03-09").Body
	for _, keeps := range []string{`name="user" type="search" dir="auto" value="mia@example.com"`, `<option value="action" selected>`, `value="2026-03-01"`, `value="2026-03-09"`,
		`href="/2fa/activity.csv?from=2026-03-01&amp;to=2026-03-09&amp;type=action&amp;user=mia"`, `href="/2fa/activity">` + english("page.activity.clear")} {
		require.Contains(t, page, keeps)
	}
	require.Contains(t, adam.get("/2fa/activity?type=of_a_later_release").Body, `<option value="of_a_later_release" selected>of_a_later_release</option>`)
	require.NotContains(t, adam.get("/2fa/activity").Body, english("page.activity.clear"))
}

// A mistake in a field is reported there, and what was typed stays.
func TestActivity_FilterMistakes(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	adam, _ := o.in("adam")
	for query, want := range map[string][2]string{
		"from=31.1.2026": {"invalid_from", "from"}, "from=2026-02-30": {"invalid_from", "from"}, "to=tomorrow": {"invalid_to", "to"}, "from=2026-03-02&to=2026-03-01": {"invalid_to", "to"},
		"user=max&from=2026-03-01": {"", ""}, "user=m": {"several_users", "user"}, "actor=example.com": {"several_actors", "actor"},
	} {
		page := adam.get("/2fa/activity?type=action&" + query)
		if want[0] == "" {
			require.Equal(t, 200, page.StatusCode, "one member matches")
			continue
		}
		require.Equal(t, 422, page.StatusCode, query)
		require.Contains(t, page.Body, english("message."+want[0]+".title"))
		require.Regexp(t, `name="`+want[1]+`"[^>]* aria-invalid="true" aria-describedby="alert"`, page.Body)
		require.Equal(t, 1, strings.Count(page.Body, `id="alert"`))
		require.Contains(t, page.Body, `<option value="action" selected>`, query)
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		for name := range values {
			require.Regexp(t, `name="`+name+`"[^>]* value="`+values.Get(name)+`"`, page.Body, query)
		}
		require.Empty(t, eventsOn(t, page.Body))
		for _, path := range []string{"activity", "activity.csv", "activity.jsonl"} {
			require.Equal(t, want[0], problemCode(t, adam.api("GET", "/2fa/"+path+"?"+query)), path)
		}
	}
}

// walkActivity opens each page, from the newest on.
func walkActivity(b *browser, path string) (list []shownEvent, pages int) {
	for path != "" {
		page := b.get(path)
		require.Equal(b.h, 200, page.StatusCode, page.Body)
		list, pages, path = append(list, eventsOn(b.h.T, page.Body)...), pages+1, ""
		if m := olderLink.FindStringSubmatch(page.Body); m != nil {
			path = html.UnescapeString(m[1])
		}
		require.Equal(b.h, pages > 1, strings.Contains(page.Body, ">"+english("page.activity.newest")+"</a>"))
	}
	return list, pages
}

func TestActivity_Older(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	adam, _ := o.in("adam")
	for i := range 120 {
		o.happened(twofa.Event{ID: fmt.Sprint("n", i), Account: "acme", User: "mia", Type: event.Sent, Time: longAgo.Add(time.Duration(i) * time.Hour)})
	}
	list, pages := walkActivity(adam, "/2fa/activity?type=sent")
	require.Len(t, list, 120)
	require.Equal(t, 3, pages)
	require.Equal(t, "1 January 2025, 00:00 UTC", list[119].when)
	list, _ = walkActivity(adam, "/2fa/activity?type=sent&user=mia&to=2025-01-01")
	require.Len(t, list, 24, "older pages keep the filters")
}

// Activity that cannot be read is not shown as none, and the settings do without.
func TestActivity_StoreFails(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	adam, _ := o.in("adam")
	require.Contains(t, adam.get("/2fa/").Body, english("event.login.password"))
	o.store.brokenEvents(errors.New("down"))
	page := adam.get("/2fa/activity?type=action&from=2026-03-01")
	says(t, page, "activity_unavailable", "")
	require.Contains(t, page.Body, `<option value="action" selected>`)
	require.Contains(t, page.Body, `<a class="btn" href="/2fa/activity?type=action&amp;from=2026-03-01">`+english("page.message.retry"))
	require.NotContains(t, page.Body, english("page.activity.empty.filter"))
	require.NotContains(t, page.Body, "activity.csv")
	says(t, adam.get("/2fa/history"), "activity_unavailable", "")
	for _, path := range []string{"activity", "history", "activity.csv", "activity.jsonl"} {
		require.Contains(t, []string{"activity_unavailable", "unavailable"}, problemCode(t, adam.api("GET", "/2fa/"+path)), path)
	}
	settings := adam.get("/2fa/")
	require.Equal(t, 200, settings.StatusCode)
	require.Contains(t, settings.Body, `href="/2fa/history"`)
	require.NotContains(t, settings.Body, english("event.login.password"))
	require.Contains(t, o.logs.String(), "down")
	o.store.brokenEvents(nil)
	o.answers(func(twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
		return twofahttp.TeamPage{}, errors.New("no list")
	})
	says(t, adam.get("/2fa/activity?user=mia"), "members_unavailable", "")
	require.Equal(t, 200, adam.get("/2fa/activity").StatusCode, "without that filter, the list is not needed")
}

// Without a store that lists events, the pages do not exist.
func TestActivity_StoreWithoutEvents(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional(), func(c *twofa.Config, _ *twofahttp.Config) { c.Store = struct{ twofa.Store }{c.Store} })
	adam, _ := o.in("adam")
	for _, path := range []string{"activity", "activity.csv", "activity.jsonl", "history"} {
		require.Equal(t, 404, adam.get("/2fa/"+path).StatusCode)
	}
	for _, path := range []string{"", "team", "team/member?id=mia"} {
		page := adam.get("/2fa/" + path)
		require.Equal(t, 200, page.StatusCode)
		require.NotContains(t, page.Body, "/2fa/activity")
		require.NotContains(t, page.Body, "/2fa/history")
	}
}

func TestHistory(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	mia, _ := o.in("mia")
	o.clock.pass(time.Hour)
	mia.records(twofa.RecordedAction{Action: "contacts.export", Count: 7})
	o.happened(twofa.Event{ID: "a", Account: "acme", Type: event.Extended, User: "mia", Actor: twofa.EventActor{Kind: "user", ID: "adam", Role: "admin"}, Reason: "not for mia", After: json.RawMessage(`"2026-03-20T23:59:59Z"`)},
		twofa.Event{ID: "b", Account: "beta", Type: event.CodesGenerated, User: "mia", IP: "192.0.2.9", Detail: "of beta"},
		twofa.Event{ID: "c", Account: "beta", Type: event.Action, User: "mia", Detail: "plans of beta"},
		twofa.Event{ID: "d", Type: event.Reset, User: "mia", Actor: twofa.EventActor{Kind: "staff", ID: "sue"}, Reason: "call"},
		twofa.Event{ID: "e", Account: "acme", Type: event.Login, User: "adam"})
	page := mia.get("/2fa/history")
	require.Equal(t, 200, page.StatusCode)
	for _, text := range []string{english("event.action.named", "action", "Export contacts"), english("event.number", "number", "7"), english("page.activity.admin"), english("page.activity.support", "issuer", templateBDI("Acme")), english("page.history.elsewhere"), english("event.codes_generated"), `href="/2fa/revoke"`, `href="/2fa/#methods"`} {
		require.Contains(t, page.Body, text)
	}
	for _, secret := range []string{"not for mia", "adam", "sue", "192.0.2.9", "of beta"} {
		require.NotContains(t, page.Body, secret)
	}
	settings := mia.get("/2fa/").Body
	require.Contains(t, settings, english("page.history.title"))
	require.Equal(t, 5, strings.Count(settings[strings.Index(settings, `id="recent"`):], `<li class="row">`))
	a := mia.api("GET", "/2fa/history")
	require.Equal(t, 200, a.StatusCode)
	require.NotContains(t, a.Body, "of beta")
	require.NotContains(t, a.Body, "sue")

	for i := range 120 {
		o.happened(twofa.Event{ID: fmt.Sprint("n", i), Account: "acme", User: "mia", Type: event.Sent, Time: longAgo.Add(time.Duration(i) * time.Hour)})
	}
	sent, path := 0, "/2fa/history"
	for path != "" {
		page := mia.get(path)
		sent, path = sent+strings.Count(page.Body, english("event.sent")), ""
		if m := olderLink.FindStringSubmatch(page.Body); m != nil {
			path = html.UnescapeString(m[1])
		}
	}
	require.Equal(t, 120, sent)
	require.Equal(t, 303, o.browser().get("/2fa/history").StatusCode, "nobody is signed in")
}

// activityTable returns the rows of a download by the names of the columns.
func activityTable(t *testing.T, a answer) (rows []map[string]string) {
	t.Helper()
	require.Equal(t, 200, a.StatusCode, a.Body)
	all, err := csv.NewReader(strings.NewReader(a.Body)).ReadAll()
	require.NoError(t, err)
	for _, cells := range all[1:] {
		row := map[string]string{}
		for i, name := range all[0] {
			row[name] = cells[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func TestActivityFiles(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	adam, _ := o.in("adam")
	mia, _ := o.in("mia")
	for i := range 1200 {
		o.happened(twofa.Event{ID: fmt.Sprint("n", i), Account: "acme", User: fmt.Sprint("user", i), Actor: twofa.EventActor{Kind: "user", ID: fmt.Sprint("admin", i)}, Type: event.Sent, Time: longAgo.Add(time.Duration(i) * time.Hour)})
	}
	o.clock.pass(time.Hour)
	mia.records(twofa.RecordedAction{Action: "contacts.export", Resource: "all", Count: 1200})
	require.Empty(t, activityTable(t, adam.get("/2fa/activity.csv?type=action")), "an event can be stored late")
	o.clock.pass(2 * time.Minute)

	a := adam.get("/2fa/activity.csv")
	kind, params, err := mime.ParseMediaType(a.Header.Get("Content-Disposition"))
	require.NoError(t, err)
	require.Equal(t, []string{"attachment", "activity-2026-03-01.csv"}, []string{kind, params["filename"]})
	require.Equal(t, "text/csv; charset=utf-8", a.Header.Get("Content-Type"))
	rows := activityTable(t, a)
	require.Equal(t, "user0", rows[0]["user"], "the oldest first")
	require.Equal(t, "user1199", rows[1199]["user"])
	last := rows[len(rows)-1]
	for name, want := range map[string]string{"time": "2026-03-01T10:00:10Z", "type": "action", "user": "mia", "user_name": "mia", "detail": "contacts.export all", "count": "1200", "failed": "false", "ip": "127.0.0.1", "account": "acme"} {
		require.Equal(t, want, last[name], name)
	}
	require.Contains(t, last["agent"], "Firefox")
	require.Len(t, activityTable(t, adam.get("/2fa/activity.csv?type=sent&to=2025-01-02")), 48)

	a = adam.get("/2fa/activity.jsonl?type=action&user=mia")
	require.Equal(t, "application/jsonl", a.Header.Get("Content-Type"))
	var e twofa.Event
	require.NoError(t, json.Unmarshal([]byte(a.Body), &e))
	require.Equal(t, "contacts.export all", e.Detail)
	require.Empty(t, e.MAC)
	require.Equal(t, len(rows), strings.Count(adam.get("/2fa/activity.jsonl").Body, "\n"))
	head := adam.do(adam.request(http.MethodHead, "/2fa/activity.csv", ""))
	require.Equal(t, 200, head.StatusCode)
	require.Empty(t, head.Body)
}

// If a part fails, the download fails. It never ends early as if it were complete.
func TestActivityFiles_FailInTheMiddle(t *testing.T) {
	for name, fail := range map[string]func(*office){
		"the store":     func(o *office) { o.store.brokenEvents(errors.New("down")) },
		"the directory": func(o *office) { o.become("adam", twofa.RoleMember) },
		"the account":   func(o *office) { o.members["adam"] = nil },
	} {
		for _, file := range []string{"activity.csv", "activity.jsonl"} {
			t.Run(name+" "+file, func(t *testing.T) {
				o := newOffice(t, twofa.PolicyOptional())
				adam, _ := o.in("adam")
				for i := range 1200 {
					o.happened(twofa.Event{ID: fmt.Sprint("n", i), Account: "acme", User: "mia", Type: event.Sent, Time: longAgo.Add(time.Duration(i) * time.Hour)})
				}
				o.store.afterEvents(2, func() { fail(o) })
				require.Error(t, adam.download("/2fa/"+file))
				require.Contains(t, o.logs.String(), "twofahttp: download aborted")
			})
		}
	}
}
