package twofahttp

import (
	"encoding/base64"
	"errors"
	"html/template"
	"net/url"
	"slices"

	"github.com/twofa-go/twofa"
)

// enrollmentData is the data of the page "setup".
type enrollmentData struct {
	Step   string // "start", "scan", "phone" or "codes"
	Forced bool   // the account requires the enrollment: codes come first, then the app
	Number int    // number of the step; zero in step "start"
	Of     int    // number of steps; zero in step "start"

	// Step "start".
	Methods  []string
	Method   string // method that was chosen before
	Replaces string // ID of the factor to be replaced
	Old      string // name of the factor to be replaced
	Regions  []Region
	Region   string // region that was chosen with a number that cannot be texted

	// Steps "scan" and "phone".
	QR    template.URL // the QR code as an SVG image
	URI   template.URL // opens the app on the same device
	Key   string
	Phone string // masked; in step "start" as the user typed it

	Codes []string // step "codes"
	New   bool     // only codes are generated, no factor is enrolled
}

// enrollmentCaller returns the caller who enrolls a factor: a live session, or
// the browser with the challenge in which a login ended.
func (x *exchange) enrollmentCaller() (twofa.Caller, flow) {
	f, c := x.flow(enrollmentCookie), x.caller()
	c.Challenge = f.challenge
	if c.Session.IsZero() {
		c.Account = f.Account
	}
	return c, f
}

// getEnrollment shows the current step of the enrollment. It starts none, so a
// request from another site changes nothing.
func (x *exchange) getEnrollment() (view, error) {
	if q := x.r.URL.Query(); q.Has("start") {
		return x.showEnrollmentStart(q, nil)
	}
	return x.showEnrollment(nil)
}

func (x *exchange) showEnrollment(failed error) (view, error) {
	c, f := x.enrollmentCaller()
	e, err := x.m.PendingEnrollment(x.ctx(), c)
	switch {
	case errors.Is(err, twofa.ErrExpired):
		return x.showEnrollmentStart(url.Values{}, failed)
	case err != nil:
		return view{}, x.dropExpiredEnrollment(c, err)
	case e.Method == twofa.SMS && !e.Confirmed && f.Sent != twofa.SMS: // the text message was never handed over
		return x.showEnrollmentStart(url.Values{"method": {string(twofa.SMS)}}, failed)
	}
	d, err := enrollmentStep(e, f.kind == kindEnroll)
	return view{page: "setup", data: d, err: failed}, err
}

// enrollmentStep returns the data of the step that a pending enrollment has
// reached.
func enrollmentStep(e twofa.Enrollment, forced bool) (enrollmentData, error) {
	d := enrollmentData{Forced: forced, New: e.Method == twofa.RecoveryCode}
	if len(e.Codes) > 0 && !d.New {
		d.Of, d.Number = 2, 1
		if e.Confirmed || e.Saved {
			d.Number = 2
		}
	}
	switch {
	case len(e.Codes) > 0 && !e.Saved && (forced || e.Confirmed):
		d.Step, d.Codes = "codes", revealAll(e.Codes)
	case e.Method == twofa.SMS:
		d.Step, d.Phone = "phone", e.Phone
	default:
		svg, err := e.SVG()
		if err != nil {
			return d, err
		}
		d.Step, d.Key = "scan", e.Key.Reveal()
		// An image, because extensions recolor SVG elements until scanners fail.
		d.QR = template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg)))
		d.URI = template.URL(e.URI.Reveal()) // safe: the library builds it from escaped parts
	}
	return d, nil
}

// showEnrollmentStart shows which factors the user can enroll.
func (x *exchange) showEnrollmentStart(q url.Values, failed error) (view, error) {
	c, f := x.enrollmentCaller()
	factors, err := x.m.Factors(x.ctx(), c)
	if err != nil {
		return view{}, x.dropExpiredEnrollment(c, err)
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
	return view{page: "setup", data: d, err: failed}, nil
}

// dropExpiredEnrollment returns ErrExpired instead of err if the caller has no
// session, but a challenge that is no longer valid. It deletes its cookie.
func (x *exchange) dropExpiredEnrollment(c twofa.Caller, err error) error {
	denied, ok := errors.AsType[*twofa.DeniedError](err)
	if ok && denied.Reason == twofa.ReasonSignedOut && c.Session.IsZero() && !c.Challenge.IsZero() {
		x.clearFlow(enrollmentCookie)
		x.retryURL = x.loginURL("")
		return twofa.ErrExpired
	}
	return err
}

// postEnrollment starts an enrollment with a new key, or with a text message to
// the number.
func (x *exchange) postEnrollment() (view, error) {
	req := twofa.EnrollRequest{Method: twofa.Method(x.form.Get("method")), Name: x.form.Get("name"), Replaces: x.form.Get("replaces"),
		Phone: x.form.Get("phone"), Region: x.form.Get("region")}
	again := url.Values{"start": {"1"}, "method": {string(req.Method)}, "replaces": {req.Replaces}}
	x.retryURL = x.path("setup") + "?" + again.Encode()
	c, f := x.enrollmentCaller()
	if req.Method == twofa.SMS {
		if err := x.takeSend(); err != nil {
			return x.showEnrollmentStart(again, err)
		}
	}
	started, err := x.m.Enroll(x.ctx(), c, req)
	switch {
	case req.Method == twofa.SMS && errors.Is(err, twofa.ErrNotAllowed):
		return x.showEnrollmentStart(again, errPhone)
	case errors.Is(err, twofa.ErrUndeliverable):
		return x.showEnrollmentStart(again, err)
	case errors.Is(err, twofa.ErrLocked):
		return x.showEnrollmentStart(again, asSendTooSoon(err))
	case err != nil:
		return view{}, x.dropExpiredEnrollment(c, err)
	}
	x.keepEnrollment(f, started.Challenge)
	return redirectTo(x.path("setup"))
}

// postEnrollmentCode checks the first code of the factor that is being enrolled.
func (x *exchange) postEnrollmentCode() (view, error) {
	x.retryURL = x.path("setup")
	giveBack, err := x.takeAttempt()
	if err != nil {
		return x.showEnrollment(err)
	}
	c, f := x.enrollmentCaller()
	result, err := x.m.Confirm(x.ctx(), c, x.form.Get("code"))
	if errors.Is(err, twofa.ErrInvalidCode) {
		if left, ok := twofa.AttemptsLeft(err); ok && left <= 0 {
			err = errEnrollmentOver
		}
		return x.showEnrollment(err)
	}
	if err != nil {
		return view{}, x.dropExpiredEnrollment(c, err)
	}
	giveBack()
	x.giveBackSend(f.Sent)
	return x.continueEnrollment(result, f, "set_up")
}

// postEnrollmentSaved records that the user has saved the codes.
func (x *exchange) postEnrollmentSaved() (view, error) {
	x.retryURL = x.path("setup")
	if x.form.Get("saved") != "yes" {
		return x.showEnrollment(errNotSaved)
	}
	c, f := x.enrollmentCaller()
	result, err := x.m.SaveCodes(x.ctx(), c)
	if err != nil {
		return view{}, x.dropExpiredEnrollment(c, err)
	}
	if result.Next == twofa.NextDone && result.Session.Reveal() == c.Session.Reveal() {
		result.Session = twofa.Session{} // only codes were generated
		return x.continueEnrollment(result, f, "codes_saved")
	}
	return x.continueEnrollment(result, f, "set_up")
}

// keepEnrollment stores the challenge for the next step, which may be another
// one after each step. Without a challenge, the session is enough.
func (x *exchange) keepEnrollment(f flow, next twofa.Challenge) {
	if next.IsZero() {
		x.clearFlow(enrollmentCookie)
		return
	}
	f.challenge = next
	x.setFlow(enrollmentCookie, f)
}

// continueEnrollment redirects to the remaining step. After the last one it
// redirects to the settings, or continues the login that required enrollment.
func (x *exchange) continueEnrollment(result twofa.Result, f flow, doneCode string) (view, error) {
	if result.Next == twofa.NextEnroll {
		x.keepEnrollment(f, result.Challenge)
		return redirectTo(x.path("setup"))
	}
	if f.kind != kindEnroll {
		f.next = x.path("") + "?done=" + doneCode
	}
	return x.proceed(result, f)
}

// getEnrollmentCodes returns the codes of a pending enrollment as a file. The
// codes are not valid until the user confirms that they are saved.
func (x *exchange) getEnrollmentCodes() (view, error) {
	c, _ := x.enrollmentCaller()
	e, err := x.m.PendingEnrollment(x.ctx(), c)
	if err != nil {
		return view{}, x.dropExpiredEnrollment(c, err)
	}
	if len(e.Codes) == 0 || e.Saved {
		return view{}, errNotFound
	}
	return x.showCodes(codesFile, e.Codes)
}
