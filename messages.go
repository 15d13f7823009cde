package twofa

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/letter"
	"github.com/twofa-go/twofa/internal/text"
	"github.com/twofa-go/twofa/locale"
)

// Brand makes the mails of package locale look like the product. The name of the
// product is Config.Issuer.
type Brand struct {
	// Color is the color of buttons: "#" and six hexadecimal digits. The text of
	// a button is white or black, depending on which is easier to read. If
	// empty, it defaults to "#2c4fc9".
	Color string
	// Logo is the https address of a picture, which is shown 28 px high. Mail
	// programs that load no pictures show the name instead. If empty, all show
	// the name.
	Logo string
	// SupportURL is the address at which users get help: an https address, or
	// one such as "mailto:help@example.com". If empty, mails have no such link.
	SupportURL string
}

// NoticeEmail is the input of [MailConfig.NoticeEmail]: an event that the user
// is told about.
type NoticeEmail struct {
	Issuer string // Config.Issuer
	User   User   // user whom the mail is for
	About  User   // user that the event is about; zero if it is about an account
	Admin  User   // admin who caused the event, if another one or the member is told; otherwise zero
	Event  Event  // event to report; see package event for its types
	// Change is the policies before and after, with Config.Policy if an account had
	// or has none. It is zero unless the type of Event is event.Policy.
	Change PolicyChange
	// CancelURL is the address at which User can end a support case. It must be in
	// the message unchanged. It is empty if the event is no open case of User.
	CancelURL Secret
	Device    string          // a guess at the browser and system, as in "Firefox on Linux", in the language of Locale
	Locale    *locale.Catalog // language for the user
	Brand     Brand           // MailConfig.Brand
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
	if tellsAdmins[n.Event.Type] && n.User.ID != n.About.ID {
		return writeForAdmin(n)
	}
	switch n.Event.Type {
	case event.ResetRequested, event.ResetApproved, event.ResetConfirmed:
		return writeCase(n)
	case event.Reminded:
		return writeReminder(n)
	case event.Summarized:
		return writeSummary(n)
	case event.Policy:
		return writePolicyChange(n)
	}
	issuer := locale.Args{"issuer": n.Issuer}
	l := n.Brand.letter(n.Issuer, n.Locale.Text(id+".subject", issuer))
	l.Advice = n.Locale.Text("notice.advice", issuer)
	lead := id + ".text"
	if own := id + "." + string(n.Event.Method) + ".text"; n.Locale.Has(own) {
		lead = own
	}
	l.Lead = append([]string{n.Locale.Text(lead, issuer)}, noticeDetails(n)...)
	l.Details = []string{n.Locale.Text("mail.time", locale.Args{"time": n.Locale.DateTime(n.Event.Time)})}
	if n.Event.IP != "" {
		l.Details = append(l.Details, clientLines(n.Locale, n.Device, n.Event.IP)...)
	}
	if n.Event.Act != "" {
		l.Advice = n.Locale.Text("notice.advice.admin", issuer)
	}
	return newEmail(l, n.Locale)
}

// writeForAdmin tells an admin of an event about a member.
func writeForAdmin(n NoticeEmail) Email {
	id, issuer := "notice."+n.Event.Type+".admin", locale.Args{"issuer": n.Issuer}
	l := n.Brand.letter(n.Issuer, n.Locale.Text(id+".subject", issuer))
	l.Lead = []string{n.Locale.Text(id+".text", issuer)}
	l.Details = []string{n.Locale.Text("notice.reset.member", locale.Args{"name": nameInMail(n.About)})}
	if n.Admin.ID != "" {
		l.Details = append(l.Details, n.Locale.Text("notice.reset.by", locale.Args{"name": nameInMail(n.Admin)}))
	}
	l.Details = append(l.Details, n.Locale.Text("mail.time", locale.Args{"time": n.Locale.DateTime(n.Event.Time)}))
	l.Advice = n.Locale.Text("notice.advice.admin", issuer)
	return newEmail(l, n.Locale)
}

// writeCase tells the user of a support case, with the button that ends it. It says
// nothing that whoever talked to support has chosen.
func writeCase(n NoticeEmail) Email {
	id := "notice." + n.Event.Type
	args := locale.Args{"issuer": n.Issuer, "time": n.Locale.DateTime(n.Event.Time.Add(caseFirst))}
	l := n.Brand.letter(n.Issuer, n.Locale.Text(id+".subject", args))
	l.Lead = []string{n.Locale.Text(id+".text", args)}
	if l.Link = n.CancelURL.Reveal(); l.Link != "" {
		l.Label = n.Locale.Text("notice.case.stop", nil)
	}
	l.Details = []string{n.Locale.Text("mail.time", locale.Args{"time": n.Locale.DateTime(n.Event.Time)})}
	l.Advice = n.Locale.Text("notice.case.advice", args)
	return newEmail(l, n.Locale)
}

// writePolicyChange tells an admin that another one has made the policy weaker: who,
// when, what the policy now admits, and each field before and after.
func writePolicyChange(n NoticeEmail) Email {
	args := locale.Args{"issuer": n.Issuer, "name": nameInMail(n.Admin)}
	l := n.Brand.letter(n.Issuer, n.Locale.Text("notice.policy.subject", args))
	l.Lead = []string{n.Locale.Text("notice.policy.text", args)}
	if n.Admin.ID != "" {
		l.Lead[0] = n.Locale.Text("notice.policy.by", args)
		l.Details = []string{n.Locale.Text("notice.reset.by", args)}
	}
	if string(n.Event.After) == "null" {
		l.Lead = append(l.Lead, n.Locale.Text("notice.policy.default", args))
	}
	titles := func(action string) string {
		if id := "action." + action; n.Locale.Has(id) || action == "" {
			return ""
		}
		return lettersAndDigits(action, 40)
	}
	l.Lead = append(l.Lead, n.Change.Weaknesses(n.Locale, titles)...)
	l.Details = append(l.Details, n.Locale.Text("mail.time", locale.Args{"time": n.Locale.DateTime(n.Event.Time)}))
	for _, d := range n.Change.Differences(n.Locale, titles) {
		l.Details = append(l.Details, n.Locale.Text("notice.policy.field", locale.Args{"title": d.Title, "before": d.Before, "after": d.After}))
	}
	l.Advice = n.Locale.Text("notice.policy.advice", args)
	return newEmail(l, n.Locale)
}

// nameInMail returns the name of a user for a mail to another one. An address of
// theirs is quoted as it is. Of any other name, which the user may have chosen to
// put a link into the mail, only letters and digits are.
func nameInMail(u User) string {
	if slices.Contains(u.Emails, u.Name) {
		return text.Clean(u.Name, maxUserName)
	}
	if name := lettersAndDigits(u.Name, 40); name != "" {
		return name
	}
	return lettersAndDigits(u.ID, 40)
}

// writeReminder reminds a member to enroll. It has no link, so that users do not
// learn to follow links to a page on which they sign in.
func writeReminder(n NoticeEmail) Email {
	var due time.Time
	if json.Unmarshal(n.Event.After, &due) != nil {
		return Email{}
	}
	args := locale.Args{"issuer": n.Issuer, "date": n.Locale.Date(due), "time": n.Locale.DateTime(due)}
	l := n.Brand.letter(n.Issuer, n.Locale.Text("notice.reminded.subject", args))
	l.Lead = []string{n.Locale.Text("notice.reminded.text", args)}
	l.Advice = n.Locale.Text("notice.reminded.advice", args)
	return newEmail(l, n.Locale)
}

// writeSummary tells an admin how many members still have to enroll.
func writeSummary(n NoticeEmail) Email {
	var s Summary
	if json.Unmarshal(n.Event.After, &s) != nil {
		return Email{}
	}
	args := func(count int) locale.Args {
		return locale.Args{"issuer": n.Issuer, "count": count, "time": n.Locale.DateTime(s.NextDue)}
	}
	l := n.Brand.letter(n.Issuer, n.Locale.Text("notice.summarized.subject", args(s.Pending+s.Overdue)))
	l.Lead = []string{n.Locale.Text("notice.summarized.text", args(0))}
	for _, line := range []struct {
		id    string
		count int
	}{{"pending", s.Pending}, {"overdue", s.Overdue}, {"ready", s.Ready}, {"exempt", s.Exempt}} {
		if line.count > 0 {
			l.Details = append(l.Details, n.Locale.Text("notice.summarized."+line.id, args(line.count)))
		}
	}
	l.Advice = n.Locale.Text("notice.summarized.advice", args(0))
	return newEmail(l, n.Locale)
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
	case e.Type == event.Extended:
		var until time.Time
		if json.Unmarshal(e.After, &until) == nil && !until.IsZero() {
			return []string{n.Locale.Text("notice.extended.until", locale.Args{"time": n.Locale.DateTime(until)})}
		}
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

// letter returns an empty letter from the product.
func (b Brand) letter(issuer, subject string) letter.Letter {
	return letter.Letter{Issuer: issuer, Color: b.Color, Logo: b.Logo, Support: b.SupportURL, Subject: subject}
}

func newEmail(l letter.Letter, c *locale.Catalog) Email {
	return Email{Subject: l.Subject, Text: NewSecret(l.Text(c)), HTML: NewSecret(l.HTML(c))}
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
	Issuer string // Config.Issuer
	User   User   // user that the link is mailed to
	Action string // step-up action that the link is for; empty for a login. A client may have chosen it
	URL    Secret // address of the link; it must be in the message unchanged
	// Code is a code that can be typed instead of opening the link; see
	// [MailConfig.CodeBesideLink]. If it is empty, there is none. Otherwise the
	// message must contain it and must say that nobody will ask for it. The code
	// must not be in the subject or in the first lines, because phones show these
	// while they are locked.
	Code   Secret
	Time   time.Time       // time of the request, in UTC
	Valid  time.Duration   // how long the link is valid, from Time
	IP     string          // address of the client that requested the link; may be empty
	Device string          // a guess at that client's browser and system, as in "Firefox on Linux", in the language of Locale
	Locale *locale.Catalog // language for the user
	Brand  Brand           // MailConfig.Brand
}

// writeLink is the default of MailConfig.LinkEmail.
func writeLink(l LinkEmail) Email {
	kind, confirms, action := "link.login", "link.login", lettersAndDigits(l.Action, 40)
	if l.Action != "" {
		kind, confirms = actionKind(l.Action, action), "link.confirm"
	}
	args := locale.Args{"issuer": l.Issuer, "action": action}
	m := l.Brand.letter(l.Issuer, l.Locale.Text(kind+".subject", args))
	m.Link = l.URL.Reveal()
	m.Lead = []string{l.Locale.Text(kind+".text", args), l.Locale.Text("link.then", nil)}
	m.Label, m.Advice = l.Locale.Text(confirms+".button", args), l.Locale.Text(confirms+".unasked", args)
	valid := locale.Args{"count": int(l.Valid / time.Minute)}
	m.Below = []string{l.Locale.Text("link.valid", valid)}
	if m.Code = l.Code.Reveal(); m.Code != "" {
		m.Typed = l.Locale.Text("link.code", nil)
		m.Below = []string{l.Locale.Text("link.code.secret", args), l.Locale.Text("link.code.valid", valid)}
	}
	m.Details = append([]string{l.Locale.Text("mail.time", locale.Args{"time": l.Locale.DateTime(l.Time)})}, clientLines(l.Locale, l.Device, l.IP)...)
	return newEmail(m, l.Locale)
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
