package twofahttp

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// problem is what an error is to the outside. Code is stable: it names the
// text on the page and stands in JSON answers.
type problem struct {
	Status    int
	Code      string
	Title     string // English, for JSON answers
	Wait      time.Duration
	Left      int  // wrong codes left before the method is locked,
	Counted   bool // if that is known
	Clock     time.Duration
	Allow     string
	Challenge string // WWW-Authenticate
	Denied    *twofa.DeniedError
	Page      string // where a person puts right what was denied
}

// problemOf is the one place that maps errors to HTTP. Wrong, used and expired
// codes are one and the same; so are right and wrong ones while locked.
func problemOf(err error) problem {
	if denied, ok := errors.AsType[*twofa.DeniedError](err); ok {
		return problemOfDenied(denied)
	}
	if e, ok := errors.AsType[*httpError](err); ok {
		return problem{Status: e.status, Code: e.code, Title: e.title, Allow: e.allow}
	}
	if e, ok := errors.AsType[limitError](err); ok {
		return problem{Status: http.StatusTooManyRequests, Code: "limited", Title: "Too many requests from this address", Wait: e.wait}
	}
	if e, ok := errors.AsType[tooSoonError](err); ok {
		return problem{Status: http.StatusTooManyRequests, Code: e.code(), Title: "Too soon to send again", Wait: e.wait}
	}
	switch {
	case errors.Is(err, twofa.ErrInvalidCode):
		p := problem{Status: http.StatusUnprocessableEntity, Code: "invalid_code", Title: "The code is not valid", Wait: twofa.RetryAfter(err)}
		p.Left, p.Counted = twofa.AttemptsLeft(err)
		p.Clock, _ = twofa.ClockOffset(err)
		return p
	case errors.Is(err, twofa.ErrLocked):
		return problem{Status: http.StatusTooManyRequests, Code: "locked", Title: "Too many attempts", Wait: twofa.RetryAfter(err)}
	case errors.Is(err, twofa.ErrExpired):
		return problem{Status: http.StatusGone, Code: "expired", Title: "Expired, start again"}
	case errors.Is(err, twofa.ErrNotEnrolled):
		return problem{Status: http.StatusNotFound, Code: "not_enrolled", Title: "There is nothing of that kind"}
	case errors.Is(err, twofa.ErrNotAllowed):
		return problem{Status: http.StatusForbidden, Code: "not_allowed", Title: "Not allowed"}
	case errors.Is(err, twofa.ErrUnavailable):
		return problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Title: "Temporarily unavailable", Wait: 5 * time.Second}
	}
	return problemOf(errInternal)
}

// problemOfDenied says what a guard refused for. A client of the API learns
// from the header what would do (RFC 9470, section 3).
func problemOfDenied(d *twofa.DeniedError) problem {
	p := problem{Status: http.StatusUnauthorized, Code: string(d.Reason), Denied: d, Challenge: "Bearer"}
	insufficient := `Bearer error="insufficient_user_authentication"`
	switch d.Reason {
	case twofa.ReasonEnroll:
		p.Status, p.Code, p.Title, p.Challenge = http.StatusForbidden, "mfa_enrollment_required", "A second factor has to be set up first", ""
	case twofa.ReasonChallenge:
		p.Title, p.Challenge = "A second factor is required", insufficient
	case twofa.ReasonMissing, twofa.ReasonStale:
		p.Title = "A fresh proof is required"
		p.Challenge = insufficient + `, error_description="` + p.Title + `", max_age="` + strconv.Itoa(int(d.MaxAge/time.Second)) + `"`
	default:
		p.Title = "Not signed in"
		if d.Action != "" {
			p.Code, p.Title = "first_factor_expired", "The sign-in is too long ago"
		}
	}
	return p
}

// httpError is what is wrong with a request before the library is asked.
type httpError struct {
	status      int
	code, title string
	allow       string
}

func (e *httpError) Error() string { return "twofahttp: " + e.title }

var (
	errNotFound  = &httpError{status: http.StatusNotFound, code: "not_found", title: "No such page"}
	errInternal  = &httpError{status: http.StatusInternalServerError, code: "internal", title: "Something went wrong"}
	errCrossSite = &httpError{status: http.StatusForbidden, code: "cross_site", title: "The request came from another site"}
	errFormToken = &httpError{status: http.StatusForbidden, code: "form_expired", title: "The form is not good any more"}
	errMediaType = &httpError{status: http.StatusUnsupportedMediaType, code: "media_type", title: "Only application/x-www-form-urlencoded is accepted"}
	errTooLarge  = &httpError{status: http.StatusRequestEntityTooLarge, code: "too_large", title: "The form is too large"}
	errBadForm   = &httpError{status: http.StatusBadRequest, code: "bad_form", title: "The form could not be read"}
	errElsewhere = &httpError{status: http.StatusForbidden, code: "other_browser", title: "The link belongs to another browser"}
	errLink      = &httpError{status: http.StatusUnprocessableEntity, code: "invalid_link", title: "The link is not valid"}
	errSetupOver = &httpError{status: http.StatusUnprocessableEntity, code: "setup_over", title: "Too many wrong codes, the set-up is over"}
	errNotSaved  = &httpError{status: http.StatusUnprocessableEntity, code: "not_saved", title: "The codes are not saved yet"}
	errPhone     = &httpError{status: http.StatusUnprocessableEntity, code: "phone_refused", title: "This number cannot be used"}
	errOnce      = &httpError{status: http.StatusMethodNotAllowed, code: "post_only", title: "This has to be sent as POST", allow: "POST"}
)

// errMisplaced is a mistake of the host's that its developers are to see.
func errMisplaced(what string) error {
	return &httpError{status: http.StatusInternalServerError, code: "misplaced", title: what}
}

func notAllowedMethod(methods map[string]func(*visit) error) error {
	allow := slices.Collect(maps.Keys(methods))
	if slices.Contains(allow, http.MethodGet) {
		allow = append(allow, http.MethodHead)
	}
	slices.Sort(allow)
	return &httpError{status: http.StatusMethodNotAllowed, code: "method", title: "Method not allowed", allow: strings.Join(allow, ", ")}
}

// limitError says that an address has used up its allowance.
type limitError struct{ wait time.Duration }

func (limitError) Error() string { return "twofahttp: too many requests from this address" }

// tooSoonError says that a message has to wait, which is no word about codes.
type tooSoonError struct {
	wait  time.Duration
	first bool // nothing was sent for this login or step-up, so nothing is on its way
}

func (tooSoonError) Error() string { return "twofahttp: too soon to send again" }

func (e tooSoonError) code() string {
	if e.first {
		return "not_sent"
	}
	return "too_soon"
}

// unsent tells a send that has to wait from a method that is switched off.
func unsent(err error) error {
	if wait := twofa.RetryAfter(err); wait > 0 {
		return tooSoonError{wait: wait}
	}
	return err
}

// log writes down the causes that nobody is shown.
func (v *visit) log(err error) {
	switch p := problemOf(err); {
	case p.Status >= 500:
		v.web.cfg.Logger.ErrorContext(v.ctx(), "twofahttp: "+p.Code, "method", v.r.Method, "path", v.r.URL.Path, "error", err)
	case p.Denied == nil:
		v.web.cfg.Logger.DebugContext(v.ctx(), "twofahttp: "+p.Code, "method", v.r.Method, "path", v.r.URL.Path)
	}
}

// fail answers an error: it leads a person to what helps, and tells everything
// else in JSON.
func (v *visit) fail(err error) {
	setHeaders(v.w.Header())
	err = v.sharpen(err)
	v.log(err)
	if v.wantsPage() {
		denied, ok := errors.AsType[*twofa.DeniedError](err)
		if ok {
			if err = v.lead(denied); err == nil {
				return
			}
		}
		v.showProblem(err)
		return
	}
	p := problemOf(err)
	if p.Denied != nil {
		p.Page = v.pageFor(p.Denied)
	}
	writeProblem(v.w, p)
}

// sharpen tells who is signed out from who is half way in.
func (v *visit) sharpen(err error) error {
	denied, ok := errors.AsType[*twofa.DeniedError](err)
	if !ok || denied.Reason != twofa.ReasonSignedOut || denied.Action != "" || !v.session().IsZero() {
		return err
	}
	switch {
	case v.flow(setupCookie).kind == kindEnroll:
		return &twofa.DeniedError{Reason: twofa.ReasonEnroll, Account: denied.Account}
	case v.flow(challengeCookie).kind == kindLogin:
		return &twofa.DeniedError{Reason: twofa.ReasonChallenge, Account: denied.Account}
	}
	return err
}

// lead takes a person to where a denied request can be put right. It returns
// the error that is left to be shown.
func (v *visit) lead(d *twofa.DeniedError) error {
	live := !v.session().IsZero()
	switch {
	case d.Reason == twofa.ReasonMissing || d.Reason == twofa.ReasonStale:
		return v.redirect(v.stepUpURL(d))
	case d.Action != "", !live && !safeMethod(v.r.Method):
		return d
	case d.Reason == twofa.ReasonSignedOut:
		if live { // dead: without this, a login page that sends home who is signed in would go round in circles
			if err := v.web.cfg.Sessions.SignOut(v.w, v.r); err != nil {
				return err
			}
		}
		return v.redirect(v.loginURL(v.here()))
	case live:
		return v.resume()
	}
	return v.redirect(v.pageFor(d))
}

// pageFor is where a person puts right what was denied, without the way back.
// A live session that an account asks more of is resumed by the challenge page.
func (v *visit) pageFor(d *twofa.DeniedError) string {
	switch {
	case d.Reason == twofa.ReasonMissing || d.Reason == twofa.ReasonStale:
		return v.path("confirm") + "?" + url.Values{"action": {d.Action}, "resource": {d.Resource}}.Encode()
	case d.Action != "":
		return v.path("setup") + "?start=1"
	case d.Reason == twofa.ReasonSignedOut:
		return v.web.cfg.LoginURL
	case d.Reason == twofa.ReasonEnroll && v.session().IsZero():
		return v.path("setup")
	}
	return v.path("challenge")
}

// resume goes on with a live session that an account asks more of.
func (v *visit) resume() error {
	v.browserToken()
	c := v.caller()
	login, err := v.m.Resume(v.ctx(), c)
	if err != nil {
		return err
	}
	return v.proceed(login, flow{account: c.Account, next: v.here()})
}
