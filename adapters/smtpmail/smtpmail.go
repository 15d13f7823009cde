// Package smtpmail sends mail through an SMTP server: it is a [twofa.Mailer]
// over the server that a product already sends through.
package smtpmail

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// Config says through which server mail goes, and from whom.
type Config struct {
	// Host is the server's name or IP address, without a port. Required. The
	// server's certificate must be for it.
	Host string
	// Port is a TCP port; 0 means 587, with ImplicitTLS 465, with
	// InsecurePlaintext 25.
	Port int

	// Username and Password log in by AUTH PLAIN or LOGIN, inside TLS only.
	// Both empty means that the server takes mail without a login.
	Username string
	Password twofa.Secret

	// From is the sender, as in "Acme <login@acme.example>". Required. The
	// address is ASCII; its domain also ends each Message-ID and is the default
	// of HELO, so that neither tells the name of the machine.
	From string

	// ImplicitTLS starts TLS with the first byte (RFC 8314), in place of
	// STARTTLS. Without it a server that does not offer STARTTLS is refused
	// before login, address and message: who took the offer out of its answer
	// wants to read the link.
	ImplicitTLS bool
	// TLSConfig is for roots and client certificates; nil means the system's
	// roots. It is copied; ServerName defaults to Host, and versions below 1.2
	// are not spoken. Its InsecureSkipVerify gives password and links to
	// whoever stands in the way.
	TLSConfig *tls.Config
	// InsecurePlaintext speaks no TLS at all. It MUST NOT be used outside
	// tests: everyone on the way can read the link and change the message. It
	// excludes a login and ImplicitTLS.
	InsecurePlaintext bool

	// HELO is how this client names itself; "" means the domain of From.
	HELO string
	// Timeout bounds one SendMail from dialling to the server's acceptance,
	// beside the context; 0 means 15 s. A user waits for it.
	Timeout time.Duration
}

// Mailer is a [twofa.Mailer]. It opens a connection for each message, keeps
// none, and may be used by many goroutines at once.
type Mailer struct {
	cfg    Config // checked, defaults filled in, the TLSConfig its own
	from   mail.Address
	domain string // of from
}

var _ twofa.Mailer = (*Mailer)(nil)

const defaultTimeout = 15 * time.Second

// New returns a Mailer, or an error that names every field that is wrong. It
// makes no connection.
func New(cfg Config) (*Mailer, error) {
	from, err := mail.ParseAddress(cfg.From)
	if err != nil || !oneLine(cfg.From) || !ascii(from.Address) {
		from = new(mail.Address) // check tells
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
		{!hostname(cfg.Host), "Host: want a name or an IP address, without a port"},
		{cfg.Port < 1 || cfg.Port > 65535, "Port: want 1 to 65535, or 0 for the usual one"},
		{cfg.Username == "" && !cfg.Password.IsZero(), "Username: required with Password"},
		{cfg.Username != "" && cfg.Password.IsZero(), "Password: required with Username"},
		{cfg.Username != "" && cfg.InsecurePlaintext, "InsecurePlaintext: not with Username, a password is sent inside TLS only"},
		{cfg.ImplicitTLS && cfg.InsecurePlaintext, "InsecurePlaintext: not with ImplicitTLS"},
		{from == "", "From: want one address with an ASCII mailbox and domain, as in Acme <login@acme.example>"},
		{from != "" && !hostname(cfg.HELO), "HELO: want a host name"},
		{cfg.Timeout < 0, "Timeout: want 0 or more"},
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

// hostname is not a check of names, which DNS does, but of what people write in
// their place: a URL, a port, a list, nothing.
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
