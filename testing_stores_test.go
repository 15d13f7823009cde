package twofa_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
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

// newBarrier makes a world on a BarrierStore.
func newBarrier(t testing.TB, edit ...func(*twofa.Config)) (*world, *BarrierStore) {
	store := &BarrierStore{}
	w := newWorld(t, append(slices.Clone(edit), func(c *twofa.Config) {
		store.Store = c.Store
		c.Store = store
	})...)
	return w, store
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

// errFault is what a FaultStore fails with where a test has no better idea.
var errFault = errors.New("injected fault")

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

// newFault makes a world on a FaultStore.
func newFault(t testing.TB, edit ...func(*twofa.Config)) (*world, *FaultStore) {
	store := &FaultStore{}
	w := newWorld(t, append(slices.Clone(edit), func(c *twofa.Config) {
		store.Store = c.Store
		c.Store = store
	})...)
	return w, store
}

// record returns what is stored of a user.
func (w *world) record(id string) []byte { return w.stored(id).Data }

// opened returns what who has the keys finds in a user's record.
func (w *world) opened(id string) string {
	w.t.Helper()
	text, err := twofa.Opened(w.cfg.Keys, w.stored(id))
	require.NoError(w.t, err)
	return text
}

func (w *world) stored(id string) twofa.Record {
	w.t.Helper()
	records, err := w.store.Get(w.t.Context(), "user/"+id)
	require.NoError(w.t, err)
	require.Len(w.t, records, 1)
	return records[0]
}

// servers returns n Managers on the world's store.
func (w *world) servers(n int) []*twofa.Manager {
	list := make([]*twofa.Manager, n)
	for i := range list {
		list[i] = w.again()
	}
	return list
}

// tally counts how calls ended.
type tally struct{ ok, wrong, locked, expired, denied int }

// rush makes n calls at once, spread over the servers.
func rush(t testing.TB, n int, servers []*twofa.Manager, call func(m *twofa.Manager, i int) error) (got tally) {
	t.Helper()
	errs := make([]error, n)
	var ready, done sync.WaitGroup
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			errs[i] = call(servers[i%len(servers)], i)
		})
	}
	done.Wait()
	for _, err := range errs {
		switch {
		case err == nil:
			got.ok++
		case errors.Is(err, twofa.ErrInvalidCode):
			got.wrong++
		case errors.Is(err, twofa.ErrLocked):
			got.locked++
		case errors.Is(err, twofa.ErrExpired):
			got.expired++
		case errors.As(err, new(*twofa.DeniedError)):
			got.denied++
		default:
			require.NoError(t, err, "an outcome that no call may have")
		}
	}
	return got
}

// bursts runs a test in each way that simultaneous calls can meet. burst makes
// n calls at once, each of which reads a user's record at least once.
func bursts(t *testing.T, edit func(*twofa.Config), test func(t *testing.T, w *world, burst func(n int, call func(*twofa.Manager, int) error) tally)) {
	ways := []struct {
		name    string
		servers int
		prepare func(*BarrierStore, int)
	}{
		{"one server", 1, func(*BarrierStore, int) {}},
		{"three servers", 3, func(*BarrierStore, int) {}},
		{"others run after every read", 3, func(s *BarrierStore, _ int) { s.Yield() }},
		{"all have read before one writes", 3, (*BarrierStore).Hold},
	}
	if edit == nil {
		edit = func(*twofa.Config) {}
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			w, store := newBarrier(t, edit)
			servers := w.servers(way.servers)
			test(t, w, func(n int, call func(*twofa.Manager, int) error) tally {
				way.prepare(store, n)
				return rush(t, n, servers, call)
			})
		})
	}
}
