package twofa

import (
	"crypto/rand"

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

func (s *userTx) newLink(u User, t *ticket, x *message) pendingMessage {
	token := newLinkToken()
	x.Hash, x.To, x.Mask = seal.Digest("link", token.Reveal()), seal.Digest("address", u.Emails[0]), text.MaskEmail(u.Emails[0])
	ttl := s.m.cfg.Lifetimes.Link
	x.Expires = s.now.add(ttl)
	in := s.m.languageOf(u, s.client.Language)
	mail := s.m.cfg.Mail.LinkEmail(LinkEmail{Issuer: s.m.cfg.Issuer, User: u, Action: t.action, URL: NewSecret(s.m.cfg.Mail.LinkURL(LinkRequest{Token: token, Account: s.account, User: u})),
		Time: s.now.time(), Valid: ttl, IP: text.Clean(s.client.IP, 45), Device: text.DeviceIn(in, s.client.Device()), Locale: in})
	mail.To = u.Emails[0]
	mail.Subject = text.Clean(mail.Subject, 200)
	return pendingMessage{email: &mail}
}

func newLinkToken() Secret {
	raw := make([]byte, 32)
	rand.Read(raw) // crypto/rand ends the program instead of failing
	return NewSecret(tokenEncoding.EncodeToString(raw))
}
