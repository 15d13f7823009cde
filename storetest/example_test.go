package storetest_test

import (
	"testing"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/storetest"
)

// The line for a TestStore of your own, with your store in the place of this
// one.
func ExampleRun() {
	var t *testing.T // TestStore's
	storetest.Run(t, func(*testing.T) twofa.Store { return memstore.New() })
}
