package twofahttp

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	names "github.com/twofa-go/twofa/internal/text"
)

// memberData is the data of the page "member".
type memberData struct {
	Member member
	Means  stateMeaning // state of the member
	Closed string       // why the admin cannot give more time: "self", "role", "late" because the policy gives more than can be given, or, if they can, ""
	From   string       // first date that can be given
	To     string       // last date that can be given
	Until  string       // date in a form that failed
	Reason string       // reason in a form that failed
}

// maxMoreTime and maxReason are the limits of [twofa.Account.Extend].
const (
	maxMoreTime = 90 * 24 * time.Hour
	maxReason   = 500
)

// getMember shows one member.
func (x *exchange) getMember() (view, error) {
	v, err := x.showMember(x.r.URL.Query().Get("id"), nil)
	if err == nil {
		v.alert = x.takeNotice()
	}
	return v, err
}

// showMember shows the page of a member. failed is the reason why it is shown
// again after its form, or nil.
func (x *exchange) showMember(id string, failed error) (view, error) {
	if names.ValidateID("user", id) != nil {
		return view{}, twofa.ErrNotEnrolled
	}
	_, you := x.identify()
	statuses, err := x.team("").Statuses(x.ctx(), id, you.User)
	if err != nil {
		return view{}, err
	}
	status, ok := statusOf(statuses, id)
	if !ok {
		return view{}, twofa.ErrNotEnrolled
	}
	listed, err := x.listMembers(TeamQuery{ID: id, Limit: 1})
	if err != nil {
		return view{}, err
	}
	m := TeamMember{ID: id}
	if i := slices.IndexFunc(listed.Members, func(m TeamMember) bool { return m.ID == id }); i >= 0 {
		m = listed.Members[i]
	}
	now := x.cfg.Now().UTC()
	first, last := firstDate(status, now), lastDate(now)
	d := memberData{Member: newMember(m, status, you.User), Means: stateMeaning{string(status.State), x.cfg.Issuer}, From: first.Format(time.DateOnly), To: last.Format(time.DateOnly),
		Until: x.form.Get("until"), Reason: x.form.Get("reason")}
	own, _ := statusOf(statuses, you.User)
	switch {
	case d.Member.You:
		d.Closed = "self"
	case !own.Role.Above(status.Role):
		d.Closed = "role"
	case first.After(last):
		d.Closed = "late"
	}
	return view{page: "member", data: d, err: failed}, nil
}

func statusOf(statuses []twofa.Status, id string) (twofa.Status, bool) {
	i := slices.IndexFunc(statuses, func(s twofa.Status) bool { return s.User == id })
	if i < 0 {
		return twofa.Status{}, false
	}
	return statuses[i], true
}

// memberURL returns the address of the page of a member.
func (x *exchange) memberURL(id string) string {
	return x.path("team/member") + "?" + url.Values{"id": {id}}.Encode()
}

// postExtend gives a member more time, or ends it. If a fresh proof is missing,
// the form waits for it. If the form fails, its page is shown again.
func (x *exchange) postExtend() (view, error) {
	id := x.form.Get("id")
	x.retryURL = x.memberURL(id)
	if names.ValidateID("user", id) != nil {
		return view{}, twofa.ErrNotEnrolled
	}
	success, err := x.extend(id)
	switch {
	case err == nil:
		x.notify(success)
		return redirectTo(x.retryURL)
	case isFormError(err):
		return x.showMember(id, err)
	}
	return view{}, err
}

// extend checks the fields before the user is asked for a proof.
func (x *exchange) extend(id string) (success string, err error) {
	until, success := time.Time{}, "time_ended"
	if x.form.Get("end") != "yes" {
		if until, err = parseUntil(x.form.Get("until"), x.cfg.Now().UTC()); err == nil {
			err = x.mustBeLater(id, until)
		}
		if err != nil {
			return "", err
		}
		success = "time_given"
	}
	reason := strings.Join(strings.Fields(x.form.Get("reason")), " ") // an event has no lines
	if names.Clean(reason, maxReason) == "" || len(reason) > maxReason {
		return "", errReason
	}
	return success, x.team(reason).Extend(x.ctx(), id, until)
}

// mustBeLater returns an error if the policy gives a member as much time anyway, so
// that an extension would change nothing.
func (x *exchange) mustBeLater(id string, until time.Time) error {
	statuses, err := x.team("").Statuses(x.ctx(), id)
	if err != nil {
		return err
	}
	status, ok := statusOf(statuses, id)
	switch {
	case !ok:
		return twofa.ErrNotEnrolled
	case !until.After(status.PolicyDue):
		return &httpError{code: "until_early", date: status.PolicyDue}
	}
	return nil
}

// firstDate returns the first date that can be given: today, or the day on which
// the time by the policy has ended.
func firstDate(status twofa.Status, now time.Time) time.Time {
	day := now.Truncate(24 * time.Hour)
	if status.PolicyDue.Before(now) {
		return day
	}
	day = status.PolicyDue.Truncate(24 * time.Hour)
	if !lastSecond(day).After(status.PolicyDue) {
		day = day.Add(24 * time.Hour)
	}
	return day
}

// parseUntil returns the last second of a date that can be given.
func parseUntil(date string, now time.Time) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, date)
	end := lastSecond(day)
	if err != nil || !end.After(now) || day.After(lastDate(now)) {
		return time.Time{}, errUntil
	}
	return end, nil
}

// lastDate returns the last date that can be given.
func lastDate(now time.Time) time.Time {
	day := now.Add(maxMoreTime).Truncate(24 * time.Hour)
	if lastSecond(day).After(now.Add(maxMoreTime)) {
		return day.Add(-24 * time.Hour)
	}
	return day
}

func lastSecond(day time.Time) time.Time { return day.Add(24*time.Hour - time.Second) }
