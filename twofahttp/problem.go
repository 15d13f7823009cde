package twofahttp

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
)

// problem is a message with what is known about one occurrence of it.
type problem struct {
	message
	About           twofa.Method // method that the code or message was for; empty if none
	Wait            time.Duration
	Left            int  // wrong codes left before the method is locked, if Counted
	Counted         bool // whether Left is known
	Clock           time.Duration
	Detail          string    // for developers of the host
	Date            time.Time // date that the message names
	Allow           string    // header Allow
	WWWAuthenticate string    // header WWW-Authenticate
	Denied          *twofa.DeniedError
}

// problemOf is the only place that maps errors to messages. Wrong, used and
// expired codes look alike. While a method is locked, so do right and wrong
// ones.
func problemOf(err error) problem {
	var p problem
	if e, ok := errors.AsType[methodError](err); ok {
		p.About = e.method
	}
	if denied, ok := errors.AsType[*twofa.DeniedError](err); ok {
		p.Denied, p.WWWAuthenticate = denied, authenticateHeader(denied)
	}
	if e, ok := errors.AsType[*httpError](err); ok {
		p.Allow, p.Detail, p.Date = e.allow, e.detail, e.date
	}
	p.Wait = twofa.RetryAfter(err)
	if e, ok := errors.AsType[waitError](err); ok {
		p.Wait = e.wait
	}
	p.message = messageOf(codeOf(err, p), p.About)
	switch p.Code {
	case "invalid_code":
		p.Left, p.Counted = twofa.AttemptsLeft(err)
		p.Clock, _ = twofa.ClockOffset(err)
	case "unavailable":
		p.Wait = 5 * time.Second
	}
	return p
}

// codeOf returns the code of the message for an error, whose other facts are in
// p.
func codeOf(err error, p problem) string {
	if p.Denied != nil {
		return codeOfDenied(p.Denied)
	}
	if e, ok := errors.AsType[*httpError](err); ok {
		return e.code
	}
	if e, ok := errors.AsType[waitError](err); ok {
		return e.code
	}
	for _, known := range managerErrors {
		if errors.Is(err, known.err) {
			if known.err == twofa.ErrLocked && p.Wait == 0 {
				return "method_off"
			}
			return known.code
		}
	}
	return "internal"
}

// managerErrors are the errors of [twofa.Manager] and their codes. The first one
// that matches counts.
var managerErrors = []struct {
	err  error
	code string
}{
	{twofa.ErrMalformedCode, "malformed_code"},
	{twofa.ErrInvalidCode, "invalid_code"},
	{twofa.ErrLocked, "locked"},
	{twofa.ErrExpired, "expired"},
	{twofa.ErrNotEnrolled, "not_enrolled"},
	{twofa.ErrNotAllowed, "not_allowed"},
	{twofa.ErrInvalid, "invalid"},
	{twofa.ErrConflict, "changed"},
	{twofa.ErrUndeliverable, "undeliverable"},
	{twofa.ErrUnavailable, "unavailable"},
}

// codeOfDenied returns the code of the message about a refusal by a guard.
func codeOfDenied(d *twofa.DeniedError) string {
	switch {
	case d.Reason == twofa.ReasonEnroll:
		return "mfa_enrollment_required"
	case d.Reason == twofa.ReasonSupport && d.Action == twofa.ActionPolicy:
		return "only_support_unlocks"
	case d.Reason == twofa.ReasonSupport && d.Action != "":
		return "only_support_resets"
	case d.Reason == twofa.ReasonSignInHere && d.Action != "":
		return "own_sign_in_required"
	case d.Reason == twofa.ReasonSignedOut && d.Action != "":
		return "first_factor_expired"
	}
	return string(d.Reason)
}

// authenticateHeader tells API clients which authentication is needed (RFC 9470,
// section 3).
func authenticateHeader(d *twofa.DeniedError) string {
	insufficient := `Bearer error="insufficient_user_authentication"`
	switch d.Reason {
	case twofa.ReasonEnroll, twofa.ReasonSupport, twofa.ReasonRole, twofa.ReasonSelf, twofa.ReasonCooling, twofa.ReasonAlreadyDone:
		return ""
	case twofa.ReasonChallenge:
		return insufficient
	case twofa.ReasonMissing, twofa.ReasonStale:
		return insufficient + `, error_description="A fresh proof is required", max_age="` + strconv.Itoa(int(d.MaxAge/time.Second)) + `"`
	}
	return "Bearer"
}

// actionOf returns the title of the action that was refused.
func (x *exchange) actionOf(p problem) string {
	if p.Denied == nil {
		return ""
	}
	return x.actionTitle(p.Denied.Action)
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
	Title    string
	Text     string
	Next     string // what the page offers
	Action   string // title of the action that needs a fresh proof
	Back     string // address at which to try again
	Login    string // address of the host's login page, from which the user comes back
	SignedIn bool   // whether the session is live; known only if Code is "expired"
}

func (x *exchange) messageData(p problem) messageData {
	action := x.actionOf(p)
	d := messageData{Code: p.Code, Title: p.title(x.locale()), Text: p.text(x.locale(), x.cfg.Issuer, action), Next: string(p.Next), Action: action,
		Back: cmp.Or(x.retryURL, x.currentURL()), Login: x.loginURL(x.currentURL())}
	if p.Code == "expired" && x.m.Check(x.ctx(), x.caller()) == nil {
		d.SignedIn, d.Text = true, sentences(x.locale(), x.locale().Text("message.signed_in", nil), d.Text)
	}
	if p.Denied != nil {
		d.Login = x.loginURLFor(p.Denied.Reason, x.currentURL())
		if p.Denied.Reason == twofa.ReasonAlreadyDone {
			d.Back = cmp.Or(x.cfg.Actions[p.Denied.Action].Page, x.cfg.HomeURL)
		}
	}
	return d
}

// problemDocument returns the JSON body that RFC 9457 defines, with members of
// this package's own.
func (x *exchange) problemDocument(p problem) map[string]any {
	body := map[string]any{"type": "about:blank", "title": p.title(locale.English()), "status": p.Status, "code": p.Code, "detail": p.text(x.locale(), x.cfg.Issuer, x.actionOf(p))}
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
	case p.Status >= 500 && errors.Is(x.ctx().Err(), context.Canceled): // the client has hung up
		x.cfg.Logger.DebugContext(x.ctx(), "twofahttp: "+p.Code, "method", x.r.Method, "path", x.r.URL.Path, "error", err)
	case p.Status >= 500:
		x.cfg.Logger.ErrorContext(x.ctx(), "twofahttp: "+p.Code, "method", x.r.Method, "path", x.r.URL.Path, "error", err)
	case p.Code == "invalid": // the error says what the host let pass
		x.cfg.Logger.WarnContext(x.ctx(), "twofahttp: "+p.Code, "method", x.r.Method, "path", x.r.URL.Path, "error", err)
	case p.Denied == nil:
		x.cfg.Logger.DebugContext(x.ctx(), "twofahttp: "+p.Code, "method", x.r.Method, "path", x.r.URL.Path)
	}
}
