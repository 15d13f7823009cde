package twofahttp_test

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// Only an admin of the account reads its activity: not a member, an admin of another
// account, an admin who no longer is one, or somebody who is not signed in.
func TestAbuse_Q12_ActivityOfAnAccount(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	all := o.teamBrowsers()
	o.happened(twofa.Event{ID: "secret", Account: "acme", User: "anna", Type: event.Action, Detail: "plans-of-acme", IP: "198.51.100.77", Time: longAgo},
		twofa.Event{ID: "other", Account: "beta", User: "bert", Type: event.Action, Detail: "plans-of-beta", Time: longAgo})
	paths := []string{"activity", "activity.csv", "activity.jsonl"}
	see := func(b *browser, path string) string {
		page := b.get("/2fa/" + path)
		return page.Body + b.api("GET", "/2fa/"+path).Body
	}
	for name, b := range all {
		for _, path := range paths {
			got := see(b, path)
			require.NotContains(t, got, "plans-of-beta", name)
			require.Equal(t, name == "admin" || name == "owner", strings.Contains(got, "plans-of-acme"), "%s %s", name, path)
		}
		require.NotContains(t, see(b, "history"), "plans-of", name)
	}
	o.become("adam", twofa.RoleMember)
	for _, path := range paths {
		require.Equal(t, 403, all["admin"].get("/2fa/"+path).StatusCode)
		require.NotContains(t, see(all["admin"], path), "plans-of-acme", "a former admin")
	}
	bert := all["admin of another account"]
	bert.header.Set("X-Account", "beta")
	for _, path := range paths {
		got := see(bert, path+"?user=anna")
		require.NotContains(t, got, "plans-of-acme")
		require.NotContains(t, got, "198.51.100.77")
	}
}

// A cursor that was changed, or belongs to another log, leads to no page. It is no
// fault of the server.
func TestAbuse_Q12_CursorsOfPages(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	all := o.teamBrowsers()
	adam, mia := all["admin"], all["member"]
	for i := range 60 {
		for _, user := range []string{"adam", "max"} {
			o.happened(twofa.Event{ID: user + string(rune('A'+i)), Account: "acme", User: user, Type: event.Sent, Time: longAgo.Add(time.Duration(i) * time.Hour)})
		}
	}
	next := func(b *browser, path string) string {
		var a struct{ Next string }
		require.NoError(t, json.Unmarshal([]byte(b.api("GET", "/2fa/"+path).Body), &a))
		require.NotEmpty(t, a.Next)
		return a.Next
	}
	team, own, others := next(adam, "activity"), next(adam, "history"), next(mia, "history")
	require.Equal(t, 200, adam.get("/2fa/activity?after="+url.QueryEscape(team)).StatusCode)
	require.Equal(t, 200, adam.get("/2fa/history?after="+url.QueryEscape(own)).StatusCode)
	for _, c := range []struct{ path, cursor string }{
		{"activity", own}, {"activity", "1.1"}, {"activity", team[:len(team)-2] + "!!"}, {"activity", strings.Repeat("x", 5000)}, {"activity", "\xff\u202e"},
		{"history", team}, {"history", others}, {"history", "1.1"},
	} {
		path := "/2fa/" + c.path + "?after=" + url.QueryEscape(c.cursor)
		require.Equal(t, 404, adam.get(path).StatusCode, path)
		require.Equal(t, "not_found", problemCode(t, adam.api("GET", path)), path)
	}
	bert := all["admin of another account"]
	bert.header.Set("X-Account", "beta")
	require.Equal(t, 404, bert.get("/2fa/activity?after="+url.QueryEscape(team)).StatusCode)
	for _, file := range []string{"activity.csv", "activity.jsonl"} {
		require.Equal(t, adam.get("/2fa/"+file).Body, adam.get("/2fa/"+file+"?after="+url.QueryEscape(own)).Body, "a download has everything")
	}
}

// What users write about themselves, and what their clients send, is harmless on the
// pages and in the files.
func TestAbuse_Q08_ActivityShowsTextAsText(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	adam, _ := o.in("adam")
	mia, _ := o.in("mia")
	o.clock.pass(time.Hour)
	for _, bad := range []string{"a\r\nb", "\x1b[31mred", "\u202egnp.exe\u202c", "\u2066x", `=HYPERLINK("http://evil.example")`, "+1", "-1", "@SUM(1)", "x;=1", `<script>alert(1)</script>`, `"onload="x`} {
		mia.records(twofa.RecordedAction{Action: "contacts.export", Detail: bad, Count: 1})
		o.happened(twofa.Event{ID: "x" + bad, Account: "acme", Type: event.Reset, User: bad, Actor: twofa.EventActor{Kind: "user", ID: bad}, Reason: bad, Agent: bad, IP: bad},
			twofa.Event{ID: "y" + bad, Account: "acme", Type: bad, User: "mia", Detail: bad})
		o.clock.pass(2 * time.Minute)
		for _, b := range []*browser{adam, mia} {
			for _, path := range []string{"activity", "history", ""} {
				page := b.get("/2fa/" + path).Body
				require.NotRegexp(t, "[\x1b\u0085\u202a-\u202e\u2066-\u2069]", page, "%q", bad)
				require.NotContains(t, page, "<script>alert")
				require.NotContains(t, page, `"onload=`)
			}
		}
		for _, row := range activityTable(t, adam.get("/2fa/activity.csv")) {
			for name, cell := range row {
				require.NotRegexp(t, `(^|[;,|\t]["\s]*)[=+\-@\t\r\n]`, cell, "%s of %q", name, bad)
			}
		}
		lines := adam.get("/2fa/activity.jsonl").Body
		require.NotRegexp(t, regexp.MustCompile("[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f\u202a-\u202e\u2066-\u2069]"), lines)
		for line := range strings.Lines(lines) {
			require.True(t, json.Valid([]byte(line)), line)
		}
	}
}
