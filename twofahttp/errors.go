package twofahttp

import (
	"net/http"
	"time"

	"github.com/twofa-go/twofa"
)

// httpError is a fault of a request that this package finds by itself.
type httpError struct {
	status      int
	code, title string
	allow       string
}

var (
	errNotFound       = &httpError{status: http.StatusNotFound, code: "not_found", title: "No such page"}
	errInternal       = &httpError{status: http.StatusInternalServerError, code: "internal", title: "Something went wrong"}
	errCrossSite      = &httpError{status: http.StatusForbidden, code: "cross_site", title: "The request came from another site"}
	errFormToken      = &httpError{status: http.StatusForbidden, code: "form_expired", title: "The form is not good any more"}
	errNoCookies      = &httpError{status: http.StatusForbidden, code: "cookies_blocked", title: "The browser does not send back the cookies of this site"}
	errMediaType      = &httpError{status: http.StatusUnsupportedMediaType, code: "media_type", title: "Only application/x-www-form-urlencoded is accepted"}
	errTooLarge       = &httpError{status: http.StatusRequestEntityTooLarge, code: "too_large", title: "The form is too large"}
	errBadForm        = &httpError{status: http.StatusBadRequest, code: "bad_form", title: "The form could not be read"}
	errOtherBrowser   = &httpError{status: http.StatusForbidden, code: "other_browser", title: "The link belongs to another browser"}
	errLink           = &httpError{status: http.StatusUnprocessableEntity, code: "invalid_link", title: "The link is not valid"}
	errEnrollmentOver = &httpError{status: http.StatusUnprocessableEntity, code: "enrollment_over", title: "Too many wrong codes, the set-up is over"}
	errNotSaved       = &httpError{status: http.StatusUnprocessableEntity, code: "not_saved", title: "The codes are not saved yet"}
	errPhone          = &httpError{status: http.StatusUnprocessableEntity, code: "phone_refused", title: "This number cannot be used"}
	errPostOnly       = &httpError{status: http.StatusMethodNotAllowed, code: "post_only", title: "This has to be sent as POST", allow: "POST"}
)

func (e *httpError) Error() string { return "twofahttp: " + e.title }

// misplacedError returns an error about a mistake in the host's code. The page
// shows the text, so that the developers of the host see it without a log.
func misplacedError(text string) error {
	return &httpError{status: http.StatusInternalServerError, code: "misplaced", title: text}
}

// limitError means that an IP address has used up its allowance.
type limitError struct{ wait time.Duration }

func (limitError) Error() string { return "twofahttp: too many requests from this address" }

// tooSoonError means that no message can be sent yet. It does not affect codes
// that were sent before.
type tooSoonError struct {
	wait  time.Duration
	first bool // no message has been sent for this login or step-up
}

func (tooSoonError) Error() string { return "twofahttp: too soon to send again" }

func (e tooSoonError) code() string {
	if e.first {
		return "not_sent"
	}
	return "too_soon"
}

// asSendTooSoon turns err into a tooSoonError if waiting helps. Otherwise the
// method is disabled and err is returned.
func asSendTooSoon(err error) error {
	if wait := twofa.RetryAfter(err); wait > 0 {
		return tooSoonError{wait: wait}
	}
	return err
}
