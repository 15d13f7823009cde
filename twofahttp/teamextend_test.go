package twofahttp_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

var factPattern = regexp.MustCompile(`(?s)<dt>([^<]+)</dt><dd>(.*?)</dd>`)

// facts returns what the page of a member says, without tags.
func facts(page string) map[string]string {
	found := map[string]string{}
	for _, m := range factPattern.FindAllStringSubmatch(page, -1) {
		found[m[1]] = strings.TrimSpace(regexp.MustCompile(`<[^>]+>`).ReplaceAllString(m[2], ""))
	}
	return found
}

func TestMember_ShowsWhereOneStands(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	_, phone := o.in("anna")
	o.clock.pass(time.Hour)
	anna := o.browser()
	anna.login("anna", "account", "acme")
	anna.prove(phone)
	page := b.get("/2fa/team/member?id=anna").Body
	require.Equal(t, map[string]string{
		english("page.team.state"):   english("page.member.state.on"),
		english("page.team.role"):    english("page.team.role.admin"),
		english("page.team.login"):   "1 March 2026, 10:00 UTC",
		english("page.member.proof"): "1 March 2026, 10:00 UTC",
	}, facts(page))
	require.Contains(t, page, "<h1><bdi>Anna</bdi></h1>")
	require.Contains(t, page, english("page.settings.added", "date", "1 March 2026"))
	require.Contains(t, page, english("page.member.codes", "count", 10))
	require.NotContains(t, page, "Firefox", "nothing about browsers")

	o.require(withGrace)
	page = b.get("/2fa/team/member?id=mia").Body
	require.Equal(t, map[string]string{
		english("page.team.state"):   english("page.member.state.grace"),
		english("page.team.role"):    english("page.team.role.member"),
		english("page.team.login"):   english("page.team.unknown"),
		english("page.member.proof"): english("page.team.unknown"),
		english("page.team.due"):     "15 March 2026",
	}, facts(page))
	require.Contains(t, page, english("page.member.methods.none"))
	require.Contains(t, page, english("page.member.time.text"))
}

// The host's list names the member of the page. If it does not know the member, the
// page has the ID.
func TestMember_NameOfTheHostsList(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	o.listed = nil
	page := b.get("/2fa/team/member?id=mia&name=Olga")
	require.Contains(t, page.Body, "<h1><bdi>mia</bdi></h1>")
	require.NotContains(t, page.Body, "Olga")
	asked := o.questions()[len(o.questions())-1]
	require.Equal(t, "mia", asked.ID)
	require.Equal(t, 1, asked.Limit)
	o.list("anna")
	require.NotContains(t, b.get("/2fa/team/member?id=mia").Body, "Anna")
}

// A form with a fault keeps what was typed, says at the field what is wrong, and
// asks for no code.
func TestMember_FaultsInTheForm(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	o.clock.pass(time.Hour) // the proof of the enrollment counts no longer
	b.get("/2fa/team/member?id=mia")
	written := o.store.writes()
	for _, c := range []struct{ until, reason, code string }{
		{"", "on leave", "until_refused"},
		{"2026-02-28", "on leave", "until_refused"},
		{"2026-05-30", "on leave", "until_refused"},
		{"9 March", "on leave", "until_refused"},
		{"2026-03-09", "", "reason_refused"},
		{"2026-03-09", " \u202e ", "reason_refused"},
		{"2026-03-09", strings.Repeat("x", 501), "reason_refused"},
	} {
		page := b.extend("mia", c.until, c.reason)
		says(t, page, c.code, "")
		field := strings.TrimSuffix(c.code, "_refused")
		require.Contains(t, page.Body, `aria-describedby="`+field+`-hint alert" aria-invalid="true"`, c)
		require.Equal(t, 1, strings.Count(page.Body, `id="alert"`), "the message is at the field only")
		require.Contains(t, page.Body, `value="`+c.until+`" required`)
		require.Contains(t, page.Body, c.reason+"</textarea>")
	}
	says(t, b.extend("mia", "", "", "end", "yes"), "reason_refused", "")
	r := b.request("POST", "/2fa/team/extend", url.Values{"csrf_token": {b.csrf}, "id": {"mia"}, "until": {"never"}, "reason": {"x"}}.Encode())
	r.Header.Set("Accept", "application/json")
	require.Equal(t, "until_refused", problemCode(t, b.do(r)))
	require.Equal(t, written, o.store.writes())
}

// Today and the last day are accepted, at any time of the day.
func TestMember_FirstAndLastDate(t *testing.T) {
	for _, clock := range []time.Duration{0, 14*time.Hour + 59*time.Minute + 49*time.Second} { // 09:00:10 and 23:59:59
		o := newOffice(t, twofa.PolicyOptional())
		o.clock.pass(clock)
		b, _ := o.in("adam")
		page := b.get("/2fa/team/member?id=mia").Body
		last := regexp.MustCompile(`min="2026-03-01" max="(2026-05-\d\d)"`).FindStringSubmatch(page)
		require.NotNil(t, last, page)
		require.Contains(t, b.follow(b.extend("mia", last[1], "on leave")).Body, english("message.time_given.title"))
		day, err := time.Parse(time.DateOnly, last[1])
		require.NoError(t, err)
		says(t, b.extend("mia", day.Add(24*time.Hour).Format(time.DateOnly), "on leave"), "until_refused", "")
		today := b.extend("mia", "2026-03-01", "on leave")
		if clock == 0 {
			require.Equal(t, 303, today.StatusCode)
			require.Equal(t, time.Date(2026, 3, 1, 23, 59, 59, 0, time.UTC), o.status("mia").Extended.UTC())
		} else {
			says(t, today, "until_refused", "")
		}
	}
}

// More time is given 20 times an hour. The page then says when it can be given
// again.
func TestMember_TooOften(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	b.get("/2fa/team/member?id=mia")
	for i := range 20 {
		require.Equal(t, 303, b.extend("mia", time.Date(2026, 3, 2+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly), "on leave").StatusCode)
	}
	page := b.extend("mia", "2026-04-01", "on leave")
	says(t, page, "locked", "")
	require.Contains(t, page.Body, english("page.member.give"))
	require.NotEmpty(t, page.Header.Get("Retry-After"))
}

// A date on which the member has time anyway would change nothing, so it is refused
// before a code is asked for. The message and the field say which date that is.
func TestMember_DateThatGivesNoMoreTime(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	deadline := withGrace
	deadline.Grace, deadline.Deadline = 0, time.Date(2026, 3, 20, 23, 59, 59, 0, time.UTC)
	o.require(deadline)
	o.clock.pass(time.Hour) // the proof of the enrollment counts no longer
	page := b.get("/2fa/team/member?id=mia").Body
	require.Contains(t, page, `id="until-hint">`+english("page.member.until.due", "date", "20 March 2026")+" "+english("page.member.until.hint")+" "+english("page.team.day"))
	require.Contains(t, page, `min="2026-03-21"`)
	written := o.store.writes()
	for _, until := range []string{"2026-03-09", "2026-03-20"} {
		refused := b.extend("mia", until, "on leave")
		says(t, refused, "until_early", "")
		require.Contains(t, refused.Body, english("message.until_early.text", "date", "20 March 2026"))
	}
	require.Equal(t, written, o.store.writes())
	require.Contains(t, b.extend("mia", "2026-03-21", "on leave").Body, english("page.challenge.title.action"), "only now is a code asked for")

	deadline.Deadline = time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	o.require(deadline)
	page = b.get("/2fa/team/member?id=mia").Body
	require.Contains(t, page, english("page.member.time.late", "date", "1 September 2026"))
	require.NotContains(t, page, `name="until"`, "no date can be given that would change anything")

	o.require(twofa.Policy{Methods: []twofa.Method{twofa.TOTP}, Required: true})
	page = b.get("/2fa/team/member?id=mia").Body
	require.Contains(t, page, `id="until-hint">`+english("page.member.until.now"))
	require.Contains(t, page, `min="2026-03-01"`)
}

// Both fields say that they are required, and what becomes of the reason.
func TestMember_FieldsSayWhatTheyNeed(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	page := b.get("/2fa/team/member?id=mia").Body
	require.Contains(t, page, ">Until (required)</label>")
	require.Contains(t, page, ">Reason (required)</label>")
	require.NotContains(t, page, "midnight")
	require.NotContains(t, page, "other admins can read it", "no page shows them the reason")
}

// The page of a member who has a factor says what helps if the member loses it.
func TestMember_SaysWhatHelpsIfAllIsLost(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	o.in("mia")
	lost := func(user string) bool {
		return strings.Contains(b.get("/2fa/team/member?id="+user).Body, english("page.reset.when"))
	}
	require.True(t, lost("mia"))
	require.False(t, lost("adam"), "not oneself")
	require.False(t, lost("max"), "has nothing to lose")
	require.Contains(t, b.get("/2fa/team/member?id=mia").Body, english("page.member.help.codes"))
}
