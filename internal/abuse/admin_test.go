package abuse

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/harness"
)

var updateRoles = flag.Bool("roles.update", false, "write testdata/roles.md")

// directory knows the admins of each account.
type directory struct{ *world }

func (d directory) Users(ctx context.Context, ids ...string) (found []twofa.User, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		if u, ok := d.users[id]; ok {
			found = append(found, u)
		}
	}
	return found, nil
}

func (d directory) Admins(_ context.Context, account string) (ids []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, u := range d.users {
		for _, m := range u.Members {
			if m.Account == account && (m.Role == twofa.RoleAdmin || m.Role == twofa.RoleOwner) {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// team creates account acme with an owner, two admins and two members, and
// account beta with an owner. All joined when the clock started.
func team(t testing.TB, edit ...func(*twofa.Config)) *world {
	w := newWorld(t, edit...)
	w.cfg.Directory = directory{w}
	w.Manager = w.again()
	for id, role := range map[string]twofa.Role{"olga": twofa.RoleOwner, "adam": twofa.RoleAdmin, "alma": twofa.RoleAdmin, "mia": twofa.RoleMember, "max": "auditor"} {
		w.users[id] = twofa.User{ID: id, Emails: []string{id + "@example.com"}, Members: []twofa.Member{{Account: "acme", Role: role, Since: harness.Start}}}
	}
	w.users["ben"] = twofa.User{ID: "ben", Emails: []string{"ben@example.com"}, Members: []twofa.Member{{Account: "beta", Role: twofa.RoleOwner, Since: harness.Start}}}
	return w
}

// signedIn returns a user who is signed in to an account with an authenticator.
func (w *world) signedIn(id, account string) *person {
	w.t.Helper()
	p := w.person(id)
	p.account = account
	if p.begin() == twofa.NextDone {
		p.enroll()
	}
	require.NoError(w.t, w.Check(w.t.Context(), p.caller()))
	return p
}

// required is a policy that only ever requires more than the default.
func required() twofa.Policy {
	p := twofa.PolicyAuthenticator()
	p.ExemptSSO = false
	return p
}

// as returns the account as a user acts on it.
func (p *person) as() *twofa.Account {
	return p.Account(twofa.AsUser(p.caller(), "asked for"), p.account)
}

// sets changes the policy as a user who has just proven ActionPolicy.
func (p *person) sets(policy twofa.Policy) error {
	p.t.Helper()
	info, err := p.as().Policy(p.t.Context())
	if err != nil {
		return err
	}
	require.NoError(p.t, p.stepUp(twofa.ActionPolicy))
	return p.as().SetPolicy(p.t.Context(), policy, info.Version)
}

// inForce returns the policy in force.
func (w *world) inForce(account string) twofa.PolicyInfo {
	w.t.Helper()
	info, err := w.Account(twofa.AsHost("test"), account).Policy(w.t.Context())
	require.NoError(w.t, err)
	return info
}

func TestAbuse_M05_OnlyAdminsChangeAPolicy(t *testing.T) {
	w := team(t)
	w.policy("acme", twofa.PolicyAuthenticator())
	version := w.inForce("acme").Version
	for _, id := range []string{"mia", "max"} { // a role of the host's own is that of a member
		p := w.person(id)
		p.account = "acme"
		p.begin()
		require.NoError(t, p.send(twofa.EmailLink))
		require.NoError(t, p.verify(twofa.EmailLink, p.token()))
		p.enroll()
		require.NoError(t, p.stepUp(twofa.ActionPolicy))
		denied(t, p.as().SetPolicy(t.Context(), twofa.PolicyOptional(), version), twofa.ReasonRole)
		denied(t, p.as().UnsetPolicy(t.Context(), version), twofa.ReasonRole)
		denied(t, failure(p.as().Policy(t.Context())), twofa.ReasonRole)
	}
	ben := w.signedIn("ben", "beta")
	require.NoError(t, ben.stepUp(twofa.ActionPolicy))
	foreign := w.Account(twofa.AsUser(ben.caller(), ""), "acme")
	require.ErrorIs(t, foreign.SetPolicy(t.Context(), twofa.PolicyOptional(), version), twofa.ErrNotAllowed)
	require.Equal(t, version, w.inForce("acme").Version)
}

func TestAbuse_M05_AdminNeedsAFreshProof(t *testing.T) {
	w := team(t)
	adam := w.signedIn("adam", "acme")
	w.clock.Add(10 * time.Minute)
	info, err := adam.as().Policy(t.Context())
	require.NoError(t, err)
	denied(t, adam.as().SetPolicy(t.Context(), required(), info.Version), twofa.ReasonMissing)
	thief := adam.browser("other")
	thief.session = adam.session
	require.NoError(t, adam.stepUp(twofa.ActionPolicy))
	denied(t, thief.as().SetPolicy(t.Context(), required(), info.Version), twofa.ReasonMissing)
	require.NoError(t, adam.as().SetPolicy(t.Context(), required(), info.Version))
}

// No rule that an account stores makes the proof of an admin weaker.
func TestAbuse_M05_ProofOfAnAdminCannotBeWeakened(t *testing.T) {
	w := team(t)
	host := w.Account(twofa.AsHost("test"), "acme")
	for _, rule := range []twofa.ActionRule{{Methods: []twofa.Method{twofa.EmailLink}}, {Methods: []twofa.Method{twofa.TOTP, twofa.SMS}}, {MaxAge: time.Hour}} {
		err := host.SetPolicy(t.Context(), twofa.Policy{Actions: map[string]twofa.ActionRule{twofa.ActionPolicy: rule}}, "")
		require.ErrorIs(t, err, twofa.ErrInvalid)
	}
	require.Equal(t, twofa.ActionRule{MaxAge: 5 * time.Minute, Methods: []twofa.Method{twofa.TOTP}}, twofa.PolicySMS().Rule(twofa.ActionPolicy))
}

func TestAbuse_M06_AdminsEnrollFirst(t *testing.T) {
	w := team(t)
	olga := w.person("olga")
	olga.account = "acme"
	require.Equal(t, twofa.NextDone, olga.begin())
	info, err := olga.as().Policy(t.Context())
	require.NoError(t, err)
	strict := twofa.PolicyAuthenticator()
	strict.Grace, strict.Deadline = 7*aDay, w.clock.Now().Add(aMonth)
	denied(t, olga.as().SetPolicy(t.Context(), strict, info.Version), twofa.ReasonEnroll)
	require.True(t, w.inForce("acme").Default)
	olga.enroll()
	require.NoError(t, olga.as().SetPolicy(t.Context(), strict, info.Version))
	require.NoError(t, w.Check(t.Context(), olga.caller()))
}

func TestAbuse_M11_WeakeningNeedsTheRoleAndIsTold(t *testing.T) {
	var told []string
	w := team(t, func(c *twofa.Config) {
		c.Mail.NoticeEmail = func(n twofa.NoticeEmail) twofa.Email {
			if n.Event.Type == event.Policy {
				told = append(told, n.User.ID)
			}
			return twofa.Email{}
		}
	})
	olga, adam := w.signedIn("olga", "acme"), w.signedIn("adam", "acme")
	require.NoError(t, adam.sets(required()))
	require.Empty(t, told, "a stricter policy")
	for name, weaken := range map[string]func(*twofa.Policy){
		"optional":  func(p *twofa.Policy) { p.Required = false },
		"methods":   func(p *twofa.Policy) { p.Methods = []twofa.Method{twofa.TOTP, twofa.EmailLink} },
		"remember":  func(p *twofa.Policy) { p.Remember = aMonth },
		"grace":     func(p *twofa.Policy) { p.Grace = aDay },
		"deadline":  func(p *twofa.Policy) { p.Deadline = w.clock.Now().Add(aDay) },
		"no link":   func(p *twofa.Policy) { p.EnrollWithoutLink = true },
		"turn off":  func(p *twofa.Policy) { p.TurnOff = twofa.TurnOffByUser },
		"weaken":    func(p *twofa.Policy) { p.Weaken = twofa.RoleAdmin },
		"SSO":       func(p *twofa.Policy) { p.ExemptSSO = true },
		"an action": func(p *twofa.Policy) { p.Actions = map[string]twofa.ActionRule{export: {MaxAge: time.Minute}} },
	} {
		p := required()
		weaken(&p)
		denied(t, adam.sets(p), twofa.ReasonRole, name)
	}
	weaker := twofa.PolicyOptional()
	weaker.Weaken = twofa.RoleAdmin
	require.NoError(t, olga.sets(weaker))
	require.ElementsMatch(t, []string{"adam", "alma"}, told, "all admins except the one who did it")
	require.NoError(t, adam.sets(twofa.Policy{Weaken: twofa.RoleAdmin, Remember: aMonth}), "the policy says that admins may")
}

// The act of an admin leaves an event on the admin and one on the account, and
// both have the same ID. If the second write fails, there is no change.
func TestAbuse_M11_ActIsTwoWrites(t *testing.T) {
	store := &broken{Store: memstore.New()}
	w := team(t, func(c *twofa.Config) { c.Store = store })
	adam := w.signedIn("adam", "acme")
	require.NoError(t, adam.stepUp(twofa.ActionPolicy))
	store.fails = "account/acme"
	before := len(w.events)
	require.ErrorIs(t, adam.as().SetPolicy(t.Context(), required(), "default"), twofa.ErrUnavailable)
	require.True(t, w.inForce("acme").Default)
	require.Equal(t, event.AdminAct, w.events[len(w.events)-1].Type)
	require.Len(t, w.events, before+1)

	store.fails = ""
	require.NoError(t, adam.as().SetPolicy(t.Context(), required(), "default"))
	act, change := w.events[len(w.events)-2], w.events[len(w.events)-1]
	require.Equal(t, []string{event.AdminAct, event.Policy}, []string{act.Type, change.Type})
	require.NotEmpty(t, act.Act)
	require.Equal(t, act.Act, change.Act)
	require.Equal(t, twofa.EventActor{Kind: "user", ID: "adam", Role: "admin"}, change.Actor)
	require.Equal(t, "asked for", change.Reason)
}

// broken is a store that cannot write one record.
type broken struct {
	twofa.Store
	fails string
}

func (s *broken) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	if next.Key == s.fails {
		return errors.New("disk full")
	}
	return s.Store.Swap(ctx, prev, next, events...)
}

func TestAbuse_M11_LostUpdateIsAConflict(t *testing.T) {
	w := team(t)
	adam, alma := w.signedIn("adam", "acme"), w.signedIn("alma", "acme")
	seen, err := alma.as().Policy(t.Context())
	require.NoError(t, err)
	require.NoError(t, adam.sets(required()))
	require.NoError(t, alma.stepUp(twofa.ActionPolicy))
	require.ErrorIs(t, alma.as().SetPolicy(t.Context(), twofa.PolicyEmailLink(), seen.Version), twofa.ErrConflict)
	for _, version := range []string{"", twofa.Overwrite} {
		require.ErrorIs(t, alma.as().SetPolicy(t.Context(), twofa.PolicyEmailLink(), version), twofa.ErrNotAllowed)
	}
}

// An admin who is demoted between the page and the form can do nothing.
func TestAbuse_N12_RoleIsAskedForAtTheAct(t *testing.T) {
	w := team(t)
	adam := w.signedIn("adam", "acme")
	require.NoError(t, adam.stepUp(twofa.ActionPolicy))
	w.setUser("adam", func(u *twofa.User) { u.Members[0].Role = twofa.RoleMember })
	denied(t, adam.as().SetPolicy(t.Context(), required(), "default"), twofa.ReasonRole)
	denied(t, adam.as().Extend(t.Context(), "mia", w.clock.Now().Add(aDay)), twofa.ReasonRole)
	w.setUser("adam", func(u *twofa.User) { u.Members = nil })
	require.Error(t, adam.as().Extend(t.Context(), "mia", w.clock.Now().Add(aDay)))
}

const aDay = 24 * time.Hour

// grace is a policy that requires an authenticator a week after joining, but not
// before a date.
func (w *world) grace(d, deadline time.Duration) {
	p := twofa.PolicyAuthenticator()
	p.Grace = d
	if deadline > 0 {
		p.Deadline = w.clock.Now().Add(deadline)
	}
	w.policy("acme", p)
}

func TestAbuse_M04_M09_WithinGraceTheAccountIsOptional(t *testing.T) {
	w := team(t)
	w.grace(7*aDay, 0)
	mia := w.person("mia")
	mia.account = "acme"
	require.Equal(t, twofa.NextDone, mia.begin())
	require.Equal(t, harness.Start.Add(7*aDay), mia.login.Due)
	require.NoError(t, w.Check(t.Context(), mia.caller()))
	// Enrolling within the grace is a required enrollment: it needs the link.
	denied(t, failure(w.Enroll(t.Context(), mia.caller(), twofa.EnrollRequest{})), twofa.ReasonMissing)
	w.clock.Add(7*aDay - time.Hour)
	require.Equal(t, twofa.NextDone, mia.begin())
	w.clock.Add(time.Hour - time.Second)
	require.NoError(t, w.Check(t.Context(), mia.caller()))
	w.clock.Add(time.Second)
	denied(t, w.Check(t.Context(), mia.caller()), twofa.ReasonChallenge, "in the live session, at the next request")
	require.Equal(t, twofa.NextChallenge, mia.begin(), "the email link that precedes the enrollment")
}

func TestAbuse_M10_NothingRenewsAGrace(t *testing.T) {
	for name, renew := range map[string]func(*world, *person){
		"another login": func(w *world, p *person) { p.begin() },
		"rejoining": func(w *world, p *person) {
			w.setUser("mia", func(u *twofa.User) { u.Members = nil })
			w.setUser("mia", func(u *twofa.User) {
				u.Members = []twofa.Member{{Account: "acme", Since: harness.Start}}
			})
		},
		"removing a factor": func(w *world, p *person) {
			require.NoError(w.t, p.took(p.StepUp(w.t.Context(), p.caller(), twofa.ActionFactors, "")))
			require.NoError(w.t, p.send(twofa.EmailLink))
			require.NoError(w.t, p.verify(twofa.EmailLink, p.token()))
			p.enroll()
			require.NoError(w.t, w.User(twofa.AsHost("lost"), "mia").Reset(w.t.Context(), twofa.ResetRequest{}))
		},
		"a stricter date": func(w *world, p *person) { w.grace(7*aDay, 0) },
		"a shorter grace": func(w *world, p *person) { w.grace(6*aDay, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			w := team(t)
			w.grace(7*aDay, 0)
			mia := w.person("mia")
			mia.account = "acme"
			require.Equal(t, twofa.NextDone, mia.begin())
			w.clock.Add(5 * aDay)
			require.Equal(t, twofa.NextDone, mia.begin())
			renew(w, mia)
			w.clock.Add(2 * aDay)
			require.NotEqual(t, twofa.NextDone, mia.begin())
		})
	}
}

// A grace that shrinks ends at once, whatever was promised before.
func TestAbuse_M10_ShorterGraceAppliesAtOnce(t *testing.T) {
	w := team(t)
	w.grace(7*aDay, 0)
	mia := w.person("mia")
	mia.account = "acme"
	w.clock.Add(2 * aDay)
	require.Equal(t, twofa.NextDone, mia.begin())
	w.grace(aDay, 0)
	denied(t, w.Check(t.Context(), mia.caller()), twofa.ReasonChallenge)
}

// A member who joined at an unknown time, or in the future by a wrong clock, has no
// grace. The clock of the browser does not matter.
func TestAbuse_M10_UnknownTimesGiveNoGrace(t *testing.T) {
	for name, since := range map[string]time.Time{"unknown": {}, "ahead": harness.Start.Add(1000 * aDay), "before 1970": time.Unix(-5, 0)} {
		w := team(t)
		w.setUser("mia", func(u *twofa.User) { u.Members[0].Since = since })
		w.grace(7*aDay, 0)
		mia := w.person("mia")
		mia.account = "acme"
		require.Equal(t, twofa.NextChallenge, mia.begin(), name)
	}
}

func TestAbuse_M10_LaterOfDeadlineAndGraceCounts(t *testing.T) {
	w := team(t)
	w.grace(2*aDay, 5*aDay)
	w.setUser("max", func(u *twofa.User) { u.Members[0].Since = w.clock.Now().Add(4 * aDay) })
	mia, max := w.person("mia"), w.person("max")
	mia.account, max.account = "acme", "acme"
	w.clock.Add(4*aDay + time.Hour)
	require.Equal(t, twofa.NextDone, mia.begin(), "until the deadline")
	w.clock.Add(aDay)
	require.Equal(t, twofa.NextChallenge, mia.begin())
	require.Equal(t, twofa.NextDone, max.begin(), "a later member has two days")
	w.clock.Add(aDay)
	require.Equal(t, twofa.NextChallenge, max.begin())
}

func TestAbuse_M10_Extension(t *testing.T) {
	w := team(t)
	adam := w.signedIn("adam", "acme")
	w.grace(0, 0)
	mia := w.person("mia")
	mia.account = "acme"
	require.Equal(t, twofa.NextChallenge, mia.begin())
	end := w.clock.Now().Add(3 * aDay)
	require.NoError(t, adam.stepUp(twofa.ActionPolicy))
	require.NoError(t, adam.as().Extend(t.Context(), "mia", end))
	require.Equal(t, twofa.NextDone, mia.begin())
	require.Equal(t, end.UTC(), mia.login.Due)

	for name, err := range map[string]error{
		"too far":      adam.as().Extend(t.Context(), "mia", w.clock.Now().Add(91*aDay)),
		"no reason":    w.Account(twofa.AsUser(adam.caller(), " \u202e"), "acme").Extend(t.Context(), "mia", end),
		"malformed ID": adam.as().Extend(t.Context(), "mia\n", end),
		"no ID":        adam.as().Extend(t.Context(), "", end),
	} {
		require.ErrorIs(t, err, twofa.ErrInvalid, name)
	}
	denied(t, adam.as().Extend(t.Context(), "adam", end), twofa.ReasonSelf)
	denied(t, adam.as().Extend(t.Context(), "alma", end), twofa.ReasonRole, "not a higher role")
	require.ErrorIs(t, adam.as().Extend(t.Context(), "ben", end), twofa.ErrNotEnrolled, "of another account")
	require.Equal(t, adam.as().Extend(t.Context(), "ben", end), adam.as().Extend(t.Context(), "nobody", end))

	require.NoError(t, adam.as().Extend(t.Context(), "mia", time.Time{}), "taken back")
	denied(t, w.Check(t.Context(), mia.caller()), twofa.ReasonChallenge)
	require.NoError(t, adam.as().Extend(t.Context(), "mia", end))
	require.NoError(t, w.User(twofa.AsHost("lost"), "mia").Reset(t.Context(), twofa.ResetRequest{}))
	require.Equal(t, twofa.NextChallenge, mia.begin(), "a reset ends it")
}

// One proof of an admin must not be enough to flood a member with mail.
func TestExtend_IsLimited(t *testing.T) {
	w := team(t)
	adam := w.signedIn("adam", "acme")
	require.NoError(t, adam.stepUp(twofa.ActionPolicy))
	extended := func() (n int) {
		for _, e := range w.events {
			if e.Type == event.Extended {
				n++
			}
		}
		return n
	}
	for range 3 {
		require.NoError(t, adam.as().Extend(t.Context(), "mia", time.Time{}))
	}
	require.Zero(t, extended(), "there is nothing to take back")
	for i := range 20 {
		require.NoError(t, adam.as().Extend(t.Context(), "mia", w.clock.Now().Add(aDay+time.Duration(i)*time.Second)))
	}
	require.ErrorIs(t, adam.as().Extend(t.Context(), "mia", w.clock.Now().Add(2*aDay)), twofa.ErrLocked)
	require.NoError(t, adam.as().Extend(t.Context(), "max", w.clock.Now().Add(aDay)), "another member")
	require.NoError(t, adam.as().Extend(t.Context(), "mia", time.Time{}), "it can always be taken back")
	require.ErrorIs(t, adam.as().Extend(t.Context(), "mia", w.clock.Now().Add(aDay)), twofa.ErrLocked)
	require.Equal(t, 22, extended())
	w.clock.Add(time.Hour)
	require.NoError(t, w.Account(twofa.AsHost("ill"), "acme").Extend(t.Context(), "mia", w.clock.Now().Add(aDay)))
}

func TestPreview(t *testing.T) {
	w := team(t)
	adam := w.signedIn("adam", "acme")
	mia := w.signedIn("mia", "acme")
	max := w.person("max")
	max.account = "acme"
	require.Equal(t, twofa.NextDone, max.begin())
	p := required()
	p.Grace = 7 * aDay
	w.clock.Add(30 * aDay)
	adam.begin()
	require.NoError(t, adam.verify(twofa.TOTP, adam.code()))
	got, err := adam.as().Preview(t.Context(), p, "max", "ben", "mia", "nobody", "olga")
	require.NoError(t, err)
	due := w.clock.Now().Add(7 * aDay)
	require.Equal(t, []twofa.Impact{
		{User: "max", Now: twofa.NextDone, Then: twofa.NextDone, Enroll: true, Due: due, Changed: true},
		{User: "mia", Now: twofa.NextChallenge, Then: twofa.NextChallenge, Methods: []twofa.Method{twofa.TOTP, twofa.RecoveryCode}},
		{User: "olga", Now: twofa.NextDone, Then: twofa.NextDone, Enroll: true, Due: due, Changed: true},
	}, got)
	require.True(t, w.inForce("acme").Default, "nothing is saved")

	// The preview comes true.
	require.NoError(t, adam.sets(p))
	require.Equal(t, twofa.NextDone, max.begin())
	require.Equal(t, due.Unix(), max.login.Due.Truncate(time.Minute).Unix()+due.Unix()%60)
	_, err = mia.as().Preview(t.Context(), p, "max")
	require.Error(t, err)
	_, err = adam.as().Preview(t.Context(), twofa.Policy{Grace: -1}, "max")
	require.ErrorIs(t, err, twofa.ErrInvalid)
}

// Back to the policy of the product, the grace counts from when a member joined. If
// an admin sets an equal policy, it starts now.
func TestPreview_OfUnset(t *testing.T) {
	product := required()
	product.Grace = 7 * aDay
	w := team(t, func(c *twofa.Config) { c.Policy = product })
	w.policy("acme", twofa.PolicyOptional())
	adam := w.signedIn("adam", "acme")
	w.clock.Add(2 * aDay)
	require.NoError(t, adam.password())
	require.NoError(t, adam.verify(twofa.TOTP, adam.code()))
	unset, err := adam.as().PreviewUnset(t.Context(), "max", "adam", "ben")
	require.NoError(t, err)
	require.Equal(t, []twofa.Impact{
		{User: "max", Now: twofa.NextDone, Then: twofa.NextDone, Enroll: true, Due: harness.Start.Add(7 * aDay).UTC(), Changed: true},
		{User: "adam", Now: twofa.NextChallenge, Then: twofa.NextChallenge, Methods: []twofa.Method{twofa.TOTP, twofa.RecoveryCode}},
	}, unset)
	set, err := adam.as().Preview(t.Context(), product, "max")
	require.NoError(t, err)
	require.Equal(t, w.clock.Now().Add(7*aDay).Unix(), set[0].Due.Unix())
	require.False(t, w.inForce("acme").Default, "nothing is saved")

	// The preview comes true.
	require.NoError(t, w.Account(twofa.AsHost("back"), "acme").UnsetPolicy(t.Context(), ""))
	max := w.person("max")
	max.account = "acme"
	require.Equal(t, twofa.NextDone, max.begin())
	require.Equal(t, unset[0].Due, max.login.Due)

	mia := w.person("mia")
	mia.account = "acme"
	mia.begin()
	denied(t, failure(mia.as().PreviewUnset(t.Context(), "max")), twofa.ReasonRole)
}

func TestLists_RefuseMalformedIDs(t *testing.T) {
	w := team(t)
	acme := w.Account(twofa.AsHost("test"), "acme")
	for _, id := range []string{"", "mia\n", " mia", "\xff", strings.Repeat("x", 256)} {
		require.ErrorIs(t, failure(acme.Statuses(t.Context(), "max", id)), twofa.ErrInvalid, "%q", id)
		require.ErrorIs(t, failure(acme.Preview(t.Context(), required(), id)), twofa.ErrInvalid, "%q", id)
		require.ErrorIs(t, failure(acme.PreviewUnset(t.Context(), id, "max")), twofa.ErrInvalid, "%q", id)
	}
}

// Saving a page on which nothing was changed uses up no proof and leaves no event.
func TestSetPolicy_UnchangedWritesNothing(t *testing.T) {
	w := team(t)
	adam := w.signedIn("adam", "acme")
	require.NoError(t, adam.sets(required()))
	w.clock.Add(10 * time.Minute)
	events, before := len(w.events), w.inForce("acme")
	record, err := w.store.Get(t.Context(), "user/adam")
	require.NoError(t, err)
	require.NoError(t, adam.as().SetPolicy(t.Context(), before.Policy, before.Version))
	require.Equal(t, before, w.inForce("acme"))
	require.Len(t, w.events, events)
	after, err := w.store.Get(t.Context(), "user/adam")
	require.NoError(t, err)
	require.Equal(t, record, after)

	require.ErrorIs(t, adam.as().SetPolicy(t.Context(), before.Policy, "other"), twofa.ErrConflict)
	denied(t, adam.as().SetPolicy(t.Context(), twofa.PolicyAuthenticator(), before.Version), twofa.ReasonRole, "weaker")
	denied(t, adam.as().SetPolicy(t.Context(), twofa.Policy{Required: true, TurnOff: twofa.TurnOffBySupport}, before.Version), twofa.ReasonMissing, "a change needs a proof")
	require.NoError(t, w.Account(twofa.AsHost("test"), "acme").UnsetPolicy(t.Context(), ""))
	events = len(w.events)
	require.NoError(t, adam.as().UnsetPolicy(t.Context(), w.inForce("acme").Version))
	require.Len(t, w.events, events)
}

// A directory may return an account twice, for example after a join of tables.
func TestMembers_OfTwoMembershipsTheLowerCounts(t *testing.T) {
	recently := harness.Start.Add(5 * aDay)
	member := func(r twofa.Role, since time.Time) twofa.Member {
		return twofa.Member{Account: "acme", Role: r, Since: since}
	}
	for name, c := range map[string]struct {
		members []twofa.Member
		role    twofa.Role
		grace   bool
	}{
		"member and owner":       {[]twofa.Member{member("", recently), member(twofa.RoleOwner, recently)}, twofa.RoleMember, true},
		"owner and admin":        {[]twofa.Member{member(twofa.RoleOwner, recently), member(twofa.RoleAdmin, recently)}, twofa.RoleAdmin, true},
		"owner and another role": {[]twofa.Member{member(twofa.RoleOwner, recently), member("auditor", recently)}, twofa.RoleMember, true},
		"owner twice":            {[]twofa.Member{member(twofa.RoleOwner, recently), {Account: "beta"}, member(twofa.RoleOwner, recently)}, twofa.RoleOwner, true},
		"joined at two times":    {[]twofa.Member{member("", recently), member("", harness.Start)}, twofa.RoleMember, false},
		"and at an unknown time": {[]twofa.Member{member("", recently), member("", time.Time{})}, twofa.RoleMember, false},
	} {
		w := team(t)
		w.grace(7*aDay, 0)
		w.clock.Add(8 * aDay)
		w.setUser("mia", func(u *twofa.User) { u.Members = c.members })
		list, err := w.Account(twofa.AsHost("test"), "acme").Statuses(t.Context(), "mia")
		require.NoError(t, err)
		require.Equal(t, c.role, list[0].Role, name)
		require.Equal(t, c.grace, list[0].State == twofa.StateGrace, name)
		mia := w.person("mia")
		mia.account = "acme"
		require.Equal(t, c.grace, mia.begin() == twofa.NextDone, name)
	}
}

func TestStatuses(t *testing.T) {
	w := team(t, byText, func(c *twofa.Config) { c.Policy = twofa.PolicyOptional() })
	adam := w.signedIn("adam", "acme")
	mia := w.signedIn("mia", "acme")
	w.policy("acme", twofa.Policy{Required: true, Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, Grace: 7 * aDay, ExemptSSO: true})
	require.NoError(t, adam.stepUp(twofa.ActionPolicy))
	require.NoError(t, adam.as().Extend(t.Context(), "max", w.clock.Now().Add(10*aDay)))
	states := func() map[string]twofa.Status {
		list, err := adam.as().Statuses(t.Context(), "mia", "max", "olga", "alma", "ben")
		require.NoError(t, err)
		got := map[string]twofa.Status{}
		for _, s := range list {
			got[s.User] = s
		}
		require.Len(t, got, 4, "nobody of another account")
		return got
	}
	got := states()
	require.Equal(t, twofa.StateOn, got["mia"].State)
	require.Equal(t, 10, got["mia"].CodesLeft)
	require.Len(t, got["mia"].Factors, 1)
	require.False(t, got["mia"].LastLogin.IsZero())
	require.Equal(t, twofa.StateGrace, got["olga"].State)
	require.True(t, got["olga"].LastLogin.IsZero(), "not known")
	require.Equal(t, w.clock.Now().Add(10*aDay).Unix(), got["max"].Due.Unix())

	alma := w.person("alma")
	alma.account = "acme"
	require.NoError(t, alma.sso("acme"))
	w.clock.Add(8 * aDay)
	for range 5 {
		mia.begin()
		require.Error(t, mia.verify(twofa.TOTP, "000000"))
	}
	require.NoError(t, adam.password())
	require.NoError(t, adam.verify(twofa.TOTP, adam.code()))
	got = states()
	require.Equal(t, twofa.StateOverdue, got["olga"].State)
	require.Equal(t, twofa.StateGrace, got["max"].State)
	require.Equal(t, twofa.StateSSO, got["alma"].State)

	// Nothing of another account, no name, no number and no secret.
	text, err := json.Marshal(got)
	require.NoError(t, err)
	for _, secret := range append(mia.codes, "beta", "Authenticator", adasPhone, "example.com") {
		require.NotContains(t, string(text), secret)
	}
	require.ErrorIs(t, failure(adam.as().Statuses(t.Context(), make([]string, 1001)...)), twofa.ErrInvalid)
}

// A member who is asked for a text message that the policy does not accept is not
// locked out with the recovery codes.
func TestStatuses_LockedOutOfWhatIsAskedFor(t *testing.T) {
	w := team(t)
	sms := twofa.PolicySMS()
	sms.EnrollWithoutLink = true
	w.policy("acme", sms)
	mia := w.person("mia")
	mia.account = "acme"
	require.Equal(t, twofa.NextEnroll, mia.begin())
	mia = mia.setUpPhone(adasPhone).browser("laptop")
	state := func() twofa.Status {
		list, err := w.Account(twofa.AsHost("test"), "acme").Statuses(t.Context(), "mia")
		require.NoError(t, err)
		return list[0]
	}
	for range 5 {
		mia.begin()
		require.ErrorIs(t, mia.verify(twofa.RecoveryCode, mia.wrongCode(twofa.RecoveryCode)), twofa.ErrInvalidCode)
	}
	w.policy("acme", twofa.PolicyOptional())
	require.Equal(t, twofa.StateWeak, state().State)
}

// An admin of one account does not learn when a member was in another.
func TestAbuse_N11_LastLoginIsOfThisAccount(t *testing.T) {
	w := team(t)
	adam := w.signedIn("adam", "acme")
	w.setUser("mia", func(u *twofa.User) {
		u.Members = append(u.Members, twofa.Member{Account: "beta", Since: harness.Start})
	})
	mia := w.person("mia")
	mia.account = "beta"
	require.Equal(t, twofa.NextDone, mia.begin())
	list, err := adam.as().Statuses(t.Context(), "mia")
	require.NoError(t, err)
	require.True(t, list[0].LastLogin.IsZero())
	denied(t, failure(mia.as().Statuses(t.Context(), "mia")), twofa.ReasonRole)
}

// Nor does the admin learn that a member used a factor there, which all accounts
// share.
func TestAbuse_N11_UseInAnotherAccountLeavesNoTrace(t *testing.T) {
	w := team(t)
	adam, mia := w.signedIn("adam", "acme"), w.signedIn("mia", "acme")
	w.setUser("mia", func(u *twofa.User) {
		u.Members = append(u.Members, twofa.Member{Account: "beta", Since: harness.Start})
	})
	before, err := adam.as().Statuses(t.Context(), "mia")
	require.NoError(t, err)
	w.clock.Add(time.Hour)
	mia.account = "beta"
	mia.begin()
	require.NoError(t, mia.verify(twofa.TOTP, mia.code()))
	after, err := adam.as().Statuses(t.Context(), "mia")
	require.NoError(t, err)
	require.Equal(t, before, after)
}

// A login to one account changes nothing that the admins of another see, and both
// remain.
func TestAbuse_N11_EachAccountSeesItsOwnLogins(t *testing.T) {
	w := team(t)
	mia := w.signedIn("mia", "acme")
	w.setUser("mia", func(u *twofa.User) {
		u.Members = append(u.Members, twofa.Member{Account: "beta", Since: harness.Start})
	})
	last := map[string]time.Time{}
	for _, account := range []string{"acme", "beta", "beta", "acme", "acme", "beta", "acme"} {
		w.clock.Add(time.Hour)
		mia.account = account
		require.Equal(t, twofa.NextChallenge, mia.begin())
		require.NoError(t, mia.verify(twofa.TOTP, mia.code()))
		last[account] = w.clock.Now().UTC().Truncate(time.Second)
		for account, at := range last {
			list, err := w.Account(twofa.AsHost("test"), account).Statuses(t.Context(), "mia")
			require.NoError(t, err)
			require.Equal(t, []time.Time{at, at}, []time.Time{list[0].LastLogin, list[0].LastProof}, account)
		}
	}
}

// Each role acts on each other one, in its own account and in another.
func TestAbuse_N01_RoleMatrix(t *testing.T) {
	var table strings.Builder
	table.WriteString("| actor | policy | weaker policy | statuses | more time for a member | for an admin | for the owner | for oneself | for a user of another account | reset a member | an admin | the owner | oneself | a user of another account | a phone number for a member | an admin | the owner | oneself | a user of another account |\n|" + strings.Repeat("---|", 19) + "\n")
	for _, id := range []string{"mia", "max", "adam", "olga", "ben"} {
		w := team(t)
		w.policy("acme", twofa.Policy{Actions: map[string]twofa.ActionRule{}})
		account := "acme"
		if id == "ben" {
			account = "beta"
		}
		p := w.signedIn(id, account)
		require.NoError(t, p.stepUp(twofa.ActionPolicy))
		a := w.Account(twofa.AsUser(p.caller(), "matrix"), "acme")
		soon := w.clock.Now().Add(aDay)
		version := w.inForce("acme").Version
		row := []error{
			a.SetPolicy(t.Context(), twofa.Policy{Actions: map[string]twofa.ActionRule{export: {Methods: []twofa.Method{twofa.TOTP}}}, TurnOff: twofa.TurnOffByAdmin}, version),
			a.SetPolicy(t.Context(), twofa.Policy{Remember: aMonth}, w.inForce("acme").Version),
			failure(a.Statuses(t.Context(), "mia")),
			a.Extend(t.Context(), "max", soon), a.Extend(t.Context(), "alma", soon), a.Extend(t.Context(), "olga", soon), a.Extend(t.Context(), id, soon), a.Extend(t.Context(), "ben", soon),
		}
		for _, user := range []string{"max", "alma", "olga", id, "ben"} {
			row = append(row, p.resetsIn("acme", user))
		}
		require.NoError(t, p.stepUp(twofa.ActionPolicy))
		for _, user := range []string{"max", "alma", "olga", id, "ben"} {
			done, err := w.Account(twofa.AsUser(p.caller(), "matrix"), "acme").AssignPhones(t.Context(), []twofa.PhoneAssignment{assignment(user, adasPhone)})
			if err == nil {
				err = done[0].Err
			}
			row = append(row, err)
		}
		fmt.Fprintf(&table, "| %s", map[string]string{"mia": "member", "max": "member with a role of the host's own", "adam": "admin", "olga": "owner", "ben": "owner of another account"}[id])
		for _, err := range row {
			answer := "yes"
			if d, ok := errors.AsType[*twofa.DeniedError](err); ok {
				answer = string(d.Reason)
			} else if err != nil {
				answer = strings.TrimPrefix(strings.SplitN(err.Error(), ":", 3)[1], " ")
			}
			fmt.Fprintf(&table, " | %s", answer)
		}
		table.WriteString(" |\n")
	}
	const file = "testdata/roles.md"
	if *updateRoles {
		require.NoError(t, os.WriteFile(file, []byte(table.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), table.String(), "go test ./internal/abuse -run RoleMatrix -roles.update")
}
