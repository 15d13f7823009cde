package event_test

import (
	"context"
	"fmt"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/event"
)

// The host alerts an operator to events that a user cannot judge alone.
func Example() {
	suspicious := func(e twofa.Event) bool {
		switch e.Type {
		case event.Disabled, event.Reused, event.BrowserReplay:
			return true
		}
		return false
	}
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{Issuer: "Acme", Store: memstore.New(), Keys: keys,
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id}, nil }),
		OnEvent: func(_ context.Context, e twofa.Event) {
			fmt.Println(e.Type, e.User, suspicious(e))
		}})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _ = m.Begin(context.Background(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})
	// Output: login ada false
}
