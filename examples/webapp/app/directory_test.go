package app_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
	"github.com/twofa-go/twofa/internal/engines"
	"github.com/twofa-go/twofa/twofahttp"
)

// The directory tells package twofa roles, times and all accounts of a user.
func TestDirectory(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.app.Directory()
	users, err := d.Users(t.Context())
	require.NoError(t, err)
	require.Empty(t, users)
	users, err = d.Users(t.Context(), "nobody", "finn", "ada", "x' OR '1'='1")
	require.NoError(t, err)
	require.Len(t, users, 2, "users who do not exist are left out")
	byID := map[string]twofa.User{}
	for _, u := range users {
		byID[u.ID] = u
	}
	require.Equal(t, twofa.RoleOwner, byID["ada"].Members[0].Role)
	require.Equal(t, []string{ada}, byID["ada"].Emails)
	accounts := []string{}
	for _, m := range byID["finn"].Members {
		require.Equal(t, twofa.RoleMember, m.Role)
		require.WithinDuration(t, s.clock(), m.Since, time.Hour)
		accounts = append(accounts, m.Account)
	}
	require.Equal(t, []string{"meadow", "summit"}, accounts)

	lister := d.(twofa.AdminLister)
	admins, err := lister.Admins(t.Context(), "harbor")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"ada", "ben"}, admins)
	s.as(ada).act("ben/deactivate")
	admins, err = lister.Admins(t.Context(), "harbor")
	require.NoError(t, err)
	require.Equal(t, []string{"ada"}, admins, "a deactivated admin is told nothing")
}

// The list of members for package twofahttp has parts, and a search.
func TestTeam(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*site{
		"SQLite":     newSite(t),
		"PostgreSQL": newSite(t, func(c *app.Config) { c.DB = openDB(t, engines.PostgreSQL(t)) }),
	} {
		t.Run(name, func(t *testing.T) {
			s.exec(`UPDATE users SET name = 'Cleo Demo' WHERE id = 'dan'`) // two members with one name
			list := func(q twofahttp.TeamQuery) (ids []string) {
				t.Helper()
				for range 10 {
					part, err := s.app.Team(t.Context(), q)
					require.NoError(t, err)
					require.LessOrEqual(t, len(part.Members), q.Limit)
					for _, m := range part.Members {
						ids = append(ids, m.ID)
					}
					if q.After = part.Next; q.After == "" {
						break
					}
				}
				return ids
			}
			everyone := []string{"ada", "ben", "cleo", "dan"}
			for limit := 1; limit <= 5; limit++ {
				require.Equal(t, everyone, list(twofahttp.TeamQuery{Account: "harbor", Limit: limit}), limit)
			}
			for search, want := range map[string][]string{
				"BEN": {"ben"}, "dan@": {"dan"}, "harbor.example": everyone, "%": nil, "_": nil, `\`: nil, "jon": nil,
			} {
				require.Equal(t, want, list(twofahttp.TeamQuery{Account: "harbor", Search: search, Limit: 2}), search)
			}
			require.Equal(t, []string{"ben"}, list(twofahttp.TeamQuery{Account: "harbor", ID: "ben", Limit: 1}))
			require.Empty(t, list(twofahttp.TeamQuery{Account: "harbor", ID: "jon", Limit: 1}), "a member of another account")
			s.exec(`UPDATE users SET disabled = 1 WHERE id = 'dan'`)
			require.Equal(t, everyone[:3], list(twofahttp.TeamQuery{Account: "harbor", Limit: 3}), "a deactivated member has nothing to set up")
			part, err := s.app.Team(t.Context(), twofahttp.TeamQuery{Account: "harbor", Limit: 1})
			require.NoError(t, err)
			require.Equal(t, twofahttp.TeamMember{ID: "ada", Name: "Ada Demo", Email: ada}, part.Members[0])
			require.Empty(t, list(twofahttp.TeamQuery{Account: "harbor", After: "nobody", Limit: 5}), "an unknown place is not the start")
			s.exec(`UPDATE users SET name = 'Bea Demo' WHERE id = 'jon'`)
			require.Empty(t, list(twofahttp.TeamQuery{Account: "harbor", After: "jon", Limit: 5}), "a place in the list reveals the name of nobody else")
		})
	}
}
