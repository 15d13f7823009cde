package memstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twofa-go/twofa"
)

// claimOf returns when the claim of the request that wrote an event ends.
func claimOf(e twofa.Event) int64 { return e.Time.Add(twofa.NoticeClaim).Unix() }

// ClaimNotices implements [twofa.NoticeStore]. It looks at all events at each call.
// The only error it returns is ctx.Err(), and then nothing is claimed.
func (s *Store) ClaimNotices(ctx context.Context, now, until time.Time, limit int) ([]twofa.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var free []*entry
	for _, e := range s.events {
		if e.pending && e.claimed <= now.Unix() {
			free = append(free, e)
		}
	}
	slices.SortStableFunc(free, func(a, b *entry) int { return cmp.Compare(a.claimed, b.claimed) })
	var claimed []twofa.Event
	for _, e := range free[:min(len(free), max(limit, 1), 1000)] {
		e.claimed = until.Unix()
		claimed = append(claimed, clone(e.event))
	}
	return claimed, nil
}

// DelayNotices implements [twofa.NoticeStore]. The only error it returns is
// ctx.Err(), and then nothing has changed.
func (s *Store) DelayNotices(ctx context.Context, until time.Time, events ...twofa.Event) error {
	return s.eachStored(ctx, events, func(e *entry) { e.claimed = until.Unix() })
}

// NoticesDone implements [twofa.NoticeStore]. The only error it returns is
// ctx.Err(), and then nothing has changed.
func (s *Store) NoticesDone(ctx context.Context, events ...twofa.Event) error {
	return s.eachStored(ctx, events, func(e *entry) { e.pending = false })
}

// eachStored calls f with the entry of each event that is stored.
func (s *Store) eachStored(ctx context.Context, events []twofa.Event, f func(*entry)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		i, _ := slices.BinarySearchFunc(s.events, position{time: e.Time.Unix()}, (*entry).compare)
		for ; i < len(s.events) && s.events[i].time == e.Time.Unix(); i++ {
			if s.events[i].event.ID == e.ID {
				f(s.events[i])
			}
		}
	}
	return nil
}
