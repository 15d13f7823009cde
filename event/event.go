// Package event names the types of [twofa.Event]. They are data: stores keep
// them, rules of a SIEM and reports are written against them, so that none
// changes its name or meaning.
//
// [twofa.Event]: https://pkg.go.dev/github.com/twofa-go/twofa#Event
package event

// Beside each stands what happened. Method and Detail of the event say more.
const (
	Login          = "login"           // a login ended, with or without a challenge
	Failed         = "failed"          // a wrong, used or expired code
	Reused         = "reused"          // a right code that had been used before
	Locked         = "locked"          // a method became locked after failures
	Disabled       = "disabled"        // a method was switched off after too many failures
	Sent           = "sent"            // a link or code was claimed for sending
	Enrolled       = "enrolled"        // an authenticator or phone became active
	Replaced       = "replaced"        // an authenticator or phone took the place of another
	Renamed        = "renamed"         // an authenticator was renamed
	Removed        = "removed"         // an authenticator or phone was removed
	TurnedOff      = "turned_off"      // the last factor is gone; codes and browsers went with it
	CodesGenerated = "codes_generated" // a new set of recovery codes is live, the old one is dead
	CodesViewed    = "codes_viewed"    // recovery codes were shown again
	RecoveryUsed   = "recovery_used"   // a recovery code was spent; Left says how many remain
	BrowserTrusted = "browser_trusted" // a browser is remembered
	BrowserRevoked = "browser_revoked" // one or all browsers were revoked
	BrowserReplay  = "browser_replay"  // an outdated browser token came back: a copy exists
	StepUp         = "step_up"         // fresh proof for one action
	ActionUsed     = "action_used"     // a once-only grant was spent
	Policy         = "policy"          // an account's policy was set
	Revoked        = "revoked"         // sessions, browsers and grants were revoked
	Erased         = "erased"          // all second-factor state of a user was deleted
	Credentials    = "credentials"     // the host's first factor changed
)
