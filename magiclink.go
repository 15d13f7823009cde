package twofa

import (
	"strings"
)

// tryLink checks the token of a mailed link. It has 256 bits: nothing is
// counted, and nothing can be guessed. It works only with the challenge that
// the link was sent for, which is in the browser that typed the password.
func (s *userTx) tryLink(u User, t ticket, token string) error {
	x := s.currentMessage(t, EmailLink)
	if x == nil || len(token) > 128 || !constantTimeEqual(x.Hash, digest("link", token)) {
		return &codeError{}
	}
	if len(u.Emails) == 0 || x.To != digest("address", u.Emails[0]) {
		return &codeError{}
	}
	s.useMessage(t.messageID)
	s.dirty = true
	return nil
}

func (s *userTx) newLink(u User, x *message) pendingMessage {
	token := newBrowserToken()
	x.Hash, x.To, x.Mask = digest("link", token.Reveal()), digest("address", u.Emails[0]), maskEmail(u.Emails[0])
	x.Expires = s.now.Add(linkTTL).Unix()
	mail := s.m.cfg.Mail.LinkEmail(LinkEmail{Issuer: s.m.cfg.Issuer, User: u, URL: NewSecret(s.m.cfg.Mail.LinkURL(LinkRequest{Token: token, Account: s.account, User: u})),
		Time: s.now.UTC(), Valid: linkTTL, IP: clean(s.client.IP, 45), Device: s.client.Device()})
	mail.To = u.Emails[0]
	mail.Subject = clean(mail.Subject, 200)
	return pendingMessage{email: &mail}
}

// device guesses a browser and system from a User-Agent, for a person to
// recognise. Only words from here get into a message.
func device(agent string) string {
	find := func(unknown string, names ...string) string {
		for i := 0; i < len(names); i += 2 {
			if strings.Contains(agent, names[i]) {
				return names[i+1]
			}
		}
		return unknown
	}
	return find("a browser", "Edg", "Edge", "OPR/", "Opera", "Firefox", "Firefox", "Chrome", "Chrome", "Safari", "Safari") + " on " +
		find("an unknown system", "Android", "Android", "iPhone", "iPhone", "iPad", "iPad", "Windows", "Windows", "Mac OS", "macOS", "CrOS", "ChromeOS", "Linux", "Linux")
}
