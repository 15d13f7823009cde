package integration

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/twofatest"
)

// remindedTeam is the directory of a small team.
type remindedTeam struct {
	mu    sync.Mutex
	users map[string]twofa.User
}

func (d *remindedTeam) Users(_ context.Context, ids ...string) (found []twofa.User, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		if u, ok := d.users[id]; ok {
			found = append(found, u)
		}
	}
	return found, nil
}

func (d *remindedTeam) Admins(context.Context, string) ([]string, error) {
	return []string{"olga"}, nil
}

// all lists the members as a query of the host's database does.
func (d *remindedTeam) all(yield func(string, error) bool) {
	for _, id := range []string{"olga", "mia", "max", "sam", "eva"} {
		if !yield(id, nil) {
			return
		}
	}
}

// Two processes with a database and a mail server of their own connections remind
// a team each day for three weeks. One member enrolls, one signs in by SSO, and one
// gets more time.
func TestRemind_OverSMTP(t *testing.T) {
	const day = 24 * time.Hour
	start := time.Date(2027, 1, 1, 9, 0, 0, 0, time.UTC)
	clock := twofatest.NewClock(start)
	srv := startSMTP(t, func(*smtp.Server) {})
	d := database{"sqlite", "file:" + filepath.Join(t.TempDir(), "twofa.db") + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate", sqlstore.SQLite}
	require.NoError(t, sqlstore.Migrate(t.Context(), d.open(t), d.dialect))
	dir := &remindedTeam{users: map[string]twofa.User{}}
	for _, id := range []string{"olga", "mia", "max", "sam", "eva"} {
		dir.users[id] = twofa.User{ID: id, Emails: []string{id + "@example.com"}, Members: []twofa.Member{{Account: "acme", Since: start}}}
	}
	dir.users["olga"].Members[0].Role = twofa.RoleOwner
	process := func() *twofa.Manager {
		store, err := sqlstore.New(d.open(t), d.dialect)
		require.NoError(t, err)
		m, err := twofa.New(twofa.Config{Issuer: "Ácme", Store: store, Keys: twofatest.KeyRing(t, "remind"), Directory: dir, Now: clock.Now,
			Mail: twofa.MailConfig{Mailer: newMailer(t, srv.config()), LinkURL: func(l twofa.LinkRequest) string { return "https://acme.example/" + l.Token.Reveal() }}})
		require.NoError(t, err)
		return m
	}
	processes := []*twofa.Manager{process(), process()}
	host := processes[0].Account(twofa.AsHost("test"), "acme")
	policy := twofa.PolicyAuthenticator()
	policy.Grace = 10 * day
	require.NoError(t, host.SetPolicy(t.Context(), policy, ""))
	_, err := processes[0].Begin(t.Context(), twofa.FirstFactor{UserID: "sam", Account: "acme", By: twofa.BySSO, ProviderOf: "acme"})
	require.NoError(t, err)

	got := map[string][]int{} // recipient and subject: days
	taken := 0
	for n := range 21 {
		switch n {
		case 4: // after the first reminder
			app := twofa.ImportFactor{Key: twofa.NewSecret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")}
			_, err := processes[1].User(twofa.AsHost("test"), "mia").Import(t.Context(), app)
			require.NoError(t, err)
		case 8:
			require.NoError(t, host.Extend(t.Context(), "eva", start.Add(18*day)))
			taken = len(srv.Taken()) // without the notice of it
		}
		var wg sync.WaitGroup
		for _, m := range processes {
			wg.Go(func() {
				if _, err := m.Account(twofa.AsHost("cron"), "acme").Remind(t.Context(), dir.all); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		mails := srv.Taken()
		for _, mail := range mails[taken:] {
			name, _, _ := strings.Cut(mail.To, "@")
			got[name+": "+mail.Subject] = append(got[name+": "+mail.Subject], n)
			require.NotContains(t, mail.Text.Reveal()+mail.HTML.Reveal(), "{{")
		}
		taken = len(mails)
		clock.Add(day)
	}
	reminder := func(id, date string) string {
		return id + ": Set up two-factor authentication for Ácme by " + date
	}
	require.Equal(t, map[string][]int{
		reminder("olga", "11 January 2027"):                            {3, 9},
		reminder("max", "11 January 2027"):                             {3, 9},
		reminder("mia", "11 January 2027"):                             {3},
		reminder("eva", "11 January 2027"):                             {3},
		reminder("eva", "19 January 2027"):                             {11, 17},
		"olga: 4 members still need two-factor authentication at Ácme": {3},
		"olga: 3 members still need two-factor authentication at Ácme": {9, 11, 17},
	}, withoutNotices(got))

	srv.Refuse()
	require.NoError(t, host.Extend(t.Context(), "max", clock.Now().Add(2*day)))
	for i, failed := range []int{1, 0} {
		done, err := host.Remind(t.Context(), dir.all)
		require.NoError(t, err)
		require.Equal(t, []int{0, failed, 0}, []int{done.Mailed, done.Failed, done.Admins}, i)
	}
}

// withoutNotices drops the mails of other changes.
func withoutNotices(got map[string][]int) map[string][]int {
	for key := range got {
		if slices.ContainsFunc([]string{"moved to your", "Password or email"}, func(part string) bool { return strings.Contains(key, part) }) {
			delete(got, key)
		}
	}
	return got
}
