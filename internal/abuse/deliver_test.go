package abuse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
)

var errMailDown = errors.New("mail server does not answer")

// tellers returns a server that mails notices, and whose Mailer refuses with the
// error that refuse returns.
func tellers(t testing.TB, w *world, refuse func(to string) error) *twofa.Manager {
	t.Helper()
	return w.with(func(c *twofa.Config) {
		c.Mail.NoticeEmail = nil
		c.Mail.Mailer = mailerFunc(func(ctx context.Context, m twofa.Email) error {
			if err := refuse(m.To); err != nil {
				return err
			}
			return w.out.SendMail(ctx, m)
		})
	})
}

type mailerFunc func(ctx context.Context, m twofa.Email) error

func (f mailerFunc) SendMail(ctx context.Context, m twofa.Email) error { return f(ctx, m) }

func always(err error) func(string) error { return func(string) error { return err } }

// killed leaves the store as a server does that is killed between a change and its
// notice.
func (w *world) killed(act func(m *twofa.Manager) error) {
	w.t.Helper()
	require.Empty(w.t, w.tells(func() { require.NoError(w.t, act(tellers(w.t, w, always(errMailDown)))) }))
}

func revokes(t testing.TB, id string) func(m *twofa.Manager) error {
	return func(m *twofa.Manager) error { return m.User(twofa.AsHost("test"), id).Revoke(t.Context()) }
}

// delivers returns who is told by a Deliver that must be without error.
func (w *world) delivers(m *twofa.Manager, want int) []string {
	w.t.Helper()
	return w.tells(func() {
		n, err := m.Deliver(w.t.Context())
		require.NoError(w.t, err)
		require.Equal(w.t, want, n)
	})
}

// A server that is killed between a change and its notice loses no notice. Another
// one mails it, to the addresses that the user had at the change, too, and once.
func TestAbuse_F10_R12_NoticeOfAKilledServerIsMailed(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) {
		c.Mail.NoticeEmail = nil
		c.Languages = []*locale.Catalog{locale.English(), de.Catalog()}
	})
	ada := w.enrolled("ada")
	w.enrolled("bob")
	w.setUser("ada", func(u *twofa.User) {
		u.Emails, u.SecurityStamp, u.Language = []string{"new@example.org"}, "changed", "de"
	})
	w.killed(func(m *twofa.Manager) error {
		return m.User(twofa.AsHost("test"), "ada").CredentialsChanged(t.Context())
	})
	require.Empty(t, w.delivers(w.Manager, 0), "the request may still send it")
	w.clock.Add(twofa.NoticeClaim - time.Second)
	require.Empty(t, w.delivers(w.Manager, 0))
	w.clock.Add(time.Second)
	events := len(w.events)
	require.Equal(t, []string{"new@example.org", "ada@example.com"}, w.delivers(w.again(), 1))
	mail := w.out.Mails()[len(w.out.Mails())-1]
	require.Equal(t, "Passwort oder E-Mail-Adresse Ihres Kontos bei Acme geändert", mail.Subject)
	require.Len(t, w.events, events, "OnEvent is not called again")
	w.clock.Add(24 * time.Hour)
	require.Empty(t, w.delivers(w.Manager, 0))

	// What a request has mailed is done.
	ada.begin()
	w.revoke("bob")
	w.clock.Add(time.Hour)
	require.Empty(t, w.delivers(w.Manager, 0))
}

// Servers that deliver at the same time mail each notice once.
func TestAbuse_R12_ServersDeliverAtTheSameTime(t *testing.T) {
	w := newWorld(t)
	const users = 35
	for i := range users {
		id := fmt.Sprintf("u%d", i)
		w.setUser(id, func(u *twofa.User) { *u = twofa.User{ID: id, Emails: []string{id + "@example.com"}} })
		w.killed(func(m *twofa.Manager) error {
			_, err := m.User(twofa.AsHost("test"), id).Import(t.Context(), twofa.ImportFactor{Key: twofa.NewSecret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")})
			return errors.Join(err, revokes(t, id)(m))
		})
	}
	w.clock.Add(time.Hour)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		total int
	)
	told := w.tells(func() {
		for range 4 {
			m := tellers(t, w, always(nil))
			wg.Go(func() {
				n, err := m.Deliver(t.Context())
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				total += n
			})
		}
		wg.Wait()
	})
	require.Equal(t, users, total)
	require.Len(t, told, users)
	slices.Sort(told)
	require.Len(t, slices.Compact(told), users)
}

// While mail cannot be sent, a notice is tried again after 5, 10, 20 minutes and so
// on, and once more a day after the event.
func TestAbuse_R12_NoticeIsTriedForADay(t *testing.T) {
	var logs bytes.Buffer
	w := newWorld(t, func(c *twofa.Config) { c.Logger = slog.New(slog.NewTextHandler(&logs, nil)) })
	w.enrolled("ada")
	began := w.clock.Now()
	var tries []int
	down := tellers(t, w, func(string) error {
		tries = append(tries, int(w.clock.Now().Sub(began).Minutes()))
		return errMailDown
	})
	require.NoError(t, revokes(t, "ada")(down))
	for range 48 * 60 {
		w.clock.Add(time.Minute)
		before := len(tries)
		n, err := down.Deliver(t.Context())
		require.Zero(t, n)
		require.Equal(t, len(tries) > before, errors.Is(err, twofa.ErrUnavailable), err)
	}
	require.Equal(t, []int{0, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440}, tries)
	require.Equal(t, 1, strings.Count(logs.String(), "level=ERROR"))
	require.Regexp(t, `level=ERROR msg="twofa: notice given up" user=ada account="" type=revoked event=\w+ error="mail server does not answer"`, logs.String())
	require.Equal(t, 10, strings.Count(logs.String(), `level=WARN msg="twofa: notice not sent"`))
	require.Empty(t, w.delivers(tellers(t, w, always(nil)), 0))

	// A notice that nobody has tried in the meantime is still mailed.
	w.killed(revokes(t, "ada"))
	w.clock.Add(72 * time.Hour)
	require.Equal(t, []string{"ada@example.com"}, w.delivers(tellers(t, w, always(nil)), 1))
}

// A notice that one address did not get is mailed to all of them again. An address
// that can get no mail does not count.
func TestAbuse_R12_EachAddressCounts(t *testing.T) {
	w := newWorld(t)
	w.enrolled("ada")
	w.setUser("ada", func(u *twofa.User) { u.Emails = []string{"ada@example.com", "slow@example.org", "gone@example.net"} })
	failing := map[string]error{"slow@example.org": errMailDown, "gone@example.net": fmt.Errorf("%w: %w", twofa.ErrUndeliverable, errMailDown)}
	m := tellers(t, w, func(to string) error { return failing[to] })
	require.Equal(t, []string{"ada@example.com"}, w.tells(func() { require.NoError(t, revokes(t, "ada")(m)) }))
	w.clock.Add(5 * time.Minute)
	require.Equal(t, []string{"ada@example.com"}, w.tells(func() {
		n, err := m.Deliver(t.Context())
		require.ErrorIs(t, err, twofa.ErrUnavailable)
		require.ErrorIs(t, err, errMailDown)
		require.Zero(t, n)
	}))
	delete(failing, "slow@example.org")
	w.clock.Add(5 * time.Minute)
	require.Equal(t, []string{"ada@example.com", "slow@example.org"}, w.delivers(m, 1))
	w.clock.Add(24 * time.Hour)
	require.Empty(t, w.delivers(m, 0))

	w.setUser("ada", func(u *twofa.User) { u.Emails = []string{"gone@example.net"} })
	m = tellers(t, w, always(twofa.ErrUndeliverable))
	require.NoError(t, revokes(t, "ada")(m))
	w.clock.Add(time.Hour)
	require.Empty(t, w.delivers(tellers(t, w, always(nil)), 0), "the request has ended it")
}

// The admins are told of a reset and of a weaker policy, and a case has its link,
// also if the server that did it was killed.
func TestAbuse_M11_N06_R12_AdminsAreToldLater(t *testing.T) {
	w := team(t)
	w.signedIn("mia", "acme")
	olga := w.signedIn("olga", "acme")
	require.NoError(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), required(), ""))
	require.NoError(t, olga.stepUp(twofa.ActionReset))
	ok := tellers(t, w, always(nil))
	w.killed(func(m *twofa.Manager) error {
		return m.Account(twofa.AsUser(olga.caller(), "lost phone"), "acme").Reset(t.Context(), "mia", twofa.ResetRequest{})
	})
	w.clock.Add(5 * time.Minute)
	require.Equal(t, []string{"mia@example.com", "adam@example.com", "alma@example.com"}, w.delivers(ok, 1))
	require.Contains(t, w.out.Mails()[len(w.out.Mails())-1].Subject, "of a member")

	require.NoError(t, olga.stepUp(twofa.ActionPolicy))
	info, err := w.Account(twofa.AsHost("test"), "acme").Policy(t.Context())
	require.NoError(t, err)
	w.killed(func(m *twofa.Manager) error {
		return m.Account(twofa.AsUser(olga.caller(), "easier"), "acme").SetPolicy(t.Context(), twofa.PolicyOptional(), info.Version)
	})
	w.clock.Add(5 * time.Minute)
	require.Equal(t, []string{"adam@example.com", "alma@example.com"}, w.delivers(ok, 1))
	mail := w.out.Mails()[len(w.out.Mails())-1].Text.Reveal()
	require.Contains(t, mail, "olga")
	require.Contains(t, mail, "Requirement: Optional (before: Authenticator app)")

	ben := w.signedIn("ben", "beta")
	w.killed(func(m *twofa.Manager) error {
		_, err := m.User(twofa.AsStaff("sam", "ticket 1"), "ben").OpenCase(t.Context(), twofa.ResetRequest{})
		return err
	})
	w.clock.Add(5 * time.Minute)
	require.Equal(t, []string{"ben@example.com"}, w.delivers(ok, 1))
	require.NoError(t, w.CancelCase(t.Context(), ben.client, w.stopLink("ben@example.com")))
}

// A directory or store that fails delays a notice. A user who no longer exists does
// not.
func TestAbuse_R12_FailuresWhileDelivering(t *testing.T) {
	w := team(t)
	w.signedIn("mia", "acme")
	failing := &failingNotices{Store: w.cfg.Store.(*memstore.Store)}
	with := func(edit func(*twofa.Config)) *twofa.Manager {
		return w.with(func(c *twofa.Config) { c.Mail.NoticeEmail = nil; c.Store = failing; edit(c) })
	}
	down := with(func(c *twofa.Config) {
		c.Directory = twofa.LookUp(func(context.Context, string) (twofa.User, error) { return twofa.User{}, errors.New("down") })
	})
	up := with(func(*twofa.Config) {})
	w.killed(revokes(t, "mia"))
	w.clock.Add(5 * time.Minute)
	require.Equal(t, []string{"mia@example.com"}, w.tells(func() { // the kept one
		_, err := down.Deliver(t.Context())
		require.ErrorIs(t, err, twofa.ErrUnavailable)
	}))
	w.clock.Add(5 * time.Minute)
	failing.get = errors.New("store does not answer")
	require.Equal(t, []string{"mia@example.com"}, w.tells(func() { // the one of the directory
		_, err := up.Deliver(t.Context())
		require.ErrorIs(t, err, twofa.ErrUnavailable)
	}))
	failing.get, failing.claim = nil, errors.New("store does not answer")
	w.clock.Add(10 * time.Minute)
	require.Empty(t, w.tells(func() {
		_, err := up.Deliver(t.Context())
		require.ErrorIs(t, err, twofa.ErrUnavailable)
	}))
	failing.claim, failing.settle = nil, errors.New("store does not answer")
	require.Equal(t, []string{"mia@example.com"}, w.delivers(up, 1), "it may be mailed twice, but no more")
	failing.settle = nil
	w.clock.Add(5 * time.Minute)
	require.Equal(t, []string{"mia@example.com"}, w.delivers(up, 1))
	w.clock.Add(24 * time.Hour)
	require.Empty(t, w.delivers(up, 0))

	// A request does not fail because its notice cannot be ended.
	failing.settle = errors.New("store does not answer")
	require.Equal(t, []string{"mia@example.com"}, w.tells(func() { require.NoError(t, revokes(t, "mia")(up)) }))
	failing.settle = nil
	w.clock.Add(5 * time.Minute)
	require.Equal(t, []string{"mia@example.com"}, w.delivers(up, 1))

	w.killed(revokes(t, "mia"))
	require.NoError(t, w.User(twofa.AsHost("test"), "mia").Delete(t.Context()))
	delete(w.users, "mia")
	w.clock.Add(5 * time.Minute)
	require.Empty(t, w.delivers(up, 1))
	w.clock.Add(24 * time.Hour)
	require.Empty(t, w.delivers(up, 0))
}

// failingNotices is a store whose reads, claims or answers about notices fail.
type failingNotices struct {
	*memstore.Store
	get, claim, settle error
}

func (s *failingNotices) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	if s.get != nil {
		return nil, s.get
	}
	return s.Store.Get(ctx, keys...)
}

func (s *failingNotices) ClaimNotices(ctx context.Context, now, until time.Time, limit int) ([]twofa.Event, error) {
	if s.claim != nil {
		return nil, s.claim
	}
	return s.Store.ClaimNotices(ctx, now, until, limit)
}

func (s *failingNotices) NoticesDone(ctx context.Context, events ...twofa.Event) error {
	if s.settle != nil {
		return s.settle
	}
	return s.Store.NoticesDone(ctx, events...)
}

// If the context ends, the notice that is being mailed is finished, and the others
// are free at once.
func TestDeliver_Interrupted(t *testing.T) {
	w := newWorld(t)
	w.enrolled("ada")
	for range 3 {
		w.killed(revokes(t, "ada"))
	}
	w.clock.Add(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	m := tellers(t, w, func(string) error { cancel(); return nil })
	require.Equal(t, []string{"ada@example.com"}, w.tells(func() {
		n, err := m.Deliver(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, twofa.ErrUnavailable)
		require.Equal(t, 1, n)
	}))
	require.Len(t, w.delivers(tellers(t, w, always(nil)), 2), 2)
}

// A Deliver that is slow leaves those notices to others of which its claim would end.
func TestDeliver_SlowMailer(t *testing.T) {
	w := newWorld(t)
	w.enrolled("ada")
	for range 9 {
		w.killed(revokes(t, "ada"))
	}
	w.clock.Add(time.Hour)
	m := tellers(t, w, func(string) error { w.clock.Add(time.Minute); return nil })
	require.Len(t, w.delivers(m, 9), 9)
}

// If all mails fail, Deliver does not try the rest.
func TestDeliver_StopsIfNothingWorks(t *testing.T) {
	w := newWorld(t)
	w.enrolled("ada")
	for range 25 {
		w.killed(revokes(t, "ada"))
	}
	w.clock.Add(time.Hour)
	tries := 0
	m := tellers(t, w, func(string) error { tries++; return errMailDown })
	_, err := m.Deliver(t.Context())
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	require.Equal(t, 10, tries)
	require.Len(t, w.delivers(tellers(t, w, always(nil)), 15), 15)
}

// Without a Mailer, nothing is left that a Mailer of later would send. Without a
// store that keeps them, notices are sent once, and the log says so.
func TestDeliver_NotPossible(t *testing.T) {
	var logs bytes.Buffer
	log := func(c *twofa.Config) { c.Logger = slog.New(slog.NewTextHandler(&logs, nil)) }
	w := newWorld(t, log)
	w.enrolled("ada")
	silent := w.with(func(c *twofa.Config) { c.Mail = twofa.MailConfig{} })
	require.NoError(t, revokes(t, "ada")(silent))
	_, err := silent.Deliver(t.Context())
	require.ErrorIs(t, err, twofa.ErrNotAllowed)
	require.ErrorContains(t, err, "Mailer")
	w.clock.Add(time.Hour)
	require.Empty(t, w.delivers(tellers(t, w, always(nil)), 0))
	require.NotContains(t, logs.String(), "at most once")

	w = newWorld(t, log, func(c *twofa.Config) { c.Store, c.Mail.NoticeEmail = struct{ twofa.Store }{c.Store}, nil })
	require.Equal(t, 1, strings.Count(logs.String(), "at most once"))
	w.enrolled("ada")
	require.Equal(t, []string{"ada@example.com"}, w.tells(func() { w.revoke("ada") }))
	w.killed(revokes(t, "ada"))
	_, err = w.Deliver(t.Context())
	require.ErrorIs(t, err, twofa.ErrNotAllowed)
	require.ErrorContains(t, err, "NoticeStore")
	require.NotContains(t, logs.String(), "given up")
}
