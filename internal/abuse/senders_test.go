package abuse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofatest"
)

// sender is a Mailer and an SMSSender that misbehaves while do is set.
type sender struct {
	twofatest.Outbox
	do func(ctx context.Context, keep func() error) error
}

func (s *sender) SendMail(ctx context.Context, m twofa.Email) error {
	return s.send(ctx, func() error { return s.Outbox.SendMail(ctx, m) })
}

func (s *sender) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	return s.send(ctx, func() error { return s.Outbox.SendSMS(ctx, m) })
}

func (s *sender) send(ctx context.Context, keep func() error) error {
	if s.do == nil {
		return keep()
	}
	return s.do(ctx, keep)
}

var badSenders = []struct {
	name string
	do   func(ctx context.Context, keep func() error) error
	took time.Duration // if the caller set no deadline
}{
	{"fails", func(context.Context, func() error) error { return errDown }, 0},
	{"hangs", func(ctx context.Context, _ func() error) error { <-ctx.Done(); return ctx.Err() }, 20 * time.Second},
	{"panics", func(context.Context, func() error) error { panic("connection of ada@example.com") }, 0},
	{"delivers, and fails", func(_ context.Context, keep func() error) error { _ = keep(); return errDown }, 0},
	{"delivers, and hangs", func(ctx context.Context, keep func() error) error {
		_ = keep()
		<-ctx.Done()
		return ctx.Err()
	}, 20 * time.Second},
	{"delivers, and panics", func(_ context.Context, keep func() error) error { _ = keep(); panic(errDown) }, 0},
}

// each runs a test with every bad sender, for links and for text messages. It
// runs in a synctest bubble, in which time passes only while all goroutines
// wait, and which fails if a goroutine is left.
func each(t *testing.T, test func(t *testing.T, p *person, s *sender, m twofa.Method, took time.Duration)) {
	for _, bad := range badSenders {
		for _, m := range []twofa.Method{twofa.EmailLink, twofa.SMS} {
			t.Run(string(m)+" "+bad.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &sender{}
					edit := byLink
					if m == twofa.SMS {
						edit = byText
					}
					w := newWorld(t, edit, func(c *twofa.Config) {
						if m == twofa.EmailLink {
							c.Mail.Mailer = s
						}
						c.SMS.Sender = s
					})
					w.out = &s.Outbox
					p := w.person("ada")
					if m == twofa.SMS {
						p = w.withPhone("ada", adasPhone)
					}
					p.begin()
					s.do = bad.do
					test(t, p, s, m, bad.took)
				})
			})
		}
	}
}

// received returns the secret in the newest message, or "" if none arrived.
func received(p *person, s *sender, m twofa.Method, before int) string {
	switch {
	case len(s.Mails())+len(s.Texts()) == before:
		return ""
	case m == twofa.SMS:
		return s.TextCode(p.t, adasPhone)
	}
	return p.token()
}

func TestAbuse_J11_R04_OnlyWhatWasHandedOverIsValid(t *testing.T) {
	each(t, func(t *testing.T, p *person, s *sender, m twofa.Method, took time.Duration) {
		before, began := len(s.Mails())+len(s.Texts()), time.Now()
		l, err := p.Send(t.Context(), p.client, p.login.Challenge, m)
		require.ErrorIs(t, err, twofa.ErrUnavailable)
		require.Equal(t, twofa.Result{}, l, "no challenge that could use it")
		require.Equal(t, took, time.Since(began), "it returns at the deadline")

		if code := received(p, s, m, before); code != "" {
			require.ErrorIs(t, p.verify(m, code), twofa.ErrInvalidCode, "even if the message arrived")
		}
		s.do = nil
		require.ErrorIs(t, p.send(m), twofa.ErrLocked, "the message counts although it was not sent")
		p.clock.Add(time.Minute)
		require.NoError(t, p.send(m))
		require.NoError(t, p.verify(m, received(p, s, m, -1)))
	})
}

func TestAbuse_J11_R04_CallersDeadlineHolds(t *testing.T) {
	each(t, func(t *testing.T, p *person, _ *sender, m twofa.Method, took time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, err := p.Send(ctx, p.client, p.login.Challenge, m)
		require.ErrorIs(t, err, twofa.ErrUnavailable)
		require.Equal(t, min(took, 3*time.Second), time.Since(began))
	})
}

func TestAbuse_J11_R04_LimitsHoldWhileNothingIsSent(t *testing.T) {
	each(t, func(t *testing.T, p *person, s *sender, m twofa.Method, _ time.Duration) {
		tries, bad := 0, s.do
		s.do = func(ctx context.Context, keep func() error) error { tries++; return bad(ctx, keep) }
		for range 60 {
			_, _ = p.Send(t.Context(), p.client, p.login.Challenge, m)
			p.clock.Add(time.Minute - time.Second)
			p.begin()
		}
		require.LessOrEqual(t, tries, 5, "an hour")
		require.GreaterOrEqual(t, tries, 4)
	})
}

func TestAbuse_J11_R04_ErrorsAndLogsContainNoMessage(t *testing.T) {
	each(t, func(t *testing.T, p *person, s *sender, m twofa.Method, _ time.Duration) {
		before := len(s.Mails()) + len(s.Texts())
		_, err := p.Send(t.Context(), p.client, p.login.Challenge, m)
		text := fmt.Sprintf("%v %+v %#v", err, err, err)
		require.NotContains(t, text, "ada@example.com", "not even the text of a panic")
		if code := received(p, s, m, before); code != "" {
			require.NotContains(t, text, code)
		}
	})
}

// A queue can drop a link or code that has expired, but not a notice.
func TestMessagesSayWhenTheyExpire(t *testing.T) {
	w := newWorld(t, byLink)
	ada := w.person("ada")
	ada.begin()
	require.NoError(t, ada.send(twofa.EmailLink))
	require.WithinDuration(t, w.clock.Now().Add(10*time.Minute), w.out.Mails()[0].Expires, time.Second)

	w = newWorld(t, byText)
	bob := w.withPhone("bob", adasPhone)
	bob.begin()
	require.NoError(t, bob.send(twofa.SMS))
	texts := w.out.Texts()
	require.WithinDuration(t, w.clock.Now().Add(5*time.Minute), texts[len(texts)-1].Expires, time.Second)
	for _, m := range w.out.Mails() {
		require.Zero(t, m.Expires, m.Subject)
	}
}

// A phone that could not be texted is not enrolled, and the user can try again.
func TestAbuse_J11_R04_EnrollmentOfAPhone(t *testing.T) {
	for _, bad := range badSenders {
		t.Run(bad.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sender{do: bad.do}
				w := newWorld(t, byText, func(c *twofa.Config) { c.SMS.Sender = s })
				w.out = &s.Outbox
				ada := w.person("ada")
				ada.begin()
				e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: adasPhone})
				require.ErrorIs(t, err, twofa.ErrUnavailable)
				require.Equal(t, twofa.Enrollment{}, e)
				if code := received(ada, s, twofa.SMS, 0); code != "" {
					_, err = ada.Confirm(t.Context(), ada.caller(), code)
					require.ErrorIs(t, err, twofa.ErrInvalidCode)
				}
				s.do = nil
				w.clock.Add(time.Minute)
				ada.begin()
				ada.setUpPhone(adasPhone)
			})
		})
	}
}

// A notice that cannot be sent undoes nothing and delays nothing for long.
func TestAbuse_J11_R04_FailedNoticesChangeNothing(t *testing.T) {
	for _, bad := range badSenders {
		t.Run(bad.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sender{}
				w := newWorld(t, func(c *twofa.Config) { c.Mail.Mailer, c.Mail.NoticeEmail = s, nil })
				w.out = &s.Outbox
				ada := w.enrolled("ada")
				other := ada.browser("desk")
				other.begin()
				s.do = bad.do
				began := time.Now()
				require.NoError(t, other.verify(twofa.RecoveryCode, ada.codes[0]))
				require.LessOrEqual(t, time.Since(began), 5*time.Second)
				require.NoError(t, other.Check(t.Context(), other.caller()))
			})
		})
	}
}

// If a hook of the host panics, the call returns an error and the process
// continues.
func TestAbuse_J11_R04_HooksThatPanic(t *testing.T) {
	w := newWorld(t, byLink, func(c *twofa.Config) {
		c.AllowSend = func(context.Context, twofa.SendRequest) error { panic("budget") }
		c.OnEvent = func(context.Context, twofa.Event) { panic("audit") }
		c.Mail.NoticeEmail = func(twofa.NoticeEmail) twofa.Email { panic("template") }
	})
	ada := w.person("ada")
	ada.begin()
	require.ErrorIs(t, ada.send(twofa.EmailLink), twofa.ErrUnavailable)
	require.Empty(t, w.out.Mails())
	require.NoError(t, w.User(twofa.AsHost("test"), "ada").Revoke(t.Context()), "the change was already made")
}

// A host's AllowSend that blocks is subject to the same deadline.
func TestAbuse_J11_R04_AllowSendThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, byLink, func(c *twofa.Config) {
			c.AllowSend = func(ctx context.Context, _ twofa.SendRequest) error { <-ctx.Done(); return ctx.Err() }
		})
		ada := w.person("ada")
		ada.begin()
		began := time.Now()
		err := ada.send(twofa.EmailLink)
		require.True(t, errors.Is(err, twofa.ErrUnavailable) && strings.Contains(err.Error(), "AllowSend"), "%v", err)
		require.Equal(t, 20*time.Second, time.Since(began))
		require.Empty(t, w.out.Mails())
	})
}
