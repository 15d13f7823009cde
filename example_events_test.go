package twofa_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/event"
)

// Every change is stored with an event. A host logs events as they happen and
// shows the stored ones to its users and to support. No event contains a secret.
func Example_events() {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{} // the same output each time
			}
			return a
		},
	}))
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	store := memstore.New()
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: store, Keys: keys, Directory: twofa.LookUp(eventsUser),
		OnEvent: func(ctx context.Context, e twofa.Event) {
			level := slog.LevelInfo
			switch e.Type {
			case event.Disabled, event.Reused, event.BrowserReplay: // signs of an attack
				level = slog.LevelWarn
			}
			logger.Log(ctx, level, "second factor", "type", e.Type, "user", e.User, "actor", e.Actor.Kind, "reason", e.Reason)
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	login, err := m.Begin(ctx, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})
	if err != nil {
		log.Fatal(err)
	}
	if err := m.User(twofa.AsHost("ticket 4711: laptop stolen"), "ada").Revoke(ctx); err != nil {
		log.Fatal(err)
	}

	// A session has an ID that is safe to log. Its events have the same one.
	session, err := m.DescribeSession(login.Session)
	if err != nil {
		log.Fatal(err)
	}
	var reader twofa.EventReader = store
	stored, err := reader.Events(ctx, twofa.EventQuery{User: "ada", Limit: 10})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range stored.Events { // newest first
		fmt.Println(e.Type, "in this session:", e.Session == session.ID)
	}
	// Output:
	// level=INFO msg="second factor" type=login user=ada actor="" reason=""
	// level=INFO msg="second factor" type=revoked user=ada actor=host reason="ticket 4711: laptop stolen"
	// revoked in this session: false
	// login in this session: true
}

// eventsUser is the host's directory.
func eventsUser(_ context.Context, id string) (twofa.User, error) {
	return twofa.User{ID: id, Name: id + "@example.com"}, nil
}
