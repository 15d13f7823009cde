package app_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
	"github.com/twofa-go/twofa/internal/engines"
)

const (
	ben  = "ben@harbor.example"
	cleo = "cleo@harbor.example"
)

// user returns a user as package twofa sees them.
func (s *site) user(id string) twofa.User {
	s.t.Helper()
	users, err := s.app.Directory().Users(s.t.Context(), id)
	require.NoError(s.t, err)
	require.Len(s.t, users, 1)
	return users[0]
}

// act sends a form of the members page.
func (b *browser) act(path string, fields ...string) answer {
	b.t.Helper()
	return b.post("/members", "/members/"+path, fields...)
}

// invited returns the link of the newest invitation to an address.
func (b *browser) invited(email, role string) string {
	b.t.Helper()
	require.Equal(b.t, "/members", b.act("invite", "email", email, "role", role).location)
	return b.linkIn(b.lastMessage(email, "/invite/"))
}

func TestMembers_LastOwnerStays(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	owner, admin := s.as(ada), s.as(ben)
	for range 2 {
		got := owner.act("leave")
		require.Equal(t, http.StatusConflict, got.status)
		require.Contains(t, got.body, "You’re the only owner of Harbor")
	}
	require.Contains(t, owner.get("/members/ben/manage").body, `href="/members/ben/role?role=owner"`)
	require.NotContains(t, admin.get("/members/dan/manage").body, `role=owner"`, "an admin makes no owner")
	require.Equal(t, http.StatusForbidden, admin.act("invite", "email", "x@harbor.example", "role", "owner").status)

	require.Equal(t, "/members", owner.act("ben/role", "role", "owner").location)
	for _, path := range []string{"ben/role", "ben/remove", "ben/deactivate"} {
		require.Equal(t, http.StatusForbidden, owner.act(path, "role", "member").status, "%s: no owner changes another", path)
	}
	require.Equal(t, twofa.RoleOwner, s.user("ben").Members[0].Role)

	require.Equal(t, http.StatusOK, owner.get("/members/leave").status)
	require.Contains(t, owner.get("/members").body, "Ada Demo", "a GET changes nothing")
	require.Equal(t, "/login", owner.act("leave").location)
	require.False(t, owner.signedIn())
	require.Contains(t, owner.get("/login").body, "You’ve left Harbor.")
	require.Empty(t, s.user("ada").Members)
	got := owner.typePassword(ada)
	require.Equal(t, http.StatusForbidden, got.status)
	require.Contains(t, got.body, "You’re not a member of any account")
	require.Equal(t, http.StatusConflict, admin.act("leave").status)
}

// If two owners leave at the same time, one of them stays.
func TestMembers_OwnersLeaveTogether(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*site{
		"SQLite":     newSite(t, onSQLite(t)),
		"PostgreSQL": newSite(t, func(c *app.Config) { c.DB = openDB(t, engines.PostgreSQL(t)) }),
	} {
		t.Run(name, func(t *testing.T) {
			both := []*browser{s.as(ada), s.as(ben)}
			both[0].act("ben/role", "role", "owner")
			forms := []string{form("csrf_token", both[0].csrf("/members")), form("csrf_token", both[1].csrf("/members"))}
			answers := together(t, 2, func(i int) (answer, error) {
				return both[i].send("POST", "/members/leave", forms[i], "Content-Type", formType)
			})
			require.Equal(t, 1, count(answers, http.StatusSeeOther))
			require.Equal(t, 1, s.rows(`SELECT count(*) FROM members WHERE account_id = 'harbor' AND role = 'owner'`))
		})
	}
}

// A removed member is refused at the next request, whatever they hold. A member
// who is added again has the time of the first membership, so no grace begins
// again.
func TestMembers_RemoveAndAddAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	admin, first := s.as(ben), s.user("dan").Members[0].Since
	old := admin.invited("gil@example.com", "member")
	second := admin.invited("gil@example.com", "admin")
	gil := s.browser()
	require.Equal(t, "/2fa/challenge", gil.post(old, old, "name", "Gil Demo", "password", app.DemoPassword).location)
	gil.prove("gil@example.com")
	got := admin.act("invite", "email", "gil@example.com", "role", "member")
	require.Equal(t, http.StatusConflict, got.status)
	require.Contains(t, got.body, "Gil Demo is already a member of Harbor")

	id := s.memberID("gil@example.com")
	require.Equal(t, "/members", admin.act(id+"/remove").location)
	require.False(t, gil.signedIn())
	require.Equal(t, http.StatusGone, s.browser().get(second).status, "open invitations end, too")

	s.advance(24 * time.Hour)
	admin = s.as(ben)
	page, token, half := s.as(dan), s.token(dan, ""), s.browser()
	require.Equal(t, "/2fa/challenge", half.login(dan).location)
	link := s.mailedLink(dan)
	require.Equal(t, "/members", admin.act("dan/remove").location)
	require.Equal(t, "/login", page.get("/contacts").location)
	require.Equal(t, http.StatusUnauthorized, s.browser().do("GET", "/api/me", "", "Authorization", "Bearer "+token).status)
	require.Equal(t, http.StatusForbidden, half.openLink(link).status, "a login that had begun")
	require.False(t, half.signedIn())

	link = admin.invited(dan, "member")
	s.advance(61 * time.Second) // the minimum time between two links
	again := s.browser()
	require.Equal(t, "/2fa/challenge", again.post(link, link, "password", app.DemoPassword).location)
	require.Equal(t, "/contacts", again.prove(dan).location)
	require.Equal(t, []twofa.Member{{Account: "harbor", Since: first}}, s.user("dan").Members)
}

// stored returns what package twofa stores about a user.
func (s *site) stored(id string) twofa.UserData {
	s.t.Helper()
	data, err := s.app.Manager().User(twofa.AsHost("test"), id).Export(s.t.Context())
	require.NoError(s.t, err)
	return data
}

// The factors of a user who is in no account any longer are removed. Otherwise
// they stay, and what belongs to the account ends.
func TestMembers_RemovedIsReset(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	admin := s.as(ben)
	for email, accounts := range map[string]int{dan: 0, cleo: 1} {
		id := s.memberID(email)
		for _, how := range []string{"remove", "leave"} {
			b := s.as(email)
			if len(s.stored(id).Factors) == 0 {
				b.enrollApp(email)
			}
			if how == "leave" {
				b.stepUp(email, "members.leave")
				require.Equal(t, "/login", b.act("leave").location)
			} else {
				s.advance(61 * time.Second) // the minimum time between two links
				require.Equal(t, "/members", s.as(ben).act(id+"/remove").location)
			}
			require.Len(t, s.user(id).Members, accounts)
			data := s.stored(id)
			require.Len(t, data.Factors, accounts, "%s: %s", how, id)
			for _, in := range data.Accounts {
				require.NotEqual(t, "harbor", in.Account, "%s: %s", how, id)
			}
			s.advance(61 * time.Second) // the minimum time between two links
			link := admin.invited(email, "member")
			again := s.browser()
			require.Equal(t, "/2fa/challenge", again.post(link, link, "password", app.DemoPassword).location)
			if accounts == 0 {
				delete(s.uris, email)
			}
			require.Equal(t, "/contacts", again.prove(email).location)
		}
	}
	require.Equal(t, 4, s.rows(`SELECT count(*) FROM twofa_events WHERE type = 'member_removed'`))
}

// If the second factor cannot be reset, the removal stands and the log says why.
func TestMembers_RemovedWithoutReset(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.as(dan)
	admin, page := s.as(ben), s.as(cleo)
	s.exec(`CREATE TRIGGER twofa_events_full BEFORE INSERT ON twofa_events WHEN NEW.type IN ('reset', 'member_removed') BEGIN SELECT RAISE(ABORT, 'twofa_events is full'); END`)
	require.Equal(t, "/members", admin.act("dan/remove").location)
	require.Equal(t, "/login", page.act("leave").location)
	require.Empty(t, s.user("dan").Members)
	require.Len(t, s.user("cleo").Members, 1)
	for _, id := range []string{"dan", "cleo"} {
		require.Regexp(t, `second factor of a removed member not reset.* user=`+id+` error=.*twofa_events`, s.log.String())
	}
}

// memberID returns the ID of the user with an address.
func (s *site) memberID(email string) (id string) {
	s.t.Helper()
	require.NoError(s.t, s.db.QueryRowContext(s.t.Context(), `SELECT id FROM users WHERE email = $1`, email).Scan(&id))
	return id
}

// A deactivated member is refused at the next request and on every sign-in path.
// Reactivated, they sign in as before, and nothing from before is valid again.
func TestMembers_Deactivate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	page := s.as(dan)
	page.enrollApp(dan)
	token, half := s.token(dan, ""), s.half(dan)
	admin := s.as(ben)
	s.browser().post("/forgot", "/forgot", "email", dan)
	reset := s.linkIn(s.lastMessage(dan, "/reset/"))
	invitation := s.as(ida).invited(dan, "member")
	sso := s.browser()
	callback := sso.askProvider("harbor", "dan")

	require.Equal(t, http.StatusOK, admin.get("/members/dan/deactivate").status)
	require.True(t, page.signedIn(), "a GET changes nothing")
	require.Equal(t, "/members", admin.act("dan/deactivate").location)
	require.Contains(t, admin.get("/members").body, "deactivated")
	require.True(t, s.user("dan").Disabled)

	const says = "Your access is deactivated"
	refused := func(got answer) {
		t.Helper()
		require.Equal(t, http.StatusForbidden, got.status, got.location)
		require.Contains(t, got.body, says)
	}
	refused(sso.get(callback))
	for _, path := range []string{"/contacts", "/settings", "/members"} {
		require.Contains(t, page.get(path).location, "/login", path)
	}
	require.Contains(t, page.get("/2fa/").location, "/login")
	require.Equal(t, http.StatusUnauthorized, page.do("GET", "/api/contacts", "", "Authorization", "Bearer "+token).status)
	require.Equal(t, http.StatusForbidden, half.post("/2fa/link?token=x", "/2fa/verify", "method", "totp", "code", s.code(dan)).status, "a login that had begun")
	require.False(t, half.signedIn())
	b := s.browser()
	refused(b.login(dan))
	wrong := b.post("/login", "/login", "email", dan, "password", "wrong")
	require.Equal(t, http.StatusUnauthorized, wrong.status)
	require.NotContains(t, wrong.body, says, "only the person with the password is told")
	refused(b.post(invitation, invitation, "password", app.DemoPassword))
	refused(b.post(reset, reset, "password", app.DemoPassword))
	status, out := s.call("/api/login", "", "email", dan, "password", app.DemoPassword)
	require.Equal(t, http.StatusForbidden, status)
	require.Contains(t, out["title"], says)
	require.Zero(t, s.rows(`SELECT count(*) FROM signins WHERE user_id = 'dan'`))
	require.Len(t, s.user("dan").Members, 1, "the invitation to the other account was not accepted")

	got := s.as(ada).act("dan/role", "role", "owner")
	require.Equal(t, http.StatusConflict, got.status, "nobody could reactivate an owner")
	require.Equal(t, "/members", admin.act("dan/reactivate").location)
	require.False(t, page.signedIn())
	require.Equal(t, http.StatusUnauthorized, page.do("GET", "/api/contacts", "", "Authorization", "Bearer "+token).status)
	require.Equal(t, "/2fa/challenge", b.login(dan).location, "the factor stays")
	require.Equal(t, "/contacts", b.prove(dan).location)
}

// An account cannot lock a person out of another account.
func TestMembers_DeactivateOnlyOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	admin := s.as(ada)
	got := admin.act("cleo/deactivate")
	require.Equal(t, http.StatusForbidden, got.status)
	require.Contains(t, got.body, "Remove them from Harbor instead")
	require.False(t, s.user("cleo").Disabled)
	s.exec(`UPDATE users SET disabled = 1 WHERE id = 'cleo'`) // by the product's own staff
	require.Equal(t, http.StatusForbidden, admin.act("cleo/reactivate").status)
	require.True(t, s.user("cleo").Disabled)
}

// Leaving the only account and removing a member reset a second factor, so a stolen
// session, hours after the last proof, can do neither.
func TestAbuse_N01_StolenSessionLeavesNoAccount(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.memberID(dan)
	b, admin := s.as(dan), s.as(ben)
	b.enrollApp(dan)
	s.advance(3 * time.Hour)
	asksForCode(t, b.act("leave"))
	asksForCode(t, admin.act(id+"/remove"))
	require.NotEmpty(t, s.stored(id).Factors)
	require.Len(t, s.user(id).Members, 1)
	b.stepUp(dan, "members.leave")
	require.Equal(t, "/login", b.act("leave").location)
	require.Empty(t, s.stored(id).Factors)
}
