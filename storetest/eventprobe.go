package storetest

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

const firstSecond = 1_700_000_000

// event returns an event with every field set. Its user, account and actor are
// the probe's id. A larger second is a later time.
func (p *storeProbe) event(second int) twofa.Event {
	return twofa.Event{
		ID: rand.Text(), Seq: 1<<53 + 1, Time: time.Unix(firstSecond+int64(second), 0).UTC(), Type: event.Login,
		User: p.id, Account: p.id, Actor: twofa.EventActor{Kind: "staff", ID: p.id, Role: "ädmin'"}, Method: twofa.TOTP, Session: "s" + p.id,
		IP: "2001:db8::1", Agent: `Mozilla/5.0 "(X11; ü)" \`, Request: "req/1?a=b&c", Reason: "“lost” their phone", Case: "#4711", Act: "ACT1",
		Detail: "contacts.export <&> 👩‍💻 %s $1 ?", Left: 9, Notice: true,
		Before: json.RawMessage(`{"methods": ["totp", "ü <&>"], "max": 9007199254740993, "none": null}`),
		After:  json.RawMessage(`["on", {"off": false}]`),
		MAC:    []byte(everyByte()[224:] + everyByte()[:32]),
	}
}

func (p *storeProbe) eventsAt(second, n int) []twofa.Event {
	var events []twofa.Event
	for range n {
		events = append(events, p.event(second))
	}
	return events
}

// mixedEvents returns events that differ in each field that a query selects by.
// Two of them are in each second.
func (p *storeProbe) mixedEvents() []twofa.Event {
	var events []twofa.Event
	for i := range 36 {
		e := p.event(i / 2)
		e.User = []string{p.id, p.id + "2"}[i%2]
		e.Account = []string{p.id, p.id + "2", ""}[i%3]
		e.Actor.ID = []string{p.id, p.id + "2", "", p.id}[i/3%4]
		e.Type = []string{event.Login, event.Failed, event.Sent}[i/2%3]
		events = append(events, e)
	}
	return events
}

// mixedQueries returns a query for each combination of fields. Each has at least
// one with the probe's id, because the store may contain events of others.
func (p *storeProbe) mixedQueries(all []twofa.Event) []twofa.EventQuery {
	var queries []twofa.EventQuery
	for ids := 1; ids < 8; ids++ {
		var q twofa.EventQuery
		for bit, field := range []*string{&q.User, &q.Account, &q.Actor} {
			if ids>>bit&1 == 1 {
				*field = p.id
			}
		}
		for _, q.Types = range [][]string{nil, {event.Login}, {event.Sent, event.Login}, {event.Policy}} {
			for _, q.Since = range []time.Time{{}, all[10].Time} {
				for _, q.Until = range []time.Time{{}, all[30].Time} {
					queries = append(queries, q)
				}
			}
		}
	}
	return queries
}

// selects reports whether q selects e.
func selects(q twofa.EventQuery, e twofa.Event) bool {
	return (q.User == "" || q.User == e.User) &&
		(q.Account == "" || q.Account == e.Account) &&
		(q.Actor == "" || q.Actor == e.Actor.ID) &&
		(len(q.Types) == 0 || slices.Contains(q.Types, e.Type)) &&
		!e.Time.Before(q.Since) &&
		(q.Until.IsZero() || e.Time.Before(q.Until))
}

func (p *storeProbe) reader() twofa.EventReader {
	p.Helper()
	reader, ok := p.b.(twofa.EventReader)
	if !ok {
		p.failf("%T does not implement twofa.EventReader", p.b)
	}
	return reader
}

// readers returns both handles, or only b if a cannot list events.
func (p *storeProbe) readers() []twofa.EventReader {
	p.Helper()
	if a, ok := p.a.(twofa.EventReader); ok {
		return []twofa.EventReader{a, p.reader()}
	}
	return []twofa.EventReader{p.reader()}
}

// page returns one page.
func (p *storeProbe) page(reader twofa.EventReader, q twofa.EventQuery) twofa.EventPage {
	p.Helper()
	page, err := reader.Events(p.Context(), q)
	if err != nil {
		p.failf("Events of %+v: %v", q, err)
	}
	if limit := min(cmp.Or(q.Limit, 100), 1000); len(page.Events) > limit {
		p.failf("with Limit %d, a page has %d events, want at most %d", q.Limit, len(page.Events), limit)
	}
	return page
}

// maxEmpty is the number of empty pages in a row after which a reader gives up.
const maxEmpty = 1000

// pages returns the events of this page and of all that follow. It calls between,
// which may be nil, after each page except the last.
func (p *storeProbe) pages(reader twofa.EventReader, q twofa.EventQuery, between func()) []twofa.Event {
	p.Helper()
	var (
		found []twofa.Event
		seen  = map[string]bool{}
		empty int
	)
	for {
		page := p.page(reader, q)
		found = append(found, page.Events...)
		if page.Next == "" {
			return found
		}
		if empty++; len(page.Events) > 0 {
			empty = 0
		}
		if seen[page.Next] || empty > maxEmpty {
			p.failf("with %+v, there is always another page, after %d events", q, len(found))
		}
		seen[page.Next] = true
		q.Cursor = page.Next
		if between != nil {
			between()
		}
	}
}

// events returns all events that q selects.
func (p *storeProbe) events(q twofa.EventQuery) []twofa.Event {
	p.Helper()
	return p.pages(p.reader(), q, nil)
}

// wantEvents checks that the pages of q have exactly these events, each once, in
// the order of their times.
func (p *storeProbe) wantEvents(q twofa.EventQuery, want ...twofa.Event) {
	p.Helper()
	p.wantSameEvents(q, want, p.events(q))
}

func (p *storeProbe) wantSameEvents(q twofa.EventQuery, want, got []twofa.Event) {
	p.Helper()
	missing := map[string]twofa.Event{}
	for _, e := range want {
		missing[e.ID] = e
	}
	for i, e := range got {
		w, ok := missing[e.ID]
		if !ok {
			p.failf("with %+v, event %d of the result, at %v, was already in it or is not one of the %d that are wanted", q, i, e.Time, len(want))
		}
		if !sameEvent(w, e) {
			p.failf("with %+v, event %d of the result is\n%+v, want\n%+v", q, i, e, w)
		}
		delete(missing, e.ID)
		if i > 0 && (e.Time.After(got[i-1].Time) != q.Forward && !e.Time.Equal(got[i-1].Time)) {
			p.failf("with %+v, an event at %v is followed by one at %v", q, got[i-1].Time, e.Time)
		}
	}
	if len(missing) > 0 {
		p.failf("with %+v, %d events are in the result, want %d", q, len(got), len(want))
	}
}

// sameEvent reports whether all fields are equal, Before and After as JSON.
func sameEvent(a, b twofa.Event) bool {
	if !sameJSON(a.Before, b.Before) || !sameJSON(a.After, b.After) || !bytes.Equal(a.MAC, b.MAC) {
		return false
	}
	a.Before, a.After, a.MAC = nil, nil, nil
	b.Before, b.After, b.MAC = nil, nil, nil
	return reflect.DeepEqual(a, b)
}

func sameJSON(a, b json.RawMessage) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	one, err1 := decoded(a)
	two, err2 := decoded(b)
	return err1 == nil && err2 == nil && reflect.DeepEqual(one, two)
}

func decoded(data json.RawMessage) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // a float64 would round large numbers
	err = d.Decode(&v)
	return v, err
}

// overwriteEvents overwrites events and the memory that they refer to.
func (p *storeProbe) overwriteEvents(events []twofa.Event) {
	p.Helper()
	for _, e := range events {
		p.overwrite(e.Before)
		p.overwrite(e.After)
		p.overwrite(e.MAC)
	}
	clear(events)
}
