package smtpmail

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"slices"

	"github.com/wneessen/go-mail/smtp"

	"github.com/twofa-go/twofa"
)

// Error reports the step of the SMTP conversation at which a message could not be
// delivered to the server. Its text is safe to log. Servers quote addresses, links
// and failed logins in their replies, so the text contains only the codes of a
// reply. The whole reply is in the error chain, as a [*textproto.Error].
//
// [errors.Is] reports [twofa.ErrUndeliverable] if Step is RCPT or DATA and Status
// says that the recipient's mailbox or domain does not exist or accepts no mail. A
// refusal for another reason, such as a policy, the content, a full mailbox or a
// limit, is not one, because correcting the address would not help. Neither is a
// reply without a Status, because 550 alone may mean either.
//
// If Step is DATA and Code is 0, the outcome is unknown: the server may have
// accepted the message. If the context or Config.Timeout ended the attempt,
// [errors.Is] reports [context.DeadlineExceeded] or [context.Canceled].
type Error struct {
	// Step is connect, greeting (including the TLS handshake with ImplicitTLS),
	// EHLO, STARTTLS (including the handshake), AUTH, MAIL, RCPT or DATA.
	Step string
	// Code is the SMTP code of the server's reply: 400 to 499 for a temporary
	// refusal, which may succeed later, and 500 to 599 for a permanent one. It is
	// 0 if there was no valid reply, or if the Mailer gave up because the server
	// does not offer what it needs.
	Code int
	// Status is the enhanced status code of the reply (RFC 3463), such as 5.1.1.
	// It is empty if the reply has none.
	Status string

	err error
}

// enhanced matches the enhanced status code at the beginning of a reply (RFC 2034).
var enhanced = regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}\b`)

func failure(ctx context.Context, step string, err error) error {
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		return &Error{step, answer.Code, enhanced.FindString(answer.Msg), err}
	}
	if ended := ctx.Err(); ended != nil {
		err = ended // err is only the effect: a closed connection
	}
	return &Error{step, 0, "", err}
}

// noMailbox are the codes of RFC 3463, section 3.2, and of RFC 7505 for a mailbox or
// domain that does not exist or accepts no mail.
var noMailbox = []string{"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"}

// Is reports whether target is [twofa.ErrUndeliverable] and e is a permanent refusal
// of the recipient.
func (e *Error) Is(target error) bool {
	return target == twofa.ErrUndeliverable && e.Code/100 == 5 && slices.Contains(noMailbox, e.Status) &&
		(e.Step == "RCPT" || e.Step == "DATA")
}

// Error returns the step, and either the codes of the reply or the cause. It never
// quotes the server's reply. If the server refuses the login, it says what to check.
func (e *Error) Error() string {
	_, garbled := errors.AsType[textproto.ProtocolError](e.err) // its text quotes the reply
	login, _ := errors.AsType[*loginError](e.err)
	switch {
	case e.Code != 0:
		text := fmt.Sprintf("smtpmail: %s: the server replied with code %d", e.Step, e.Code)
		if e.Status != "" {
			text += " " + e.Status
		}
		if login != nil && e.Code >= 530 { // lower ones are about the protocol, 4xx may succeed later
			text += "; " + login.check
		}
		return text
	case garbled || errors.Is(e.err, smtp.ErrUnexpectedServerResponse):
		return fmt.Sprintf("smtpmail: %s: the server's reply is not valid SMTP", e.Step)
	}
	return fmt.Sprintf("smtpmail: %s: %v", e.Step, e.err)
}

// Unwrap returns the cause. Do not log its text: it may be the server's reply, and
// quote an address, a link or a login.
func (e *Error) Unwrap() error { return e.err }

// loginError is an error of AUTH, with the fields to check if the login was
// refused.
type loginError struct {
	error
	check string
}

func (e *loginError) Unwrap() error { return e.error }
