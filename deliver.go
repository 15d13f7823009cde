package twofa

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// Email is a message for a [Mailer]: a sign-in link or a notice. Text and HTML
// are secret, because they may contain a link. [Secret.Reveal] returns them to
// the code that sends the message.
type Email struct {
	To      string // one address without a name, from [User.Emails]
	Subject string // one line
	Text    Secret // text/plain part; lines end in "\n"
	HTML    Secret // complete text/html part with the same content as Text
	// Expires is the end of the link's validity, so that a queue can drop a message
	// that is late. It is zero for a notice, which is worth sending even then.
	Expires time.Time
}

// Mailer hands messages to the host's mail system. An implementation can be
// tested with storetest.RunMailer.
type Mailer interface {
	// SendMail returns nil if the message was accepted for delivery, and an
	// error if it was not or if the outcome is unknown. If the address can never
	// receive messages, the error wraps [ErrUndeliverable]. It must return when
	// ctx ends, must not send a message again that may have been accepted, and
	// must be safe for concurrent use. It must refuse line breaks in To and Subject,
	// because an attacker may have chosen the text, and a line break could add
	// headers or recipients.
	SendMail(ctx context.Context, m Email) error
}

// TextMessage is a message for an [SMSSender]. Body is secret, because it may
// contain a code. [Secret.Reveal] returns it to the code that sends the message.
type TextMessage struct {
	To   string // number in E.164, such as "+41791234567"
	Body Secret // plain text; it must be sent unchanged, because browsers read its last line (WebOTP)
	// Language is the BCP 47 tag of the text's language, for gateways that choose
	// a template or a voice by it.
	Language string
	Expires  time.Time // end of the code's validity; zero for a notice
}

// SMSSender hands text messages to a gateway. An implementation can be tested
// with storetest.RunSMSSender.
type SMSSender interface {
	// SendSMS returns nil if the message was accepted for delivery, and an
	// error if it was not or if the outcome is unknown. If the number can never
	// receive text messages, the error wraps [ErrUndeliverable]. It must return
	// when ctx ends, must not send a message again that may have been accepted,
	// and must be safe for concurrent use.
	SendSMS(ctx context.Context, m TextMessage) error
}

// Phone is a telephone number, as returned by a [PhoneParser].
type Phone struct {
	// E164 is the number in E.164, such as "+41791234567".
	E164 string
	// Country is the code of the number's country, in the form of
	// [SMSConfig.Countries]. It is empty if the number belongs to no country.
	// Messages are sent only to countries in SMSConfig.Countries.
	Country string
	// Mobile reports whether the number can receive text messages at an ordinary
	// rate. Nothing is sent if it is false. An attacker who owns a premium-rate
	// number that is marked as mobile earns money with each message.
	Mobile bool
}

// PhoneParser parses telephone numbers. Package adapters/phone implements it.
type PhoneParser interface {
	// ParsePhone parses a number as a user typed it, at most 64 bytes. The
	// region is the ISO 3166-1 alpha-2 code of the country to assume if the
	// number has no country code. It comes unchecked from the request. It is
	// empty if raw is an E164 that ParsePhone returned before. ParsePhone must
	// return an error unless raw is exactly one complete, valid number, and must
	// be safe for concurrent use.
	ParsePhone(raw, region string) (Phone, error)
}

// Format writes a placeholder, because the message may contain a link.
func (m Email) Format(f fmt.State, _ rune) { redact(f) }

// LogValue returns a placeholder.
func (m Email) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns an error, because the message may contain a link.
func (m Email) MarshalJSON() ([]byte, error) { return nil, errSecretMarshal }

// Format writes a placeholder, because the message may contain a code.
func (m TextMessage) Format(f fmt.State, _ rune) { redact(f) }

// LogValue returns a placeholder.
func (m TextMessage) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns an error, because the message may contain a code.
func (m TextMessage) MarshalJSON() ([]byte, error) { return nil, errSecretMarshal }

// deliver sends a message, if the number's allowance over all users and
// [Config.AllowSend] permit it.
func (m *Manager) deliver(ctx context.Context, out pendingMessage) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, sendTimeout)
		defer cancel()
	}
	if out.text != nil {
		if err := m.reserveNumberSend(ctx, out.number, out.budget); err != nil {
			return err
		}
	}
	if m.cfg.AllowSend != nil {
		s := SendRequest{User: out.user, Account: out.account, Method: EmailLink}
		if out.text != nil {
			s.Method, s.Country, s.Unconfirmed = SMS, out.number.Country, out.budget == budgetUnconfirmed
		}
		if err := recoverPanic(func() error { return m.cfg.AllowSend(ctx, s) }); err != nil {
			return unavailable("Config.AllowSend", err)
		}
	}
	err := recoverPanic(func() error {
		if out.text != nil {
			return m.cfg.SMS.Sender.SendSMS(ctx, *out.text)
		}
		return m.cfg.Mail.Mailer.SendMail(ctx, *out.email)
	})
	switch {
	case errors.Is(err, ErrUndeliverable):
		return err
	case err != nil:
		return unavailable("sending the message", err)
	}
	return nil
}

// recoverPanic calls a function of the host and turns a panic into an error.
func recoverPanic(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %T", errPanic, p) // the value itself may contain the message
		}
	}()
	return f()
}

// reserveNumberSend counts a text message against a budget of its number. The
// budget is shared by all users, because an attacker with many accounts could
// otherwise flood one phone.
func (m *Manager) reserveNumberSend(ctx context.Context, p Phone, b budget) error {
	key := "number/" + hex.EncodeToString(seal.KeyedHash(m.cfg.Keys.all()[0].Lookup, p.E164)) + string(b)
	return m.retryOnConflict(ctx, nil, func() error {
		var b numberRecord
		old, err := m.get(ctx, key, &b)
		if err != nil {
			return err
		}
		now := m.now()
		if wait := textAllowance.nextSendIn(b.Times, now); wait > 0 {
			return &lockedError{wait}
		}
		b.Times = append(recentTimes(b.Times, now, day), now)
		return m.write(ctx, key, old.Version, &b, nil)
	})
}

var errCaseURL = errors.New("must return an absolute https address (http on localhost only) with the token in it")

// cancelLink returns the address at which the user can end the case of an event,
// or an empty Secret. It has no secret but the right to end that one case.
func (m *Manager) cancelLink(e Event, u User) (Secret, error) {
	if e.Case == "" || m.cfg.Mail.CaseURL == nil || e.Type == event.Reset || e.Type == event.ResetCanceled {
		return Secret{}, nil
	}
	opened := unixTimeOf(e.Time) // of an approval, which is later: the case ends before the link
	token := m.cfg.Keys.sealTicket(ticket{purpose: forCase, id: e.Case, user: u.ID, expires: opened.add(caseTTL)})
	address := m.cfg.Mail.CaseURL(LinkRequest{Token: token, User: u})
	if !linkSafe(address, token.Reveal()) {
		return Secret{}, unavailable("Mail.CaseURL", errCaseURL)
	}
	return NewSecret(address), nil
}

// changeIn returns the change that an event of the type event.Policy reports.
func (m *Manager) changeIn(e Event) PolicyChange {
	if e.Type != event.Policy {
		return PolicyChange{}
	}
	read := func(encoded json.RawMessage) Policy {
		p := m.cfg.Policy.clone()
		if own := (Policy{}); string(encoded) != "null" && json.Unmarshal(encoded, &own) == nil {
			p = own
		}
		return p
	}
	return PolicyChange{read(e.Before), read(e.After)}
}

// audience is who is told of an event.
type audience struct {
	users []User
	about User // user that the event is about; zero if it is about an account
	admin User // admin who caused it, if the directory names them
}

// audienceOf returns the user that an event is about, with the kept addresses. If it
// is about an account, or one of tellsAdmins about a member, the admins are told as
// well, except the one who caused it.
func (m *Manager) audienceOf(ctx context.Context, e Event, kept []string) (to audience, err error) {
	if e.User != "" {
		to.about, err = m.find(ctx, e.User)
		to.about.ID = e.User // even if the directory does not answer
		told := to.about
		told.Emails = distinct(told.Emails, kept)
		to.users = append(to.users, told)
		if !tellsAdmins[e.Type] {
			return to, err
		}
	}
	accounts := []string{e.Account}
	if e.Case != "" { // it is in no account
		accounts = nil
	}
	if e.Case != "" || e.Type == event.Lost || e.Type == event.LostCleared { // a reset or a device concerns all accounts
		for _, member := range to.about.Members {
			accounts = append(accounts, member.Account)
		}
	}
	for _, account := range distinct(accounts, nil) {
		admins, failed := m.adminsOf(ctx, account)
		err = errors.Join(err, failed)
		for _, u := range admins {
			switch {
			case e.Actor.Kind == actorUser && u.ID == e.Actor.ID:
				to.admin = u
			case u.ID != e.User && !slices.ContainsFunc(to.users, func(o User) bool { return o.ID == u.ID }):
				to.users = append(to.users, u)
			}
		}
	}
	return to, err
}

// tellsAdmins are the events about a user that the admins are told of, because an
// attacker who is about to take over the user may read the user's mail.
var tellsAdmins = map[string]bool{event.Reset: true, event.Lost: true, event.LostCleared: true,
	event.ResetRequested: true, event.ResetApproved: true, event.ResetConfirmed: true, event.ResetCanceled: true}

// distinct returns the elements of both lists, each once, in their order.
func distinct(list, more []string) (all []string) {
	for _, x := range slices.Concat(list, more) {
		if !slices.Contains(all, x) {
			all = append(all, x)
		}
	}
	return all
}

// adminsOf returns the admins of an account who are not disabled, in the order of
// their IDs, if the directory knows them.
func (m *Manager) adminsOf(ctx context.Context, account string) ([]User, error) {
	lister, ok := m.adminLister()
	if !ok {
		return nil, nil
	}
	ids, err := lister.Admins(ctx, account)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	admins, err := m.membersOf(ctx, account, slices.Compact(slices.Sorted(slices.Values(ids)))...)
	admins = slices.DeleteFunc(admins, func(u User) bool { return u.Disabled || u.roleIn(account) == RoleMember })
	slices.SortFunc(admins, func(u, v User) int { return strings.Compare(u.ID, v.ID) })
	return slices.CompactFunc(admins, func(u, v User) bool { return u.ID == v.ID }), err
}

func (m *Manager) adminLister() (AdminLister, bool) {
	lister, ok := m.cfg.Directory.(AdminLister)
	return lister, ok
}

// destination parses a number and refuses one that no text message may be sent
// to.
func (c *Config) destination(raw, region string) (Phone, error) {
	if c.SMS.Sender == nil || c.SMS.Phone == nil {
		return Phone{}, unavailable("Config.SMS", errNoSender)
	}
	p, problem := c.parsePhone(raw, region)
	if problem != "" {
		return Phone{}, ErrNotAllowed
	}
	return p, nil
}

// parsePhone parses a number, and says why no text message may be sent to it.
func (c *Config) parsePhone(raw, region string) (Phone, PhoneProblem) {
	if len(raw) > 64 {
		return Phone{}, PhoneMalformed
	}
	p, err := c.SMS.Phone.ParsePhone(raw, region)
	switch {
	case err != nil || !text.IsE164(p.E164):
		return Phone{}, PhoneMalformed
	case !slices.Contains(c.SMS.Countries, p.Country):
		return Phone{}, PhoneCountry
	case !p.Mobile:
		return Phone{}, PhoneNotMobile
	}
	return p, ""
}
