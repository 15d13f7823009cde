package twofa

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/twofa-go/twofa/internal/qr"
	"github.com/twofa-go/twofa/internal/text"
)

// otpauth builds the URI that a QR code carries, by the rules of the Key URI
// Format: issuer both as prefix of the label and as parameter, no colon in
// either part, everything outside RFC 3986's unreserved characters escaped,
// a space as %20, never as "+".
func (c *Config) otpauth(u User, a totpParams) string {
	issuer, account := label(c.Issuer), label(u.Name)
	if account == "" {
		account = label(u.ID)
	}
	return "otpauth://totp/" + escape(issuer) + ":" + escape(account) +
		"?secret=" + a.typedKey() + "&issuer=" + escape(issuer) + "&algorithm=" + a.Algorithm +
		"&digits=" + strconv.Itoa(a.Digits) + "&period=" + strconv.FormatInt(a.Period, 10)
}

// label makes a name fit for the URI's label. 64 bytes keep the QR code small
// enough to scan from a screen.
func label(s string) string { return text.Clean(strings.ReplaceAll(s, ":", " "), 64) }

func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// PNG draws the QR code black on white with scale pixels per module, 1 to 32,
// as a 1-bit PNG of less than 1 KB. If scale is zero, it defaults to 6. The
// image contains the authenticator's key. Serve it to the user only, and never
// send it to a chart service.
func (e Enrollment) PNG(scale int) ([]byte, error) {
	return qr.PNG(e.URI.Reveal(), min(max(cmp.Or(scale, 6), 1), 32))
}

// SVG draws the QR code as one path on white, to be embedded in a page as it
// is. It contains no text, but it does contain the authenticator's key; see
// [Enrollment.PNG].
func (e Enrollment) SVG() (string, error) { return qr.SVG(e.URI.Reveal()) }
