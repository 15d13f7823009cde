package twofahttp

import (
	"errors"
	"html/template"
	"net/url"
	"slices"

	"github.com/twofa-go/twofa"
)

// enrollmentData is what the page "setup" gets.
type enrollmentData struct {
	Step   string // "start", "scan", "phone" or "codes"
	Forced bool   // the account demands it: codes first, then the app
	Number int    // of the step, and
	Of     int    // how many there are; 0 on the first page

	// Step "start".
	Methods  []string
	Method   string // chosen beforehand
	Replaces string // id of the factor that goes
	Old      string // and its name
	Regions  []Region
	Region   string // chosen before, with a number that cannot be texted

	// Steps "scan" and "phone".
	QR    template.HTML
	URI   template.URL // opens the app on the same device
	Key   string
	Phone string // masked; in step "start" as it was typed

	Codes []string // step "codes"
	New   bool     // they are all that is being made
}

// enrollmentCaller is who sets up: a live session, or who holds the challenge that
// a login ended in.
func (x *exchange) enrollmentCaller() (twofa.Caller, flow) {
	f, c := x.flow(enrollmentCookie), x.caller()
	c.Challenge = f.challenge
	if c.Session.IsZero() {
		c.Account = f.account
	}
	return c, f
}

// getEnrollment shows the step that a set-up has come to. It starts none: a visit from
// elsewhere changes nothing.
func (x *exchange) getEnrollment() error {
	if x.r.URL.Query().Has("start") {
		return x.showEnrollmentStart(x.r.URL.Query(), nil)
	}
	return x.showEnrollment(nil)
}

func (x *exchange) showEnrollment(failed error) error {
	c, f := x.enrollmentCaller()
	e, err := x.m.PendingEnrollment(x.ctx(), c)
	if errors.Is(err, twofa.ErrExpired) {
		return x.showEnrollmentStart(url.Values{}, failed)
	}
	if err != nil {
		return x.enrollmentOver(c, err)
	}
	d := enrollmentData{Forced: f.kind == kindEnroll, New: e.Method == twofa.RecoveryCode}
	codes := len(e.Codes) > 0 && !e.Saved && (d.Forced || e.Confirmed)
	if len(e.Codes) > 0 && !d.New {
		d.Of, d.Number = 2, 1
		if e.Confirmed || e.Saved {
			d.Number = 2
		}
	}
	switch {
	case e.Method == twofa.SMS && !e.Confirmed && f.sent != twofa.SMS: // nothing was handed over: to be sent anew
		return x.showEnrollmentStart(url.Values{"method": {string(twofa.SMS)}}, failed)
	case codes:
		d.Step, d.Codes = "codes", revealAll(e.Codes)
	case e.Method == twofa.SMS:
		d.Step, d.Phone = "phone", e.Phone
	default:
		svg, err := e.SVG()
		if err != nil {
			return err
		}
		d.Step, d.Key = "scan", e.Key.Reveal()
		d.QR, d.URI = template.HTML(svg), template.URL(e.URI.Reveal()) // made by the library, of escaped parts
	}
	return x.rerender("setup", failed, d)
}

// showEnrollmentStart shows what can be set up.
func (x *exchange) showEnrollmentStart(q url.Values, failed error) error {
	c, f := x.enrollmentCaller()
	factors, err := x.m.Factors(x.ctx(), c)
	if err != nil {
		return x.enrollmentOver(c, err)
	}
	d := enrollmentData{Step: "start", Forced: f.kind == kindEnroll, Methods: methodNames(factors.Methods), Regions: x.cfg.Regions,
		Region: x.form.Get("region"), Phone: x.form.Get("phone")}
	if m := q.Get("method"); slices.Contains(d.Methods, m) {
		d.Methods, d.Method = []string{m}, m
	}
	for _, old := range factors.List {
		if old.ID == q.Get("replaces") {
			d.Replaces, d.Old, d.Methods = old.ID, old.Name, []string{string(old.Method)}
		}
	}
	return x.rerender("setup", failed, d)
}

// enrollmentOver tells a challenge that is over from a person who is signed out.
func (x *exchange) enrollmentOver(c twofa.Caller, err error) error {
	denied, ok := errors.AsType[*twofa.DeniedError](err)
	if ok && denied.Reason == twofa.ReasonSignedOut && c.Session.IsZero() && !c.Challenge.IsZero() {
		x.clearFlow(enrollmentCookie)
		x.retryURL = x.loginURL("")
		return twofa.ErrExpired
	}
	return err
}

// postEnrollment starts one, with a fresh key or a text to the number.
func (x *exchange) postEnrollment() error {
	e := twofa.EnrollRequest{Method: twofa.Method(x.form.Get("method")), Name: x.form.Get("name"), Replaces: x.form.Get("replaces"),
		Phone: x.form.Get("phone"), Region: x.form.Get("region")}
	again := url.Values{"start": {"1"}, "method": {string(e.Method)}, "replaces": {e.Replaces}}
	x.retryURL = x.path("setup") + "?" + again.Encode()
	c, f := x.enrollmentCaller()
	if e.Method == twofa.SMS {
		if err := x.takeSend(); err != nil {
			return x.showEnrollmentStart(again, err)
		}
	}
	started, err := x.m.Enroll(x.ctx(), c, e)
	switch {
	case e.Method == twofa.SMS && errors.Is(err, twofa.ErrNotAllowed):
		return x.showEnrollmentStart(again, errPhone)
	case errors.Is(err, twofa.ErrLocked):
		return x.showEnrollmentStart(again, asSendTooSoon(err))
	case err != nil:
		return x.enrollmentOver(c, err)
	}
	if f.kind != kindEnroll {
		f = flow{kind: kindPhone}
	}
	if !started.Challenge.IsZero() {
		f.challenge, f.sent = started.Challenge, twofa.SMS
		x.setFlow(enrollmentCookie, f)
	}
	return x.redirect(x.path("setup"))
}

// postEnrollmentCode takes the first code of what is being set up.
func (x *exchange) postEnrollmentCode() error {
	x.retryURL = x.path("setup")
	giveBack, err := x.takeAttempt()
	if err != nil {
		return x.showEnrollment(err)
	}
	c, f := x.enrollmentCaller()
	login, err := x.m.Confirm(x.ctx(), c, x.form.Get("code"))
	if errors.Is(err, twofa.ErrInvalidCode) {
		if left, ok := twofa.AttemptsLeft(err); ok && left <= 0 {
			err = errEnrollmentOver
		}
		return x.showEnrollment(err)
	}
	if err != nil {
		return x.enrollmentOver(c, err)
	}
	giveBack()
	x.giveBackSend(f.sent)
	return x.continueEnrollment(login, f, "set_up")
}

// postEnrollmentSaved acknowledges that the person has kept the codes.
func (x *exchange) postEnrollmentSaved() error {
	x.retryURL = x.path("setup")
	if x.form.Get("saved") != "yes" {
		return x.showEnrollment(errNotSaved)
	}
	c, f := x.enrollmentCaller()
	e, err := x.m.PendingEnrollment(x.ctx(), c)
	if err != nil {
		return x.enrollmentOver(c, err)
	}
	login, err := x.m.SaveCodes(x.ctx(), c)
	if err != nil {
		return x.enrollmentOver(c, err)
	}
	if e.Method == twofa.RecoveryCode { // a new set of codes is all that was made
		return x.continueEnrollment(login, f, "codes_saved")
	}
	return x.continueEnrollment(login, f, "set_up")
}

// continueEnrollment goes to the half that is left, or to where the whole leads.
func (x *exchange) continueEnrollment(result twofa.Result, f flow, done string) error {
	if result.Next == twofa.NextEnroll {
		if f.kind == kindEnroll && !result.Challenge.IsZero() {
			f.challenge = result.Challenge
			x.setFlow(enrollmentCookie, f)
		}
		return x.redirect(x.path("setup"))
	}
	if f.kind != kindEnroll {
		f.next = x.path("") + "?done=" + done
	}
	return x.proceed(result, f)
}

// getEnrollmentCodes gives the codes of a pending set-up as a file. They redeem
// nothing before they are acknowledged.
func (x *exchange) getEnrollmentCodes() error {
	c, _ := x.enrollmentCaller()
	e, err := x.m.PendingEnrollment(x.ctx(), c)
	if err != nil {
		return x.enrollmentOver(c, err)
	}
	if len(e.Codes) == 0 || e.Saved {
		return errNotFound
	}
	return x.codesFile(revealAll(e.Codes))
}
