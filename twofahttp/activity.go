package twofahttp

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/eventfile"
)

const (
	activityPageSize = 50 // events on a page
	maxActivityParts = 10 // parts of the log that a page looks through for events that are shown
)

// activityData is the data of the page "activity".
type activityData struct {
	User   string   // member whom the events are about, as in the field
	Actor  string   // admin who caused them, as in the field
	Types  []option // types of events that are not in a group
	Groups []optionGroup
	From   string // first day, as in the field
	To     string // last day, as in the field

	Entries  []entry
	Filtered bool   // whether the filters keep some events only
	Later    bool   // whether the page is not the newest one
	Next     string // address of the page with older events; empty if there is none
	First    string // address of the newest page
	All      string // address of the page without filters
	CSV      string // address of the download as a table
	Lines    string // address of the download as JSON lines
	Failed   bool   // whether the activity could not be read
}

// optionGroup is a part of the choices of a field.
type optionGroup struct {
	Label   string
	Options []option
}

// eventsAnswer is the answer to a client that wants no page.
type eventsAnswer struct {
	Events []twofa.Event     `json:"events"`
	Names  map[string]string `json:"names,omitempty"` // of users who are members
	Next   string            `json:"next,omitempty"`  // value of the parameter "after" for older events
}

// getActivity shows a page of the events of the account.
func (x *exchange) getActivity() (view, error) {
	v, err := x.activityView()
	if err != nil {
		return x.showActivity(v, err)
	}
	events, next, err := x.readEvents(v.after, func(cursor string) (twofa.EventPage, error) {
		q := v.query()
		q.Cursor, q.Limit = cursor, activityPageSize
		return x.team("").Events(x.ctx(), q)
	})
	if errors.Is(err, errActivity) {
		return x.showActivity(v, err)
	}
	if err != nil {
		return view{}, err
	}
	names, err := x.team("").Names(x.ctx(), eventfile.Users(events)...)
	if err != nil {
		return view{}, err
	}
	if !x.wantsPage() {
		return view{data: eventsAnswer{events, names, next}}, nil
	}
	d := x.newActivityData(v)
	if next != "" {
		older := v
		older.after = next
		d.Next = x.activityURL("activity", older)
	}
	d.Entries = x.eventWords().entries(events, names)
	return view{page: "activity", data: d}, nil
}

// showActivity shows the page without events, because of an error that it can show.
func (x *exchange) showActivity(v activityView, failed error) (view, error) {
	if !errors.Is(failed, errActivity) && !errors.Is(failed, errTeam) && problemOf(failed).Field == "" {
		return view{}, failed
	}
	d := x.newActivityData(v)
	d.Failed = problemOf(failed).Field == ""
	return view{page: "activity", data: d, err: failed}, nil
}

// readEvents reads a page of a log, from a cursor. It reads parts until some events
// can be shown, and at most maxActivityParts of them, so a page may be empty although
// others follow.
func (x *exchange) readEvents(cursor string, read func(cursor string) (twofa.EventPage, error)) (events []twofa.Event, next string, err error) {
	events = []twofa.Event{}
	for range maxActivityParts {
		page, err := read(cursor)
		switch {
		case errors.Is(err, twofa.ErrInvalid): // only the cursor comes from the request as it is
			return nil, "", errNotFound
		case errors.Is(err, twofa.ErrUnavailable):
			return nil, "", fmt.Errorf("%w: %v", errActivity, err)
		case err != nil:
			return nil, "", err
		}
		events, cursor = append(events, page.Events...), page.Next
		if cursor == "" || len(events) >= activityPageSize {
			break
		}
	}
	return events, cursor, nil
}

// newActivityData returns everything on the page except the events.
func (x *exchange) newActivityData(v activityView) activityData {
	all, groups := typeOptions(x.locale(), v.kind)
	newest := v
	newest.after = ""
	return activityData{User: v.user.text, Actor: v.actor.text, Types: all, Groups: groups, From: v.from, To: v.to, Filtered: v.isFiltered(), Later: v.after != "",
		First: x.activityURL("activity", newest), All: x.path("activity"), CSV: x.activityURL("activity.csv", newest), Lines: x.activityURL("activity.jsonl", newest)}
}

// activityURL returns the address of a page about a part of the activity.
func (x *exchange) activityURL(page string, v activityView) string {
	return withQuery(x.path(page), "user", v.user.id, "actor", v.actor.id, "type", v.kind, "from", v.from, "to", v.to, "after", v.after)
}

// withQuery returns an address with those parameters that are not empty.
func withQuery(address string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return address
	}
	return address + "?" + q.Encode()
}
