package app_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
	"github.com/twofa-go/twofa/internal/engines"
)

// change is a form that is sent at the same time as another one.
type change struct {
	by         *browser
	page, path string
	fields     []string
	late       int // status of the response if the other form was first
}

// queued sends forms while the rows of a user are locked, each after the one
// before waits or has been answered, then unlocks the rows.
func (s *site) queued(id string, forms ...change) []answer {
	s.t.Helper()
	tx, err := s.db.BeginTx(s.t.Context(), nil)
	require.NoError(s.t, err)
	defer tx.Rollback() // no effect after the one below
	bodies := make([]string, len(forms))
	for i, f := range forms {
		bodies[i] = form(append(f.fields, "csrf_token", f.by.csrf(f.page))...)
	}
	_, err = tx.ExecContext(s.t.Context(), `SELECT 1 FROM users u JOIN members m ON m.user_id = u.id WHERE u.id = $1 FOR NO KEY UPDATE`, id)
	require.NoError(s.t, err)
	var answered atomic.Int32
	answers := together(s.t, len(forms)+1, func(i int) (answer, error) {
		if err := s.untilWaiting(i, &answered); err != nil {
			return answer{}, err
		}
		if i == len(forms) {
			return answer{}, tx.Rollback()
		}
		defer answered.Add(1)
		return forms[i].by.send("POST", forms[i].path, bodies[i], "Content-Type", formType)
	})
	return answers[:len(forms)]
}

// untilWaiting waits until n requests wait for a lock or have been answered.
func (s *site) untilWaiting(n int, answered *atomic.Int32) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for range 1000 {
		var waiting int
		err := s.db.QueryRowContext(s.t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
		if err != nil {
			return err
		}
		if waiting+int(answered.Load()) >= n {
			return nil
		}
		<-again.C
	}
	return errors.New("the requests neither wait nor end")
}

// A member who is deactivated while they become an owner is one or the other,
// because nobody could reactivate an owner.
func TestMembers_DeactivatedMeanwhile(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *app.Config) { c.DB = openDB(t, engines.PostgreSQL(t)) })
	admin, owner, other := s.as(ben), s.as(ada), s.as(ida)
	deactivate := change{by: admin, page: "/members", path: "/members/dan/deactivate", late: http.StatusNotFound}
	promote := change{by: owner, page: "/members", path: "/members/dan/role", fields: []string{"role", "owner"}, late: http.StatusConflict}
	link := other.invited(dan, "owner") // a refused one does not use up the link
	join := change{by: s.browser(), page: link, path: link, fields: []string{"password", app.DemoPassword}, late: http.StatusForbidden}
	for _, forms := range [][]change{{deactivate, promote}, {promote, deactivate}, {deactivate, join}, {join, deactivate}} {
		got := s.queued("dan", forms...)
		require.Equal(t, http.StatusSeeOther, got[0].status, "%s: %s", forms[0].path, got[0].body)
		require.Equal(t, forms[1].late, got[1].status, "%s after %s", forms[1].path, forms[0].path)
		require.Zero(t, s.rows(`SELECT count(*) FROM users u JOIN members m ON m.user_id = u.id WHERE u.disabled = 1 AND m.role = 'owner'`))
		s.exec(`UPDATE users SET disabled = 0 WHERE id = 'dan'`,
			`UPDATE members SET role = 'member' WHERE user_id = 'dan'`,
			`DELETE FROM members WHERE user_id = 'dan' AND account_id = 'brook'`)
	}
}

// An invitation that is sent while its sender loses the role is refused or ends.
func TestInvitation_InviterRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *app.Config) { c.DB = openDB(t, engines.PostgreSQL(t)) })
	for _, end := range []change{
		{path: "/members/ben/role", fields: []string{"role", "member"}},
		{path: "/members/ben/deactivate"},
		{path: "/members/ben/remove"},
	} {
		end.page = "/members"
		for i := range 2 {
			s.advance(time.Hour) // or too many links would be mailed
			end.by = s.as(ada)   // a removal needs a fresh proof
			invite := change{by: s.as(ben), page: "/members", path: "/members/invite", fields: []string{"email", "gil@example.com", "role", "admin"}}
			forms := []change{invite, end}
			if i == 1 {
				forms = []change{end, invite}
			}
			got := s.queued("ben", forms...)
			require.Equal(t, http.StatusSeeOther, got[0].status, got[0].body)
			require.Equal(t, []int{http.StatusSeeOther, http.StatusForbidden}[i], got[1].status, "%s %d", end.path, i)
			require.Zero(t, s.rows(`SELECT count(*) FROM links WHERE kind = 'invite'`), "%s %d", end.path, i)
			s.exec(`INSERT INTO members (account_id, user_id, role, since) VALUES ('harbor', 'ben', 'admin', 0)
				ON CONFLICT (account_id, user_id) DO UPDATE SET role = 'admin'`, `UPDATE users SET disabled = 0 WHERE id = 'ben'`)
		}
	}
}
