package twofa

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes text from outside fit for one line of a log, a name or a
// message: invalid UTF-8, control characters and those that turn the direction
// of writing go, and it is cut to n bytes.
func clean(s string, n int) string {
	if len(s) <= n && plain(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.TrimSpace(s[:n])
}

// plain reports whether s is printable ASCII without space around it, as
// nearly everything is.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s == "" || s[0] != ' ' && s[len(s)-1] != ' '
}

// checkID accepts what can be part of a record's key.
func checkID(what, id string) error {
	if id == "" || len(id) > 255 || clean(id, 255) != id {
		return fmt.Errorf("twofa: %s id must be 1 to 255 bytes of UTF-8 without control characters or space around it", what)
	}
	return nil
}

// maskPhone shows enough of a number to recognise one's own.
func maskPhone(e164 string) string {
	if len(e164) < 5 {
		return "••"
	}
	return "•••• " + e164[len(e164)-2:]
}

// maskEmail shows enough of an address to recognise one's own.
func maskEmail(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 1 {
		return "•••"
	}
	_, size := utf8.DecodeRuneInString(address)
	return address[:size] + "•••" + address[at:]
}

// groups cuts text into groups of four for reading.
func groups(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}
