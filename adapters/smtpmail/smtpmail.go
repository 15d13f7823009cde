// Package smtpmail implements [twofa.Mailer] with the SMTP server through which a
// product already sends its mail:
//
//	mailer, err := smtpmail.New(smtpmail.Config{
//		Host: "smtp.acme.example", Username: "login", Password: password,
//		From: "Acme <login@acme.example>",
//	})
//	cfg := twofa.Config{Mail: twofa.MailConfig{Mailer: mailer, …}}
package smtpmail

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// Config configures a [Mailer]. Host and From are required.
type Config struct {
	// Host is the name or IP address of the server, without a port. The server's
	// certificate must be valid for it, or for TLSConfig.ServerName if that is
	// set.
	Host string
	// Port is the TCP port of the server. If zero, it defaults to 465 with
	// ImplicitTLS, to 25 with InsecurePlaintext and to 587 otherwise.
	Port int

	// Username is the name for AUTH, which is used only inside TLS: XOAUTH2 or
	// OAUTHBEARER if Token is set, and PLAIN or LOGIN otherwise. If empty, mail is
	// sent without a login.
	Username string
	// Password is required with Username, unless Token is set.
	Password twofa.Secret
	// Token returns an OAuth 2.0 access token for Username, as Gmail and Exchange
	// Online ask for. If nil, Password is used. It is called for each message,
	// inside TLS, and should return the same token until shortly before its expiry.
	// It must return when its context ends, and must be safe for concurrent use.
	Token func(ctx context.Context) (twofa.Secret, error)

	// From is the sender, as in "Acme <login@acme.example>". The address must be
	// ASCII. Its domain is also the end of each Message-ID and the default of
	// HELO, so neither reveals the name of the machine.
	From string

	// ImplicitTLS starts TLS with the first byte (RFC 8314) instead of using
	// STARTTLS. If it and InsecurePlaintext are false and the server does not
	// offer STARTTLS, nothing is sent, not even the login or the address. An
	// attacker between client and server could have removed the offer to read the
	// link.
	ImplicitTLS bool
	// TLSConfig sets root and client certificates. If nil, the roots of the
	// system are used. It is copied. In the copy, ServerName defaults to Host, and
	// MinVersion is at least TLS 1.2. With InsecureSkipVerify, an attacker
	// between client and server can read the password and the links.
	TLSConfig *tls.Config
	// InsecurePlaintext sends mail without TLS. It MUST NOT be used outside
	// tests, because everyone on the network path can read the link and change
	// the message. It cannot be combined with Username or ImplicitTLS.
	InsecurePlaintext bool

	// HELO is the host name that this client sends in EHLO. If empty, it defaults
	// to the domain of From.
	HELO string
	// Timeout is the longest time that one SendMail may take, in addition to the
	// deadline of its context. If zero, it defaults to 15 seconds. A user is
	// waiting meanwhile.
	Timeout time.Duration
}

// Mailer is a [twofa.Mailer]. It opens one connection for each message and closes
// it again. The zero Mailer is not usable. Create a Mailer with [New]. It may be
// used by many goroutines at once.
type Mailer struct {
	cfg    Config // checked, with defaults, and with its own TLSConfig
	from   mail.Address
	domain string // of from
}

var _ twofa.Mailer = (*Mailer)(nil)

const defaultTimeout = 15 * time.Second

// New returns a Mailer, or an error that names every invalid field of cfg. It does
// not connect to the server.
func New(cfg Config) (*Mailer, error) {
	from, err := mail.ParseAddress(cfg.From)
	if err != nil || !oneLine(cfg.From) || !ascii(from.Address) {
		from = new(mail.Address) // check reports it
	}
	domain := from.Address[strings.LastIndexByte(from.Address, '@')+1:]
	cfg.HELO = cmp.Or(cfg.HELO, domain)
	cfg.Port = cmp.Or(cfg.Port, cfg.defaultPort())
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	if err := cfg.check(from.Address); err != nil {
		return nil, err
	}
	cfg.TLSConfig = cfg.ownTLS()
	return &Mailer{cfg, *from, domain}, nil
}

func (cfg Config) check(from string) error {
	var problems []error
	for _, p := range []struct {
		wrong bool
		text  string
	}{
		{!hostname(cfg.Host), "Host: must be a host name or IP address without a port"}, // not quoted: a URL may contain a password
		{cfg.Port < 1 || cfg.Port > 65535, fmt.Sprintf("Port: must be 1 to 65535, or 0 for the default, is %d", cfg.Port)},
		{cfg.Username == "" && !cfg.Password.IsZero(), "Username: required with Password"},
		{cfg.Username == "" && cfg.Token != nil, "Username: required with Token"},
		{cfg.Username != "" && cfg.Password.IsZero() && cfg.Token == nil, "Password: required with Username, unless Token is set"},
		{!cfg.Password.IsZero() && cfg.Token != nil, "Password: not allowed with Token"},
		{cfg.Username != "" && cfg.InsecurePlaintext, "InsecurePlaintext: not allowed with Username, because a password is sent only inside TLS"},
		{cfg.ImplicitTLS && cfg.InsecurePlaintext, "InsecurePlaintext: not allowed with ImplicitTLS"},
		{from == "", fmt.Sprintf("From: must be one address with an ASCII mailbox and domain, as in Acme <login@acme.example>, is %q", cfg.From)},
		{from != "" && !hostname(cfg.HELO), fmt.Sprintf("HELO: must be a host name, is %q", cfg.HELO)},
		{cfg.Timeout < 0, fmt.Sprintf("Timeout: must be 0 or more, is %v", cfg.Timeout)},
	} {
		if p.wrong {
			problems = append(problems, errors.New(p.text))
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("smtpmail: config: %w", errors.Join(problems...))
	}
	return nil
}

// hostname reports whether s may be a host name or an IP address. It does not
// check names, which DNS does. It finds common mistakes: a URL, a port, a list or
// nothing.
func hostname(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return s != "" && ascii(s) && !strings.ContainsAny(s, " /:,;@")
}

func (cfg Config) defaultPort() int {
	switch {
	case cfg.ImplicitTLS:
		return 465
	case cfg.InsecurePlaintext:
		return 25
	}
	return 587
}

func (cfg Config) ownTLS() *tls.Config {
	own := &tls.Config{}
	if cfg.TLSConfig != nil {
		own = cfg.TLSConfig.Clone()
	}
	own.ServerName = cmp.Or(own.ServerName, cfg.Host)
	own.MinVersion = max(own.MinVersion, tls.VersionTLS12)
	return own
}
