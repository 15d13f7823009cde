package memstore

import (
	"context"
	"slices"
	"time"

	"github.com/twofa-go/twofa"
)

// ReplaceEvents implements [twofa.EventEraser]. It looks for the events among all of
// the same second. The only error it returns is ctx.Err().
func (s *Store) ReplaceEvents(ctx context.Context, events ...twofa.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		for _, stored := range s.events[s.firstAt(e.Time.Unix()):s.firstAt(e.Time.Unix()+1)] {
			if stored.event.ID == e.ID {
				stored.event = clone(e)
			}
		}
	}
	return nil
}

// DeleteEvents implements [twofa.EventDeleter], in one step. The only error it
// returns is ctx.Err().
func (s *Store) DeleteEvents(ctx context.Context, before time.Time, deleted func(int)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	n := s.firstAt(before.Unix())
	s.events = slices.Delete(s.events, 0, n)
	s.mu.Unlock()
	if deleted != nil {
		deleted(n)
	}
	return nil
}

// firstAt returns the index of the first event that is not before a time in Unix
// seconds.
func (s *Store) firstAt(second int64) int {
	i, _ := slices.BinarySearchFunc(s.events, position{time: second}, (*entry).compare)
	return i
}
