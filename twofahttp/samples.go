package twofahttp

import (
	"time"

	"github.com/twofa-go/twofa"
)

// sampleData returns data for each page, one value for each of its states. The
// fields are documented in docs/pages.md.
func sampleData() map[string][]any {
	codes := []string{"XXXX", "YYYY"}
	now := time.Unix(0, 0)
	factors := twofa.Factors{List: []twofa.Factor{{Method: twofa.TOTP, Legacy: true, Removable: true}, {Method: twofa.SMS}}, CodesLeft: 2, CodesTotal: 10, CodesMissing: true,
		CodesGenerated: now, CodesViewable: true, Email: "x", Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, PendingEnrollment: true, TurnOff: twofa.TurnOffByAdmin}
	shown := []any{codesData{Issuer: "x", Codes: codes}, codesData{Codes: codes[:1]}}
	pages := map[string][]any{
		"codes":     shown,
		codesFile:   shown,
		"link":      {linkData{Token: "x"}, linkData{Elsewhere: true}, linkData{Over: true}, linkData{Token: "x", StepUp: true, Action: "x"}},
		"nocodes":   {noCodesData{}, noCodesData{Next: "/"}},
		"recovered": {recoveredData{}, recoveredData{Factors: factors, Next: "/"}},
		"settings":  {settingsData{}, settingsData{Factors: factors, Browsers: []twofa.Browser{{Current: true}, {Remembered: true}}, Apps: true, Phones: true, Stays: true, Days: true}},
		"setup": {enrollmentData{Step: "start", Methods: []string{"totp", "sms"}}, enrollmentData{Step: "start", Methods: []string{"sms"}, Forced: true, Regions: []Region{{}}},
			enrollmentData{Step: "start", Old: "x", Replaces: "x"}, enrollmentData{Step: "scan", Number: 1, Of: 2}, enrollmentData{Step: "phone"},
			enrollmentData{Step: "codes", Codes: codes}, enrollmentData{Step: "codes", Codes: codes[:1], New: true}},
	}
	pages["bounce"] = []any{bounceData{Held: "x", Next: "/"}}
	for _, method := range []string{"totp", "sms", "email", "recovery"} {
		pages["challenge"] = append(pages["challenge"], challengeData{Method: method, Next: "/"},
			challengeData{Method: method, Sent: "x", Others: []string{"totp", "recovery"}, Days: 30}, challengeData{Method: method, StepUp: true, Action: "x"})
	}
	for _, code := range problemCodes {
		pages["message"] = append(pages["message"], messageData{Code: code, Back: "/", Login: "/login", Action: "x"}, messageData{Code: code, Back: "/", Login: "/login", SignedIn: true})
	}
	return pages
}

// problemCodes and alertCodes list the codes for which the pages have a text.
var (
	problemCodes = []string{"expired", "locked", "limited", "unavailable", "not_allowed", "not_enrolled", "not_found", "signed_out", "second_factor_required",
		"first_factor_expired", "session_unreadable", "sign_in_here", "own_sign_in_required", "support_required", "undeliverable",
		"mfa_enrollment_required", "other_browser", "invalid_link", "form_expired", "cookies_blocked", "cross_site", "method", "post_only",
		"media_type", "bad_form", "too_large", "misplaced", "internal"}
	alertCodes = []string{"invalid_code", "malformed_code", "locked", "too_soon", "not_sent", "limited", "enrollment_over", "phone_refused", "undeliverable", "not_saved",
		"set_up", "codes_saved", "renamed", "removed", "forgotten"}
)
