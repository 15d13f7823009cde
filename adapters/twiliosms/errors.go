package twiliosms

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Error is an answer of the gateway that is not acceptance.
type Error struct {
	Status int // of HTTP
	// Code is the gateway's own, 0 if it gave none. What it means stands at
	// https://www.twilio.com/docs/errors/ and the code.
	Code int
	// Message is the gateway's text, cut to 200 characters. It tends to quote
	// the number, so every digit in it is a "#"; it is safe to log.
	Message string
	// Permanent says that the same message will be refused again, for the
	// number or the account has to change: a status from 400 to 499 other than
	// 408 and 429.
	Permanent bool

	retryAfter time.Duration
}

// Error returns one line that holds nothing secret.
func (e *Error) Error() string {
	return fmt.Sprintf("twiliosms: the gateway answered %d, code %d: %q", e.Status, e.Code, e.Message)
}

func refusal(res *http.Response, body []byte) *Error {
	var said struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(body, &said) // a proxy on the way may answer anything; the status remains
	s := res.StatusCode
	return &Error{
		Status:     s,
		Code:       said.Code,
		Message:    clean(said.Message),
		Permanent:  s >= 400 && s < 500 && s != http.StatusRequestTimeout && s != http.StatusTooManyRequests,
		retryAfter: retryAfter(res.Header.Get("Retry-After")),
	}
}

// retryAfter reads whole seconds. The header's other form, a date, would need
// the gateway's clock; without it the usual wait applies.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.ParseUint(header, 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// transportError hides digits in the text of a failed call: the parser of
// answers quotes what it cannot read, which could be the request come back.
type transportError struct{ err error }

func unanswered(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the rest is the URL, which New already knows
	}
	return &transportError{err}
}

func (e *transportError) Error() string { return "twiliosms: no answer: " + clean(e.err.Error()) }

func (e *transportError) Unwrap() error { return e.err }

// clean makes foreign text fit for a log: no digits, because numbers and codes
// are made of them, one line, and bounded.
func clean(s string) string {
	text := []rune(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsDigit(r):
			return '#'
		case unicode.IsPrint(r):
			return r
		}
		return ' '
	}, s))
	return string(text[:min(len(text), 200)])
}
