// Package twofa gives an existing login a second factor: authenticator apps
// with recovery codes, e-mail links, texted codes, remembered browsers, and a
// fresh proof before sensitive actions.
//
// The host keeps its users, passwords and sessions. twofa keeps second-factor
// state in a [Store] of the host's and decides. A host calls it in four places:
//
//   - [Manager.Begin], right after its own first factor, whatever the door.
//     The answer is a [Session], a [Challenge], or a way to set-up.
//   - [Manager.Verify] (after [Manager.Send], where something has to be sent),
//     with what the person typed or clicked.
//   - [Manager.Check] on every request, [Manager.CheckAction] and
//     [Manager.UseAction] before sensitive ones.
//   - [Manager.Enroll], [Manager.Confirm], [Manager.SaveCodes] and the others
//     of settings.
//
// Package twofahttp does all four for net/http, with pages. Every method is
// safe for concurrent use, on any number of servers over one store, and every
// error means "no": a store, mailer or policy that cannot be read never means
// that no factor is needed.
//
// All second-factor state of a user is one record. Every method reads it,
// decides in pure code, and swaps it for its successor; what may happen once
// is spent in that swap. docs/threat-model.md says what that protects against,
// and what it does not.
package twofa

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Manager decides. Make one with [New] and share it.
type Manager struct{ cfg Config }

// Config says what a Manager works with. Fields without a word about their
// zero value are required.
type Config struct {
	// Issuer names the product in authenticator apps and messages, for example
	// "Acme". 1 to 64 bytes, no colon.
	Issuer string
	// Store keeps second-factor state.
	Store Store
	// Keys seals what is stored. See [ParseKeyRing].
	Keys KeyRing
	// User is the host's directory: it returns who an id is now. An error
	// refuses; so does a User whose ID is another.
	User func(ctx context.Context, id string) (User, error)

	// Policy holds for accounts that have set none, and for hosts without
	// accounts. The zero value is [PolicyOptional].
	Policy Policy
	// TOTP is the kind of authenticator codes.
	TOTP TOTPConfig
	// Recovery configures recovery codes. The zero value makes ten of them.
	Recovery RecoveryConfig
	// Mail configures links and notices by email. The zero value sends none.
	Mail MailConfig
	// SMS configures codes sent as text messages. The zero value sends none.
	SMS SMSConfig
	// Lifetimes limits how long things live. The zero value has defaults.
	Lifetimes Lifetimes
	// AllowSend, if not nil, is called before a link, a code or another text
	// message is sent, after all limits of the library. If it returns an error,
	// nothing is sent. It is the place to stop spending.
	AllowSend func(ctx context.Context, s SendRequest) error

	// OnEvent hears of every event after it was stored. It must not block for
	// long. nil hears nothing.
	OnEvent func(ctx context.Context, e Event)
	// Now is the clock; nil means time.Now. Servers may disagree by seconds.
	Now func() time.Time
	// Logger gets what goes wrong where no caller hears of it; nil discards.
	Logger *slog.Logger
}

// RecoveryConfig configures recovery codes.
type RecoveryConfig struct {
	// Codes is the number of codes in a set, 1 to 20. If zero, it defaults to
	// 10. [NoRecoveryCodes] makes none.
	Codes int
	// Viewable stores recovery codes next to their hashes, so that they can be
	// shown again after a fresh proof. Whoever has Config.Keys and the database
	// can then read them. If it is turned off, codes stored earlier are removed
	// the next time the user's record is written.
	Viewable bool
}

// MailConfig configures links and notices by email.
type MailConfig struct {
	// Mailer sends links and notices. If nil, no mail is sent. It is called
	// while the request waits, for up to 20 seconds with a link and 5 seconds
	// with each notice. If yours can be slow, hand over to a queue.
	Mailer Mailer
	// LinkURL returns the address of the page that a link opens, with the token
	// in it. The address must be https, or http on localhost. Take it from
	// configuration, never from a request, because an attacker who can choose
	// the host of a link collects its token. It is required if a policy accepts
	// [EmailLink]. If it is set, users must also open a link before an
	// enrollment that a policy requires; see [Policy.Required].
	// twofahttp.LinkURL creates one.
	LinkURL func(LinkRequest) string
	// LinkEmail writes the message that carries a link. If nil, it is in
	// English.
	LinkEmail func(LinkEmail) Email
	// NoticeEmail writes the message that reports an event. If nil, it is in
	// English. An Email without a Subject is not sent.
	NoticeEmail func(NoticeEmail) Email
}

// LinkRequest is the input of [MailConfig.LinkURL].
type LinkRequest struct {
	Token   Secret // must be part of the address
	Account string // account that the login is for; empty if the host has no accounts
	User    User   // user that the link is mailed to
}

// SMSConfig configures codes sent as text messages.
type SMSConfig struct {
	// Sender sends text messages. If nil, none are sent.
	Sender SMSSender
	// Phone parses phone numbers. It is required with Sender.
	Phone PhoneParser
	// Countries lists the countries that are sent text messages, as ISO 3166-1
	// alpha-2 codes. It is required with Sender. Each country listed is one
	// that toll fraud can use.
	Countries []string
	// WebOTPHost is the host name for which browsers may fill in a code, for
	// example "app.example.com". If empty, messages have no WebOTP line.
	WebOTPHost string
	// CodeText writes the message that carries a code. If nil, it is in
	// English.
	CodeText func(CodeText) string
}

// Lifetimes limits how long things live.
type Lifetimes struct {
	// Session is the longest time that a [Session] lives, 5 minutes to 90 days.
	// If zero, it defaults to 24 hours (NIST SP 800-63B-4, section 2.2.3).
	Session time.Duration
}

// New checks the configuration and returns a Manager, or one error that lists
// all that is wrong, by field name. It keeps a copy of cfg and does no I/O.
func New(cfg Config) (*Manager, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("twofa: configuration:\n%w", err)
	}
	return &Manager{cfg}, nil
}

func (c *Config) setDefaults() {
	c.TOTP.setDefaults()
	c.Recovery.Codes = cmp.Or(c.Recovery.Codes, defaultCodes)
	c.Lifetimes.Session = cmp.Or(c.Lifetimes.Session, sessionTTL)
	c.SMS.Countries, c.Policy = slices.Clone(c.SMS.Countries), c.Policy.clone()
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Mail.LinkEmail == nil {
		c.Mail.LinkEmail = englishLink
	}
	if c.Mail.NoticeEmail == nil {
		c.Mail.NoticeEmail = englishNotice
	}
	if c.SMS.CodeText == nil {
		c.SMS.CodeText = englishText
	}
}

// Format writes a placeholder: a Manager holds keys and the host's parts.
func (m *Manager) Format(f fmt.State, _ rune) { redact(f) }

// LogValue is a placeholder.
func (m *Manager) LogValue() slog.Value { return slog.StringValue(redacted) }
