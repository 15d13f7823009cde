package twofahttp

import (
	"errors"
	"fmt"

	"github.com/twofa-go/twofa"
	names "github.com/twofa-go/twofa/internal/text"
)

// TeamQuery asks the host for a part of the list of an account's members.
type TeamQuery struct {
	Account string // ID of the account
	ID      string // ID of the only member that is wanted; empty for the list
	Search  string // text that names or email addresses must contain; empty if all members are wanted
	After   string // TeamPage.Next of the part before; empty for the first part. It comes back from the browser, so it can be any text
	Limit   int    // largest number of members to return
}

// TeamPage is a part of the list of an account's members.
type TeamPage struct {
	Members []TeamMember // in the host's order
	Next    string       // where the next part begins, in a form that only the host needs to understand; empty if there is none
}

// TeamMember is a member as the host's list names them.
type TeamMember struct {
	ID    string // ID of the user, as in [twofa.User]
	Name  string // name for the list; may be empty
	Email string // address for the list; may be empty
}

// team returns the account of the request as its admins act on it. The pages of
// the team need [Config.Team].
func (x *exchange) team(reason string) *twofa.Account {
	c := x.caller()
	return x.m.Account(twofa.AsUser(c, reason), c.Account)
}

// asAdmin returns a handler that answers only admins and owners of the account.
// The directory is asked for their role. Everybody else is refused before the
// host's list is read.
func asAdmin(handle handler) handler {
	return func(x *exchange) (view, error) {
		c := x.caller()
		if err := x.m.Check(x.ctx(), c); err != nil {
			return view{}, err
		}
		if c.Account == "" { // of a host without accounts, or before the user has chosen one
			return view{}, errNotFound
		}
		info, err := x.team("").Policy(x.ctx())
		if err != nil {
			return view{}, err
		}
		if x.form.Has("account") && x.form.Get("account") != c.Account {
			return view{}, errFormToken // the user has changed to another account in another tab
		}
		x.policyInfo, x.adminOf = info, c.Account
		return handle(x)
	}
}

const (
	maxTeamName  = 200
	maxTeamEmail = 254 // of an address (RFC 5321)
	maxCursor    = 2000
)

// listMembers returns a part of the host's list. Names are safe to show, and
// nobody is listed twice.
func (x *exchange) listMembers(q TeamQuery) (TeamPage, error) {
	if len(q.After) > maxCursor {
		return TeamPage{}, errNotFound
	}
	q.Account = x.caller().Account
	page, err := x.cfg.Team(x.ctx(), q)
	switch {
	case err != nil:
	case len(page.Members) > q.Limit:
		err = fmt.Errorf("returned %d members, more than TeamQuery.Limit, which is %d", len(page.Members), q.Limit)
	case len(page.Next) > maxCursor:
		err = fmt.Errorf("returned a TeamPage.Next of %d bytes, more than %d", len(page.Next), maxCursor)
	case page.Next != "" && page.Next == q.After:
		err = errors.New("returned a TeamPage.Next equal to TeamQuery.After, so the list would never end")
	}
	if err != nil {
		return TeamPage{}, fmt.Errorf("%w: Config.Team: %v", errTeam, err) // an error of the host has no meaning here
	}
	listed := map[string]bool{}
	members := make([]TeamMember, 0, len(page.Members))
	for _, m := range page.Members {
		if names.ValidateID("user", m.ID) != nil || listed[m.ID] {
			continue
		}
		listed[m.ID] = true
		members = append(members, TeamMember{m.ID, names.Clean(m.Name, maxTeamName), names.Clean(m.Email, maxTeamEmail)})
	}
	page.Members = members
	return page, nil
}
