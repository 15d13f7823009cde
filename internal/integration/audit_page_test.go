package integration

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/engines"
)

// The queries on the page of the audit log run, and find what they are for.
func TestAuditPage_Queries(t *testing.T) {
	page, err := os.ReadFile("../../docs/audit.md")
	require.NoError(t, err)
	queries := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	d := database{"pgx", engines.PostgreSQL(t), sqlstore.PostgreSQL}.migrate(t)
	s, now := d.store(t), time.Now().Add(-time.Hour).UTC()
	events := []twofa.Event{
		{Type: event.Action, Time: time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC), Detail: "contacts.export", After: json.RawMessage(`{"count":1200,"failed":false}`)},
		{Type: event.Extended, Time: now, Actor: twofa.EventActor{Kind: "user", ID: "u_adam"}},
		{Type: event.Reset, Time: now, Actor: twofa.EventActor{Kind: "user", ID: "u_adam"}, Reason: "called back"},
		{Type: event.Enrolled, Time: now.Add(time.Minute)},
	}
	for range 5 {
		events = append(events, twofa.Event{Type: event.Failed, Time: now})
	}
	for i := range events {
		e := &events[i]
		e.ID, e.User, e.Account, e.IP = string(rune('a'+i)), "u_mia", "acme", "192.0.2.7"
	}
	require.NoError(t, s.Swap(t.Context(), "", twofa.Record{Key: "user/u_mia", Version: "1", Data: []byte("x")}, events...))

	db := d.open(t)
	var rows []int
	for _, query := range queries {
		result, err := db.QueryContext(t.Context(), query[1])
		require.NoError(t, err, query[1])
		n := 0
		for result.Next() {
			n++
		}
		require.NoError(t, result.Err())
		rows = append(rows, n)
	}
	require.Equal(t, []int{1, 2, 1, 1}, rows, "exports, acts of the admin, resets, users whose codes were guessed")
}
