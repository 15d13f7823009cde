package twofahttp

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	names "github.com/twofa-go/twofa/internal/text"
	"github.com/twofa-go/twofa/locale"
)

// activityView is the part of the activity that a request is for.
type activityView struct {
	user, actor person
	kind        string // name of a group, or a type; empty for all
	from, to    string // days as in the fields
	after       string // cursor

	since, until time.Time
}

// person is a user whom a filter names.
type person struct {
	text string // as in the field: a name, an address or an ID
	id   string // the user's ID, which addresses contain; until it is known, the same as text
}

// query returns the query of the filters.
func (v activityView) query() twofa.EventQuery {
	q := twofa.EventQuery{User: v.user.id, Actor: v.actor.id, Since: v.since, Until: v.until}
	switch types := typesOf(v.kind); {
	case types != nil:
		q.Types = types
	case v.kind != "":
		q.Types = []string{v.kind}
	}
	return q
}

func (v activityView) isFiltered() bool {
	return v.user.text+v.actor.text+v.kind+v.from+v.to != ""
}

// activityView returns what the query of the request asks for. An error is about one
// of its fields, or about the list of members.
func (x *exchange) activityView() (v activityView, err error) {
	q := x.r.URL.Query()
	field := func(name string) string { return names.Clean(q.Get(name), maxSearch) }
	v = activityView{user: person{field("user"), field("user")}, actor: person{field("actor"), field("actor")}, from: field("from"), to: field("to"), after: q.Get("after")}
	if kind := q.Get("type"); typeName.MatchString(kind) {
		v.kind = kind
	}
	if v.since, err = parseDay(v.from, &httpError{code: "invalid_from"}); err != nil {
		return v, err
	}
	last, err := parseDay(v.to, &httpError{code: "invalid_to"})
	if err != nil {
		return v, err
	}
	if v.to != "" {
		v.until = last.Add(day)
		if !v.until.After(v.since) {
			return v, &httpError{code: "invalid_to"}
		}
	}
	if v.user, err = x.findPerson(v.user, &httpError{code: "several_users"}); err != nil {
		return v, err
	}
	v.actor, err = x.findPerson(v.actor, &httpError{code: "several_actors"})
	return v, err
}

// typeName matches the types of events, also those of a later release.
var typeName = regexp.MustCompile(`^[a-z][a-z0-9_.]{0,63}$`)

// parseDay returns the beginning of a day in UTC, or the error if it is none.
func parseDay(text string, bad error) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, bad
	}
	return t, nil
}

// findPerson finds the user whom an admin has named in a field. A text that fits no
// member is the ID of a user who has left. If it fits several, the result is the error.
func (x *exchange) findPerson(p person, several error) (person, error) {
	if p.text == "" {
		return p, nil
	}
	if names.ValidateID("user", p.text) == nil {
		page, err := x.listMembers(TeamQuery{ID: p.text, Limit: 1})
		if err != nil {
			return p, err
		}
		for _, m := range page.Members {
			if m.ID == p.text {
				return person{cmp.Or(m.Email, m.Name, m.ID), m.ID}, nil
			}
		}
	}
	page, err := x.listMembers(TeamQuery{Search: p.text, Limit: maxNamesakes})
	if err != nil {
		return p, err
	}
	found := page.Members
	if exact := slices.DeleteFunc(slices.Clone(found), func(m TeamMember) bool { return !m.isCalled(p.text) }); len(exact) > 0 {
		found, page.Next = exact, ""
	}
	switch {
	case len(found) > 1 || page.Next != "":
		return p, several
	case len(found) == 1:
		return person{p.text, found[0].ID}, nil
	}
	return p, nil
}

// maxNamesakes is how many members a name is compared with.
const maxNamesakes = 100

// isCalled reports whether a text is the whole name or address of a member.
func (m TeamMember) isCalled(text string) bool {
	return slices.Contains([]string{strings.ToLower(m.Name), strings.ToLower(m.Email)}, strings.ToLower(text))
}

// eventGroups are the types of events, as the filter offers them.
var eventGroups = []struct {
	name, label string // label is the ID of its text
	types       []string
}{
	{"signin", "page.activity.group.signin", []string{event.Login, event.Failed, event.Reused, event.Locked, event.Disabled, event.Unlocked, event.Sent, event.Revoked, event.Credentials}},
	{"methods", "page.activity.group.methods", []string{event.EnrollmentStarted, event.Enrolled, event.Imported, event.Replaced, event.Renamed, event.Removed, event.TurnedOff, event.PhoneAssigned, event.Lost, event.LostCleared}},
	{"codes", "page.activity.group.codes", []string{event.CodesGenerated, event.CodesViewed, event.RecoveryUsed}},
	{"browsers", "page.activity.group.browsers", []string{event.BrowserTrusted, event.BrowserRevoked, event.BrowserReplay}},
	{"actions", "page.activity.group.actions", []string{event.Action, event.ActionUsed, event.StepUp}},
	{"admins", "page.activity.group.admins", []string{event.Policy, event.AdminAct, event.Extended, event.Reminded, event.Summarized, event.MemberRemoved}},
	{"resets", "page.activity.group.resets", []string{event.Reset, event.ResetRequested, event.ResetApproved, event.ResetConfirmed, event.ResetCanceled, event.Erased}},
}

// typesOf returns the types of a group, or nil if there is no such group.
func typesOf(group string) []string {
	for _, g := range eventGroups {
		if g.name == group {
			return g.types
		}
	}
	return nil
}

// typeOptions returns the choices of the filter. One that this release does not know
// is offered as long as it is chosen.
func typeOptions(c *locale.Catalog, chosen string) (single []option, groups []optionGroup) {
	known := chosen == ""
	single = []option{{Label: c.Text("page.activity.type.all", nil), Selected: chosen == ""}}
	add := func(to []option, value, label string) []option {
		known = known || value == chosen
		return append(to, option{Value: value, Label: label, Selected: value == chosen})
	}
	for _, g := range eventGroups {
		group := optionGroup{Label: c.Text(g.label, nil)}
		group.Options = add(nil, g.name, c.Text("page.activity.group.all", locale.Args{"group": group.Label}))
		for _, t := range g.types {
			group.Options = add(group.Options, t, c.Text("event."+t, nil))
		}
		groups = append(groups, group)
	}
	if !known {
		single = add(single, chosen, chosen)
	}
	return single, groups
}
