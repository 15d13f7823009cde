package twofa

import (
	"context"
	"html"
	"strings"
	"time"

	"github.com/twofa-go/twofa/event"
)

// NoticeEmail is what [MailConfig.NoticeEmail] writes a message of.
type NoticeEmail struct {
	Issuer string
	User   User
	Event  Event
	Device string // a rough guess of the browser and system
}

const noticeTimeout = 5 * time.Second

// publishAll tells of what was stored: to the host, and where the person should
// know to every verified address (NIST SP 800-63B-4, section 4.6). It cannot
// fail what has already happened.
func (m *Manager) publishAll(ctx context.Context, s *userTx) {
	for _, e := range s.events {
		m.publish(ctx, e)
	}
	for _, out := range s.deferredTexts {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noticeTimeout)
		if err := m.deliver(ctx, out); err != nil {
			m.cfg.Logger.WarnContext(ctx, "twofa: notice not sent", "user", out.user, "error", err)
		}
		cancel()
	}
}

func (m *Manager) publish(ctx context.Context, e Event) {
	if m.cfg.OnEvent != nil {
		if err := recoverPanic(func() error { m.cfg.OnEvent(ctx, e); return nil }); err != nil {
			m.cfg.Logger.ErrorContext(ctx, "twofa: OnEvent", "error", err)
		}
	}
	if !e.Notice || m.cfg.Mail.Mailer == nil || e.User == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noticeTimeout)
	defer cancel()
	if err := recoverPanic(func() error { return m.mailNotice(ctx, e) }); err != nil {
		m.cfg.Logger.WarnContext(ctx, "twofa: notice not sent", "user", e.User, "type", e.Type, "error", err)
	}
}

func (m *Manager) mailNotice(ctx context.Context, e Event) error {
	u, err := m.cfg.User(ctx, e.User)
	if err != nil || u.ID != e.User {
		return err
	}
	mail := m.cfg.Mail.NoticeEmail(NoticeEmail{Issuer: m.cfg.Issuer, User: u, Event: e, Device: device(e.Agent)})
	if mail.Subject == "" {
		return nil
	}
	mail.Subject = clean(mail.Subject, 200)
	for _, to := range u.Emails {
		mail.To = to
		if failed := m.cfg.Mail.Mailer.SendMail(ctx, mail); failed != nil {
			err = failed
		}
	}
	return err
}

// noticeTexts says what happened and, where it helps, what to do.
var noticeTexts = map[string]string{
	event.Failed:         "A wrong code was entered by somebody who is past your password.",
	event.Reused:         "A code that had been used before was entered again by somebody who is past your password.",
	event.Locked:         "Several wrong codes were entered by somebody who is past your password. More attempts have to wait.",
	event.Disabled:       "Too many wrong codes were entered. This way to sign in is switched off where they were entered, until you sign in by it from another browser, or set it up anew.",
	event.Enrolled:       "A new way to prove that it is you was set up.",
	event.Replaced:       "A way to prove that it is you was replaced by a new one.",
	event.Removed:        "A way to prove that it is you was removed.",
	event.TurnedOff:      "Two-factor authentication is off.",
	event.CodesGenerated: "New recovery codes were made. Older ones no longer work.",
	event.CodesViewed:    "Your recovery codes were shown.",
	event.RecoveryUsed:   "A recovery code was used to sign in.",
	event.BrowserReplay:  "An outdated copy of a remembered browser's token was used. That browser is asked again from now on.",
	event.Revoked:        "All sessions and remembered browsers were signed out.",
	event.Credentials:    "Your password or address was changed.",
}

// englishNotice is the message where the host has none of its own.
func englishNotice(n NoticeEmail) Email {
	what, ok := noticeTexts[n.Event.Type]
	if !ok {
		return Email{}
	}
	if n.Event.Type == event.RecoveryUsed || n.Event.Type == event.CodesGenerated {
		what += " " + leftText(n.Event.Left)
	}
	lines := []string{what}
	if n.Event.Detail != "" && n.Event.Actor == "" {
		lines = append(lines, "It concerns: "+n.Event.Detail+".")
	}
	when := "This was at " + n.Event.Time.Format("2 January 2006, 15:04 UTC")
	if n.Event.IP != "" {
		when += ", by " + n.Device + ", IP address " + n.Event.IP
	}
	lines = append(lines, when+".",
		"If it was you, there is nothing to do. If not: sign in at "+n.Issuer+", change your password, look through your security settings, and tell "+n.Issuer+"'s support.")
	page := "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"></head><body style=\"font-family:sans-serif;max-width:36em;margin:auto;padding:1em\">"
	for _, line := range lines {
		page += "<p>" + html.EscapeString(line) + "</p>"
	}
	return Email{Subject: "Security notice from " + n.Issuer, Text: strings.Join(lines, "\n\n") + "\n", HTML: page + "</body></html>\n"}
}

func leftText(n int) string {
	switch {
	case n == 0:
		return "None is left: make new ones now."
	case n <= lowOnCodes:
		return "Few are left: make new ones soon."
	}
	return ""
}
