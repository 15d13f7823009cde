package twofahttp

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/twofa-go/twofa"
)

// problem describes an error to clients. Code is stable: it selects the text on
// the page and is part of JSON answers.
type problem struct {
	Status          int
	Code            string
	Title           string // English, for JSON answers
	Wait            time.Duration
	Left            int  // wrong codes left before the method is locked, if Counted
	Counted         bool // whether Left is known
	Clock           time.Duration
	Allow           string // header Allow
	WWWAuthenticate string // header WWW-Authenticate
	Denied          *twofa.DeniedError
}

// problemOf is the only place that maps errors to HTTP. Wrong, used and expired
// codes look alike. While a method is locked, so do right and wrong ones.
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
	case errors.Is(err, twofa.ErrMalformedCode):
		return problem{Status: http.StatusUnprocessableEntity, Code: "malformed_code", Title: "This is not a code"}
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
	case errors.Is(err, twofa.ErrUndeliverable):
		return problem{Status: http.StatusUnprocessableEntity, Code: "undeliverable", Title: "The number or address cannot receive messages"}
	case errors.Is(err, twofa.ErrUnavailable):
		return problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Title: "Temporarily unavailable", Wait: 5 * time.Second}
	}
	return problemOf(errInternal)
}

// problemOfDenied describes why a guard refused a request. The header tells API
// clients which authentication is needed (RFC 9470, section 3).
func problemOfDenied(d *twofa.DeniedError) problem {
	p := problem{Status: http.StatusUnauthorized, Code: string(d.Reason), Denied: d, WWWAuthenticate: "Bearer"}
	insufficient := `Bearer error="insufficient_user_authentication"`
	switch d.Reason {
	case twofa.ReasonEnroll:
		p.Status, p.Code, p.Title, p.WWWAuthenticate = http.StatusForbidden, "mfa_enrollment_required", "A second factor has to be set up first", ""
	case twofa.ReasonChallenge:
		p.Title, p.WWWAuthenticate = "A second factor is required", insufficient
	case twofa.ReasonMissing, twofa.ReasonStale:
		p.Title = "A fresh proof is required"
		p.WWWAuthenticate = insufficient + `, error_description="` + p.Title + `", max_age="` + strconv.Itoa(int(d.MaxAge/time.Second)) + `"`
	case twofa.ReasonSignInHere:
		p.Title = "Sign in to this account first"
		if d.Action != "" {
			p.Code, p.Title = "own_sign_in_required", "Sign in with a password or a link first"
		}
	case twofa.ReasonSupport:
		p.Status, p.Title, p.WWWAuthenticate = http.StatusForbidden, "Only support can help", ""
	default:
		p.Title = "Not signed in"
		if d.Action != "" {
			p.Code, p.Title = "first_factor_expired", "The sign-in is too long ago"
		}
	}
	return p
}

func (p problem) setHeaders(h http.Header) {
	if p.Wait > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds(p.Wait)))
	}
	if p.Allow != "" {
		h.Set("Allow", p.Allow)
	}
	if p.WWWAuthenticate != "" {
		h.Set("WWW-Authenticate", p.WWWAuthenticate)
	}
}

// seconds rounds up, because a client must not come back too early.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// errorView returns the answer to an error. A browser is redirected to the page
// that helps or is shown the page "message". Any other client gets a problem
// document.
func (x *exchange) errorView(err error) view {
	err = x.refineDenied(err)
	if !x.wantsPage() {
		x.redirectHTMX(err)
		return view{err: err, data: x.problemDocument(problemOf(err))}
	}
	if denied, ok := errors.AsType[*twofa.DeniedError](err); ok {
		var v view
		if v, err = x.redirectDenied(denied); err == nil {
			return v
		}
	}
	return view{page: "message", err: err, data: x.messageData(problemOf(err))}
}

// redirectHTMX tells htmx to open the page on which the user can give what is
// missing, and then to come back.
func (x *exchange) redirectHTMX(err error) {
	denied, ok := errors.AsType[*twofa.DeniedError](err)
	if !ok || !x.isHTMX() {
		return
	}
	to := x.remedyURL(denied)
	switch {
	case to == "":
		return
	case to == x.cfg.LoginURL:
		to = x.loginURL(x.currentURL())
	default:
		to = withParameter(to, "next", x.currentURL())
	}
	x.w.Header().Set("HX-Redirect", to)
}

// messageData is the data of the page "message".
type messageData struct {
	Code     string
	Title    string // English
	Action   string // title of the action that needs a fresh proof
	Back     string // address at which to try again
	Login    string // address of the host's login page, from which the user comes back
	SignedIn bool   // whether the session is live; known only if Code is "expired"
}

func (x *exchange) messageData(p problem) messageData {
	d := messageData{Code: p.Code, Title: p.Title, Back: cmp.Or(x.retryURL, x.currentURL()), Login: x.loginURL(x.currentURL())}
	if p.Code == "expired" {
		d.SignedIn = x.m.Check(x.ctx(), x.caller()) == nil
	}
	if p.Denied != nil {
		d.Action, d.Login = x.actionTitle(p.Denied.Action), x.loginURLFor(p.Denied.Reason, x.currentURL())
	}
	return d
}

// problemDocument returns the JSON body that RFC 9457 defines, with members of
// this package's own.
func (x *exchange) problemDocument(p problem) map[string]any {
	body := map[string]any{"type": "about:blank", "title": p.Title, "status": p.Status, "code": p.Code}
	if p.Wait > 0 {
		body["retry_after"] = seconds(p.Wait)
	}
	if p.Counted {
		body["attempts_left"] = p.Left
	}
	if d := p.Denied; d != nil {
		if page := x.remedyURL(d); page != "" {
			body["page"] = page
		}
		if d.Action != "" {
			body["action"], body["resource"], body["methods"], body["max_age"] = d.Action, d.Resource, d.Methods, int(d.MaxAge/time.Second)
		}
	}
	return body
}

// log records the cause of an error that users are not shown.
func (x *exchange) log(err error) {
	switch p := problemOf(err); {
	case p.Status >= 500:
		x.cfg.Logger.ErrorContext(x.ctx(), "twofahttp: "+p.Code, "method", x.r.Method, "path", x.r.URL.Path, "error", err)
	case p.Denied == nil:
		x.cfg.Logger.DebugContext(x.ctx(), "twofahttp: "+p.Code, "method", x.r.Method, "path", x.r.URL.Path)
	}
}
