package twofa

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// tryLink checks the token of an email link. The token has 256 random bits, so
// it cannot be guessed and failures are not counted. It is valid only with the
// challenge that the link was sent for, which is in the browser in which the
// password was typed.
func (s *userTx) tryLink(u User, t ticket, token string) error {
	x := s.currentMessage(t, EmailLink)
	if x == nil || len(token) > 128 || !seal.Equal(x.Hash, seal.Digest("link", token)) {
		return &codeError{}
	}
	if len(u.Emails) == 0 || x.To != seal.Digest("address", u.Emails[0]) {
		return &codeError{}
	}
	s.useMessage(t.messageID)
	return nil
}

func (s *userTx) newLink(u User, t *ticket, x *message) (pendingMessage, error) {
	token := newLinkToken()
	address, err := s.linkAddress(LinkRequest{Token: token, Account: s.account, User: u, Host: s.client.Host})
	if err != nil {
		return pendingMessage{}, err
	}
	x.Hash, x.To, x.Mask = seal.Digest("link", token.Reveal()), seal.Digest("address", u.Emails[0]), text.MaskEmail(u.Emails[0])
	ttl := s.m.cfg.Lifetimes.Link
	x.Expires = s.now.add(ttl)
	in := s.m.languageOf(u, s.client.Language)
	mail := s.m.cfg.Mail.LinkEmail(LinkEmail{Issuer: s.m.cfg.Issuer, User: u, Action: t.action, URL: NewSecret(address),
		Time: s.now.time(), Valid: ttl, IP: text.Clean(s.client.IP, 45), Device: text.DeviceIn(in, s.client.Device()), Locale: in, Brand: s.m.cfg.Mail.Brand})
	mail.To, mail.Expires = u.Emails[0], x.Expires.time()
	mail.Subject = text.Clean(mail.Subject, 200)
	return pendingMessage{email: &mail}, nil
}

// linkAddress returns the address of a link. It refuses one that [New] would
// refuse, because LinkURL may return another one for each account. The log has
// no address, because that contains the token.
func (s *userTx) linkAddress(l LinkRequest) (string, error) {
	address := s.m.cfg.Mail.LinkURL(l)
	if !linkSafe(address, l.Token.Reveal()) {
		return "", unavailable("Mail.LinkURL", fmt.Errorf("must return an absolute https address (http on localhost only) with the token in it, does not for account %q and host %q", l.Account, l.Host))
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", unavailable("Mail.LinkURL", errors.New("returns a malformed address"))
	}
	if link, login := strings.ToLower(u.Host), strings.ToLower(l.Host); login != "" && link != login {
		s.m.cfg.Logger.Warn("twofa: Mail.LinkURL leads to another host than the login's, where the browser does not have the cookie of the login", "link", link, "login", login, "account", l.Account)
	}
	return address, nil
}

func newLinkToken() Secret {
	raw := make([]byte, 32)
	rand.Read(raw) // crypto/rand ends the program instead of failing
	return NewSecret(base64.RawURLEncoding.EncodeToString(raw))
}
