package twofa

import "time"

// Event is one entry of the audit trail. It is written in the same swap as the
// change it tells of: there is no event without its change and no change
// without its event. It holds nothing secret.
type Event struct {
	ID      string    `json:"id"`                // unique, random
	Time    time.Time `json:"time"`              // UTC, whole seconds, by Config.Now
	Type    string    `json:"type"`              // see package event
	User    string    `json:"user,omitempty"`    // whom it is about
	Account string    `json:"account,omitempty"` // the account it happened in, if any
	Actor   string    `json:"actor,omitempty"`   // who did it, where that is not User: an admin's id or "host"
	Method  Method    `json:"method,omitempty"`
	Session string    `json:"session,omitempty"` // id of the session, never the session itself
	IP      string    `json:"ip,omitempty"`
	Agent   string    `json:"agent,omitempty"`  // the client's User-Agent, cut and cleaned of control characters
	Detail  string    `json:"detail,omitempty"` // an action, a name, a reason; free text, cleaned
	Left    int       `json:"left,omitempty"`   // recovery codes left, where Type is about them
	// Notice says that the person should be told of it outside this login:
	// by mail to every verified address.
	Notice bool `json:"notice,omitempty"`
}
