package twofahttp

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	names "github.com/twofa-go/twofa/internal/text"
	"github.com/twofa-go/twofa/locale"
)

// sampleTime is the time of the samples.
var sampleTime = time.Date(2026, time.November, 25, 9, 30, 0, 0, time.UTC)

// Names in the samples are as long as users make them, because short ones fit
// everywhere.
const (
	sampleUser   = "ada.lovelace@analytical-engines.example"
	sampleAction = "Export all contacts of the account"
)

// sampleData returns data for each page, one value for each of its states. The
// fields are documented in docs/pages.md.
func sampleData(c *locale.Catalog) map[string][]any {
	codes := []string{"7KQM-2F9D-X4WT-B8HC-3NRV-6YJP", "M3XW-9DKT-7HQF-2CVB-8PJR-4NYG", "T6BN-4YRC-9JWX-F3KD-7MQH-2VPG", "H8VP-3JQN-6TKC-Y9XB-4WDM-7RFG", "D2RY-8WMF-5KHJ-Q7NT-9CXV-3BPG",
		"X9CJ-6HTV-2MPB-4QWF-8YKN-7DRG", "F4NK-7QXD-3VYR-9HJC-2BTM-6WPG", "B7HW-2CMY-8FQT-6XNK-4RJD-9VPG", "Q3TD-9KVB-4XJM-7WRC-6HFN-2YPG", "W6YF-4NRX-7CDK-3BQV-9TMJ-8HPG"}
	app := twofa.Factor{ID: "app", Method: twofa.TOTP, Name: "Work phone", Named: true, Added: sampleTime.AddDate(0, -7, 0), LastUsed: sampleTime, Removable: true}
	old := twofa.Factor{ID: "old", Method: twofa.TOTP, Name: "Authenticator app", Added: sampleTime.AddDate(-4, 0, 0), LastUsed: sampleTime.AddDate(0, 0, -1), Legacy: true, Removable: true}
	long := twofa.Factor{ID: "long", Method: twofa.TOTP, Name: "Emergency-tablet-of-the-northern-warehouse-in-the-safe", Named: true, Added: sampleTime.AddDate(0, -1, -24), LastUsed: sampleTime.AddDate(0, -1, -24)}
	phone := twofa.Factor{ID: "phone", Method: twofa.SMS, Name: "Phone", Phone: "•••• 67", Added: sampleTime.AddDate(0, -7, 0), LastUsed: sampleTime.AddDate(0, 0, -20), Removable: true}
	factors := twofa.Factors{List: []twofa.Factor{app, old, long, phone}, CodesLeft: 2, CodesTotal: 10, CodesMissing: true, CodesGenerated: sampleTime.AddDate(0, -7, 0), CodesViewable: true, Email: "a•••@analytical-engines.example",
		Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, PendingEnrollment: true, TurnOff: twofa.TurnOffByAdmin}
	usual := twofa.Factors{List: []twofa.Factor{app, phone}, CodesLeft: 8, CodesTotal: 10, CodesGenerated: sampleTime.AddDate(0, -7, 0), CodesViewable: true, Methods: factors.Methods}
	byMail := twofa.Factors{Email: factors.Email, Methods: factors.Methods}
	browsers := []twofa.Browser{{ID: "1", Device: "Firefox on Linux", Current: true, LastUsed: sampleTime}, {ID: "2", Device: "Samsung Internet on Android", Remembered: true, Until: sampleTime.AddDate(0, 0, 12), LastUsed: sampleTime.AddDate(0, 0, -18)}, {ID: "3", Device: names.Device(""), LastUsed: sampleTime.AddDate(0, -2, 0)}}
	shown := []any{codesData{Issuer: "Acme", User: sampleUser, Codes: codes, Saved: sampleTime}, codesData{Codes: codes[:1], Saved: sampleTime}, codesData{Saved: sampleTime}}
	required, admin, support, due := usual, usual, byMail, twofa.Factors{Methods: factors.Methods, Due: sampleTime.AddDate(0, 1, 0)}
	recovered := twofa.Factors{List: []twofa.Factor{app}, CodesLeft: 9, CodesTotal: 10, CodesGenerated: sampleTime.AddDate(0, -7, 0), Methods: factors.Methods, RecoveredAt: sampleTime}
	used := twofa.Factors{List: []twofa.Factor{app, phone}, CodesTotal: 1, CodesMissing: true, Methods: factors.Methods, RecoveredAt: sampleTime}
	required.Required, admin.TurnOff, support.TurnOff = true, twofa.TurnOffByAdmin, twofa.TurnOffBySupport
	pages := map[string][]any{
		"codes":     shown,
		codesFile:   shown,
		"link":      {linkData{Token: "x"}, linkData{Elsewhere: true}, linkData{Elsewhere: true, Code: true}, linkData{Over: true}, linkData{Token: "x", StepUp: true, Action: sampleAction}, linkData{Token: "x", StepUp: true}},
		"help":      {helpData{Advice: []string{"recovery", "totp", "email"}, Admins: true, Back: "/"}, helpData{Advice: []string{"recovery", "totp"}, Methods: []string{"totp", "sms", "recovery"}, Admins: true, Lost: true, Back: "/"}, helpData{SignedIn: true, Advice: []string{"email"}, Methods: []string{"email"}, Back: "/"}},
		"nocodes":   {noCodesData{}, noCodesData{Next: "/"}},
		"recovered": {recoveredData{}, recoveredData{Factors: factors, Next: "/", Replace: 15 * time.Minute}, recoveredData{Factors: recovered, Next: "/", Replace: 15 * time.Minute}},
		"settings": {settingsData{}, settingsData{Apps: true, Phones: true}, settingsData{Factors: support, Stays: true, Phones: true}, settingsData{Factors: usual, Browsers: browsers[:2], Apps: true, Days: true},
			settingsData{Factors: required, Browsers: browsers, Apps: true, Stays: true}, settingsData{Factors: admin, Browsers: browsers[:1], Stays: true, Pending: twofa.Enrollment{Method: twofa.TOTP, Name: app.Name}},
			settingsData{Pending: twofa.Enrollment{Method: twofa.SMS}, Apps: true, Phones: true}, settingsData{Factors: twofa.Factors{List: factors.List[1:2], CodesMissing: true}, Apps: true},
			settingsData{Pending: twofa.Enrollment{Method: twofa.RecoveryCode}, Factors: factors, Browsers: browsers, Apps: true, Phones: true, Stays: true, Days: true}, settingsData{Factors: due, Apps: true, Phones: true},
			settingsData{Factors: recovered, Apps: true, Replace: 14 * time.Minute}, settingsData{Factors: recovered, Apps: true}, settingsData{Factors: used, Apps: true}, settingsData{Factors: used, Replace: 14 * time.Minute}},
		"setup": {enrollmentData{Step: "start", Methods: []string{"totp", "sms"}, Method: "totp"}, enrollmentData{Step: "start", Methods: []string{"totp", "sms"}, Method: "sms", Forced: true, Regions: []Region{{"CH", "Switzerland (+41)"}, {"GB", "United Kingdom (+44)"}}},
			enrollmentData{Step: "start", Methods: []string{"totp"}, Method: "totp", Old: &long, Replaces: long.ID}, enrollmentData{Step: "start", Methods: []string{"sms"}, Method: "sms", Has: true},
			enrollmentData{Step: "start", Methods: []string{"totp", "sms"}, Method: "totp", Has: true}, enrollmentData{Step: "start"},
			enrollmentData{Step: "start", Methods: []string{"totp", "sms"}, Method: "sms", Forced: true, Assigned: &twofa.AssignedPhone{ID: "x", Phone: phone.Phone, Added: sampleTime}},
			enrollmentData{Step: "start", Methods: []string{"sms"}, Method: "sms", Phone: "12", Assigned: &twofa.AssignedPhone{ID: "x", Phone: phone.Phone, Added: sampleTime}}},
	}
	pages["setup"] = append(pages["setup"], sampleSteps(codes)...)
	pages["setup"] = append(pages["setup"], enrollmentData{Step: "scan", Has: true, Old: &app, Digits: 6}, enrollmentData{Step: "scan", Has: true, Old: &old, Digits: 8}, enrollmentData{Step: "phone", Has: true, Old: &phone, Digits: 6, Phone: phone.Phone, Valid: time.Minute},
		enrollmentData{Step: "start", Methods: []string{"sms"}, Method: "sms", Has: true, Old: &phone, Replaces: phone.ID}, enrollmentData{Step: "start", Methods: []string{"totp"}, Method: "totp", Has: true, Old: &old, Replaces: old.ID},
		enrollmentData{Step: "codes", Codes: codes, Has: true, Saved: sampleTime}, enrollmentData{Step: "codes", Codes: codes, Has: true, New: true, Kept: true, Saved: sampleTime})
	pages["setup"] = append(pages["setup"], enrollmentData{Step: "start", Methods: []string{"totp"}, Method: "totp", Forced: true, Overdue: sampleTime}, enrollmentData{Step: "start", Methods: []string{"totp", "sms"}, Method: "totp", Next: "/2fa/policy"})
	pages["resubmit"] = []any{resubmitData{Back: "/"}, resubmitData{Action: sampleAction, URL: "/", Fields: []formField{{"x", "y"}}, Back: "/"}, resubmitData{URL: "/", Back: "/"}}
	for _, change := range []string{changeRename, changeRemove, changeForget, changeForgetAll, changeNewCodes, changeRevoke} {
		pages["change"] = append(pages["change"], changeData{Change: change, Factors: usual, Factor: app, Others: []twofa.Factor{phone}, Browser: browsers[2]}, changeData{Change: change, Factors: factors, Factor: phone, Others: []twofa.Factor{app, long}, Browser: browsers[1], Name: "Old phone"},
			changeData{Change: change, Factors: twofa.Factors{List: factors.List[2:3], CodesLeft: 1, Email: factors.Email}, Factor: long, Browser: browsers[0]}, changeData{Change: change, Factor: phone, Browser: browsers[2]})
	}
	pages["team"], pages["member"], pages["reset"] = teamSamples()
	var recent []entry
	pages["activity"], pages["history"], recent = activitySamples(c)
	pages["due"] = []any{dueData{Due: sampleTime.AddDate(0, 1, 0), Next: "/"}}
	facts := caseFacts{Opened: sampleTime, From: sampleTime.Add(day)}
	approved, suspended := facts, facts
	approved.Approved, suspended.Suspended = true, true
	pages["case"] = []any{caseData{"x", facts}, caseData{"x", approved}, caseData{"x", suspended}, caseData{"x", caseFacts{Opened: sampleTime}}}
	pages["asked"] = []any{askedData{&question{"x", suspended, "/"}}, askedData{&question{"x", facts, "/"}}}
	pages["lost"] = []any{lostData{"/"}}
	pages["settings"] = append(pages["settings"], settingsData{Factors: usual, Apps: true, Recent: recent, Asked: &question{"x", suspended, "/"}, Lost: sampleTime})
	pages["policy"], pages["preview"] = samplePolicies(c, sampleTime), samplePreviews(c, sampleTime)
	pages["bounce"] = []any{bounceData{Held: "x", Next: "/"}}
	for _, method := range []string{"totp", "sms", "email", "recovery"} {
		sent, digits := "", 0
		switch method {
		case "totp":
			digits = 6
		case "sms":
			sent, digits = phone.Phone, 6
		case "email":
			sent = factors.Email
		}
		pages["challenge"] = append(pages["challenge"], challengeData{Method: method, Next: "/"},
			challengeData{Method: method, User: sampleUser, Sent: sent, Valid: 9 * time.Minute, Others: without([]string{"totp", "sms", "email", "recovery"}, method), Days: 30, Digits: digits}, challengeData{Method: method, StepUp: true, Action: sampleAction, Again: true, Digits: digits},
			challengeData{Method: method, StepUp: true, User: sampleUser, Sent: sent, Valid: time.Minute, Others: without([]string{"totp", "recovery"}, method), Held: "x", Digits: digits})
	}
	pages["challenge"] = append(pages["challenge"],
		challengeData{Method: "email", User: sampleUser, Sent: factors.Email, Valid: 9 * time.Minute, Others: []string{"totp"}, Code: true, Digits: 6},
		challengeData{Method: "email", StepUp: true, User: sampleUser, Action: sampleAction, Sent: factors.Email, Valid: 9 * time.Minute, Code: true, Digits: 6, Held: "x"})
	for _, m := range messages {
		if m.good() {
			pages["done"] = append(pages["done"], doneData{Title: m.title(c), Text: sampleProblem(m).text(c, "Acme", sampleAction), Next: "/", Offer: string(m.Next)})
			continue
		}
		d := messageData{Code: m.Code, Title: m.title(c), Text: sampleProblem(m).text(c, "Acme", sampleAction), Next: string(m.Next), Back: "/", Login: "/login", Action: sampleAction}
		pages["message"] = append(pages["message"], d)
		if m.Code == "expired" {
			d.SignedIn = true
			pages["message"] = append(pages["message"], d)
		}
	}
	return pages
}

// sampleSteps returns the steps of enrollments, of an app and of a phone.
func sampleSteps(codes []string) (steps []any) {
	const key = "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP"
	e := twofa.Enrollment{Method: twofa.TOTP, UserName: sampleUser, Digits: 6, Key: twofa.NewSecret(key),
		URI: twofa.NewSecret("otpauth://totp/Acme:" + sampleUser + "?secret=" + strings.ReplaceAll(key, " ", "") + "&issuer=Acme")}
	for _, code := range codes {
		e.Codes = append(e.Codes, twofa.NewSecret(code))
	}
	confirmed, generated, texted, last := e, e, e, e
	confirmed.Confirmed, generated.Method, texted.Method, last.Saved = true, twofa.RecoveryCode, twofa.SMS, true
	texted.Codes, texted.Phone, texted.SentExpires = nil, "•••• 67", sampleTime.Add(5*time.Minute)
	last.Method, last.Phone, last.SentExpires = twofa.SMS, texted.Phone, texted.SentExpires
	generated.Confirmed, generated.Codes = true, e.Codes[:1]
	for _, e := range []twofa.Enrollment{e, confirmed, generated, texted, last} {
		for _, forced := range []bool{false, true} {
			d, err := enrollmentStep(e, twofa.Factors{}, forced, sampleTime)
			if err != nil {
				panic(err) // the address above fits a QR code
			}
			steps = append(steps, d)
		}
	}
	return steps
}

// sampleProblem returns a message with everything that can be known about it.
func sampleProblem(m message) problem {
	p := problem{message: m, Wait: 4 * time.Minute, Detail: "Manager: must be set, is nil", Denied: &twofa.DeniedError{MaxAge: 15 * time.Minute}, Date: sampleTime.AddDate(0, 1, 0)}
	if m.Code == "invalid_code" {
		p.Counted = true
		if m.Method != twofa.SMS { // after the last try, the page says that the method is locked
			p.Left = 2
		}
	}
	return p
}

func without(list []string, item string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == item })
}

// samplePolicies returns the states of the page "policy", filled with the policy that
// samplePreviews changes to.
func samplePolicies(c *locale.Catalog, at time.Time) (states []any) {
	_, p := sampleChange(at)
	in := policyInput{now: at, methods: []twofa.Method{twofa.TOTP, twofa.SMS, twofa.EmailLink}, links: true, actions: []string{"contacts.export", twofa.ActionPolicy}}
	texts, wrong := in.policyTexts(p), map[string]*alert{}
	for _, m := range messages {
		if m.Field != "" {
			wrong[m.Field] = &alert{Code: m.Code, Title: m.title(c), Text: sampleProblem(m).text(c, "Acme", sampleAction), Field: m.Field}
		}
	}
	wrong["rule0"] = wrong["rule"]
	for i, origin := range sampleOrigins(at) {
		d := policyData{Origin: origin, Mails: i < 2, Version: "1", Base: "{}", EnrollFirst: i%2 == 0, Requirements: in.requirementOptions(c, p, requirementOf(p)), SSO: true,
			Deadline: texts.Get("deadline"), Ends: c.DateTime(p.Deadline.UTC()), Grace: texts.Get("grace"), Remember: texts.Get("remember"),
			TurnOff: turnOffOptions(c, texts.Get("turn_off")), Weaken: weakenOptions(c, texts.Get("weaken")), ResetBy: resetByOptions(c, texts.Get("reset_by"))}
		for n, action := range in.actions {
			d.Rules = append(d.Rules, policyRule{ID: "rule" + strconv.Itoa(n), Action: action, Title: sampleTitles(c)(action), Ages: ageOptions(c, p, action, texts.Get(agePrefix+action)),
				Methods: in.methodOptions(c, p, action, texts.Get(methodsPrefix+action))})
		}
		states = append(states, d)
		d.Wrong = wrong
		states = append(states, d)
	}
	return states
}

// sampleTitles returns a function that returns the title of an action.
func sampleTitles(c *locale.Catalog) func(action string) string {
	return func(action string) string {
		if isBuiltIn(action) {
			return c.Text(builtInActions[action].title, nil)
		}
		return strings.Repeat(sampleAction, min(len(action), 1)) // "" stands for all other actions
	}
}

// sampleChange returns a change of a policy that makes it stricter in some ways and
// weaker in others.
func sampleChange(at time.Time) (before, after twofa.Policy) {
	before, after = twofa.PolicyEmailLink(), twofa.PolicyAuthenticator()
	after.Deadline, after.Grace, after.Remember = endOfDay(at.Truncate(day).AddDate(0, 1, 0)), 14*day, 30*day
	before.ExemptSSO = false
	after.Actions = map[string]twofa.ActionRule{"contacts.export": {MaxAge: 15 * time.Minute, Methods: []twofa.Method{twofa.TOTP}}}
	return before, after
}

// samplePreviews returns the states of the page "preview".
func samplePreviews(c *locale.Catalog, at time.Time) (states []any) {
	before, after := sampleChange(at)
	change := twofa.PolicyChange{Before: before, After: after}
	names := []TeamMember{{ID: "7", Name: "Ada Lovelace", Email: sampleUser}, {ID: "8", Name: "Grace Brewster Murray Hopper", Email: "grace@analytical-engines.example"}, {ID: "9", Email: "operations-of-the-northern-warehouse@analytical-engines.example"},
		{ID: "10", Name: "Katherine Johnson"}, {ID: "11", Name: "Hedy Lamarr"}, {ID: "user-0123456789"}}
	few := affected{Count: 3, First: at, Last: at, Members: names[:3], Addresses: names[0].Email + "\n" + names[1].Email}
	many := affected{Count: 6, First: at, Last: at.Add(day), Members: names}
	for i, origin := range sampleOrigins(at) {
		d := previewData{Origin: origin, Held: "x", Base: "{}", Looked: 9, Weaker: i%2 == 0, Stricter: i < 2, OwnerOnly: i%2 == 0, Mails: i < 2, Default: i > 2, Save: i > 0, Later: few}
		states = append(states, d)
		d.Differences, d.Later, d.Now, d.Other, d.Unreadable, d.After, d.Counts, d.Reason = change.Differences(c, sampleTitles(c)), many, few, few, few, "9", "9", "Most of us have an authenticator app by now"
		if d.Weaker {
			d.Weaknesses = change.Weaknesses(c, sampleTitles(c))
		}
		states = append(states, d)
	}
	return states
}

func sampleOrigins(at time.Time) []policyOrigin {
	return []policyOrigin{{By: "default"}, {By: "host", Since: at}, {By: "staff", Since: at}, {By: "user", Name: "Grace Brewster Murray Hopper", Since: at}, {By: "user", Since: at}}
}

// sampleAlerts returns an alert for each message.
func sampleAlerts(c *locale.Catalog) []*alert {
	alerts := []*alert{nil}
	for _, m := range messages {
		p := sampleProblem(m)
		alerts = append(alerts, &alert{Code: m.Code, Method: string(m.Method), Good: m.good(), Title: m.title(c), Text: p.text(c, "Acme", sampleAction), Field: m.Field, Next: string(m.Next),
			Counted: p.Counted, Left: p.Left})
	}
	return alerts
}

// teamSamples returns data for the pages of admins, with a member in each state.
func teamSamples() (team, members, resets []any) {
	d := teamData{Required: true, Link: true, Deadline: sampleTime.AddDate(0, 1, 0), Days: 14, Search: "ada", Filter: filterAttention, Later: true, Next: "/", First: "/", All: "/", CSV: "/"}
	locked := []string{"totp", "sms"}
	for i, state := range states {
		m := member{TeamMember{"7", "Ada Lovelace", sampleUser}, twofa.Status{Role: twofa.RoleOwner, State: state, CodesLeft: 1, LastLogin: sampleTime, LastProof: sampleTime.AddDate(0, 0, -3),
			Due: sampleTime.AddDate(0, 1, 0), Extended: sampleTime.AddDate(0, 1, 0), LockedUntil: sampleTime.Add(time.Hour), Lost: sampleTime.AddDate(0, 0, -1), Case: sampleTime,
			Factors: []twofa.StatusFactor{{Method: twofa.TOTP, Added: sampleTime.AddDate(0, -7, 0), Locked: true, LockedUntil: sampleTime.Add(time.Hour)}, {Method: twofa.SMS, Added: sampleTime.AddDate(0, -2, 0), Locked: true}}}, "Ada Lovelace", true, []string{"totp", "sms", "email", "sso", "other"}}
		d.Members, d.Filters = append(d.Members, m), append(d.Filters, teamFilter{string(state), "/", true})
		means := stateMeaning{string(state), "Acme"}
		d.States = append(d.States, means)
		other := member{TeamMember: TeamMember{ID: "8"}, Label: "8", Status: twofa.Status{Role: twofa.RoleAdmin, State: state}, Methods: []string{"sso"}}
		why := []string{"role", "support", "self", "none"}[i%4]
		members = append(members, memberData{Member: m, Means: means, Locked: locked, Form: []string{formExtend, formUnlock}[i%2], Until: "2026-12-01", Reason: "New phone, arrives on Monday"},
			memberData{Member: other, Means: means, Closed: "role", Locked: locked, NoUnlock: why, NoReset: why}, memberData{Member: member{TeamMember: TeamMember{ID: "9"}, Label: "9"}, Closed: "self", NoReset: "self"})
		resets = append(resets, resetData{Member: m, Admins: i%2 == 0, Reason: "Lost phone"}, resetData{Member: other, NoReset: why})
	}
	d.Filters = append(d.Filters, teamFilter{Name: filterLost}, teamFilter{Name: filterCase})
	team = append(team, d, teamData{Failed: true}, teamData{Required: true, Next: "/", Filter: "on", Checked: 1000}, teamData{Later: true}, teamData{Search: "charles babbage", Filter: "on"}, teamData{Search: "charles babbage"}, teamData{Filter: filterAttention}, teamData{Filter: "on"},
		teamData{Required: true, Deadline: sampleTime}, teamData{Filters: []teamFilter{{}, {Name: filterAttention}}})
	lost := member{TeamMember: TeamMember{ID: "10", Name: "Katherine Johnson"}, Label: "Katherine Johnson", Methods: []string{"totp"},
		Status: twofa.Status{State: twofa.StateOn, PolicyDue: sampleTime.AddDate(0, 6, 0), Factors: []twofa.StatusFactor{{Method: twofa.TOTP, Added: sampleTime.AddDate(0, -7, 0)}}}}
	due := lost
	due.Status = twofa.Status{State: twofa.StateGrace, Due: sampleTime.AddDate(0, 1, 0), PolicyDue: sampleTime.AddDate(0, 1, 0), CodesLeft: 3, Factors: lost.Factors}
	members = append(members, memberData{Member: lost, Means: stateMeaning{string(lost.State), "Acme"}, Closed: "late"}, memberData{Member: due, Means: stateMeaning{string(due.State), "Acme"}})
	return team, members, resets
}
