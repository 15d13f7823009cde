package twofa

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
)

// message is a link or a texted code that left, or may have left. What it takes
// to use it is in the challenge that was made for it.
type message struct {
	ID      string
	Method  Method
	Bucket  string // whose failures and newer messages void it; see bucket
	Hash    string // of the token or code
	To      string // digest of the address or number it went to
	Mask    string // what of it is shown
	Browser string
	Attempt string // id of the challenge it was sent for
	Tries   int
	Expires int64
}

const (
	maxSent      = 12
	linkTTL      = 10 * time.Minute
	textTTL      = 5 * time.Minute
	maxTextTries = 5
	sendTimeout  = 20 * time.Second // where the context has no deadline of its own
	hour         = 60 * 60
)

// allowance is how often something may be sent.
type allowance struct {
	coolDown        []int64 // seconds to wait after the 1st, 2nd, … within the hour; the last holds from there on
	perHour, perDay int
}

var (
	mailAllowance = allowance{[]int64{60}, 5, 20}
	textAllowance = allowance{[]int64{60, 120, 300}, 5, 10}
)

// nextSendIn returns how long the next send has to wait, given when the earlier ones
// were claimed, oldest first.
func (a allowance) nextSendIn(times []int64, now int64) time.Duration {
	var until int64
	times, lastHour := recentTimes(times, now, day), recentTimes(times, now, hour)
	if n := len(lastHour); n > 0 {
		until = lastHour[n-1] + a.coolDown[min(n, len(a.coolDown))-1]
	}
	if n := len(lastHour); n >= a.perHour {
		until = max(until, lastHour[n-a.perHour]+hour)
	}
	if n := len(times); n >= a.perDay {
		until = max(until, times[n-a.perDay]+day)
	}
	return time.Duration(max(0, min(until-now, day))) * time.Second
}

// recentTimes returns the times not older than span. Those as far ahead come from a
// clock that was wrong, and would stop all sending until then.
func recentTimes(times []int64, now, span int64) []int64 {
	return slices.DeleteFunc(slices.Clone(times), func(t int64) bool { return max(now-t, t-now) >= span })
}

// reserveUserSend takes one send out of the user's allowance in a bucket. It is never
// given back: a gateway that failed may have sent all the same.
func (s *userTx) reserveUserSend(m Method, name string) error {
	a, now := mailAllowance, s.now.Unix()
	if m == SMS {
		a = textAllowance
	}
	if wait := a.nextSendIn(s.SendTimes[name], now); wait > 0 {
		return &lockedError{wait}
	}
	if s.SendTimes == nil {
		s.SendTimes = map[string][]int64{}
	}
	s.SendTimes[name] = append(recentTimes(s.SendTimes[name], now, day), now)
	s.dirty = true
	return nil
}

// Send sends a link (EmailLink) or a code (SMS) for a challenge that offers
// it. The result holds a new challenge, which alone can use what was sent, and
// replaces the old one. The claim is written before anything leaves, is never
// refunded, and what could not be handed over is worth nothing.
//
// Errors: [ErrLocked] while the method is locked or sent too often, see
// [RetryAfter]; [ErrExpired]; [ErrNotAllowed]; [ErrUnavailable].
func (m *Manager) Send(ctx context.Context, c Client, ch Challenge, method Method) (Result, error) {
	t, u, err := m.openChallenge(ctx, c, ch, forLogin, forAction)
	if err != nil {
		return Result{}, err
	}
	var out pendingMessage
	var login Result
	err = m.update(ctx, c, t.user, t.account, func(s *userTx) error {
		offered, err := s.offeredMethods(u, t)
		if err != nil {
			return err
		}
		if !slices.Contains(offered, method) || (method != EmailLink && method != SMS) {
			return ErrNotAllowed
		}
		known := s.knownBrowser() != nil
		if err := s.checkThrottle(method, known); err != nil { // it could not be used
			return err
		}
		if err := s.reserveUserSend(method, bucket(method, known)); err != nil {
			return err
		}
		t.expires = s.now.Add(challengeTTL).Unix() // what is sent late is good for as long
		if out, err = s.newMessage(u, &t, method); err != nil {
			s.dirty = false
			return err
		}
		s.emit(Event{Type: event.Sent, Method: method, Session: t.sessionID, Detail: out.mask})
		login = Result{Next: NextChallenge, Methods: offered, Challenge: Challenge{m.cfg.Keys.sealTicket(t)}, Sent: out.mask}
		return nil
	})
	if err == nil {
		err = m.deliver(ctx, out)
	}
	return loginOrError(login, err)
}

// pendingMessage is a message that was claimed and has not left yet.
type pendingMessage struct {
	user    string
	account string
	mask    string
	email   *Email
	text    *TextMessage
	number  Phone
	budget  budget // of the number
}

// newMessage makes the secret of what is sent and ties it to the ticket. Of links
// only the newest of each browser is good; of texts only the newest, apart in
// known browsers, so that a stranger cannot void the owner's.
func (s *userTx) newMessage(u User, t *ticket, method Method) (pendingMessage, error) {
	x := message{ID: newID(), Method: method, Bucket: bucket(method, s.knownBrowser() != nil), Browser: t.browser, Attempt: t.id}
	t.messageID, t.messageMethod = x.ID, method
	var out pendingMessage
	var err error
	if method == SMS {
		out, err = s.newText(t, &x)
	} else {
		out = s.newLink(u, &x)
	}
	if err != nil {
		return out, err
	}
	s.Messages = slices.DeleteFunc(s.Messages, func(o message) bool {
		return o.Bucket == x.Bucket && method == SMS || o.Method == method && (o.Attempt == x.Attempt || (o.Browser != "" && o.Browser == x.Browser))
	})
	s.Messages = append(s.Messages, x)
	out.user, out.account, out.mask = s.user, s.account, x.Mask
	return out, nil
}

// deliver hands a message over, after the budgets that stand over all users.
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
			return unavailable("AllowSend", err)
		}
	}
	err := recoverPanic(func() error {
		if out.text != nil {
			return m.cfg.SMS.Sender.SendSMS(ctx, *out.text)
		}
		return m.cfg.Mail.Mailer.SendMail(ctx, *out.email)
	})
	if err != nil {
		return unavailable("sending", err)
	}
	return nil
}

// SendRequest is what [Config.AllowSend] is asked about.
type SendRequest struct {
	User        string
	Account     string
	Method      Method
	Country     string // of the number, ISO 3166-1 alpha-2
	Unconfirmed bool   // the number is not confirmed yet
}

// recoverPanic turns a panic of the host's code into an error.
func recoverPanic(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %T", errPanic, p) // the value may hold the message
		}
	}()
	return f()
}

// currentMessage returns what was sent for a ticket, if it is still good.
func (s *userTx) currentMessage(t ticket, m Method) *message {
	for i := range s.Messages {
		if x := &s.Messages[i]; t.messageID != "" && x.ID == t.messageID && x.Method == m && s.now.Unix() < x.Expires {
			return x
		}
	}
	return nil
}

func (s *userTx) sentTo(t ticket) string {
	if x := s.currentMessage(t, t.messageMethod); x != nil {
		return x.Mask
	}
	return ""
}

// voidMessages makes what was sent in a bucket worthless.
func (s *userTx) voidMessages(bucket string) {
	s.Messages = slices.DeleteFunc(s.Messages, func(x message) bool { return x.Bucket == bucket })
}

// useMessage takes away what has done its work.
func (s *userTx) useMessage(id string) {
	s.Messages = slices.DeleteFunc(s.Messages, func(x message) bool { return x.ID == id })
}

var errNoSender = errors.New("twofa: no sender is configured")
