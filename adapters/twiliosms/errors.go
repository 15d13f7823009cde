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

// Error is a response of the gateway other than 201 Created. Only that status means
// that the gateway has accepted the message.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Code is the gateway's own error code, 0 if it gave none. Twilio's codes are
	// explained at https://www.twilio.com/docs/errors/ followed by the code.
	Code int
	// Message is the gateway's error text, truncated to 200 characters. It often
	// quotes the phone number, so every digit in it is replaced by "#". It is one
	// line and safe to log.
	Message string
	// Permanent reports whether the same message would be refused again until the
	// number or the account is corrected. It is true if Status is 400 to 499,
	// except 408 and 429.
	Permanent bool

	retryAfter time.Duration
}

// Error returns the status, the code and the message in one line. It contains no
// digits from the gateway's text, and so no phone number and no code.
func (e *Error) Error() string {
	return fmt.Sprintf("twiliosms: the gateway responded with status %d, code %d: %q", e.Status, e.Code, e.Message)
}

func refusal(res *http.Response, body []byte) *Error {
	var reply struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(body, &reply) // a proxy may respond with anything, and the status is enough
	s := res.StatusCode
	return &Error{
		Status:     s,
		Code:       reply.Code,
		Message:    clean(reply.Message),
		Permanent:  s >= 400 && s < 500 && s != http.StatusRequestTimeout && s != http.StatusTooManyRequests,
		retryAfter: retryAfter(res.Header.Get("Retry-After")),
	}
}

// retryAfter parses a Retry-After header in seconds. It returns 0 for the other
// form, a date, because that would need the gateway's clock. The sender then waits
// for its own backoff.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.ParseUint(header, 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// transportError is a request that got no valid response. It replaces the digits
// in the error text, because net/http quotes a malformed response, and that may be
// an echo of the request.
type transportError struct{ err error }

func noResponse(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the URL, which contains the account SID
	}
	return &transportError{err}
}

func (e *transportError) Error() string { return "twiliosms: no response: " + clean(e.err.Error()) }

func (e *transportError) Unwrap() error { return e.err }

// clean makes text from outside safe to log. It replaces digits, because phone
// numbers and codes consist of them, makes the text one line, and truncates it to
// 200 characters.
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
