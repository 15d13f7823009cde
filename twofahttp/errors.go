package twofahttp

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/twofa-go/twofa"
)

// httpError is a fault of a request that this package finds by itself.
type httpError struct {
	code   string
	allow  string    // header Allow
	detail string    // for developers of the host
	date   time.Time // date that the message names
}

var (
	errNotFound       = &httpError{code: "not_found"}
	errInternal       = &httpError{code: "internal"}
	errCrossSite      = &httpError{code: "cross_site"}
	errFormToken      = &httpError{code: "form_expired"}
	errNoCookies      = &httpError{code: "cookies_blocked"}
	errMediaType      = &httpError{code: "media_type"}
	errTooLarge       = &httpError{code: "too_large"}
	errBadForm        = &httpError{code: "bad_form"}
	errOtherBrowser   = &httpError{code: "other_browser"}
	errLink           = &httpError{code: "invalid_link"}
	errEnrollmentOver = &httpError{code: "enrollment_over"}
	errNotSaved       = &httpError{code: "not_saved"}
	errPhone          = &httpError{code: "phone_refused"}
	errAssigned       = &httpError{code: "assigned_changed"}
	errTeam           = &httpError{code: "members_unavailable"}
	errActivity       = &httpError{code: "activity_unavailable"}
	errUntil          = &httpError{code: "until_refused"}
	errReason         = &httpError{code: "reason_refused"}
	errPolicyChanged  = &httpError{code: "policy_changed"}
	errPreviewAgain   = &httpError{code: "preview_again"}
	errWeaker         = &httpError{code: "weaker_policy"}
	errPolicyReason   = &httpError{code: "invalid_reason"}
	errEnrollAgain    = &httpError{code: "not_unlocked"}
	errCaseOver       = &httpError{code: "case_over"}
	errCaseSignIn     = &httpError{code: "case_sign_in"}
	errPostOnly       = &httpError{code: "post_only", allow: "POST"}
)

func (e *httpError) Error() string {
	if e.detail != "" {
		return "twofahttp: " + e.detail
	}
	return "twofahttp: " + e.code
}

// misplacedError returns an error about a mistake in the host's code. The page
// shows the text, so that the developers of the host see it without a log.
func misplacedError(text string) error { return &httpError{code: "misplaced", detail: text} }

// methodError is an error about a method, which selects the words of its text.
type methodError struct {
	error
	method twofa.Method
}

func (e methodError) Unwrap() error { return e.error }

// about returns err with the method that it is about.
func about(method twofa.Method, err error) error {
	if err == nil {
		return nil
	}
	return methodError{err, method}
}

// waitError means that an IP address has used up its allowance, or that no
// message can be sent yet. It does not affect codes that were sent before.
type waitError struct {
	code string
	wait time.Duration
}

func (e waitError) Error() string { return "twofahttp: " + e.code }

// errSend means that a message could not be handed over, or that the store
// failed just before.
var errSend = &httpError{code: "send_failed"}

// sendError turns an error of sending into one that the page with the button
// shows. Another error is returned unchanged. If the last attempt failed before,
// that attempt counts, so there may be a wait.
func sendError(method twofa.Method, err error, failedBefore bool) error {
	wait := twofa.RetryAfter(err)
	switch {
	case errors.Is(err, twofa.ErrLocked) && wait > 0 && failedBefore:
		err = waitError{"send_paused", wait}
	case errors.Is(err, twofa.ErrLocked) && wait > 0:
		err = waitError{"too_soon", wait}
	case errors.Is(err, twofa.ErrUnavailable):
		err = fmt.Errorf("%w: %w", errSend, err)
	}
	return about(method, err)
}

// isFormError reports whether the page with the form is shown again after an
// error. All other errors have a page of their own, because the page with the
// form could not be shown either, or would not help.
func isFormError(err error) bool {
	if errors.As(err, new(*twofa.DeniedError)) || errors.Is(err, twofa.ErrExpired) {
		return false
	}
	return errors.Is(err, errSend) || problemOf(err).Status < http.StatusInternalServerError
}
