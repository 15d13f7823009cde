package abuse

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/harness"
	"github.com/twofa-go/twofa/internal/seal"
)

// errFault is the error that a FaultStore returns if a test has no better one.
var errFault = errors.New("injected fault")

// newBarrier creates a world on a BarrierStore.
func newBarrier(t testing.TB, edit ...func(*twofa.Config)) (*world, *harness.BarrierStore) {
	store := &harness.BarrierStore{}
	w := newWorld(t, append(slices.Clone(edit), func(c *twofa.Config) {
		store.Store = c.Store
		c.Store = store
	})...)
	return w, store
}

// newFault creates a world on a FaultStore.
func newFault(t testing.TB, edit ...func(*twofa.Config)) (*world, *harness.FaultStore) {
	store := &harness.FaultStore{}
	w := newWorld(t, append(slices.Clone(edit), func(c *twofa.Config) {
		store.Store = c.Store
		c.Store = store
	})...)
	return w, store
}

// record returns the stored data of a user.
func (w *world) record(id string) []byte { return w.stored(id).Data }

// opened decrypts a user's record, as an attacker who has the keys could.
func (w *world) opened(id string) string {
	w.t.Helper()
	r := w.stored(id)
	header, sealed, _ := strings.Cut(string(r.Data), "\n")
	_, keyID, _ := strings.Cut(header, " ")
	wantID, encoded, _ := strings.Cut(keyText, ":")
	require.Equal(w.t, wantID, keyID, "the record is sealed with the key of newWorld")
	key, err := seal.ParseKey(keyID, encoded)
	require.NoError(w.t, err)
	text, err := seal.Open([]byte(sealed), key.Records, header, r.Key, r.Version)
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

// tally counts the results of calls.
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
			require.NoError(t, err, "a result that no call may have")
		}
	}
	return got
}

// bursts runs a test in each way in which simultaneous calls can meet. burst
// makes n calls at once. Each must read a user's record at least once.
func bursts(t *testing.T, edit func(*twofa.Config), test func(t *testing.T, w *world, burst func(n int, call func(*twofa.Manager, int) error) tally)) {
	ways := []struct {
		name    string
		servers int
		prepare func(*harness.BarrierStore, int)
	}{
		{"one server", 1, func(*harness.BarrierStore, int) {}},
		{"three servers", 3, func(*harness.BarrierStore, int) {}},
		{"others run after every read", 3, func(s *harness.BarrierStore, _ int) { s.Yield() }},
		{"all have read before one writes", 3, (*harness.BarrierStore).Hold},
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
