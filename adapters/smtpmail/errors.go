package smtpmail

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"

	"github.com/wneessen/go-mail/smtp"
)

// Error reports the step of the SMTP conversation at which a message could not be
// delivered to the server. Its text is safe to log. Servers quote addresses, links
// and failed logins in their replies, so the text contains only the code of a
// reply. The whole reply is in the error chain, as a [*textproto.Error].
//
// If Step is DATA and Code is 0, the outcome is unknown: the server may have
// accepted the message. If the context or Config.Timeout ended the attempt,
// [errors.Is] reports [context.DeadlineExceeded] or [context.Canceled].
type Error struct {
	// Step is connect, greeting (including the TLS handshake with ImplicitTLS),
	// EHLO, STARTTLS (including the handshake), AUTH, MAIL, RCPT or DATA.
	Step string
	// Code is the SMTP code of the server's reply, usually 4xx for a temporary
	// and 5xx for a permanent refusal. It is 0 if there was no valid reply, or if
	// the Mailer gave up because the server does not offer what it needs.
	Code int

	err error
}

func failure(ctx context.Context, step string, err error) error {
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		return &Error{step, answer.Code, err}
	}
	if ended := ctx.Err(); ended != nil {
		err = ended // err is only the effect: a closed connection
	}
	return &Error{step, 0, err}
}

// Error returns the step, and either the code of the reply or the cause. It never
// quotes the server's reply.
func (e *Error) Error() string {
	_, garbled := errors.AsType[textproto.ProtocolError](e.err) // its text quotes the reply
	switch {
	case e.Code != 0:
		return fmt.Sprintf("smtpmail: %s: the server replied with code %d", e.Step, e.Code)
	case garbled || errors.Is(e.err, smtp.ErrUnexpectedServerResponse):
		return fmt.Sprintf("smtpmail: %s: the server's reply is not valid SMTP", e.Step)
	}
	return fmt.Sprintf("smtpmail: %s: %v", e.Step, e.err)
}

// Unwrap returns the cause. Do not log its text: it may be the server's reply, and
// quote an address, a link or a login.
func (e *Error) Unwrap() error { return e.err }
