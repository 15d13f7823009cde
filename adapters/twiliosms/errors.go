package twiliosms

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/gateway"
)

// Error is a response of the gateway other than 201 Created. Only that status means
// that the gateway has accepted the message.
//
// [errors.Is] reports [twofa.ErrUndeliverable] if Code says that the recipient's
// number is invalid (21211), not a mobile number (21614) or a landline (21635). A
// recipient who has opted out (21610), or a country that the account may not send to
// (21408), is not one, because another number of the user would not help.
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
}

// Error returns the status, the code and the message in one line. It contains no
// digits from the gateway's text, and so no phone number and no code. If the gateway
// refuses the credential, it says which fields to check.
func (e *Error) Error() string {
	s := fmt.Sprintf("twiliosms: the gateway responded with status %d, code %d: %q", e.Status, e.Code, e.Message)
	if e.Status == http.StatusUnauthorized {
		s += "; check AccountSID, and AuthToken or APIKey and APISecret"
	}
	return s
}

// Is reports whether target is [twofa.ErrUndeliverable] and e is a permanent refusal
// of the recipient's number.
func (e *Error) Is(target error) bool {
	return target == twofa.ErrUndeliverable && e.Permanent && slices.Contains([]int{21211, 21614, 21635}, e.Code)
}

func refusal(res gateway.Response) *Error {
	var reply struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(res.Body, &reply) // a proxy may respond with anything, and the status is enough
	return &Error{
		Status: res.Status, Code: reply.Code, Message: gateway.Clean(reply.Message), Permanent: gateway.Permanent(res.Status),
	}
}
