package storetest

import (
	"context"
	"strconv"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

var retentionRules = []storeRule{
	{name: "replaced events", events: true, erases: true, text: "ReplaceEvents replaces all fields of the events with the same ID and time, those that queries select by included, and changes no other event", check: func(p *storeProbe) {
		var all []twofa.Event
		for i := range 4 {
			all = append(all, p.eventsAt(i, 3)...)
		}
		p.swap("", p.record(p.key("")), all...)
		q := twofa.EventQuery{Account: p.id, Limit: 5}
		first := p.page(p.reader(), q)
		for _, i := range []int{0, 4, 6, 7, 11} {
			p.replace(p.blanked(&all[i]))
		}
		p.replace(p.blanked(&all[1]), p.blanked(&all[2]), p.blanked(&all[9]))
		var named, blank []twofa.Event
		for _, e := range all {
			if e.User == "" {
				blank = append(blank, e)
			} else {
				named = append(named, e)
			}
		}
		p.wantEvents(twofa.EventQuery{Account: p.id}, all...)
		p.wantEvents(twofa.EventQuery{Account: p.id, Forward: true, Limit: 2}, all...)
		p.wantEvents(twofa.EventQuery{User: p.id}, named...)
		p.wantEvents(twofa.EventQuery{Actor: p.id}, named...)
		p.wantEvents(twofa.EventQuery{Account: p.id, Types: []string{event.Failed}}, blank...)
		p.wantEvents(twofa.EventQuery{Account: p.id, Types: []string{event.Login}}, named...)
		q.Cursor = first.Next
		if rest := p.pages(p.reader(), q, nil); len(rest) != len(all)-len(first.Events) {
			p.failf("after a page with %d of %d events that were then replaced, there are %d more", len(first.Events), len(all), len(rest))
		}
		moved := all[3]
		moved.User, moved.Account = p.id+"2", p.id+"2"
		p.replace(moved)
		p.replace(moved) // a repetition
		p.wantEvents(twofa.EventQuery{User: p.id + "2"}, moved)
		p.wantEvents(twofa.EventQuery{Account: p.id + "2"}, moved)
		p.wantEvents(twofa.EventQuery{User: p.id}, named[1:]...)
	}},
	{name: "replaced order", events: true, erases: true, text: "an event that is replaced remains at its place among those of the same second", check: func(p *storeProbe) {
		all := p.eventsAt(1, 6)
		p.swap("", p.record(p.key("")), all...)
		q := twofa.EventQuery{Account: p.id, Forward: true}
		before := p.events(q)
		for i := range all {
			if i%2 == 0 {
				p.replace(p.blanked(&all[i]))
			}
		}
		for i, e := range p.events(q) {
			if e.ID != before[i].ID {
				p.failf("event %d of a second is another one after some were replaced", i)
			}
		}
	}},
	{name: "replaced unknown", events: true, erases: true, text: "ReplaceEvents ignores an event that is not stored: none has the same ID, or it has another time", check: func(p *storeProbe) {
		e := p.event(1)
		p.swap("", p.record(p.key("")), e)
		otherID, otherTime := p.event(1), p.event(2)
		otherID.User, otherTime.User, otherTime.ID = p.id+"x", p.id+"x", e.ID
		p.replace(otherID, otherTime)
		p.replace()
		p.wantEvents(twofa.EventQuery{User: p.id}, e)
		p.wantEvents(twofa.EventQuery{User: p.id + "x"})
		p.replace(otherTime, p.blanked(&e), otherID)
		p.wantEvents(twofa.EventQuery{Account: p.id}, e)
	}},
	{name: "replaced ownership", events: true, erases: true, text: "ReplaceEvents does not keep a reference to events", check: func(p *storeProbe) {
		e := p.event(1)
		p.swap("", p.record(p.key("")), e)
		given, want := p.event(1), p.event(1)
		given.ID, want.ID, given.Reason, want.Reason = e.ID, e.ID, "other", "other"
		given.MAC[0], want.MAC[0] = 1, 1
		list := []twofa.Event{given}
		p.replace(list...)
		p.overwriteEvents(list)
		p.wantEvents(twofa.EventQuery{User: p.id}, want)
	}},
	{name: "cut replace", events: true, erases: true, text: "if the context is canceled before or during ReplaceEvents, all events are replaced or none, and all if it returns nil", check: func(p *storeProbe) {
		if err := p.eraser().ReplaceEvents(canceled(p), p.event(1)); err == nil {
			p.failf("ReplaceEvents with a canceled context returned no error")
		}
		p.cut(func(ctx context.Context, n int) {
			account := p.id + "cut" + strconv.Itoa(n)
			before, after := p.eventsAt(n, 3), []twofa.Event(nil)
			for i := range before {
				before[i].Account = account
				e := before[i]
				after = append(after, p.blanked(&e))
			}
			p.swap("", p.record(p.key(account)), before...)
			err := p.eraser().ReplaceEvents(ctx, after...)
			q := twofa.EventQuery{Account: account}
			got := p.events(q)
			if err != nil && len(got) > 0 && got[0].User != "" {
				after = before
			}
			p.wantSameEvents(q, after, got)
		})
	}},
	{name: "deleted events", events: true, drops: true, text: "DeleteEvents deletes the events before the time, and no others, on every server; cursors remain valid", check: func(p *storeProbe) {
		all := p.oldEvents(0, 10, 3)
		newer := p.eventsAt(1, 2)
		p.swap("", p.record(p.key("new")), newer...)
		q := twofa.EventQuery{User: p.id, Limit: 2, Forward: true}
		forward := p.page(p.reader(), q)
		q.Forward = false
		q.Until = all[len(all)-1].Time
		backward := p.page(p.reader(), q)
		p.drop(all[0].Time)
		p.wantEvents(twofa.EventQuery{User: p.id}, append(newer, all...)...)
		p.drop(all[12].Time)
		p.wantEvents(twofa.EventQuery{User: p.id}, append(newer, all[12:]...)...)
		p.wantEvents(twofa.EventQuery{Account: p.id, Types: []string{event.Login}, Forward: true}, append(newer, all[12:]...)...)
		p.wantEvents(twofa.EventQuery{Actor: p.id, Until: all[15].Time}, all[12:15]...)
		p.wantSameEvents(twofa.EventQuery{User: p.id, Forward: true}, append(newer, all[12:]...),
			p.pages(p.reader(), twofa.EventQuery{User: p.id, Limit: 2, Forward: true, Cursor: forward.Next}, nil))
		p.drop(all[29].Time) // more than the page before ended with
		q.Cursor = backward.Next
		p.wantSameEvents(q, nil, p.pages(p.reader(), q, nil))
		p.drop(all[29].Time.Add(time.Second))
		p.wantEvents(twofa.EventQuery{User: p.id}, newer...)
		again := p.oldEvents(0, 2, 1)
		p.wantEvents(twofa.EventQuery{User: p.id}, append(newer, again...)...)
		p.drop(again[1].Time.Add(time.Second))
	}},
	{name: "deleted many", events: true, drops: true, text: "DeleteEvents deletes all events before the time, however many there are, also of one second, and reports each once", check: func(p *storeProbe) {
		p.drop(time.Unix(oldSecond, 0)) // those of earlier runs
		all := append(p.oldEvents(0, 1, 2500), p.oldEvents(10, 700, 1)...)
		left := p.oldEvents(2000, 1, 3)
		n := p.drop(left[0].Time)
		if n != len(all) {
			p.failf("DeleteEvents reported %d events, want %d", n, len(all))
		}
		p.wantEvents(twofa.EventQuery{User: p.id}, left...)
		if n := p.drop(left[0].Time); n != 0 {
			p.failf("DeleteEvents reported %d events that were already deleted", n)
		}
		if err := p.deleter().DeleteEvents(p.Context(), left[0].Time.Add(time.Second), nil); err != nil {
			p.failf("DeleteEvents: %v", err)
		}
		p.wantEvents(twofa.EventQuery{User: p.id})
	}},
	{name: "canceled delete", events: true, drops: true, text: "if the context is canceled, DeleteEvents returns an error and deletes nothing", check: func(p *storeProbe) {
		all := p.oldEvents(0, 2, 2)
		if err := p.deleter().DeleteEvents(canceled(p), all[3].Time.Add(time.Second), nil); err == nil {
			p.failf("DeleteEvents with a canceled context returned no error")
		}
		p.wantEvents(twofa.EventQuery{User: p.id}, all...)
		p.drop(all[3].Time.Add(time.Second))
	}},
	{name: "retention race", events: true, drops: true, text: "DeleteEvents and Swap do not disturb each other", check: func(p *storeProbe) {
		all := p.oldEvents(0, 300, 5)
		p.inParallel(func(racer int, s twofa.Store) error {
			if racer%2 == 0 {
				return s.(twofa.EventDeleter).DeleteEvents(p.Context(), all[len(all)-1].Time.Add(time.Second), nil)
			}
			key := p.key(strconv.Itoa(racer))
			for version, n := "", 0; n < 5; n++ {
				e := p.event(n)
				e.User = p.id + "new"
				next := p.record(key)
				if err := s.Swap(p.Context(), version, next, e); err != nil {
					return err
				}
				version = next.Version
			}
			return nil
		})
		p.wantEvents(twofa.EventQuery{User: p.id})
		if got := p.events(twofa.EventQuery{User: p.id + "new"}); len(got) != racers/2*5 {
			p.failf("%d events were stored while others were deleted, want %d", len(got), racers/2*5)
		}
	}},
}

// oldSecond is the time of the first event that a probe deletes.
const oldSecond = 1000

// oldEvents stores events before 2 January 1970, n in each of some seconds.
func (p *storeProbe) oldEvents(from, seconds, n int) (all []twofa.Event) {
	p.Helper()
	for second := range seconds {
		all = append(all, p.eventsAt(oldSecond-firstSecond+from+second, n)...)
	}
	for start := 0; start < len(all); start += 500 {
		p.swap("", p.record(p.key("old"+strconv.Itoa(from)+all[start].ID)), all[start:min(start+500, len(all))]...)
	}
	return all
}

// blanked makes e an event whose other fields differ, and returns it.
func (p *storeProbe) blanked(e *twofa.Event) twofa.Event {
	other := twofa.Event{ID: e.ID, Seq: e.Seq - 1, Time: e.Time, Type: event.Failed, Account: e.Account, Actor: twofa.EventActor{Kind: "user"}, MAC: []byte("other"), Left: 1}
	*e = other
	return other
}

func (p *storeProbe) eraser() twofa.EventEraser {
	p.Helper()
	eraser, ok := p.a.(twofa.EventEraser)
	if !ok {
		p.failf("%T does not implement twofa.EventEraser", p.a)
	}
	return eraser
}

func (p *storeProbe) replace(events ...twofa.Event) {
	p.Helper()
	if err := p.eraser().ReplaceEvents(p.Context(), events...); err != nil {
		p.failf("ReplaceEvents of %d events: %v", len(events), err)
	}
}

func (p *storeProbe) deleter() twofa.EventDeleter {
	p.Helper()
	deleter, ok := p.a.(twofa.EventDeleter)
	if !ok {
		p.failf("%T does not implement twofa.EventDeleter", p.a)
	}
	return deleter
}

// drop deletes the events before a time and returns how many were reported.
func (p *storeProbe) drop(before time.Time) (sum int) {
	p.Helper()
	if err := p.deleter().DeleteEvents(p.Context(), before, func(n int) { sum += n }); err != nil {
		p.failf("DeleteEvents: %v", err)
	}
	return sum
}
