package twofahttp

import (
	"encoding/json"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	names "github.com/twofa-go/twofa/internal/text"
	"github.com/twofa-go/twofa/locale"
)

// sampleLog returns events with everything that a page can show of one.
func sampleLog() []twofa.Event {
	before, after := sampleChange(sampleTime)
	encode := func(v any) json.RawMessage {
		encoded, err := json.Marshal(v)
		if err != nil {
			panic(err) // a policy, a time or a number can be encoded
		}
		return encoded
	}
	admin := twofa.EventActor{Kind: "user", ID: "8", Role: "admin"}
	events := []twofa.Event{
		{Type: event.Action, User: "7", Detail: "contacts.export all", After: json.RawMessage(`{"count":1200,"failed":false}`)},
		{Type: event.Reset, User: "7", Actor: admin, Reason: "Lost the phone on the way to the northern warehouse, asked by video call"},
		{Type: event.Login, User: "7", Method: twofa.TOTP},
		{Type: event.Login, User: "former-member-0123456789", Detail: "sso"},
		{Type: event.Failed, User: "7", Method: twofa.SMS},
		{Type: event.Locked, User: "7", Method: twofa.TOTP},
		{Type: event.Policy, Actor: admin, Before: encode(before), After: encode(after), Reason: "Most of us have an authenticator app by now"},
		{Type: event.Policy, Actor: twofa.EventActor{Kind: "host"}, Before: encode(after), After: json.RawMessage("null")},
		{Type: event.Extended, User: "7", Actor: admin, After: encode(sampleTime.AddDate(0, 0, 14))},
		{Type: event.Extended, User: "7", Actor: twofa.EventActor{Kind: "staff"}, After: json.RawMessage("null")},
		{Type: event.Enrolled, User: "7", Method: twofa.TOTP, Detail: "Emergency-tablet-of-the-northern-warehouse-in-the-safe"},
		{Type: event.CodesGenerated, User: "7", Left: 10},
		{Type: event.RecoveryUsed, User: "7", Method: twofa.RecoveryCode},
		{Type: event.BrowserReplay, User: "7", Detail: names.Device("")},
		{Type: event.Action, User: "7", Detail: "contacts.export", After: json.RawMessage(`{"count":0,"failed":true}`)},
		{Type: event.AdminAct, User: "8", Actor: admin, Detail: twofa.ActionPolicy, Act: "x"},
		{Type: event.Removed, Method: twofa.SMS},
		{Type: event.Revoked, User: "7", Actor: twofa.EventActor{Kind: "user"}},
		{Type: "of_a_later_release", User: "7"},
	}
	for i := range events {
		events[i].Time = sampleTime.Add(-time.Duration(i) * 7 * time.Hour)
		if i%4 != 3 {
			events[i].IP, events[i].Agent = "2001:db8:85a3:8d3:1319:8a2e:370:7348", "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36"
		}
	}
	return events
}

// activitySamples returns the states of the pages "activity" and "history", and the
// newest events for the settings.
func activitySamples(c *locale.Catalog) (activity, history []any, recent []entry) {
	w := eventWords{c, []string{"contacts.export", twofa.ActionPolicy}, sampleTitles(c)}
	log := sampleLog()
	all := w.entries(log, map[string]string{"7": "Ada Lovelace", "8": "Grace Brewster Murray Hopper"})
	own := w.ownEntries("", log)
	types, groups := typeOptions(c, "of_a_later_release")
	d := activityData{User: sampleUser, Types: types, Groups: groups, From: "2026-11-01", To: "2026-11-30", Entries: all, Filtered: true, Later: true, Next: "/", First: "/", All: "/", CSV: "/", Lines: "/"}
	empty := activityData{Groups: groups, CSV: "/", Lines: "/"}
	none, part, failed := empty, empty, empty
	none.Filtered, part.Next, failed.Failed = true, "/", true
	elsewhere := own[0]
	elsewhere.Elsewhere, elsewhere.IP, elsewhere.Device = true, "", ""
	return []any{d, empty, none, part, failed}, []any{historyData{Entries: append([]entry{elsewhere}, own...), Later: true, Next: "/"}, historyData{}, historyData{Next: "/"}, historyData{Failed: true}}, own[:recentEvents]
}
