// Package event defines the types of [twofa.Event]. They are strings that stores
// keep and that SIEM rules and reports match, so no type ever changes its name or
// meaning:
//
//	if e.Type == event.BrowserReplay {
//		alert(e.User)
//	}
//
// [twofa.Event]: https://pkg.go.dev/github.com/twofa-go/twofa#Event
package event

// The types of events. The fields Method and Detail of an event have more
// information. A failed attempt is recorded as one event. Its type is the last one
// of Failed, Reused, Locked and Disabled that applies.
const (
	Login             = "login"              // a login was completed, with or without a challenge
	Failed            = "failed"             // a wrong, expired or used code was entered, at sign-in or to confirm an enrollment
	Reused            = "reused"             // a TOTP code that had already been used was entered
	Locked            = "locked"             // a method was locked for a time after several failures
	Disabled          = "disabled"           // a method was disabled after too many failures
	Unlocked          = "unlocked"           // an admin or support ended the lock of a method
	Sent              = "sent"               // a link or code was counted against the limits and is sent next
	EnrollmentStarted = "enrollment_started" // an enrollment was started, and its secrets were shown
	Enrolled          = "enrolled"           // an authenticator or phone was added
	Imported          = "imported"           // an authenticator or phone of another product was imported
	Replaced          = "replaced"           // an authenticator or phone replaced another
	Renamed           = "renamed"            // an authenticator or phone was renamed
	Removed           = "removed"            // an authenticator or phone was removed
	TurnedOff         = "turned_off"         // the last factor was removed, and with it the recovery codes and known browsers
	CodesGenerated    = "codes_generated"    // new recovery codes replaced any earlier ones
	CodesViewed       = "codes_viewed"       // recovery codes were shown again
	RecoveryUsed      = "recovery_used"      // a recovery code was used up, and Left is the number of unused ones
	BrowserTrusted    = "browser_trusted"    // a browser became a remembered browser
	BrowserRevoked    = "browser_revoked"    // one or all known browsers were made unknown, or are no longer remembered
	BrowserReplay     = "browser_replay"     // an outdated browser token was used, so a copy of it exists
	StepUp            = "step_up"            // a fresh proof for one action was given
	ActionUsed        = "action_used"        // an action was permitted, with a proof of Method
	Action            = "action"             // the host reported an action: Detail says which, and After how many and whether it failed
	AdminAct          = "admin_act"          // an admin was authorized to change something in an account; another event with the same Act reports the change
	Policy            = "policy"             // an account's policy was changed
	Extended          = "extended"           // a member was given more time to enroll, or the extension ended
	PhoneAssigned     = "phone_assigned"     // an admin entered a phone number for a member to confirm, or took it back
	Reminded          = "reminded"           // a member was reminded to enroll before it is due
	Summarized        = "summarized"         // the admins of an account were told how many members still have to enroll
	Revoked           = "revoked"            // all of a user's sessions and proofs for actions ended, and no browser is remembered
	Reset             = "reset"              // all factors were removed for a user who lost them; the next one needs an email link
	ResetRequested    = "reset_requested"    // support opened a case to reset the user
	ResetApproved     = "reset_approved"     // a member of staff approved a case; if that was enough, Reset follows
	ResetConfirmed    = "reset_confirmed"    // the user said, after a login, that the case is theirs
	ResetCanceled     = "reset_canceled"     // a case was ended by the user or by support
	Lost              = "lost"               // the user reported the device as lost, and no browser is remembered
	LostCleared       = "lost_cleared"       // a factor was proven or enrolled after that
	MemberRemoved     = "member_removed"     // a user left an account; one who belongs to no other was reset
	Erased            = "erased"             // all second-factor state of a user was deleted
	Credentials       = "credentials"        // the host reported a changed first factor
)
