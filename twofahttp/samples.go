package twofahttp

import (
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
)

// sampleData returns data for each page, one value for each of its states. The
// fields are documented in docs/pages.md.
func sampleData(c *locale.Catalog) map[string][]any {
	codes := []string{"XXXX", "YYYY"}
	now := time.Unix(0, 0)
	factors := twofa.Factors{List: []twofa.Factor{{Method: twofa.TOTP, Legacy: true, Removable: true}, {Method: twofa.SMS}}, CodesLeft: 2, CodesTotal: 10, CodesMissing: true,
		CodesGenerated: now, CodesViewable: true, Email: "x", Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, PendingEnrollment: true, TurnOff: twofa.TurnOffByAdmin}
	shown := []any{codesData{Issuer: "x", User: "x", Codes: codes}, codesData{Codes: codes[:1]}, codesData{}}
	pages := map[string][]any{
		"codes":     shown,
		codesFile:   shown,
		"link":      {linkData{Token: "x"}, linkData{Elsewhere: true}, linkData{Over: true}, linkData{Token: "x", StepUp: true, Action: "x"}},
		"nocodes":   {noCodesData{}, noCodesData{Next: "/"}},
		"recovered": {recoveredData{}, recoveredData{Factors: factors, Next: "/"}},
		"settings":  {settingsData{}, settingsData{Factors: twofa.Factors{Email: "x", TurnOff: twofa.TurnOffBySupport}}, settingsData{Pending: twofa.Enrollment{Method: twofa.RecoveryCode}, Factors: factors, Browsers: []twofa.Browser{{Current: true}, {Remembered: true}}, Apps: true, Phones: true, Stays: true, Days: true}},
		"setup": {enrollmentData{Step: "start", Methods: []string{"totp", "sms"}, Method: "totp"}, enrollmentData{Step: "start", Methods: []string{"totp", "sms"}, Method: "sms", Forced: true, Regions: []Region{{}}},
			enrollmentData{Step: "start", Methods: []string{"totp"}, Method: "totp", Old: &twofa.Factor{Method: twofa.TOTP}, Replaces: "x"}, enrollmentData{Step: "start", Methods: []string{"sms"}, Method: "sms", Has: true},
			enrollmentData{Step: "scan", Number: 1, Of: 2}, enrollmentData{Step: "phone"},
			enrollmentData{Step: "codes", Codes: codes}, enrollmentData{Step: "codes", Codes: codes[:1], New: true}},
	}
	pages["resubmit"] = []any{resubmitData{Back: "/"}, resubmitData{Action: "x", URL: "/", Fields: []formField{{"x", "y"}}, Back: "/"}}
	others := []twofa.Factor{{Method: twofa.TOTP}, {Method: twofa.SMS, Phone: "x"}}
	for _, change := range []string{changeRename, changeRemove, changeForget, changeForgetAll, changeNewCodes, changeRevoke} {
		pages["change"] = append(pages["change"], changeData{Change: change, Factor: others[0]}, changeData{Change: change, Factors: factors, Factor: others[1], Others: others, Browser: twofa.Browser{Current: true, Remembered: true}, Name: "x"},
			changeData{Change: change, Factors: twofa.Factors{CodesLeft: 1, Email: "x"}})
	}
	pages["bounce"] = []any{bounceData{Held: "x", Next: "/"}}
	for _, method := range []string{"totp", "sms", "email", "recovery"} {
		pages["challenge"] = append(pages["challenge"], challengeData{Method: method, Next: "/"},
			challengeData{Method: method, User: "x", Sent: "x", Valid: time.Minute, Others: []string{"totp", "sms", "email", "recovery"}, Days: 30}, challengeData{Method: method, StepUp: true, Action: "x", Again: true},
			challengeData{Method: method, StepUp: true, User: "x", Sent: "x", Others: []string{"totp"}, Held: "x"})
	}
	for _, m := range messages {
		if m.good() {
			pages["done"] = append(pages["done"], doneData{Title: m.title(c), Text: problem{message: m}.text(c, "x", "x"), Next: "/", Offer: string(m.Next)})
			continue
		}
		d := messageData{Code: m.Code, Title: m.title(c), Text: problem{message: m}.text(c, "x", "x"), Next: string(m.Next), Back: "/", Login: "/login", Action: "x"}
		pages["message"] = append(pages["message"], d)
		d.SignedIn = true
		pages["message"] = append(pages["message"], d)
	}
	return pages
}

// sampleAlerts returns an alert for each message.
func sampleAlerts(c *locale.Catalog) []*alert {
	alerts := []*alert{nil}
	for i, m := range messages {
		alerts = append(alerts, &alert{Code: m.Code, Method: string(m.Method), Good: m.good(), Title: m.title(c), Text: problem{message: m}.text(c, "x", "x"), Field: m.Field, Next: string(m.Next),
			Counted: true, Left: i % 3})
	}
	return alerts
}
