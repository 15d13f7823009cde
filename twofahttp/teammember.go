package twofahttp

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"time"

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

// IsLost reports whether the member reported a lost device.
func (m member) IsLost() bool { return !m.Lost.IsZero() }

// HasCase reports whether support was asked to reset the member.
func (m member) HasCase() bool { return !m.Case.IsZero() }

// locked returns the methods that can be unlocked. Another one that is locked must
// be enrolled again.
func (m member) locked() (methods []string) {
	for _, f := range m.Factors {
		if method := string(f.Method); f.Locked && !f.LockedUntil.IsZero() && !slices.Contains(methods, method) {
			methods = append(methods, method)
		}
	}
	return methods
}

// memberData is the data of the page "member".
type memberData struct {
	Member   member
	Means    stateMeaning // state of the member
	Closed   string       // why the admin cannot give more time: "self", "role", "late" because the policy gives more than can be given, or, if they can, ""
	From     string       // first date that can be given
	To       string       // last date that can be given
	Locked   []string     // methods that can be unlocked: "totp" or "sms"
	NoUnlock string       // why the admin cannot unlock them: "self", "role", "support" or, if they can, ""
	NoReset  string       // why the admin cannot reset the member: "self", "role", "support", "none" or, if they can, ""
	Form     string       // form that has failed: formExtend or formUnlock; empty otherwise
	Until    string       // date in a form that has failed
	Reason   string       // reason in a form that has failed
}

// Forms of the page "member".
const (
	formExtend = "extend"
	formUnlock = "unlock"
)

// getMember shows one member.
func (x *exchange) getMember() (view, error) {
	v, err := x.showMember(x.r.URL.Query().Get("id"), "", nil)
	if err == nil {
		v.alert = x.takeNotice()
	}
	return v, err
}

// showMember shows the page of a member. failed is the reason why it is shown
// again after one of its forms, or nil.
func (x *exchange) showMember(id, form string, failed error) (view, error) {
	m, own, err := x.oneMember(id)
	if err != nil {
		return view{}, err
	}
	now := x.cfg.Now().UTC()
	first, last := firstDate(m.Status, now), lastDate(now)
	d := memberData{Member: m, Means: stateMeaning{string(m.State), x.cfg.Issuer}, From: first.Format(time.DateOnly), To: last.Format(time.DateOnly), Form: form, Until: x.form.Get("until"), Reason: x.form.Get("reason")}
	switch {
	case m.You:
		d.Closed = "self"
	case !own.Role.Above(m.Role):
		d.Closed = "role"
	case first.After(last):
		d.Closed = "late"
	}
	if d.NoReset, err = x.whyNoReset(m); err != nil {
		return view{}, err
	}
	if d.Locked = m.locked(); len(d.Locked) > 0 {
		if d.NoUnlock, err = whyNot(x.team("").PeekUnlock(x.ctx(), id), m); err != nil {
			return view{}, err
		}
	}
	return view{page: "member", data: d, err: failed}, nil
}

// oneMember returns a member, and where the admin stands.
func (x *exchange) oneMember(id string) (m member, own twofa.Status, err error) {
	if names.ValidateID("user", id) != nil {
		return member{}, own, twofa.ErrNotEnrolled
	}
	_, you := x.identify()
	statuses, err := x.team("").Statuses(x.ctx(), id, you.User)
	if err != nil {
		return member{}, own, err
	}
	status, ok := statusOf(statuses, id)
	if !ok {
		return member{}, own, twofa.ErrNotEnrolled
	}
	listed, err := x.listMembers(TeamQuery{ID: id, Limit: 1})
	if err != nil {
		return member{}, own, err
	}
	named := TeamMember{ID: id}
	if i := slices.IndexFunc(listed.Members, func(m TeamMember) bool { return m.ID == id }); i >= 0 {
		named = listed.Members[i]
	}
	own, _ = statusOf(statuses, you.User)
	return newMember(named, status, you.User), own, nil
}

func statusOf(statuses []twofa.Status, id string) (twofa.Status, bool) {
	i := slices.IndexFunc(statuses, func(s twofa.Status) bool { return s.User == id })
	if i < 0 {
		return twofa.Status{}, false
	}
	return statuses[i], true
}

// memberURL returns the address of a page that is about a member.
func (x *exchange) memberURL(page, id string) string {
	return x.path(page) + "?" + url.Values{"id": {id}}.Encode()
}

// whyNot returns why an act on a member is impossible, for the page that would have
// its button. Nobody in the account has a higher role than an owner, so that only
// support can help one.
func whyNot(err error, m member) (string, error) {
	denied, ok := errors.AsType[*twofa.DeniedError](err)
	if !ok {
		return "", err
	}
	switch denied.Reason {
	case twofa.ReasonSelf:
		return "self", nil
	case twofa.ReasonSupport:
		return "support", nil
	case twofa.ReasonRole:
		if m.Role == twofa.RoleOwner {
			return "support", nil
		}
		return "role", nil
	}
	return "", err
}

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
	filterLost      = "lost" // members who reported a lost device
	filterCase      = "case" // members whom support was asked to reset
)

// isIn reports whether a filter of the list keeps the member.
func (m member) isIn(filter string) bool {
	switch filter {
	case filterAll:
		return true
	case filterAttention:
		return slices.Contains(needsAttention, m.State) || m.IsLost() || m.HasCase()
	case filterLost:
		return m.IsLost()
	case filterCase:
		return m.HasCase()
	}
	return string(m.State) == filter
}

// states are all states, in the order in which the page offers them as filters.
var states = []twofa.State{twofa.StateOverdue, twofa.StateGrace, twofa.StateWeak, twofa.StateOn, twofa.StateSSO, twofa.StateOff, twofa.StateLocked, twofa.StateUnreadable, twofa.StateUnknown}

// belowAttention are the filters that the page offers only to those who look at
// filterAttention.
var belowAttention = []string{filterLost, filterCase}

// isFilter reports whether the list has a filter.
func isFilter(name string) bool {
	return name == filterAll || name == filterAttention || slices.Contains(belowAttention, name) || slices.Contains(states, twofa.State(name))
}

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
	if slices.Contains(belowAttention, current) || current == filterAttention {
		filters = append(filters, belowAttention...)
	}
	return filters
}
