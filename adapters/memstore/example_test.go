package memstore_test

import (
	"context"
	"fmt"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// A test can also read from the store the events that were written.
func Example() {
	ctx, store := context.Background(), memstore.New()
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: store, Keys: keys,
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id, Name: id}, nil }),
	})
	if err != nil {
		panic(err)
	}

	fmt.Println(m.Account(twofa.AsHost("start-up"), "acme").EnsurePolicy(ctx, twofa.PolicyOptional()))
	page, err := store.Events(ctx, twofa.EventQuery{Account: "acme"})
	fmt.Println(page.Events[0].Type, page.Events[0].Actor.Kind, page.Events[0].Reason, err)
	// Output:
	// <nil>
	// policy host start-up <nil>
}
