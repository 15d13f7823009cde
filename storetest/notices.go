package storetest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twofa-go/twofa"
)

// The events of these rules are before the year 2000, so that a claim of them
// finds no events of other rules. Such ones are in the store as well.
var noticeRules = []storeRule{
	{name: "notices claimed", notices: true, text: "Swap stores each event with Notice as claimed until its time plus NoticeClaim; ClaimNotices returns it from then on, with all its fields, and no other", check: func(p *storeProbe) {
		n := p.notices()
		var want []twofa.Event
		for i, space := range spaces {
			e, silent := n.event(0), n.event(0)
			silent.Notice = false
			r := p.record(space + p.id + strconv.Itoa(i))
			p.turn(i).swap("", r, e, silent)
			last := n.event(0)
			p.turn(i).swap(r.Version, twofa.Record{Key: r.Key}, last)
			want = append(want, e, last)
		}
		n.wantClaimed(-time.Second, time.Hour)
		n.wantClaimed(0, time.Hour, want...)
	}},
	{name: "notices exclusive", notices: true, text: "a claimed event is not returned before its claim ends, and then again, on any server", check: func(p *storeProbe) {
		n := p.notices()
		e := n.event(0)
		p.swap("", p.record(p.key("")), e)
		at := time.Duration(0)
		for i := range 4 {
			n.on(i).wantClaimed(at, at+time.Hour, e)
			n.on(i).wantClaimed(at, at+time.Hour)
			n.on(i+1).wantClaimed(at+time.Hour-time.Second, at+2*time.Hour)
			at += time.Hour
		}
	}},
	{name: "notices done", notices: true, text: "NoticesDone ends notices for good, whether they are claimed or not; events that are done already or were never stored are skipped, and no other event changes", check: func(p *storeProbe) {
		n := p.notices()
		claimed, early, late, other := n.event(0), n.event(0), n.event(1), n.event(0)
		stored := []twofa.Event{claimed, early, late, other}
		p.swap("", p.record(p.key("")), stored...)
		n.done(early)
		n.wantClaimed(0, time.Hour, claimed, other)
		n.on(1).done(claimed, claimed, n.event(0), late, early)
		n.done(claimed)
		n.done()
		n.on(1).wantClaimed(time.Hour, 2*time.Hour, other)
		n.wantClaimed(24*time.Hour, 48*time.Hour, other)
		if _, ok := p.b.(twofa.EventReader); ok {
			p.wantEvents(twofa.EventQuery{User: p.id}, stored...)
		}
	}},
	{name: "notices delayed", notices: true, text: "DelayNotices moves the end of a claim, to an earlier or a later time; events that are done or were never stored are skipped", check: func(p *storeProbe) {
		n := p.notices()
		sooner, later, done := n.event(0), n.event(0), n.event(0)
		p.swap("", p.record(p.key("")), sooner, later, done)
		n.done(done)
		n.wantClaimed(0, time.Hour, sooner, later)
		n.on(1).delay(time.Minute, sooner, done, n.event(0))
		n.delay(2*time.Hour, later)
		n.wantClaimed(time.Minute-time.Second, time.Hour)
		n.wantClaimed(time.Minute, 5*time.Hour, sooner)
		n.on(1).wantClaimed(2*time.Hour-time.Second, 5*time.Hour)
		n.on(1).wantClaimed(2*time.Hour, 5*time.Hour, later)
	}},
	{name: "notices repeated", notices: true, text: "a Swap that conflicts or is repeated stores no notice, and does not change the claim of one that is stored", check: func(p *storeProbe) {
		n := p.notices()
		r, next := p.record(p.key("")), p.record(p.key(""))
		one, two, three := n.event(0), n.event(0), n.event(0)
		p.swap("", r, one)
		p.swap("", r, one)
		p.swap(r.Version, next, two)
		p.wantConflict(r.Version, p.record(r.Key), n.event(0))
		p.wantCanceled(next.Version, p.record(r.Key), n.event(0))
		p.swap(r.Version, next, two)
		n.wantClaimed(0, time.Hour, one, two)
		p.swap(r.Version, next, two)
		n.wantClaimed(0, time.Hour)
		n.done(two)
		p.swap(r.Version, next, two)
		p.swap(next.Version, twofa.Record{Key: r.Key}, three)
		p.swap(next.Version, twofa.Record{Key: r.Key}, three)
		n.wantClaimed(time.Hour, 2*time.Hour, one, three)
	}},
	{name: "notices order", notices: true, text: "the event whose claim ended first is returned first, and of several, the one with the earlier time", check: func(p *storeProbe) {
		n := p.notices()
		var all []twofa.Event
		for i := range 6 {
			all = append(all, n.event(i*10))
		}
		for _, i := range []int{3, 0, 5, 1, 4, 2} {
			p.swap("", p.record(p.key(strconv.Itoa(i))), all[i])
		}
		n.delay(55*time.Second, all[0])
		n.delay(15*time.Second, all[4])
		n.delay(15*time.Second, all[2])
		want := []twofa.Event{all[1], all[2], all[4], all[3], all[5], all[0]}
		for i, e := range n.claim(p.b, time.Hour, 2*time.Hour, 1000) {
			if i >= len(want) || e.ID != want[i].ID {
				p.failf("event %d of the result has the time %v, want the one of %v", i, e.Time, want[min(i, len(want)-1)].Time)
			}
		}
	}},
	{name: "notices limit", notices: true, text: "ClaimNotices returns at most limit events, and no event is left when its result is empty", check: func(p *storeProbe) {
		n := p.notices()
		for at, limit := range []int{1, 2, 3, 7, 1000} {
			var all []twofa.Event
			for i := range 10 {
				events := []twofa.Event{n.event(i), n.event(i), n.event(0)}
				p.swap("", p.record(p.key(fmt.Sprint(at, "-", i))), events...)
				all = append(all, events...)
			}
			n.wantSame(all, n.claimAll(p.b, time.Minute, time.Hour, limit))
			n.done(all...)
		}
	}},
	{name: "notices ownership", notices: true, text: "the caller owns the result of ClaimNotices", check: func(p *storeProbe) {
		n := p.notices()
		e := n.event(0)
		p.swap("", p.record(p.key("")), e)
		p.overwriteEvents(n.claim(p.b, 0, time.Hour, 10))
		n.wantClaimed(time.Hour, 2*time.Hour, e)
	}},
	{name: "notices replaced", notices: true, erases: true, text: "ReplaceEvents changes no claim: the notice of an event that is replaced is returned when it would have been, with the new fields", check: func(p *storeProbe) {
		n := p.notices()
		first, claimed, done := n.event(0), n.event(0), n.event(0)
		p.swap("", p.record(p.key("")), first, claimed, done)
		n.delay(time.Hour, claimed)
		n.done(done)
		for _, e := range []*twofa.Event{&first, &claimed, &done} {
			e.User, e.Reason = p.id+"2", "other"
		}
		p.replace(first, claimed, done)
		n.wantClaimed(0, time.Hour, first)
		n.wantClaimed(time.Hour-time.Second, 2*time.Hour)
		n.wantClaimed(time.Hour, 2*time.Hour, first, claimed)
	}},
	{name: "notices deleted", notices: true, drops: true, text: "ClaimNotices returns no event that DeleteEvents has deleted, and those that are left", check: func(p *storeProbe) {
		n := p.notices()
		all := p.oldEvents(0, 3, 1)
		p.drop(all[2].Time)
		n.done(all[0])
		n.delay(time.Hour, all[1])
		n.wantClaimed(0, time.Hour, all[2])
		n.done(all[2])
		p.drop(all[2].Time.Add(time.Second))
	}},
	{name: "notices race", notices: true, text: "of several concurrent calls of ClaimNotices, each event is returned to exactly one", check: func(p *storeProbe) {
		n := p.notices()
		until := time.Now().Add(countingTime())
		for round := 0; round < rounds/5 || time.Now().Before(until); round++ {
			n.raceForClaims(round)
		}
	}},
	{name: "canceled notices", notices: true, text: "if the context is canceled, ClaimNotices, DelayNotices and NoticesDone return an error", check: func(p *storeProbe) {
		n := p.notices()
		e := n.event(0)
		p.swap("", p.record(p.key("")), e)
		s, now, until := n.store(p.b), n.at(0), n.at(time.Hour)
		if events, err := s.ClaimNotices(canceled(p), now, until, 10); err == nil {
			p.failf("ClaimNotices with a canceled context returned %d events and no error", len(events))
		}
		if err := s.DelayNotices(canceled(p), until, e); err == nil {
			p.failf("DelayNotices with a canceled context returned no error")
		}
		if err := s.NoticesDone(canceled(p), e); err == nil {
			p.failf("NoticesDone with a canceled context returned no error")
		}
	}},
}

// noticeProbe runs a rule of notices. Its times count from the end of the claim of
// an event at second 0.
type noticeProbe struct {
	*storeProbe
	second int // of [storeProbe.event]
}

// notices returns a probe whose events are in a random time. It ends all notices
// that are there already, so that they are not in a result.
func (p *storeProbe) notices() noticeProbe {
	p.Helper()
	var random [4]byte
	_, _ = rand.Read(random[:])
	seconds := 100_000_000 + int64(binary.BigEndian.Uint32(random[:]))%800_000_000 // from 1973 to 1998
	n := noticeProbe{p, int(seconds - firstSecond)}
	for {
		left, err := n.store(p.b).ClaimNotices(p.Context(), n.at(100*24*time.Hour), n.at(101*24*time.Hour), 1000)
		if err == nil && len(left) > 0 {
			err = n.store(p.b).NoticesDone(p.Context(), left...)
		}
		if err != nil {
			p.failf("ending notices that are already stored: %v", err)
		}
		if len(left) == 0 {
			return n
		}
	}
}

func (n noticeProbe) event(second int) twofa.Event { return n.storeProbe.event(n.second + second) }

func (n noticeProbe) at(d time.Duration) time.Time {
	return n.event(0).Time.Add(twofa.NoticeClaim + d)
}

// on returns the probe with the other handle for odd i.
func (n noticeProbe) on(i int) noticeProbe {
	n.storeProbe = n.turn(i)
	return n
}

func (n noticeProbe) store(s twofa.Store) twofa.NoticeStore {
	n.Helper()
	store, ok := s.(twofa.NoticeStore)
	if !ok {
		n.failf("%T does not implement twofa.NoticeStore", s)
	}
	return store
}

func (n noticeProbe) claim(s twofa.Store, now, until time.Duration, limit int) []twofa.Event {
	n.Helper()
	events, err := n.store(s).ClaimNotices(n.Context(), n.at(now), n.at(until), limit)
	if err != nil {
		n.failf("ClaimNotices at %v: %v", n.at(now), err)
	}
	if len(events) > limit {
		n.failf("with limit %d, ClaimNotices returned %d events", limit, len(events))
	}
	return events
}

// claimAll claims until the result is empty.
func (n noticeProbe) claimAll(s twofa.Store, now, until time.Duration, limit int) (all []twofa.Event) {
	n.Helper()
	for {
		events := n.claim(s, now, until, limit)
		if all = append(all, events...); len(events) == 0 || len(all) > 100_000 {
			return all
		}
	}
}

// wantClaimed claims all events, which must be these.
func (n noticeProbe) wantClaimed(now, until time.Duration, want ...twofa.Event) {
	n.Helper()
	n.wantSame(want, n.claimAll(n.b, now, until, 100))
}

func (n noticeProbe) wantSame(want, got []twofa.Event) {
	n.Helper()
	missing := map[string]twofa.Event{}
	for _, e := range want {
		missing[e.ID] = e
	}
	for _, e := range got {
		w, ok := missing[e.ID]
		if !ok {
			n.failf("ClaimNotices returned the event of %v twice, or when it is claimed, done or not stored", e.Time)
		}
		if !sameEvent(w, e) {
			n.failf("ClaimNotices returned the event\n%+v, want\n%+v", e, w)
		}
		delete(missing, e.ID)
	}
	if len(missing) > 0 {
		n.failf("ClaimNotices returned %d events, want %d", len(got), len(want))
	}
}

func (n noticeProbe) delay(until time.Duration, events ...twofa.Event) {
	n.Helper()
	if err := n.store(n.a).DelayNotices(n.Context(), n.at(until), events...); err != nil {
		n.failf("DelayNotices of %d events: %v", len(events), err)
	}
}

func (n noticeProbe) done(events ...twofa.Event) {
	n.Helper()
	if err := n.store(n.a).NoticesDone(n.Context(), events...); err != nil {
		n.failf("NoticesDone of %d events: %v", len(events), err)
	}
}

// raceForClaims lets racers claim the same events. They end some of them meanwhile,
// as servers do.
func (n noticeProbe) raceForClaims(round int) {
	n.Helper()
	var all []twofa.Event
	for i := range 12 {
		all = append(all, n.event(i%3))
	}
	n.swap("", n.record(n.key(strconv.Itoa(round))), all...)
	var (
		mu  sync.Mutex
		got []twofa.Event
	)
	n.inParallel(func(racer int, s twofa.Store) error {
		store := n.store(s)
		for {
			events, err := store.ClaimNotices(n.Context(), n.at(time.Minute), n.at(time.Hour), 1+racer%4)
			if err != nil || len(events) == 0 {
				return err
			}
			mu.Lock()
			got = append(got, events...)
			mu.Unlock()
			if err := store.NoticesDone(context.WithoutCancel(n.Context()), events[:1]...); err != nil {
				return err
			}
		}
	})
	n.wantSame(all, got)
	n.done(all...)
}
