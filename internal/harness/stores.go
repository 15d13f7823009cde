package harness

import (
	"context"
	"runtime"
	"strings"
	"sync"

	"github.com/twofa-go/twofa"
)

// BarrierStore runs code between the read and the write of a call.
type BarrierStore struct {
	twofa.Store
	mu    sync.Mutex
	after func()
}

// Hold blocks the next n reads of a user's record until all of them have read,
// so that no call can write before.
func (s *BarrierStore) Hold(n int) {
	all := make(chan struct{})
	var mu sync.Mutex
	s.set(func() {
		mu.Lock()
		if n--; n == 0 {
			s.set(nil)
			close(all)
		}
		mu.Unlock()
		<-all
	})
}

// Yield lets other goroutines run after every read.
func (s *BarrierStore) Yield() { s.set(runtime.Gosched) }

// Between runs f once, after the next read of a user's record and before the
// call continues.
func (s *BarrierStore) Between(f func()) {
	s.set(func() {
		s.set(nil)
		f()
	})
}

func (s *BarrierStore) set(after func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = after
}

// Get implements [twofa.Store].
func (s *BarrierStore) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	records, err := s.Store.Get(ctx, keys...)
	s.mu.Lock()
	after := s.after
	s.mu.Unlock()
	if after != nil && strings.HasPrefix(keys[0], "user/") {
		after()
	}
	return records, err
}

// FaultStore is a store that fails as its fields define. A nil field has no
// effect. Set fields only while no call is in progress.
type FaultStore struct {
	twofa.Store
	Read    func(keys []string) error            // Get fails
	Refuse  func(next twofa.Record) error        // Swap fails and writes nothing
	Forget  func(next twofa.Record) error        // Swap writes and fails nevertheless
	Mangle  func(r *twofa.Record)                // changes a record that Get returns
	Written func(events ...twofa.Event)          // is called after each Swap that was written
	Seen    func(prev string, next twofa.Record) // is called before each Swap
}

// Get implements [twofa.Store].
func (s *FaultStore) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	if s.Read != nil {
		if err := s.Read(keys); err != nil {
			return nil, err
		}
	}
	records, err := s.Store.Get(ctx, keys...)
	if s.Mangle != nil {
		for i := range records {
			s.Mangle(&records[i])
		}
	}
	return records, err
}

// Swap implements [twofa.Store].
func (s *FaultStore) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	if s.Seen != nil {
		s.Seen(prev, next)
	}
	if s.Refuse != nil {
		if err := s.Refuse(next); err != nil {
			return err
		}
	}
	if err := s.Store.Swap(ctx, prev, next, events...); err != nil {
		return err
	}
	if s.Written != nil {
		s.Written(events...)
	}
	if s.Forget != nil {
		return s.Forget(next)
	}
	return nil
}
