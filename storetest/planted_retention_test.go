package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// onReplace changes the events that are passed to ReplaceEvents, with those that are
// stored.
func onReplace(f func(stored map[string]twofa.Event, e *twofa.Event)) *faulty {
	return &faulty{replace: func(s *memstore.Store, ctx context.Context, events []twofa.Event) error {
		stored := map[string]twofa.Event{}
		for _, e := range allEvents(s) {
			stored[e.ID] = e
		}
		events = slices.Clone(events)
		for i := range events {
			f(stored, &events[i])
		}
		return s.ReplaceEvents(ctx, events...)
	}}
}

func allEvents(s *memstore.Store) (all []twofa.Event) {
	q := twofa.EventQuery{Forward: true, Limit: 1000}
	for {
		page, _ := s.Events(context.Background(), q)
		all = append(all, page.Events...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return all
		}
	}
}

func onDrop(f func(s *memstore.Store, ctx context.Context, before time.Time, deleted func(int)) error) *faulty {
	return &faulty{drop: f}
}

// plantedInRetention are stores that replace or delete events wrongly.
func plantedInRetention() []planted {
	return []planted{
		one("replaced events are not selected by their new user", "replaced events", func() *faulty {
			f, old := &faulty{}, map[string]twofa.Event{}
			f.replace = func(s *memstore.Store, ctx context.Context, events []twofa.Event) error {
				for _, e := range allEvents(s) {
					if _, known := old[e.ID]; !known {
						old[e.ID] = e
					}
				}
				return s.ReplaceEvents(ctx, events...)
			}
			f.list = func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
				page, err := s.Events(ctx, q)
				if q.User != "" {
					for _, e := range allEvents(s) {
						if was, known := old[e.ID]; known && was.User == q.User && e.User != q.User {
							page.Events = append(page.Events, e)
						}
					}
				}
				return page, err
			}
			return f
		}()),
		one("the actor of a replaced event remains", "replaced events", onReplace(func(stored map[string]twofa.Event, e *twofa.Event) { e.Actor = stored[e.ID].Actor })),
		one("the MAC of a replaced event remains", "replaced events", onReplace(func(stored map[string]twofa.Event, e *twofa.Event) { e.MAC = stored[e.ID].MAC })),
		one("the type of a replaced event remains", "replaced events", onReplace(func(stored map[string]twofa.Event, e *twofa.Event) { e.Type = stored[e.ID].Type })),
		one("only fields that are not empty replace others", "replaced events", onReplace(func(stored map[string]twofa.Event, e *twofa.Event) {
			if e.User == "" {
				e.User = stored[e.ID].User
			}
		})),
		one("only the first event is replaced", "replaced events", &faulty{replace: func(s *memstore.Store, ctx context.Context, events []twofa.Event) error {
			return s.ReplaceEvents(ctx, events[:min(1, len(events))]...)
		}}),
		one("a replaced event is the newest of its second", "replaced order", &faulty{replace: func(s *memstore.Store, ctx context.Context, events []twofa.Event) error {
			for _, e := range events {
				if slices.ContainsFunc(allEvents(s), func(x twofa.Event) bool { return x.ID == e.ID && x.Time.Equal(e.Time) }) {
					gone := e
					gone.User, gone.Account, gone.Actor.ID = "gone", "gone", "gone"
					_ = s.ReplaceEvents(ctx, gone)
					_ = (&call{good: s, ctx: ctx, events: []twofa.Event{e}}).storeEvents()
				}
			}
			return ctx.Err()
		}}),
		one("an unknown event is stored", "replaced unknown", &faulty{replace: func(s *memstore.Store, ctx context.Context, events []twofa.Event) error {
			for _, e := range events {
				if !slices.ContainsFunc(allEvents(s), func(x twofa.Event) bool { return x.ID == e.ID }) {
					_ = (&call{good: s, ctx: ctx, events: []twofa.Event{e}}).storeEvents()
				}
			}
			return s.ReplaceEvents(ctx, events...)
		}}),
		one("events are replaced by their ID alone", "replaced unknown", onReplace(func(stored map[string]twofa.Event, e *twofa.Event) {
			if was, ok := stored[e.ID]; ok {
				e.Time = was.Time
			}
		})),
		one("an unknown event is an error", "replaced unknown", &faulty{replace: func(s *memstore.Store, ctx context.Context, events []twofa.Event) error {
			for _, e := range events {
				if !slices.ContainsFunc(allEvents(s), func(x twofa.Event) bool { return x.ID == e.ID }) {
					return twofa.ErrInvalid
				}
			}
			return s.ReplaceEvents(ctx, events...)
		}}),
		one("events replaced one by one", "cut replace", &faulty{replace: func(s *memstore.Store, ctx context.Context, events []twofa.Event) error {
			for _, e := range events {
				if err := s.ReplaceEvents(ctx, e); err != nil {
					return err
				}
			}
			return ctx.Err()
		}}),
		one("canceled ReplaceEvents returns nil", "cut replace", &faulty{replace: func(s *memstore.Store, ctx context.Context, events []twofa.Event) error {
			_ = s.ReplaceEvents(ctx, events...)
			return nil
		}}),
		one("events at the time are deleted", "deleted events", onDrop(func(s *memstore.Store, ctx context.Context, before time.Time, deleted func(int)) error {
			return s.DeleteEvents(ctx, before.Add(time.Second), deleted)
		})),
		one("events just before the time remain", "deleted events", onDrop(func(s *memstore.Store, ctx context.Context, before time.Time, deleted func(int)) error {
			return s.DeleteEvents(ctx, before.Add(-time.Second), deleted)
		})),
		one("DeleteEvents deletes nothing", "deleted events", onDrop(func(_ *memstore.Store, ctx context.Context, _ time.Time, _ func(int)) error { return ctx.Err() })),
		one("DeleteEvents deletes everything", "deleted events", onDrop(func(s *memstore.Store, ctx context.Context, _ time.Time, deleted func(int)) error {
			return s.DeleteEvents(ctx, time.Unix(1<<40, 0), deleted)
		})),
		one("a cursor ends with its event", "deleted events", func() *faulty {
			f, ends := &faulty{}, map[string]string{}
			f.list = func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
				if id, ok := ends[q.Cursor]; ok && !slices.ContainsFunc(allEvents(s), func(e twofa.Event) bool { return e.ID == id }) {
					return twofa.EventPage{}, ctx.Err()
				}
				page, err := s.Events(ctx, q)
				if page.Next != "" {
					ends[page.Next] = page.Events[len(page.Events)-1].ID
				}
				return page, err
			}
			return f
		}()),
		one("DeleteEvents ends after its first step", "deleted many", onDrop(func(s *memstore.Store, ctx context.Context, before time.Time, deleted func(int)) error {
			page, _ := s.Events(ctx, twofa.EventQuery{Forward: true, Limit: 1000, Until: before})
			if len(page.Events) == 1000 {
				before = page.Events[999].Time
			}
			return s.DeleteEvents(ctx, before, deleted)
		})),
		one("the number of deleted events is not reported", "deleted many", onDrop(func(s *memstore.Store, ctx context.Context, before time.Time, _ func(int)) error {
			return s.DeleteEvents(ctx, before, nil)
		})),
		one("each step reports all events so far", "deleted many", onDrop(func(s *memstore.Store, ctx context.Context, before time.Time, deleted func(int)) error {
			sum := 0
			for _, at := range []time.Time{before.Add(-600 * time.Second), before} {
				if err := s.DeleteEvents(ctx, at, func(n int) { sum += n; deleted(sum) }); err != nil {
					return err
				}
			}
			return nil
		})),
		one("DeleteEvents ignores a canceled context", "canceled delete", onDrop(func(s *memstore.Store, ctx context.Context, before time.Time, deleted func(int)) error {
			return s.DeleteEvents(context.WithoutCancel(ctx), before, deleted)
		})),
		one("a Swap conflicts while events are deleted", "retention race", func() *faulty {
			f, busy := &faulty{}, make(chan struct{}, 100)
			f.drop = func(s *memstore.Store, ctx context.Context, before time.Time, deleted func(int)) error {
				busy <- struct{}{}
				return s.DeleteEvents(ctx, before, deleted)
			}
			f.swap = func(c *call) error {
				select {
				case <-busy:
					return twofa.ErrConflict
				default:
					return c.pass()
				}
			}
			return f
		}()),
	}
}
