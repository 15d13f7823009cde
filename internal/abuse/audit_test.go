package abuse

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/event"
)

// tampered is a store whose events somebody has changed.
type tampered struct {
	*memstore.Store
	edit func([]twofa.Event) []twofa.Event
}

func (s *tampered) Events(ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
	page, err := s.Store.Events(ctx, q)
	if s.edit != nil && err == nil && len(page.Events) > 0 {
		page.Events = s.edit(slices.Clone(page.Events))
	}
	return page, err
}

// audited is a world with events of users and of an account.
func audited(t *testing.T) (*world, *tampered) {
	store := &tampered{Store: memstore.New()}
	w := team(t, func(c *twofa.Config) { c.Store = store })
	mia, adam := w.signedIn("mia", "acme"), w.signedIn("adam", "acme")
	p := required()
	require.NoError(t, adam.sets(p))
	p.Remember = 24 * time.Hour
	w.policy("acme", p)
	require.NoError(t, adam.resets("mia"))
	require.NoError(t, w.User(twofa.AsHost("<left>"), "adam").Delete(t.Context()))
	require.Equal(t, twofa.NextChallenge, mia.begin())
	w.clock.Add(10 * time.Minute)
	return w, store
}

func (w *world) verifies() twofa.AuditReport {
	w.t.Helper()
	report, err := w.VerifyEvents(w.t.Context(), nil)
	require.NoError(w.t, err)
	return report
}

func kinds(r twofa.AuditReport) (list []twofa.AuditProblemKind) {
	for _, p := range r.Problems {
		if !slices.Contains(list, p.Kind) {
			list = append(list, p.Kind)
		}
	}
	slices.Sort(list)
	return list
}

func TestAbuse_Q11_UntouchedEventsVerify(t *testing.T) {
	w, _ := audited(t)
	pages := 0
	report, err := w.VerifyEvents(t.Context(), func(int) { pages++ })
	require.NoError(t, err)
	require.Empty(t, report.Problems)
	require.Equal(t, len(w.events), report.Events)
	require.Equal(t, 3, report.Records, "mia, adam and acme")
	require.Positive(t, pages)

	w.person("mia").begin() // the last minute
	w.signedIn("ben", "beta")
	require.Empty(t, w.verifies().Problems)
	w.cfg.Keys = ring(t, "new:9fVLCi7sMyLGr5hFT2kY5UqdZyZqkhZk1J1yHqzJr0A=,"+keyText)
	w.Manager = w.again()
	w.signedIn("bob", "beta")
	require.NoError(t, w.Rekey(t.Context(), "mia", "acme"))
	require.Empty(t, w.verifies().Problems, "under two keys")
	w.cfg.Keys = ring(t, "new:9fVLCi7sMyLGr5hFT2kY5UqdZyZqkhZk1J1yHqzJr0A=")
	w.Manager = w.again()
	require.Contains(t, kinds(w.verifies()), twofa.AuditChanged, "without the old key")
}

// Whatever is changed in an event is found, field by field.
func TestAbuse_Q11_ChangedEventIsFound(t *testing.T) {
	w, store := audited(t)
	for name, edit := range map[string]func(e *twofa.Event){
		"id":      func(e *twofa.Event) { e.ID += "x" },
		"seq":     func(e *twofa.Event) { e.Seq += 100 },
		"time":    func(e *twofa.Event) { e.Time = e.Time.Add(time.Second) },
		"type":    func(e *twofa.Event) { e.Type = event.Renamed },
		"user":    func(e *twofa.Event) { e.User = "olga" },
		"no user": func(e *twofa.Event) { e.User = "" },
		"account": func(e *twofa.Event) { e.Account = "beta" },
		"actor":   func(e *twofa.Event) { e.Actor.ID = "olga" },
		"kind":    func(e *twofa.Event) { e.Actor.Kind = "host" },
		"role":    func(e *twofa.Event) { e.Actor.Role = "owner" },
		"method":  func(e *twofa.Event) { e.Method = twofa.SMS },
		"session": func(e *twofa.Event) { e.Session = "s" },
		"ip":      func(e *twofa.Event) { e.IP = "198.51.100.1" },
		"agent":   func(e *twofa.Event) { e.Agent += "x" },
		"request": func(e *twofa.Event) { e.Request = "r" },
		"reason":  func(e *twofa.Event) { e.Reason = "other" },
		"case":    func(e *twofa.Event) { e.Case = "c" },
		"act":     func(e *twofa.Event) { e.Act = "a" },
		"detail":  func(e *twofa.Event) { e.Detail = "x" },
		"before":  func(e *twofa.Event) { e.Before = json.RawMessage(`{"required":true}`) },
		"after":   func(e *twofa.Event) { e.After = nil },
		"left":    func(e *twofa.Event) { e.Left++ },
		"notice":  func(e *twofa.Event) { e.Notice = !e.Notice },
		"mac":     func(e *twofa.Event) { e.MAC[len(e.MAC)-1] ^= 1 },
		"proof":   func(e *twofa.Event) { e.MAC[3] ^= 1 },
		"short":   func(e *twofa.Event) { e.MAC = e.MAC[:5] },
	} {
		changed := 0
		store.edit = func(events []twofa.Event) []twofa.Event {
			for i := range events {
				e := &events[i]
				was, _ := json.Marshal(e)
				e.MAC = slices.Clone(e.MAC)
				edit(e)
				if is, _ := json.Marshal(e); string(is) != string(was) {
					changed++
				}
			}
			return events
		}
		report := w.verifies()
		require.Positive(t, changed, name)
		found := 0
		for _, p := range report.Problems {
			if p.Kind == twofa.AuditChanged {
				found++
			}
		}
		require.Equal(t, changed, found, name)
	}
}

func TestAbuse_Q11_ForgedDroppedAndReorderedEventsAreFound(t *testing.T) {
	without := func(kind string) func([]twofa.Event) []twofa.Event {
		return func(l []twofa.Event) []twofa.Event {
			return slices.DeleteFunc(l, func(e twofa.Event) bool { return e.Type == kind })
		}
	}
	for name, c := range map[string]struct {
		edit func([]twofa.Event) []twofa.Event
		want []twofa.AuditProblemKind
	}{
		"order of arrival": {func(l []twofa.Event) []twofa.Event { slices.Reverse(l); return l }, nil},
		"unsigned": {func(l []twofa.Event) []twofa.Event {
			return append(l, twofa.Event{ID: "x", Type: event.Login, User: "mia", Seq: 99})
		}, []twofa.AuditProblemKind{twofa.AuditUnsigned}},
		"twice":              {func(l []twofa.Event) []twofa.Event { return append(l, l[0]) }, []twofa.AuditProblemKind{twofa.AuditRepeated}},
		"one in the middle":  {func(l []twofa.Event) []twofa.Event { return slices.Delete(l, 2, 3) }, []twofa.AuditProblemKind{twofa.AuditMissing}},
		"the first one":      {func(l []twofa.Event) []twofa.Event { return l[1:] }, []twofa.AuditProblemKind{twofa.AuditMissing}},
		"the reset":          {without(event.Reset), []twofa.AuditProblemKind{twofa.AuditCut}},
		"that it was erased": {without(event.Erased), []twofa.AuditProblemKind{twofa.AuditNoRecord}},
		"all of a user": {func(l []twofa.Event) []twofa.Event {
			return slices.DeleteFunc(l, func(e twofa.Event) bool { return e.User == "mia" })
		}, []twofa.AuditProblemKind{twofa.AuditCut}},
		"all": {func([]twofa.Event) []twofa.Event { return nil }, []twofa.AuditProblemKind{twofa.AuditCut}},
		"swapped between users": {func(l []twofa.Event) []twofa.Event {
			for i := range l {
				l[i].User = map[string]string{"mia": "adam", "adam": "mia", "": ""}[l[i].User]
			}
			return l
		}, []twofa.AuditProblemKind{twofa.AuditChanged, twofa.AuditCut}},
		"swapped numbers": {func(l []twofa.Event) []twofa.Event {
			l[1].Seq, l[2].Seq = l[2].Seq, l[1].Seq
			return l
		}, []twofa.AuditProblemKind{twofa.AuditChanged, twofa.AuditMissing}},
	} {
		w, store := audited(t)
		store.edit = c.edit
		require.Equal(t, c.want, kinds(w.verifies()), name)
	}
}

// A record that was deleted is found, because its events are still there.
func TestAbuse_Q11_DeletedRecordIsFound(t *testing.T) {
	w, store := audited(t)
	require.NoError(t, store.Swap(t.Context(), w.stored("mia").Version, twofa.Record{Key: "user/mia"}))
	w.clock.Add(10 * time.Minute)
	require.Equal(t, []twofa.AuditProblemKind{twofa.AuditNoRecord}, kinds(w.verifies()))
}

// blank removes the personal data of an event with the salts, which are not encrypted.
func blank(e *twofa.Event) {
	e.Actor.ID, e.Reason = "", ""
	e.User, e.IP, e.Agent, e.Request, e.Detail = "", "", "", "", ""
	e.MAC = withoutSalts(e.MAC)
}

// withoutSalts clears the two salts of 8 bytes before the tag of 16.
func withoutSalts(mac []byte) []byte {
	out := bytes.Clone(mac)
	clear(out[len(out)-32 : len(out)-16])
	return out
}

func TestAbuse_Q11_BlankedEventIsFound(t *testing.T) {
	for name, edit := range map[string]func(e *twofa.Event){
		"user and actor": blank,
		"actor": func(e *twofa.Event) {
			mac := e.MAC
			e.Actor.ID, e.Reason = "", ""
			e.MAC = withoutSalts(mac)
		},
		"salts":  func(e *twofa.Event) { e.MAC = withoutSalts(e.MAC) },
		"fields": func(e *twofa.Event) { mac := e.MAC; blank(e); e.MAC = mac },
	} {
		w, store := audited(t)
		blanked := 0
		store.edit = func(l []twofa.Event) []twofa.Event {
			for i := range l {
				if l[i].Type == event.Reset {
					require.NotEqual(t, withoutSalts(l[i].MAC), l[i].MAC)
					edit(&l[i])
					blanked++
				}
			}
			return l
		}
		report := w.verifies()
		require.Equal(t, 1, blanked, name)
		require.Contains(t, kinds(report), twofa.AuditChanged, name)
	}
}

// The record of a user is deleted, one event is dropped, and the others are blanked, so
// that they name no user.
func TestAbuse_Q11_DeletedRecordIsNotHiddenByBlanking(t *testing.T) {
	store := &tampered{Store: memstore.New()}
	w := newWorld(t, func(c *twofa.Config) { c.Store = store })
	w.setUser("ada", func(u *twofa.User) { u.Members = nil })
	ada := w.enrolled("ada")
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	w.clock.Add(10 * time.Minute)
	require.NoError(t, store.Swap(t.Context(), w.stored("ada").Version, twofa.Record{Key: "user/ada"}))
	require.Equal(t, []twofa.AuditProblemKind{twofa.AuditNoRecord}, kinds(w.verifies()))
	store.edit = func(l []twofa.Event) []twofa.Event {
		for i := range l {
			blank(&l[i])
		}
		return slices.Delete(l, 1, 2)
	}
	report := w.verifies()
	require.Equal(t, []twofa.AuditProblemKind{twofa.AuditChanged}, kinds(report))
	require.Len(t, report.Problems, report.Events)
}

// An event dated ahead is the newest that a list shows.
func TestAbuse_Q11_EventDatedAheadIsFound(t *testing.T) {
	forged := twofa.Event{ID: "forged", Seq: 1, Type: event.Reset, User: "mia", Account: "acme", Actor: twofa.EventActor{Kind: "staff", ID: "nora"}}
	for name, c := range map[string]struct {
		ahead time.Duration
		mac   func(signed []byte) []byte
		want  twofa.AuditProblemKind
	}{
		"in ten years":    {10 * 365 * 24 * time.Hour, func([]byte) []byte { return nil }, twofa.AuditUnsigned},
		"in ten seconds":  {10 * time.Second, func([]byte) []byte { return nil }, twofa.AuditUnsigned},
		"ten seconds ago": {-10 * time.Second, func([]byte) []byte { return nil }, twofa.AuditUnsigned},
		"MAC of another":  {time.Hour, func(signed []byte) []byte { return signed }, twofa.AuditChanged},
	} {
		w, store := audited(t)
		forged.Time, forged.MAC = w.clock.Now().Add(c.ahead), c.mac(w.events[0].MAC)
		require.NoError(t, store.Swap(t.Context(), "", twofa.Record{Key: "x/y", Version: "v", Data: []byte("x")}, forged))
		require.NoError(t, store.Swap(t.Context(), "v", twofa.Record{Key: "x/y"}))
		problem := twofa.AuditProblem{Kind: c.want, User: "mia", Account: "acme", Event: "forged", Seq: 1}
		require.Equal(t, []twofa.AuditProblem{problem}, w.verifies().Problems, name)
	}
}

// The events of a server whose clock is within a minute are no problem. Those of one
// that is an hour fast are, until that hour is over.
func TestAbuse_Q11_FastClockIsFound(t *testing.T) {
	w, _ := audited(t)
	var ahead time.Duration
	fast := w.with(func(c *twofa.Config) { c.Now = func() time.Time { return w.clock.Now().Add(ahead) } })
	for _, c := range []struct {
		ahead time.Duration
		want  []twofa.AuditProblemKind
	}{{-time.Minute, nil}, {time.Minute, nil}, {time.Hour, []twofa.AuditProblemKind{twofa.AuditChanged}}} {
		ahead = c.ahead
		before := len(w.events)
		require.NoError(t, fast.User(twofa.AsHost("signed out"), "mia").Revoke(t.Context()))
		require.Greater(t, len(w.events), before)
		require.Equal(t, c.want, kinds(w.verifies()), c.ahead)
	}
	w.clock.Add(2 * time.Hour)
	require.Empty(t, w.verifies().Problems)
}

func TestVerifyEvents_ManyProblemsAndErrors(t *testing.T) {
	w, store := audited(t)
	store.edit = func(l []twofa.Event) []twofa.Event {
		for i := range 1500 {
			l = append(l, twofa.Event{ID: fmt.Sprint(i), Type: event.Login, User: "mia"})
		}
		return l
	}
	report := w.verifies()
	require.Len(t, report.Problems, 1000)
	require.Equal(t, 500, report.More)

	broken := w.with(func(c *twofa.Config) { c.Store = noReader{store} })
	_, err := broken.VerifyEvents(t.Context(), nil)
	require.ErrorIs(t, err, twofa.ErrNotAllowed)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.VerifyEvents(ctx, nil)
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	require.True(t, strings.HasPrefix(err.Error(), "twofa: "))
}

type noReader struct{ twofa.Store }

// A record that is deleted in the last minute or while events are verified is no
// problem. Neither is one that is created again.
func TestAbuse_Q11_RecordDeletedMeanwhile(t *testing.T) {
	for name, again := range map[string]bool{"deleted": false, "created again": true} {
		t.Run(name, func(t *testing.T) {
			w, store := audited(t)
			once := sync.OnceFunc(func() {
				require.NoError(t, w.User(twofa.AsHost("left"), "mia").Delete(t.Context()))
				if again {
					w.person("mia").begin()
				}
			})
			report, err := w.VerifyEvents(t.Context(), func(int) { once() })
			require.NoError(t, err)
			require.Empty(t, report.Problems, "while events are verified")
			w.clock.Add(30 * time.Second)
			require.Empty(t, w.verifies().Problems, "in the last minute")

			store.edit = func(l []twofa.Event) []twofa.Event {
				return slices.DeleteFunc(l, func(e twofa.Event) bool { return e.Type == event.Erased && e.User == "mia" })
			}
			require.Equal(t, []twofa.AuditProblemKind{twofa.AuditNoRecord}, kinds(w.verifies()))
		})
	}
}
