package twofahttp

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/eventfile"
	names "github.com/twofa-go/twofa/internal/text"
	"github.com/twofa-go/twofa/locale"
)

// entry is an event on a page.
type entry struct {
	Time      time.Time
	Type      string   // see package event
	Mark      string   // name of its icon
	What      string   // sentence
	More      []string // what else is known: the method, a name, how many
	Who       party    // who caused it
	Whom      party    // whom it is about, if that is somebody else
	IP        string
	Device    string // result of the function of package text
	Reason    string
	Elsewhere bool // whether it happened in another account of the user
}

// party is somebody on a page with events.
type party struct {
	Kind string // "user", "former", "erased", "unknown", "you", "admin", "staff", "host", "everybody", or "" for nobody
	Name string // of a user; the ID if Kind is "former"
}

// saidEntry and saidParty have the issuer, which the words about its staff contain.
type saidEntry struct {
	Entry     entry
	Who, Whom saidParty
}

type saidParty struct {
	party
	Issuer string
}

// eventWords says in one language what events are about.
type eventWords struct {
	c       *locale.Catalog
	actions []string                   // names of the actions that have a title, longest first
	title   func(action string) string // of one of them
}

// eventWords returns the words for the request.
func (x *exchange) eventWords() eventWords {
	actions := slices.AppendSeq(slices.Collect(maps.Keys(x.cfg.Actions)), maps.Keys(builtInActions))
	slices.SortFunc(actions, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }) // one name can begin with another
	return eventWords{x.locale(), actions, x.actionTitle}
}

// entries returns the events for a page of an admin. What an admin does is two
// events of one act. They are shown as one, with the address of the first.
func (w eventWords) entries(events []twofa.Event, known map[string]string) (list []entry) {
	acts := map[string]twofa.Event{}
	for _, e := range events {
		if e.Type == event.AdminAct {
			acts[e.Act] = e
		}
	}
	told := map[string]bool{}
	for _, e := range events {
		told[e.Act] = told[e.Act] || e.Type != event.AdminAct
	}
	for _, e := range events {
		act, isPart := acts[e.Act]
		switch {
		case e.Act == "" || !isPart:
		case e.Type != event.AdminAct && e.IP == "" && e.Agent == "":
			e.IP, e.Agent = act.IP, act.Agent
		case e.Type == event.AdminAct && told[e.Act]:
			continue
		}
		en := w.entry(e)
		en.Who, en.Whom = parties(e, known)
		list = append(list, en)
	}
	return list
}

// entry returns what can be said about an event without knowing who reads it.
func (w eventWords) entry(e twofa.Event) entry {
	en := entry{Time: e.Time, Type: e.Type, Mark: markOf(e), IP: names.Clean(e.IP, maxCellText), Reason: names.Clean(e.Reason, maxCellText)}
	if e.Agent != "" {
		en.Device = names.Device(e.Agent)
	}
	en.What, en.More = w.describe(e)
	return en
}

const maxCellText = 500 // bytes of a text of an event

// byAnybody are the types of events that somebody else than the user can cause who
// has only the password, or a copy of a cookie.
var byAnybody = map[string]bool{event.Failed: true, event.Reused: true, event.Locked: true, event.Disabled: true, event.BrowserReplay: true}

// ofAccount are the types of events that are about no user.
var ofAccount = map[string]bool{event.Policy: true, event.Summarized: true}

// parties returns who caused an event, and whom else it is about.
func parties(e twofa.Event, known map[string]string) (who, whom party) {
	user := func(id string) party {
		name, member := known[id]
		switch {
		case id == "":
			return party{Kind: "erased"}
		case !member:
			return party{"former", names.Clean(id, maxTeamName)}
		case name == "":
			name = names.Clean(id, maxTeamName)
		}
		return party{"user", name}
	}
	whom = user(e.User)
	if ofAccount[e.Type] {
		whom = party{Kind: "everybody"}
	}
	switch {
	case e.Actor.Kind == "user":
		who = user(e.Actor.ID)
	case e.Actor.Kind != "":
		who = party{Kind: e.Actor.Kind}
	case byAnybody[e.Type]:
		who = party{Kind: "unknown"}
	default:
		who = whom
	}
	byUser := e.Actor.Kind == "" && !byAnybody[e.Type]
	if byUser || e.Actor.Kind == "user" && e.Actor.ID == e.User && e.User != "" {
		whom = party{}
	}
	return who, whom
}

// markOf returns the icon of an event.
func markOf(e twofa.Event) string {
	if r, ok := eventfile.ResultOf(e); ok && r.Failed {
		return "warn"
	}
	switch e.Type {
	case event.Login, event.Action, event.ActionUsed, event.StepUp, event.AdminAct, event.Unlocked, event.ResetConfirmed:
		return "good"
	case event.Failed, event.Reused, event.Locked, event.Disabled, event.BrowserReplay, event.TurnedOff, event.Reset, event.ResetRequested, event.ResetApproved, event.Lost, event.LostCleared, event.Removed, event.Credentials:
		return "warn"
	case event.BrowserTrusted, event.BrowserRevoked:
		return "browser"
	case event.CodesGenerated, event.CodesViewed, event.RecoveryUsed:
		return "recovery"
	case event.Revoked:
		return "out"
	}
	if e.Method != "" {
		return string(e.Method)
	}
	return "shield"
}

// describe returns the sentence about an event, and what else is known. The
// sentence about a type that this release does not know is the type itself.
func (w eventWords) describe(e twofa.Event) (what string, more []string) {
	c, id := w.c, "event."+e.Type
	if !c.Has(id) {
		return names.Clean(e.Type, maxCellText), nil
	}
	args := locale.Args{}
	add := func(text string) {
		if text = names.Clean(text, maxCellText); text != "" {
			more = append(more, text)
		}
	}
	switch e.Type {
	case event.Login:
		for _, way := range []string{string(e.Method), e.Detail} {
			if way != "" && c.Has(id+"."+way) {
				return c.Text(id+"."+way, nil), nil
			}
		}
		return c.Text(id, nil), nil
	case event.Action, event.ActionUsed, event.StepUp, event.AdminAct:
		title, rest := w.splitAction(e.Detail)
		if title != "" {
			id, args["action"] = id+".named", title
		}
		if r, ok := eventfile.ResultOf(e); ok {
			if r.Failed && title != "" {
				id = "event.action.failed"
			}
			if r.Count > 0 {
				add(c.Text("event.number", locale.Args{"number": strconv.Itoa(r.Count)}))
			}
		}
		add(rest)
	case event.Policy:
		if string(e.After) == "null" {
			return c.Text("event.policy.default", nil), nil
		}
		more = w.policyDifferences(e)
	case event.Extended, event.Reminded:
		switch at, ok := timeOf(e.After); {
		case ok:
			add(c.Text("event.until", locale.Args{"date": c.Date(at)}))
		case e.Type == event.Extended:
			id = "event.extended.ended"
		}
	default:
		for _, text := range w.details(e) {
			add(text)
		}
	}
	return c.Text(id, args), more
}

// details returns the method of an event, a name and how many codes are left.
func (w eventWords) details(e twofa.Event) (list []string) {
	c := w.c
	if method := "method." + string(e.Method); e.Method != "" && e.Type != event.RecoveryUsed && c.Has(method) {
		list = append(list, upperFirst(c.Text(method, nil)))
	}
	switch e.Type {
	case event.Enrolled, event.Imported, event.Replaced, event.Renamed, event.Removed:
		if e.Detail != locale.English().Text("factor."+string(e.Method), nil) { // otherwise the user has given no name
			list = append(list, e.Detail)
		}
	case event.BrowserTrusted, event.BrowserReplay:
		list = append(list, names.DeviceIn(c, e.Detail))
	case event.Sent:
		list = append(list, strings.TrimPrefix(e.Detail, "to confirm "))
	case event.CodesGenerated, event.RecoveryUsed:
		id := "page.member.codes"
		if e.Left == 0 {
			id = "page.member.codes.none"
		}
		list = append(list, c.Text(id, locale.Args{"count": e.Left}))
	}
	return list
}

// upperFirst returns a text that stands alone. The names of methods are parts of
// sentences.
func upperFirst(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[size:]
}

// splitAction returns the title of the action in the detail of an event, and the
// rest. An action that this server does not know has no title.
func (w eventWords) splitAction(detail string) (title, rest string) {
	for _, name := range w.actions {
		if rest, ok := strings.CutPrefix(detail, name); ok && (rest == "" || rest[0] == ' ' || rest[0] == ':') {
			if title := w.title(name); title != "" {
				return title, strings.TrimLeft(rest, ": ")
			}
		}
	}
	return "", detail
}

// policyDifferences returns the fields that a change of the policy has changed.
func (w eventWords) policyDifferences(e twofa.Event) (list []string) {
	var change twofa.PolicyChange
	if string(e.Before) == "null" || json.Unmarshal(e.Before, &change.Before) != nil || json.Unmarshal(e.After, &change.After) != nil {
		return nil // the first policy of the account, or one of a later release
	}
	for _, d := range change.Differences(w.c, w.title) {
		list = append(list, w.c.Text("notice.policy.field", locale.Args{"title": d.Title, "before": d.Before, "after": d.After}))
	}
	return list
}

// timeOf returns a time of an event, and whether there is one.
func timeOf(encoded json.RawMessage) (time.Time, bool) {
	var at time.Time
	err := json.Unmarshal(encoded, &at)
	return at.UTC(), err == nil && !at.IsZero()
}
