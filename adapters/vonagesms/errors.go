package vonagesms

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/gateway"
)

// Error is a response of the gateway that does not accept the whole message.
//
// [errors.Is] reports [twofa.ErrUndeliverable] if Code says that the number is barred
// (7) or deactivated (33).
type Error struct {
	// Status is the HTTP status, which is 200 for most refusals.
	Status int
	// Code is the status of the first part of the message that was not accepted, by
	// https://developer.vonage.com/api-errors/sms. It is 0 if the response has none.
	Code int
	// Message is the gateway's error text, truncated to 200 characters. It may
	// quote the phone number, so every digit in it is replaced by "#". It is one
	// line and safe to log.
	Message string
	// Accepted is the number of parts that the gateway accepted. It is 0 unless the
	// text was long. If it is not, the user gets a part of the text.
	Accepted int
	// Permanent reports whether the same message would be refused again until the
	// number, the sender or the account is corrected.
	Permanent bool
}

// codes are the codes that last until something is corrected, with what to check.
var codes = map[int]string{
	2:  "",
	3:  "check From",
	4:  "check APIKey and APISecret",
	6:  "",
	7:  "the number is barred",
	8:  "the account is suspended",
	9:  "the account has no credit left",
	11: "the account may not use the SMS API",
	12: "the text is too long",
	14: "the account demands signed requests, which this package does not send",
	15: "the sender is not allowed; check From for the recipient's country",
	22: "",
	29: "the account is a trial; add the number to its test numbers",
	32: "the account demands signed requests, which this package does not send",
	33: "the number is deactivated",
}

// Error returns the status, the code, the message and what to check, in one line. It
// contains no digits from the gateway's text, and so no phone number and no code.
func (e *Error) Error() string {
	s := fmt.Sprintf("vonagesms: the gateway responded with status %d, code %d: %q", e.Status, e.Code, e.Message)
	if e.Accepted > 0 {
		s += fmt.Sprintf(", and accepted %d parts of the text", e.Accepted)
	}
	if check := codes[e.Code]; check != "" {
		s += "; " + check
	}
	return s
}

// Is reports whether target is [twofa.ErrUndeliverable] and e is a permanent refusal
// of the recipient's number.
func (e *Error) Is(target error) bool {
	return target == twofa.ErrUndeliverable && (e.Code == 7 || e.Code == 33)
}

// outcome reads a response. A long text has a part for each segment.
func outcome(res gateway.Response) (busy bool, err error) {
	var reply struct {
		Messages []struct {
			Status string `json:"status"`
			Text   string `json:"error-text"`
		} `json:"messages"`
	}
	_ = json.Unmarshal(res.Body, &reply) // a proxy may respond with anything, which accepts nothing
	e := &Error{Status: res.Status, Permanent: gateway.Permanent(res.Status)}
	for _, part := range reply.Messages {
		if part.Status == "0" {
			e.Accepted++
		} else if e.Code == 0 {
			e.Code, _ = strconv.Atoi(part.Status)
			e.Message = gateway.Clean(part.Text)
		}
	}
	if res.Status == http.StatusOK && e.Accepted > 0 && e.Accepted == len(reply.Messages) {
		return false, nil
	}
	if _, lasting := codes[e.Code]; lasting {
		e.Permanent = true
	}
	throttled := e.Code == 1 || res.Status == http.StatusTooManyRequests
	return throttled && e.Accepted == 0, e
}
