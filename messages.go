package twofa

import (
	"html"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/text"
	"github.com/twofa-go/twofa/locale"
)

// NoticeEmail is the input of [MailConfig.NoticeEmail]: an event that the user
// is told about.
type NoticeEmail struct {
	Issuer string          // Config.Issuer
	User   User            // user that the event is about
	Event  Event           // event to report; see package event for its types
	Device string          // a guess at the browser and system, as in "Firefox on Linux", in the language of Locale
	Locale *locale.Catalog // language for the user
}

// factorEvents are the types of events that are about a factor.
var factorEvents = map[string]bool{event.Enrolled: true, event.Imported: true, event.Replaced: true, event.Removed: true}

// writeNotice is the default of MailConfig.NoticeEmail.
func writeNotice(n NoticeEmail) Email {
	id := "notice." + n.Event.Type
	if factorEvents[n.Event.Type] {
		id += factorKind(n.Event.Method)
	}
	if !n.Locale.Has(id + ".text") {
		return Email{}
	}
	issuer := locale.Args{"issuer": n.Issuer}
	lines := append([]string{n.Locale.Text(id+".text", nil)}, noticeDetails(n)...)
	lines = append(lines, n.Locale.Text("mail.time", locale.Args{"time": n.Locale.DateTime(n.Event.Time)}))
	if n.Event.IP != "" {
		lines = append(lines, clientLines(n.Locale, n.Device, n.Event.IP)...)
	}
	advice := "notice.advice"
	if n.Event.Act != "" {
		advice = "notice.advice.admin"
	}
	lines = append(lines, n.Locale.Text(advice, issuer))
	return newEmail(n.Locale, n.Locale.Text(id+".subject", issuer), lines, "", "")
}

// noticeDetails returns the lines that only some events have. An attacker may
// have chosen the name of a factor, to put a link or a text into a mail from the
// product. Therefore at most 40 letters and digits of it are quoted, without the
// characters that mail programs turn into a link.
func noticeDetails(n NoticeEmail) []string {
	detail := lettersAndDigits(n.Event.Detail, 40)
	switch e := n.Event; {
	case factorEvents[e.Type]:
		if detail != "" && detail != defaultName(e.Method) {
			return []string{n.Locale.Text("notice.name", locale.Args{"name": detail})}
		}
	case e.Type == event.RecoveryUsed, e.Type == event.CodesGenerated:
		return codesLeft(n.Locale, e.Left)
	case e.Type == event.BrowserReplay && detail != "":
		return []string{n.Locale.Text("notice.browser", locale.Args{"browser": text.DeviceIn(n.Locale, detail)})}
	case n.Locale.Has("method." + string(e.Method)):
		return []string{n.Locale.Text("notice.method", locale.Args{"method": n.Locale.Text("method."+string(e.Method), nil)})}
	}
	return nil
}

// factorKind returns the part of an ID for a method whose factors users know by
// a name of their own.
func factorKind(m Method) string {
	if m == TOTP || m == SMS {
		return "." + string(m)
	}
	return ".factor"
}

// lettersAndDigits returns the first n letters and digits of s, with one space in
// the place of other characters between them.
func lettersAndDigits(s string, n int) string {
	var b strings.Builder
	space := false
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			space = b.Len() > 0
			continue
		}
		if n--; n < 0 {
			break
		}
		if space {
			b.WriteByte(' ')
		}
		space = false
		b.WriteRune(r)
	}
	return b.String()
}

// clientLines returns what is known of the client that caused a message. An IP
// that is something else is left out, because a client may have chosen the text.
func clientLines(c *locale.Catalog, device, ip string) []string {
	lines := []string{c.Text("mail.device", locale.Args{"device": device})}
	if _, err := netip.ParseAddr(ip); err == nil {
		lines = append(lines, c.Text("mail.ip", locale.Args{"ip": ip}))
	}
	return lines
}

// newEmail formats lines as paragraphs of text and of HTML. In HTML, a line
// that equals link becomes a link with the label, followed by the address.
func newEmail(c *locale.Catalog, subject string, lines []string, link, label string) Email {
	direction := "ltr"
	if c.RTL() {
		direction = "rtl"
	}
	var page strings.Builder
	page.WriteString(`<!doctype html><html lang="` + c.Tag() + `" dir="` + direction + `"><head><meta charset="utf-8"></head><body style="font-family:sans-serif;max-width:36em;margin:auto;padding:1em">`)
	for _, line := range lines {
		escaped := html.EscapeString(line)
		if line == link {
			page.WriteString(`<p><a href="` + escaped + `">` + html.EscapeString(label) + `</a></p><p style="word-break:break-all">` + escaped + `</p>`)
			continue
		}
		page.WriteString("<p>" + escaped + "</p>")
	}
	page.WriteString("</body></html>\n")
	return Email{Subject: subject, Text: NewSecret(strings.Join(lines, "\n\n") + "\n"), HTML: NewSecret(page.String())}
}

// codesLeft warns of few recovery codes.
func codesLeft(c *locale.Catalog, n int) []string {
	switch {
	case n == 0:
		return []string{c.Text("notice.codes.none", nil)}
	case n <= lowOnCodes:
		return []string{c.Text("notice.codes.few", locale.Args{"count": n})}
	}
	return nil
}

// LinkEmail is the input of [MailConfig.LinkEmail]: a link that the user must
// open to prove control of the address.
type LinkEmail struct {
	Issuer string          // Config.Issuer
	User   User            // user that the link is mailed to
	Action string          // step-up action that the link is for; empty for a login. A client may have chosen it
	URL    Secret          // address of the link; it must be in the message unchanged
	Time   time.Time       // time of the request, in UTC
	Valid  time.Duration   // how long the link is valid, from Time
	IP     string          // address of the client that requested the link; may be empty
	Device string          // a guess at that client's browser and system, as in "Firefox on Linux", in the language of Locale
	Locale *locale.Catalog // language for the user
}

// writeLink is the default of MailConfig.LinkEmail.
func writeLink(l LinkEmail) Email {
	kind, confirms, action := "link.login", "link.login", lettersAndDigits(l.Action, 40)
	if l.Action != "" {
		kind, confirms = actionKind(l.Action, action), "link.confirm"
	}
	args := locale.Args{"issuer": l.Issuer, "action": action}
	lines := []string{
		l.Locale.Text(kind+".text", args),
		l.URL.Reveal(),
		l.Locale.Text("link.valid", locale.Args{"count": int(l.Valid / time.Minute)}),
		l.Locale.Text("mail.time", locale.Args{"time": l.Locale.DateTime(l.Time)}),
	}
	lines = append(append(lines, clientLines(l.Locale, l.Device, l.IP)...), l.Locale.Text(confirms+".unasked", args))
	return newEmail(l.Locale, l.Locale.Text(kind+".subject", args), lines, l.URL.Reveal(), l.Locale.Text(confirms+".button", args))
}

// actionKind returns the part of an ID for an action. At most 40 letters and
// digits of its name are quoted, because it may come from the address of a page
// that an attacker has made the user open.
func actionKind(action, quoted string) string {
	switch {
	case action == ActionFactors:
		return "link.factors"
	case quoted == "":
		return "link.unnamed"
	}
	return "link.action"
}

// CodeText is the input of [SMSConfig.CodeText]: a code to send, or a phone
// number to notify.
type CodeText struct {
	Issuer string        // Config.Issuer
	Code   Secret        // code to send; empty if Replaced is true
	Valid  time.Duration // how long the code is valid; zero if Replaced is true
	// Confirm is true if the code confirms a number that is being enrolled, and
	// false if it is for a login or step-up.
	Confirm bool
	// Replaced is true if another number has replaced this one. The message
	// must warn its owner, because an attacker may have replaced it.
	Replaced bool
	// Locale is the language for the user.
	Locale *locale.Catalog
}

// writeText is the default of SMSConfig.CodeText. It contains no link, because
// users are taught not to follow links in text messages.
func writeText(t CodeText) string {
	args := locale.Args{"issuer": t.Issuer, "code": t.Code.Reveal(), "count": int(t.Valid / time.Minute)}
	switch {
	case t.Replaced:
		return t.Locale.Text("text.replaced", args)
	case t.Confirm:
		return t.Locale.Text("text.confirm", args)
	}
	return t.Locale.Text("text.code", args)
}
