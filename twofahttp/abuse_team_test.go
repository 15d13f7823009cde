package twofahttp_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/twofahttp"
)

// teamBrowsers returns a browser of each kind of user, by name. All of them are
// at the account acme.
func (o *office) teamBrowsers() map[string]*browser {
	stranger, half := o.browser(), o.browser()
	o.in("mia")
	half.login("mia", "account", "acme")
	member, _ := o.in("max")
	admin, _ := o.in("adam")
	owner, _ := o.in("olga")
	other := o.browser()
	other.enroll("bert", "account", "beta")
	all := map[string]*browser{"no session": stranger, "no second factor": half, "member": member, "admin of another account": other, "admin": admin, "owner": owner}
	for _, b := range all {
		b.header.Set("X-Account", "acme")
		b.get("/2fa/revoke") // has a form token
	}
	return all
}

// Every route for admins is closed to everybody else, also one that is added to
// the table later. Nothing of the list is read for them, and none of it is in the
// answer.
func TestAbuse_E01_M02_N11_TeamRouteMatrix(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	all := o.teamBrowsers()
	require.NotEmpty(t, twofahttp.TeamRoutes())
	for _, rt := range twofahttp.TeamRoutes() {
		for name, b := range all {
			for _, accept := range []string{"text/html", "application/json"} {
				where := fmt.Sprintf("%s %s as %s, %s", rt.Method, rt.Path, name, accept)
				body := url.Values{"csrf_token": {b.csrf}, "id": {"anna"}}.Encode()
				path := "/2fa/" + rt.Path + "?id=anna&q="
				if rt.Method == "GET" {
					body = ""
				}
				r := b.request(rt.Method, path, body)
				r.Header.Set("Accept", accept)
				asked, written := len(o.questions()), o.store.writes()
				a := b.do(r)
				if name == "admin" || name == "owner" {
					require.NotContains(t, []int{303, 401, 403, 404}, a.StatusCode, where)
					continue
				}
				require.Contains(t, []int{303, 401, 403}, a.StatusCode, where)
				require.Len(t, o.questions(), asked, where)
				require.Equal(t, written, o.store.writes(), where)
				require.NotContains(t, strings.ToLower(a.Body), "anna@example.com", where)
				if name == "member" {
					require.Equal(t, 403, a.StatusCode, where)
				}
			}
		}
	}
}

// The owner of another account gets the same answer for an account that exists and
// for one that does not.
func TestAbuse_N11_OtherAccountsAreNotTold(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	bert := o.browser()
	bert.enroll("bert", "account", "beta")
	for _, rt := range twofahttp.TeamRoutes() {
		if rt.Method != "GET" {
			continue
		}
		var answers []string
		for _, account := range []string{"acme", "nowhere"} {
			bert.header.Set("X-Account", account)
			a := bert.api("GET", "/2fa/"+rt.Path+"?id=mia")
			answers = append(answers, fmt.Sprint(a.StatusCode, a.Body))
		}
		require.Equal(t, answers[0], answers[1], rt.Path)
	}
	bert.header.Set("X-Account", "beta")
	o.answers(func(q twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
		require.Equal(t, "beta", q.Account)
		return twofahttp.TeamPage{Members: []twofahttp.TeamMember{{ID: "mia", Name: "Mia"}, {ID: "bert"}}}, nil // a host that mixes accounts up
	})
	page := bert.get("/2fa/team").Body
	_, labels := rows(page)
	require.Equal(t, []string{"bert"}, labels)
}

// A member of another account and nobody at all have the same answer.
func TestAbuse_N12_MemberOfAnotherAccount(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	var answers []string
	for _, id := range []string{"bert", "nobody", "", strings.Repeat("x", 300), "a\u202eb"} {
		page := b.get("/2fa/team/member?id=" + url.QueryEscape(id))
		require.Equal(t, 404, page.StatusCode, id)
		answers = append(answers, fmt.Sprintf("%s %d", problemCode(t, b.api("GET", "/2fa/team/member?id="+url.QueryEscape(id))), b.extend(id, "2026-03-09", "on leave").StatusCode))
	}
	for _, answer := range answers {
		require.Equal(t, "not_enrolled 404", answer)
	}
}

// extend sends the form of a member's page.
func (b *browser) extend(id, until, reason string, pairs ...string) answer {
	b.h.Helper()
	return b.post("/2fa/team/extend", append([]string{"id", id, "until", until, "reason", reason}, pairs...)...)
}

// The role is asked for when the form arrives.
func TestAbuse_N12_DemotedBetweenPageAndForm(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	require.Contains(t, b.get("/2fa/team/member?id=mia").Body, english("page.member.give"))
	o.become("adam", twofa.RoleMember)
	says(t, b.extend("mia", "2026-03-09", "on leave"), "role_too_low", "")
	require.Zero(t, o.status("mia").Extended)
	o.become("adam", twofa.RoleAdmin)
	o.become("mia", twofa.RoleAdmin) // promoted meanwhile
	says(t, b.extend("mia", "2026-03-09", "on leave"), "role_too_low", "")
	require.Zero(t, o.status("mia").Extended)
}

// status returns where a member of acme stands.
func (o *office) status(user string) twofa.Status {
	o.Helper()
	statuses, err := o.m.Account(twofa.AsHost("test"), "acme").Statuses(o.Context(), user)
	require.NoError(o, err)
	require.Len(o, statuses, 1)
	return statuses[0]
}

// Nobody gives more time to themselves or to a role that is not lower, whatever
// the page shows.
func TestAbuse_N01_MoreTimeForWhom(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	adam, _ := o.in("adam")
	olga, _ := o.in("olga")
	for _, c := range []struct {
		b            *browser
		member, code string
		page         string
	}{
		{adam, "mia", "", "page.member.give"},
		{adam, "adam", "not_yourself", "page.member.time.self"},
		{adam, "anna", "role_too_low", "page.member.time.role"},
		{adam, "olga", "role_too_low", "page.member.time.role"},
		{olga, "anna", "", "page.member.give"},
		{olga, "mia", "", "page.member.give"},
		{olga, "olga", "not_yourself", "page.member.time.self"},
	} {
		page := c.b.get("/2fa/team/member?id=" + c.member)
		require.Contains(t, page.Body, english(c.page), c.member)
		require.Equal(t, c.code == "", strings.Contains(page.Body, `action="/2fa/team/extend"`), c.member)
		a := c.b.extend(c.member, "2026-03-09", "on leave")
		if c.code != "" {
			says(t, a, c.code, "")
			require.Zero(t, o.status(c.member).Extended)
			continue
		}
		require.Contains(t, c.b.follow(a).Body, english("message.time_given.title"), c.member)
		require.Equal(t, time.Date(2026, 3, 9, 23, 59, 59, 0, time.UTC), o.status(c.member).Extended.UTC())
	}
}

// More time needs a fresh proof. The form waits for it, and a program is told what
// is missing.
func TestAbuse_M05_MoreTimeNeedsAFreshProof(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, phone := o.in("adam")
	o.require(withGrace)
	o.clock.pass(6 * time.Minute)
	page := b.get("/2fa/team/member?id=mia")
	require.Equal(t, 200, page.StatusCode, "looking needs no fresh proof")
	r := b.request("POST", "/2fa/team/extend", url.Values{"csrf_token": {b.csrf}, "id": {"mia"}, "until": {"2026-04-30"}, "reason": {"on leave"}}.Encode())
	r.Header.Set("Accept", "application/json")
	require.Equal(t, "proof_missing", problemCode(t, b.do(r)))
	require.Zero(t, o.status("mia").Extended)

	a := b.extend("mia", "2026-04-30", " Mia is\r\non leave ", "end", "")
	require.Equal(t, 401, a.StatusCode)
	require.Contains(t, a.Body, english("action.policy"))
	waiting := tab{b, a}
	require.NotEmpty(t, waiting.held())
	require.Zero(t, o.status("mia").Extended)
	wrong := waiting.prove(phone.wrong())
	require.Equal(t, 422, wrong.page.StatusCode)
	require.NotEmpty(t, wrong.held(), "a wrong code does not lose the form")
	done := b.follow(wrong.prove(phone.next()).submit())
	require.Contains(t, done.Body, english("message.time_given.title"))
	require.Contains(t, done.Body, "30 April 2026")
	require.Equal(t, time.Date(2026, 4, 30, 23, 59, 59, 0, time.UTC), o.status("mia").Extended.UTC())
	events, err := o.store.Events(t.Context(), twofa.EventQuery{User: "mia", Limit: 10})
	require.NoError(t, err)
	require.Equal(t, event.Extended, events.Events[0].Type)
	require.Equal(t, "Mia is on leave", events.Events[0].Reason)
	require.Equal(t, "adam", events.Events[0].Actor.ID)
	require.Contains(t, b.get("/2fa/team/member?id=mia").Body, english("page.member.end"))

	done = b.follow(b.extend("mia", "", "Mia is back", "end", "yes")) // the proof serves for five minutes
	require.Contains(t, done.Body, english("message.time_ended.title"))
	require.Zero(t, o.status("mia").Extended)
	require.NotContains(t, done.Body, english("page.member.end"))
}

// Canceling the proof leads back to the member, and nothing is changed.
func TestAbuse_L11_CanceledProofExtendsNothing(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	o.clock.pass(6 * time.Minute)
	b.get("/2fa/team/member?id=mia")
	waiting := tab{b, b.extend("mia", "2026-04-30", "on leave")}
	require.Equal(t, "/2fa/team/member?id=mia", waiting.post("/2fa/cancel").page.Header.Get("Location"))
	require.Zero(t, o.status("mia").Extended)
}

// A form of another site is refused. Without Fetch Metadata and an Origin, it has no
// valid token.
func TestAbuse_G02_MoreTimeFromAnotherSite(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	b.get("/2fa/team/member?id=mia")
	form := url.Values{"csrf_token": {b.csrf}, "id": {"mia"}, "until": {"2026-04-30"}, "reason": {"x"}}
	r := b.request("POST", "/2fa/team/extend", form.Encode())
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	require.Equal(t, 403, b.do(r).StatusCode)
	form.Del("csrf_token")
	r = b.request("POST", "/2fa/team/extend", form.Encode())
	r.Header.Del("Sec-Fetch-Site")
	require.Equal(t, 403, b.do(r).StatusCode)
	require.Equal(t, 405, b.get("/2fa/team/extend?id=mia&until=2026-04-30&reason=x").StatusCode)
	require.Zero(t, o.status("mia").Extended)
}

// A member whom the policy holds back sees nothing, and neither does an admin.
func TestAbuse_M02_AdminWithoutTheRequiredFactor(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b := o.browser()
	b.login("adam", "account", "acme")
	require.Equal(t, 200, b.get("/2fa/team").StatusCode, "the policy requires nothing")
	asked := len(o.questions())
	p := withGrace
	p.Grace = 0
	o.require(p)
	for _, rt := range twofahttp.TeamRoutes() {
		require.Contains(t, []int{303, 401, 403}, b.do(b.request(rt.Method, "/2fa/"+rt.Path+"?id=mia", "csrf_token="+b.csrf)).StatusCode, rt.Path)
	}
	require.Len(t, o.questions(), asked)
	require.Equal(t, "second_factor_required", problemCode(t, b.api("GET", "/2fa/team")), "a mailed link comes before the enrollment")
}

// If the directory or the store fails, nobody is let in as an admin.
func TestAbuse_M07_TeamWithoutDirectoryOrStore(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	o.become("adam", twofa.Role("superuser"))
	require.Equal(t, 403, b.get("/2fa/team").StatusCode, "an unknown role is none")
	o.become("adam", twofa.RoleAdmin)
	o.store.broken(fmt.Errorf("down"), false)
	for _, rt := range twofahttp.TeamRoutes() {
		require.Equal(t, 503, b.do(b.request(rt.Method, "/2fa/"+rt.Path+"?id=mia", "csrf_token="+b.csrf)).StatusCode, rt.Path)
	}
	require.Empty(t, o.questions())
}
