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
