package operate_test

import (
	"context"
	"fmt"
	"log"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/operate"
)

// A product compiles the commands into a program of its own, which opens the same
// store, keys and directory as its servers. Its main function ends with os.Exit of
// the code that Main returns.
func ExampleMain() {
	ctx := context.Background()
	keys, err := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal()) // usually from the environment
	if err != nil {
		log.Fatal(err)
	}
	store := memstore.New() // usually sqlstore
	users := twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) {
		if id != "u_4711" {
			return twofa.User{}, twofa.ErrNoUser
		}
		return twofa.User{ID: id, Name: "ada@acme.example", Members: []twofa.Member{{Account: "acme"}}}, nil
	})
	m, err := twofa.New(twofa.Config{Issuer: "Acme", Store: store, Keys: keys, Directory: users})
	if err != nil {
		log.Fatal(err)
	}
	app := twofa.ImportFactor{Key: twofa.NewSecret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), Name: "Phone"}
	if _, err := m.User(twofa.AsHost("import"), "u_4711").Import(ctx, app); err != nil {
		log.Fatal(err)
	}

	cfg := operate.Config{Manager: m, Store: store, Directory: users, Command: "acme operate", ResetAtOnce: true,
		FindUser: func(_ context.Context, typed string) (string, error) {
			if typed == "ada@acme.example" {
				return "u_4711", nil
			}
			return "", twofa.ErrNoUser
		}}
	for _, args := range [][]string{
		{"revoke", "ada@acme.example", "-by", "sam", "-reason", "ticket 4711: laptop stolen"},
		{"reset", "u_4711", "-in-person", "-yes", "-by", "sam", "-reason", "ticket 4711: lost all devices, came to the office"},
		{"rekey", "-json", "-workers", "0"},
	} {
		fmt.Println("exit code", operate.Main(ctx, cfg, args))
	}

	stored, err := store.Events(ctx, twofa.EventQuery{Types: []string{event.Revoked, event.Reset}, Forward: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range stored.Events {
		fmt.Println(e.Type, "by", e.Actor.Kind, e.Actor.ID, "because", e.Reason)
	}
	// Output:
	// All sessions of user u_4711 (ada@acme.example) have ended. The factors remain.
	// exit code 0
	// User u_4711 (ada@acme.example) was reset. The user must sign in and enroll within 24 hours.
	// exit code 0
	// exit code 2
	// revoked by staff sam because ticket 4711: laptop stolen
	// reset by host  because sam: ticket 4711: lost all devices, came to the office
}
