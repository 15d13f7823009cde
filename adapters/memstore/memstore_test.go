package memstore_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) twofa.Store { return memstore.New() })
}

func TestEventsAreBounded(t *testing.T) {
	s := memstore.New()
	events := make([]twofa.Event, 1000)
	for i := range 101 {
		for j := range events {
			events[j] = twofa.Event{ID: fmt.Sprint(i, "/", j)}
		}
		require.NoError(t, s.Swap(t.Context(), "", twofa.Record{Key: fmt.Sprint(i), Version: "v"}, events...))
	}
	kept := rest(t, s, twofa.EventQuery{Limit: 1000})
	require.Len(t, kept, 100_000)
	require.Equal(t, "100/999", kept[0].ID)
	require.Equal(t, "1/0", kept[len(kept)-1].ID)
}

// A cursor remains valid after the event before it, and all around it, were
// dropped.
func TestCursorOfADroppedEvent(t *testing.T) {
	s := memstore.New()
	put(t, s, 1, 2, 3, 4, 5)
	backward, forward := twofa.EventQuery{Limit: 3}, twofa.EventQuery{Limit: 2, Forward: true}
	for _, q := range []*twofa.EventQuery{&backward, &forward} {
		page, err := s.Events(t.Context(), *q)
		require.NoError(t, err)
		q.Cursor = page.Next
	}
	drop(t, s, 3) // 1 to 3; the cursors are those of 3 and 2
	require.Empty(t, rest(t, s, backward))
	page, err := s.Events(t.Context(), forward)
	require.NoError(t, err)
	require.Equal(t, []string{"4", "5"}, ids(page.Events))
}

// An event with an older time is stored at the place of its time. If it is the
// oldest of a full store, it is the one that is dropped.
func TestLateEvent(t *testing.T) {
	s := memstore.New()
	put(t, s, 3, 1, 2)
	require.Equal(t, []string{"3", "2", "1"}, ids(rest(t, s, twofa.EventQuery{})))
	drop(t, s, 3)
	put(t, s, 3)
	page, err := s.Events(t.Context(), twofa.EventQuery{Forward: true, Limit: 2})
	require.NoError(t, err)
	require.Equal(t, []string{"6", "7"}, ids(page.Events))
}

func TestCursorOfAnotherStore(t *testing.T) {
	for _, cursor := range []string{"x", "1", "1.", ".1", "1.2.3", "1.2 ", " 1.2", "+1.2", "01.2", "1,2", "99999999999999999999.1"} {
		_, err := memstore.New().Events(t.Context(), twofa.EventQuery{Cursor: cursor})
		require.ErrorIs(t, err, twofa.ErrInvalid)
		require.ErrorContains(t, err, "Cursor: must be")
	}
}

// put stores an event for each second. The ID of the event is the second.
func put(t *testing.T, s *memstore.Store, seconds ...int) {
	t.Helper()
	var events []twofa.Event
	for _, second := range seconds {
		events = append(events, twofa.Event{ID: fmt.Sprint(second), Time: time.Unix(int64(second), 0).UTC()})
	}
	require.NoError(t, s.Swap(t.Context(), "", twofa.Record{Key: rand.Text(), Version: "v"}, events...))
}

// drop fills the store until n of the first events were dropped. The new events
// have the seconds from 6.
func drop(t *testing.T, s *memstore.Store, n int) {
	t.Helper()
	seconds := make([]int, 100_000-len(rest(t, s, twofa.EventQuery{}))+n)
	for i := range seconds {
		seconds[i] = 6 + i
	}
	put(t, s, seconds...)
}

// rest returns the events of this page and all that follow.
func rest(t *testing.T, s *memstore.Store, q twofa.EventQuery) (events []twofa.Event) {
	t.Helper()
	for {
		page, err := s.Events(t.Context(), q)
		require.NoError(t, err)
		events = append(events, page.Events...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return events
		}
	}
}

func ids(events []twofa.Event) (found []string) {
	for _, e := range events {
		found = append(found, e.ID)
	}
	return found
}

func BenchmarkGetSwap(b *testing.B) {
	s, ctx := memstore.New(), b.Context()
	versions := [2]string{"one", "two"}
	next := twofa.Record{Key: "user/1", Version: versions[0], Data: make([]byte, 1000)}
	require.NoError(b, s.Swap(ctx, "", next))
	b.ReportAllocs()
	for i := 1; b.Loop(); i++ {
		found, _ := s.Get(ctx, "user/1", "account/1")
		next.Version = versions[i%2]
		if err := s.Swap(ctx, found[0].Version, next); err != nil {
			b.Fatal(err)
		}
	}
}
