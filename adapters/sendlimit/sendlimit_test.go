package sendlimit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sendlimit"
	"github.com/twofa-go/twofa/storetest"
	"github.com/twofa-go/twofa/twofatest"
)

// gateway is a sender whose behavior a test can change.
type gateway struct {
	twofatest.Outbox
	do func(ctx context.Context) error // if nil, the message is accepted

	mu        sync.Mutex
	now, most int // messages that are being handed over
	starts    []time.Time
}

func (g *gateway) SendMail(ctx context.Context, m twofa.Email) error {
	if strings.ContainsAny(m.To+m.Subject, "\r\n") {
		return errRefused
	}
	return g.send(ctx, func() error { return g.Outbox.SendMail(ctx, m) })
}

func (g *gateway) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	if strings.ContainsAny(m.To, "\r\n") {
		return errRefused
	}
	return g.send(ctx, func() error { return g.Outbox.SendSMS(ctx, m) })
}

func (g *gateway) send(ctx context.Context, keep func() error) error {
	g.mu.Lock()
	g.now++
	g.most = max(g.most, g.now)
	g.starts = append(g.starts, time.Now())
	do := g.do
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.now--
		g.mu.Unlock()
	}()
	if do != nil {
		if err := do(ctx); err != nil {
			return err
		}
	}
	return keep()
}

func (g *gateway) set(do func(ctx context.Context) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.do = do
}

var errRefused = errors.New("refused")

func hang(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func slow(context.Context) error { time.Sleep(time.Second); return nil }

func open(t *testing.T, g *gateway, l sendlimit.Limits) *sendlimit.Mailer {
	t.Helper()
	m, err := sendlimit.NewMailer(g, l)
	require.NoError(t, err)
	return m
}

var mail = twofa.Email{To: "ada@example.com", Subject: "Sign in", Text: twofa.NewSecret("link")}

func TestNew_AllProblemsAtOnce(t *testing.T) {
	_, err := sendlimit.NewMailer(nil, sendlimit.Limits{Concurrent: -1, PerSecond: -1, Waiting: -1, Hang: -1, Hangs: -1, Pause: -1})
	require.Len(t, strings.Split(err.Error(), "\n"), 7, err)
	_, err = sendlimit.NewSMSSender(nil, sendlimit.Limits{})
	require.ErrorContains(t, err, "next: required")
}

func TestConformance(t *testing.T) {
	peer := func() (*gateway, func(), func()) {
		g := &gateway{}
		return g, func() { g.set(func(context.Context) error { return errRefused }) }, func() { g.set(hang) }
	}
	t.Run("mail", func(t *testing.T) {
		storetest.RunMailer(t, func(t *testing.T) storetest.MailerPeer {
			g, refuse, hang := peer()
			return storetest.MailerPeer{Mailer: open(t, g, sendlimit.Limits{Concurrent: 2}), Taken: g.Mails, Refuse: refuse, Hang: hang}
		})
	})
	t.Run("text message", func(t *testing.T) {
		storetest.RunSMSSender(t, func(t *testing.T) storetest.SMSPeer {
			g, refuse, hang := peer()
			s, err := sendlimit.NewSMSSender(g, sendlimit.Limits{Concurrent: 2})
			require.NoError(t, err)
			return storetest.SMSPeer{Sender: s, Taken: g.Texts, Refuse: refuse, Hang: hang}
		})
	})
}

// sendAll sends n messages at the same time, each with a timeout.
func sendAll(t *testing.T, m *sendlimit.Mailer, n int, timeout time.Duration) (errs []error) {
	t.Helper()
	errs = make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			errs[i] = m.SendMail(ctx, mail)
		})
	}
	wg.Wait()
	return errs
}

func count(errs []error, target error) (n int) {
	for _, err := range errs {
		if errors.Is(err, target) || err == nil && target == nil {
			n++
		}
	}
	return n
}

func TestConcurrentMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{do: slow}
		began := time.Now()
		errs := sendAll(t, open(t, g, sendlimit.Limits{Concurrent: 3}), 9, time.Minute)
		require.Equal(t, 9, count(errs, nil), errs)
		require.Equal(t, 3, g.most)
		require.Equal(t, 3*time.Second, time.Since(began))
	})
}

func TestMessagesPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{}
		errs := sendAll(t, open(t, g, sendlimit.Limits{PerSecond: 4}), 9, time.Minute)
		require.Equal(t, 9, count(errs, nil), errs)
		for i, at := range g.starts {
			require.Equal(t, time.Duration(i)*250*time.Millisecond, at.Sub(g.starts[0]))
		}
	})
}

// A message that cannot be sent in time is refused at once and not at its deadline.
func TestHopelessMessagesAreRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{}
		began := time.Now()
		errs := sendAll(t, open(t, g, sendlimit.Limits{PerSecond: 1}), 10, 3500*time.Millisecond)
		require.Equal(t, 4, count(errs, nil), errs)
		require.Equal(t, 6, count(errs, sendlimit.ErrBusy), errs)
		require.Equal(t, 3*time.Second, time.Since(began))
		require.Len(t, g.Mails(), 4, "what was refused is not sent later")
	})
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{do: slow}
		errs := sendAll(t, open(t, g, sendlimit.Limits{Concurrent: 1, Waiting: 2}), 10, time.Minute)
		require.Equal(t, 3, count(errs, nil), errs)
		require.Equal(t, 7, count(errs, sendlimit.ErrBusy), errs)
	})
}

func TestMessageWhoseContextEndsInLineIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{do: slow}
		errs := sendAll(t, open(t, g, sendlimit.Limits{Concurrent: 1}), 3, 1500*time.Millisecond)
		require.Equal(t, 1, count(errs, nil), errs)
		require.Equal(t, 2, count(errs, context.DeadlineExceeded), errs)
		require.Len(t, g.starts, 2, "the second began before its deadline")
	})
}

func TestAbuse_R04_GatewayHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{do: hang}
		m := open(t, g, sendlimit.Limits{Concurrent: 5, Hangs: 5, Pause: 10 * time.Second})
		began := time.Now()
		errs := sendAll(t, m, 50, 20*time.Second)
		require.Equal(t, 20*time.Second, time.Since(began))
		require.Zero(t, count(errs, nil))
		require.Len(t, g.starts, 5, "the others were refused")
		for range 100 {
			require.ErrorIs(t, m.SendMail(t.Context(), mail), sendlimit.ErrHanging)
		}
		require.Equal(t, 20*time.Second, time.Since(began), "at once")

		time.Sleep(10 * time.Second)
		require.Len(t, g.starts, 5)
		errs = sendAll(t, m, 5, 6*time.Second)
		require.Equal(t, 4, count(errs, sendlimit.ErrHanging), "one tries it")
		require.Len(t, g.starts, 6)

		g.set(nil)
		require.ErrorIs(t, m.SendMail(t.Context(), mail), sendlimit.ErrHanging)
		time.Sleep(10 * time.Second)
		require.Zero(t, len(g.Mails()))
		for range 5 {
			require.NoError(t, m.SendMail(t.Context(), mail))
		}
	})
}

// An attacker who hangs up, or sets short deadlines, does not turn the gateway off.
func TestAbuse_P07_ClientsThatHangUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{do: hang}
		m := open(t, g, sendlimit.Limits{})
		for range 100 {
			require.Error(t, sendAll(t, m, 1, 3*time.Second)[0])
		}
		g.set(nil)
		require.NoError(t, m.SendMail(t.Context(), mail))
	})
}

func TestAnswersAreNoHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{}
		m := open(t, g, sendlimit.Limits{Hangs: 2})
		for _, do := range []func(context.Context) error{hang, func(context.Context) error { return errRefused }, hang, nil, hang} {
			g.set(do)
			_ = sendAll(t, m, 1, 20*time.Second)
		}
		g.set(nil)
		require.NoError(t, m.SendMail(t.Context(), mail))
	})
}

// A panic reaches the Manager, which reports it, and frees the place.
func TestPanicFreesThePlace(t *testing.T) {
	g := &gateway{do: func(context.Context) error { panic("ada@example.com") }}
	m := open(t, g, sendlimit.Limits{Concurrent: 1})
	require.Panics(t, func() { _ = m.SendMail(t.Context(), mail) })
	g.set(nil)
	require.NoError(t, m.SendMail(t.Context(), mail))
}

func ExampleNewMailer() {
	var smtp twofatest.Outbox // in production: see adapters/smtpmail
	mailer, err := sendlimit.NewMailer(&smtp, sendlimit.Limits{Concurrent: 4, PerSecond: 10})
	if err != nil {
		panic(err)
	}
	// The host sets mailer as Mail.Mailer of twofa.Config. The library then calls:
	err = mailer.SendMail(context.Background(), twofa.Email{To: "ada@example.com", Subject: "Your sign-in link"})
	fmt.Println(err, len(smtp.Mails()))
	// Output: <nil> 1
}
