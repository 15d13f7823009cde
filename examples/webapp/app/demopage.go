package app

import (
	"cmp"
	"context"

	"github.com/twofa-go/twofa"
)

// demoTeam is one account on the login page in demo mode.
type demoTeam struct {
	DemoAccount
	People []demoMember
}

type demoMember struct {
	member
	Phone   string // see DemoPerson
	FirstIn string // name of the account that the user enters first, if it is another one
}

// demoTeams returns the demo accounts with those of their demo users who are
// still members, as they are now, because visitors change policies and members.
func (a *App) demoTeams(ctx context.Context) ([]demoTeam, error) {
	all, err := a.db.members(ctx, `ORDER BY m.since, a.id`) // in the order in which a user enters them
	if err != nil {
		return nil, err
	}
	found, first := map[[2]string]demoMember{}, map[string]string{}
	for _, m := range all {
		found[[2]string{m.Account.ID, m.Email}] = demoMember{member: m, FirstIn: first[m.Email]}
		first[m.Email] = cmp.Or(first[m.Email], m.Account.Name)
	}
	var teams []demoTeam
	for _, acc := range DemoAccounts() {
		info, err := a.twofa.Account(twofa.AsHost("login page of the demo"), acc.ID).Policy(ctx)
		if err != nil {
			return nil, err
		}
		if acc.policy().String() != info.Policy.String() {
			acc.Says, acc.First = "An admin has changed the policy of this account.", ""
		}
		team := demoTeam{DemoAccount: acc}
		for _, p := range DemoPeople() {
			if m, ok := found[[2]string{acc.ID, p.Email}]; ok && p.Account == acc.ID {
				m.Phone = p.Phone
				team.People = append(team.People, m)
			}
		}
		teams = append(teams, team)
	}
	return teams, nil
}
