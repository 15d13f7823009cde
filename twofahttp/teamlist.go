package twofahttp

import (
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/twofa-go/twofa"
	names "github.com/twofa-go/twofa/internal/text"
)

const (
	teamPageSize = 100  // members on a page
	maxTeamParts = 10   // parts of teamPageSize that a filter looks through in one request
	teamBatch    = 1000 // members at once where no page shows them; the limit of Account.Statuses
	maxSearch    = 200
)

// teamData is the data of the page "team".
type teamData struct {
	Required bool      // whether the policy requires a factor, now or from Deadline on
	Link     bool      // whether an email link is enough
	Deadline time.Time // from when the policy requires a factor; zero if it does so already
	Days     int       // days that new members have

	Search  string
	Filter  string // "", "attention", "lost", "case" or a state
	Filters []teamFilter
	Members []member
	States  []stateMeaning // states that the page explains: those that the filters offer, and those of Members
	Checked int            // members that the filter has looked through
	Later   bool           // whether the page is not the first one
	Next    string         // address of the next page; empty if there is none
	First   string         // address of the first page
	All     string         // address of the list without search and filter
	Counts  string         // address of the counts
	CSV     string         // address of the download
	Failed  bool           // whether the list could not be read
}

// teamFilter is a link that filters the list.
type teamFilter struct {
	Name    string // "", "attention", "lost", "case" or a state
	URL     string
	Current bool
}

// teamView is the part of the list that a request is for.
type teamView struct{ search, filter, after string }

// teamView returns what the query of the request asks for. An unknown filter
// keeps everybody.
func (x *exchange) teamView() teamView {
	q := x.r.URL.Query()
	v := teamView{names.Clean(q.Get("q"), maxSearch), q.Get("state"), q.Get("after")}
	if !isFilter(v.filter) {
		v.filter = filterAll
	}
	return v
}

// teamURL returns the address of a page that is about a part of the list.
func (x *exchange) teamURL(page string, v teamView) string {
	q := url.Values{}
	for name, value := range map[string]string{"q": v.search, "state": v.filter, "after": v.after} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(q) == 0 {
		return x.path(page)
	}
	return x.path(page) + "?" + q.Encode()
}

// getTeam shows a page of the list.
func (x *exchange) getTeam() (view, error) {
	v := x.teamView()
	part, err := x.readPage(v)
	d := x.newTeamData(v)
	if errors.Is(err, errTeam) {
		d.Failed = true
		return view{page: "team", data: d, err: err}, nil
	}
	if err != nil {
		return view{}, err
	}
	d.Members, d.Checked = part.members, part.checked
	d.States = d.explained(x.cfg.Issuer)
	if part.next != "" {
		d.Next = x.teamURL("team", teamView{v.search, v.filter, part.next})
	}
	return view{page: "team", data: d}, nil
}

// newTeamData returns everything on the page except the members.
func (x *exchange) newTeamData(v teamView) teamData {
	p, now := x.policyInfo.Policy, x.cfg.Now()
	d := teamData{Required: p.Required, Link: slices.Contains(p.Methods, twofa.EmailLink), Days: int((p.Grace + 24*time.Hour - 1) / (24 * time.Hour)),
		Search: v.search, Filter: v.filter, Later: v.after != "", First: x.teamURL("team", teamView{v.search, v.filter, ""}), All: x.path("team"),
		Counts: x.path("team/counts") + "?" + url.Values{"q": {v.search}}.Encode(), CSV: x.teamURL("team.csv", teamView{v.search, v.filter, ""})}
	if p.Deadline.After(now) {
		d.Deadline = p.Deadline
	}
	for _, name := range filtersOf(p, v.filter) {
		d.Filters = append(d.Filters, teamFilter{name, x.teamURL("team", teamView{v.search, name, ""}), name == v.filter})
	}
	return d
}

// stateMeaning is a state that a page explains.
type stateMeaning struct{ State, Issuer string }

// explained returns the states that can be on the page, in the order of states.
func (d teamData) explained(issuer string) (list []stateMeaning) {
	for _, state := range states {
		offered := slices.ContainsFunc(d.Filters, func(f teamFilter) bool { return f.Name == string(state) })
		if offered || slices.ContainsFunc(d.Members, func(m member) bool { return m.State == state }) {
			list = append(list, stateMeaning{string(state), issuer})
		}
	}
	return list
}

// teamPart is a part of the list, after its filter.
type teamPart struct {
	members []member
	checked int    // members that the filter has looked through
	next    string // cursor of the host; empty at the end
}

// readPage reads a page of the list. With a filter, it reads parts until it has
// found enough, and at most maxTeamParts of them, so a page may be empty although
// others follow.
func (x *exchange) readPage(v teamView) (page teamPart, err error) {
	page.next = v.after
	for range maxTeamParts {
		part, err := x.readPart(teamView{v.search, v.filter, page.next}, teamPageSize)
		if err != nil {
			return teamPart{}, err
		}
		page.members, page.checked, page.next = append(page.members, part.members...), page.checked+part.checked, part.next
		if v.filter == filterAll || page.next == "" || len(page.members) >= teamPageSize {
			break
		}
	}
	return page, nil
}

// readPart reads one part of the host's list.
func (x *exchange) readPart(v teamView, limit int) (teamPart, error) {
	listed, err := x.listMembers(TeamQuery{Search: v.search, After: v.after, Limit: limit})
	if err != nil {
		return teamPart{}, err
	}
	members, err := x.standing(listed.Members)
	if err != nil {
		return teamPart{}, err
	}
	return teamPart{slices.DeleteFunc(members, func(m member) bool { return !m.isIn(v.filter) }), len(listed.Members), listed.Next}, nil
}

// teamCounts is how many members of a part of the list each filter keeps.
type teamCounts struct {
	Counts map[string]int `json:"counts"` // by filter; "all" for everybody
	Next   string         `json:"next,omitempty"`
}

// getTeamCounts counts a part of the list. The script of the page adds the parts
// up.
func (x *exchange) getTeamCounts() (view, error) {
	v := x.teamView()
	part, err := x.readPart(teamView{v.search, filterAll, v.after}, teamBatch)
	if err != nil {
		return view{}, err
	}
	counts := map[string]int{"all": len(part.members)}
	filters := append([]string{filterAttention}, belowAttention...)
	for _, state := range states {
		filters = append(filters, string(state))
	}
	for _, filter := range filters {
		counts[filter] = 0
		for _, m := range part.members {
			if m.isIn(filter) {
				counts[filter]++
			}
		}
	}
	return view{data: teamCounts{counts, part.next}}, nil
}
