package abuse

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/event"
)

// unfiltered is a store that ignores every filter of a query.
type unfiltered struct{ *memstore.Store }

func (s unfiltered) Events(ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
	return s.Store.Events(ctx, twofa.EventQuery{Forward: q.Forward, Cursor: q.Cursor, Limit: q.Limit})
}

// twoAccounts is a world in which mia is a member of acme and beta, and things have
// happened in both.
func twoAccounts(t *testing.T, store twofa.Store) (w *world, adam, mia, other *person) {
	w = team(t, func(c *twofa.Config) { c.Store = store })
	w.setUser("mia", func(u *twofa.User) { u.Members = append(u.Members, twofa.Member{Account: "beta"}) })
	ben := w.signedIn("ben", "beta")
	require.NoError(t, ben.sets(required()))
	mia = w.signedIn("mia", "acme")
	other = mia.browser("laptop")
	other.account = "beta"
	other.begin()
	require.NoError(t, other.verify(twofa.TOTP, other.code()))
	require.NoError(t, other.stepUp(export))
	require.NoError(t, other.use(export, ""))
	require.NoError(t, other.RecordAction(t.Context(), other.caller(), twofa.RecordedAction{Action: export, Resource: "plans of beta"}))
	adam = w.signedIn("adam", "acme")
	require.NoError(t, w.Account(twofa.AsStaff("sue", "callback at the number on file"), "acme").Extend(t.Context(), "max", w.clock.Now().Add(24*time.Hour)), "max has not enrolled")
	require.NoError(t, adam.sets(required()))
	return w, adam, mia, other
}

// pages returns all events that a reader of pages gets.
func pages(t *testing.T, q twofa.EventQuery, read func(twofa.EventQuery) (twofa.EventPage, error)) (list []twofa.Event) {
	t.Helper()
	for {
		page, err := read(q)
		require.NoError(t, err)
		list = append(list, page.Events...)
		if page.Next == "" {
			return list
		}
		q.Cursor = page.Next
	}
}

// Nothing of another account is shown, also if the store ignores the query.
func TestAbuse_Q12_EventsOfOneAccount(t *testing.T) {
	for name, store := range map[string]twofa.Store{"memstore": memstore.New(), "store that ignores filters": unfiltered{memstore.New()}} {
		t.Run(name, func(t *testing.T) {
			w, adam, mia, _ := twoAccounts(t, store)
			list := pages(t, twofa.EventQuery{Limit: 3}, func(q twofa.EventQuery) (twofa.EventPage, error) { return adam.as().Events(t.Context(), q) })
			seen := map[string]bool{}
			for _, e := range list {
				require.Equal(t, "acme", e.Account)
				require.Empty(t, e.MAC)
				seen[e.Type+" "+e.User] = true
			}
			require.True(t, seen["enrolled mia"] && seen["policy "] && seen["extended max"] && seen["admin_act adam"], "%v", seen)
			require.NotContains(t, mustJSON(t, list), "beta")
			require.NotContains(t, mustJSON(t, list), "sue")
			require.NotContains(t, mustJSON(t, list), "callback")

			only := pages(t, twofa.EventQuery{User: "mia", Types: []string{event.Enrolled}, Since: w.clock.Now().Add(-time.Hour)},
				func(q twofa.EventQuery) (twofa.EventPage, error) { return adam.as().Events(t.Context(), q) })
			require.Len(t, only, 1)
			require.Empty(t, only[0].Detail, "the name of a device is private")
			require.Empty(t, pages(t, twofa.EventQuery{Until: w.clock.Now().Add(-48 * time.Hour)}, func(q twofa.EventQuery) (twofa.EventPage, error) { return adam.as().Events(t.Context(), q) }))
			require.NotEmpty(t, pages(t, twofa.EventQuery{Actor: "adam"}, func(q twofa.EventQuery) (twofa.EventPage, error) { return adam.as().Events(t.Context(), q) }))

			require.Empty(t, pages(t, twofa.EventQuery{Actor: "sue"}, func(q twofa.EventQuery) (twofa.EventPage, error) { return adam.as().Events(t.Context(), q) }),
				"a guess at the ID of a member of staff is not confirmed")

			own := pages(t, twofa.EventQuery{}, func(q twofa.EventQuery) (twofa.EventPage, error) { return w.Activity(t.Context(), mia.caller(), q) })
			require.NotContains(t, mustJSON(t, own), "beta")
			for _, e := range own {
				require.Equal(t, "mia", e.User)
			}
			staff, err := w.Account(twofa.AsStaff("sue", ""), "acme").Events(t.Context(), twofa.EventQuery{Types: []string{event.Extended}})
			require.NoError(t, err)
			require.Equal(t, "sue", staff.Events[0].Actor.ID, "staff reads whole events")
		})
	}
}

// A factor that is changed in one account is one of all others, too.
func TestAbuse_Q12_ChangeElsewhereIsInTheOwnLog(t *testing.T) {
	w, _, mia, other := twoAccounts(t, memstore.New())
	w.clock.Add(time.Minute)
	require.NoError(t, other.stepUp(twofa.ActionFactors))
	_, err := other.RegenerateCodes(t.Context(), other.caller())
	require.NoError(t, err)
	require.NoError(t, other.took(other.SaveCodes(t.Context(), other.caller())))
	page, err := w.Activity(t.Context(), mia.caller(), twofa.EventQuery{Limit: 1000})
	require.NoError(t, err)
	i := 0
	for ; page.Events[i].Type != event.CodesGenerated; i++ {
	}
	e := page.Events[i]
	require.Equal(t, twofa.Event{ID: e.ID, Seq: e.Seq, Time: e.Time, Type: event.CodesGenerated, User: "mia"}, e, "what happened and when, but not where")
}

func TestAbuse_Q12_M02_OnlyAdminsReadEvents(t *testing.T) {
	w, adam, mia, _ := twoAccounts(t, memstore.New())
	read := func(p *person, account string, q twofa.EventQuery) error {
		_, err := p.Account(twofa.AsUser(p.caller(), ""), account).Events(t.Context(), q)
		return err
	}
	require.NoError(t, read(adam, "acme", twofa.EventQuery{}))
	denied(t, read(mia, "acme", twofa.EventQuery{}), twofa.ReasonRole)
	require.ErrorIs(t, read(adam, "beta", twofa.EventQuery{}), twofa.ErrNotAllowed)
	require.ErrorIs(t, read(adam, "acme", twofa.EventQuery{Account: "beta"}), twofa.ErrInvalid)
	_, err := w.Account(twofa.Actor{}, "acme").Events(t.Context(), twofa.EventQuery{})
	require.ErrorIs(t, err, twofa.ErrNotAllowed)
	_, err = w.Activity(t.Context(), mia.caller(), twofa.EventQuery{User: "adam"})
	require.ErrorIs(t, err, twofa.ErrInvalid)
	_, err = w.Activity(t.Context(), mia.caller(), twofa.EventQuery{Account: "beta"})
	require.ErrorIs(t, err, twofa.ErrInvalid)
	_, err = w.Activity(t.Context(), twofa.Caller{}, twofa.EventQuery{})
	denied(t, err, twofa.ReasonSignedOut)

	names, err := adam.as().Names(t.Context(), "mia", "ben", "nobody")
	require.NoError(t, err)
	require.Len(t, names, 1, "nobody learns who else exists")
	_, err = mia.as().Names(t.Context(), "adam")
	denied(t, err, twofa.ReasonRole)

	w.setUser("adam", func(u *twofa.User) { u.Members[0].Role = twofa.RoleMember })
	denied(t, read(adam, "acme", twofa.EventQuery{}), twofa.ReasonRole, "the directory is asked at each page")
}

func TestAbuse_Q12_ForgedCursorIsRefused(t *testing.T) {
	w, adam, mia, _ := twoAccounts(t, memstore.New())
	first, err := adam.as().Events(t.Context(), twofa.EventQuery{Limit: 1})
	require.NoError(t, err)
	own, err := w.Activity(t.Context(), mia.caller(), twofa.EventQuery{Limit: 1})
	require.NoError(t, err)
	for name, cursor := range map[string]string{
		"of the store": "1.1", "of the own log": own.Next, "changed": first.Next[:len(first.Next)-1] + "!", "long": strings.Repeat("x", 1<<20), "not text": "\xff",
	} {
		_, err := adam.as().Events(t.Context(), twofa.EventQuery{Cursor: cursor})
		require.ErrorIs(t, err, twofa.ErrInvalid, name)
	}
	_, err = w.Account(twofa.AsHost("test"), "beta").Events(t.Context(), twofa.EventQuery{Cursor: first.Next})
	require.ErrorIs(t, err, twofa.ErrInvalid, "another account")
	_, err = w.Activity(t.Context(), mia.caller(), twofa.EventQuery{Cursor: first.Next})
	require.ErrorIs(t, err, twofa.ErrInvalid)
	_, err = adam.as().Events(t.Context(), twofa.EventQuery{Types: make([]string, 1000)})
	require.ErrorIs(t, err, twofa.ErrInvalid)
	again, err := adam.as().Events(t.Context(), twofa.EventQuery{Cursor: first.Next, Limit: 1})
	require.NoError(t, err)
	require.NotEqual(t, first.Events[0].ID, again.Events[0].ID)
}

// An action whose proof lasts leaves an event each time it is used.
func TestAbuse_Q13_UseOfALastingProofIsRecorded(t *testing.T) {
	w := newWorld(t, stepping)
	ada := w.enrolled("ada")
	w.clock.Add(time.Hour)
	require.NoError(t, ada.stepUp("reports"))
	w.events = nil
	require.NoError(t, ada.use("reports", "a"))
	require.NoError(t, ada.use("reports", "b"), "the login counts for everything else, too")
	require.NoError(t, ada.CheckAction(t.Context(), ada.caller(), "reports", "a"))
	require.Equal(t, []string{event.ActionUsed, event.ActionUsed}, w.types())
	require.Equal(t, twofa.TOTP, w.events[0].Method)
	require.Equal(t, "reports a", w.events[0].Detail)
}

func TestAbuse_Q13_RecordAction(t *testing.T) {
	w := team(t, stepping)
	mia := w.signedIn("mia", "acme")
	w.events = nil
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	done := twofa.RecordedAction{Action: export, Resource: "all customers", Detail: "as CSV\nforged line", Count: 1200}
	require.NoError(t, mia.RecordAction(canceled, mia.caller(), done), "an attacker who hangs up hides nothing")
	e := w.events[0]
	require.Equal(t, []string{event.Action, "mia", "acme", mia.sessionID(), "contacts.export all customers: as CSVforged line"}, []string{e.Type, e.User, e.Account, e.Session, e.Detail})
	require.JSONEq(t, `{"count":1200,"failed":false}`, string(e.After))
	require.Empty(t, w.verifies().Problems)

	require.NoError(t, w.User(twofa.AsHost("test"), "mia").Revoke(t.Context()))
	done.Failed = true
	require.NoError(t, mia.RecordAction(t.Context(), mia.caller(), done), "the action has taken place")
	elsewhere := mia.caller()
	elsewhere.Account = "beta"
	denied(t, mia.RecordAction(t.Context(), elsewhere, done), twofa.ReasonSignedOut)
	for _, bad := range []twofa.RecordedAction{{}, {Action: strings.Repeat("x", 129)}, {Action: "a", Resource: strings.Repeat("x", 129)}, {Action: "a", Detail: strings.Repeat("x", 201)}, {Action: "a", Count: -1}} {
		require.ErrorIs(t, mia.RecordAction(t.Context(), mia.caller(), bad), twofa.ErrInvalid)
	}
	require.NoError(t, w.User(twofa.AsHost("test"), "mia").Delete(t.Context()))
	denied(t, mia.RecordAction(t.Context(), mia.caller(), done), twofa.ReasonSignedOut, "no record comes back")
	denied(t, mia.RecordAction(t.Context(), twofa.Caller{}, done), twofa.ReasonSignedOut)
}

func TestAbuse_C15_LoginInANewBrowserIsTold(t *testing.T) {
	for _, wanted := range []bool{true, false} {
		w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail, c.Mail.NoticeNewBrowser = nil, wanted })
		ada := w.enrolled("ada")
		told := func() (n int) {
			for _, mail := range w.out.Mails() {
				if strings.HasPrefix(mail.Subject, "New sign-in") {
					n++
				}
			}
			return n
		}
		want := func(n int) int {
			if !wanted {
				return 0
			}
			return n
		}
		require.Zero(t, told(), "an enrollment is told anyway")
		w.clock.Add(time.Minute)
		laptop := ada.browser("laptop")
		laptop.begin()
		require.NoError(t, laptop.verify(twofa.TOTP, laptop.code()))
		require.Equal(t, want(1), told())
		w.clock.Add(time.Minute)
		laptop.begin()
		require.NoError(t, laptop.verify(twofa.TOTP, laptop.code()))
		require.Equal(t, want(1), told(), "the browser is known now")
		w.clock.Add(time.Minute)
		require.NoError(t, laptop.ForgetBrowsers(t.Context(), laptop.caller()))
		laptop.begin()
		require.NoError(t, laptop.verify(twofa.TOTP, laptop.code()))
		require.Equal(t, want(2), told())
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	encoded, err := json.Marshal(v)
	require.NoError(t, err)
	return string(encoded)
}
