package twofa

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/twofa-go/twofa/internal/qr"
	"github.com/twofa-go/twofa/internal/text"
)

// otpauth returns the URI in a QR code, in the Key URI Format. The issuer is
// both the prefix of the label and a parameter. The other part is the account
// name, and suffix in parentheses if it is not empty. Neither part has a colon. All characters are escaped except the unreserved ones of RFC 3986, so
// a space is "%20" and never "+".
func (c *Config) otpauth(u User, suffix string, a totpParams) string {
	issuer, account := label(c.Issuer), label(u.Name)
	if account == "" {
		account = label(u.ID)
	}
	if suffix = text.Clean(strings.ReplaceAll(suffix, ":", " "), 32); suffix != "" {
		account += " (" + suffix + ")"
	}
	return "otpauth://totp/" + escape(issuer) + ":" + escape(account) +
		"?secret=" + a.typedKey() + "&issuer=" + escape(issuer) + "&algorithm=" + a.Algorithm +
		"&digits=" + strconv.Itoa(a.Digits) + "&period=" + strconv.FormatInt(a.Period, 10)
}

// label makes a name safe for the label of the URI. It truncates the name to 64
// bytes, so that the QR code can be scanned from a screen.
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

// PNG returns the QR code of e.URI as a PNG image, black on white, for an
// authenticator app to scan. Each module of the code is scale pixels wide. If
// scale is zero, it defaults to 6; a value outside 1 to 32 is clamped. At the
// default, the image is usually smaller than 1 KB. The image contains the
// authenticator's key. Serve it to the user only, and never send it to a chart
// service. If e.Method is not TOTP, the image encodes the empty string.
func (e Enrollment) PNG(scale int) ([]byte, error) {
	return qr.PNG(e.URI.Reveal(), min(max(cmp.Or(scale, 6), 1), 32))
}

// SVG returns the QR code of e.URI as an SVG element, which a page can embed
// unchanged. It contains the authenticator's key; see [Enrollment.PNG]. If
// e.Method is not TOTP, the element encodes the empty string.
func (e Enrollment) SVG() (string, error) { return qr.SVG(e.URI.Reveal()) }
