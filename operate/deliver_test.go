package operate

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofatest"
)

// unreliable is a mail server that can be down.
type unreliable struct {
	twofatest.Outbox
	down bool
}

func (u *unreliable) SendMail(ctx context.Context, m twofa.Email) error {
	if u.down {
		return errors.New("mail server does not answer")
	}
	return u.Outbox.SendMail(ctx, m)
}

func TestDeliver(t *testing.T) {
	clock, mails := twofatest.NewClock(time.Date(2027, 1, 1, 9, 0, 0, 0, time.UTC)), &unreliable{down: true}
	store := memstore.New()
	dir := twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) {
		return twofa.User{ID: id, Emails: []string{id + "@example.com"}}, nil
	})
	cfg := twofa.Config{Issuer: "Acme", Store: store, Keys: twofatest.KeyRing(t, "deliver"), Directory: dir, Now: clock.Now, Mail: twofa.MailConfig{Mailer: mails}}
	m, err := twofa.New(cfg)
	require.NoError(t, err)
	p := &product{t: t, cfg: Config{Manager: m, Store: store, Directory: dir, Command: "acme operate"}}
	p.enroll("mia")
	require.NoError(t, m.User(twofa.AsHost("test"), "mia").Revoke(t.Context()))
	require.Equal(t, "Notices mailed  0\n", p.must("deliver"))
	clock.Add(5 * time.Minute)
	exit, _, stderr := p.run("deliver")
	require.Equal(t, exitFailed, exit)
	require.Contains(t, stderr, "mail server does not answer, after 0 notices were mailed")
	require.Contains(t, stderr, "tried again")
	mails.down = false
	clock.Add(5 * time.Minute)
	require.JSONEq(t, `{"mailed": 1}`, p.must("deliver", "-json"))
	require.Len(t, mails.Mails(), 1)

	cfg.Mail = twofa.MailConfig{}
	p.cfg.Manager, err = twofa.New(cfg)
	require.NoError(t, err)
	exit, _, stderr = p.run("deliver")
	require.Equal(t, exitFailed, exit)
	require.Contains(t, stderr, "Mailer")
}
