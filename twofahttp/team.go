package twofahttp

import "github.com/twofa-go/twofa"

// TeamQuery asks the host for a part of the list of an account's members.
type TeamQuery struct {
	Account string // ID of the account
	Search  string // text that names or email addresses must contain; empty if all members are wanted
	After   string // TeamPage.Next of the part before; empty for the first part
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
