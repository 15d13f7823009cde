package harness

import (
	"context"
	"runtime"
	"strings"
	"sync"

	"github.com/twofa-go/twofa"
)

// BarrierStore steps in between what a call has read and what it then writes.
type BarrierStore struct {
	twofa.Store
	mu    sync.Mutex
	after func()
}

// Hold lets the next n reads of a user's record through together: all have
// read before one can write.
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

// Yield lets others run after every read.
func (s *BarrierStore) Yield() { s.set(runtime.Gosched) }

// Between runs f once, after the next read of a user's record and before its
// caller goes on.
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

// FaultStore fails where its fields say so; a nil field never does. Set them
// only while nobody calls.
type FaultStore struct {
	twofa.Store
	Read    func(keys []string) error            // Get fails
	Refuse  func(next twofa.Record) error        // Swap fails, and nothing is written
	Forget  func(next twofa.Record) error        // Swap is written, and fails all the same
	Mangle  func(r *twofa.Record)                // what Get returns is changed
	Written func(events ...twofa.Event)          // hears of every Swap that was written
	Seen    func(prev string, next twofa.Record) // hears of every Swap that is asked for
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
