package twofa

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa/event"
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

// phone returns the user's phone, nil if there is none.
func (s *userTx) phone() *factor {
	for i := range s.Factors {
		if s.Factors[i].Method == SMS {
			return &s.Factors[i]
		}
	}
	return nil
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

// budget names one of those a number has over all users. Each use has its own,
// so that nobody can use up another's: not the owner's codes by the password
// alone or by typing the number, nor the message that it was replaced.
type budget string

const (
	budgetUnknown     budget = ""
	budgetKnown       budget = "/known"
	budgetUnconfirmed budget = "/unconfirmed"
	budgetReplaced    budget = "/replaced"
)

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

// CodeText is what [SMSConfig.CodeText] writes a message of.
type CodeText struct {
	Issuer  string
	Code    Secret
	Valid   time.Duration
	Confirm bool // the number is being set up, this is no login
	// Replaced says that there is no code: the message tells a number that
	// another takes its place.
	Replaced bool
}

// englishText is the message where the host has none of its own. It carries no
// link: people are told never to follow one from a text.
func englishText(t CodeText) string {
	if t.Replaced {
		return t.Issuer + ": codes now go to another phone. If that was not you, sign in and check your security settings."
	}
	if t.Confirm {
		return t.Code.Reveal() + " confirms this phone for " + t.Issuer + ". It is good for " + minutes(t.Valid) + "."
	}
	return t.Code.Reveal() + " is your " + t.Issuer + " code, good for " + minutes(t.Valid) + ". We never ask you for it."
}

func minutes(d time.Duration) string { return strconv.Itoa(int(d/time.Minute)) + " minutes" }

// destination parses a number and refuses what must not be texted.
func (c *Config) destination(raw, region string) (Phone, error) {
	if c.SMS.Sender == nil || c.SMS.Phone == nil {
		return Phone{}, unavailable("SMS", errNoSender)
	}
	if len(raw) > 64 {
		return Phone{}, ErrNotAllowed
	}
	p, err := c.SMS.Phone.ParsePhone(raw, region)
	if err != nil || !e164(p.E164) || !p.Mobile || !slices.Contains(c.SMS.Countries, p.Country) {
		return Phone{}, ErrNotAllowed
	}
	return p, nil
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

// enrollPhone starts the set-up of a number: it is claimed, then texted, and
// what is returned alone can confirm it.
func (m *Manager) enrollPhone(ctx context.Context, c Caller, e EnrollRequest) (Enrollment, error) {
	phone, err := m.cfg.destination(e.Phone, e.Region)
	if err != nil {
		return Enrollment{}, err
	}
	var out pendingMessage
	var started Enrollment
	err = m.change(ctx, c, func(s *userTx, t ticket, u User) error {
		if err := s.mayEnroll(t, e); err != nil {
			return err
		}
		if err := s.reserveUserSend(SMS, confirmBucket); err != nil {
			return err
		}
		p := s.newPending(t, e)
		p.Phone = phone.E164
		if t.purpose == forSession {
			t.purpose, t.id, t.expires = forPhone, newID(), p.Expires
			t.bindTo(c.Client)
		}
		x := message{ID: newID(), Method: SMS, Bucket: confirmBucket, Attempt: p.FactorID}
		t.messageID, t.messageMethod = x.ID, SMS
		out = s.composeText(&t, &x, phone, budgetUnconfirmed)
		out.user, out.account, out.mask = s.user, s.account, x.Mask
		s.voidMessages(confirmBucket)
		s.Messages = append(s.Messages, x)
		s.emit(Event{Type: event.Sent, Method: SMS, Session: t.sessionID, Detail: "to confirm " + x.Mask})
		started = s.describePending(u)
		started.Challenge = Challenge{m.cfg.Keys.sealTicket(t)}
		return nil
	})
	if err == nil {
		err = m.deliver(ctx, out)
	}
	if err != nil {
		return Enrollment{}, err
	}
	return started, nil
}

// confirmsPhone checks the code that was texted to a pending number.
func (s *userTx) confirmsPhone(c Caller, code string) bool {
	t, err := s.m.cfg.Keys.openTicket(c.Challenge.Secret, s.now, forPhone, forEnroll)
	if err != nil || !t.isFrom(c.Client) {
		return false
	}
	x := s.currentMessage(t, SMS)
	code, ok := digits(code, textDigits)
	if x == nil || !ok || x.Attempt != s.Pending.FactorID || !constantTimeEqual(x.Hash, textHash(t.messageKey, s.user, x.ID, code)) {
		return false
	}
	s.useMessage(x.ID)
	return true
}

// tellOldPhone texts the number that is being replaced: who takes over a login
// should not be able to move it to another phone unnoticed.
func (s *userTx) tellOldPhone(number string) {
	phone, err := s.m.cfg.destination(number, "")
	if err != nil {
		return // it is not texted any more; the notice by mail remains
	}
	s.deferredTexts = append(s.deferredTexts, pendingMessage{user: s.user, account: s.account, number: phone, budget: budgetReplaced,
		text: &TextMessage{To: number, Body: clean(s.m.cfg.SMS.CodeText(CodeText{Issuer: s.m.cfg.Issuer, Replaced: true}), 400)}})
}

// reserveNumberSend takes one text out of a budget of a number, over all users.
func (m *Manager) reserveNumberSend(ctx context.Context, p Phone, b budget) error {
	key := "number/" + hex.EncodeToString(keyedHash(m.cfg.Keys.all()[0].lookup, p.E164)) + string(b)
	return m.retryOnConflict(ctx, func() error {
		var b numberRecord
		old, err := m.get(ctx, key, &b)
		if err != nil {
			return err
		}
		now := m.cfg.Now().Unix()
		if wait := textAllowance.nextSendIn(b.SendTimes, now); wait > 0 {
			return &lockedError{wait}
		}
		b.SendTimes = append(recentTimes(b.SendTimes, now, day), now)
		return m.write(ctx, key, old.Version, &b, nil)
	})
}

// numberRecord is what is kept under "number/<keyed hash of the number>".
type numberRecord struct{ SendTimes []int64 }

func (n *numberRecord) walk(w *wire)  { list(w, &n.SendTimes, w.number) }
func (n *numberRecord) check() string { return "" }
