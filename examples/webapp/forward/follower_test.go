package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/examples/webapp/app"
)

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// log is a store with events, and a pipeline that keeps what it was sent.
type log struct {
	t      *testing.T
	store  twofa.Store
	now    time.Time
	stored int
	sent   []string
	fail   error
}

// add stores an event so many seconds after the start.
func (l *log) add(second int) string {
	l.t.Helper()
	l.stored++
	id := fmt.Sprint("e", l.stored)
	e := twofa.Event{ID: id, Type: "login", User: "ada", Time: start.Add(time.Duration(second) * time.Second)}
	require.NoError(l.t, l.store.Swap(l.t.Context(), "", twofa.Record{Key: "user/" + id, Version: id, Data: []byte(id)}, e))
	return id
}

func (l *log) follower(file string) *follower {
	l.t.Helper()
	f := &follower{events: l.store.(twofa.EventReader), now: func() time.Time { return l.now }, send: func(_ context.Context, events []twofa.Event) error {
		for _, e := range events {
			l.sent = append(l.sent, e.ID)
		}
		return l.fail
	}}
	require.NoError(l.t, f.open(file))
	return f
}

func (l *log) at(second int) { l.now = start.Add(time.Duration(second) * time.Second) }

// sqlite returns the store of a webapp.
func sqlite(t *testing.T, dir string) twofa.Store {
	db, err := app.OpenDB("", dir)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	require.NoError(t, sqlstore.Migrate(t.Context(), db, sqlstore.SQLite))
	store, err := sqlstore.New(db, sqlstore.SQLite)
	require.NoError(t, err)
	return store
}

// An event that is stored up to a minute after its time is sent, at its place.
func TestFollower_MissesNothing(t *testing.T) {
	for name, store := range map[string]twofa.Store{"memstore": memstore.New(), "SQLite": sqlite(t, t.TempDir())} {
		t.Run(name, func(t *testing.T) {
			l := &log{t: t, store: store}
			file := filepath.Join(t.TempDir(), "position")
			var want []string
			for i := range 2500 {
				want = append(want, l.add(i/25))
			}
			l.at(100)
			n, err := l.follower(file).run(t.Context())
			require.NoError(t, err)
			require.Equal(t, 1000, n, "those of the first 40 seconds")
			late := l.add(50)
			want = slices.Insert(want, 51*25, late)
			l.at(1000)
			f := l.follower(file)
			n, err = f.run(t.Context())
			require.NoError(t, err)
			require.Equal(t, 1501, n)
			require.Equal(t, want, l.sent)
			n, err = f.run(t.Context())
			require.NoError(t, err)
			require.Zero(t, n)
		})
	}
}

// After a page was not accepted, or the process was killed, the page is sent again.
func TestFollower_SendsAPageAgain(t *testing.T) {
	l := &log{t: t, store: memstore.New()}
	file := filepath.Join(t.TempDir(), "position")
	for range 1500 {
		l.add(0)
	}
	l.at(120)
	f := l.follower(file)
	pages := 0
	send := f.send
	f.send = func(ctx context.Context, events []twofa.Event) error {
		if pages++; pages == 2 {
			l.fail = errors.New("the pipeline is down")
		}
		return send(ctx, events)
	}
	_, err := f.run(t.Context())
	require.ErrorContains(t, err, "down")
	l.fail = nil
	l.at(500) // the query of the cursor remains the same
	n, err := l.follower(file).run(t.Context())
	require.NoError(t, err)
	require.Equal(t, 500, n)
	require.Len(t, l.sent, 2000)
	seen := map[string]bool{}
	for _, id := range l.sent {
		seen[id] = true
	}
	require.Len(t, seen, 1500)
}

func TestFollower_UnreadablePosition(t *testing.T) {
	file := filepath.Join(t.TempDir(), "position")
	require.NoError(t, os.WriteFile(file, []byte(`{"since":`), 0o600))
	require.ErrorContains(t, (&follower{}).open(file), "cannot read the position")
}

// The program forwards what a webapp has stored, with the header from its
// environment.
func TestForward(t *testing.T) {
	dir := t.TempDir()
	l := &log{t: t, store: sqlite(t, dir)}
	id := l.add(0)
	ctx, cancel := context.WithCancel(t.Context())
	lines := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		lines <- r.Header.Get("Authorization") + " " + r.Header.Get("Content-Type") + " " + string(body)
		cancel()
	}))
	defer server.Close()
	t.Setenv("FORWARD_AUTHORIZATION", "Bearer test")
	require.NoError(t, forward(ctx, dir, "", server.URL, filepath.Join(dir, "position"), time.Hour))
	line, isJSON := strings.CutPrefix(<-lines, "Bearer test application/x-ndjson ")
	require.True(t, isJSON)
	var e twofa.Event
	require.NoError(t, json.Unmarshal([]byte(line), &e))
	require.Equal(t, id, e.ID)
}

func TestPost_Refusals(t *testing.T) {
	status := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	defer server.Close()
	for _, status = range []int{http.StatusFound, http.StatusBadRequest, http.StatusServiceUnavailable} {
		require.ErrorContains(t, post(server.URL, "")(t.Context(), []twofa.Event{{ID: "e"}}), fmt.Sprint(status))
	}
	require.Error(t, post("", "")(t.Context(), []twofa.Event{{ID: "e"}}))
}
