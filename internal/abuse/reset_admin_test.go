package abuse

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// resets resets a member as an admin who has just proven ActionReset.
func (p *person) resets(user string) error {
	p.t.Helper()
	return p.resetsIn(p.account, user)
}

func (p *person) resetsIn(account, user string) error {
	p.t.Helper()
	p.clock.Add(time.Minute)
	require.NoError(p.t, p.stepUp(twofa.ActionReset))
	return p.Account(twofa.AsUser(p.caller(), "asked for"), account).Reset(p.t.Context(), user, twofa.ResetRequest{})
}

// A reset by an admin ends everything of the member in one write, and tells every
// address of the member and the other admins.
func TestAbuse_N04_N05_N06_ResetByAnAdmin(t *testing.T) {
	w := team(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	w.setUser("mia", func(u *twofa.User) { u.Emails = append(u.Emails, "mia@example.org") })
	mia, adam := w.signedIn("mia", "acme"), w.signedIn("adam", "acme")
	login, code := mia.another(), mia.code()
	require.NoError(t, adam.stepUp(twofa.ActionReset))
	mails, events := len(w.out.Mails()), len(w.events)
	require.NoError(t, adam.as().Reset(t.Context(), "mia", twofa.ResetRequest{}))

	require.Equal(t, []string{event.AdminAct, event.Reset}, w.types()[events:])
	act, reset := w.events[events], w.events[events+1]
	require.Equal(t, twofa.TOTP, act.Method)
	require.Equal(t, "adam", act.User)
	require.Equal(t, act.Act, reset.Act)
	require.Equal(t, twofa.EventActor{Kind: "user", ID: "adam", Role: "admin"}, reset.Actor)
	require.Equal(t, []string{"mia", "acme", "asked for"}, []string{reset.User, reset.Account, reset.Reason})
	told := map[string]string{}
	for _, mail := range w.out.Mails()[mails:] {
		told[mail.To] = mail.Subject + "\n" + mail.Text.Reveal()
	}
	require.Len(t, told, 4)
	require.Contains(t, told["mia@example.com"], "were removed")
	require.Contains(t, told["mia@example.org"], "were removed")
	for _, admin := range []string{"alma@example.com", "olga@example.com"} {
		require.Contains(t, told[admin], "of a member")
	}

	denied(t, mia.Check(t.Context(), mia.caller()), twofa.ReasonSignedOut)
	require.ErrorIs(t, login.verify(twofa.TOTP, code), twofa.ErrExpired)
	require.ErrorIs(t, login.verify(twofa.RecoveryCode, mia.codes[0]), twofa.ErrExpired)
}

// After a reset, a password opens nothing without the link (N-07).
func TestAbuse_N07_EnrollmentAfterAResetNeedsTheLink(t *testing.T) {
	w := team(t)
	w.policy("acme", twofa.Policy{Required: true, EnrollWithoutLink: true})
	mia := w.person("mia")
	mia.account = "acme"
	require.Equal(t, twofa.NextEnroll, mia.begin())
	mia.enroll()
	adam := w.person("adam")
	adam.account = "acme"
	require.Equal(t, twofa.NextEnroll, adam.begin())
	adam.enroll()
	require.NoError(t, adam.resets("mia"))
	linked, err := mia.enrollAfterReset(twofa.ByPassword)
	require.NoError(t, err)
	require.True(t, linked)
}

// A member who belongs to another account, too, or who cannot be mailed a link, is
// for support. Nothing is used up or written for it.
func TestAbuse_N02_OnlySupportResets(t *testing.T) {
	for name, edit := range map[string]func(*twofa.User){
		"another account": func(u *twofa.User) { u.Members = append(u.Members, twofa.Member{Account: "beta"}) },
		"no address":      func(u *twofa.User) { u.Emails = nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := team(t)
			mia, adam := w.signedIn("mia", "acme"), w.signedIn("adam", "acme")
			w.setUser("mia", edit)
			require.NoError(t, adam.stepUp(twofa.ActionReset))
			events := len(w.events)
			err := adam.as().Reset(t.Context(), "mia", twofa.ResetRequest{})
			denied(t, err, twofa.ReasonSupport)
			require.Len(t, w.events, events)
			require.NoError(t, mia.Check(t.Context(), mia.caller()))
			w.setUser("max", func(u *twofa.User) { u.Name = "max" })
			require.NoError(t, adam.as().Reset(t.Context(), "max", twofa.ResetRequest{}), "the proof was not used up")
			require.NoError(t, w.Account(twofa.AsHost("seen on video"), "acme").Reset(t.Context(), "mia", twofa.ResetRequest{InPerson: true}))
			denied(t, mia.Check(t.Context(), mia.caller()), twofa.ReasonSignedOut)
		})
	}
}

// A member who joins another account between the two writes is not reset.
func TestAbuse_N02_JoinsAnotherAccountDuringTheReset(t *testing.T) {
	w, store := newBarrier(t)
	w.cfg.Directory = directory{w}
	w.Manager = w.again()
	for id, role := range map[string]twofa.Role{"adam": twofa.RoleAdmin, "mia": twofa.RoleMember} {
		w.users[id] = twofa.User{ID: id, Emails: []string{id + "@example.com"}, Members: []twofa.Member{{Account: "acme", Role: role}}}
	}
	mia, adam := w.signedIn("mia", "acme"), w.signedIn("adam", "acme")
	require.NoError(t, adam.stepUp(twofa.ActionReset))
	store.Between(func() {
		w.setUser("mia", func(u *twofa.User) { u.Members = append(u.Members, twofa.Member{Account: "beta"}) })
	})
	denied(t, adam.as().Reset(t.Context(), "mia", twofa.ResetRequest{}), twofa.ReasonSupport)
	require.NoError(t, mia.Check(t.Context(), mia.caller()))
}

func TestAbuse_N03_N09_EachResetNeedsAProofOfItsOwn(t *testing.T) {
	w := team(t)
	adam := w.signedIn("adam", "acme")
	require.NoError(t, adam.stepUp(twofa.ActionPolicy))
	denied(t, adam.as().Reset(t.Context(), "mia", twofa.ResetRequest{}), twofa.ReasonMissing, "a proof for another action")
	require.NoError(t, adam.resets("mia"))
	denied(t, adam.as().Reset(t.Context(), "max", twofa.ResetRequest{}), twofa.ReasonMissing)
	require.NoError(t, adam.stepUp(twofa.ActionReset))
	w.clock.Add(6 * time.Minute)
	denied(t, adam.as().Reset(t.Context(), "max", twofa.ResetRequest{}), twofa.ReasonStale)
	p := w.inForce("acme").Policy
	p.Actions = map[string]twofa.ActionRule{twofa.ActionReset: {MaxAge: time.Minute}}
	require.ErrorIs(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), p, ""), twofa.ErrInvalid)
	p.Actions = map[string]twofa.ActionRule{twofa.ActionReset: {Methods: []twofa.Method{twofa.SMS}}}
	require.ErrorIs(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), p, ""), twofa.ErrInvalid)
}

// Somebody who had an admin reset, and so has the mailbox, cannot act as that
// admin for a day.
func TestAbuse_N07_ResetAdminCools(t *testing.T) {
	w := team(t)
	olga := w.signedIn("olga", "acme")
	adam := w.signedIn("adam", "acme")
	require.NoError(t, olga.resets("adam"))
	start := w.clock.Now()
	_, err := adam.enrollAfterReset(twofa.ByPassword)
	require.NoError(t, err)
	require.NoError(t, adam.Check(t.Context(), adam.caller()), "an ordinary page")
	denied(t, failure(adam.as().Statuses(t.Context(), "mia")), twofa.ReasonCooling)
	denied(t, adam.resets("mia"), twofa.ReasonCooling)
	w.clock.Add(24*time.Hour - w.clock.Now().Sub(start) - time.Minute)
	adam.begin()
	require.NoError(t, adam.verify(twofa.TOTP, adam.code()))
	denied(t, failure(adam.as().Policy(t.Context())), twofa.ReasonCooling)
	w.clock.Add(time.Minute)
	require.NoError(t, failure(adam.as().Policy(t.Context())))
	require.NoError(t, adam.resets("mia"))
}

func TestReset_ByAnAdminRefused(t *testing.T) {
	w := team(t)
	mia, adam := w.signedIn("mia", "acme"), w.signedIn("adam", "acme")
	stored := w.record("mia")
	require.NoError(t, adam.stepUp(twofa.ActionReset))
	ctx, none := t.Context(), twofa.ResetRequest{}
	require.ErrorIs(t, w.Account(twofa.AsUser(adam.caller(), " \u202e "), "acme").Reset(ctx, "mia", none), twofa.ErrInvalid)
	require.ErrorIs(t, adam.as().Reset(ctx, "mia", twofa.ResetRequest{InPerson: true}), twofa.ErrInvalid)
	require.ErrorIs(t, adam.as().Reset(ctx, "ben", none), twofa.ErrNotEnrolled)
	require.ErrorIs(t, adam.as().Reset(ctx, "nobody", none), twofa.ErrNotEnrolled)
	require.ErrorIs(t, adam.as().Reset(ctx, "mia\n", none), twofa.ErrInvalid)
	require.ErrorIs(t, w.Account(twofa.Actor{}, "acme").Reset(ctx, "mia", none), twofa.ErrInvalid)
	require.ErrorIs(t, mia.User(twofa.AsUser(adam.caller(), "x"), "mia").Reset(ctx, none), twofa.ErrNotAllowed)
	denied(t, adam.as().Reset(ctx, "adam", none), twofa.ReasonSelf)
	denied(t, adam.as().Reset(ctx, "alma", none), twofa.ReasonRole)
	denied(t, mia.as().Reset(ctx, "max", none), twofa.ReasonRole)
	require.Equal(t, stored, w.record("mia"))
	require.NoError(t, adam.as().Reset(ctx, "mia", none), "nothing was used up")
}

// A user who was removed and added again enrolls a new factor.
func TestMemberRemoved_AndAddedAgain(t *testing.T) {
	w := team(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	mia := w.signedIn("mia", "acme")
	members := w.users["mia"].Members
	removed := func() error {
		return w.Account(twofa.AsHost("left"), "acme").MemberRemoved(t.Context(), "mia")
	}
	require.ErrorIs(t, removed(), twofa.ErrInvalid, "still a member")
	w.setUser("mia", func(u *twofa.User) { u.Members = nil })
	mails := len(w.out.Mails())
	require.NoError(t, removed())
	require.Equal(t, []string{event.Reset, event.MemberRemoved}, w.types()[len(w.events)-2:])
	told := map[string]bool{}
	for _, mail := range w.out.Mails()[mails:] {
		told[mail.To] = true
	}
	require.Equal(t, map[string]bool{"mia@example.com": true, "olga@example.com": true, "adam@example.com": true, "alma@example.com": true}, told)
	events := len(w.events)
	require.NoError(t, removed())
	require.Len(t, w.events, events, "a second call changes nothing")

	w.setUser("mia", func(u *twofa.User) { u.Members = members })
	denied(t, mia.Check(t.Context(), mia.caller()), twofa.ReasonSignedOut)
	linked, err := mia.enrollAfterReset(twofa.ByPassword)
	require.NoError(t, err)
	require.True(t, linked)
}

// A user who belongs to another account keeps factors and the session there.
func TestMemberRemoved_OfOneOfTwoAccounts(t *testing.T) {
	w := team(t)
	w.setUser("mia", func(u *twofa.User) { u.Members = append(u.Members, twofa.Member{Account: "beta"}) })
	mia := w.signedIn("mia", "acme")
	require.NoError(t, mia.stepUp("export"))
	require.NoError(t, w.Account(twofa.AsHost("test"), "acme").Extend(t.Context(), "mia", w.clock.Now().Add(time.Hour)))
	w.setUser("mia", func(u *twofa.User) { u.Members = u.Members[1:] })
	require.NoError(t, w.Account(twofa.AsHost("left"), "acme").MemberRemoved(t.Context(), "mia"))
	opened := w.opened("mia")
	require.NotContains(t, opened, "acme", "nothing of the account is left")
	mia.account = "beta"
	require.Equal(t, twofa.NextChallenge, mia.begin())
	require.NoError(t, mia.verify(twofa.TOTP, mia.code()))
}

func TestMemberRemoved_Refused(t *testing.T) {
	w := team(t)
	adam := w.signedIn("adam", "acme")
	require.ErrorIs(t, adam.as().MemberRemoved(t.Context(), "mia"), twofa.ErrNotAllowed)
	host := w.Account(twofa.AsHost("left"), "acme")
	require.ErrorIs(t, host.MemberRemoved(t.Context(), ""), twofa.ErrInvalid)
	require.ErrorIs(t, w.Account(twofa.AsHost("left"), "").MemberRemoved(t.Context(), "mia"), twofa.ErrInvalid)
	events := len(w.events)
	require.NoError(t, host.MemberRemoved(t.Context(), "nobody"), "a user who never signed in")
	require.Len(t, w.events, events)
	delete(w.users, "adam")
	require.NoError(t, host.MemberRemoved(t.Context(), "adam"), "the host has deleted the user")
	denied(t, adam.Check(t.Context(), adam.caller()), twofa.ReasonSignedOut)
}

// A member who is removed between the two writes of an act gets no more time.
func TestAbuse_N12_RemovedDuringTheAct(t *testing.T) {
	w, store := newBarrier(t)
	w.cfg.Directory = directory{w}
	w.Manager = w.again()
	for id, role := range map[string]twofa.Role{"adam": twofa.RoleAdmin, "mia": twofa.RoleMember} {
		w.users[id] = twofa.User{ID: id, Emails: []string{id + "@example.com"}, Members: []twofa.Member{{Account: "acme", Role: role}}}
	}
	w.signedIn("mia", "acme")
	adam := w.signedIn("adam", "acme")
	require.NoError(t, adam.stepUp(twofa.ActionPolicy))
	stored := w.record("mia")
	store.Between(func() { w.setUser("mia", func(u *twofa.User) { u.Members = nil }) })
	require.ErrorIs(t, adam.as().Extend(t.Context(), "mia", w.clock.Now().Add(time.Hour)), twofa.ErrNotEnrolled)
	require.Equal(t, stored, w.record("mia"))
}

// The name of a member is not a link in a mail to the admins.
func TestReset_NameInMailIsNoLink(t *testing.T) {
	w := team(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	w.setUser("mia", func(u *twofa.User) { u.Name = "Call https://evil.example/unlock now" })
	w.signedIn("mia", "acme")
	adam := w.signedIn("adam", "acme")
	require.NoError(t, adam.resets("mia"))
	for _, mail := range w.out.Mails() {
		require.NotContains(t, mail.Text.Reveal(), "evil.example", mail.To)
	}
}
