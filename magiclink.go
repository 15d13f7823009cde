package twofa

import (
	"html"
	"strings"
	"time"
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

// LinkEmail is what [MailConfig.LinkEmail] writes a message of.
type LinkEmail struct {
	Issuer string
	User   User
	URL    Secret        // the link; it must stand in the message as it is
	Time   time.Time     // of the request, UTC
	Valid  time.Duration // from Time
	IP     string        // of the browser that asked
	Device string        // a rough guess of the browser and system that asked
}

// englishLink is the message where the host has none of its own.
func englishLink(l LinkEmail) Email {
	lines := []string{
		"Somebody, most likely you, asks for a link to prove that it is you at " + l.Issuer + ".",
		"To go on, open it in the same browser:",
		l.URL.Reveal(),
		"It works once, for " + minutes(l.Valid) + ", and only in that browser.",
		"Asked for at " + l.Time.Format("2 January 2006, 15:04 UTC") + " by " + l.Device + ", IP address " + l.IP + ".",
		"If that was not you: do not open the link. Somebody got as far as this, so change your password at " + l.Issuer + " now.",
	}
	var page strings.Builder
	page.WriteString("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"></head><body style=\"font-family:sans-serif;max-width:36em;margin:auto;padding:1em\">")
	for i, line := range lines {
		if i == 2 {
			href := html.EscapeString(line)
			page.WriteString("<p><a href=\"" + href + "\">Sign in to " + html.EscapeString(l.Issuer) + "</a></p><p style=\"word-break:break-all\">" + href + "</p>")
			continue
		}
		page.WriteString("<p>" + html.EscapeString(line) + "</p>")
	}
	page.WriteString("</body></html>\n")
	return Email{Subject: "Sign in to " + l.Issuer, Text: strings.Join(lines, "\n\n") + "\n", HTML: page.String()}
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
