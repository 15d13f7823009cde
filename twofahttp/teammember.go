package twofahttp

import (
	"cmp"
	"slices"

	"github.com/twofa-go/twofa"
	names "github.com/twofa-go/twofa/internal/text"
)

// member is a member on the pages of admins: as the host's list names them, and
// where they stand.
type member struct {
	TeamMember
	twofa.Status
	Label   string   // name, or else the address or ID; never empty
	You     bool     // whether it is the admin who looks
	Methods []string // methods that the member is asked for: "totp", "sms", "email" or "sso"
}

// HasDue reports whether it is known from when the member must have enrolled.
func (m member) HasDue() bool { return !m.Due.IsZero() }

// MustNow reports whether the member must enroll at the next request.
func (m member) MustNow() bool { return m.State == twofa.StateOverdue }

// standing returns where listed members stand, in the host's order. A member
// whom the directory does not confirm is left out.
func (x *exchange) standing(listed []TeamMember) ([]member, error) {
	if len(listed) == 0 {
		return nil, nil
	}
	ids, byID := make([]string, len(listed)), make(map[string]TeamMember, len(listed))
	for i, m := range listed {
		ids[i], byID[m.ID] = m.ID, m
	}
	statuses, err := x.team("").Statuses(x.ctx(), ids...)
	if err != nil {
		return nil, err
	}
	if len(statuses) == 0 {
		x.cfg.Logger.WarnContext(x.ctx(), "twofahttp: Config.Team listed members, but Config.Directory of the Manager confirms none of them as members of the account; compare their IDs", "listed", len(listed))
	}
	_, you := x.identify()
	members := make([]member, len(statuses))
	for i, status := range statuses {
		members[i] = newMember(byID[status.User], status, you.User)
	}
	return members, nil
}

func newMember(m TeamMember, status twofa.Status, you string) member {
	return member{TeamMember: m, Status: status, Label: cmp.Or(m.Name, m.Email, names.Clean(m.ID, maxTeamName)), You: m.ID == you, Methods: methodsOf(status)}
}

// methodsOf returns each method of a member once. Without a factor, the member is
// asked for an email link, or is exempt because of the identity provider.
func methodsOf(status twofa.Status) (methods []string) {
	for _, f := range status.Factors {
		if m := string(f.Method); !slices.Contains(methods, m) {
			methods = append(methods, m)
		}
	}
	switch {
	case len(methods) > 0:
	case status.State == twofa.StateWeak:
		methods = []string{string(twofa.EmailLink)}
	case status.State == twofa.StateSSO:
		methods = []string{"sso"}
	}
	return methods
}

// needsAttention lists the states in which an admin should do something.
var needsAttention = []twofa.State{twofa.StateOverdue, twofa.StateGrace, twofa.StateWeak, twofa.StateLocked, twofa.StateUnreadable, twofa.StateUnknown}

// Filters of the list that are not states.
const (
	filterAll       = ""
	filterAttention = "attention"
)

// isIn reports whether a filter of the list keeps the member.
func (m member) isIn(filter string) bool {
	switch filter {
	case filterAll:
		return true
	case filterAttention:
		return slices.Contains(needsAttention, m.State)
	}
	return string(m.State) == filter
}

// states are all states, in the order in which the page offers them as filters.
var states = []twofa.State{twofa.StateOverdue, twofa.StateGrace, twofa.StateWeak, twofa.StateOn, twofa.StateSSO, twofa.StateOff, twofa.StateLocked, twofa.StateUnreadable, twofa.StateUnknown}

// filtersOf returns the filters that the page offers: those that the policy can
// lead to, and the one in use. States that only a fault leads to are part of
// filterAttention.
func filtersOf(p twofa.Policy, current string) []string {
	filters := []string{filterAll, filterAttention}
	for _, state := range states {
		possible := true
		switch state {
		case twofa.StateOverdue, twofa.StateGrace:
			possible = p.Required
		case twofa.StateOff:
			possible = !p.Required
		case twofa.StateSSO:
			possible = p.ExemptSSO
		case twofa.StateUnreadable, twofa.StateUnknown:
			possible = false
		}
		if possible || string(state) == current {
			filters = append(filters, string(state))
		}
	}
	return filters
}
