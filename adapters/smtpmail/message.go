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

	"github.com/twofa-go/twofa"
)

// errTo and errSubject do not quote what they refuse: an attacker chose it.
var (
	errTo      = errors.New("smtpmail: To is not one bare address")
	errSubject = errors.New("smtpmail: Subject is not one line of text")
)

// message is a mail ready to be sent.
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
	from := m.from
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&from)
	msg.ToMailAddress(&to)
	msg.Subject(encodeSubject(e.Subject))
	msg.SetDate()
	msg.SetMessageIDWithValue(rand.Text() + "@" + m.domain)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's out-of-office note answers it
	msg.SetBodyString(gomail.TypeTextPlain, newlines(e.Text))
	if e.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, newlines(e.HTML))
	}
	var data bytes.Buffer
	_, err = msg.WriteTo(&data)
	return message{to, data.Bytes()}, err
}

// bareAddress accepts nothing but an address written as it goes over the wire:
// no name, comment, list or angle brackets, which other systems read
// differently, and would send the link elsewhere.
func bareAddress(s string) (mail.Address, error) {
	// RFC 5321, section 4.5.3.1.3, less the angle brackets; looked at first,
	// because parsers of addresses have been slow on long ones.
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

// oneLine reports whether s is text without anything that ends a line or
// controls a terminal.
func oneLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp)
	})
}

// newlines makes every way to end a line the same: mime/quotedprintable, on its
// way to CR LF, loses a line end that follows a bare CR.
func newlines(s string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// encodeSubject leaves plain words as they are and writes all else as encoded
// words (RFC 2047) that fit a line. The mail library encodes only what is not
// ASCII: a long word would break the line limit, a run of spaces would fold into
// blank lines, and "=?…?=" in a subject would be read as another text.
func encodeSubject(s string) string {
	const fits = 60
	plain := func(word string) bool { return word != "" && len(word) <= fits && ascii(word) }
	words := strings.Split(s, " ")
	if !strings.Contains(s, "=?") && !slices.ContainsFunc(words, func(w string) bool { return !plain(w) }) {
		return s
	}
	words = nil
	for chunk := ""; s != ""; s = s[len(chunk):] {
		chunk = upTo(s, 36) // 60 characters with what is around it: fits beside "Subject:"
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(chunk))+"?=")
	}
	return strings.Join(words, " ")
}

// upTo returns the longest start of s that is at most n bytes and ends with a
// whole character, as an encoded word must.
func upTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
