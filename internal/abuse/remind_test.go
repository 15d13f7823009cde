package abuse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/harness"
)

// reminded is a team of a host that mails the notices of package locale. Its
// members must enroll in two weeks.
func reminded(t testing.TB, edit ...func(*twofa.Config)) *world {
	w := team(t, append([]func(*twofa.Config){func(c *twofa.Config) { c.Mail.NoticeEmail = nil }}, edit...)...)
	w.grace(14*aDay, 0)
	return w
}

// listed lists IDs as a host does.
func listed(ids ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, id := range ids {
			if !yield(id, nil) {
				return
			}
		}
	}
}

// enrolledInGrace returns a member of the team who enrolls although there is time
// left.
func (w *world) enrolledInGrace(id string) *person {
	w.t.Helper()
	p := w.person(id)
	p.account = "acme"
	require.Equal(w.t, twofa.NextDone, p.begin())
	require.NoError(w.t, p.took(p.StepUp(w.t.Context(), p.caller(), twofa.ActionFactors, "")))
	require.NoError(w.t, p.send(twofa.EmailLink))
	require.NoError(w.t, p.verify(twofa.EmailLink, p.token()))
	return p.enroll()
}

func everybody() iter.Seq2[string, error] { return listed("olga", "adam", "alma", "mia", "max") }

func (w *world) remind(members iter.Seq2[string, error]) twofa.Reminded {
	w.t.Helper()
	done, err := w.Account(twofa.AsHost("cron"), "acme").Remind(w.t.Context(), members)
	require.NoError(w.t, err)
	return done
}

// mailsTo returns the subjects of the mails to a user, from the n-th mail on.
func (w *world) mailsTo(id string, n int) (list []string) {
	for _, m := range w.out.Mails()[n:] {
		if m.To == id+"@example.com" {
			list = append(list, m.Subject)
		}
	}
	return list
}

// reminderDays calls Remind at intervals, and returns the times since the start at
// which a user was mailed.
func (w *world) reminderDays(id string, every, until time.Duration) (at []time.Duration) {
	for w.clock.Now().Sub(harness.Start) < until {
		n := len(w.out.Mails())
		w.remind(listed(id))
		w.remind(listed(id)) // a second run sends nothing
		for range w.mailsTo(id, n) {
			at = append(at, w.clock.Now().Sub(harness.Start))
		}
		w.clock.Add(every)
	}
	return at
}

func TestRemind_SevenDaysAndOneDayBefore(t *testing.T) {
	w := reminded(t)
	require.Equal(t, []time.Duration{7 * aDay, 13 * aDay}, w.reminderDays("mia", aDay, 20*aDay))
	mail := w.out.Mails()[0]
	require.Equal(t, "Set up two-factor authentication for Acme by 16 March 2026", mail.Subject)
	require.Contains(t, mail.Text.Reveal(), "You can sign in without it until 16 March 2026, 09:00 UTC.")
	require.NotContains(t, mail.Text.Reveal(), "http", "a mail of which phishers send copies has no link")
	data, err := w.User(twofa.AsHost("request for access"), "mia").Export(t.Context())
	require.NoError(t, err)
	require.Equal(t, []twofa.AccountData{{Account: "acme", Reminded: harness.Start.Add(13 * aDay).UTC(), RemindedFor: harness.Start.Add(14 * aDay).UTC()}}, data.Accounts)
	var events []twofa.Event
	for _, e := range w.events {
		if e.Type == event.Reminded {
			events = append(events, e)
		}
	}
	require.Len(t, events, 2)
	require.Equal(t, []any{"mia", "acme", "cron", twofa.EventActor{Kind: "host"}, `"2026-03-16T09:00:00Z"`},
		[]any{events[0].User, events[0].Account, events[0].Reason, events[0].Actor, string(events[0].After)})
}

// Whatever the hour at which the host calls, there are two reminders, and each
// leaves the user at least half a day.
func TestRemind_AtEachHour(t *testing.T) {
	for hour := range 24 {
		w := reminded(t)
		w.clock.Add(time.Duration(hour)*time.Hour + 17*time.Minute)
		at := w.reminderDays("mia", aDay, 20*aDay)
		require.Len(t, at, 2, hour)
		for i, before := range []time.Duration{7 * aDay, aDay} {
			require.LessOrEqual(t, (14*aDay - at[i] - before).Abs(), 12*time.Hour, "at %d", hour)
		}
	}
	at := reminded(t).reminderDays("mia", time.Hour, 20*aDay)
	require.Equal(t, []time.Duration{6*aDay + 12*time.Hour, 12*aDay + 12*time.Hour}, at, "called each hour")
}

func TestRemind_OnlyThoseWhoMustEnroll(t *testing.T) {
	w := reminded(t)
	w.enrolledInGrace("olga")
	alma := w.person("alma")
	alma.account = "acme"
	require.NoError(t, alma.sso("acme"))
	w.setUser("adam", func(u *twofa.User) { u.Disabled = true })
	w.clock.Add(7 * aDay)
	n := len(w.out.Mails())
	done := w.remind(listed("olga", "adam", "alma", "mia", "max", "ben", "nobody"))
	require.Equal(t, 2, done.Mailed)
	require.Equal(t, twofa.Summary{Members: 5, Ready: 1, Exempt: 1, Pending: 2, NextDue: harness.Start.Add(14 * aDay).UTC()}, done.Summary)
	for id, told := range map[string]int{"olga": 1, "adam": 0, "alma": 1, "mia": 1, "max": 1, "ben": 0} {
		require.Len(t, w.mailsTo(id, n), told, "%s: an admin gets the summary, a member the reminder", id)
	}

	w.enrolledInGrace("mia") // and hears no more
	n = len(w.out.Mails())
	w.clock.Add(6*aDay - time.Hour)
	require.Equal(t, 1, w.remind(everybody()).Mailed)
	require.Empty(t, w.mailsTo("mia", n))
	require.Len(t, w.mailsTo("max", n), 1)
	w.clock.Add(2 * aDay)
	done = w.remind(everybody())
	require.Zero(t, done.Mailed, "it is overdue")
	require.Equal(t, 1, done.Summary.Overdue)
	require.Zero(t, done.Admins, "not a day on which a member was reminded")
}

// A policy that requires nothing, or from a date that is years away, reminds
// nobody.
func TestRemind_NotYet(t *testing.T) {
	w := reminded(t)
	for name, p := range map[string]twofa.Policy{"optional": {Deadline: w.clock.Now().Add(aDay)}, "at once": {Required: true},
		"in 7973 years": {Required: true, Deadline: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}, "in 8 days": {Required: true, Deadline: w.clock.Now().Add(8 * aDay)}} {
		w.policy("acme", p)
		require.Zero(t, w.remind(everybody()).Mailed, name)
	}
	w.policy("acme", twofa.Policy{Required: true, Deadline: w.clock.Now().Add(time.Minute)})
	require.Equal(t, 5, w.remind(everybody()).Mailed, "late, but better than never")
	require.Zero(t, w.remind(everybody()).Mailed, "only one reminder is left")
}

// A date that changes is a new one.
func TestRemind_AgainAfterAnExtension(t *testing.T) {
	w := reminded(t)
	w.clock.Add(7 * aDay)
	require.Equal(t, 1, w.remind(listed("mia")).Mailed)
	extend := func(in time.Duration) {
		require.NoError(t, w.Account(twofa.AsHost("ill"), "acme").Extend(t.Context(), "mia", w.clock.Now().Add(in)))
	}
	extend(30 * aDay)
	require.Zero(t, w.remind(listed("mia")).Mailed)
	at := w.reminderDays("mia", aDay, 40*aDay)
	require.Equal(t, []time.Duration{30 * aDay, 36 * aDay}, at)

	extend(2 * aDay)
	require.Equal(t, 1, w.remind(listed("mia")).Mailed)
	require.Zero(t, w.remind(listed("mia")).Mailed)
	extend(3 * aDay)
	require.Equal(t, 1, w.remind(listed("mia")).Mailed, "the user must know the new date")
}

func TestRemind_TwoProcessesAtOnce(t *testing.T) {
	w := reminded(t)
	w.clock.Add(7 * aDay)
	var mu sync.Mutex
	var sum twofa.Reminded
	rush(t, 8, w.servers(2), func(m *twofa.Manager, _ int) error {
		done, err := m.Account(twofa.AsHost("cron"), "acme").Remind(t.Context(), everybody())
		mu.Lock()
		defer mu.Unlock()
		sum.Mailed, sum.Admins, sum.Failed = sum.Mailed+done.Mailed, sum.Admins+done.Admins, sum.Failed+done.Failed
		return err
	})
	require.Equal(t, twofa.Reminded{Mailed: 5, Admins: 3}, sum)
	require.Len(t, w.out.Mails(), 5+3)
	for id, told := range map[string]int{"olga": 2, "adam": 2, "alma": 2, "mia": 1, "max": 1} {
		require.Len(t, w.mailsTo(id, 0), told, id)
	}
	types := w.types()
	require.Equal(t, 5, strings.Count(strings.Join(types, " "), event.Reminded))
	require.Equal(t, 1, strings.Count(strings.Join(types, " "), event.Summarized))
}

// crashing is a store at whose process the power fails, right after it has stored
// one record.
type crashing struct {
	twofa.Store
	at string
}

func (s *crashing) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	err := s.Store.Swap(ctx, prev, next, events...)
	if next.Key == s.at {
		s.at = ""
		panic("the power fails")
	}
	return err
}

// A reminder is recorded before it is mailed, so a crash in between loses one mail
// and repeats none. The rest is sent by the next call.
func TestRemind_CrashBetweenRecordAndMail(t *testing.T) {
	for _, at := range []string{"user/alma", "account/acme"} {
		store := &crashing{Store: memstore.New()}
		w := reminded(t, func(c *twofa.Config) { c.Store = store })
		w.clock.Add(7 * aDay)
		store.at = at
		require.PanicsWithValue(t, "the power fails", func() { w.remind(everybody()) })
		w.clock.Add(time.Minute)
		done := w.remind(everybody())
		want := map[string]int{"olga": 2, "adam": 2, "alma": 1, "mia": 1, "max": 1} // a reminder is lost
		if at == "account/acme" {
			want = map[string]int{"olga": 1, "adam": 1, "alma": 1, "mia": 1, "max": 1} // the summary is lost
			require.Zero(t, done.Mailed+done.Admins)
		}
		for id, n := range want {
			require.Len(t, w.mailsTo(id, 0), n, "%s, %s", at, id)
		}
	}
}

// A member who cannot be reminded keeps nobody else from it.
func TestRemind_TheOthersGoOn(t *testing.T) {
	mailer := &refusing{}
	w := reminded(t, func(c *twofa.Config) { c.Mail.Mailer = mailer })
	mailer.to = map[string]bool{"adam@example.com": true}
	mailer.next = w.out
	w.setUser("mia", func(u *twofa.User) { u.Emails = nil })
	w.setUser("max", func(u *twofa.User) { u.Emails = []string{"max@example.com", "adam@example.com"} })
	for _, id := range []string{"olga", "alma"} {
		p := w.person(id)
		p.account = "acme"
		p.begin()
	}
	old, err := w.store.Get(t.Context(), "user/olga")
	require.NoError(t, err)
	next := old[0]
	next.Version, next.Data = "broken", append(slices.Clone(next.Data), 'x')
	require.NoError(t, w.store.Swap(t.Context(), old[0].Version, next))
	w.clock.Add(7 * aDay)
	done := w.remind(everybody())
	due := harness.Start.Add(14 * aDay).UTC()
	require.Equal(t, twofa.Reminded{Mailed: 2, NoAddress: 1, Failed: 1, Unreadable: 1, Admins: 2,
		Summary: twofa.Summary{Members: 5, Pending: 4, NextDue: due}}, done)
	w.setUser("mia", func(u *twofa.User) { u.Emails = []string{"mia@example.com"} })
	mailer.to = nil
	require.Equal(t, twofa.Reminded{Mailed: 1, Unreadable: 1, Summary: done.Summary}, w.remind(everybody()), "it is sent as soon as there is an address, and a refused one is not sent again")

	w.clock.Add(6 * aDay)
	w.Manager = func() *twofa.Manager {
		w.cfg.Mail.NoticeEmail = func(n twofa.NoticeEmail) twofa.Email {
			if n.User.ID == "adam" {
				panic("a bug of the host")
			}
			return twofa.Email{}
		}
		return w.again()
	}()
	require.Equal(t, twofa.Reminded{Failed: 4, Unreadable: 1, Summary: done.Summary}, w.remind(everybody()))
}

// refusing is a mailer that accepts nothing for some addresses.
type refusing struct {
	to   map[string]bool
	next twofa.Mailer
}

func (r *refusing) SendMail(ctx context.Context, m twofa.Email) error {
	if r.to[m.To] {
		return errors.New("mailbox full")
	}
	return r.next.SendMail(ctx, m)
}

// An error ends the call. The result says what was done, and the next call
// continues.
func TestRemind_Errors(t *testing.T) {
	failing := errors.New("database is down")
	store := &broken{Store: memstore.New()}
	w := reminded(t, func(c *twofa.Config) { c.Store = store })
	w.clock.Add(7 * aDay)
	acme := w.Account(twofa.AsHost("cron"), "acme")
	ends := func(err error, ids ...string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for id := range listed(ids...) {
				if !yield(id, nil) {
					return
				}
			}
			if yield("", err) {
				t.Error("Remind goes on after an error of the list")
			}
		}
	}
	done, err := acme.Remind(t.Context(), ends(failing, "mia"))
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	require.ErrorIs(t, err, failing)
	require.Equal(t, []int{1, 0}, []int{done.Mailed, done.Admins}, "those before the error are reminded, but a part is no summary")

	_, err = acme.Remind(t.Context(), listed("max", "ma\nx"))
	require.ErrorIs(t, err, twofa.ErrInvalid)
	require.Empty(t, w.mailsTo("max", 0))

	store.fails = "user/max"
	done, err = acme.Remind(t.Context(), listed("adam", "max", "alma"))
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	require.Equal(t, 1, done.Mailed)
	store.fails = "account/acme"
	done, err = acme.Remind(t.Context(), everybody())
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	require.Equal(t, []int{3, 0}, []int{done.Mailed, done.Admins})
	store.fails = ""
	done = w.remind(everybody())
	require.Equal(t, []int{0, 3}, []int{done.Mailed, done.Admins}, "the summary of the day is made up for")

	for name, err := range map[string]error{
		"no account":   failure(w.Account(twofa.AsHost("cron"), "").Remind(t.Context(), listed())),
		"no list":      failure(acme.Remind(t.Context(), nil)),
		"malformed ID": failure(w.Account(twofa.AsHost("cron"), "a\n").Remind(t.Context(), listed())),
	} {
		require.ErrorIs(t, err, twofa.ErrInvalid, name)
	}
	olga := w.enrolledInGrace("olga")
	require.NoError(t, olga.stepUp(twofa.ActionPolicy))
	for name, by := range map[string]twofa.Actor{"an owner": twofa.AsUser(olga.caller(), "why"), "nobody": {}, "staff without a name": twofa.AsStaff("", "why")} {
		require.ErrorIs(t, failure(w.Account(by, "acme").Remind(t.Context(), everybody())), twofa.ErrNotAllowed, name)
	}
	require.NoError(t, failure(w.Account(twofa.AsStaff("s1", "asked for"), "acme").Remind(t.Context(), everybody())))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, failure(acme.Remind(ctx, everybody())), twofa.ErrUnavailable)

	silent := reminded(t)
	silent.clock.Add(7 * aDay)
	silent.cfg.Mail.Mailer, silent.cfg.Mail.LinkURL, silent.cfg.Mail.CaseURL = nil, nil, nil
	_, err = silent.again().Account(twofa.AsHost("cron"), "acme").Remind(t.Context(), everybody())
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	require.Equal(t, 5, silent.remind(everybody()).Mailed, "a process that cannot mail has not used them up")
}

// The admins are told on each day on which a member is reminded, once.
func TestRemind_Summary(t *testing.T) {
	w := reminded(t)
	w.enrolledInGrace("olga")
	w.setUser("ben", func(u *twofa.User) {
		u.Members = append(u.Members, twofa.Member{Account: "acme", Since: harness.Start.Add(aDay)})
	})
	w.setUser("alma", func(u *twofa.User) { u.Language = "de" })
	version := w.inForce("acme").Version
	w.clock.Add(7 * aDay)
	team := listed("olga", "adam", "alma", "mia", "max", "ben")
	n := len(w.out.Mails())
	done := w.remind(team)
	require.Equal(t, 3, done.Admins)
	var mail twofa.Email
	for _, m := range w.out.Mails()[n:] {
		if m.To == "olga@example.com" {
			mail = m
		}
	}
	require.Equal(t, "5 members still need two-factor authentication at Acme", mail.Subject)
	text := mail.Text.Reveal()
	for _, line := range []string{"5 members haven't set it up yet. The first deadline is 16 March 2026, 09:00 UTC.", "1 member has set it up."} {
		require.Contains(t, text, "\n"+line+"\n")
	}
	for _, word := range []string{"adam", "alma", "mia", "max", "ben", "beta", "missed", "identity provider"} {
		require.NotContains(t, strings.ToLower(text), word, "it names nobody, and leaves out what is zero")
	}
	require.Equal(t, version, w.inForce("acme").Version, "an admin who edits the policy is not told that somebody changed it")

	var stored twofa.Summary
	last := w.events[len(w.events)-1]
	require.Equal(t, []any{event.Summarized, "acme", "", "cron"}, []any{last.Type, last.Account, last.User, last.Reason})
	require.NoError(t, json.Unmarshal(last.After, &stored))
	require.Equal(t, done.Summary, stored)

	w.clock.Add(time.Hour)
	require.Zero(t, w.remind(team).Admins, "once a day")
	w.clock.Add(aDay)
	done = w.remind(team)
	require.Equal(t, []int{1, 3}, []int{done.Mailed, done.Admins}, "ben joined a day later")
	w.clock.Add(aDay)
	require.Zero(t, w.remind(team).Admins, "nobody was reminded")
	w.clock.Add(5 * aDay)
	require.Equal(t, 3, w.remind(team).Admins)
	require.Equal(t, twofa.Summary{Members: 6, Ready: 1, Pending: 1, Overdue: 4, NextDue: harness.Start.Add(15 * aDay).UTC()}, w.remind(team).Summary)
}

// A directory that does not know the admins, or that cannot say who they are now,
// loses the summary only.
func TestRemind_WithoutAdmins(t *testing.T) {
	w := reminded(t)
	w.clock.Add(7 * aDay)
	w.cfg.Directory = twofa.LookUp(w.lookup)
	w.Manager = w.again()
	done := w.remind(everybody())
	require.Equal(t, []any{5, 0, true}, []any{done.Mailed, done.Admins, done.NoAdminLister})
	w.cfg.Directory = lostAdmins{directory{w}}
	w.Manager = w.again()
	done = w.remind(everybody())
	require.Equal(t, []any{0, 0, false}, []any{done.Mailed, done.Admins, done.NoAdminLister})
}

type lostAdmins struct{ directory }

func (lostAdmins) Admins(context.Context, string) ([]string, error) {
	return nil, errors.New("database is down")
}

// Somebody of the staff who has the ID of an admin is somebody else.
func TestRemind_StaffWithTheIDOfAnAdmin(t *testing.T) {
	w := reminded(t)
	w.clock.Add(7 * aDay)
	done, err := w.Account(twofa.AsStaff("olga", "asked for"), "acme").Remind(t.Context(), everybody())
	require.NoError(t, err)
	require.Equal(t, 3, done.Admins)
}

// The record of a user has room for 16 accounts. A user of more of them is not
// reminded again each day because one account takes the place of another, also if
// the user signs in to all.
func TestRemind_UserOfManyAccounts(t *testing.T) {
	w := reminded(t, func(c *twofa.Config) {
		c.Policy = twofa.PolicyAuthenticator()
		c.Policy.Grace = 14 * aDay
	})
	var accounts []string
	w.setUser("mia", func(u *twofa.User) {
		u.Members = nil
		for i := range 20 {
			accounts = append(accounts, fmt.Sprintf("a%02d", i))
			u.Members = append(u.Members, twofa.Member{Account: accounts[i], Since: harness.Start})
		}
	})
	mailed, failed := map[string]int{}, 0
	for range 14 {
		for _, account := range accounts {
			done, err := w.Account(twofa.AsHost("cron"), account).Remind(t.Context(), listed("mia"))
			require.NoError(t, err)
			mailed[account] += done.Mailed
			failed += done.Failed
			mia := w.person("mia")
			mia.account = account
			require.Equal(t, twofa.NextDone, mia.begin())
		}
		w.clock.Add(aDay)
	}
	for i, account := range accounts {
		want := 2
		if i >= 16 {
			want = 0
		}
		require.Equal(t, want, mailed[account], account)
	}
	require.Equal(t, 4*7, failed, "each day, the result says that there was no room")
	w.clock.Add(30 * aDay)
	for _, account := range accounts[16:] {
		require.NoError(t, w.Account(twofa.AsHost("ill"), account).Extend(t.Context(), "mia", w.clock.Now().Add(aDay)))
		done, err := w.Account(twofa.AsHost("cron"), account).Remind(t.Context(), listed("mia"))
		require.NoError(t, err)
		require.Equal(t, 1, done.Mailed, "the dates of the others are over")
	}
}

// A thousand members cost one call of the directory and one of the store, and each
// reminder a few more.
func TestRemind_Chunks(t *testing.T) {
	w := reminded(t)
	var ids []string
	for i := range 2500 {
		id := fmt.Sprintf("m%04d", i)
		ids = append(ids, id)
		w.users[id] = twofa.User{ID: id, Members: []twofa.Member{{Account: "acme", Since: harness.Start}}}
	}
	asked := &counted{directory: directory{w}}
	store := &reads{Store: w.store}
	w.cfg.Directory, w.cfg.Store = asked, store
	w.Manager = w.again()
	w.clock.Add(7 * aDay)
	done := w.remind(listed(ids...))
	require.Equal(t, 2500, done.NoAddress)
	require.Equal(t, []int{1000, 1000, 500}, asked.sizes)
	require.Equal(t, []int{1001, 1001, 501}, store.sizes)
}

type counted struct {
	directory
	sizes []int
}

func (d *counted) Users(ctx context.Context, ids ...string) ([]twofa.User, error) {
	d.sizes = append(d.sizes, len(ids))
	return d.directory.Users(ctx, ids...)
}

type reads struct {
	twofa.Store
	sizes []int
}

func (s *reads) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	s.sizes = append(s.sizes, len(keys))
	return s.Store.Get(ctx, keys...)
}

// Around midnight, a server whose clock is ahead has sent the summary of the next
// day. One that was ahead by a year suppresses nothing.
func TestRemind_SummaryAndClocksThatDiffer(t *testing.T) {
	for ahead, admins := range map[time.Duration]int{20 * time.Second: 0, 366 * aDay: 3} {
		w := reminded(t)
		w.clock.Add(8*aDay - 9*time.Hour - 10*time.Second) // 23:59:50
		other := w.cfg
		other.Now = func() time.Time { return w.clock.Now().Add(ahead) }
		fast, err := twofa.New(other)
		require.NoError(t, err)
		host := twofa.AsHost("cron")
		if admins > 0 {
			require.NoError(t, fast.Account(host, "acme").Extend(t.Context(), "mia", w.clock.Now().Add(ahead+aDay)))
		}
		done, err := fast.Account(host, "acme").Remind(t.Context(), listed("mia"))
		require.NoError(t, err)
		require.Equal(t, []int{1, 3}, []int{done.Mailed, done.Admins})
		done = w.remind(listed("max"))
		require.Equal(t, []int{1, admins}, []int{done.Mailed, done.Admins}, ahead)
	}
}
