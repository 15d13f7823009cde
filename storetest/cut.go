package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twofa-go/twofa"
)

var cutRules = []storeRule{
	{name: "cut swap", text: "if the context is canceled during Swap, the change and its events are stored together or not at all; Swap returns nil only if they are stored, and ErrConflict only if they are not", check: func(p *storeProbe) {
		p.cutSwaps((*storeProbe).settledAsAnswered)
	}},
	{name: "late swap", text: "Swap changes nothing after it has returned an error", check: func(p *storeProbe) {
		var settled []func()
		p.cutSwaps(func(p *storeProbe, c cutSwap) {
			p.settledAsAnswered(c)
			settled = append(settled, p.lasting(c.next.Key))
		})
		for i, prev := range []string{"none", ""} { // conflicts may come late as well
			r := p.create(p.key("conflict" + strconv.Itoa(i)))
			p.wantConflict(prev, p.record(r.Key))
			settled = append(settled, p.lasting(r.Key))
		}
		forAWhile(settled)
	}},
	{name: "after the call", text: "a change is final once Swap has returned nil, even if the context of the call is canceled afterwards", check: func(p *storeProbe) {
		var settled []func()
		for i, space := range spaces {
			changed, deleted := p.create(space+p.id+"changed"), p.create(space+p.id+"deleted")
			settled = append(settled,
				p.swapAndCancel("", p.record(space+p.id+"new")),
				p.swapAndCancel(changed.Version, p.record(changed.Key), p.event(i)),
				p.swapAndCancel(deleted.Version, twofa.Record{Key: deleted.Key}))
		}
		forAWhile(settled)
	}},
	{name: "cut get", text: "if the context is canceled during Get, Get returns an error or all of the records", check: func(p *storeProbe) {
		var all []twofa.Record
		for i := range 40 {
			all = append(all, p.sized(spaces[i%len(spaces)]+p.id+strconv.Itoa(i), 5000))
			p.swap("", all[i])
		}
		keys := keysOf(all)
		for i := range 1000 {
			keys = append(keys, p.key("none"+strconv.Itoa(i)))
		}
		p.cut(func(ctx context.Context, _ int) {
			if found, err := p.b.Get(ctx, keys...); err == nil {
				p.wantSame(all, found)
			}
		})
	}},
	{name: "cut events", events: true, text: "if the context is canceled during Events, Events returns an error or the whole page", check: func(p *storeProbe) {
		all := p.eventsAt(1, 50)
		p.swap("", p.record(p.key("")), all...)
		q := twofa.EventQuery{User: p.id, Limit: 500}
		p.cut(func(ctx context.Context, _ int) {
			if page, err := p.reader().Events(ctx, q); err == nil {
				q := q
				rest := []twofa.Event(nil)
				if q.Cursor = page.Next; q.Cursor != "" {
					rest = p.pages(p.reader(), q, nil)
				}
				p.wantSameEvents(q, all, append(page.Events, rest...))
			}
		})
	}},
}

// swapAndCancel calls Swap, which must store next, and then cancels its context. It
// returns a function that checks that next is stored.
func (p *storeProbe) swapAndCancel(prev string, next twofa.Record, events ...twofa.Event) func() {
	p.Helper()
	ctx, cancel := context.WithCancel(p.Context())
	err := p.a.Swap(ctx, prev, next, events...)
	cancel()
	if err != nil {
		p.failf("Swap from version %q to %q: %v", prev, next.Version, err)
	}
	return func() {
		p.Helper()
		p.wantStoredOrMissing(next)
	}
}

// wantStoredOrMissing checks that r is stored, or that there is no record for its
// key if it has no version.
func (p *storeProbe) wantStoredOrMissing(r twofa.Record) {
	p.Helper()
	if r.Version == "" {
		p.wantMissing(r.Key)
	} else {
		p.wantStored(r)
	}
}

// forAWhile repeats checks of something that must not change.
func forAWhile(checks []func()) {
	for start := time.Now(); time.Since(start) < 250*time.Millisecond; {
		for _, check := range checks {
			check()
		}
	}
}

// cut calls f with contexts that are canceled at different moments: at each time
// that the store looks at the context, and after different durations.
func (p *storeProbe) cut(f func(ctx context.Context, n int)) {
	p.Helper()
	n := 0
	for looks := 1; looks <= 8; looks++ {
		ctx, cancel := context.WithCancel(p.Context())
		c := &cutContext{Context: ctx, cancel: cancel}
		c.looks.Store(int64(looks))
		f(c, n)
		cancel()
		n++
	}
	start := time.Now()
	f(p.Context(), n)
	took := min(time.Since(start), 50*time.Millisecond)
	for eighth := range time.Duration(12) {
		n++
		ctx, cancel := context.WithCancel(p.Context())
		timer := time.AfterFunc(took*(eighth+1)/8, cancel)
		f(ctx, n)
		timer.Stop()
		cancel()
	}
}

// cutContext cancels itself when it is looked at for the nth time.
type cutContext struct {
	context.Context
	cancel context.CancelFunc
	looks  atomic.Int64 // until then
}

func (c *cutContext) look() {
	if c.looks.Add(-1) == 0 {
		c.cancel()
	}
}

func (c *cutContext) Err() error {
	c.look()
	return c.Context.Err()
}

func (c *cutContext) Done() <-chan struct{} {
	c.look()
	return c.Context.Done()
}

// cutSwap is a Swap that was cut, and its answer.
type cutSwap struct {
	before, next twofa.Record // before is the record that was stored
	events       []twofa.Event
	err          error
}

// cutSwaps cuts creations, changes and deletes, with and without events, each of a
// record of its own.
func (p *storeProbe) cutSwaps(check func(p *storeProbe, c cutSwap)) {
	p.Helper()
	for kind := range 6 {
		p.cut(func(ctx context.Context, n int) {
			c := cutSwap{next: p.sized(p.key(fmt.Sprint(kind, "-", n)), 200+kind*3000)}
			if kind%3 > 0 {
				c.before = p.create(c.next.Key)
			}
			if kind%3 == 2 {
				c.next = twofa.Record{Key: c.next.Key}
			}
			if kind > 2 {
				c.events = p.eventsAt(n, 2)
				for i := range c.events {
					c.events[i].User = c.next.Key
				}
			}
			c.err = p.a.Swap(ctx, c.before.Version, c.next, c.events...)
			check(p, c)
		})
	}
}

// settledAsAnswered checks that the store has what the answer of the Swap allows.
func (p *storeProbe) settledAsAnswered(c cutSwap) {
	p.Helper()
	stored := c.err == nil
	if !stored && !errors.Is(c.err, twofa.ErrConflict) {
		stored = p.isStored(c)
	}
	want := c.before
	if stored {
		want = c.next
	}
	want.Key = c.next.Key
	p.wantStoredOrMissing(want)
	if _, ok := p.b.(twofa.EventReader); !ok || len(c.events) == 0 {
		return
	}
	if !stored {
		c.events = nil
	}
	p.wantEvents(twofa.EventQuery{User: c.next.Key}, c.events...)
}

// isStored reports whether the change of a Swap is stored, although it returned an
// error.
func (p *storeProbe) isStored(c cutSwap) bool {
	p.Helper()
	found := p.get(c.next.Key)
	if c.next.Version == "" {
		return len(found) == 0
	}
	return len(found) == 1 && found[0].Version == c.next.Version
}

// lasting returns a function that checks that the record for key has not changed
// since.
func (p *storeProbe) lasting(key string) func() {
	p.Helper()
	found := p.get(key)
	return func() {
		p.Helper()
		p.wantSame(found, p.get(key))
	}
}
