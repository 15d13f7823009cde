package twofa

import (
	"crypto/rand"
	"fmt"
	"math/big"

	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

const (
	textDigits    = 6                       // of every code that is sent, also by mail
	confirmBucket = string(SMS) + "/enroll" // bucket of codes that confirm a number
)

// tryText compares a code with the hash of the one that was sent. The key of
// that hash is only in the challenge that the code was sent for. If it were in
// the record, an attacker who can decrypt the record could try all codes.
func (s *userTx) tryText(t ticket, code string) outcome {
	x, phone := s.currentMessage(t, SMS), s.phone()
	if x == nil || phone == nil || x.To != seal.Digest("number", phone.Phone) {
		return wrong
	}
	if !s.isSentCode(t, x, x.Hash, code) {
		return wrong
	}
	s.voidCodes(x.Bucket, 0)
	phone.Used = s.now
	return right
}

// isSentCode reports whether a code is the one that was sent in a message, given
// its hash. If not, it is counted against the message.
func (s *userTx) isSentCode(t ticket, x *message, hash, code string) bool {
	code, _ = text.Digits(code, textDigits)
	if seal.Equal(hash, textHash(t.messageKey, s.user, x.ID, code)) {
		return true
	}
	s.failText(x.Bucket)
	return false
}

// failText counts a wrong code against every code of a bucket, because two live
// codes must not allow twice as many.
func (s *userTx) failText(name string) {
	for i := range s.Messages {
		if s.Messages[i].Bucket == name {
			s.Messages[i].Tries++
		}
	}
	s.voidCodes(name, maxTextTries)
}

func textHash(key, user, id, code string) string {
	return string(seal.KeyedHash([]byte(key), "text", user, id, code))
}

// newTextCode returns a random code. All codes are equally likely, including
// those with leading zeros.
func newTextCode() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(1_000_000)) // crypto/rand ends the program instead of failing
	return fmt.Sprintf("%0*d", textDigits, n)
}

// newText creates a code for the user's enrolled number, and its message.
func (s *userTx) newText(u User, t *ticket, x *message) (pendingMessage, error) {
	f := s.phone()
	if f == nil {
		return pendingMessage{}, ErrNotAllowed
	}
	phone, err := s.m.cfg.destination(f.Phone, "")
	if err != nil {
		return pendingMessage{}, err
	}
	if _, known := s.bucketOf(SMS); known {
		return s.composeText(u, t, x, phone, budgetKnown), nil
	}
	return s.composeText(u, t, x, phone, budgetUnknown), nil
}

// composeText creates a code for a number, and its message.
func (s *userTx) composeText(u User, t *ticket, x *message, phone Phone, b budget) pendingMessage {
	code := newTextCode()
	t.messageKey = seal.NewID()
	x.Hash, x.To, x.Mask = textHash(t.messageKey, s.user, x.ID, code), seal.Digest("number", phone.E164), text.MaskPhone(phone.E164)
	x.Expires = s.now.add(textTTL)
	out := s.m.cfg.newTextMessage(phone.E164, CodeText{Code: NewSecret(code), Valid: textTTL, Confirm: b == budgetUnconfirmed, Locale: s.m.languageOf(u, s.client.Language)})
	out.Expires = x.Expires.time()
	return pendingMessage{text: &out, number: phone, budget: b}
}

// newTextMessage writes a message. The line for WebOTP is for browsers, so it is
// the same in every language.
func (c *Config) newTextMessage(to string, t CodeText) TextMessage {
	t.Issuer = c.Issuer
	body := text.Clean(c.SMS.CodeText(t), 400)
	if host := c.SMS.WebOTPHost; host != "" && !t.Replaced {
		body += "\n\n@" + host + " #" + t.Code.Reveal()
	}
	return TextMessage{To: to, Body: NewSecret(body), Language: t.Locale.Tag()}
}

// warnOfSegments logs a warning if a text message of this package needs more
// than one segment, because of a long Issuer or WebOTPHost or of letters that
// the alphabet of text messages lacks.
func (c *Config) warnOfSegments() {
	if c.SMS.Sender == nil {
		return
	}
	for _, language := range c.Languages {
		most := 0
		for _, t := range []CodeText{{}, {Confirm: true}, {Replaced: true}} {
			t.Code, t.Valid, t.Locale = NewSecret("000000"), textTTL, language
			most = max(most, text.Segments(c.newTextMessage("", t).Body.Reveal()))
		}
		if most > 1 {
			c.Logger.Warn("twofa: text messages need more than one segment, and gateways charge for each; use a shorter Issuer or SMS.WebOTPHost, or SMS.CodeText", "language", language.Tag(), "segments", most)
		}
	}
}
