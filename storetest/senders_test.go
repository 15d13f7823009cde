package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// Each faulty sender breaks the contract in one way, with a fault that has been
// found in practice or is easy to make. The rule given must find it.
func TestFaultySendersAreRejected(t *testing.T) {
	for _, faulty := range []struct {
		fault string
		rule  string
		send  func(g *gateway, ctx context.Context, m twofa.Email) error
	}{
		{"drops the message and returns nil", "accepted", func(*gateway, context.Context, twofa.Email) error { return nil }},
		{"sends every message twice", "accepted", func(g *gateway, ctx context.Context, m twofa.Email) error {
			return errors.Join(g.send(ctx, m), g.send(ctx, m))
		}},
		{"cuts off the last line", "accepted", func(g *gateway, ctx context.Context, m twofa.Email) error {
			text, _, _ := strings.Cut(m.Text.Reveal(), "\n\n")
			m.Text = twofa.NewSecret(text)
			return g.send(ctx, m)
		}},
		{"converts the text to ASCII", "accepted", func(g *gateway, ctx context.Context, m twofa.Email) error {
			m.Text = twofa.NewSecret(strings.ReplaceAll(m.Text.Reveal(), "日本", "??"))
			return g.send(ctx, m)
		}},
		{"always sends to one address", "accepted", func(g *gateway, ctx context.Context, m twofa.Email) error {
			m.To = "me@example.com"
			return g.send(ctx, m)
		}},
		{"ignores the refusal", "refused", func(g *gateway, ctx context.Context, m twofa.Email) error {
			if err := g.send(ctx, m); !errors.Is(err, errRefused) {
				return err
			}
			return nil
		}},
		{"sends in the background", "refused", func(g *gateway, _ context.Context, m twofa.Email) error {
			go g.send(context.Background(), m)
			return nil
		}},
		{"ignores the deadline", "deadline", ignoresContext},
		{"ignores cancellation", "cancel", ignoresContext},
		{"obeys only deadlines", "cancel", func(g *gateway, ctx context.Context, m twofa.Email) error {
			if d, ok := ctx.Deadline(); ok {
				return withTimeout(g, ctx, m, time.Until(d))
			}
			return g.send(context.WithoutCancel(ctx), m)
		}},
		{"notices cancellation only after a minute", "cancel", func(g *gateway, ctx context.Context, m twofa.Email) error {
			return errors.Join(withTimeout(g, context.WithoutCancel(ctx), m, time.Minute), ctx.Err())
		}},
		{"reports success at the deadline", "deadline", func(g *gateway, ctx context.Context, m twofa.Email) error {
			if err := g.send(ctx, m); !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			return nil
		}},
		{"reports success when canceled", "cancel", func(g *gateway, ctx context.Context, m twofa.Email) error {
			if err := g.send(ctx, m); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		}},
		{"sends again after a timeout", "deadline", retries},
		{"sends again after a timeout, until canceled", "cancel", retries},
		{"sends although canceled", "already canceled", func(g *gateway, ctx context.Context, m twofa.Email) error {
			return errors.Join(g.send(context.WithoutCancel(ctx), m), ctx.Err())
		}},
		{"returns no error although canceled", "already canceled", func(g *gateway, ctx context.Context, m twofa.Email) error {
			if ctx.Err() != nil {
				return nil
			}
			return g.send(ctx, m)
		}},
		{"does not check To", "line breaks in To", (*gateway).send},
		{"removes line breaks and sends", "line breaks in To", func(g *gateway, ctx context.Context, m twofa.Email) error {
			m.To, _, _ = strings.Cut(strings.TrimSpace(m.To), "\r")
			return g.checked(ctx, m)
		}},
		{"checks only for CR LF", "line breaks in To", func(g *gateway, ctx context.Context, m twofa.Email) error {
			if strings.Contains(m.To+m.Subject, "\r\n") {
				return errors.New("line break")
			}
			return g.send(ctx, m)
		}},
		{"reports the line break and sends", "line breaks in To", func(g *gateway, ctx context.Context, m twofa.Email) error {
			return errors.Join(g.send(ctx, m), g.checked(ctx, twofa.Email{To: m.To + "\n"}))
		}},
		{"checks only To", "line breaks in Subject", func(g *gateway, ctx context.Context, m twofa.Email) error {
			if strings.ContainsAny(m.To, "\r\n") {
				return errors.New("line break")
			}
			return g.send(ctx, m)
		}},
		{"truncates subjects", "subject", func(g *gateway, ctx context.Context, m twofa.Email) error {
			m.Subject = m.Subject[:min(len(m.Subject), 78)]
			return g.checked(ctx, m)
		}},
		{"shares one buffer", "concurrent", shared()},
		{"fails if another message is being sent", "concurrent", exclusive()},
	} {
		t.Run(faulty.fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rule := senderRuleNamed(t, faulty.rule)
				message := brokenSender(t, rule, func(g *gateway) MailerPeer { return g.peer(faulty.send) })
				require.Contains(t, message, "The rule: "+rule.text)
			})
		})
	}
}

func ignoresContext(g *gateway, ctx context.Context, m twofa.Email) error {
	return g.checked(context.WithoutCancel(ctx), m)
}

func withTimeout(g *gateway, ctx context.Context, m twofa.Email, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d)
	defer cancel()
	return g.checked(ctx, m)
}

func retries(g *gateway, ctx context.Context, m twofa.Email) error {
	_ = withTimeout(g, ctx, m, hangFor/2)
	return g.checked(ctx, m)
}

// shared returns a sender that keeps the text in one variable, like a buffer in a
// field of the sender. Concurrent calls all send the last text.
func shared() func(*gateway, context.Context, twofa.Email) error {
	var mu sync.Mutex
	var text twofa.Secret
	return func(g *gateway, ctx context.Context, m twofa.Email) error {
		mu.Lock()
		text = m.Text
		mu.Unlock()
		time.Sleep(time.Millisecond) // synthetic time: passes after all have written
		mu.Lock()
		m.Text = text
		mu.Unlock()
		return g.checked(ctx, m)
	}
}

func exclusive() func(*gateway, context.Context, twofa.Email) error {
	var busy sync.Mutex
	return func(g *gateway, ctx context.Context, m twofa.Email) error {
		if !busy.TryLock() {
			return errors.New("busy")
		}
		defer busy.Unlock()
		time.Sleep(time.Millisecond) // synthetic time, as above
		return g.checked(ctx, m)
	}
}

// A sender that sends nothing and returns nil must break every rule.
func TestEverySenderRuleCanFail(t *testing.T) {
	for _, r := range slices.Concat(senderRules, subjectRules) {
		synctest.Test(t, func(t *testing.T) {
			require.NotEmpty(t, brokenSender(t, r, func(g *gateway) MailerPeer {
				return g.peer(func(*gateway, context.Context, twofa.Email) error { return nil })
			}), r.name)
		})
	}
}

func TestCorrectSendersPass(t *testing.T) {
	for _, r := range slices.Concat(senderRules, subjectRules) {
		synctest.Test(t, func(t *testing.T) {
			require.Empty(t, brokenSender(t, r, func(g *gateway) MailerPeer { return g.peer((*gateway).checked) }), r.name)
		})
	}
	RunMailer(t, func(t *testing.T) MailerPeer { return newGateway(t).peer((*gateway).checked) })
	RunSMSSender(t, func(t *testing.T) SMSPeer {
		g := newGateway(t)
		return SMSPeer{Sender: smsByMail{g}, Refuse: g.refuse, Hang: g.hang, Taken: func() (texts []twofa.TextMessage) {
			for _, m := range g.taken() {
				texts = append(texts, twofa.TextMessage{To: m.To, Body: m.Text})
			}
			return texts
		}}
	})
}

type smsByMail struct{ *gateway }

func (s smsByMail) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	return s.checked(ctx, twofa.Email{To: m.To, Text: m.Body})
}

func senderRuleNamed(t *testing.T, name string) senderRule {
	t.Helper()
	rules := slices.Concat(senderRules, subjectRules)
	i := slices.IndexFunc(rules, func(r senderRule) bool { return r.name == name })
	require.GreaterOrEqual(t, i, 0, "there is no rule %q", name)
	return rules[i]
}

// brokenSender runs the rule and returns its failure message, or "" if it passes.
func brokenSender(t *testing.T, r senderRule, open func(g *gateway) MailerPeer) string {
	t.Helper()
	rec := &recorder{ctx: t.Context()}
	done := make(chan struct{})
	peer := open(newGateway(t))
	go func() {
		defer close(done)
		r.run(rec, peer, mailbox)
	}()
	<-done
	return rec.message
}

var errRefused = errors.New("refused")

// gateway is a peer in the same process.
type gateway struct {
	over     chan struct{} // closed when the test ends
	mu       sync.Mutex
	messages []twofa.Email
	mode     string
}

func newGateway(t *testing.T) *gateway {
	g := &gateway{over: make(chan struct{})}
	t.Cleanup(func() { close(g.over) })
	return g
}

func (g *gateway) set(mode string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mode = mode
}

func (g *gateway) refuse() { g.set("refuse") }
func (g *gateway) hang()   { g.set("hang") }

func (g *gateway) taken() []twofa.Email {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.messages)
}

// send sends m without checking it. It obeys ctx.
func (g *gateway) send(ctx context.Context, m twofa.Email) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	mode := g.mode
	if mode != "refuse" {
		g.messages = append(g.messages, m)
	}
	g.mu.Unlock()
	switch mode {
	case "refuse":
		return errRefused
	case "hang":
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-g.over:
			return errors.New("the connection was closed")
		}
	}
	return nil
}

// checked is a correct sender: it checks m and sends it.
func (g *gateway) checked(ctx context.Context, m twofa.Email) error {
	if strings.ContainsAny(m.To+m.Subject, "\r\n") {
		return errors.New("line break")
	}
	return g.send(ctx, m)
}

func (g *gateway) peer(send func(*gateway, context.Context, twofa.Email) error) MailerPeer {
	return MailerPeer{Mailer: faultyMailer{g, send}, Taken: g.taken, Refuse: g.refuse, Hang: g.hang}
}

type faultyMailer struct {
	g    *gateway
	send func(*gateway, context.Context, twofa.Email) error
}

func (p faultyMailer) SendMail(ctx context.Context, m twofa.Email) error { return p.send(p.g, ctx, m) }
