package twofa

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

const (
	textDigits    = 6
	confirmBucket = string(SMS) + "/setup" // of codes that confirm a number
)

// tryText checks a texted code. The code is bound to the challenge it was sent
// for, which holds the key its hash was made with: a copy of the database does
// not tell it.
func (s *userTx) tryText(t ticket, code string) outcome {
	x := s.currentMessage(t, SMS)
	code, ok := digits(code, textDigits)
	if x == nil || !ok {
		return wrong
	}
	phone := s.phone()
	if phone == nil || x.To != digest("number", phone.Phone) {
		return wrong
	}
	if !constantTimeEqual(x.Hash, textHash(t.messageKey, s.user, x.ID, code)) {
		if x.Tries++; x.Tries >= maxTextTries {
			s.useMessage(x.ID)
		}
		return wrong
	}
	s.useMessage(x.ID)
	phone.Used = s.now.Unix()
	return right
}

func textHash(key, user, id, code string) string {
	return string(keyedHash([]byte(key), "text", user, id, code))
}

// newTextCode is uniform over all codes, leading zeros included.
func newTextCode() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(1_000_000)) // crypto/rand does not fail
	return fmt.Sprintf("%0*d", textDigits, n)
}

// newText makes the code and message for the user's active number.
func (s *userTx) newText(t *ticket, x *message) (pendingMessage, error) {
	f := s.phone()
	if f == nil {
		return pendingMessage{}, ErrNotEnrolled
	}
	phone, err := s.m.cfg.destination(f.Phone, "")
	if err != nil {
		return pendingMessage{}, err
	}
	if s.knownBrowser() != nil {
		return s.composeText(t, x, phone, budgetKnown), nil
	}
	return s.composeText(t, x, phone, budgetUnknown), nil
}

// composeText makes a code for a number and the message that carries it.
func (s *userTx) composeText(t *ticket, x *message, phone Phone, b budget) pendingMessage {
	code := newTextCode()
	t.messageKey = newID()
	x.Hash, x.To, x.Mask = textHash(t.messageKey, s.user, x.ID, code), digest("number", phone.E164), maskPhone(phone.E164)
	x.Expires = s.now.Add(textTTL).Unix()
	body := clean(s.m.cfg.SMS.CodeText(CodeText{Issuer: s.m.cfg.Issuer, Code: NewSecret(code), Valid: textTTL, Confirm: b == budgetUnconfirmed}), 400)
	if host := s.m.cfg.SMS.WebOTPHost; host != "" {
		body += "\n\n@" + host + " #" + code
	}
	return pendingMessage{text: &TextMessage{To: phone.E164, Body: body}, number: phone, budget: b}
}

func e164(s string) bool {
	if len(s) < 8 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return false
	}
	_, ok := digits(s[1:], len(s)-1)
	return ok
}

// countries lists ISO 3166-1 alpha-2. A code that is none would be allowed and
// never match.
const countries = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ " +
	"BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM " +
	"DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS " +
	"GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN " +
	"KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ " +
	"MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM " +
	"PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV " +
	"SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI " +
	"VN VU WF WS YE YT ZA ZM ZW"

// checkCountry tells what is wrong with a code.
func checkCountry(code string) error {
	switch {
	case code == "UK":
		return errors.New("the United Kingdom is GB")
	case len(code) != 2 || !slices.Contains(strings.Fields(countries), code):
		return errors.New("not an ISO 3166-1 alpha-2 code in upper case")
	}
	return nil
}
