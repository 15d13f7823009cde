package twofa

import (
	"cmp"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/twofa-go/twofa/internal/qr"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// TOTPConfig sets the kind of codes that authenticator apps generate (RFC
// 6238). The zero value means SHA-1 with 6 digits every 30 seconds. Every app
// supports it, and several apps silently show wrong codes for anything else,
// see [Standards]. A change affects only authenticators enrolled afterwards,
// except Strict, which affects all of them.
//
// [Standards]: https://github.com/twofa-go/twofa/blob/main/docs/standards.md
type TOTPConfig struct {
	// Algorithm is "SHA1", "SHA256" or "SHA512". If empty, it defaults to
	// "SHA1".
	Algorithm string
	// Digits is 6, 7 or 8. If zero, it defaults to 6. Fewer could be guessed.
	Digits int
	// Period is 15 to 120 seconds, in whole seconds. If zero, it defaults to 30
	// seconds. A longer period gives a phisher more time.
	Period time.Duration
	// Strict accepts only the code of the current period, as ASVS 6.5.5 asks.
	// Otherwise the codes of the previous and the next period are accepted as
	// well, as RFC 6238, section 5.2, allows.
	Strict bool
	// SecretSize is the length of the key in bytes, 16 to 64. If zero, it
	// defaults to 20 (RFC 4226, section 4, R6, requires at least 16 and
	// recommends 20).
	SecretSize int
}

func (c *TOTPConfig) setDefaults() {
	c.Algorithm = cmp.Or(c.Algorithm, "SHA1")
	c.Digits = cmp.Or(c.Digits, 6)
	c.Period = cmp.Or(c.Period, defaultPeriod)
	c.SecretSize = cmp.Or(c.SecretSize, 20)
}

func (c *TOTPConfig) validate() error {
	var p problems
	_, known := algorithms[c.Algorithm]
	p.require(known, "TOTP.Algorithm: must be SHA1, SHA256 or SHA512, is %q", c.Algorithm)
	p.require(c.Digits >= 6 && c.Digits <= 8, "TOTP.Digits: must be 6 to 8, is %d", c.Digits)
	p.require(isPeriod(c.Period),
		"TOTP.Period: must be 15s to 2m in whole seconds, is %v", c.Period)
	p.require(c.SecretSize >= minKey && c.SecretSize <= 64, "TOTP.SecretSize: must be %d to 64, is %d", minKey, c.SecretSize)
	return p.err()
}

func isPeriod(d time.Duration) bool {
	return d >= 15*time.Second && d <= 2*time.Minute && d%time.Second == 0
}

func (c TOTPConfig) newParams() totpParams {
	key := make([]byte, c.SecretSize)
	rand.Read(key) // crypto/rand ends the program instead of failing
	return totpParams{Key: base32.StdEncoding.EncodeToString(key), Algorithm: c.Algorithm, Digits: c.Digits, Period: int64(c.Period / time.Second)}
}

// totpParams is what the codes of one authenticator are computed from. It is
// stored with each authenticator, so that a change of [Config.TOTP] affects
// only new ones.
type totpParams struct {
	seal.Unknown
	Key       string // Base32 with padding, as package hotp takes it
	Algorithm string
	Digits    int
	Period    int64 // seconds
}

func (a *totpParams) Fields(c *seal.Codec) {
	seal.Text(c, 4, &a.Key)
	seal.Text(c, 8, &a.Algorithm)
	seal.Int(c, 12, &a.Digits)
	seal.Int(c, 16, &a.Period)
}

// known reports whether this release can compute the codes.
func (a *totpParams) known() bool {
	_, ok := algorithms[a.Algorithm]
	return ok && a.typedKey() != "" && a.Digits >= 6 && a.Digits <= 8 && a.Period > 0 && a.Period <= 3600
}

// typedKey returns the key without padding, as users type it and apps scan it.
func (a totpParams) typedKey() string { return strings.TrimSpace(strings.TrimRight(a.Key, "=")) }

func (a totpParams) step(now unixTime) int64 { return int64(now) / a.Period }

// newestStep returns the newest step whose code is accepted at now.
func (a totpParams) newestStep(now unixTime, strict bool) int64 {
	if strict {
		return a.step(now)
	}
	return a.step(now) + 1
}

// isLegacy reports whether the key of an authenticator app is shorter than those
// of new ones, which only an import brings.
func (f *factor) isLegacy() bool { return f.Method == TOTP && len(f.App.typedKey())*5/8 < minKey }

// code returns the code of a time step (RFC 4226, section 5.3). It returns an
// empty string, which no typed code equals, for what package hotp accepts and
// we must not: no key, which anybody could compute codes from, and steps before
// 1970, which wrap around.
func (a totpParams) code(step int64) string {
	if a.typedKey() == "" || step < 0 {
		return ""
	}
	code, _ := hotp.GenerateCodeCustom(a.Key, uint64(step), hotp.ValidateOpts{Digits: otp.Digits(a.Digits), Algorithm: algorithms[a.Algorithm]})
	return code
}

var algorithms = map[string]otp.Algorithm{"SHA1": otp.AlgorithmSHA1, "SHA256": otp.AlgorithmSHA256, "SHA512": otp.AlgorithmSHA512}

// match returns the step that a typed code belongs to, among those accepted at
// now, the likeliest first. The time it takes reveals only to a user who has a
// valid code which of the steps it belongs to.
func (a totpParams) match(typed string, now unixTime, strict bool) (step int64, ok bool) {
	code, ok := text.Digits(typed, a.Digits)
	if !ok {
		return 0, false
	}
	steps := []int64{0, -1, 1}
	if strict {
		steps = steps[:1]
	}
	for _, d := range steps {
		if step = a.step(now) + d; seal.Equal(a.code(step), code) {
			return step, true
		}
	}
	return 0, false
}

// offset searches for the code within an hour of now and returns how far the
// clock that generated it is ahead.
func (a totpParams) offset(typed string, now unixTime) (time.Duration, bool) {
	code, ok := text.Digits(typed, a.Digits)
	if !ok {
		return 0, false
	}
	for d := int64(1); d <= int64(hour/time.Second)/a.Period; d++ {
		for _, ahead := range [2]int64{d, -d} {
			if seal.Equal(a.code(a.step(now)+ahead), code) {
				return time.Duration(ahead*a.Period) * time.Second, true
			}
		}
	}
	return 0, false
}

// tryTOTP compares a code with all of the user's authenticators. The step that
// matches and all steps before it are used up for that authenticator, whatever
// the code was used for.
func (s *userTx) tryTOTP(code string) outcome {
	result := wrong
	for i := range s.Factors {
		f := &s.Factors[i]
		if f.Method != TOTP || !f.App.known() || result == right {
			continue
		}
		switch step, ok := f.App.match(code, s.now, s.m.cfg.TOTP.Strict); {
		case ok && step > f.Step:
			f.Step, f.Used = step, s.now
			result = right
		case ok:
			result = reused
		}
	}
	return result
}

// otpauth returns the URI in a QR code, in the Key URI Format. The issuer is
// both the prefix of the label and a parameter. The other part is the account
// name, and suffix in parentheses if it is not empty. Neither part has a colon.
// All characters are escaped except the unreserved ones of RFC 3986, so a space
// is "%20" and never "+".
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

// codeDigits returns the number of digits of a code in the user's authenticators,
// or zero if they differ.
func (s *userTx) codeDigits() (digits int) {
	for _, f := range s.Factors {
		switch {
		case f.Method != TOTP || f.App.Digits == digits:
		case digits != 0:
			return 0
		default:
			digits = f.App.Digits
		}
	}
	return digits
}
