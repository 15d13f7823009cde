package twofa

import (
	"context"
	"slices"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
)

// reserveUserSend counts one message against the user's allowance in a bucket.
// It is never refunded, because a gateway that returned an error may have sent
// the message.
func (s *userTx) reserveUserSend(m Method, name string) error {
	a, now := mailAllowance, s.now
	if m == SMS {
		a = textAllowance
	}
	sent := s.SendTimes[name]
	if wait := a.nextSendIn(sent.Times, now); wait > 0 {
		return &lockedError{wait}
	}
	if s.SendTimes == nil {
		s.SendTimes = map[string]sendTimes{}
	}
	sent.Times = append(recentTimes(sent.Times, now, day), now)
	s.SendTimes[name] = sent
	return nil
}

// Send sends a link ([EmailLink]) or a code ([SMS]) for a challenge that
// accepts the method. [Result.Challenge] is a new challenge. Use it instead of
// ch, because ch does not accept the link or code. A link is valid for 10
// minutes and a code for 5. A new link or code replaces the previous one.
//
// The message is counted against the user's limits before it is sent and is
// never refunded. If it cannot be handed to the [Mailer] or [SMSSender], its
// link or code is not valid, and neither is the one that it replaced.
//
// Send returns:
//
//   - [ErrLocked] if the method is locked or disabled, or if too many messages
//     were sent to the user or the number. See [RetryAfter].
//   - [ErrExpired] if the challenge is used up, expired, from another browser
//     or no longer needed, or if the user's credentials have changed.
//   - [ErrNotAllowed] if the challenge does not accept the method, if the
//     method is neither EmailLink nor SMS, if the number is not one that
//     [SMSConfig] allows, or if the user is disabled or no longer a member of
//     the account.
//   - a [*DeniedError] if the user no longer has any method that the step-up
//     accepts.
//   - [ErrUnavailable] if a record, the policy or the directory cannot be read
//     or written, if [Config.AllowSend] refuses, or if the message was not
//     accepted for delivery.
func (m *Manager) Send(ctx context.Context, c Client, ch Challenge, method Method) (Result, error) {
	t, err := m.openChallenge(c, ch, forLogin, forAction)
	if err != nil {
		return Result{}, err
	}
	var out pendingMessage
	var login Result
	err = m.updateUser(ctx, c, t, func(s *userTx, u User) error {
		t := t // a round that is repeated starts again
		offered, err := s.offeredMethods(u, t)
		if err != nil {
			return err
		}
		if !slices.Contains(offered, method) || (method != EmailLink && method != SMS) {
			return ErrNotAllowed
		}
		if err := s.checkThrottle(method); err != nil {
			return err // the link or code could not be used
		}
		name, _ := s.bucketOf(method)
		if err := s.reserveUserSend(method, name); err != nil {
			return err
		}
		t.expires = s.now.add(challengeTTL) // long enough to use the link or code
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

// newMessage creates a link or code that only the ticket can use, and removes
// the messages that it replaces. For links, these are earlier ones for the same
// challenge or browser. For codes, they are earlier ones in the same bucket, so
// that an attacker in an unknown browser cannot revoke the owner's code.
func (s *userTx) newMessage(u User, t *ticket, method Method) (pendingMessage, error) {
	name, _ := s.bucketOf(method)
	x := message{ID: seal.NewID(), Method: method, Bucket: name, Browser: t.browser, Attempt: t.id, SessionID: t.sessionID}
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

// SendRequest is the input of [Config.AllowSend]: a message that is about to be
// sent.
type SendRequest struct {
	User    string // ID of the user
	Account string // ID of the account of the request; may be empty
	Method  Method // EmailLink, or SMS for any text message
	// Country is the country of the phone number, as an ISO 3166-1 alpha-2 code.
	// It is empty for EmailLink.
	Country string
	// Unconfirmed is true if the user has not confirmed the phone number yet.
	// Toll fraud uses such numbers.
	Unconfirmed bool
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
