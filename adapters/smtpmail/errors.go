package smtpmail

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"

	"github.com/wneessen/go-mail/smtp"
)

// Error says at which step the server did not take a message, or was no longer
// there to say so. Its text is safe to log: servers quote addresses, links and
// failed logins in their answers, so of an answer it holds the code only. The
// whole answer is in the chain, as a [*textproto.Error].
//
// At the step DATA without a Code the outcome is unknown: the message may have
// been taken. [errors.Is] finds [context.DeadlineExceeded] or
// [context.Canceled] where that ended the attempt.
type Error struct {
	// Step is connect, greeting (with ImplicitTLS the handshake too), EHLO,
	// STARTTLS (offer and handshake), AUTH, MAIL, RCPT or DATA.
	Step string
	// Code is what the server answered, 4xx for "not now" and 5xx for "no"; 0
	// if it did not answer.
	Code int

	err error
}

func failure(ctx context.Context, step string, err error) error {
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		return &Error{step, answer.Code, err}
	}
	if ended := ctx.Err(); ended != nil {
		err = ended // the cause, where err is its effect: a closed connection
	}
	return &Error{step, 0, err}
}

// Error returns one line that holds nothing secret.
func (e *Error) Error() string {
	_, garbled := errors.AsType[textproto.ProtocolError](e.err) // quotes the answer
	switch {
	case e.Code != 0:
		return fmt.Sprintf("smtpmail: %s: the server answered %d", e.Step, e.Code)
	case garbled || errors.Is(e.err, smtp.ErrUnexpectedServerResponse):
		return fmt.Sprintf("smtpmail: %s: the server's answer is not SMTP", e.Step)
	}
	return fmt.Sprintf("smtpmail: %s: %v", e.Step, e.err)
}

// Unwrap returns the cause. Its text is the server's: see [Error].
func (e *Error) Unwrap() error { return e.err }
