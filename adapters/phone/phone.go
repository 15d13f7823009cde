// Package phone understands telephone numbers: it is a [twofa.PhoneParser]
// over the numbering plans of libphonenumber. It is a module of its own because
// those plans add about 6 MB to a binary.
package phone

import (
	"errors"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/twofa-go/twofa"
)

// Parser is a [twofa.PhoneParser]. The zero Parser is ready to use, holds no
// state, and may be used by many goroutines at once.
type Parser struct{}

var _ twofa.PhoneParser = Parser{}

// ErrNumber is what ParsePhone returns for everything that is not one whole,
// valid number. It does not quote the input: that is personal data, and may be
// another secret typed into the wrong field.
var ErrNumber = errors.New("phone: not one whole, valid telephone number")

// maxRaw is above every form that people write (about 25 characters with
// access code, trunk prefix and separators). What is longer is not parsed.
const maxRaw = 32

// separators may stand between the digits; "+" may only come first. All else is
// refused before the numbering plans see it: letters (1-800-FLOWERS, and with
// them "ext", "x", "tel:" and ";ext="), "," ";" and "#" (pauses, dialled
// extensions, lists), and digits that are not ASCII, which look like one number
// to a person and are another to a system that reads them differently.
const separators = " -.()/"

// ParsePhone turns what a person typed into E.164. region is the country to
// assume where no "+" was typed, as in CH; "" requires the "+". Access codes
// (00, 011), trunk prefixes and the leading zero of Italian numbers are treated
// as the numbering plan of the region says. Short codes, emergency numbers,
// extensions and more than one number are errors.
//
// Mobile is true where the plan says that the number belongs to a mobile phone,
// or cannot tell (as in North America). It is false for land lines, premium
// rate, shared cost, toll-free, personal, universal access, pager, voicemail
// and internet (VoIP) numbers, and for every number of no country: satellite
// networks (+870, +881), international networks (+882, +883) and services
// (+800, +808, +979), for which Country is "". Texts to such numbers do not
// arrive, or cost what an attacker who owns the number earns.
//
// What is accepted is canonical: parsing E164 again gives the same Phone.
func (Parser) ParsePhone(raw, region string) (twofa.Phone, error) {
	raw = strings.Trim(raw, " \t\r\n")
	if !plain(raw) {
		return twofa.Phone{}, ErrNumber
	}
	typed, err := phonenumbers.Parse(raw, region)
	if err != nil || !phonenumbers.IsValidNumber(typed) {
		return twofa.Phone{}, ErrNumber
	}
	p := read(typed)
	// Limits per number count by E164: a number that had two names would be
	// counted twice. Checked rather than trusted, because the plans rewrite
	// numbers (trunk prefixes, old mobile tokens) and change with each release.
	again, err := phonenumbers.Parse(p.E164, "")
	if err != nil || read(again) != p {
		return twofa.Phone{}, ErrNumber
	}
	return p, nil
}

func read(n *phonenumbers.PhoneNumber) twofa.Phone {
	p := twofa.Phone{E164: phonenumbers.Format(n, phonenumbers.E164)}
	if region := phonenumbers.GetRegionCodeForNumber(n); len(region) == 2 { // "001" is no country
		p.Country = region
		p.Mobile = textable(phonenumbers.GetNumberType(n))
	}
	return p
}

func textable(t phonenumbers.PhoneNumberType) bool {
	return t == phonenumbers.MOBILE || t == phonenumbers.FIXED_LINE_OR_MOBILE
}

// plain reports whether raw is written with what belongs into one number.
func plain(raw string) bool {
	if len(raw) > maxRaw {
		return false
	}
	return !strings.ContainsFunc(strings.TrimPrefix(raw, "+"), func(r rune) bool {
		return (r < '0' || r > '9') && !strings.ContainsRune(separators, r)
	})
}
