// Package phone implements [twofa.PhoneParser] with the numbering plans of
// libphonenumber:
//
//	cfg := twofa.Config{SMS: twofa.SMSConfig{Phone: phone.Parser{}, …}}
//
// Package phone is a separate module because the plans add about 6 MB to a binary.
package phone

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"

	"github.com/twofa-go/twofa"
)

// Parser is a [twofa.PhoneParser]. The zero Parser is ready to use. It has no
// state, so it may be used by many goroutines at once.
type Parser struct{}

var _ twofa.PhoneParser = Parser{}

// ErrNumber is returned by [Parser.ParsePhone] if the input is not exactly one
// complete, valid number. It does not quote the input, because a phone number is
// personal data and the user may have typed another secret into the wrong field.
var ErrNumber = errors.New("phone: must be exactly one complete, valid telephone number")

// maxRaw is the longest input that is parsed, in bytes. The longest usual form
// has about 25 characters, including access code, trunk prefix and separators.
const maxRaw = 32

// separators are the characters allowed between digits. A "+" is allowed only as
// the first character. Before that, [ascii] removes marks that nobody sees and
// replaces typographic spaces, hyphens and the wide "+" by their ASCII forms, because
// numbers are pasted from contacts and web pages. Other characters are rejected
// before the numbering plans are used:
//
//   - letters, as in 1-800-FLOWERS, "ext", "x", "tel:" and ";ext="
//   - "," ";" and "#", which mean pauses, extensions and lists
//   - digits that are not ASCII, which another system may read as another number
const separators = " -.()/"

// ParsePhone implements [twofa.PhoneParser]. It converts a number as a user typed
// it or pasted it to E.164. region is the country to assume if the number has no "+", as an ISO
// 3166-1 alpha-2 code in upper case such as CH. If region is empty or unknown, the
// "+" is required. The access codes (00, 011), the trunk prefix and the leading
// zero of Italian numbers are interpreted by the numbering plan of the region.
// The only error is [ErrNumber]. It is also returned for short codes, emergency
// numbers, numbers with an extension and more than one number.
//
// Mobile is true if the plan assigns the number to mobile phones or, as in North
// America, does not distinguish them from land lines. It is false for land lines
// and for premium-rate, shared-cost, toll-free, personal, universal-access, pager,
// voicemail and internet (VoIP) numbers. It is also false for numbers without a
// country, for which Country is "": satellite networks (+870, +881), international
// networks (+882, +883) and international services (+800, +808, +979). A text
// message to such a number does not arrive, or its price is revenue for an
// attacker who owns the number.
//
// The result is canonical: parsing E164 again returns the same Phone.
func (Parser) ParsePhone(raw, region string) (twofa.Phone, error) {
	raw = strings.Trim(ascii(raw), " \t\r\n")
	if !plain(raw) {
		return twofa.Phone{}, ErrNumber
	}
	typed, err := phonenumbers.Parse(raw, region)
	if err != nil || !phonenumbers.IsValidNumber(typed) {
		return twofa.Phone{}, ErrNumber
	}
	p := read(typed)
	// The limits for each number are counted by E164. With two forms of one
	// number, an attacker would have twice the limit. This is checked because the
	// plans rewrite numbers (trunk prefixes, old mobile prefixes) and change with
	// each release.
	again, err := phonenumbers.Parse(p.E164, "")
	if err != nil || read(again) != p {
		return twofa.Phone{}, ErrNumber
	}
	return p, nil
}

// ascii removes invisible marks, such as those for the direction of writing, and
// replaces spaces and hyphens of typography. It does not change digits.
func ascii(raw string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < utf8.RuneSelf:
			return r
		case r == '\u202e': // shows digits in another order, so it is rejected
			return r
		case unicode.In(r, unicode.Cf, unicode.Variation_Selector):
			return -1
		case unicode.Is(unicode.Zs, r):
			return ' '
		case unicode.Is(unicode.Pd, r), r == '\u2212': // the minus sign
			return '-'
		case r == '\uff0b', r == '\ufe62': // "+" of East Asian fonts
			return '+'
		}
		return r
	}, raw)
}

func read(n *phonenumbers.PhoneNumber) twofa.Phone {
	p := twofa.Phone{E164: phonenumbers.Format(n, phonenumbers.E164)}
	if region := phonenumbers.GetRegionCodeForNumber(n); len(region) == 2 { // "001" is not a country
		p.Country = region
		p.Mobile = textable(phonenumbers.GetNumberType(n))
	}
	return p
}

func textable(t phonenumbers.PhoneNumberType) bool {
	return t == phonenumbers.MOBILE || t == phonenumbers.FIXED_LINE_OR_MOBILE
}

// plain reports whether raw is short enough and contains only characters that are
// allowed in a number.
func plain(raw string) bool {
	if len(raw) > maxRaw {
		return false
	}
	return !strings.ContainsFunc(strings.TrimPrefix(raw, "+"), func(r rune) bool {
		return (r < '0' || r > '9') && !strings.ContainsRune(separators, r)
	})
}
