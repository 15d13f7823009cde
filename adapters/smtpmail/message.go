package smtpmail

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/mail"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"
	"golang.org/x/net/idna"

	"github.com/twofa-go/twofa"
)

// errTo and errSubject do not quote the value, because an attacker may have chosen
// it.
var (
	errTo      = errors.New("smtpmail: To: must be one bare address, such as user@acme.example, of at most 254 bytes")
	errSubject = errors.New("smtpmail: Subject: must be one line of UTF-8 without control characters")
)

// message is an email ready to be sent.
type message struct {
	to   mail.Address
	data []byte // headers and body
}

func (m *Mailer) compose(e twofa.Email) (message, error) {
	to, err := bareAddress(e.To)
	if err != nil {
		return message{}, err
	}
	if !oneLine(e.Subject) {
		return message{}, errSubject
	}
	if to.Address, err = asciiDomain(to.Address); err != nil {
		return message{}, err
	}
	from := m.from
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&from)
	msg.ToMailAddress(&to)
	msg.Subject(encodeSubject(e.Subject))
	msg.SetDate()
	msg.SetMessageIDWithValue(rand.Text() + "@" + m.domain)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: keeps automatic replies away
	msg.SetBodyString(gomail.TypeTextPlain, newlines(e.Text.Reveal()))
	if !e.HTML.IsZero() {
		msg.AddAlternativeString(gomail.TypeTextHTML, newlines(e.HTML.Reveal()))
	}
	var data bytes.Buffer
	_, err = msg.WriteTo(&data)
	return message{to, data.Bytes()}, err
}

// bareAddress parses an address that is written exactly as in an SMTP command,
// without name, comment, list or angle brackets. Another system may read those
// differently and send the link to another recipient.
func bareAddress(s string) (mail.Address, error) {
	// RFC 5321, section 4.5.3.1.3, allows 256 bytes including the angle brackets.
	// The length is checked first because address parsers have been slow on long
	// input.
	const longest = 254
	if len(s) > longest || !oneLine(s) {
		return mail.Address{}, errTo
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.String() != "<"+s+">" {
		return mail.Address{}, errTo
	}
	return *a, nil
}

// asciiDomain returns the address with its domain in the ASCII form of IDNA
// (RFC 5891), which every server understands. A mailbox that is not ASCII still
// needs SMTPUTF8.
func asciiDomain(address string) (string, error) {
	at := strings.LastIndexByte(address, '@')
	if ascii(address[at+1:]) {
		return address, nil
	}
	domain, err := idna.Lookup.ToASCII(address[at+1:])
	if err != nil {
		return "", errTo
	}
	return address[:at+1] + domain, nil
}

// oneLine reports whether s is valid UTF-8 without line separators and control
// characters. The latter could also control the terminal on which a log is read.
func oneLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp)
	})
}

// newlines replaces each CR LF and each CR by LF. mime/quotedprintable converts
// line endings to CR LF, but loses one that follows a bare CR.
func newlines(s string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// encodeSubject returns s unchanged if it consists of short ASCII words, each
// separated by one space. Otherwise it returns all of s as encoded words (RFC
// 2047) that fit into a line. The mail library encodes only subjects that are not
// ASCII. Without encoding, a long word would exceed the line limit, a run of
// spaces would be folded into blank lines, and readers would decode "=?…?=".
func encodeSubject(s string) string {
	const fits = 60
	plain := func(word string) bool { return word != "" && len(word) <= fits && ascii(word) }
	words := strings.Split(s, " ")
	if !strings.Contains(s, "=?") && !slices.ContainsFunc(words, func(w string) bool { return !plain(w) }) {
		return s
	}
	words = nil
	for chunk := ""; s != ""; s = s[len(chunk):] {
		chunk = upTo(s, 36) // 60 characters when encoded: fits into a line after "Subject:"
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(chunk))+"?=")
	}
	return strings.Join(words, " ")
}

// upTo returns the longest prefix of s that has at most n bytes and does not split
// a character, which RFC 2047, section 5, requires of an encoded word.
func upTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
