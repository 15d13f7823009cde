package twofa

import (
	"encoding/json"
	"time"

	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// Event is one entry of the audit trail. It is stored by the same swap as the
// change it reports, so there is no event without its change and no change
// without its event. It contains nothing secret, but it does contain personal
// data (IP address, User-Agent).
type Event struct {
	ID      string     `json:"id"`                // unique, random
	Seq     uint64     `json:"seq"`               // number of the event among those of its record, from 1
	Time    time.Time  `json:"time"`              // UTC, in whole seconds, by Config.Now
	Type    string     `json:"type"`              // see package event
	User    string     `json:"user,omitempty"`    // ID of the user it is about; empty if it is about an account
	Account string     `json:"account,omitempty"` // ID of the account it happened in, if any
	Actor   EventActor `json:"actor,omitzero"`    // source of the event if it was not the user; otherwise zero
	Method  Method     `json:"method,omitempty"`  // method that the event is about, if any
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
	// time that the member was reminded of, and for event.Summarized a [Summary].
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
	e.Detail, e.Reason = text.Clean(e.Detail, 200), text.Clean(e.Reason, 500)
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
