// Package memstore implements [twofa.Store] in the memory of one process. It is
// meant for tests, examples and trying things out:
//
//	m, err := twofa.New(twofa.Config{Store: memstore.New(), …})
//
// Do not use it in production. Nothing survives a restart, and a user without a
// record has no second factor. After a restart, a password alone would be enough
// to sign in.
package memstore

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/twofa-go/twofa"
)

// Events are stored in chunks so that adding one never copies the others.
const (
	chunk  = 500
	chunks = 200
)

// Store is a [twofa.Store] and a [twofa.EventReader]. It stores up to 100,000
// events. When it is full, it drops the 500 oldest to make room for the next.
//
// The zero Store is not usable. Create a Store with [New]. Its methods may be
// called concurrently.
type Store struct {
	mu      sync.RWMutex
	records map[string]record
	events  [][]twofa.Event // oldest first
}

type record struct {
	version string
	data    []byte
}

// New returns an empty store.
func New() *Store {
	return &Store{records: make(map[string]record)}
}

// Get implements [twofa.Store]. The only error it returns is ctx.Err().
func (s *Store) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := make([]twofa.Record, 0, len(keys))
	for _, key := range keys {
		if r, ok := s.records[key]; ok {
			found = append(found, twofa.Record{Key: key, Version: r.version, Data: slices.Clone(r.data)})
		}
	}
	return found, nil
}

// Swap implements [twofa.Store]. The only errors it returns are ctx.Err() and
// [twofa.ErrConflict]. In both cases, nothing has changed.
func (s *Store) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stored := s.records[next.Key] // version is "" if there is no record
	switch {
	case stored.version == next.Version:
		return nil
	case stored.version != prev:
		return twofa.ErrConflict
	case next.Version == "":
		delete(s.records, next.Key)
	default:
		// The array of the old data can be reused because Get returns copies,
		// made under the lock.
		s.records[next.Key] = record{next.Version, append(stored.data[:0], next.Data...)}
	}
	for _, e := range events {
		s.keep(e)
	}
	return nil
}

func (s *Store) keep(e twofa.Event) {
	n := len(s.events)
	if n == 0 || len(s.events[n-1]) == chunk {
		if n == chunks {
			s.events = slices.Delete(s.events, 0, 1)
		}
		s.events = append(s.events, make([]twofa.Event, 0, chunk))
	}
	last := &s.events[len(s.events)-1]
	*last = append(*last, e)
}

// Events implements [twofa.EventReader]. It returns the event that was written
// last first, regardless of the times in the events. If q.Before is the ID of
// an event that is not stored, the result is empty. The only error it returns
// is ctx.Err().
func (s *Store) Events(ctx context.Context, q twofa.EventQuery) ([]twofa.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	limit := min(cmp.Or(max(q.Limit, 0), 100), 1000)
	older := q.Before == ""
	s.mu.RLock()
	defer s.mu.RUnlock()
	var found []twofa.Event
	for _, part := range slices.Backward(s.events) {
		for _, e := range slices.Backward(part) {
			if len(found) == limit {
				return found, nil
			}
			if older && selects(q, e) {
				found = append(found, e)
			}
			older = older || e.ID == q.Before
		}
	}
	return found, nil
}

func selects(q twofa.EventQuery, e twofa.Event) bool {
	return (q.User == "" || q.User == e.User) &&
		(q.Account == "" || q.Account == e.Account) &&
		(q.Type == "" || q.Type == e.Type) &&
		!e.Time.Before(q.Since)
}
