package abuse

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// by is a member of staff who acts on ada.
func (w *world) by(staff string) *twofa.ManagedUser {
	return w.User(twofa.AsStaff(staff, "called back at the number on file"), "ada")
}

// opened opens a case for ada with an authenticator and a session.
func opened(t *testing.T, edit ...func(*twofa.Config)) (ada *person, x twofa.Case) {
	t.Helper()
	w := newWorld(t, append(edit, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })...)
	ada = w.enrolled("ada")
	w.clock.Add(time.Hour)
	x, err := w.by("sam").OpenCase(t.Context(), twofa.ResetRequest{})
	require.NoError(t, err)
	return ada, x
}

// stopLink returns the token in the last mail to an address.
func (w *world) stopLink(to string) twofa.Secret {
	w.t.Helper()
	for i := len(w.out.Mails()) - 1; i >= 0; i-- {
		if mail := w.out.Mails()[i]; mail.To == to {
			found := regexp.MustCompile(`/2fa/case\?token=(\S+)`).FindStringSubmatch(mail.Text.Reveal())
			require.NotNil(w.t, found, mail.Text.Reveal())
			return twofa.NewSecret(found[1])
		}
	}
	w.t.Fatal("no mail to " + to)
	return twofa.Secret{}
}

func (w *world) hasCase() bool {
	w.t.Helper()
	x, err := w.by("nora").Case(w.t.Context())
	require.NoError(w.t, err)
	return x != nil
}

// isReset reports whether the user was reset.
func (p *person) isReset() bool {
	return p.count(event.Reset, "") > 0
}

// One member of staff cannot reset anybody, and two cannot do it before the owner had
// time to stop it.
func TestAbuse_N01_N06_CaseTakesTwoPeopleAndTime(t *testing.T) {
	ada, x := opened(t)
	require.Equal(t, "sam", x.By)
	require.Equal(t, []time.Duration{24 * time.Hour, 72 * time.Hour, 7 * 24 * time.Hour}, []time.Duration{x.From.Sub(x.Opened), x.ByOneFrom.Sub(x.Opened), x.Expires.Sub(x.Opened)})
	require.ErrorIs(t, ada.by("sam").Reset(t.Context(), twofa.ResetRequest{}), twofa.ErrNotAllowed, "staff cannot reset at once")
	require.ErrorIs(t, ada.Account(twofa.AsStaff("sam", "x"), "acme").Reset(t.Context(), "ada", twofa.ResetRequest{}), twofa.ErrNotAllowed)
	approve := func(staff string) error { _, err := ada.by(staff).ApproveCase(t.Context(), x.ID); return err }
	require.ErrorIs(t, approve("nora"), twofa.ErrLocked)
	ada.clock.Add(24*time.Hour - time.Second)
	require.ErrorIs(t, approve("nora"), twofa.ErrLocked)
	require.Equal(t, time.Second, twofa.RetryAfter(approve("nora")))
	ada.clock.Add(time.Second)
	require.ErrorIs(t, approve("sam"), twofa.ErrNotAllowed, "the one who opened it")
	require.NoError(t, approve("nora"))
	require.NoError(t, approve("nora"), "again, which changes nothing")
	require.Equal(t, 1, strings.Count(strings.Join(ada.types(), " "), event.ResetApproved))
	require.False(t, ada.isReset())
	require.NoError(t, approve("otto"))
	require.True(t, ada.isReset())
	require.False(t, ada.hasCase())
	require.ErrorIs(t, approve("pia"), twofa.ErrExpired)
	last := ada.events[len(ada.events)-1]
	require.Equal(t, []any{event.Reset, x.ID, twofa.EventActor{Kind: "staff", ID: "otto"}, "called back at the number on file"}, []any{last.Type, last.Case, last.Actor, last.Reason})
	linked, err := ada.enrollAfterReset(twofa.ByPassword)
	require.NoError(t, err)
	require.True(t, linked, "the next enrollment needs the link")
}

// After three days, one approval is enough, also one that was given before. After
// seven, none is.
func TestCase_OneApprovalIsEnoughLater(t *testing.T) {
	for name, c := range map[string]struct {
		first, second time.Duration
		reset         bool
	}{
		"one, after three days":          {72 * time.Hour, 0, true},
		"one, too early":                 {72*time.Hour - time.Second, 0, false},
		"the same again, three days on":  {30 * time.Hour, 72 * time.Hour, true},
		"the last second of seven days":  {7*24*time.Hour - time.Second, 0, true},
		"one on the first day, no other": {25 * time.Hour, 48 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			ada, x := opened(t)
			ada.clock.Add(c.first)
			_, err := ada.by("nora").ApproveCase(t.Context(), x.ID)
			require.NoError(t, err)
			if c.second > 0 {
				ada.clock.Add(c.second - c.first)
				_, err = ada.by("nora").ApproveCase(t.Context(), x.ID)
				require.NoError(t, err)
			}
			require.Equal(t, c.reset, ada.isReset())
		})
	}
	ada, x := opened(t)
	ada.clock.Add(7 * 24 * time.Hour)
	_, err := ada.by("nora").ApproveCase(t.Context(), x.ID)
	require.ErrorIs(t, err, twofa.ErrExpired)
	require.False(t, ada.hasCase())
}

// The owner is told at every address of the last 30 days, and ends the case with the
// link in any of those mails, without signing in.
func TestAbuse_N06_LinkEndsTheCase(t *testing.T) {
	ada, _ := opened(t)
	ada.setUser("ada", func(u *twofa.User) { u.Emails = []string{"thief@example.org"} })
	require.NoError(t, ada.by("sam").CancelCase(t.Context(), mustCase(t, ada).ID))
	var x twofa.Case
	told := ada.tells(func() {
		var err error
		x, err = ada.by("sam").OpenCase(t.Context(), twofa.ResetRequest{})
		require.NoError(t, err)
	})
	require.Equal(t, []string{"thief@example.org", "ada@example.com"}, told)
	link := ada.stopLink("ada@example.com")
	seen, err := ada.LinkedCase(t.Context(), link)
	require.NoError(t, err)
	require.Equal(t, x.ID, seen.ID)
	require.True(t, ada.hasCase(), "to look at it ends nothing")
	require.NoError(t, ada.CancelCase(t.Context(), ada.client, link))
	require.False(t, ada.hasCase())
	require.Equal(t, event.ResetCanceled, ada.events[len(ada.events)-1].Type)
	require.ErrorIs(t, ada.CancelCase(t.Context(), ada.client, link), twofa.ErrExpired)
	_, err = ada.LinkedCase(t.Context(), link)
	require.ErrorIs(t, err, twofa.ErrExpired)
	ada.clock.Add(72 * time.Hour)
	_, err = ada.by("nora").ApproveCase(t.Context(), x.ID)
	require.ErrorIs(t, err, twofa.ErrExpired)
}

func mustCase(t *testing.T, p *person) twofa.Case {
	t.Helper()
	x, err := p.by("nora").Case(t.Context())
	require.NoError(t, err)
	require.NotNil(t, x)
	return *x
}

// Forged links, links of an earlier case and other tokens end nothing.
func TestAbuse_N06_ForeignLinksEndNothing(t *testing.T) {
	ada, x := opened(t)
	old := ada.stopLink("ada@example.com")
	require.NoError(t, ada.by("sam").CancelCase(t.Context(), x.ID))
	_, err := ada.by("sam").OpenCase(t.Context(), twofa.ResetRequest{})
	require.NoError(t, err)
	ada.begin()
	for name, token := range map[string]string{
		"empty": "", "garbage": "x.y", "of an earlier case": old.Reveal(), "a session": ada.session.Reveal(), "a challenge": ada.login.Challenge.Reveal(),
		"changed": old.Reveal()[:len(old.Reveal())-2] + "AA", "another key": "other" + old.Reveal(),
	} {
		require.ErrorIs(t, ada.CancelCase(t.Context(), ada.client, twofa.NewSecret(token)), twofa.ErrExpired, name)
		_, err := ada.LinkedCase(t.Context(), twofa.NewSecret(token))
		require.ErrorIs(t, err, twofa.ErrExpired, name)
	}
	require.True(t, ada.hasCase())
	link := ada.stopLink("ada@example.com")
	require.Error(t, ada.Check(t.Context(), twofa.Caller{Session: twofa.ParseSession(link.Reveal())}), "a link is no session")
	_, err = ada.Verify(t.Context(), ada.caller(), twofa.ParseChallenge(link.Reveal()), twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(ada.code())})
	require.ErrorIs(t, err, twofa.ErrExpired, "nor a challenge")
}

// A login by whatever path suspends the case, and only a session whose first factor
// was given after it was opened can say that it is the owner's.
func TestAbuse_N06_LoginSuspendsTheCase(t *testing.T) {
	for name, login := range map[string]func(p *person){
		"authenticator": func(p *person) { p.begin(); require.NoError(p.t, p.verify(twofa.TOTP, p.code())) },
		"recovery code": func(p *person) { p.begin(); require.NoError(p.t, p.verify(twofa.RecoveryCode, p.codes[0])) },
	} {
		t.Run(name, func(t *testing.T) {
			ada, x := opened(t)
			stolen := *ada // a session from before
			ada.clock.Add(time.Hour)
			p := ada.browser("new")
			login(p)
			require.True(t, p.login.Case, "the result says so")
			require.True(t, mustCase(t, ada).Suspended)
			ada.clock.Add(72 * time.Hour)
			_, err := ada.by("nora").ApproveCase(t.Context(), x.ID)
			require.ErrorIs(t, err, twofa.ErrNotAllowed)

			denied(t, stolen.AnswerCase(t.Context(), stolen.caller(), x.ID, true), twofa.ReasonSignedOut)
			require.True(t, mustCase(t, ada).Suspended)
			login2 := ada.browser("newer")
			login2.begin()
			require.NoError(t, login2.verify(twofa.TOTP, login2.code()))
			require.ErrorIs(t, p.AnswerCase(t.Context(), login2.caller(), "other", true), twofa.ErrExpired)
			require.NoError(t, p.AnswerCase(t.Context(), login2.caller(), x.ID, true))
			require.False(t, mustCase(t, ada).Suspended)
			_, err = ada.by("nora").ApproveCase(t.Context(), x.ID)
			require.NoError(t, err)
			require.True(t, ada.isReset())
		})
	}
}

// Any live session can end the case, also one from before it was opened.
func TestAbuse_N06_SessionEndsTheCase(t *testing.T) {
	ada, x := opened(t)
	other := ada.enrolled("bob")
	require.ErrorIs(t, other.AnswerCase(t.Context(), other.caller(), x.ID, false), twofa.ErrExpired, "of another user")
	standing, err := ada.Standing(t.Context(), ada.caller())
	require.NoError(t, err)
	require.Equal(t, x.ID, standing.Case.ID)
	require.NoError(t, ada.AnswerCase(t.Context(), ada.caller(), x.ID, false))
	require.False(t, ada.hasCase())
	denied(t, ada.AnswerCase(t.Context(), twofa.Caller{}, x.ID, false), twofa.ReasonSignedOut)
}

// An attacker who changes the address while the case is open gets no link.
func TestAbuse_N07_AddressChangedDuringTheCase(t *testing.T) {
	for name, emails := range map[string][]string{"another": {"thief@example.org"}, "none": nil} {
		t.Run(name, func(t *testing.T) {
			ada, x := opened(t)
			ada.setUser("ada", func(u *twofa.User) { u.Emails = emails })
			ada.clock.Add(80 * time.Hour)
			_, err := ada.by("nora").ApproveCase(t.Context(), x.ID)
			require.ErrorIs(t, err, twofa.ErrNotAllowed)
			require.False(t, ada.isReset())
		})
	}
}

// If nobody can be mailed, two people must have verified the user's identity. If
// somebody can, the case cannot say that it was verified.
func TestAbuse_N07_InPerson(t *testing.T) {
	w := newWorld(t)
	w.enrolled("ada")
	_, err := w.by("sam").OpenCase(t.Context(), twofa.ResetRequest{InPerson: true})
	require.ErrorIs(t, err, twofa.ErrNotAllowed)
	w.setUser("ada", func(u *twofa.User) { u.Emails = nil })
	_, err = w.by("sam").OpenCase(t.Context(), twofa.ResetRequest{})
	require.ErrorIs(t, err, twofa.ErrNotAllowed)
	w.clock.Add(time.Minute)
	x, err := w.by("sam").OpenCase(t.Context(), twofa.ResetRequest{InPerson: true})
	require.NoError(t, err)
	require.Zero(t, x.ByOneFrom)
	w.clock.Add(5 * 24 * time.Hour)
	_, err = w.by("nora").ApproveCase(t.Context(), x.ID)
	require.NoError(t, err)
	require.NotContains(t, w.types(), event.Reset)
	_, err = w.by("otto").ApproveCase(t.Context(), x.ID)
	require.NoError(t, err)
	require.Contains(t, w.types(), event.Reset)
}

// More addresses than the record keeps need two approvals, because some of them will
// not be told for 30 days.
func TestAbuse_N06_ManyAddressesNeedTwoApprovals(t *testing.T) {
	ada, x := opened(t)
	require.NotZero(t, x.ByOneFrom)
	ada.setUser("ada", func(u *twofa.User) {
		u.Emails = []string{"ada@example.com", "1@x.org", "2@x.org", "3@x.org", "4@x.org", "5@x.org", "6@x.org", "7@x.org", "8@x.org"}
	})
	ada.clock.Add(100 * time.Hour)
	after, err := ada.by("nora").ApproveCase(t.Context(), x.ID)
	require.NoError(t, err)
	require.Zero(t, after.ByOneFrom)
	require.False(t, ada.isReset())
}

func TestCase_BadInput(t *testing.T) {
	w := newWorld(t)
	w.enrolled("ada")
	for name, c := range map[string]struct {
		user *twofa.ManagedUser
		want error
	}{
		"the host":     {w.User(twofa.AsHost("x"), "ada"), twofa.ErrNotAllowed},
		"a user":       {w.User(twofa.AsUser(twofa.Caller{}, "x"), "ada"), twofa.ErrNotAllowed},
		"nobody":       {w.User(twofa.Actor{}, "ada"), twofa.ErrNotAllowed},
		"no name":      {w.User(twofa.AsStaff("", "x"), "ada"), twofa.ErrNotAllowed},
		"no reason":    {w.User(twofa.AsStaff("sam", ""), "ada"), twofa.ErrInvalid},
		"malformed ID": {w.User(twofa.AsStaff("sam", "x"), ""), twofa.ErrInvalid},
		"no factors":   {w.User(twofa.AsStaff("sam", "x"), "bob"), twofa.ErrNotEnrolled},
	} {
		_, err := c.user.OpenCase(t.Context(), twofa.ResetRequest{})
		require.ErrorIs(t, err, c.want, name)
		if c.want != twofa.ErrNotEnrolled {
			_, err = c.user.ApproveCase(t.Context(), "x")
			require.ErrorIs(t, err, c.want, name)
		}
	}
	_, err := w.by("sam").OpenCase(t.Context(), twofa.ResetRequest{})
	require.NoError(t, err)
	_, err = w.by("nora").OpenCase(t.Context(), twofa.ResetRequest{})
	require.ErrorIs(t, err, twofa.ErrNotAllowed, "a second case")
	require.ErrorIs(t, w.by("nora").CancelCase(t.Context(), "other"), twofa.ErrExpired)
}

// Staff cannot get around a case by deleting the user's record.
func TestAbuse_N01_StaffDeleteOnlyUsersWhoAreGone(t *testing.T) {
	w := newWorld(t)
	w.cfg.Directory = directory{w}
	w.Manager = w.again()
	w.enrolled("ada")
	require.ErrorIs(t, w.by("sam").Delete(t.Context()), twofa.ErrNotAllowed)
	require.NotEmpty(t, w.stored("ada").Version)
	down := w.with(func(c *twofa.Config) {
		c.Directory = twofa.LookUp(func(context.Context, string) (twofa.User, error) { return twofa.User{}, errors.New("down") })
	})
	require.ErrorIs(t, down.User(twofa.AsStaff("sam", "x"), "ada").Delete(t.Context()), twofa.ErrUnavailable)
	delete(w.users, "ada")
	require.NoError(t, w.by("sam").Delete(t.Context()))
	left, err := w.store.Get(t.Context(), "user/ada")
	require.NoError(t, err)
	require.Empty(t, left)
}

// A member of staff whom the product knows under two spellings of one name is one person.
func TestAbuse_N01_OneMemberOfStaffInTwoSpellings(t *testing.T) {
	ada, x := opened(t)
	ada.clock.Add(24 * time.Hour)
	for _, name := range []string{"Sam", "SAM", "\u017fam"} {
		_, err := ada.by(name).ApproveCase(t.Context(), x.ID)
		require.ErrorIs(t, err, twofa.ErrNotAllowed, name)
	}
	for _, name := range []string{"nora", "Nora"} {
		approved, err := ada.by(name).ApproveCase(t.Context(), x.ID)
		require.NoError(t, err, name)
		require.Len(t, approved.Approvals, 1, name)
		require.False(t, approved.Reset, name)
	}
	approved, err := ada.by("otto").ApproveCase(t.Context(), x.ID)
	require.NoError(t, err)
	require.True(t, approved.Reset)
}
