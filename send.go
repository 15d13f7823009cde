package twofa

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
)

// sent is a link or a texted code that left, or may have left. What it takes
// to use it is in the challenge that was made for it.
type sent struct {
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

// wait returns how long the next send has to wait, given when the earlier ones
// were claimed, oldest first.
func (a allowance) wait(times []int64, now int64) time.Duration {
	var until int64
	times, lastHour := within(times, now, day), within(times, now, hour)
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

// within returns the times not older than span. Those as far ahead come from a
// clock that was wrong, and would stop all sending until then.
func within(times []int64, now, span int64) []int64 {
	return slices.DeleteFunc(slices.Clone(times), func(t int64) bool { return max(now-t, t-now) >= span })
}

// claimSend takes one send out of the user's allowance in a bucket. It is never
// given back: a gateway that failed may have sent all the same.
func (s *state) claimSend(m Method, name string) error {
	a, now := mailAllowance, s.now.Unix()
	if m == SMS {
		a = textAllowance
	}
	if wait := a.wait(s.Sends[name], now); wait > 0 {
		return &lockedError{wait}
	}
	if s.Sends == nil {
		s.Sends = map[string][]int64{}
	}
	s.Sends[name] = append(within(s.Sends[name], now, day), now)
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
	t, u, err := m.resume(ctx, c, ch, forLogin, forAction)
	if err != nil {
		return Result{}, err
	}
	var out outgoing
	var login Result
	err = m.decide(ctx, c, t.user, t.account, func(s *state) error {
		offered, err := s.pending(u, t)
		if err != nil {
			return err
		}
		if !slices.Contains(offered, method) || (method != EmailLink && method != SMS) {
			return ErrNotAllowed
		}
		known := s.known() != nil
		if err := s.open(method, known); err != nil { // it could not be used
			return err
		}
		if err := s.claimSend(method, bucket(method, known)); err != nil {
			return err
		}
		t.expires = s.now.Add(challengeTTL).Unix() // what is sent late is good for as long
		if out, err = s.prepare(u, &t, method); err != nil {
			s.dirty = false
			return err
		}
		s.event(Event{Type: event.Sent, Method: method, Session: t.sid, Detail: out.mask})
		login = Result{Next: NextChallenge, Methods: offered, Challenge: Challenge{m.cfg.Keys.sealTicket(t)}, Sent: out.mask}
		return nil
	})
	if err == nil {
		err = m.deliver(ctx, out)
	}
	return loginOrError(login, err)
}

// outgoing is a message that was claimed and has not left yet.
type outgoing struct {
	user    string
	account string
	mask    string
	email   *Email
	text    *TextMessage
	number  Phone
	budget  budget // of the number
}

// prepare makes the secret of what is sent and ties it to the ticket. Of links
// only the newest of each browser is good; of texts only the newest, apart in
// known browsers, so that a stranger cannot void the owner's.
func (s *state) prepare(u User, t *ticket, method Method) (outgoing, error) {
	x := sent{ID: newID(), Method: method, Bucket: bucket(method, s.known() != nil), Browser: t.browser, Attempt: t.id}
	t.sent, t.sentBy = x.ID, method
	var out outgoing
	var err error
	if method == SMS {
		out, err = s.prepareText(t, &x)
	} else {
		out = s.prepareLink(u, &x)
	}
	if err != nil {
		return out, err
	}
	s.Sent = slices.DeleteFunc(s.Sent, func(o sent) bool {
		return o.Bucket == x.Bucket && method == SMS || o.Method == method && (o.Attempt == x.Attempt || (o.Browser != "" && o.Browser == x.Browser))
	})
	s.Sent = append(s.Sent, x)
	out.user, out.account, out.mask = s.user, s.account, x.Mask
	return out, nil
}

// deliver hands a message over, after the budgets that stand over all users.
func (m *Manager) deliver(ctx context.Context, out outgoing) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, sendTimeout)
		defer cancel()
	}
	if out.text != nil {
		if err := m.claimNumber(ctx, out.number, out.budget); err != nil {
			return err
		}
	}
	if m.cfg.AllowSend != nil {
		s := SendRequest{User: out.user, Account: out.account, Method: EmailLink}
		if out.text != nil {
			s.Method, s.Country, s.Unconfirmed = SMS, out.number.Country, out.budget == budgetUnconfirmed
		}
		if err := guarded(func() error { return m.cfg.AllowSend(ctx, s) }); err != nil {
			return unavailable("AllowSend", err)
		}
	}
	err := guarded(func() error {
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

// guarded turns a panic of the host's code into an error.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %T", errPanic, p) // the value may hold the message
		}
	}()
	return f()
}

// liveSent returns what was sent for a ticket, if it is still good.
func (s *state) liveSent(t ticket, m Method) *sent {
	for i := range s.Sent {
		if x := &s.Sent[i]; t.sent != "" && x.ID == t.sent && x.Method == m && s.now.Unix() < x.Expires {
			return x
		}
	}
	return nil
}

func (s *state) sentTo(t ticket) string {
	if x := s.liveSent(t, t.sentBy); x != nil {
		return x.Mask
	}
	return ""
}

// voidSent makes what was sent in a bucket worthless.
func (s *state) voidSent(bucket string) {
	s.Sent = slices.DeleteFunc(s.Sent, func(x sent) bool { return x.Bucket == bucket })
}

// useSent takes away what has done its work.
func (s *state) useSent(id string) {
	s.Sent = slices.DeleteFunc(s.Sent, func(x sent) bool { return x.ID == id })
}

var errNoSender = errors.New("twofa: no sender is configured")
