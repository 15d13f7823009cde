package twofa

import (
	"context"
	"errors"
	"time"
)

// Record is what a [Store] stores under a key. A store never looks inside Data,
// which is encrypted and authenticated by the library.
type Record struct {
	// Key names the record: "user/", "account/", "number/" or "config/",
	// followed by an ID. Keys are case-sensitive, at most 512 bytes of UTF-8,
	// and differ if one byte differs (trailing spaces count).
	Key string
	// Version is created by the library, random, never used twice, and at most
	// 32 ASCII characters. A store only stores and compares it.
	Version string
	// Data is arbitrary bytes. Store it in a binary column (BLOB, bytea,
	// VARBINARY), not in a text column. It usually has 0.3 to 3 KB, at most
	// 64 KB.
	Data []byte
}

// Store stores records. It is all a host must implement to keep second-factor
// state in its own database, and package storetest tests an implementation with
// one line. Methods may be called concurrently, by many goroutines on many
// servers. If the context is already done, both return an error that is not
// ErrConflict and change nothing. A store needs no clock, no expiry and no
// background work.
type Store interface {
	// Get returns the records that exist under keys, in any order, and nothing
	// for the others. It sees every Swap that returned nil before Get was
	// called, on whatever server. The caller owns the result. It shares no
	// memory with the store or with the result of another call.
	Get(ctx context.Context, keys ...string) ([]Record, error)

	// Swap stores next under next.Key if the version stored there is still
	// prev. Otherwise it returns an error that is [ErrConflict] and changes
	// nothing. It is one atomic step.
	//
	//   - If prev is empty, there must be no record yet.
	//   - If next.Version is empty, Swap deletes the record.
	//   - If the stored version already equals next.Version (for a delete: if
	//     there is no record), Swap returns nil and changes nothing. A repeated
	//     Swap is therefore harmless, and its events are not stored twice.
	//   - The events are stored with the change or not at all.
	//   - Once Swap has returned nil, the change survives a crash.
	//
	// An error other than ErrConflict leaves the outcome open. The library
	// then reads the record back. Swap keeps no reference to next.Data or
	// events.
	Swap(ctx context.Context, prev string, next Record, events ...Event) error
}

// ErrConflict is returned by [Store.Swap] if the stored version is not the
// expected one. It may be wrapped.
var ErrConflict = errors.New("twofa: record was changed by another writer")

// EventReader is implemented by a [Store] that can list the events it has
// stored. Package storetest tests it as well.
type EventReader interface {
	// Events returns a page of the events that match the query. It may return
	// fewer than the limit, even none, although more follow: Next alone says
	// whether they do. An event that is stored while pages are read may be
	// missed by a query that reads backward, never by one that reads forward
	// and stops a minute ago.
	Events(ctx context.Context, q EventQuery) (EventPage, error)
}

// EventQuery selects events. A zero field selects everything.
type EventQuery struct {
	User    string    // only events about this user
	Account string    // only events in this account
	Actor   string    // only events caused by the actor with this ID
	Types   []string  // only events of one of these types
	Since   time.Time // only events at this time or later
	Until   time.Time // only events before this time
	Forward bool      // oldest first; otherwise newest first
	Cursor  string    // EventPage.Next of the previous page, with the same query; if empty, the first page
	Limit   int       // at most this many; if zero, 100; at most 1000
}

// EventPage is a part of the events that match a query.
type EventPage struct {
	Events []Event
	// Next is the Cursor of the next page, empty if this page is the last. Its
	// content is the store's own. It remains valid after the events around it
	// were deleted.
	Next string
}
