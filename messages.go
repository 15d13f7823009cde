package twofa

import (
	"html"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/twofa-go/twofa/event"
)

// NoticeEmail is the input of [MailConfig.NoticeEmail]: an event that the user
// is told about.
type NoticeEmail struct {
	Issuer string // Config.Issuer
	User   User   // user that the event is about
	Event  Event  // event to report; see package event for its types
	Device string // a guess at the browser and system, as in "Firefox on Linux"
}

// noticeTexts are the texts of notices, by type of event.
var noticeTexts = map[string]string{
	event.Failed:         "A wrong code was entered by somebody who knows your password.",
	event.Reused:         "A code that had been used before was entered again by somebody who knows your password.",
	event.Locked:         "Several wrong codes were entered by somebody who knows your password. More attempts have to wait.",
	event.Disabled:       "Too many wrong codes were entered. This way to sign in is off where they were entered, until you use it in another browser that you have signed in with before, or set it up again.",
	event.TurnedOff:      "Two-factor authentication is off.",
	event.CodesGenerated: "New recovery codes were generated. Older ones no longer work.",
	event.CodesViewed:    "Your recovery codes were shown.",
	event.RecoveryUsed:   "A recovery code was used to sign in.",
	event.BrowserReplay:  "An outdated copy of a remembered browser's token was used. That browser is asked again from now on.",
	event.Reset:          "Your authenticator apps, phones and recovery codes were removed, because somebody asked for it on your behalf. Set up a new one the next time you sign in.",
	event.Revoked:        "All sessions and remembered browsers were signed out.",
	event.Credentials:    "Your password or address was changed.",
}

// factorTexts end the sentences that begin with a factor, by type of event.
var factorTexts = map[string]string{
	event.Enrolled: " was added to your login.",
	event.Imported: " was taken over from an earlier system.",
	event.Replaced: " was added to your login, in place of another one.",
	event.Removed:  " was removed from your login.",
}

// englishNotice is the default of MailConfig.NoticeEmail.
func englishNotice(n NoticeEmail) Email {
	concerns := factorOf(n.Event)
	what, ok := noticeTexts[n.Event.Type]
	if end := factorTexts[n.Event.Type]; end != "" {
		what, concerns, ok = strings.ToUpper(concerns[:1])+concerns[1:]+end, "", true
	}
	if !ok {
		return Email{}
	}
	if n.Event.Type == event.RecoveryUsed || n.Event.Type == event.CodesGenerated {
		what += " " + leftText(n.Event.Left)
	}
	lines := []string{what}
	if concerns != "" && n.Event.Actor == (EventActor{}) {
		lines = append(lines, "It concerns: "+concerns+".")
	}
	when := "This was at " + n.Event.Time.Format("2 January 2006, 15:04 UTC")
	if n.Event.IP != "" {
		when += ", by " + n.Device + fromIP(n.Event.IP)
	}
	lines = append(lines, when+".",
		"If it was you, there is nothing to do. If not: sign in at "+n.Issuer+", change your password, look through your security settings, and tell "+n.Issuer+"'s support.")
	return newEmail("Security notice from "+n.Issuer, lines, "", "")
}

// factorKinds are the kinds of factors that have a name.
var factorKinds = map[Method]string{TOTP: "an authenticator app", SMS: "a phone"}

// usualNames are the names that factors have if the user chooses none.
var usualNames = map[Method]string{TOTP: "Authenticator app", SMS: "Phone"}

// factorOf returns the factor that a notice is about: its kind and its name.
// An attacker may have chosen the name, to put a link or a text into a mail from the
// product. Therefore at most 40 letters and digits of it are quoted, without
// the characters that mail programs turn into a link.
func factorOf(e Event) string {
	kind, name := factorKinds[e.Method], lettersAndDigits(e.Detail, 40)
	if kind == "" && factorTexts[e.Type] != "" {
		kind = "a factor"
	}
	switch {
	case kind == "" || name == "":
		return kind + name
	case name == usualNames[e.Method]:
		return kind
	}
	return kind + ` with the name "` + name + `"`
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

// fromIP returns the end of a sentence with an IP address. It is empty if ip is
// something else, because a client may have chosen the text.
func fromIP(ip string) string {
	if _, err := netip.ParseAddr(ip); err != nil {
		return ""
	}
	return ", IP address " + ip
}

// newEmail formats lines as paragraphs of text and of HTML. In HTML, a line
// that equals link becomes a link with the label, followed by the address.
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
	return Email{Subject: subject, Text: NewSecret(strings.Join(lines, "\n\n") + "\n"), HTML: NewSecret(page.String())}
}

func leftText(n int) string {
	switch {
	case n == 0:
		return "None is left. Generate new codes now."
	case n <= lowOnCodes:
		return "Few are left. Generate new codes soon."
	}
	return ""
}

// LinkEmail is the input of [MailConfig.LinkEmail]: a link that the user must
// open to prove control of the address.
type LinkEmail struct {
	Issuer string        // Config.Issuer
	User   User          // user that the link is mailed to
	Action string        // step-up action that the link is for; empty for a login. A client may have chosen it
	URL    Secret        // address of the link; it must be in the message unchanged
	Time   time.Time     // time of the request, in UTC
	Valid  time.Duration // how long the link is valid, from Time
	IP     string        // address of the client that requested the link; may be empty
	Device string        // a guess at that client's browser and system, as in "Firefox on Linux"
}

// englishLink is the default of MailConfig.LinkEmail.
func englishLink(l LinkEmail) Email {
	label, asked, why := "Sign in to "+l.Issuer, "a sign-in link for "+l.Issuer, "Somebody knows your password"
	subject := label
	if l.Action != "" {
		action := actionName(l.Action)
		label, asked, why = "Confirm it is you", "a link to confirm "+action+" at "+l.Issuer, "Somebody is signed in as you"
		subject = "Confirm " + action + " at " + l.Issuer
	}
	return newEmail(subject, []string{
		"You (or somebody else) asked for " + asked + ".",
		"Open it in the same browser:",
		l.URL.Reveal(),
		"It works once, only in that browser, and expires in " + minutes(l.Valid) + ".",
		"This was at " + l.Time.Format("2 January 2006, 15:04 UTC") + ", by " + l.Device + fromIP(l.IP) + ".",
		"If it was not you, do not open the link. " + why + ", so change your password at " + l.Issuer + " now.",
	}, l.URL.Reveal(), label)
}

// actionName returns the name of an action for a mail. At most 40 letters and
// digits of it are quoted, because it may come from the address of a page that an
// attacker has made the user open.
func actionName(action string) string {
	name := lettersAndDigits(action, 40)
	if action == ActionFactors {
		return "a change of your security settings"
	}
	if name == "" {
		return "an action"
	}
	return `"` + name + `"`
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
}

// englishText is the default of SMSConfig.CodeText. It contains no link,
// because users are taught not to follow links in text messages.
func englishText(t CodeText) string {
	if t.Replaced {
		return t.Issuer + ": codes now go to another phone. If that was not you, sign in and check your security settings."
	}
	if t.Confirm {
		return t.Code.Reveal() + " confirms this phone for " + t.Issuer + ". It expires in " + minutes(t.Valid) + "."
	}
	return t.Code.Reveal() + " is your " + t.Issuer + " code, good for " + minutes(t.Valid) + ". We never ask you for it."
}

func minutes(d time.Duration) string { return strconv.Itoa(int(d/time.Minute)) + " minutes" }
