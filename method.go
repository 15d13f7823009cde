package twofa

// Method is a way to prove that it is you, beyond the first factor.
type Method string

// The methods, strongest first. What each gives up stands in docs/standards.md.
const (
	TOTP         Method = "totp"     // a code of an authenticator app, RFC 6238
	SMS          Method = "sms"      // a texted code; "restricted" in NIST SP 800-63B-4, section 3.2.9
	EmailLink    Method = "email"    // a mailed link; no authentication factor under NIST SP 800-63B-4, section 3.1.3.1
	RecoveryCode Method = "recovery" // one of the codes saved at set-up
)

// strength orders the methods a user can enroll or is given, strongest first.
var strength = [...]Method{TOTP, SMS, EmailLink}

// Next says what comes next.
type Next string

// What comes next.
const (
	NextDone      Next = "done"      // signed in: keep Result.Session
	NextChallenge Next = "challenge" // ask for one of Result.Methods
	NextEnroll    Next = "enroll"    // set-up first: Result.Challenge opens that and nothing else
)

// Result is where a login, set-up or step-up stands.
type Result struct {
	Next      Next
	Session   Session   // with NextDone; empty where StepUp found a good proof: keep the one you have
	Challenge Challenge // with NextChallenge and NextEnroll; replaces the one before
	Methods   []Method  // on offer, strongest first; the recovery code last
	Sent      string    // where something was sent to, masked
	Action    string    // the step-up action that was proven; "" where it was a login
	// Browser, if not empty, replaces the token in the browser's long-lived
	// cookie.
	Browser Secret
}
