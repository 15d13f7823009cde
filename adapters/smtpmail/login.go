package smtpmail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/wneessen/go-mail/smtp"
)

func (m *Mailer) login(ctx context.Context, c *smtp.Client) error {
	if m.cfg.Username == "" {
		return nil
	}
	offered := mechanisms(c)
	if m.cfg.Token != nil {
		return m.loginByToken(ctx, c, offered)
	}
	password := m.cfg.Password.Reveal()
	var auth smtp.Auth
	switch {
	case slices.Contains(offered, "PLAIN"):
		auth = smtp.PlainAuth("", m.cfg.Username, password, m.cfg.Host, false)
	case slices.Contains(offered, "LOGIN"):
		auth = smtp.LoginAuth(m.cfg.Username, password, m.cfg.Host, false)
	default:
		return errors.New("the server offers neither PLAIN nor LOGIN")
	}
	if err := c.Auth(auth); err != nil {
		return &loginError{err, "check Username and Password; if they are right, the server may demand an app password or a Token"}
	}
	return nil
}

func (m *Mailer) loginByToken(ctx context.Context, c *smtp.Client, offered []string) error {
	auth := &bearerAuth{user: m.cfg.Username}
	switch {
	case slices.Contains(offered, "XOAUTH2"):
		auth.mechanism = "XOAUTH2"
	case slices.Contains(offered, "OAUTHBEARER"):
		auth.mechanism = "OAUTHBEARER"
	default:
		return errors.New("the server offers neither XOAUTH2 nor OAUTHBEARER")
	}
	token, err := m.cfg.Token(ctx)
	if err != nil {
		return fmt.Errorf("Config.Token: %w", err)
	}
	auth.token = token.Reveal()
	if auth.token == "" || strings.ContainsAny(auth.user+auth.token, "\x00\x01") {
		return errors.New("Config.Token: the user name or token is empty or has a character that separates fields")
	}
	if err := c.Auth(auth); err != nil {
		return &loginError{err, "check that Token returns an unexpired access token of Username with the scope for SMTP" + auth.reason}
	}
	return nil
}

// bearerAuth is a login by an OAuth 2.0 access token: OAUTHBEARER (RFC 7628), or
// XOAUTH2, which Google and Microsoft had before.
type bearerAuth struct {
	mechanism, user, token string
	reason                 string // for the error text; set if the server gave one
}

// Start returns the mechanism and the first message, but only inside TLS.
func (a *bearerAuth) Start(server *smtp.ServerInfo) (string, []byte, error) {
	if !server.TLS {
		return "", nil, smtp.ErrUnencrypted
	}
	if a.mechanism == "XOAUTH2" {
		return a.mechanism, []byte("user=" + a.user + "\x01auth=Bearer " + a.token + "\x01\x01"), nil
	}
	name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(a.user) // RFC 5801, section 4
	return a.mechanism, []byte("n,a=" + name + ",\x01auth=Bearer " + a.token + "\x01\x01"), nil
}

var oauthStatus = regexp.MustCompile(`^[a-z0-9_]{1,32}$`)

// Next answers a challenge. The only one is an error as JSON, after which the server
// waits for an answer before it refuses the login with a code.
func (a *bearerAuth) Next(challenge []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	if a.reason != "" {
		return nil, fmt.Errorf("%w: another challenge", smtp.ErrUnexpectedServerResponse)
	}
	var refusal struct {
		Status string `json:"status"`
	}
	a.reason = "; the server gave no reason"
	if json.Unmarshal(challenge, &refusal) == nil && oauthStatus.MatchString(refusal.Status) {
		a.reason = "; the server's reason is " + refusal.Status
	}
	if a.mechanism == "XOAUTH2" {
		return []byte{}, nil
	}
	return []byte{1}, nil // RFC 7628, section 3.2.3
}

// mechanisms returns the offered mechanisms of AUTH in upper case, because they are
// not case-sensitive (RFC 4954). Some old servers offer them after "AUTH=".
func mechanisms(c *smtp.Client) []string {
	_, offer := c.Extension("AUTH")
	for _, mechanism := range []string{"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER", "CRAM-MD5", "DIGEST-MD5", "NTLM", "GSSAPI"} {
		if first, others := c.Extension("AUTH=" + mechanism); first {
			offer += " " + mechanism + " " + others
		}
	}
	return strings.Fields(strings.ToUpper(offer))
}
