// Package twofa adds a second factor to the login of an existing product:
// authenticator apps with recovery codes, email links, text messages,
// remembered browsers, and a fresh proof before sensitive actions.
//
// The host keeps its users, passwords and sessions. A [Manager] keeps
// second-factor state in a [Store] of the host and decides what a login still
// needs:
//
//	result, err := m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: account, By: twofa.ByPassword, Client: client})
//	// result.Next is NextDone, NextChallenge or NextEnroll
//	result, err = m.Verify(ctx, twofa.Caller{Client: client}, result.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret("123456")})
//	// keep result.Session in the host's own session
//	err = m.Check(ctx, twofa.Caller{Session: session, Account: account, Client: client}) // on every request
//
// Package [github.com/twofa-go/twofa/twofahttp] makes these calls for net/http
// and has all pages.
//
// # What it decides
//
// Every sign-in path (a password, SSO, a reset link, an API token) calls
// [Manager.Begin] after the host has verified its own first factor. The
// [Policy] of the account, the user's factors and the proofs given so far lead
// to one of three answers: a [Session], a [Challenge] for [Manager.Verify], or
// enrollment with [Manager.Enroll], [Manager.Confirm] and [Manager.SaveCodes].
// [Manager.Check] applies the same decision to every request, and
// [Manager.UseAction] requires a grant, which is a fresh proof for one action
// that [Manager.StepUp] starts.
//
// A browser in which the user has proven a factor is known. It has counters of
// its own, so an attacker who has only the password cannot lock the owner out
// of it. If the user asks for it and the policy allows it, a known browser is
// also remembered, which means that it is not challenged at login.
//
// # What it stores
//
// All second-factor state of a user is one record, encrypted and authenticated
// under a [KeyRing]. Every operation reads the record, decides in memory, and
// replaces it by compare-and-swap. Anything that is single-use (a code, a link,
// a grant, an attempt) is used up by that swap, on any number of servers.
// Events are stored by the same swap, but they are not encrypted. Everything
// issued to a user carries the user's epoch, a random value that is replaced
// when credentials or factors change. A session, challenge or grant of an
// earlier epoch is invalid.
//
// # Errors
//
// After any error, nothing was granted. A store, mailer, gateway or user
// directory that fails is [ErrUnavailable], never "no factor needed". If the
// user can do something about a refusal, the error is a [*DeniedError] whose
// Reason says what. Most other errors, including those of [Account], wrap one
// of the variables below, to be tested with errors.Is. A [*RecordError] is
// ErrUnavailable as well. [New], [ParseKeyRing] and, if Config differs,
// [Manager.Ready] return plain errors. The text of an error is for the host's
// log.
//
// # Concurrency
//
// A Manager may be used by many goroutines, and many servers may share one
// store. The package starts no goroutine and keeps no state of users in memory.
// It calls the host's functions while the request waits. A panic in a Mailer,
// an SMSSender, AllowSend or OnEvent becomes an error, which is logged if the
// request has already taken effect. Other panics reach the caller.
//
// # Compatibility
//
// Records and tokens have numbered fields. A release keeps the fields that it
// does not know, and refuses a record that has an unknown restriction. Old and
// new servers may therefore run side by side, and an update ends no session.
// See [Changes to a live product].
//
// # Packages
//
// Package event names the types of events. Packages adapters/sqlstore and
// adapters/memstore are stores. Packages adapters/smtpmail, adapters/twiliosms,
// adapters/vonagesms and adapters/webhook send messages, adapters/sendlimit limits
// them, and adapters/phone parses numbers. Package operate has commands for
// support and for the rotation of keys. Package storetest tests a store or a
// sender of your own, and package twofatest helps to test a host.
//
// The threat model, every limit, and the standards are described in [the
// documentation].
//
// [the documentation]: https://github.com/twofa-go/twofa/tree/main/docs
// [Changes to a live product]: https://github.com/twofa-go/twofa/blob/main/docs/live-product.md
package twofa

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twofa-go/twofa/locale"
)

// Manager decides about second factors. Create one with [New] and share it. Its
// methods may be called concurrently.
type Manager struct {
	cfg              Config
	languages        *locale.Matcher
	differenceLogged atomic.Int64 // Unix time of the last log line of Ready
	checkLogged      atomic.Int64 // and of CheckAction
	noAccountWarned  sync.Once
}

// Config configures a [Manager]. A field is required unless its documentation
// describes its zero value. All processes over one store must use the same
// Config, except while a new one is rolled out. [Manager.Ready] reports which
// of the fields that it compares differ.
type Config struct {
	// Issuer is the name of the product in authenticator apps and messages, for
	// example "Acme". It must have 1 to 64 bytes and no colon or control
	// characters.
	Issuer string
	// Store stores second-factor state.
	Store Store
	// Keys encrypts and authenticates what is stored and handed out. See
	// [ParseKeyRing].
	Keys KeyRing
	// Directory looks up users. [LookUp] makes one from a function.
	Directory Directory

	// Policy applies to accounts that have set none, and to hosts without
	// accounts. The zero value is equivalent to [PolicyOptional].
	Policy Policy
	// TOTP sets the kind of codes that authenticator apps generate. The zero
	// value is the kind that every app supports.
	TOTP TOTPConfig
	// Recovery configures recovery codes. The zero value generates ten of them.
	Recovery RecoveryConfig
	// Mail configures links and notices by email. The zero value sends none.
	Mail MailConfig
	// SMS configures codes sent as text messages. The zero value sends none.
	SMS SMSConfig
	// Lifetimes configures how long sessions, enrollments and links live. The
	// zero value means the defaults.
	Lifetimes Lifetimes
	// Languages are the languages of mail and text messages, such as
	// locale.English() and de.Catalog() of package locale/de. The best one by
	// [User.Language], or else [Client.Language], is used. If none of them fits,
	// it is the first one. If empty, it defaults to English.
	Languages []*locale.Catalog
	// AllowSend, if not nil, is called before a link, a code or another text
	// message is sent, after all limits of the library. If it returns an error,
	// nothing is sent. Use it to cap the cost of messages.
	AllowSend func(ctx context.Context, s SendRequest) error

	// OnEvent, if not nil, is called with each event after it has been stored,
	// while the request waits. Its context ends after 5 seconds, not with the
	// request. It must not block for long. If the process ends in between, it is
	// not called. Read the stored events ([EventReader]) if none may be missed.
	OnEvent func(ctx context.Context, e Event)
	// Now is the clock. If nil, it defaults to time.Now. The clocks of servers
	// may differ by up to a minute.
	Now func() time.Time
	// Logger receives errors that are not returned to a caller. If nil, it
	// defaults to slog.Default().
	Logger *slog.Logger
}

// RecoveryConfig configures recovery codes.
type RecoveryConfig struct {
	// Codes is the number of codes in a set, 1 to 20. If zero, it defaults to
	// 10. [NoRecoveryCodes] generates none.
	Codes int
	// Viewable stores recovery codes next to their hashes, so that they can be
	// shown again after a fresh proof. Anyone who has Config.Keys and the
	// database can then read them. If it is turned off, codes stored earlier
	// are removed the next time the user's record is written.
	Viewable bool
}

// MailConfig configures links and notices by email.
type MailConfig struct {
	// Mailer sends links and notices. If nil, no mail is sent. It is called
	// while the request waits. For a link, the deadline is that of the caller's
	// context, or 20 seconds if there is none. A notice to one address has 5
	// seconds. If yours can be slow, it should hand messages over to a queue. A
	// notice that it refuses is mailed again by [Manager.Deliver].
	Mailer Mailer
	// LinkURL returns the address of the page that a link opens, with the token
	// in it. The address must be https, or http on localhost. Take it from
	// configuration, never from a request, because an attacker who can choose
	// the host of a link collects its token. It must lead to the host at which
	// the user signs in, because the browser sends the cookie of the login to
	// no other. If accounts have domains of their own, choose by
	// LinkRequest.Account or LinkRequest.Host. It is required if a policy accepts
	// [EmailLink]. If it is set, users must also open a link before an
	// enrollment that a policy requires; see [Policy.Required]. [New] and
	// [Manager.Ready] call it with a placeholder token, an empty Account and a
	// zero User. Function twofahttp.LinkURL creates one. If nil, no links are
	// sent.
	LinkURL func(LinkRequest) string
	// CodeBesideLink adds a code of six digits to each mail with a link, for users
	// who read mail on a phone while they sign in on a computer. The user types it
	// in the browser that asked for it, and the host passes it to [Manager.Verify]
	// with Method EmailLink. It counts as the link does, and using one of them uses
	// up both. Wrong codes lock the code only: mails then leave without one, and
	// the link works. If false, mails have no code, and none is accepted.
	//
	// It gives up the guarantee of a link that the user alone can use it, in the
	// browser that asked for it. An attacker who has the password can start a
	// login, ask the user for the code, on the phone or on a fake page, and type it
	// into the login (real-time phishing). A link that must be opened before an
	// enrollment is therefore mailed without a code. Otherwise, one deceived user
	// would let the attacker enroll a factor and stay.
	//
	// A code is valid for as long as the link, so Lifetimes.Link must be at most 10
	// minutes (OWASP ASVS 5.0, 6.5.5). LinkURL must be set.
	CodeBesideLink bool
	// CaseURL returns the address of the page on which a user looks at a support case
	// and can end it, with the token in it, like LinkURL. Function twofahttp.CaseURL
	// creates one. If nil, staff can open a case only for users who cannot be mailed.
	CaseURL func(LinkRequest) string
	// NoticeNewBrowser tells users by mail of each login with an authenticator or
	// phone in a browser that was unknown until then. Other logins make no browser
	// known, so nobody is told of them. If false, an attacker who has the password
	// and a code signs in unnoticed.
	NoticeNewBrowser bool
	// Brand is the color, the logo and the support address in the messages of
	// package locale.
	Brand Brand
	// LinkEmail writes the message that carries a link. If nil, messages are
	// those of package locale, in one of Config.Languages.
	LinkEmail func(LinkEmail) Email
	// NoticeEmail writes the message that reports an event. If nil, messages are
	// those of package locale, in one of Config.Languages. An Email without a
	// Subject is not sent.
	NoticeEmail func(NoticeEmail) Email
}

// LinkRequest is the input of [MailConfig.LinkURL] and [MailConfig.CaseURL].
type LinkRequest struct {
	Token   Secret // must be part of the address
	Account string // account that the login is for; empty if the host has no accounts
	User    User   // user that the link is mailed to
	Host    string // Client.Host of the login; empty if it is not known
}

// SMSConfig configures codes sent as text messages.
type SMSConfig struct {
	// Sender sends text messages. If nil, none are sent. It is called while the
	// request waits. For a code, the deadline is that of the caller's context,
	// or 20 seconds if there is none. The warning to a replaced number has 5
	// seconds.
	Sender SMSSender
	// Phone parses phone numbers. It is required with Sender.
	Phone PhoneParser
	// Countries lists the countries that are sent text messages, as ISO 3166-1
	// alpha-2 codes, or as AC, TA or XK (Kosovo), which have numbering plans but
	// no such code. It is required with Sender. Each country listed is one that
	// toll fraud can use.
	Countries []string
	// WebOTPHost is the host name for which browsers may fill in a code, for
	// example "app.example.com". If empty, messages have no WebOTP line.
	WebOTPHost string
	// CodeText writes every text message: one with a code or, if
	// [CodeText.Replaced] is true, the warning to a replaced number. Control
	// characters are removed from the result, line breaks included, and it is
	// cut to 400 bytes. If nil, messages are those of package locale, in one of
	// Config.Languages. They fit one segment if Issuer has at most 20 letters and
	// WebOTPHost at most 16. If one does not, [New] logs a warning, because
	// gateways charge for each segment.
	CodeText func(CodeText) string
}

// Lifetimes configures how long sessions, enrollments and links live. The zero
// value means the defaults.
type Lifetimes struct {
	// Session is the longest time that a [Session] lives, 5 minutes to 90 days.
	// If zero, it defaults to 24 hours (NIST SP 800-63B-4, section 2.2.3).
	Session time.Duration
	// Enrollment is how long an enrollment waits for its next step, 10 minutes
	// to 2 hours. If zero, it defaults to 30 minutes, enough to install an app.
	// Each step renews it, up to 2 hours in all. A longer time gives an attacker
	// at an unattended screen more time.
	Enrollment time.Duration
	// Link is how long an email link is valid, 5 minutes to 1 hour. If zero, it
	// defaults to 10 minutes. A login by email link must be completed within it.
	Link time.Duration
}

// New returns a Manager for a configuration. If something is wrong with cfg, the
// error lists every problem by field name. New copies cfg and does no I/O; call
// [Manager.Ready] to check the store.
func New(cfg Config) (*Manager, error) {
	ownText := cfg.SMS.CodeText != nil
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("twofa: configuration:\n%w", err)
	}
	if !ownText {
		cfg.warnOfSegments()
	}
	cfg.warnOfLostNotices()
	return &Manager{cfg: cfg, languages: locale.NewMatcher(cfg.Languages...)}, nil
}

func (c *Config) setDefaults() {
	c.TOTP.setDefaults()
	c.Recovery.Codes = cmp.Or(c.Recovery.Codes, defaultCodes)
	c.Lifetimes.Session = cmp.Or(c.Lifetimes.Session, sessionTTL)
	c.Lifetimes.Enrollment = cmp.Or(c.Lifetimes.Enrollment, enrollmentTTL)
	c.Lifetimes.Link = cmp.Or(c.Lifetimes.Link, linkTTL)
	c.SMS.Countries, c.Policy, c.Languages = slices.Clone(c.SMS.Countries), c.Policy.clone(), slices.Clone(c.Languages)
	if len(c.Languages) == 0 {
		c.Languages = []*locale.Catalog{locale.English()}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Mail.LinkEmail == nil {
		c.Mail.LinkEmail = writeLink
	}
	if c.Mail.NoticeEmail == nil {
		c.Mail.NoticeEmail = writeNotice
	}
	if c.SMS.CodeText == nil {
		c.SMS.CodeText = writeText
	}
}

// Format writes a placeholder, because a Manager contains keys.
func (m *Manager) Format(f fmt.State, _ rune) { redact(f) }

// LogValue returns a placeholder.
func (m *Manager) LogValue() slog.Value { return slog.StringValue(redacted) }
