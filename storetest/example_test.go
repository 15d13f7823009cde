package storetest_test

import (
	"testing"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/storetest"
)

// Write a TestStore like this for your own store.
func ExampleRun() {
	var t *testing.T // the t of TestStore
	storetest.Run(t, func(*testing.T) twofa.Store { return memstore.New() })
}
