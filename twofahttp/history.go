package twofahttp

import (
	"errors"

	"github.com/twofa-go/twofa"
)

const recentEvents = 5 // events in the settings

// historyData is the data of the page "history".
type historyData struct {
	Entries []entry
	Later   bool   // whether the page is not the newest one
	Next    string // address of the page with older events; empty if there is none
	Failed  bool   // whether the events could not be read
}

// getHistory shows users what happened to their own sign-in.
func (x *exchange) getHistory() (view, error) {
	after, c := x.r.URL.Query().Get("after"), x.caller()
	d := historyData{Later: after != ""}
	events, next, err := x.readEvents(after, func(cursor string) (twofa.EventPage, error) {
		return x.m.Activity(x.ctx(), c, twofa.EventQuery{Cursor: cursor, Limit: activityPageSize})
	})
	if errors.Is(err, errActivity) {
		d.Failed = true
		return view{page: "history", data: d, err: err}, nil
	}
	if err != nil {
		return view{}, err
	}
	if !x.wantsPage() {
		return view{data: eventsAnswer{Events: events, Next: next}}, nil
	}
	d.Entries = x.eventWords().ownEntries(c.Account, events)
	if next != "" {
		d.Next = withQuery(x.path("history"), "after", next)
	}
	return view{page: "history", data: d}, nil
}

// ownEntries returns the events for the user whom they are about. Which admin of the
// account acted is not shown.
func (w eventWords) ownEntries(account string, events []twofa.Event) (list []entry) {
	for _, e := range events {
		en := w.entry(e)
		switch {
		case e.Actor.Kind == "staff" || e.Actor.Kind == "host":
			en.Who = party{Kind: e.Actor.Kind}
		case e.Actor.Kind != "" && e.Actor.ID != e.User:
			en.Who = party{Kind: "admin"}
		}
		en.Elsewhere = account != "" && e.Account != account && e.IP == "" && e.Actor.Kind == ""
		list = append(list, en)
	}
	return list
}

// recent returns the newest events for the settings. If they cannot be read, the
// settings are shown without them.
func (x *exchange) recent(c twofa.Caller) []entry {
	if !x.listsEvents {
		return nil
	}
	page, err := x.m.Activity(x.ctx(), c, twofa.EventQuery{Limit: 4 * recentEvents}) // some are of other accounts, and left out
	if err != nil {
		x.log(err)
		return nil
	}
	return x.eventWords().ownEntries(c.Account, page.Events[:min(len(page.Events), recentEvents)])
}
