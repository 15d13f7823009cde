package twofa

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"

	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// Email is one message for a [Mailer]: a sign-in link or a notice.
type Email struct {
	To      string // one bare address, as the host's directory gave it
	Subject string // one line
	Text    string // text/plain part, lines end in "\n"
	HTML    string // text/html part, complete; shows what Text says
}

// Mailer hands a message to the host's mail system. SendMail returns nil when
// the message was accepted for delivery, an error when it was not or when that
// is unknown. It honours ctx at every stage and may be called concurrently.
// The address, subject and bodies may hold text that an attacker chose: a
// Mailer refuses line breaks in To and Subject. Package storetest checks this.
type Mailer interface {
	SendMail(ctx context.Context, m Email) error
}

// TextMessage is one message for an [SMSSender].
type TextMessage struct {
	To   string // E.164, as in +41791234567
	Body string // plain text; the last line may be a WebOTP line, keep it as it is
}

// SMSSender hands a text message to a gateway. The contract is that of
// [Mailer]: nil means accepted, ctx is honoured, calls may be concurrent, and
// nothing is retried unless the gateway is known not to have taken the message.
type SMSSender interface {
	SendSMS(ctx context.Context, m TextMessage) error
}

// Phone is a number that a [PhoneParser] understood.
type Phone struct {
	E164    string // as in +41791234567
	Country string // ISO 3166-1 alpha-2, upper case, as in CH; "" where the number belongs to none
	Mobile  bool   // a text can be expected to arrive and to cost an ordinary rate
}

// PhoneParser turns what a person typed into a number. region is the ISO
// 3166-1 alpha-2 code of the country to assume where no country code was typed.
// It returns an error for everything that is not one whole, valid number.
// Package adapters/phone has one.
type PhoneParser interface {
	ParsePhone(raw, region string) (Phone, error)
}

// Format hides everything but the kind of message: the body holds a link.
func (m Email) Format(f fmt.State, _ rune) { redact(f) }

// LogValue hides the message.
func (m Email) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON fails: the body holds a link.
func (m Email) MarshalJSON() ([]byte, error) { return nil, errSecretMarshal }

// Format hides the message: the body holds a code.
func (m TextMessage) Format(f fmt.State, _ rune) { redact(f) }

// LogValue hides the message.
func (m TextMessage) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON fails: the body holds a code.
func (m TextMessage) MarshalJSON() ([]byte, error) { return nil, errSecretMarshal }

// deliver hands a message over, after the budgets that stand over all users.
func (m *Manager) deliver(ctx context.Context, out pendingMessage) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, sendTimeout)
		defer cancel()
	}
	if out.text != nil {
		if err := m.reserveNumberSend(ctx, out.number, out.budget); err != nil {
			return err
		}
	}
	if m.cfg.AllowSend != nil {
		s := SendRequest{User: out.user, Account: out.account, Method: EmailLink}
		if out.text != nil {
			s.Method, s.Country, s.Unconfirmed = SMS, out.number.Country, out.budget == budgetUnconfirmed
		}
		if err := recoverPanic(func() error { return m.cfg.AllowSend(ctx, s) }); err != nil {
			return unavailable("AllowSend", err)
		}
	}
	err := recoverPanic(func() error {
		if out.text != nil {
			return m.cfg.SMS.Sender.SendSMS(ctx, *out.text)
		}
		return m.cfg.Mail.Mailer.SendMail(ctx, *out.email)
	})
	if err != nil {
		return unavailable("sending", err)
	}
	return nil
}

// recoverPanic turns a panic of the host's code into an error.
func recoverPanic(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %T", errPanic, p) // the value may hold the message
		}
	}()
	return f()
}

// reserveNumberSend takes one text out of a budget of a number, over all users.
func (m *Manager) reserveNumberSend(ctx context.Context, p Phone, b budget) error {
	key := "number/" + hex.EncodeToString(seal.KeyedHash(m.cfg.Keys.all()[0].Lookup, p.E164)) + string(b)
	return m.retryOnConflict(ctx, func() error {
		var b numberRecord
		old, err := m.get(ctx, key, &b)
		if err != nil {
			return err
		}
		now := m.now()
		if wait := textAllowance.nextSendIn(b.SendTimes, now); wait > 0 {
			return &lockedError{wait}
		}
		b.SendTimes = append(recentTimes(b.SendTimes, now, day), now)
		return m.write(ctx, key, old.Version, &b, nil)
	})
}

// publishAll tells of what was stored: to the host, and where the person should
// know to every verified address (NIST SP 800-63B-4, section 4.6). It cannot
// fail what has already happened.
func (m *Manager) publishAll(ctx context.Context, s *userTx) {
	for _, e := range s.events {
		m.publish(ctx, e)
	}
	for _, out := range s.deferredTexts {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noticeTimeout)
		if err := m.deliver(ctx, out); err != nil {
			m.cfg.Logger.WarnContext(ctx, "twofa: notice not sent", "user", out.user, "error", err)
		}
		cancel()
	}
}

func (m *Manager) publish(ctx context.Context, e Event) {
	if m.cfg.OnEvent != nil {
		if err := recoverPanic(func() error { m.cfg.OnEvent(ctx, e); return nil }); err != nil {
			m.cfg.Logger.ErrorContext(ctx, "twofa: OnEvent", "error", err)
		}
	}
	if !e.Notice || m.cfg.Mail.Mailer == nil || e.User == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noticeTimeout)
	defer cancel()
	if err := recoverPanic(func() error { return m.mailNotice(ctx, e) }); err != nil {
		m.cfg.Logger.WarnContext(ctx, "twofa: notice not sent", "user", e.User, "type", e.Type, "error", err)
	}
}

func (m *Manager) mailNotice(ctx context.Context, e Event) error {
	u, err := m.cfg.User(ctx, e.User)
	if err != nil || u.ID != e.User {
		return err
	}
	mail := m.cfg.Mail.NoticeEmail(NoticeEmail{Issuer: m.cfg.Issuer, User: u, Event: e, Device: text.Device(e.Agent)})
	if mail.Subject == "" {
		return nil
	}
	mail.Subject = text.Clean(mail.Subject, 200)
	for _, to := range u.Emails {
		mail.To = to
		if failed := m.cfg.Mail.Mailer.SendMail(ctx, mail); failed != nil {
			err = failed
		}
	}
	return err
}

// destination parses a number and refuses what must not be texted.
func (c *Config) destination(raw, region string) (Phone, error) {
	if c.SMS.Sender == nil || c.SMS.Phone == nil {
		return Phone{}, unavailable("SMS", errNoSender)
	}
	if len(raw) > 64 {
		return Phone{}, ErrNotAllowed
	}
	p, err := c.SMS.Phone.ParsePhone(raw, region)
	if err != nil || !text.IsE164(p.E164) || !p.Mobile || !slices.Contains(c.SMS.Countries, p.Country) {
		return Phone{}, ErrNotAllowed
	}
	return p, nil
}
