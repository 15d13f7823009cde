//go:build unix

package storetest

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// mapped hands out memory that can only be read, as a store over a file that is
// mapped into memory may do.
func mapped(t *testing.T) *planted {
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

func TestPlantedMappedMemoryIsRejected(t *testing.T) {
	store := mapped(t)
	message := broken(t, "data out", store, store)
	require.Contains(t, message, "memory of the store's own")
	require.Contains(t, message, "The rule: "+ruleNamed(t, "data out").text)
}
