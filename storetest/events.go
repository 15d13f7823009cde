package storetest

import (
	"crypto/rand"
	"slices"
	"strconv"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

var eventRules = []storeRule{
	{name: "events kept", events: true, text: "events are kept with the change, every field of them", check: func(p *storeProbe) {
		one, two := p.event(1), p.event(2)
		two.Account, two.Actor, two.Method, two.Session = "", "", "", ""
		two.IP, two.Agent, two.Detail, two.Left, two.Notice = "", "", "", 0, false
		r, next := p.record(p.key("")), p.record(p.key(""))
		p.swap("", r, one)
		p.swap(r.Version, next, two)
		p.lists(twofa.EventQuery{User: p.id}, two, one)

		three, four := p.event(3), p.event(4)
		p.swap(next.Version, twofa.Record{Key: next.Key}, three, four)
		p.lists(twofa.EventQuery{User: p.id}, four, three, two, one)
	}},
	{name: "events repeated", events: true, text: "events are not kept twice when a Swap is repeated", check: func(p *storeProbe) {
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
		p.lists(twofa.EventQuery{User: p.id}, three, two, one)
	}},
	{name: "events without change", events: true, text: "events are not kept if the change is not", check: func(p *storeProbe) {
		r := p.created(p.key(""))
		p.conflict("", p.record(r.Key), p.event(1))
		p.conflict(rand.Text(), p.record(r.Key), p.event(2))
		p.conflict(rand.Text(), twofa.Record{Key: r.Key}, p.event(3))
		p.conflict(rand.Text(), p.record(p.key("none")), p.event(4))
		p.refusesCancelled(r.Version, p.record(r.Key), p.event(5))
		p.holds(r)
		p.lists(twofa.EventQuery{User: p.id})
	}},
	{name: "change without events", events: true, text: "a change is not kept if its events are not", check: func(p *storeProbe) {
		r := p.created(p.key(""))
		p.refusesCancelled(r.Version, twofa.Record{Key: r.Key}, p.event(1))
		p.refusesCancelled("", p.record(p.key("new")), p.event(2))
		p.holds(r)
		p.gone(p.key("new"))
	}},
	{name: "events ownership", events: true, text: "Swap keeps no reference to events, and the caller owns the result of Events", check: func(p *storeProbe) {
		one, two := p.event(1), p.event(2)
		given := []twofa.Event{one, two}
		p.swap("", p.record(p.key("")), given...)
		clear(given)
		mine := p.events(twofa.EventQuery{User: p.id})
		theirs := p.events(twofa.EventQuery{User: p.id})
		clear(mine)
		p.sameEvents([]twofa.Event{two, one}, theirs)
		p.lists(twofa.EventQuery{User: p.id}, two, one)
	}},
	{name: "events order", events: true, text: "events are listed newest first", check: func(p *storeProbe) {
		var want []twofa.Event
		for i := range 5 {
			e := p.event(i)
			p.swap("", p.record(p.key(strconv.Itoa((i*3)%5))), e)
			want = slices.Insert(want, 0, e)
		}
		p.lists(twofa.EventQuery{User: p.id}, want...)
		p.lists(twofa.EventQuery{Account: p.id}, want...)
		p.lists(twofa.EventQuery{User: p.id, Limit: 2}, want[:2]...)
	}},
	{name: "events selection", events: true, text: "a query selects events by exactly the fields it has", check: func(p *storeProbe) {
		a, b, c, d := p.event(1), p.event(2), p.event(3), p.event(4)
		b.Account, b.Type = p.id+"2", event.Failed
		c.User = p.id + "2"
		d.User, d.Account = p.id+"x", p.id+"X"
		p.swap("", p.record(p.key("")), a, b, c, d)
		p.lists(twofa.EventQuery{User: p.id}, b, a)
		p.lists(twofa.EventQuery{User: p.id + "x"}, d)
		p.lists(twofa.EventQuery{User: p.id + "X"})
		p.lists(twofa.EventQuery{Account: p.id}, c, a)
		p.lists(twofa.EventQuery{Account: p.id + "x"})
		p.lists(twofa.EventQuery{User: p.id, Account: p.id}, a)
		p.lists(twofa.EventQuery{User: p.id, Type: event.Failed}, b)
		p.lists(twofa.EventQuery{Account: p.id, Type: event.Failed})
		p.lists(twofa.EventQuery{User: p.id, Since: b.Time}, b)
		p.lists(twofa.EventQuery{User: p.id, Since: b.Time.Add(time.Second)})
		p.lists(twofa.EventQuery{User: p.id, Since: a.Time.In(time.FixedZone("", 3600))}, b, a)
		p.lists(twofa.EventQuery{User: p.id, Before: b.ID}, a)
		p.lists(twofa.EventQuery{User: p.id, Before: d.ID, Type: event.Login}, a)
		p.lists(twofa.EventQuery{User: p.id, Before: a.ID})
	}},
	{name: "events pages", events: true, text: "reading on before the last event of a page lists every event once, whatever is written meanwhile", check: func(p *storeProbe) {
		missing := map[string]bool{}
		for i := range 10 {
			events := p.eventsAt(i, 3)
			for _, e := range events {
				missing[e.ID] = true
			}
			p.swap("", p.record(p.key(strconv.Itoa(i))), events...)
		}
		q := twofa.EventQuery{User: p.id, Limit: 4}
		for page := p.events(q); len(page) > 0; page = p.events(q) {
			if len(page) > q.Limit {
				p.failf("a page of at most %d events has %d", q.Limit, len(page))
			}
			for _, e := range page {
				if !missing[e.ID] {
					p.failf("the event of %v is listed on two pages", e.Time)
				}
				delete(missing, e.ID)
			}
			q.Before = page[len(page)-1].ID
			p.swap("", p.record(p.key(rand.Text())), p.event(100))
		}
		if len(missing) > 0 {
			p.failf("%d of 30 events are on no page", len(missing))
		}
	}},
	{name: "events limit", events: true, text: "Limit 0 means 100 events, and more than 1000 means 1000", check: func(p *storeProbe) {
		for i := range 51 {
			p.swap("", p.record(p.key(strconv.Itoa(i))), p.eventsAt(i, 20)...)
		}
		for limit, want := range map[int]int{0: 100, 1: 1, 500: 500, 1000: 1000, 1001: 1000, 1 << 30: 1000} {
			if got := len(p.events(twofa.EventQuery{User: p.id, Limit: limit})); got != want {
				p.failf("with Limit %d there are %d of 1020 events, want %d", limit, got, want)
			}
		}
	}},
	{name: "events race", events: true, text: "of several concurrent Swaps only the events of the one that returned nil are kept", check: func(p *storeProbe) {
		var (
			r    twofa.Record
			want []twofa.Event
		)
		tell := func(r twofa.Record) twofa.Event {
			e := p.event(len(want))
			e.ID = r.Version
			return e
		}
		for range rounds {
			r = p.race(r.Version, func(int) (twofa.Record, []twofa.Event) {
				next := p.record(p.key(""))
				return next, []twofa.Event{tell(next)}
			})
			want = slices.Insert(want, 0, tell(r))
		}
		p.lists(twofa.EventQuery{User: p.id}, want...)
	}},
	{name: "cancelled events", events: true, text: "Events under a context that is cancelled returns an error", check: func(p *storeProbe) {
		if found, err := p.reader().Events(cancelled(p), twofa.EventQuery{User: p.id}); err == nil {
			p.failf("Events under a cancelled context returned %d events and no error", len(found))
		}
	}},
}

// event returns an event with every field set, about this probe's user in the
// account of the same name, at the given second of a day long past.
func (p *storeProbe) event(second int) twofa.Event {
	return twofa.Event{
		ID: rand.Text(), Time: time.Unix(1_700_000_000+int64(second), 0).UTC(), Type: event.Login,
		User: p.id, Account: p.id, Actor: "ädmin'", Method: twofa.TOTP, Session: "s" + p.id,
		IP: "2001:db8::1", Agent: `Mozilla/5.0 "(X11; ü)" \`, Detail: "contacts.export <&> 👩‍💻 %s $1 ?", Left: 9, Notice: true,
	}
}

func (p *storeProbe) eventsAt(second, n int) []twofa.Event {
	var events []twofa.Event
	for range n {
		events = append(events, p.event(second))
	}
	return events
}

func (p *storeProbe) reader() twofa.EventReader {
	p.Helper()
	reader, ok := p.b.(twofa.EventReader)
	if !ok {
		p.failf("%T is no twofa.EventReader", p.b)
	}
	return reader
}

func (p *storeProbe) events(q twofa.EventQuery) []twofa.Event {
	p.Helper()
	found, err := p.reader().Events(p.Context(), q)
	if err != nil {
		p.failf("Events of %+v: %v", q, err)
	}
	return found
}

// lists checks that q selects exactly these events, newest first.
func (p *storeProbe) lists(q twofa.EventQuery, want ...twofa.Event) {
	p.Helper()
	p.sameEvents(want, p.events(q))
}

func (p *storeProbe) sameEvents(want, got []twofa.Event) {
	p.Helper()
	for i := range min(len(want), len(got)) {
		if got[i] != want[i] {
			p.failf("event %d of the list is\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		p.failf("there are %d events in the list, want %d", len(got), len(want))
	}
}
