package twofa

import (
	"html"
	"strconv"
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
	return newEmail("Security notice from "+n.Issuer, lines, "", "")
}

// newEmail lays out lines as paragraphs of text and HTML. The line that is the
// link, if there is one, gets its label in HTML.
func newEmail(subject string, lines []string, link, label string) Email {
	var page strings.Builder
	page.WriteString(`<!doctype html><html lang="en"><head><meta charset="utf-8"></head><body style="font-family:sans-serif;max-width:36em;margin:auto;padding:1em">`)
	for _, line := range lines {
		escaped := html.EscapeString(line)
		if line == link {
			page.WriteString(`<p><a href="` + escaped + `">` + html.EscapeString(label) + `</a></p><p style="word-break:break-all">` + escaped + `</p>`)
			continue
		}
		page.WriteString("<p>" + escaped + "</p>")
	}
	page.WriteString("</body></html>\n")
	return Email{Subject: subject, Text: strings.Join(lines, "\n\n") + "\n", HTML: page.String()}
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
	subject := "Sign in to " + l.Issuer
	return newEmail(subject, []string{
		"Somebody, most likely you, asks for a link to prove that it is you at " + l.Issuer + ".",
		"To go on, open it in the same browser:",
		l.URL.Reveal(),
		"It works once, for " + minutes(l.Valid) + ", and only in that browser.",
		"Asked for at " + l.Time.Format("2 January 2006, 15:04 UTC") + " by " + l.Device + ", IP address " + l.IP + ".",
		"If that was not you: do not open the link. Somebody got as far as this, so change your password at " + l.Issuer + " now.",
	}, l.URL.Reveal(), subject)
}

// CodeText is what [SMSConfig.CodeText] writes a message of.
type CodeText struct {
	Issuer  string
	Code    Secret
	Valid   time.Duration
	Confirm bool // the number is being set up, this is no login
	// Replaced says that there is no code: the message tells a number that
	// another takes its place.
	Replaced bool
}

// englishText is the message where the host has none of its own. It carries no
// link: people are told never to follow one from a text.
func englishText(t CodeText) string {
	if t.Replaced {
		return t.Issuer + ": codes now go to another phone. If that was not you, sign in and check your security settings."
	}
	if t.Confirm {
		return t.Code.Reveal() + " confirms this phone for " + t.Issuer + ". It is good for " + minutes(t.Valid) + "."
	}
	return t.Code.Reveal() + " is your " + t.Issuer + " code, good for " + minutes(t.Valid) + ". We never ask you for it."
}

func minutes(d time.Duration) string { return strconv.Itoa(int(d/time.Minute)) + " minutes" }
