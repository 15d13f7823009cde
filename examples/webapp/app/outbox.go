package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twofa-go/twofa"
)

// Outbox keeps what would have been mailed or texted, for demos and tests.
// It is safe for concurrent use.
type Outbox struct {
	now func() time.Time

	mu   sync.Mutex
	kept []Message
}

// Message is one mail or text in an [Outbox].
type Message struct {
	Channel string    `json:"channel"` // "mail" or "sms"
	To      string    `json:"to"`
	Subject string    `json:"subject"` // empty for a text
	Text    string    `json:"text"`
	At      time.Time `json:"at"`
}

const outboxSize = 500

var (
	_ twofa.Mailer    = (*Outbox)(nil)
	_ twofa.SMSSender = (*Outbox)(nil)
)

// SendMail keeps m.
func (o *Outbox) SendMail(ctx context.Context, m twofa.Email) error {
	return o.keep(ctx, Message{Channel: "mail", To: m.To, Subject: m.Subject, Text: m.Text})
}

// SendSMS keeps m.
func (o *Outbox) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	return o.keep(ctx, Message{Channel: "sms", To: m.To, Text: m.Body})
}

func (o *Outbox) keep(ctx context.Context, m Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.To == "" || strings.ContainsAny(m.To+m.Subject, "\r\n") {
		return errors.New("outbox: recipient or subject is empty or has a line break")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	m.At = o.now().UTC()
	o.kept = append(o.kept, m)
	o.kept = o.kept[max(0, len(o.kept)-outboxSize):]
	return nil
}

// Messages returns what is kept, newest last.
func (o *Outbox) Messages() []Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Message{}, o.kept...)
}

func (a *App) outboxPage(w http.ResponseWriter, r *http.Request) error {
	a.waitForMail()
	newestFirst := a.outbox.Messages()
	slices.Reverse(newestFirst)
	return a.render(w, r, http.StatusOK, "outbox", "Outbox", newestFirst)
}

// outboxJSON answers when nothing is under way any more, so that a test reads
// there what its last request caused.
func (a *App) outboxJSON(w http.ResponseWriter, _ *http.Request) error {
	a.waitForMail()
	writeJSON(w, http.StatusOK, a.outbox.Messages())
	return nil
}

// onThisMachine keeps foreign sites from reading a demo page through a name of
// their own that resolves to this machine (DNS rebinding).
func (a *App) onThisMachine(next page) page {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Host != a.base.Host && !loopback(r.Host) {
			return errNotFound
		}
		return next(w, r)
	}
}

// loopback reports whether hostport names this machine.
func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && addr.IsLoopback()
}
