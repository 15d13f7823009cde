package app_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
	"github.com/twofa-go/twofa/twofatest"
)

// An invitation ends when its sender may no longer send any. Being an admin again
// brings none of them back.
func TestInvitation_EndsWithItsInviter(t *testing.T) {
	t.Parallel()
	for how, c := range map[string]struct{ end, again []string }{
		"removed":     {end: []string{"ben/remove"}},
		"deactivated": {end: []string{"ben/deactivate"}, again: []string{"ben/reactivate"}},
		"demoted":     {end: []string{"ben/role", "role", "member"}, again: []string{"ben/role", "role", "admin"}},
		"left":        {},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			owner, admin := s.as(ada), s.as(ben)
			open := map[string]string{
				"new user": admin.invited("gil@example.com", "admin"),
				"existing": admin.invited(jon, "admin"),
			}
			stays := owner.invited("kim@example.com", "member")
			if c.end == nil {
				require.Equal(t, "/login", admin.act("leave").location)
			} else {
				require.Equal(t, "/members", owner.act(c.end[0], c.end[1:]...).location)
			}
			check := func() {
				t.Helper()
				for who, link := range open {
					require.Equal(t, http.StatusGone, s.browser().get(link).status, who)
					require.Equal(t, http.StatusGone, s.browser().post("/login", link, "name", "Gil Demo", "password", app.DemoPassword).status, who)
				}
			}
			check()
			if c.again != nil {
				require.Equal(t, "/members", owner.act(c.again[0], c.again[1:]...).location)
				check()
			}
			require.Len(t, s.user("jon").Members, 1)
			require.Equal(t, http.StatusOK, s.browser().get(stays).status, "the invitation of another member")
		})
	}
}

// An invitation stays if its sender gets a higher role, and if the same is done to
// the sender in another account.
func TestInvitation_Stays(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	owner, admin := s.as(ada), s.as(ben)
	link := admin.invited("gil@example.com", "member")
	require.Equal(t, "/members", owner.act("ben/role", "role", "owner").location)
	require.Equal(t, http.StatusOK, s.browser().get(link).status)

	s.exec(`INSERT INTO members (account_id, user_id, role, since) VALUES ('brook', 'ben', 'member', 0)`)
	inBrook := s.as(ida)
	inBrook.stepUp(ida, "members.remove")
	require.Equal(t, "/members", inBrook.act("ben/remove").location)
	require.Equal(t, http.StatusOK, s.browser().get(link).status)
}

// Invitations that are older than the column for their sender end, because nothing
// else could end them.
func TestInvitation_OlderThanInviter(t *testing.T) {
	t.Parallel()
	db := testDB(t)
	s := newSite(t, func(c *app.Config) { c.DB = db })
	admin := s.as(ben)
	old := admin.invited("gil@example.com", "admin")
	s.browser().post("/forgot", "/forgot", "email", dan)
	reset := s.linkIn(s.lastMessage(dan, "/reset/"))
	restart := func() {
		t.Helper()
		again, err := app.New(app.Config{DB: db, Keys: twofatest.KeyRing(t, "webapp"), Demo: true, BaseURL: s.srv.URL})
		require.NoError(t, err)
		again.Close()
	}
	s.exec(`ALTER TABLE links DROP COLUMN inviter`)
	restart()
	require.Equal(t, http.StatusGone, s.browser().get(old).status)
	require.Equal(t, http.StatusOK, s.browser().get(reset).status, "nobody has sent the others")
	link := admin.invited("kim@example.com", "member")
	restart()
	require.Equal(t, http.StatusOK, s.browser().get(link).status)
}
