package memstore_test

import (
	"fmt"
	"testing"

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
	var kept []twofa.Event
	for q := (twofa.EventQuery{Limit: 1000}); ; q.Before = kept[len(kept)-1].ID {
		page, err := s.Events(t.Context(), q)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		kept = append(kept, page...)
	}
	require.Len(t, kept, 100_000)
	require.Equal(t, "100/999", kept[0].ID)
	require.Equal(t, "1/0", kept[len(kept)-1].ID)
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
