package integration

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/adapters/sendlimit"
	"github.com/twofa-go/twofa/adapters/vonagesms"
	"github.com/twofa-go/twofa/storetest"
	"github.com/twofa-go/twofa/twofatest"
)

// linkHost is a Manager that mails links through one sender, and a user who signs in.
type linkHost struct {
	*twofa.Manager
	login twofa.Result
	clock *twofatest.Clock
}

func newLinkHost(t *testing.T, mailer twofa.Mailer) *linkHost {
	t.Helper()
	keys, err := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	require.NoError(t, err)
	h := &linkHost{clock: twofatest.NewClock(time.Now())}
	h.Manager, err = twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Policy: twofa.PolicyEmailLink(), Now: h.clock.Now,
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) {
			return twofa.User{ID: id, Name: id, Emails: []string{id + "@example.com"}}, nil
		}),
		Mail: twofa.MailConfig{Mailer: mailer, LinkURL: func(l twofa.LinkRequest) string {
			return "https://acme.example/2fa/link?token=" + l.Token.Reveal()
		}},
	})
	require.NoError(t, err)
	h.login, err = h.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})
	require.NoError(t, err)
	return h
}

func (h *linkHost) send(t *testing.T, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	sent, err := h.Send(ctx, twofa.Client{}, h.login.Challenge, twofa.EmailLink)
	if err == nil {
		h.login = sent
	}
	return err
}

var mailedLink = regexp.MustCompile(`https://acme\.example/2fa/link\S+`)

// follow proves the link in a mail.
func (h *linkHost) follow(t *testing.T, m twofa.Email) error {
	link, err := url.Parse(mailedLink.FindString(m.Text.Reveal()))
	require.NoError(t, err)
	_, err = h.Verify(t.Context(), twofa.Caller{}, h.login.Challenge,
		twofa.Proof{Method: twofa.EmailLink, Code: twofa.NewSecret(link.Query().Get("token"))})
	return err
}

// Whatever a real sender and its server do, only a link that was handed over is valid.
func TestAbuse_J11_R04_RealSenders(t *testing.T) {
	smtpPeer := func(t *testing.T) storetest.MailerPeer {
		srv := startSMTP(t, func(*smtp.Server) {})
		return storetest.MailerPeer{Mailer: newMailer(t, srv.config()), Taken: srv.Taken, Refuse: srv.Refuse, Hang: srv.Hang}
	}
	for name, open := range map[string]func(t *testing.T) storetest.MailerPeer{
		"smtpmail": smtpPeer,
		"webhook": func(t *testing.T) storetest.MailerPeer {
			gw, sender := openWebhook(t)
			return storetest.MailerPeer{Mailer: sender, Taken: gw.Taken, Refuse: gw.Refuse, Hang: gw.Hang}
		},
		"sendlimit": func(t *testing.T) storetest.MailerPeer {
			peer := smtpPeer(t)
			limited, err := sendlimit.NewMailer(peer.Mailer, sendlimit.Limits{Concurrent: 1})
			require.NoError(t, err)
			peer.Mailer = limited
			return peer
		},
		"outbox": func(t *testing.T) storetest.MailerPeer {
			o, db, _, _ := openOutbox(t)
			return storetest.MailerPeer{Mailer: o, Taken: func() []twofa.Email { return stored(t, o, db) },
				Refuse: func() { db.set(true, false) }, Hang: func() { db.set(false, true) }}
		},
	} {
		t.Run(name+" refuses", func(t *testing.T) {
			peer := open(t)
			h := newLinkHost(t, peer.Mailer)
			require.NoError(t, h.send(t, 10*time.Second))
			peer.Refuse()
			h.clock.Add(time.Minute)
			require.ErrorIs(t, h.send(t, 10*time.Second), twofa.ErrUnavailable)
			require.Len(t, peer.Taken(), 1)
			require.NoError(t, h.follow(t, peer.Taken()[0]), "the link before is still valid")
		})
		t.Run(name+" accepts and hangs", func(t *testing.T) {
			peer := open(t)
			h := newLinkHost(t, peer.Mailer)
			peer.Hang()
			began := time.Now()
			require.ErrorIs(t, h.send(t, 300*time.Millisecond), twofa.ErrUnavailable)
			require.Less(t, time.Since(began), 10*time.Second)
			for _, m := range peer.Taken() { // it arrives, but its outcome was unknown
				require.ErrorIs(t, h.follow(t, m), twofa.ErrInvalidCode)
			}
		})
	}
}

// A number that can never receive a text message is told from a gateway that fails.
func TestVonageSMS_RefusedNumberReachesTheUser(t *testing.T) {
	for status, want := range map[string]error{"33": twofa.ErrUndeliverable, "4": twofa.ErrUnavailable, "15": twofa.ErrUnavailable, "5": twofa.ErrUnavailable} {
		_, base := startGateway(t, func(*http.Request) struct{} { return struct{}{} }, reply{http.StatusOK, strings.ReplaceAll(`{"messages":[{"status":"?"}]}`, "?", status)}, reply{})
		sender, err := vonagesms.New(vonagesms.Config{APIKey: "abcd1234", APISecret: twofa.NewSecret("secret"), From: "Acme", BaseURL: base})
		require.NoError(t, err)
		require.ErrorIs(t, enrollPhone(t, sender), want, status)
	}
}

type swissPhones struct{}

func (swissPhones) ParsePhone(raw, _ string) (twofa.Phone, error) {
	return twofa.Phone{E164: raw, Country: "CH", Mobile: true}, nil
}

func enrollPhone(t *testing.T, sender twofa.SMSSender) error {
	t.Helper()
	keys, err := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	require.NoError(t, err)
	policy := twofa.PolicySMS()
	policy.EnrollWithoutLink = true
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Policy: policy,
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) {
			return twofa.User{ID: id, Name: id, Members: []twofa.Member{{Account: "acme"}}}, nil
		}),
		SMS: twofa.SMSConfig{Sender: sender, Phone: swissPhones{}, Countries: []string{"CH"}},
	})
	require.NoError(t, err)
	login, err := m.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword})
	require.NoError(t, err)
	_, err = m.Enroll(t.Context(), twofa.Caller{Challenge: login.Challenge, Account: "acme"}, twofa.EnrollRequest{Method: twofa.SMS, Phone: "+41791234567"})
	return err
}
