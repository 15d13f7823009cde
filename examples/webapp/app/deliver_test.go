package app_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
	"github.com/twofa-go/twofa/twofatest"
)

// mailServer can be down.
type mailServer struct {
	twofatest.Outbox
	down atomic.Bool
}

func (m *mailServer) SendMail(ctx context.Context, mail twofa.Email) error {
	if m.down.Load() {
		return errors.New("does not answer")
	}
	return m.Outbox.SendMail(ctx, mail)
}

// A notice that could not be mailed is mailed by the call of each minute.
func TestDeliver(t *testing.T) {
	t.Parallel()
	mails := &mailServer{}
	s := newSite(t, func(c *app.Config) { c.Mailer = mails })
	var id string
	require.NoError(t, s.db.QueryRow(`SELECT id FROM users WHERE email = '`+ben+`'`).Scan(&id))
	host := s.app.Manager().User(twofa.AsHost("test"), id)
	_, err := host.Import(t.Context(), twofa.ImportFactor{Key: twofa.NewSecret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")})
	require.NoError(t, err)
	mails.down.Store(true)
	require.NoError(t, host.Revoke(t.Context()))
	s.advance(5 * time.Minute)
	require.Error(t, s.app.Deliver(t.Context()))
	require.Empty(t, mails.Mails())
	mails.down.Store(false)
	s.advance(5 * time.Minute)
	for range 2 {
		require.NoError(t, s.app.Deliver(t.Context()))
		require.Len(t, mails.Mails(), 1)
	}
	require.Equal(t, ben, mails.Mails()[0].To)
}
