package twofa

import "time"

// Types of events. Beside each stands who or what it is about.
const (
	EventLogin          = "login"           // a login ended, with or without a challenge
	EventFailed         = "failed"          // a wrong, used or expired code
	EventReused         = "reused"          // a right code that had been used before
	EventLocked         = "locked"          // a method became locked after failures
	EventDisabled       = "disabled"        // a method was switched off after too many failures
	EventSent           = "sent"            // a link or code was claimed for sending
	EventEnrolled       = "enrolled"        // an authenticator or phone became active
	EventReplaced       = "replaced"        // an authenticator or phone took the place of another
	EventRenamed        = "renamed"         // an authenticator was renamed
	EventRemoved        = "removed"         // an authenticator or phone was removed
	EventTurnedOff      = "turned_off"      // the last factor is gone; codes and browsers went with it
	EventCodesMade      = "codes_made"      // a new set of recovery codes is live, the old one is dead
	EventCodesViewed    = "codes_viewed"    // recovery codes were shown again
	EventRecoveryUsed   = "recovery_used"   // a recovery code was spent; Left says how many remain
	EventBrowserTrusted = "browser_trusted" // a browser is remembered
	EventBrowserRevoked = "browser_revoked" // one or all browsers were revoked
	EventBrowserReplay  = "browser_replay"  // an outdated browser token came back: a copy exists
	EventStepUp         = "step_up"         // fresh proof for one action
	EventActionUsed     = "action_used"     // a once-only grant was spent
	EventPolicy         = "policy"          // an account's policy was set
	EventRevoked        = "revoked"         // sessions, browsers and grants were revoked
	EventErased         = "erased"          // all second-factor state of a user was deleted
	EventCredentials    = "credentials"     // the host's first factor changed
)

// Event is one entry of the audit trail. It is written in the same swap as the
// change it tells of: there is no event without its change and no change
// without its event. It holds nothing secret.
type Event struct {
	ID      string    `json:"id"`                // unique, random
	Time    time.Time `json:"time"`              // UTC, whole seconds, by Config.Now
	Type    string    `json:"type"`              // one of the Event constants
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
