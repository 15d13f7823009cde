//go:build unix

package storetest

import (
	"context"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
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

// unmapped returns a store whose Get returns memory that is gone after the next
// Swap.
func unmapped(t *testing.T) *faulty {
	var given [][]byte
	store := mapped(t)
	get := store.get
	store.get = func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
		found, err := get(s, ctx, keys)
		for _, r := range found {
			given = append(given, r.Data)
		}
		return found, err
	}
	store.swap = func(c *call) error {
		for _, memory := range given {
			require.NoError(t, syscall.Mprotect(memory, syscall.PROT_NONE)) // as if unmapped
		}
		given = nil
		return c.pass()
	}
	return store
}

func TestUnmappedMemoryIsRejected(t *testing.T) {
	store := unmapped(t)
	message := broken(t, "get unchanged", store, store)
	require.Contains(t, message, "its memory is gone")
	require.Contains(t, message, "The rule: "+ruleNamed(t, "get unchanged").text)
}
