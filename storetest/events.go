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
