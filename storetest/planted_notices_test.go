package storetest

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// plantedInNotices are stores that lose notices, or hand them out twice.
func plantedInNotices() []planted {
	type events = []twofa.Event
	onClaim := func(f func(events) events) *faulty {
		return &faulty{claim: func(s *memstore.Store, ctx context.Context, now, until time.Time, limit int) (events, error) {
			found, err := s.ClaimNotices(ctx, now, until, limit)
			return f(found), err
		}}
	}
	onSettle := func(f func(until time.Time, all events) (time.Time, events)) *faulty {
		return &faulty{settle: func(s *memstore.Store, ctx context.Context, until time.Time, all events) error {
			if until, all = f(until, all); until.IsZero() {
				return s.NoticesDone(ctx, all...)
			}
			return s.DelayNotices(ctx, until, all...)
		}}
	}
	onTime := func(f func(now, until time.Time) (time.Time, time.Time)) *faulty {
		return &faulty{claim: func(s *memstore.Store, ctx context.Context, now, until time.Time, limit int) (events, error) {
			now, until = f(now, until)
			return s.ClaimNotices(ctx, now, until, limit)
		}}
	}
	var list events
	var mu sync.Mutex
	return []planted{
		one("notices can be claimed at once", "notices claimed", onTime(func(now, until time.Time) (time.Time, time.Time) { return now.Add(twofa.NoticeClaim), until })),
		one("notices can be claimed a second late", "notices claimed", onTime(func(now, until time.Time) (time.Time, time.Time) { return now.Add(-time.Second), until })),
		one("every event has a notice", "notices claimed", onStored(func(_ *call, e *twofa.Event) { e.Notice = true })),
		one("no event has a notice", "notices claimed", onStored(func(_ *call, e *twofa.Event) { e.Notice = false })),
		one("no notices of deletes", "notices claimed", onStored(func(c *call, e *twofa.Event) { e.Notice = e.Notice && c.next.Version != "" })),
		one("no notices of accounts", "notices claimed", onStored(func(c *call, e *twofa.Event) { e.Notice = e.Notice && !strings.HasPrefix(c.next.Key, "account/") })),
		one("claimed events without their MAC", "notices claimed", onClaim(func(found events) events {
			for i := range found {
				found[i].MAC = nil
			}
			return found
		})),
		one("claims do not last", "notices exclusive", onTime(func(now, _ time.Time) (time.Time, time.Time) { return now, now })),
		one("claims last a second less", "notices exclusive", onTime(func(now, until time.Time) (time.Time, time.Time) { return now, until.Add(-time.Second) })),
		one("claims last for good", "notices exclusive", onTime(func(now, until time.Time) (time.Time, time.Time) { return now, until.AddDate(1000, 0, 0) })),
		pair("claims of one server", "notices exclusive", claimsOfOwn(), claimsOfOwn()),
		one("done does nothing", "notices done", onSettle(func(until time.Time, all events) (time.Time, events) {
			if until.IsZero() {
				all = nil
			}
			return until, all
		})),
		one("done only for a day", "notices done", onSettle(func(until time.Time, all events) (time.Time, events) {
			if until.IsZero() && len(all) > 0 {
				until = all[0].Time.AddDate(0, 0, 1)
			}
			return until, all
		})),
		one("only the first event is done", "notices done", onSettle(func(until time.Time, all events) (time.Time, events) { return until, all[:min(1, len(all))] })),
		one("all events of the second are done", "notices done", &faulty{settle: func(s *memstore.Store, ctx context.Context, until time.Time, all events) error {
			if !until.IsZero() || len(all) == 0 {
				return s.DelayNotices(ctx, until, all...)
			}
			page, _ := s.Events(ctx, twofa.EventQuery{Since: all[0].Time, Until: all[0].Time.Add(time.Second), Limit: 1000})
			return s.NoticesDone(ctx, page.Events...)
		}}),
		one("events that are done are deleted", "notices done", func() *faulty {
			done := map[string]bool{}
			f := onSettle(func(until time.Time, all events) (time.Time, events) {
				for _, e := range all {
					done[e.ID] = until.IsZero()
				}
				return until, all
			})
			f.list = func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
				page, err := s.Events(ctx, q)
				page.Events = slices.DeleteFunc(page.Events, func(e twofa.Event) bool { return done[e.ID] })
				return page, err
			}
			return f
		}()),
		one("a delay only to a later time", "notices delayed", func() *faulty {
			ends := map[string]time.Time{}
			f := onSettle(func(until time.Time, all events) (time.Time, events) {
				return until, slices.DeleteFunc(slices.Clone(all), func(e twofa.Event) bool { return !until.IsZero() && until.Before(ends[e.ID]) })
			})
			f.claim = func(s *memstore.Store, ctx context.Context, now, until time.Time, limit int) (events, error) {
				found, err := s.ClaimNotices(ctx, now, until, limit)
				for _, e := range found {
					ends[e.ID] = until
				}
				return found, err
			}
			return f
		}()),
		one("a delay does nothing", "notices delayed", onSettle(func(until time.Time, all events) (time.Time, events) {
			if !until.IsZero() {
				all = nil
			}
			return until, all
		})),
		one("a delay brings back what is done", "notices delayed", revived()),
		one("a repeated Swap stores its notices again", "notices repeated", onSwap(func(c *call) error {
			if c.stored() == c.next.Version && len(c.events) > 0 {
				return c.storeEvents()
			}
			return c.pass()
		})),
		one("notices of a conflict", "notices repeated", onSwap(func(c *call) error {
			if stored := c.stored(); stored != c.prev && stored != c.next.Version {
				_ = c.storeEvents()
			}
			return c.pass()
		})),
		one("notices by time only", "notices order", onClaim(func(found events) events {
			slices.SortStableFunc(found, func(a, b twofa.Event) int { return a.Time.Compare(b.Time) })
			return found
		})),
		one("the newest notice first", "notices order", onClaim(func(found events) events { slices.Reverse(found); return found })),
		one("one notice too many", "notices limit", &faulty{claim: func(s *memstore.Store, ctx context.Context, now, until time.Time, limit int) (events, error) {
			return s.ClaimNotices(ctx, now, until, limit+1)
		}}),
		one("more claimed than returned", "notices limit", onClaim(func(found events) events { return found[:min(5, len(found))] })),
		one("only events of one second", "notices limit", onClaim(func(found events) events {
			return slices.DeleteFunc(found, func(e twofa.Event) bool { return !e.Time.Equal(found[0].Time) })
		})),
		one("the store's own list returned", "notices ownership", &faulty{claim: func(s *memstore.Store, ctx context.Context, now, until time.Time, limit int) (events, error) {
			found, err := s.ClaimNotices(ctx, now, until, limit)
			for i, e := range found {
				if known := slices.IndexFunc(list, func(o twofa.Event) bool { return o.ID == e.ID || o.ID == "" }); known >= 0 {
					found[i] = list[known]
				}
			}
			if len(found) > 0 {
				list = found
			}
			return found, err
		}}),
		one("a replaced event has no notice any longer", "notices replaced", onClaim(func(found events) events {
			return slices.DeleteFunc(found, func(e twofa.Event) bool { return e.Reason == "other" })
		})),
		one("deleted events in the list of notices", "notices deleted", deletedNotices()),
		one("claimed in two steps", "notices race", &faulty{claim: func(s *memstore.Store, ctx context.Context, now, until time.Time, limit int) (events, error) {
			mu.Lock()
			found, err := s.ClaimNotices(ctx, now, until, limit)
			_ = s.DelayNotices(ctx, now, found...) // as if it had only looked
			mu.Unlock()
			runtime.Gosched()
			mu.Lock()
			defer mu.Unlock()
			_ = s.DelayNotices(ctx, until, found...)
			return found, err
		}}),
		one("an empty result if others were faster", "notices race", func() *faulty {
			var busy sync.Mutex
			return &faulty{claim: func(s *memstore.Store, ctx context.Context, now, until time.Time, limit int) (events, error) {
				if !busy.TryLock() {
					found, err := s.ClaimNotices(ctx, now, until, limit)
					if len(found) > 0 && strings.HasSuffix(found[0].ID, "A") {
						return nil, err // they remain claimed
					}
					return found, err
				}
				defer busy.Unlock()
				runtime.Gosched()
				return s.ClaimNotices(ctx, now, until, limit)
			}}
		}()),
		one("ClaimNotices ignores a canceled context", "canceled notices", &faulty{claim: func(s *memstore.Store, ctx context.Context, now, until time.Time, limit int) (events, error) {
			return s.ClaimNotices(context.WithoutCancel(ctx), now, until, limit)
		}}),
		one("NoticesDone ignores a canceled context", "canceled notices", &faulty{settle: func(s *memstore.Store, ctx context.Context, until time.Time, all events) error {
			if until.IsZero() {
				return s.NoticesDone(context.WithoutCancel(ctx), all...)
			}
			return s.DelayNotices(ctx, until, all...)
		}}),
	}
}

// claimsOfOwn returns a server that knows its own claims only. All of them have one
// store.
var claimsOfOwn = func() func() *faulty {
	shared := memstore.New()
	return func() *faulty {
		ends := map[string]time.Time{}
		return &faulty{Store: shared, claim: func(s *memstore.Store, ctx context.Context, now, until time.Time, limit int) ([]twofa.Event, error) {
			found, err := s.ClaimNotices(ctx, until.AddDate(1, 0, 0), now, limit)
			found = slices.DeleteFunc(found, func(e twofa.Event) bool { return now.Before(e.Time.Add(twofa.NoticeClaim)) || now.Before(ends[e.ID]) })
			for _, e := range found {
				ends[e.ID] = until
			}
			return found, err
		}}
	}
}()

// revived keeps a notice that is done as one whose claim never ends.
func revived() *faulty {
	return &faulty{settle: func(s *memstore.Store, ctx context.Context, until time.Time, all []twofa.Event) error {
		if until.IsZero() {
			until = time.Unix(1<<40, 0)
		}
		return s.DelayNotices(ctx, until, all...)
	}}
}

// onStored calls f for each event that a Swap stores.
func onStored(f func(c *call, e *twofa.Event)) *faulty {
	return onSwap(func(c *call) error {
		c.events = slices.Clone(c.events)
		for i := range c.events {
			f(c, &c.events[i])
		}
		return c.pass()
	})
}

// deletedNotices finds notices by a list of its own, which still has deleted events.
func deletedNotices() *faulty {
	var kept []twofa.Event
	f := onStored(func(_ *call, e *twofa.Event) { kept = append(kept, *e) })
	f.claim = func(s *memstore.Store, ctx context.Context, now, until time.Time, limit int) ([]twofa.Event, error) {
		found, err := s.ClaimNotices(ctx, now, until, limit)
		if len(found) > 0 {
			found, kept = kept[:min(limit, len(kept))], nil
		}
		return found, err
	}
	return f
}
