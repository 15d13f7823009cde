package app

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// directory describes the product's users to package twofa, as they are now. It
// implements twofa.Directory and twofa.AdminLister.
type directory struct{ db store }

// Users implements twofa.Directory. It returns the users with all their accounts
// in one query. Every address is verified, because a user is created only
// through a link that was sent to the address.
func (d directory) Users(ctx context.Context, ids ...string) ([]twofa.User, error) {
	if len(ids) == 0 {
		return nil, nil // "IN ()" is not valid everywhere
	}
	places, args := make([]string, len(ids)), make([]any, len(ids))
	for i, id := range ids {
		places[i], args[i] = fmt.Sprintf("$%d", i+1), id
	}
	rows, err := d.db.QueryContext(ctx, `SELECT `+userColumns+`, m.account_id, m.role, m.since
		FROM users u LEFT JOIN members m ON m.user_id = u.id
		WHERE u.id IN (`+strings.Join(places, ", ")+`) ORDER BY u.id, m.since, m.account_id`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []twofa.User
	for rows.Next() {
		var u user
		var account, role sql.NullString // NULL if the user is a member of no account
		var since sql.NullInt64
		if err := rows.Scan(append(u.fields(), &account, &role, &since)...); err != nil {
			return nil, err
		}
		if len(all) == 0 || all[len(all)-1].ID != u.ID {
			all = append(all, twofa.User{ID: u.ID, Name: u.Email, Emails: []string{u.Email},
				SecurityStamp: u.Stamp, Language: u.Language, Disabled: u.Disabled})
		}
		if last := &all[len(all)-1]; account.Valid {
			last.Members = append(last.Members, twofa.Member{Account: account.String,
				Role: adminRole(Role(role.String)), Since: time.Unix(since.Int64, 0)})
		}
	}
	return all, rows.Err()
}

// adminRole returns what a role means to package twofa.
func adminRole(r Role) twofa.Role {
	switch r {
	case Owner:
		return twofa.RoleOwner
	case Admin:
		return twofa.RoleAdmin
	}
	return twofa.RoleMember
}

// Admins implements twofa.AdminLister.
func (d directory) Admins(ctx context.Context, account string) (ids []string, err error) {
	members, err := d.db.membersOf(ctx, account)
	for _, m := range members {
		if m.Role.Covers(Admin) && !m.Disabled {
			ids = append(ids, m.ID)
		}
	}
	return ids, err
}

// team returns a part of the members of an account, for twofahttp.Config.Team.
// Members who are deactivated have nothing to set up, so it leaves them out.
func (a *App) team(ctx context.Context, q twofahttp.TeamQuery) (part twofahttp.TeamPage, err error) {
	members, err := a.db.searchMembers(ctx, q)
	if len(members) > q.Limit {
		members = members[:q.Limit]
		part.Next = members[q.Limit-1].ID
	}
	for _, m := range members {
		part.Members = append(part.Members, twofahttp.TeamMember{ID: m.ID, Name: m.Name, Email: m.Email})
	}
	return part, err
}

// searchMembers returns the members for a query, in the order of membersOf, and
// one more than its limit if there are more. A part ends with the user whose ID
// the next query has as After. That user must be a member of the account, because
// the place of any other user in the list would reveal their name.
func (s store) searchMembers(ctx context.Context, q twofahttp.TeamQuery) ([]member, error) {
	return s.members(ctx, `WHERE m.account_id = $1 AND u.disabled = 0 AND ($2 = '' OR u.id = $2)
		AND (lower(u.name) LIKE $3 ESCAPE '\' OR u.email LIKE $3 ESCAPE '\')
		AND ($4 = '' OR (u.name, u.id) > (SELECT x.name, x.id FROM users x
			JOIN members y ON y.user_id = x.id WHERE x.id = $4 AND y.account_id = $1))
		ORDER BY u.name, u.id LIMIT $5`, q.Account, q.ID, containing(q.Search), q.After, q.Limit+1)
}
