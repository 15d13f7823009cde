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

// Outbox is a mailer and a gateway that stores messages instead of sending
// them, for demos and tests. It is safe for concurrent use.
type Outbox struct {
	now func() time.Time

	mu   sync.Mutex
	kept []Message
}

// Message is one email or text message in an [Outbox].
type Message struct {
	Channel string    `json:"channel"` // "mail" or "sms"
	To      string    `json:"to"`
	Subject string    `json:"subject"` // empty for a text message
	Text    string    `json:"text"`
	At      time.Time `json:"at"`
}

const outboxSize = 500

var (
	_ twofa.Mailer    = (*Outbox)(nil)
	_ twofa.SMSSender = (*Outbox)(nil)
)

// SendMail implements [twofa.Mailer].
func (o *Outbox) SendMail(ctx context.Context, m twofa.Email) error {
	return o.keep(ctx, Message{Channel: "mail", To: m.To, Subject: m.Subject, Text: m.Text.Reveal()})
}

// SendSMS implements [twofa.SMSSender].
func (o *Outbox) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	return o.keep(ctx, Message{Channel: "sms", To: m.To, Text: m.Body.Reveal()})
}

func (o *Outbox) keep(ctx context.Context, m Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.To == "" || strings.ContainsAny(m.To+m.Subject, "\r\n") {
		return errors.New("outbox: recipient must not be empty, and recipient and subject must not contain a line break")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	m.At = o.now().UTC()
	o.kept = append(o.kept, m)
	o.kept = o.kept[max(0, len(o.kept)-outboxSize):]
	return nil
}

// Messages returns the newest 500 messages, newest last.
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

// outboxJSON waits for messages that are being sent, so that a test sees the
// message that its last request caused.
func (a *App) outboxJSON(w http.ResponseWriter, _ *http.Request) error {
	a.waitForMail()
	writeJSON(w, http.StatusOK, a.outbox.Messages())
	return nil
}

// onThisMachine refuses requests for another host name, so that another site
// cannot read a demo page through its own name that resolves to this machine
// (DNS rebinding).
func (a *App) onThisMachine(next page) page {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Host != a.base.Host && !loopback(r.Host) {
			return errNotFound
		}
		return next(w, r)
	}
}

// loopback reports whether hostport is localhost or a loopback address.
func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && addr.IsLoopback()
}
