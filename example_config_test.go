package twofa_test

import (
	"fmt"

	"github.com/twofa-go/twofa"
)

// New reports everything that is missing or wrong together.
func ExampleNew() {
	_, err := twofa.New(twofa.Config{Issuer: "Acme: the app", Recovery: twofa.RecoveryConfig{Codes: 50}})
	fmt.Println(err)
	// Output:
	// twofa: configuration:
	// Issuer: must be 1 to 64 bytes without a colon or control characters, is "Acme: the app"
	// Store: is missing; adapters/sqlstore has one for your database, adapters/memstore one for tests
	// Keys: is missing; see ParseKeyRing
	// Directory: is missing; see LookUp
	// Recovery.Codes: must be 1 to 20 or NoRecoveryCodes, is 50
}

// A key ring is one line, such as the value of an environment variable. The
// command "openssl rand -base64 32" prints a key.
func ExampleParseKeyRing() {
	keys, err := twofa.ParseKeyRing("k1:" + "yq3Zk0tC8uJm5xWvR1bN7sLd2fGhT4oP9aEiK6cQwXY=")
	fmt.Println(keys, err)
	_, err = twofa.ParseKeyRing("k1:changeme")
	fmt.Println(err)
	// Output:
	// [redacted] <nil>
	// twofa: key 1: key has 6 bytes, want 32
}

// The presets are what most accounts ask for.
func ExamplePolicy() {
	fmt.Println(twofa.PolicyOptional())
	fmt.Println(twofa.PolicyAuthenticator())
	fmt.Println(twofa.PolicyEmailLink())
	fmt.Println(twofa.PolicySMS())
	// Output:
	// totp optional
	// totp required, SSO exempt, turned off by admin
	// totp+email required, SSO exempt
	// totp+sms required, SSO exempt, browsers 30 days
}
