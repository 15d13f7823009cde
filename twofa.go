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
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
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
	// Keys seals what is stored. See [ParseKeys].
	Keys Keys
	// User is the host's directory: it returns who an id is now. An error
	// refuses; so does a User whose ID is another.
	User func(ctx context.Context, id string) (User, error)

	// Policy holds for accounts that have set none, and for hosts without
	// accounts. The zero value is [PolicyOptional].
	Policy Policy
	// TOTP is the kind of authenticator codes.
	TOTP TOTPConfig
	// RecoveryCodes is how many a set has, 1 to 20; 0 means 10, and
	// [NoRecoveryCodes] none.
	RecoveryCodes int
	// ViewableCodes keeps recovery codes beside their hashes, so that they can
	// be shown again after a fresh proof. Who holds Keys and the database can
	// then read them. Where it is off, codes kept before go with the next
	// write of their record.
	ViewableCodes bool
	// SessionTTL is how long a Session lives at most, 5 minutes to 90 days; 0
	// means 24 hours (NIST SP 800-63B-4, section 2.2.3).
	SessionTTL time.Duration

	// Mailer sends links and notices; nil sends none. It is called while the
	// request waits, for up to 20 s with a link and 5 s with each notice: hand
	// over to a queue where yours can be slow.
	Mailer Mailer
	// LinkURL returns the address of the page that a link opens, with the
	// token in it: https, or http on localhost. Take it from configuration,
	// never from a request: who can choose the host of a link collects tokens.
	// Required where a policy mails links; where it is set, a link is also what
	// comes before a set-up that a policy demands (see [Policy.Required]).
	// twofahttp.LinkURL makes one.
	LinkURL func(token string) string
	// MailLink writes the message that carries a link; nil writes English.
	MailLink func(LinkMail) Email
	// MailNotice writes the message that tells of an event; nil writes
	// English. An Email without a Subject is not sent.
	MailNotice func(NoticeMail) Email

	// SMS sends texted codes; nil sends none.
	SMS SMSSender
	// Phone understands numbers. Required with SMS.
	Phone PhoneParser
	// SMSCountries lists the countries that are texted, ISO 3166-1 alpha-2.
	// Required with SMS: each country on it is one that toll fraud can use.
	SMSCountries []string
	// WebOTPHost is the host name for which browsers may fill in a texted
	// code, for example "app.example.com"; "" leaves that line out.
	WebOTPHost string
	// TextCode writes the message that carries a code; nil writes English.
	TextCode func(TextCode) string
	// AllowSend is asked before a link, a code or another text is sent, after
	// all limits: an error refuses. It is the place to stop spending. nil allows.
	AllowSend func(ctx context.Context, s Sending) error

	// OnEvent hears of every event after it was stored. It must not block for
	// long. nil hears nothing.
	OnEvent func(ctx context.Context, e Event)
	// Now is the clock; nil means time.Now. Servers may disagree by seconds.
	Now func() time.Time
	// Logger gets what goes wrong where no caller hears of it; nil discards.
	Logger *slog.Logger
}

// New checks the configuration and returns a Manager, or one error that lists
// all that is wrong, by field name. It keeps a copy of cfg and does no I/O.
func New(cfg Config) (*Manager, error) {
	cfg.setDefaults()
	if err := errors.Join(cfg.check(), cfg.TOTP.check(), cfg.Policy.check(), cfg.supports(cfg.Policy)); err != nil {
		return nil, fmt.Errorf("twofa: configuration:\n%w", err)
	}
	return &Manager{cfg}, nil
}

func (c *Config) setDefaults() {
	c.TOTP.setDefaults()
	c.RecoveryCodes = cmp.Or(c.RecoveryCodes, defaultCodes)
	c.SessionTTL = cmp.Or(c.SessionTTL, sessionTTL)
	c.SMSCountries, c.Policy = slices.Clone(c.SMSCountries), c.Policy.clone()
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MailLink == nil {
		c.MailLink = englishLink
	}
	if c.MailNotice == nil {
		c.MailNotice = englishNotice
	}
	if c.TextCode == nil {
		c.TextCode = englishText
	}
}

func (c *Config) check() error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	want(c.Issuer != "" && label(c.Issuer) == c.Issuer, "Issuer: must be 1 to 64 bytes without a colon or control characters")
	want(c.Store != nil, "Store: is missing; adapters/sqlstore has one for your database, adapters/memstore one for tests")
	want(len(c.Keys.all()) > 0, "Keys: is missing; see ParseKeys")
	want(c.User != nil, "User: is missing; it must return who an id is now")
	want(c.RecoveryCodes == NoRecoveryCodes || c.RecoveryCodes >= 1 && c.RecoveryCodes <= maxCodes,
		"RecoveryCodes: %d is not 1 to %d or NoRecoveryCodes", c.RecoveryCodes, maxCodes)
	want(c.SessionTTL >= 5*time.Minute && c.SessionTTL <= 90*day*time.Second, "SessionTTL: %v is not 5 minutes to 90 days", c.SessionTTL)
	want(c.Mailer != nil || c.LinkURL == nil, "Mailer: is missing, but LinkURL is set")
	want(c.LinkURL == nil || linkSafe(c.LinkURL("token")), "LinkURL: must give an absolute https address (http on localhost only) with the token in it")
	want(c.SMS == nil || c.Phone != nil, "Phone: is missing, but SMS is set; adapters/phone has one")
	want(c.SMS == nil || len(c.SMSCountries) > 0, "SMSCountries: is empty, which allows none; list the countries you text to")
	for _, country := range c.SMSCountries {
		err := checkCountry(country)
		want(err == nil, "SMSCountries: %q: %w", clean(country, 40), err)
	}
	want(clean(c.WebOTPHost, 253) == c.WebOTPHost && !strings.ContainsAny(c.WebOTPHost, " /:#@"), "WebOTPHost: must be a bare host name")
	return errors.Join(errs...)
}

// linkSafe accepts addresses that keep the token from the wire.
func linkSafe(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || !strings.Contains(address, "token") || clean(address, len(address)) != address {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
}

// supports reports what a policy asks for that is not configured.
func (c *Config) supports(p Policy) error {
	var errs []error
	if slices.Contains(p.Methods, EmailLink) && c.Mailer == nil {
		errs = append(errs, errors.New("Policy.Methods: EmailLink needs Config.Mailer"))
	}
	if slices.Contains(p.Methods, EmailLink) && c.LinkURL == nil {
		errs = append(errs, errors.New("Policy.Methods: EmailLink needs Config.LinkURL"))
	}
	if slices.Contains(p.Methods, SMS) && c.SMS == nil {
		errs = append(errs, errors.New("Policy.Methods: SMS needs Config.SMS, with Phone and SMSCountries"))
	}
	return errors.Join(errs...)
}

// Format writes a placeholder: a Manager holds keys and the host's parts.
func (m *Manager) Format(f fmt.State, _ rune) { redact(f) }

// LogValue is a placeholder.
func (m *Manager) LogValue() slog.Value { return slog.StringValue(redacted) }
