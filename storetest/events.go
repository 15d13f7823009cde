package storetest

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

var eventRules = []storeRule{
	{name: "events stored", events: true, text: "events are stored together with the change, with all their fields", check: func(p *storeProbe) {
		one, two := p.event(1), p.event(2)
		two = twofa.Event{ID: two.ID, Seq: 1, Time: two.Time, Type: two.Type, User: two.User}
		r, next := p.record(p.key("")), p.record(p.key(""))
		p.swap("", r, one)
		p.swap(r.Version, next, two)
		p.wantEvents(twofa.EventQuery{User: p.id}, one, two)

		three, four := p.event(3), p.event(4)
		p.swap(next.Version, twofa.Record{Key: next.Key}, three, four)
		p.wantEvents(twofa.EventQuery{User: p.id}, one, two, three, four)
	}},
	{name: "events repeated", events: true, text: "if a Swap is repeated, its events are not stored again", check: func(p *storeProbe) {
		r, next := p.record(p.key("")), p.record(p.key(""))
		one, two, three := p.event(1), p.event(2), p.event(3)
		for range 2 {
			p.swap("", r, one)
		}
		for range 2 {
			p.swap(r.Version, next, two)
		}
		for range 2 {
			p.swap(next.Version, twofa.Record{Key: r.Key}, three)
		}
		p.swap("", twofa.Record{Key: p.key("never")}, p.event(4))
		p.wantEvents(twofa.EventQuery{User: p.id}, one, two, three)
	}},
	{name: "events without change", events: true, text: "if the change is not stored, its events are not stored", check: func(p *storeProbe) {
		r := p.create(p.key(""))
		p.wantConflict("", p.record(r.Key), p.event(1))
		p.wantConflict(rand.Text(), p.record(r.Key), p.event(2))
		p.wantConflict(rand.Text(), twofa.Record{Key: r.Key}, p.event(3))
		p.wantConflict(rand.Text(), p.record(p.key("none")), p.event(4))
		p.wantCanceled(r.Version, p.record(r.Key), p.event(5))
		p.wantStored(r)
		p.wantEvents(twofa.EventQuery{User: p.id})
	}},
	{name: "change without events", events: true, text: "if the events are not stored, the change is not stored", check: func(p *storeProbe) {
		r := p.create(p.key(""))
		p.wantCanceled(r.Version, twofa.Record{Key: r.Key}, p.event(1))
		p.wantCanceled("", p.record(p.key("new")), p.event(2))
		p.wantStored(r)
		p.wantMissing(p.key("new"))
	}},
	{name: "events ownership", events: true, text: "Swap does not keep a reference to events, and the caller owns the result of Events", check: func(p *storeProbe) {
		one, two := p.event(1), p.event(2)
		given := []twofa.Event{p.event(1), p.event(2)}
		given[0].ID, given[1].ID = one.ID, two.ID
		p.swap("", p.record(p.key("")), given...)
		p.overwriteEvents(given)
		q := twofa.EventQuery{User: p.id}
		mine, theirs := p.events(q), p.events(q)
		p.overwriteEvents(mine)
		p.wantSameEvents(q, []twofa.Event{one, two}, theirs)
		p.wantEvents(q, one, two)
	}},
	{name: "events order", events: true, text: "Events returns the newest event first, or the oldest if Forward is set; of events in the same second, one order is the reverse of the other", check: func(p *storeProbe) {
		var all []twofa.Event
		for i := range 5 {
			events := p.eventsAt(i, 3)
			p.swap("", p.record(p.key(strconv.Itoa((i*3)%5))), events...)
			all = append(all, events...)
		}
		for _, q := range []twofa.EventQuery{{User: p.id}, {Account: p.id}, {Actor: p.id}, {User: p.id, Types: []string{event.Login}}} {
			p.wantEvents(q, all...)
			backward := p.events(q)
			q.Forward = true
			p.wantEvents(q, all...)
			forward := p.events(q)
			for i, j := 0, len(forward)-1; j >= 0; i, j = i+1, j-1 {
				if backward[i].ID != forward[j].ID {
					p.failf("with %+v, event %d is not event %d of the other direction", q, j, i)
				}
			}
		}
	}},
	{name: "events late", events: true, text: "an event that is stored after events with later times is at the place of its time, in both directions; a reader that reads forward sees it unless the reader is already past its time", check: func(p *storeProbe) {
		var all []twofa.Event
		for second := range 10 {
			all = append(all, p.event(second))
		}
		for i, e := range all {
			if i != 4 && i != 8 {
				p.swap("", p.record(p.key(strconv.Itoa(i))), e)
			}
		}
		stored := false
		store4 := func() { // after a page with two events at most
			if !stored {
				p.swap("", p.record(p.key("4")), all[4])
			}
			stored = true
		}
		q := twofa.EventQuery{User: p.id, Forward: true, Limit: 2, Until: all[7].Time}
		p.wantSameEvents(q, all[:7], p.pages(p.reader(), q, store4))
		p.swap("", p.record(p.key("8")), all[8])
		p.wantEvents(twofa.EventQuery{User: p.id, Forward: true, Since: q.Until}, all[7:]...)
		for _, limit := range []int{1, 3, 100} {
			p.wantEvents(twofa.EventQuery{User: p.id, Limit: limit}, all...)
			p.wantEvents(twofa.EventQuery{User: p.id, Limit: limit, Forward: true}, all...)
		}
	}},
	{name: "events exact", events: true, text: "User, Account and Actor are compared byte by byte, and Actor only with the ID of the actor", check: func(p *storeProbe) {
		var all []twofa.Event
		for i, suffix := range []string{"", " ", "x", "X", "é", "e\u0301", "%", "_"} {
			for field := range 3 {
				e := p.event(i)
				e.User, e.Account, e.Actor.ID = p.id+"1", p.id+"1", p.id+"1"
				*[]*string{&e.User, &e.Account, &e.Actor.ID}[field] = p.id + "0" + suffix
				all = append(all, e)
			}
		}
		byUser := p.event(100)
		byUser.User, byUser.Account, byUser.Actor = p.id+"2", p.id+"2", twofa.EventActor{}
		p.swap("", p.record(p.key("")), append(all, byUser)...)
		for i := 0; i < len(all); i += 3 {
			p.wantEvents(twofa.EventQuery{User: all[i].User}, all[i])
			p.wantEvents(twofa.EventQuery{Account: all[i+1].Account}, all[i+1])
			p.wantEvents(twofa.EventQuery{Actor: all[i+2].Actor.ID}, all[i+2])
		}
		p.wantEvents(twofa.EventQuery{Actor: p.id + "2"})
		p.wantEvents(twofa.EventQuery{User: p.id + "0", Types: []string{"logi"}})
		p.wantEvents(twofa.EventQuery{User: p.id + "0", Types: []string{"LOGIN"}})
	}},
	{name: "events times", events: true, text: "Since includes events at its time, and Until excludes them; both may have a fraction of a second and any time zone", check: func(p *storeProbe) {
		a, b, c := p.event(1), p.event(2), p.event(3)
		p.swap("", p.record(p.key("")), a, b, c)
		zone := time.FixedZone("", 3600)
		p.wantEvents(twofa.EventQuery{User: p.id, Since: b.Time}, b, c)
		p.wantEvents(twofa.EventQuery{User: p.id, Since: b.Time.In(zone)}, b, c)
		p.wantEvents(twofa.EventQuery{User: p.id, Since: b.Time.Add(1)}, c)
		p.wantEvents(twofa.EventQuery{User: p.id, Since: b.Time.Add(-1)}, b, c)
		p.wantEvents(twofa.EventQuery{User: p.id, Until: b.Time}, a)
		p.wantEvents(twofa.EventQuery{User: p.id, Until: b.Time.In(zone)}, a)
		p.wantEvents(twofa.EventQuery{User: p.id, Until: b.Time.Add(1)}, a, b)
		p.wantEvents(twofa.EventQuery{User: p.id, Until: b.Time.Add(-1)}, a)
		p.wantEvents(twofa.EventQuery{User: p.id, Since: a.Time, Until: c.Time}, a, b)
		p.wantEvents(twofa.EventQuery{User: p.id, Since: b.Time, Until: b.Time})
	}},
	{name: "events selection", events: true, text: "a query selects the events that match all of its fields that are set, also if it is read in pages, in both directions", check: func(p *storeProbe) {
		all := p.mixedEvents()
		for i, e := range all {
			p.swap("", p.record(p.key(strconv.Itoa(i))), e)
		}
		for i, q := range p.mixedQueries(all) {
			var want []twofa.Event
			for _, e := range all {
				if selects(q, e) {
					want = append(want, e)
				}
			}
			for _, q.Forward = range []bool{false, true} {
				q.Limit = 1 + i%3
				p.wantEvents(q, want...)
			}
		}
	}},
	{name: "events pages", events: true, text: "if Next is the Cursor of the next page, every event is on exactly one page, even if others are written meanwhile; forward, these are on a page too", check: func(p *storeProbe) {
		var all []twofa.Event
		for i := range 10 {
			events := p.eventsAt(i, 3)
			p.swap("", p.record(p.key(strconv.Itoa(i))), events...)
			all = append(all, events...)
		}
		second := 100
		for _, limit := range []int{1, 2, 3, 4, 7, 15, 29, 30, 31, 1000} {
			var meanwhile []twofa.Event
			write := func() {
				if len(meanwhile) < 3 { // otherwise a forward reader would never reach the end
					e := p.event(second)
					second++
					p.swap("", p.record(p.key(rand.Text())), e)
					meanwhile = append(meanwhile, e)
				}
			}
			q := twofa.EventQuery{User: p.id, Limit: limit}
			p.wantSameEvents(q, all, p.pages(p.reader(), q, write))
			all = append(all, meanwhile...)
			q.Forward, meanwhile = true, nil
			got := p.pages(p.reader(), q, write)
			all = append(all, meanwhile...)
			p.wantSameEvents(q, all, got)
		}
	}},
	{name: "events cursor", events: true, text: "a cursor may be used more than once, on any server, and after more events were stored", check: func(p *storeProbe) {
		all := slices.Concat(p.eventsAt(1, 3), p.eventsAt(2, 3))
		p.swap("", p.record(p.key("")), all...)
		for _, forward := range []bool{false, true} {
			for _, server := range p.readers() {
				q := twofa.EventQuery{User: p.id, Limit: 2, Forward: forward, Until: time.Unix(firstSecond+50, 0)}
				first := p.page(server, q)
				if first.Next == "" {
					p.failf("Next is empty, although a page of at most 2 of 6 events was read")
				}
				q.Cursor = first.Next
				rest := p.pages(server, q, nil)
				p.wantSameEvents(q, all, slices.Concat(first.Events, rest))
				p.swap("", p.record(p.key(rand.Text())), p.event(100))
				for _, other := range p.readers() {
					p.wantSameEvents(q, rest, p.pages(other, q, nil))
				}
			}
		}
	}},
	{name: "events malformed cursor", events: true, text: "a malformed Cursor is an error, not an empty page and not the first one", check: func(p *storeProbe) {
		p.swap("", p.record(p.key("")), p.event(1))
		for _, cursor := range []string{"not a cursor", "\x00", "é", "' OR 1=1 --"} {
			for _, forward := range []bool{false, true} {
				page, err := p.reader().Events(p.Context(), twofa.EventQuery{User: p.id, Cursor: cursor, Forward: forward})
				if err == nil {
					p.failf("with the Cursor %q, Events returned %d events and no error", cursor, len(page.Events))
				}
			}
		}
	}},
	{name: "events limit", events: true, text: "a page has at most Limit events; if Limit is zero, at most 100; never more than 1000", check: func(p *storeProbe) {
		for i := range 51 {
			p.swap("", p.record(p.key(strconv.Itoa(i))), p.eventsAt(i, 20)...)
		}
		for _, limit := range []int{0, 1001, 1 << 30} {
			found := map[string]bool{}
			for _, e := range p.events(twofa.EventQuery{User: p.id, Limit: limit}) {
				found[e.ID] = true
			}
			if len(found) != 1020 {
				p.failf("with Limit %d, all pages have %d events, want 1020", limit, len(found))
			}
		}
	}},
	{name: "events race", events: true, text: "of several concurrent Swaps with the same prev, only the events of the one that returned nil are stored", check: func(p *storeProbe) {
		var (
			r    twofa.Record
			want []twofa.Event
		)
		eventFor := func(r twofa.Record) twofa.Event {
			e := p.event(len(want))
			e.ID = r.Version
			return e
		}
		for range rounds {
			r = p.race(r.Version, func(int) (twofa.Record, []twofa.Event) {
				next := p.record(p.key(""))
				return next, []twofa.Event{eventFor(next)}
			})
			want = append(want, eventFor(r))
		}
		p.wantEvents(twofa.EventQuery{User: p.id}, want...)
	}},
	{name: "canceled events", events: true, text: "if the context is canceled, Events returns an error", check: func(p *storeProbe) {
		if page, err := p.reader().Events(canceled(p), twofa.EventQuery{User: p.id}); err == nil {
			p.failf("Events with a canceled context returned %d events and no error", len(page.Events))
		}
	}},
}

// firstSecond is the time of the first event of every probe. It is in the past.
const firstSecond = 1_700_000_000

// event returns an event with every field set. Its user, account and actor are
// the probe's id. A larger second is a later time.
func (p *storeProbe) event(second int) twofa.Event {
	return twofa.Event{
		ID: rand.Text(), Seq: 1<<53 + 1, Time: time.Unix(firstSecond+int64(second), 0).UTC(), Type: event.Login,
		User: p.id, Account: p.id, Actor: twofa.EventActor{Kind: "staff", ID: p.id, Role: "ädmin'"}, Method: twofa.TOTP, Session: "s" + p.id,
		IP: "2001:db8::1", Agent: `Mozilla/5.0 "(X11; ü)" \`, Request: "req/1?a=b&c", Reason: "“lost” their phone", Case: "#4711",
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
