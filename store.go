package twofa

import (
	"context"
	"errors"
	"time"
)

// Record is what a [Store] keeps under a key. A store never looks inside Data:
// it is encrypted and authenticated by the library.
type Record struct {
	// Key names the record: "user/", "account/" or "number/" and an id of the
	// host's. Keys are case-sensitive, at most 512 bytes of UTF-8, and differ
	// if one byte differs (trailing spaces count).
	Key string
	// Version is minted by the library, random, never used twice, at most 32
	// ASCII characters. A store keeps and compares it, nothing more.
	Version string
	// Data is opaque bytes of any value, so that a column for text does not do:
	// BLOB, bytea, VARBINARY. Usually 0.3 to 3 KB, at most 64 KB.
	Data []byte
}

// Store keeps records. It is all a host has to implement to keep second-factor
// state in its own database; package storetest proves an implementation with
// one line of test. Methods may be called by many goroutines, on many servers,
// at once. Under a context that is over already, both return an error that is
// not ErrConflict and change nothing. A store needs no clock, no expiry and no
// background work.
type Store interface {
	// Get returns the records that exist under keys, in any order, and nothing
	// for those that do not. It sees every Swap that returned nil before Get
	// was called, on whatever server. The caller owns the result: no slice in
	// it is shared with the store or with another caller.
	Get(ctx context.Context, keys ...string) ([]Record, error)

	// Swap makes next the record under next.Key if the version stored there is
	// still prev, else returns an error that is [ErrConflict] and changes
	// nothing. It is one atomic step.
	//
	//   - prev "" means that there is no record yet.
	//   - next.Version "" means that the record is to be gone.
	//   - If the stored version already is next.Version (there is none, where
	//     that is ""), Swap returns nil and does nothing, so that a repeated
	//     Swap is harmless; events are not kept twice.
	//   - events are kept with the change or not at all.
	//   - When Swap has returned nil, the change survives a crash.
	//
	// An error other than ErrConflict leaves the outcome open; the library
	// reads back to learn it. Swap keeps no reference to next.Data or events.
	Swap(ctx context.Context, prev string, next Record, events ...Event) error
}

// ErrConflict is what [Store.Swap] returns when the stored version is another
// than the one expected. It may be wrapped.
var ErrConflict = errors.New("twofa: record was changed by another")

// EventReader is what a [Store] implements in addition if it can list the
// events it has kept, newest first.
type EventReader interface {
	Events(ctx context.Context, q EventQuery) ([]Event, error)
}

// EventQuery selects events. A zero field selects everything.
type EventQuery struct {
	User    string    // events about this user
	Account string    // events in this account
	Type    string    // events of this type
	Since   time.Time // not before this time
	Before  string    // older than the event of this ID, to read on where the last page ended; nothing is older than one that is not kept
	Limit   int       // at most this many; 0 means 100, more than 1000 means 1000
}
