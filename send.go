package twofa

import (
	"context"
	"slices"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
)

// reserveUserSend takes one send out of the user's allowance in a bucket. It is never
// given back: a gateway that failed may have sent all the same.
func (s *userTx) reserveUserSend(m Method, name string) error {
	a, now := mailAllowance, s.now
	if m == SMS {
		a = textAllowance
	}
	if wait := a.nextSendIn(s.SendTimes[name], now); wait > 0 {
		return &lockedError{wait}
	}
	if s.SendTimes == nil {
		s.SendTimes = map[string][]unixTime{}
	}
	s.SendTimes[name] = append(recentTimes(s.SendTimes[name], now, day), now)
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
		t.expires = s.now.add(challengeTTL) // what is sent late is good for as long
		if out, err = s.newMessage(u, &t, method); err != nil {
			return err
		}
		s.emit(Event{Type: event.Sent, Method: method, Session: t.sessionID, Detail: out.mask})
		login = Result{Next: NextChallenge, Methods: offered, Challenge: Challenge{m.cfg.Keys.sealTicket(t)}, Sent: out.mask}
		return nil
	})
	if err == nil {
		err = m.deliver(ctx, out)
	}
	return resultOrError(login, err)
}

// newMessage makes the secret of what is sent and ties it to the ticket. Of links
// only the newest of each browser is good; of texts only the newest, apart in
// known browsers, so that a stranger cannot void the owner's.
func (s *userTx) newMessage(u User, t *ticket, method Method) (pendingMessage, error) {
	x := message{ID: seal.NewID(), Method: method, Bucket: bucket(method, s.knownBrowser() != nil), Browser: t.browser, Attempt: t.id}
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

// SendRequest is what [Config.AllowSend] is asked about.
type SendRequest struct {
	User        string
	Account     string
	Method      Method
	Country     string // of the number, ISO 3166-1 alpha-2
	Unconfirmed bool   // the number is not confirmed yet
}
