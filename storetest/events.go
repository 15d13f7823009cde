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
	{name: "events stored", events: true, text: "events are stored together with the change, with all their fields", check: func(p *storeProbe) {
		one, two := p.event(1), p.event(2)
		two.Account, two.Actor, two.Method, two.Session = "", "", "", ""
		two.IP, two.Agent, two.Detail, two.Left, two.Notice = "", "", "", 0, false
		r, next := p.record(p.key("")), p.record(p.key(""))
		p.swap("", r, one)
		p.swap(r.Version, next, two)
		p.wantEvents(twofa.EventQuery{User: p.id}, two, one)

		three, four := p.event(3), p.event(4)
		p.swap(next.Version, twofa.Record{Key: next.Key}, three, four)
		p.wantEvents(twofa.EventQuery{User: p.id}, four, three, two, one)
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
		p.wantEvents(twofa.EventQuery{User: p.id}, three, two, one)
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
		given := []twofa.Event{one, two}
		p.swap("", p.record(p.key("")), given...)
		clear(given)
		mine := p.events(twofa.EventQuery{User: p.id})
		theirs := p.events(twofa.EventQuery{User: p.id})
		clear(mine)
		p.wantSameEvents([]twofa.Event{two, one}, theirs)
		p.wantEvents(twofa.EventQuery{User: p.id}, two, one)
	}},
	{name: "events order", events: true, text: "Events returns the newest event first", check: func(p *storeProbe) {
		var want []twofa.Event
		for i := range 5 {
			e := p.event(i)
			p.swap("", p.record(p.key(strconv.Itoa((i*3)%5))), e)
			want = slices.Insert(want, 0, e)
		}
		p.wantEvents(twofa.EventQuery{User: p.id}, want...)
		p.wantEvents(twofa.EventQuery{Account: p.id}, want...)
		p.wantEvents(twofa.EventQuery{User: p.id, Limit: 2}, want[:2]...)
	}},
	{name: "events selection", events: true, text: "a query selects the events that match all of its fields that are set", check: func(p *storeProbe) {
		a, b, c, d := p.event(1), p.event(2), p.event(3), p.event(4)
		b.Account, b.Type = p.id+"2", event.Failed
		c.User = p.id + "2"
		d.User, d.Account = p.id+"x", p.id+"X"
		p.swap("", p.record(p.key("")), a, b, c, d)
		p.wantEvents(twofa.EventQuery{User: p.id}, b, a)
		p.wantEvents(twofa.EventQuery{User: p.id + "x"}, d)
		p.wantEvents(twofa.EventQuery{User: p.id + "X"})
		p.wantEvents(twofa.EventQuery{Account: p.id}, c, a)
		p.wantEvents(twofa.EventQuery{Account: p.id + "x"})
		p.wantEvents(twofa.EventQuery{User: p.id, Account: p.id}, a)
		p.wantEvents(twofa.EventQuery{User: p.id, Type: event.Failed}, b)
		p.wantEvents(twofa.EventQuery{Account: p.id, Type: event.Failed})
		p.wantEvents(twofa.EventQuery{User: p.id, Since: b.Time}, b)
		p.wantEvents(twofa.EventQuery{User: p.id, Since: b.Time.Add(time.Second)})
		p.wantEvents(twofa.EventQuery{User: p.id, Since: a.Time.In(time.FixedZone("", 3600))}, b, a)
		p.wantEvents(twofa.EventQuery{User: p.id, Before: b.ID}, a)
		p.wantEvents(twofa.EventQuery{User: p.id, Before: d.ID, Type: event.Login}, a)
		p.wantEvents(twofa.EventQuery{User: p.id, Before: a.ID})
	}},
	{name: "events pages", events: true, text: "if Before is the last event of each page, every event is on exactly one page, even if others are written meanwhile", check: func(p *storeProbe) {
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
				p.failf("a page has %d events, want at most %d", len(page), q.Limit)
			}
			for _, e := range page {
				if !missing[e.ID] {
					p.failf("the event of %v is on more than one page, or was written after the first page was read", e.Time)
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
	{name: "events limit", events: true, text: "if Limit is zero, it defaults to 100; if it is more than 1000, it is 1000", check: func(p *storeProbe) {
		for i := range 51 {
			p.swap("", p.record(p.key(strconv.Itoa(i))), p.eventsAt(i, 20)...)
		}
		for limit, want := range map[int]int{0: 100, 1: 1, 500: 500, 1000: 1000, 1001: 1000, 1 << 30: 1000} {
			if got := len(p.events(twofa.EventQuery{User: p.id, Limit: limit})); got != want {
				p.failf("with Limit %d, Events returned %d of 1020 events, want %d", limit, got, want)
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
			want = slices.Insert(want, 0, eventFor(r))
		}
		p.wantEvents(twofa.EventQuery{User: p.id}, want...)
	}},
	{name: "canceled events", events: true, text: "if the context is canceled, Events returns an error", check: func(p *storeProbe) {
		if found, err := p.reader().Events(canceled(p), twofa.EventQuery{User: p.id}); err == nil {
			p.failf("Events with a canceled context returned %d events and no error", len(found))
		}
	}},
}

// event returns an event with every field set. Its user and account are the
// probe's id. Its time is in the past. A larger second is a later time.
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
		p.failf("%T does not implement twofa.EventReader", p.b)
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

// wantEvents checks that Events returns exactly these events for q, in this order.
func (p *storeProbe) wantEvents(q twofa.EventQuery, want ...twofa.Event) {
	p.Helper()
	p.wantSameEvents(want, p.events(q))
}

func (p *storeProbe) wantSameEvents(want, got []twofa.Event) {
	p.Helper()
	for i := range min(len(want), len(got)) {
		if got[i] != want[i] {
			p.failf("event %d in the result is\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		p.failf("Events returned %d events, want %d", len(got), len(want))
	}
}
