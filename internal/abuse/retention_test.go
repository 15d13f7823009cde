package abuse

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/twofatest"
)

func (w *world) eraseEvents(id string) int {
	w.t.Helper()
	n, err := w.User(twofa.AsHost("request"), id).EraseEvents(w.t.Context())
	require.NoError(w.t, err)
	return n
}

func (w *world) deleteEvents(before time.Time) int {
	w.t.Helper()
	n, err := w.DeleteEvents(w.t.Context(), twofa.AsHost("retention"), before, nil)
	require.NoError(w.t, err)
	return n
}

// all returns the stored events, oldest first.
func (s *tampered) all(t *testing.T) []twofa.Event {
	t.Helper()
	page, err := s.Store.Events(t.Context(), twofa.EventQuery{Forward: true, Limit: 1000})
	require.NoError(t, err)
	require.Empty(t, page.Next)
	return page.Events
}

// years is a world with events of two months. The admin adam has reset mia and set
// policies, and was deleted at the end of the first month.
func years(t *testing.T, erased, deleted bool) (*world, *tampered) {
	t.Helper()
	w, store := audited(t)
	w.signedIn("ben", "beta")
	w.clock.Add(40 * 24 * time.Hour)
	second := w.clock.Now()
	require.NoError(t, w.User(twofa.AsStaff("adam", "a member of staff with this ID"), "mia").Revoke(t.Context()))
	w.revoke("olga")
	w.policy("acme", twofa.PolicyAuthenticator())
	w.revoke("ben")
	w.revoke("ben")
	w.clock.Add(30 * time.Hour)
	if erased {
		require.Positive(t, w.eraseEvents("adam"))
	}
	if deleted {
		require.Positive(t, w.deleteEvents(second))
	}
	return w, store
}

// states calls f for each combination of erasing and retention.
func states(t *testing.T, f func(t *testing.T, w *world, store *tampered)) {
	for _, erased := range []bool{false, true} {
		for _, deleted := range []bool{false, true} {
			t.Run(fmt.Sprintf("erased %v deleted %v", erased, deleted), func(t *testing.T) {
				w, store := years(t, erased, deleted)
				f(t, w, store)
			})
		}
	}
}

func TestAbuse_Q11_EventsVerifyAfterErasingAndRetention(t *testing.T) {
	states(t, func(t *testing.T, w *world, store *tampered) {
		report := w.verifies()
		require.Empty(t, report.Problems)
		require.Equal(t, len(store.all(t)), report.Events)
		w.revoke("mia")
		w.clock.Add(48 * time.Hour)
		w.deleteEvents(w.clock.Now().Add(-24 * time.Hour))
		require.Empty(t, store.all(t))
		require.Empty(t, w.verifies().Problems, "no event is left")
		w.revoke("ben")
		w.clock.Add(10 * time.Minute)
		report = w.verifies()
		require.Empty(t, report.Problems)
		require.Equal(t, 1, report.Events)
		require.Equal(t, twofa.AuditCutoff{Before: w.clock.Now().Add(-24*time.Hour - 10*time.Minute), At: w.clock.Now().Add(-10 * time.Minute), Reason: "retention"}, report.Cutoff)
	})
}

// Whatever is done to one of the events, it is found.
func TestAbuse_Q11_TamperingIsFoundAfterErasingAndRetention(t *testing.T) {
	states(t, func(t *testing.T, w *world, store *tampered) {
		all := store.all(t)
		for name, edit := range map[string]func(l []twofa.Event, i int) []twofa.Event{
			"dropped":  func(l []twofa.Event, i int) []twofa.Event { return slices.Delete(l, i, i+1) },
			"cut":      func(l []twofa.Event, i int) []twofa.Event { return l[:i] },
			"repeated": func(l []twofa.Event, i int) []twofa.Event { return append(l, l[i]) },
			"changed":  func(l []twofa.Event, i int) []twofa.Event { l[i].Type += "x"; return l },
			"blanked":  func(l []twofa.Event, i int) []twofa.Event { blank(&l[i]); return l },
			"unmarked": func(l []twofa.Event, i int) []twofa.Event { l[i].MAC = withoutSalts(l[i].MAC); return l },
			"named":    func(l []twofa.Event, i int) []twofa.Event { l[i].User += "x"; return l },
			"caused":   func(l []twofa.Event, i int) []twofa.Event { l[i].Actor.ID += "x"; return l },
			"reasoned": func(l []twofa.Event, i int) []twofa.Event { l[i].Reason += "x"; return l },
			"inserted": func(l []twofa.Event, i int) []twofa.Event {
				forged := l[i]
				forged.ID, forged.Seq = "forged", forged.Seq+1
				return slices.Insert(l, i, forged)
			},
			"with the number of the next": func(l []twofa.Event, i int) []twofa.Event {
				j := (i + 1) % len(l)
				if l[i].Seq == l[j].Seq {
					l[i].Seq += 7
				}
				l[i].Seq, l[j].Seq = l[j].Seq, l[i].Seq
				return l
			},
			"later": func(l []twofa.Event, i int) []twofa.Event { l[i].Time = l[i].Time.Add(time.Second); return l },
			"with the mark of another": func(l []twofa.Event, i int) []twofa.Event {
				for j := range l {
					if j != i && l[j].User == "" && l[j].Account == "acme" {
						mac := l[i].MAC
						blank(&l[i])
						l[i].MAC = slices.Concat(mac[:len(mac)-32], l[j].MAC[len(l[j].MAC)-32:len(l[j].MAC)-16], mac[len(mac)-16:])
						return l
					}
				}
				return nil
			},
		} {
			for i := range all {
				store.edit = func([]twofa.Event) []twofa.Event {
					l := slices.Clone(all)
					for j := range l {
						l[j].MAC = bytes.Clone(l[j].MAC)
					}
					return edit(l, i)
				}
				require.NotEmpty(t, w.verifies().Problems, "event %d of %d: %s: %+v", i, len(all), name, all[i])
			}
		}
		store.edit = nil
		require.Empty(t, w.verifies().Problems)
	})
}

// Nothing names the user, and what others did remains.
func TestAbuse_Q11_ErasedUserIsGone(t *testing.T) {
	w, store := years(t, false, false)
	before := store.all(t)
	require.Positive(t, w.eraseEvents("adam"))
	after := store.all(t)
	require.Len(t, after, len(before))
	about, caused := 0, 0
	for i, e := range after {
		was := before[i]
		require.Equal(t, was.ID, e.ID)
		require.Len(t, e.MAC, len(was.MAC))
		if was.User == "adam" {
			about++
			was.User, was.IP, was.Agent, was.Request, was.Detail = "", "", "", "", ""
		}
		if was.Actor.Kind == "user" && was.Actor.ID == "adam" {
			caused++
			was.Actor.ID, was.Reason = "", ""
		}
		was.MAC, e.MAC = nil, nil
		require.Equal(t, was, e)
		if was.Actor.Kind != "staff" {
			line, err := json.Marshal(e)
			require.NoError(t, err)
			require.NotContains(t, string(line), "adam")
		}
	}
	require.Greater(t, about, 3)
	require.Greater(t, caused, 2, "policies, and the reset of mia")
	require.Zero(t, w.eraseEvents("adam"), "it can be repeated")
	require.Equal(t, after[0].MAC, store.all(t)[0].MAC)
	require.Empty(t, w.verifies().Problems)
}

// A notice of a killed server that is still pending is not sent about a user who was
// erased. That of another member is.
func TestEraseEvents_EndsPendingNotices(t *testing.T) {
	w, store := years(t, false, false)
	pending := func() (users []string) {
		all, err := store.ClaimNotices(t.Context(), w.clock.Now().Add(time.Hour), w.clock.Now(), 1000)
		require.NoError(t, err)
		for _, e := range all {
			users = append(users, e.User)
		}
		return users
	}
	e := twofa.Event{ID: "late", Time: w.clock.Now(), Type: event.Revoked, User: "adam", Notice: true}
	other := twofa.Event{ID: "other", Time: w.clock.Now(), Type: event.Reset, User: "mia", Actor: twofa.EventActor{Kind: "user", ID: "adam"}, Notice: true}
	require.NoError(t, store.Swap(t.Context(), "", twofa.Record{Key: "x/y", Version: "v", Data: []byte("x")}, e, other))
	require.Contains(t, pending(), "adam")
	w.eraseEvents("adam")
	require.NotContains(t, pending(), "adam")
	require.NotContains(t, pending(), "")
	require.Contains(t, pending(), "mia")
}

func TestAbuse_Q11_EraseEventsIsRefused(t *testing.T) {
	w, store := years(t, false, false)
	before := store.all(t)
	for name, c := range map[string]struct {
		by   twofa.Actor
		user string
		want error
	}{
		"by staff":         {twofa.AsStaff("sam", "request"), "adam", twofa.ErrNotAllowed},
		"by nobody":        {twofa.Actor{}, "adam", twofa.ErrNotAllowed},
		"by the user":      {twofa.AsUser(w.person("mia").caller(), ""), "mia", twofa.ErrNotAllowed},
		"still has one":    {twofa.AsHost("request"), "mia", twofa.ErrNotAllowed},
		"no user at all":   {twofa.AsHost("request"), "", twofa.ErrInvalid},
		"control sequence": {twofa.AsHost("request"), "a\x00", twofa.ErrInvalid},
	} {
		n, err := w.User(c.by, c.user).EraseEvents(t.Context())
		require.ErrorIs(t, err, c.want, name)
		require.Zero(t, n)
	}
	for _, other := range []twofa.Store{noReader{store}, readOnly{store, store}} {
		m := w.with(func(c *twofa.Config) { c.Store = other })
		_, err := m.User(twofa.AsHost("request"), "adam").EraseEvents(t.Context())
		require.ErrorIs(t, err, twofa.ErrNotAllowed)
		_, err = m.DeleteEvents(t.Context(), twofa.AsHost("retention"), w.clock.Now().Add(-48*time.Hour), nil)
		require.ErrorIs(t, err, twofa.ErrNotAllowed)
	}
	require.Equal(t, before, store.all(t))
}

type readOnly struct {
	twofa.Store
	twofa.EventReader
}

// halfWay is a store that fails in the middle of replacing and deleting events.
type halfWay struct {
	*memstore.Store
	left int // events until it fails
}

func (s *halfWay) Events(ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
	q.Limit = 2
	return s.Store.Events(ctx, q)
}

func (s *halfWay) ReplaceEvents(ctx context.Context, events ...twofa.Event) error {
	if s.left -= len(events); s.left < 0 {
		return errors.New("disk full")
	}
	return s.Store.ReplaceEvents(ctx, events...)
}

func (s *halfWay) DeleteEvents(ctx context.Context, before time.Time, deleted func(int)) error {
	page, err := s.Store.Events(ctx, twofa.EventQuery{Forward: true, Limit: s.left + 1})
	if err != nil || len(page.Events) <= s.left {
		return errors.Join(err, s.Store.DeleteEvents(ctx, before, deleted))
	}
	part := page.Events[s.left].Time
	if part.Before(before) {
		return errors.Join(s.Store.DeleteEvents(ctx, part, deleted), errors.New("disk full"))
	}
	return s.Store.DeleteEvents(ctx, before, deleted)
}

// Wherever erasing or deleting stops, the events verify, and it can be repeated.
func TestAbuse_Q11_EraseAndDeleteStopHalfWay(t *testing.T) {
	for _, first := range []string{"erase", "delete"} {
		for n := range 60 {
			w, store := years(t, false, false)
			month := w.clock.Now().Add(-35 * time.Hour)
			broken := &halfWay{store.Store, n}
			m := w.with(func(c *twofa.Config) { c.Store = broken })
			var err error
			var done int
			if first == "erase" {
				done, err = m.User(twofa.AsHost("request"), "adam").EraseEvents(t.Context())
			} else {
				done, err = m.DeleteEvents(t.Context(), twofa.AsHost("retention"), month, nil)
			}
			if err != nil {
				require.ErrorIs(t, err, twofa.ErrUnavailable)
				require.LessOrEqual(t, done, n)
			}
			require.Empty(t, w.verifies().Problems, "%s, after %d", first, n)
			w.eraseEvents("adam")
			require.Empty(t, w.verifies().Problems, "%s, after %d", first, n)
			w.deleteEvents(month)
			require.Empty(t, w.verifies().Problems, "%s, after %d", first, n)
			for _, e := range store.all(t) {
				require.NotEqual(t, "adam", e.User)
				require.False(t, e.Time.Before(month))
			}
			if err == nil {
				break
			}
			require.Less(t, n, 59)
		}
	}
}

// The ID of an erased user signs in again, and is deleted and erased again.
func TestAbuse_Q11_ErasedUserIsCreatedAgain(t *testing.T) {
	w, store := years(t, true, false)
	w.revoke("adam")
	w.revoke("adam")
	w.clock.Add(10 * time.Minute)
	require.Empty(t, w.verifies().Problems)
	_, err := w.User(twofa.AsHost("request"), "adam").EraseEvents(t.Context())
	require.ErrorIs(t, err, twofa.ErrNotAllowed)
	for i, e := range store.all(t) {
		if e.User == "adam" {
			store.edit = func(l []twofa.Event) []twofa.Event { return slices.Delete(l, i, i+1) }
			require.NotEmpty(t, w.verifies().Problems)
		}
	}
	store.edit = nil
	require.NoError(t, w.User(twofa.AsHost("request"), "adam").Delete(t.Context()))
	w.clock.Add(10 * time.Minute)
	require.Positive(t, w.eraseEvents("adam"))
	require.Empty(t, w.verifies().Problems)
}

// An erased chain must end with the event that the record was deleted.
func TestAbuse_Q11_CutErasedChainIsFound(t *testing.T) {
	w, store := years(t, true, false)
	store.edit = func(l []twofa.Event) []twofa.Event {
		return slices.DeleteFunc(l, func(e twofa.Event) bool { return e.Type == event.Erased })
	}
	report := w.verifies()
	require.Len(t, report.Problems, 1)
	require.Equal(t, twofa.AuditProblem{Kind: twofa.AuditNoRecord, Seq: report.Problems[0].Seq}, report.Problems[0])
}

// Erasing is no way to make the event of somebody else look right: an attacker who
// gives it the ID of a user who is erased has changed it, and it remains so.
func TestAbuse_Q11_ErasingHidesNoChange(t *testing.T) {
	for name, edit := range map[string]func(e *twofa.Event){
		"about":    func(e *twofa.Event) { e.User = "adam" },
		"caused":   func(e *twofa.Event) { e.Actor = twofa.EventActor{Kind: "user", ID: "adam"} },
		"unsigned": func(e *twofa.Event) { e.User, e.MAC = "adam", nil },
		"short":    func(e *twofa.Event) { e.User, e.MAC = "adam", e.MAC[:3] },
	} {
		w, store := years(t, false, false)
		for _, e := range store.all(t) {
			if e.Type == event.Reset {
				edit(&e)
				require.NoError(t, store.ReplaceEvents(t.Context(), e))
			}
		}
		w.eraseEvents("adam")
		problems := w.verifies().Problems
		require.NotEmpty(t, problems, name)
		require.Contains(t, []twofa.AuditProblemKind{twofa.AuditChanged, twofa.AuditUnsigned}, problems[0].Kind, name)
	}
}

func TestAbuse_Q11_ErasedUnderARemovedKey(t *testing.T) {
	w, store := years(t, false, false)
	w.cfg.Keys = twofatest.KeyRing(t, "new")
	w.Manager = w.again()
	require.Positive(t, w.eraseEvents("adam"))
	for _, e := range store.all(t) {
		require.NotEqual(t, "adam", e.User)
	}
	require.Contains(t, kinds(w.verifies()), twofa.AuditChanged)
}

// A missing event is accepted only if it was before the cut-off.
func TestAbuse_Q11_NewerEventsThanTheCutOffAreFound(t *testing.T) {
	w, store := years(t, true, true)
	all := store.all(t)
	for i := range all {
		// The attacker deletes everything before an event, as if the cut-off were later.
		store.edit = func([]twofa.Event) []twofa.Event { return slices.Clone(all[i+1:]) }
		require.NotEmpty(t, w.verifies().Problems, "the first %d of %d", i+1, len(all))
	}
}

// Neither an earlier cut-off nor none hides anything. The deleted events are reported.
func TestAbuse_Q11_MovedCutOffIsFound(t *testing.T) {
	w, store := years(t, true, false)
	record := func() twofa.Record {
		found, err := store.Get(t.Context(), "audit/cutoff")
		require.NoError(t, err)
		return append(found, twofa.Record{Key: "audit/cutoff"})[0]
	}
	replace := func(r twofa.Record) {
		now := record().Version
		if now != "" {
			require.NoError(t, store.Swap(t.Context(), now, twofa.Record{Key: "audit/cutoff"}))
		}
		if r.Version != "" {
			require.NoError(t, store.Swap(t.Context(), "", r))
		}
	}
	w.deleteEvents(w.clock.Now().Add(-70 * 24 * time.Hour))
	early := record()
	second := w.clock.Now().Add(-35 * time.Hour)
	w.deleteEvents(second)
	late := record()
	require.NotEqual(t, early.Version, late.Version)
	require.Empty(t, w.verifies().Problems)

	damaged := late
	damaged.Data = append(bytes.Clone(late.Data[:len(late.Data)-1]), late.Data[len(late.Data)-1]^1)
	other := w.stored("mia")
	other.Key = "audit/cutoff"
	for name, r := range map[string]twofa.Record{"put back": early, "deleted": {}, "damaged": damaged, "of another": other} {
		replace(r)
		require.NotEmpty(t, w.verifies().Problems, name)
	}
	require.Contains(t, w.verifies().Problems, twofa.AuditProblem{Kind: twofa.AuditMissing, Account: "acme", Seq: 1})
	replace(damaged)
	require.Contains(t, w.verifies().Problems, twofa.AuditProblem{Kind: twofa.AuditNoRecord})
	_, err := w.DeleteEvents(t.Context(), twofa.AsHost("retention"), second, nil)
	_, unreadable := errors.AsType[*twofa.RecordError](err)
	require.True(t, unreadable, "%v", err)
	replace(early)
	w.deleteEvents(second)
	require.Empty(t, w.verifies().Problems, "the call is repeated")

	// An earlier time does not move it back.
	w.deleteEvents(second.Add(-time.Hour))
	report := w.verifies()
	require.Empty(t, report.Problems)
	require.Equal(t, second, report.Cutoff.Before)

	// It is a record like others when keys change.
	w.cfg.Keys = ring(t, "new:9fVLCi7sMyLGr5hFT2kY5UqdZyZqkhZk1J1yHqzJr0A=,"+keyText)
	w.Manager = w.again()
	done, err := w.RekeyRecords(t.Context(), "audit/cutoff")
	require.NoError(t, err)
	require.Equal(t, twofa.RekeyResult{Rekeyed: 1}, done)
	require.Empty(t, w.verifies().Problems)
}

func TestAbuse_Q11_DeleteEventsIsRefused(t *testing.T) {
	w, store := years(t, false, false)
	before, now := store.all(t), w.clock.Now()
	for name, c := range map[string]struct {
		by     twofa.Actor
		before time.Time
		want   error
	}{
		"by staff":          {twofa.AsStaff("sam", "tidy"), now.Add(-48 * time.Hour), twofa.ErrNotAllowed},
		"by nobody":         {twofa.Actor{}, now.Add(-48 * time.Hour), twofa.ErrNotAllowed},
		"by a user":         {twofa.AsUser(w.person("olga").caller(), ""), now.Add(-48 * time.Hour), twofa.ErrNotAllowed},
		"no time":           {twofa.AsHost("tidy"), time.Time{}, twofa.ErrInvalid},
		"less than a day":   {twofa.AsHost("tidy"), now.Add(-24*time.Hour + time.Second), twofa.ErrInvalid},
		"a time that comes": {twofa.AsHost("tidy"), now.Add(time.Hour), twofa.ErrInvalid},
	} {
		n, err := w.DeleteEvents(t.Context(), c.by, c.before, nil)
		require.ErrorIs(t, err, c.want, name)
		require.Zero(t, n)
	}
	require.Equal(t, before, store.all(t))
	require.Zero(t, w.verifies().Cutoff)

	steps := []int{}
	n, err := w.DeleteEvents(t.Context(), twofa.AsHost("tidy"), now.Add(-24*time.Hour+time.Second/2).Add(-time.Second), func(n int) { steps = append(steps, n) })
	require.NoError(t, err)
	require.Equal(t, []int{n}, steps)
	require.Empty(t, w.verifies().Problems)
}

// A host drops the events of a month itself. They are missing until it says so.
func TestAbuse_Q11_DroppedMonth(t *testing.T) {
	w, store := years(t, true, false)
	second := w.clock.Now().Add(-35 * time.Hour)
	require.NoError(t, store.Store.DeleteEvents(t.Context(), second, nil))
	require.Contains(t, kinds(w.verifies()), twofa.AuditMissing)
	require.Zero(t, w.deleteEvents(second))
	require.Empty(t, w.verifies().Problems)
}

// A record that was put back is older than its events.
func TestAbuse_Q11_RecordPutBackIsFound(t *testing.T) {
	states(t, func(t *testing.T, w *world, store *tampered) {
		old := w.stored("ben")
		w.revoke("ben")
		w.revoke("ben")
		w.clock.Add(10 * time.Minute)
		require.Empty(t, w.verifies().Problems)
		require.NoError(t, store.Swap(t.Context(), w.stored("ben").Version, twofa.Record{Key: "user/ben"}))
		require.NoError(t, store.Swap(t.Context(), "", old))
		report := w.verifies()
		require.Len(t, report.Problems, 1)
		require.Equal(t, twofa.AuditPutBack, report.Problems[0].Kind)
		require.Equal(t, "ben", report.Problems[0].User)
	})
}

// The clock of one server is slow. Events are in the order of their numbers even so,
// so that the oldest ones are the first of their record.
func TestAbuse_Q11_ClocksThatDiffer(t *testing.T) {
	w, store := audited(t)
	slow := w.off(-50 * time.Second)
	for range 5 {
		w.revoke("mia")
		require.NoError(t, slow.User(twofa.AsHost("slow"), "mia").Revoke(t.Context()))
		w.clock.Add(20 * time.Second)
	}
	last := map[string]twofa.Event{}
	for _, e := range store.all(t) {
		if e.User == "mia" {
			require.Equal(t, last["mia"].Seq+1, e.Seq)
			last["mia"] = e
		}
	}
	w.clock.Add(48 * time.Hour)
	for _, e := range store.all(t) {
		w.deleteEvents(e.Time)
		require.Empty(t, w.verifies().Problems)
	}
	fast := w.off(time.Hour)
	require.NoError(t, fast.User(twofa.AsHost("fast"), "mia").Revoke(t.Context()))
	w.revoke("mia")
	all := store.all(t)
	require.Equal(t, w.clock.Now(), all[len(all)-2].Time, "a clock that is an hour fast dates nothing but its own events")
}

// A record of another kind belongs to no user and no account.
func TestVerifyEvents_OtherRecords(t *testing.T) {
	w, store := audited(t)
	require.NoError(t, store.Swap(t.Context(), "", twofa.Record{Key: "number/x", Version: "v", Data: []byte("x")}))
	require.NoError(t, store.Swap(t.Context(), "", twofa.Record{Key: "newer/x", Version: "v", Data: []byte("x")}))
	require.NoError(t, w.Ready(t.Context()))
	require.Empty(t, w.verifies().Problems)
}
