package abuse

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// lockedOut locks the authenticator of a user in unknown browsers.
func (w *world) lockedOut(p *person) {
	w.t.Helper()
	p = p.browser("of an attacker")
	p.begin()
	for range 5 {
		require.Error(w.t, p.verify(twofa.TOTP, p.wrongCode(twofa.TOTP)))
	}
	require.ErrorIs(w.t, p.verify(twofa.TOTP, p.code()), twofa.ErrLocked)
}

func (w *world) staff() *twofa.ManagedUser {
	return w.User(twofa.AsStaff("sam", "called back"), "ada")
}

// Support ends a lock three times in 30 days, and no more, whoever asks.
func TestAbuse_C02_UnlockIsLimited(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	ada := w.enrolled("ada")
	require.NoError(t, w.staff().Unlock(t.Context(), twofa.TOTP), "nothing is locked")
	require.NotContains(t, w.types(), event.Unlocked)
	for range 3 {
		w.lockedOut(ada)
		require.Equal(t, []string{"ada@example.com"}, w.tells(func() { require.NoError(t, w.staff().Unlock(t.Context(), twofa.TOTP)) }))
		e := w.events[len(w.events)-1]
		require.Equal(t, []any{event.Unlocked, twofa.TOTP, "called back", twofa.EventActor{Kind: "staff", ID: "sam"}}, []any{e.Type, e.Method, e.Reason, e.Actor})
		again := ada.browser("of the owner")
		again.begin()
		require.NoError(t, again.verify(twofa.TOTP, again.code()), "the owner gets in")
		w.clock.Add(time.Minute)
	}
	w.lockedOut(ada)
	err := w.staff().Unlock(t.Context(), twofa.TOTP)
	require.ErrorIs(t, err, twofa.ErrLocked)
	require.Greater(t, twofa.RetryAfter(err), 29*24*time.Hour)
}

func TestUnlock_BadInput(t *testing.T) {
	w := newWorld(t)
	w.enrolled("ada")
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"no reason":     {w.User(twofa.AsStaff("sam", " "), "ada").Unlock(t.Context(), twofa.TOTP), twofa.ErrInvalid},
		"a link":        {w.staff().Unlock(t.Context(), twofa.EmailLink), twofa.ErrInvalid},
		"a user":        {w.User(twofa.AsUser(twofa.Caller{}, "x"), "ada").Unlock(t.Context(), twofa.TOTP), twofa.ErrNotAllowed},
		"nobody":        {w.User(twofa.Actor{}, "ada").Unlock(t.Context(), twofa.TOTP), twofa.ErrNotAllowed},
		"no factors":    {w.User(twofa.AsHost("x"), "bob").Unlock(t.Context(), twofa.TOTP), twofa.ErrNotEnrolled},
		"a stranger":    {w.Account(twofa.AsHost("x"), "gamma").Unlock(t.Context(), "ada", twofa.TOTP), twofa.ErrNotEnrolled},
		"malformed ID":  {w.User(twofa.AsHost("x"), "").Unlock(t.Context(), twofa.TOTP), twofa.ErrInvalid},
		"empty account": {w.Account(twofa.AsHost("x"), "").Unlock(t.Context(), "ada", twofa.TOTP), twofa.ErrInvalid},
	} {
		require.ErrorIs(t, c.err, c.want, name)
	}
}

// An admin unlocks only those who are below and belong to this account alone, with a
// fresh proof.
func TestAbuse_N02_N03_UnlockByAnAdmin(t *testing.T) {
	w := team(t)
	mia, adam := w.signedIn("mia", "acme"), w.signedIn("adam", "acme")
	w.signedIn("alma", "acme")
	w.lockedOut(mia)
	w.clock.Add(10 * time.Minute)
	denied(t, adam.as().Unlock(t.Context(), "mia", twofa.TOTP), twofa.ReasonMissing)
	require.NoError(t, adam.stepUp(twofa.ActionPolicy))
	denied(t, adam.as().Unlock(t.Context(), "alma", twofa.TOTP), twofa.ReasonRole)
	denied(t, adam.as().Unlock(t.Context(), "adam", twofa.TOTP), twofa.ReasonSelf)
	w.lockedOut(mia)
	require.NoError(t, adam.as().Unlock(t.Context(), "mia", twofa.TOTP))
	w.setUser("mia", func(u *twofa.User) { u.Members = append(u.Members, twofa.Member{Account: "beta"}) })
	denied(t, adam.as().Unlock(t.Context(), "mia", twofa.TOTP), twofa.ReasonSupport)
}

// The policy says who may reset members.
func TestAbuse_N01_PolicySaysWhoResets(t *testing.T) {
	for reset, reasons := range map[twofa.Role][]twofa.Reason{
		"":                {"", ""},
		twofa.RoleAdmin:   {"", ""},
		twofa.RoleOwner:   {twofa.ReasonRole, ""},
		twofa.RoleSupport: {twofa.ReasonSupport, twofa.ReasonSupport},
	} {
		t.Run(fmt.Sprint("by ", reset), func(t *testing.T) {
			for i, id := range []string{"adam", "olga"} {
				w := team(t)
				p := required()
				p.Reset = reset
				w.signedIn("mia", "acme")
				admin := w.signedIn(id, "acme")
				w.policy("acme", p)
				err := admin.resets("mia")
				if reasons[i] == "" {
					require.NoError(t, err)
				} else {
					denied(t, err, reasons[i])
				}
			}
		})
	}
	w := team(t)
	require.ErrorContains(t, w.acme().SetPolicy(t.Context(), twofa.Policy{Reset: "janitor"}, ""), "Policy.Reset")
}

// An admin who may not weaken the policy cannot hand out more resets.
func TestAbuse_M11_ResetByALowerRole(t *testing.T) {
	for _, c := range [][2]twofa.Role{{twofa.RoleOwner, ""}, {twofa.RoleSupport, twofa.RoleOwner}, {twofa.RoleSupport, twofa.RoleAdmin}} {
		w := team(t)
		adam := w.signedIn("adam", "acme")
		before, after := required(), required()
		before.Reset, after.Reset = c[0], c[1]
		w.policy("acme", before)
		denied(t, adam.sets(after), twofa.ReasonRole)
		w.policy("acme", after)
		require.NoError(t, adam.sets(before))
	}
}

// To ask whether an act is possible needs no fresh proof and writes nothing, and
// the answer is that of the act.
func TestPeek_AnswersLikeTheAct(t *testing.T) {
	w := team(t)
	w.setUser("max", func(u *twofa.User) { u.Members = append(u.Members, twofa.Member{Account: "beta"}) })
	w.signedIn("mia", "acme")
	adam := w.signedIn("adam", "acme")
	w.clock.Add(10 * time.Minute)
	written, events := w.record("adam"), len(w.events)
	require.NoError(t, adam.as().PeekReset(t.Context(), "mia"))
	require.NoError(t, adam.as().PeekUnlock(t.Context(), "mia"))
	require.Equal(t, written, w.record("adam"))
	require.Len(t, w.events, events)
	for user, reason := range map[string]twofa.Reason{"max": twofa.ReasonSupport, "alma": twofa.ReasonRole, "olga": twofa.ReasonRole, "adam": twofa.ReasonSelf} {
		denied(t, adam.as().PeekReset(t.Context(), user), reason)
		denied(t, adam.resets(user), reason)
		denied(t, adam.as().PeekUnlock(t.Context(), user), reason)
		denied(t, adam.as().Unlock(t.Context(), user, twofa.TOTP), reason)
	}
	w.setUser("mia", func(u *twofa.User) { u.Emails = nil })
	denied(t, adam.as().PeekReset(t.Context(), "mia"), twofa.ReasonSupport)
	require.NoError(t, adam.as().PeekUnlock(t.Context(), "mia"), "an unlock needs no mail before it")
	require.ErrorIs(t, adam.as().PeekReset(t.Context(), "nobody"), twofa.ErrNotEnrolled)
	require.ErrorIs(t, adam.as().PeekUnlock(t.Context(), "mia\n"), twofa.ErrInvalid)
	require.ErrorIs(t, w.Account(twofa.Actor{}, "acme").PeekReset(t.Context(), "mia"), twofa.ErrNotAllowed)
	require.ErrorIs(t, w.Account(twofa.AsStaff("sam", "x"), "acme").PeekReset(t.Context(), "mia"), twofa.ErrNotAllowed)
	require.NoError(t, w.Account(twofa.AsHost(""), "acme").PeekReset(t.Context(), "mia"))
	p := w.inForce("acme").Policy
	p.Reset = twofa.RoleSupport
	w.policy("acme", p)
	denied(t, adam.as().PeekReset(t.Context(), "alma"), twofa.ReasonSupport)
	require.NoError(t, adam.as().PeekUnlock(t.Context(), "mia"))
}

// The list says which methods are locked, also if the member has recovery codes, and
// which of them an admin can unlock.
func TestStatuses_LockedMethods(t *testing.T) {
	w := team(t)
	mia := w.signedIn("mia", "acme")
	lock := func() (bool, time.Time) {
		f := w.status("mia").Factors[0]
		return f.Locked, f.LockedUntil
	}
	locked, until := lock()
	require.False(t, locked)
	require.Zero(t, until)
	w.lockedOut(mia)
	require.Equal(t, twofa.StateOn, w.status("mia").State, "there are recovery codes")
	_, until = lock()
	require.WithinRange(t, until, w.clock.Now().Add(time.Second), w.clock.Now().Add(time.Minute))
	require.NoError(t, w.acme().Unlock(t.Context(), "mia", twofa.TOTP))
	locked, until = lock()
	require.False(t, locked)
	require.Zero(t, until)

	attacker := mia.browser("of an attacker")
	for range 100 { // each guess at the first moment that allows it
		if _, until := lock(); !until.IsZero() {
			w.clock.Add(until.Sub(w.clock.Now()) + time.Second)
		}
		attacker.begin()
		require.ErrorIs(t, attacker.verify(twofa.TOTP, attacker.wrongCode(twofa.TOTP)), twofa.ErrInvalidCode)
		if locked, until := lock(); locked && until.IsZero() {
			break
		}
	}
	locked, until = lock()
	require.True(t, locked)
	require.Zero(t, until, "after 100 wrong codes in a row, it must be enrolled again")
	require.ErrorIs(t, w.acme().Unlock(t.Context(), "mia", twofa.TOTP), twofa.ErrNotAllowed)
}

// status returns where a member of acme stands.
func (w *world) status(user string) twofa.Status {
	w.t.Helper()
	statuses, err := w.acme().Statuses(w.t.Context(), user)
	require.NoError(w.t, err)
	require.Len(w.t, statuses, 1)
	return statuses[0]
}
