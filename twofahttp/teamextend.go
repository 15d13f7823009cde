package twofahttp

import (
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	names "github.com/twofa-go/twofa/internal/text"
)

// maxMoreTime and maxReason are the limits of [twofa.Account.Extend].
const (
	maxMoreTime = 90 * 24 * time.Hour
	maxReason   = 500
)

// postExtend gives a member more time, or ends it. If a fresh proof is missing,
// the form waits for it. If the form fails, its page is shown again.
func (x *exchange) postExtend() (view, error) {
	id := x.form.Get("id")
	x.retryURL = x.memberURL("team/member", id)
	if names.ValidateID("user", id) != nil {
		return view{}, twofa.ErrNotEnrolled
	}
	success, err := x.extend(id)
	switch {
	case err == nil:
		x.notify(success)
		return redirectTo(x.retryURL)
	case isFormError(err):
		return x.showMember(id, formExtend, err)
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
	reason, err := x.formReason()
	if err != nil {
		return "", err
	}
	return success, x.team(reason).Extend(x.ctx(), id, until)
}

// formReason returns the reason in the form of an act, in one line, because an event
// has no lines.
func (x *exchange) formReason() (string, error) {
	reason := strings.Join(strings.Fields(x.form.Get("reason")), " ")
	if names.Clean(reason, maxReason) == "" || len(reason) > maxReason {
		return "", errReason
	}
	return reason, nil
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
