package twofa

import (
	"context"
	"errors"
	"slices"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
)

// reserveUserSend counts one message against the user's allowance in a bucket.
// It is refunded only by giveBack, because a gateway that returned another error
// may have sent the message.
func (s *userTx) reserveUserSend(m Method, name string) error {
	if m == SMS {
		return s.reserve(textAllowance, name)
	}
	return s.reserve(mailAllowance, name)
}

// reserve counts one use of an allowance in a bucket.
func (s *userTx) reserve(a allowance, name string) error {
	now := s.now
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

// giveBack undoes reserve for a message that can never arrive, at most twice a
// day, so that a user who mistyped a number need not wait.
func (s *userTx) giveBack(name string) {
	sent := s.SendTimes[name]
	sent.Returned = recentTimes(sent.Returned, s.now, day)
	if len(sent.Returned) < maxReturned && len(sent.Times) > 0 {
		sent.Times = sent.Times[:len(sent.Times)-1]
		sent.Returned = append(sent.Returned, s.now)
		s.SendTimes[name] = sent
	}
}

// Send sends a link ([EmailLink]) or a code ([SMS]) for a challenge that
// accepts the method. [Result.Challenge] is a new challenge. Use it instead of
// ch, because ch does not accept the link or code. A link is valid for
// [Lifetimes.Link] and a code for 5 minutes. Once the new one has been handed to
// the [Mailer] or [SMSSender], the one before is no longer valid. If that fails,
// the one before remains valid, with the challenge that came with it.
//
// The message is counted against the user's limits before it is sent. It is
// given back only if it can never arrive ([ErrUndeliverable]), at most twice a
// day.
//
// Send returns:
//
//   - [ErrLocked] if SMS is locked or disabled, or if too many messages were
//     sent to the user or the number. See [RetryAfter].
//   - [ErrExpired] if the challenge is used up, expired, from another browser
//     or no longer needed, or if the user's credentials have changed.
//   - [ErrNotAllowed] if the challenge does not accept the method, if the
//     method is neither EmailLink nor SMS, if the number is not one that
//     [SMSConfig] allows, or if the user is disabled or no longer a member of
//     the account.
//   - [ErrUndeliverable] if the number or address cannot receive messages.
//   - a [*DeniedError] if the user no longer has any method that the step-up
//     accepts.
//   - [ErrUnavailable] if a record, the policy or the directory cannot be read
//     or written, if [Config.AllowSend] refuses, or if the message was not
//     accepted for delivery.
func (m *Manager) Send(ctx context.Context, c Client, ch Challenge, method Method) (Result, error) {
	from, err := m.openChallenge(c, ch, forLogin, forAction)
	if err != nil {
		return Result{}, err
	}
	var out pendingMessage
	var login Result
	err = m.updateUser(ctx, c, from, func(s *userTx, u User) error {
		t := from // each round starts again
		offered, err := s.offeredMethods(u, t)
		if err != nil {
			return err
		}
		if !slices.Contains(offered, method) || (method != EmailLink && method != SMS) {
			return ErrNotAllowed
		}
		name, known := s.bucketOf(method)
		if err := s.checkThrottle(method, name, known); err != nil && method == SMS {
			return err // the code could not be used; a link can, and leaves without a code
		}
		if err := s.reserveUserSend(method, name); err != nil {
			return err
		}
		t.expires = s.now.add(m.cfg.lifetime(t.purpose)) // long enough to use the link or code
		if out, err = s.newMessage(u, &t, method); err != nil {
			return err
		}
		s.emit(Event{Type: event.Sent, Method: method, Session: t.sessionID, Detail: out.mask})
		login = Result{Next: NextChallenge, Methods: offered, Challenge: Challenge{m.cfg.Keys.sealTicket(t)}, Sent: out.mask}
		return nil
	})
	if err == nil {
		err = m.handOver(ctx, c, out)
	}
	return resultOrError(login, err)
}

// handOver delivers a link or code. Only then does it void those that it
// replaces, so that a failure does not take away one that has arrived.
func (m *Manager) handOver(ctx context.Context, c Client, out pendingMessage) error {
	failed := m.deliver(ctx, out)
	if failed != nil && !errors.Is(failed, ErrUndeliverable) {
		return failed
	}
	ctx, cancel := uncancelable(ctx)
	defer cancel()
	err := m.update(ctx, c, out.user, noPolicy, func(s *userTx) error {
		i := slices.IndexFunc(s.Messages, func(x message) bool { return x.ID == out.id })
		switch {
		case i < 0:
			return errUnchanged // used or voided already
		case failed != nil:
			s.giveBack(out.bucket)
			s.useMessage(out.id)
			return nil
		}
		before := len(s.Messages)
		s.voidReplaced(s.Messages[i])
		if len(s.Messages) == before {
			return errUnchanged
		}
		return nil
	})
	if err != nil { // both are valid until they expire
		m.cfg.Logger.WarnContext(ctx, "twofa: link or code was sent, but its predecessor is still valid", "user", out.user, "error", err)
	}
	return failed
}

// voidReplaced removes the messages that one replaces. For links, these are
// earlier ones for the same challenge or browser. For codes, they are earlier
// ones in the same bucket, so that an attacker in an unknown browser cannot
// revoke the owner's code.
func (s *userTx) voidReplaced(x message) {
	s.Messages = slices.DeleteFunc(s.Messages, func(o message) bool {
		return o.ID != x.ID && (o.Bucket == x.Bucket && x.Method == SMS ||
			o.Method == x.Method && (o.Attempt == x.Attempt || (o.Browser != "" && o.Browser == x.Browser)))
	})
}

// newMessage creates a link or code that only the ticket can use.
func (s *userTx) newMessage(u User, t *ticket, method Method) (pendingMessage, error) {
	name, _ := s.bucketOf(method)
	x := message{ID: seal.NewID(), Method: method, Bucket: name, Browser: t.browser, Attempt: t.id, SessionID: t.sessionID}
	t.messageID, t.messageMethod = x.ID, method
	var out pendingMessage
	var err error
	if method == SMS {
		out, err = s.newText(u, t, &x)
	} else {
		out, err = s.newLink(u, t, &x)
	}
	if err != nil {
		return out, err
	}
	return s.addMessage(x, out), nil
}

// addMessage keeps a message beside those that it will replace.
func (s *userTx) addMessage(x message, out pendingMessage) pendingMessage {
	s.Messages = append(s.Messages, x)
	out.user, out.account, out.mask, out.id, out.bucket = s.user, s.account, x.Mask, x.ID, x.Bucket
	return out
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
	id      string // of the link or code; empty for a notice
	bucket  string // in which it was counted
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

// message is a link or a code that was sent, or may have been. Using it takes
// the challenge that was issued with it.
type message struct {
	seal.Unknown
	ID        string
	Method    Method
	Bucket    string // failures in it, and newer messages, void the message
	Hash      string // of the token of a link, or of the code of a text message
	To        string // digest of the address or number that it went to
	Mask      string // masked address or number
	Browser   string // hash of the token of the browser that asked
	Attempt   string // ID of the challenge that it was sent for
	SessionID string // ID of the session that it was sent for or would start
	Tries     int
	Expires   unixTime
	Code      string // hash of the code in the mail with a link; empty if there is none
}

func (m *message) Fields(c *seal.Codec) {
	seal.Text(c, 4, &m.ID)
	seal.Text(c, 8, &m.Method)
	seal.Text(c, 12, &m.Bucket)
	seal.Text(c, 16, &m.Hash)
	seal.Text(c, 20, &m.To)
	seal.Text(c, 24, &m.Mask)
	seal.Text(c, 28, &m.Browser)
	seal.Text(c, 32, &m.Attempt)
	seal.Int(c, 36, &m.Tries)
	seal.Int(c, 40, &m.Expires)
	seal.Text(c, 44, &m.SessionID)
	seal.Text(c, 48, &m.Code)
}

// sendTimes is when messages were sent, oldest first.
type sendTimes struct {
	seal.Unknown
	Times    []unixTime
	Returned []unixTime // when a message that can never arrive was given back
}

func (s *sendTimes) Fields(c *seal.Codec) {
	seal.Ints(c, 4, &s.Times)
	seal.Ints(c, 8, &s.Returned)
}

// numberRecord is all messages to one phone number, over all users, under
// "number/<keyed hash of the number>".
type numberRecord struct{ sendTimes }

func (n *numberRecord) problem() string { return "" }

// counts reports whether the record still limits anything.
func (n *numberRecord) counts(now unixTime) bool {
	return len(recentTimes(n.Times, now, day)) > 0 || len(recentTimes(n.Returned, now, day)) > 0 || !n.IsEmpty()
}
