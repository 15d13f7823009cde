package twofa

import "time"

// Method is a way to prove identity in addition to the first factor.
type Method string

// The methods, strongest first. [Standards] describes the weaknesses of each.
//
// [Standards]: https://github.com/twofa-go/twofa/blob/main/docs/standards.md
const (
	TOTP         Method = "totp"     // code of an authenticator app (RFC 6238)
	SMS          Method = "sms"      // code in a text message; "restricted" by NIST SP 800-63B-4, section 3.2.9
	EmailLink    Method = "email"    // link in an email; not an authentication factor (NIST SP 800-63B-4, section 3.1.3.1)
	RecoveryCode Method = "recovery" // single-use code that the user saved at enrollment
)

// strength orders the methods, strongest first. A recovery code is accepted
// instead of any of them, so it is not ranked.
var strength = [...]Method{TOTP, SMS, EmailLink}

// Next is the next step of a login, enrollment or step-up.
type Next string

// The next steps.
const (
	NextDone      Next = "done"      // nothing; keep Result.Session
	NextChallenge Next = "challenge" // prove one of Result.Methods with Manager.Verify
	NextEnroll    Next = "enroll"    // enroll a factor, with Result.Challenge in Caller.Challenge
)

// Result is the state of a login, enrollment or step-up after one step.
type Result struct {
	// Next is the next step.
	Next Next
	// Session, if not empty, replaces the current session. It is set if Next is
	// NextDone, except if [Manager.StepUp] finds that the action needs no new
	// proof. The current session then remains valid.
	Session Session
	// Challenge, if not empty, replaces any earlier challenge. With NextEnroll,
	// it permits enrollment and nothing else. It is empty if the caller enrolls
	// with a session, except while a phone is being enrolled.
	Challenge Challenge
	// Methods lists the methods that the challenge accepts, strongest first,
	// with RecoveryCode last.
	Methods []Method
	// Sent is the masked address or number that the last link or code was sent
	// to. It is empty if none was sent or it is no longer valid.
	Sent string
	// UserName is [User].Name without control characters, so that a page can
	// show which user is signing in. It is empty if the host has no name for the
	// user. Only [Manager.DescribeChallenge] sets it.
	UserName string
	// SentExpires is the time at which the last link or code expires. It is zero
	// if Sent is empty. Only [Manager.DescribeChallenge] sets it.
	SentExpires time.Time
	// SentCode reports whether the last email also has a code that can be typed
	// now, so that a page can ask for it; see [MailConfig.CodeBesideLink]. It is
	// false if the email has none, and while mailed codes are locked. The link
	// works even then. Only [Manager.DescribeChallenge] sets it.
	SentCode bool
	// Digits is the number of digits of a code in the user's authenticator apps.
	// It is zero if Methods does not include TOTP or if the apps differ. Only
	// [Manager.DescribeChallenge] sets it.
	Digits int
	// Locked contains those of Methods that accept no code now, with the time at
	// which they do again. The zero Time means that waiting does not help; see
	// [RetryAfter]. Say so instead of asking for a code. Only
	// [Manager.DescribeChallenge] sets it.
	Locked map[Method]time.Time
	// Action is the step-up action that was proven. It is empty for a login or
	// an enrollment.
	Action string
	// CodesMissing reports, after a completed login, that the user has a factor
	// but no unused recovery code, for example after [ManagedUser.Import]. Ask
	// the user to generate some; see [Manager.RegenerateCodes].
	CodesMissing bool
	// Due, if not zero, is the time from which the account requires a factor that
	// the user does not have yet. Ask the user to enroll one before then. See
	// [Policy.Grace].
	Due time.Time
	// Case reports, after a completed login with a first factor of the person's own,
	// that the user has an open support case, which the login has suspended. Show it
	// and ask whether it is theirs; see [Standing.Case].
	Case bool
	// Browser, if not empty, replaces the text in the browser's long-lived
	// cookie. See [Client.Browser].
	Browser Secret
}

// isFactor reports whether a method proves something that a password and a mailbox
// do not.
func isFactor(m Method) bool { return m == TOTP || m == SMS || m == RecoveryCode }
