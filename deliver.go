package twofa

import (
	"context"
	"fmt"
	"log/slog"
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
