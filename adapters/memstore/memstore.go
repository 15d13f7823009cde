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
	"fmt"
	"slices"
	"sync"

	"github.com/twofa-go/twofa"
)

const maxEvents = 100_000

// Store is a [twofa.Store], a [twofa.EventReader], a [twofa.KeyLister], a
// [twofa.NoticeStore], a [twofa.EventEraser] and a [twofa.EventDeleter]. It stores up
// to 100,000 events. When it is full, it drops the oldest event for each new one.
//
// The zero Store is not usable. Create a Store with [New]. Its methods may be
// called concurrently.
type Store struct {
	mu      sync.RWMutex
	records map[string]record
	events  []*entry // oldest first
	last    int64    // number of the event that was stored last
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

// Keys implements [twofa.KeyLister]. It sorts all keys at each call. The only
// error it returns is ctx.Err().
func (s *Store) Keys(ctx context.Context, after string, limit int) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var keys []string
	for key := range s.records {
		if key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys[:min(len(keys), max(limit, 1), 1000)], nil
}

func (s *Store) keep(e twofa.Event) {
	s.last++
	p := position{e.Time.Unix(), s.last}
	i, _ := slices.BinarySearchFunc(s.events, p, (*entry).compare) // usually the end
	s.events = slices.Insert(s.events, i, &entry{position: p, event: clone(e), pending: e.Notice, claimed: claimOf(e)})
	if len(s.events) > maxEvents {
		s.events[0] = nil // free its memory
		s.events = s.events[1:]
	}
}

// Events implements [twofa.EventReader]. Events are ordered by their time. Of
// events in the same second, the one that was stored first is the older one. An
// event that was dropped still works as a cursor. The only errors are ctx.Err()
// and [twofa.ErrInvalid], for a malformed Cursor.
func (s *Store) Events(ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
	if err := ctx.Err(); err != nil {
		return twofa.EventPage{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	rest, err := s.after(q.Cursor, q.Forward)
	if err != nil {
		return twofa.EventPage{}, err
	}
	inOrder := slices.Backward(rest)
	if q.Forward {
		inOrder = slices.All(rest)
	}
	var (
		page  twofa.EventPage
		last  position
		limit = min(cmp.Or(max(q.Limit, 0), 100), 1000)
	)
	for _, e := range inOrder {
		if !selects(q, e.event) {
			continue
		}
		if len(page.Events) == limit {
			page.Next = last.String()
			break
		}
		page.Events, last = append(page.Events, clone(e.event)), e.position
	}
	return page, nil
}

// after returns the entries that come after the cursor, oldest first.
func (s *Store) after(cursor string, forward bool) ([]*entry, error) {
	if cursor == "" {
		return s.events, nil
	}
	p, err := parsePosition(cursor)
	if err != nil {
		return nil, err
	}
	i, found := slices.BinarySearchFunc(s.events, p, (*entry).compare)
	switch {
	case !forward:
		return s.events[:i], nil
	case found:
		i++
	}
	return s.events[i:], nil
}

func selects(q twofa.EventQuery, e twofa.Event) bool {
	return (q.User == "" || q.User == e.User) &&
		(q.Account == "" || q.Account == e.Account) &&
		(q.Actor == "" || q.Actor == e.Actor.ID) &&
		(len(q.Types) == 0 || slices.Contains(q.Types, e.Type)) &&
		!e.Time.Before(q.Since) &&
		(q.Until.IsZero() || e.Time.Before(q.Until))
}

// entry is a stored event.
type entry struct {
	position
	event   twofa.Event
	pending bool  // whether the notice is not done
	claimed int64 // Unix seconds at which the claim of the notice ends
}

// position is the place of an event in the order of all events. It also is the
// content of a cursor, so that a cursor is valid even if its event was dropped.
type position struct {
	time int64 // Unix seconds
	seq  int64 // unique; a larger number was stored later
}

func (p position) compare(other position) int {
	return cmp.Or(cmp.Compare(p.time, other.time), cmp.Compare(p.seq, other.seq))
}

func (p position) String() string { return fmt.Sprintf("%d.%d", p.time, p.seq) }

func parsePosition(cursor string) (p position, err error) {
	_, err = fmt.Sscanf(cursor, "%d.%d", &p.time, &p.seq)
	if err != nil || p.String() != cursor {
		return p, fmt.Errorf("memstore: %w: EventQuery.Cursor: must be EventPage.Next of an earlier page, is %.40q", twofa.ErrInvalid, cursor)
	}
	return p, nil
}

// clone copies the memory that an event refers to.
func clone(e twofa.Event) twofa.Event {
	e.Before, e.After, e.MAC = slices.Clone(e.Before), slices.Clone(e.After), slices.Clone(e.MAC)
	return e
}
