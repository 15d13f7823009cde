package twofa

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// Record is what a [Store] stores under a key. A store never looks inside Data,
// which the library encrypts and authenticates.
type Record struct {
	// Key identifies the record. It begins with "user/", "account/", "number/",
	// "config/" or "audit/". Keys are case-sensitive, at most 512 bytes of UTF-8, and
	// differ if one byte differs (trailing spaces count).
	Key string
	// Version is created by the library, random, never used twice, and at most
	// 32 ASCII characters. A store only stores and compares it.
	Version string
	// Data is arbitrary bytes. Store it in a binary column (BLOB, bytea,
	// VARBINARY), not in a text column. It usually has 0.3 to 3 KB, at most
	// 64 KB.
	Data []byte
}

// Store stores records. It is all that a host must implement to keep
// second-factor state in its own database, and package storetest tests an
// implementation with one line. Methods may be called concurrently, by many
// goroutines on many servers. If the context is already done, both methods
// return an error other than ErrConflict and change nothing. A store needs no
// clock, no expiry and no background work.
type Store interface {
	// Get returns the records that exist under keys, in any order, and nothing
	// for the others. It sees every Swap that returned nil before Get was
	// called, on any server. The caller owns the result. It shares no memory
	// with the store or with the result of another call.
	Get(ctx context.Context, keys ...string) ([]Record, error)

	// Swap stores next under next.Key if the version stored there is still
	// prev. Otherwise it returns an error that is [ErrConflict] and changes
	// nothing. Swap is atomic.
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
	// then reads the record back, so Swap must change nothing after it has
	// returned. Swap keeps no reference to next.Data or events.
	Swap(ctx context.Context, prev string, next Record, events ...Event) error
}

// ErrConflict is returned by [Store.Swap] if the stored version is not the
// expected one. It may be wrapped. [Account.SetPolicy] and
// [Account.UnsetPolicy] return it if the policy that a change is based on is no
// longer in force.
var ErrConflict = errors.New("twofa: record was changed by another writer")

// Event is one entry of the audit trail. It is stored by the same swap as the
// change it reports, so there is no event without its change and no change
// without its event. It contains nothing secret, but it does contain personal
// data (IP address, User-Agent).
type Event struct {
	ID      string     `json:"id"`                // unique, random
	Seq     uint64     `json:"seq"`               // number of the event among those of its record, from 1
	Time    time.Time  `json:"time"`              // UTC, in whole seconds, by Config.Now; of the event before of the same record if that is up to a minute later
	Type    string     `json:"type"`              // see package event
	User    string     `json:"user,omitempty"`    // ID of the user it is about; empty if it is about an account
	Account string     `json:"account,omitempty"` // ID of the account it happened in, if any
	Actor   EventActor `json:"actor,omitzero"`    // source of the event if it was not the user; otherwise zero
	Method  Method     `json:"method,omitempty"`  // method that the event is about, as in ProvenMethod; may be empty
	Session string     `json:"session,omitempty"` // ID of the session, never the session itself
	IP      string     `json:"ip,omitempty"`      // Client.IP
	Agent   string     `json:"agent,omitempty"`   // User-Agent of the client, shortened, without control characters
	Request string     `json:"request,omitempty"` // Client.RequestID
	Reason  string     `json:"reason,omitempty"`  // reason that the actor gave
	Case    string     `json:"case,omitempty"`    // ID of the support case, if any
	Act     string     `json:"act,omitempty"`     // ID that the events of one act of an admin share
	Detail  string     `json:"detail,omitempty"`  // an action, a name or a masked address; free text without control characters
	// Before and After are the values that were changed, as JSON. They are set
	// only for event.Policy and event.Extended. For event.Reminded, After is the
	// time that the member was reminded of, for event.Summarized a [Summary], and
	// for event.Action an object with the fields count and failed.
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	Left   int             `json:"left,omitempty"` // number of recovery codes left, if Type is about them
	// Notice reports whether the user should learn of the event by mail to
	// every verified address.
	Notice bool `json:"notice,omitempty"`
	// MAC authenticates the event and all before it of the same record; see
	// [Manager.VerifyEvents].
	MAC []byte `json:"mac,omitempty"`
}

// EventActor is the source of an [Event] that the user did not cause.
type EventActor struct {
	Kind string `json:"kind"`           // "user", "staff" or "host"
	ID   string `json:"id,omitempty"`   // ID of the user or the member of staff
	Role string `json:"role,omitempty"` // role of a user in the account at that moment
}

// issued returns the event with an ID, the time and clean text, so that one
// event is always one line.
func (e Event) issued(now unixTime) Event {
	e.ID, e.Time = seal.NewID(), now.time()
	e.Detail, e.Reason = text.Clean(e.Detail, 500), text.Clean(e.Reason, 500)
	return e
}

// timeJSON returns a time for an event, "null" for never.
func timeJSON(t unixTime) json.RawMessage {
	if t == 0 {
		return json.RawMessage("null")
	}
	encoded, _ := json.Marshal(t.time()) // a time of a whole second
	return encoded
}

// EventReader is implemented by a [Store] that can list the events it has
// stored. Package storetest tests it as well.
type EventReader interface {
	// Events returns a page of the events that match the query. It may return
	// fewer than the limit, even none, although more follow. Only
	// [EventPage.Next] shows whether more follow. An event that is stored while
	// pages are read may be missed by a query that reads backward. A query that
	// reads forward and whose Until is at least a minute ago misses none. If
	// q.Cursor is malformed, the error is [ErrInvalid].
	//
	// If the store has a field twice, once in the event and once to select by, it
	// must return the latter. Otherwise an attacker who changes the latter hides
	// the event from queries, and [Manager.VerifyEvents] does not find that.
	Events(ctx context.Context, q EventQuery) (EventPage, error)
}

// EventQuery selects events. A zero filter matches every event.
type EventQuery struct {
	User    string    // only events about this user
	Account string    // only events in this account
	Actor   string    // only events caused by the actor with this ID
	Types   []string  // only events of one of these types
	Since   time.Time // only events at this time or later
	Until   time.Time // only events before this time
	Forward bool      // whether the oldest event comes first; otherwise the newest does
	Cursor  string    // EventPage.Next of the previous page, with the same query; if empty, the first page
	Limit   int       // at most this many events; if zero, it defaults to 100; more than 1000 means 1000
}

// EventPage is a part of the events that match a query.
type EventPage struct {
	// Events lists the events of the page, in the order of the query.
	Events []Event
	// Next is the Cursor of the next page, or empty if this page is the last.
	// Each store has its own format. A cursor remains valid after the events
	// around it were deleted.
	Next string
}

// KeyLister is implemented by a [Store] that can list the keys of its records.
// [Manager.RekeyRecords] and [Manager.SweepNumbers] need them. Package storetest
// tests it as well.
type KeyLister interface {
	// Keys returns keys that are greater than after, which need not be the key of a
	// record, in ascending order of their bytes. If after is empty, it begins with
	// the first key. It returns at most limit keys, which is from 1 to 1000, and
	// may return fewer although more follow. Only an empty result shows that there
	// are no more.
	//
	// A record that exists while all keys are listed, page by page, is listed
	// exactly once, whatever else is written at the same time. A record that is
	// created or deleted meanwhile is listed at most once. Keys sees every Swap
	// that returned nil before Keys was called, on any server. If the context is
	// already done, the result is an error. The caller owns the result.
	Keys(ctx context.Context, after string, limit int) ([]string, error)
}

// NoticeStore is implemented by a [Store] that keeps the notice of each event until
// it has been mailed, so that a process that is killed loses none. See
// [Manager.Deliver]. Package storetest tests it as well.
//
// Swap of such a store stores each event with Event.Notice as claimed until
// Event.Time plus [NoticeClaim], because the request that calls Swap mails the
// notice. A claim is not part of the event, and a repeated Swap does not change it.
// All times are whole seconds. If a context is already done, the result is an error.
type NoticeStore interface {
	// ClaimNotices returns events whose notice is not done and whose claim ends at
	// now or before, and claims them until the other time. Each is returned to one
	// caller only, on any server, until that claim ends as well. The event whose
	// claim ended first comes first, and of several, the one with the earlier time.
	//
	// It returns at most limit events, which is from 1 to 1000, complete with their
	// MAC. It may return fewer although more could be claimed. Only an empty result
	// shows that there are no more. After an error, events may be claimed without
	// having been returned.
	ClaimNotices(ctx context.Context, now, until time.Time, limit int) ([]Event, error)

	// DelayNotices lets the claims of events end at until instead. Events whose
	// notice is done, or which are not stored, are skipped.
	DelayNotices(ctx context.Context, until time.Time, events ...Event) error

	// NoticesDone ends the notices of events for good. Events whose notice is done
	// already, or which are not stored, are skipped. The events are known by their
	// ID. They also have the Time with which they were stored, so that a store can
	// find them by it.
	NoticesDone(ctx context.Context, events ...Event) error
}
