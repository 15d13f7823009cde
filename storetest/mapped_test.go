//go:build unix

package storetest

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// mapped returns a store whose Get returns read-only memory, as a store that maps a
// file into memory may do.
func mapped(t *testing.T) *faulty {
	return onGet(func(found []twofa.Record) []twofa.Record {
		for i, r := range found {
			memory, err := syscall.Mmap(-1, 0, len(r.Data), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
			require.NoError(t, err)
			copy(memory, r.Data)
			require.NoError(t, syscall.Mprotect(memory, syscall.PROT_READ))
			found[i].Data = memory
		}
		return found
	})
}

func TestMappedMemoryIsRejected(t *testing.T) {
	store := mapped(t)
	message := broken(t, "get ownership", store, store)
	require.Contains(t, message, "read-only memory of the store")
	require.Contains(t, message, "The rule: "+ruleNamed(t, "get ownership").text)
}
