// Package harness contains what the tests of several packages share: a start time,
// a parser of phone numbers, stores that fail or wait, and a decoder of QR
// codes. Only tests import it.
package harness

import (
	"errors"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// Start is the time at which the clock of a test starts.
var Start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// Numbers is a [twofa.PhoneParser] for Swiss and French mobile numbers with the
// country code. It also parses Swiss premium numbers, which are not mobile.
type Numbers struct{}

// ParsePhone implements [twofa.PhoneParser].
func (Numbers) ParsePhone(raw, _ string) (twofa.Phone, error) {
	raw = strings.ReplaceAll(raw, " ", "")
	switch {
	case strings.HasPrefix(raw, "+417") && len(raw) == 12:
		return twofa.Phone{E164: raw, Country: "CH", Mobile: true}, nil
	case strings.HasPrefix(raw, "+336") && len(raw) == 12:
		return twofa.Phone{E164: raw, Country: "FR", Mobile: true}, nil
	case strings.HasPrefix(raw, "+41900"):
		return twofa.Phone{E164: raw, Country: "CH"}, nil
	}
	return twofa.Phone{}, errors.New("not a number")
}
