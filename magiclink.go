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
	x := s.currentMail(u, t)
	if x == nil || len(token) > 128 || !seal.Equal(x.Hash, seal.Digest("link", token)) {
		return &codeError{}
	}
	name, known := s.bucketOf(EmailLink)
	s.countSuccess(EmailLink, name, s.Counters[name].at(s.now, known)) // of mailed codes
	s.useMessage(t.messageID)
	return nil
}

// tryMailedCode compares a code with the one that was mailed with the link. Like the
// link, it is valid only with the challenge that the mail was sent for. Using it
// uses up both.
func (s *userTx) tryMailedCode(u User, t ticket, code string) outcome {
	x := s.currentMail(u, t)
	if x == nil || x.Code == "" || !s.isSentCode(t, x, x.Code, code) {
		return wrong
	}
	s.useMessage(t.messageID)
	return right
}

// currentMail returns the mail that was sent for a ticket, or nil if it is no
// longer valid.
func (s *userTx) currentMail(u User, t ticket) *message {
	x := s.currentMessage(t, EmailLink)
	if x == nil || len(u.Emails) == 0 || x.To != seal.Digest("address", u.Emails[0]) {
		return nil
	}
	return x
}

// takesCode reports whether a challenge that asks for a link also takes a mailed
// code. One before an enrollment does not, because its link stands between a stolen
// password and a new factor. An attacker can talk a code out of the user. Of a
// link, the user would have to read out the whole address.
func (s *userTx) takesCode(u User, t ticket) bool {
	switch {
	case !s.m.cfg.Mail.CodeBesideLink:
		return false
	case t.purpose == forAction:
		return t.action != ActionFactors
	}
	v, err := s.evaluate(t.withProof(provenMethod{method: emailTyped, at: s.now}), len(u.Emails) > 0)
	return err == nil && v.next == NextDone
}

// takesCodeNow reports whether takesCode does and codes are not locked. A link
// works even then.
func (s *userTx) takesCodeNow(u User, t ticket) bool {
	name, known := s.bucketOf(EmailLink)
	return s.takesCode(u, t) && s.checkThrottle(EmailLink, name, known) == nil
}

// provenAs returns the method that a right proof is recorded as.
func (p Proof) provenAs() Method {
	if p.Method == EmailLink && !isLinkToken(p.Code.Reveal()) {
		return emailTyped
	}
	return p.Method
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
	l := LinkEmail{Issuer: s.m.cfg.Issuer, User: u, Action: t.action, URL: NewSecret(address),
		Time: s.now.time(), Valid: ttl, IP: text.Clean(s.client.IP, 45), Device: text.DeviceIn(in, s.client.Device()), Locale: in, Brand: s.m.cfg.Mail.Brand}
	if s.takesCodeNow(u, *t) {
		code := newTextCode()
		t.messageKey = seal.NewID()
		x.Code, l.Code = textHash(t.messageKey, s.user, x.ID, code), NewSecret(code)
	}
	mail := s.m.cfg.Mail.LinkEmail(l)
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

const linkTokenSize = 32 // bytes

// isLinkToken reports whether a text is as long as the token of a link, which no
// code is.
func isLinkToken(s string) bool { return len(s) == base64.RawURLEncoding.EncodedLen(linkTokenSize) }

func newLinkToken() Secret {
	raw := make([]byte, linkTokenSize)
	rand.Read(raw) // crypto/rand ends the program instead of failing
	return NewSecret(base64.RawURLEncoding.EncodeToString(raw))
}
