package twofahttp

import (
	"cmp"
	"encoding/base64"
	"errors"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// enrollmentData is the data of the page "setup".
type enrollmentData struct {
	Step   string // "start", "scan", "phone" or "codes"
	Forced bool   // the account requires the enrollment: codes come first, then the app
	Next   string // address to go to after a voluntary enrollment; empty for the settings
	Number int    // number of the step; zero in step "start"
	Of     int    // number of steps; zero in step "start"

	Has bool          // the user has a factor already
	Old *twofa.Factor // factor to be replaced; nil if there is none

	// Step "start".
	Overdue time.Time // until when the enrollment could be put off; zero if it never could
	Methods []string
	Method  string // method whose form is shown; the others are offered below it
	Name    string // as the user typed it
	Regions []Region
	Region  string // region that was chosen with a number that cannot be texted
	// Assigned is a number that an admin has entered for the user, if Method is
	// "sms"; nil if there is none.
	Assigned *twofa.AssignedPhone

	// Steps "start" and "phone".
	Replaces string // ID of the factor to be replaced

	// Steps "scan" and "phone".
	QR     template.URL // the QR code as an SVG image
	URI    template.URL // opens the app on the same device
	Key    string
	Digits int           // digits of the code that confirms the enrollment
	Phone  string        // masked; in step "start" as the user typed it
	Valid  time.Duration // time until the texted code expires; zero if it has

	// Step "codes".
	Codes []string
	Kept  bool      // earlier codes are valid until the user has saved these
	New   bool      // only codes are generated, no factor is enrolled
	User  string    // name of the user, for the printed page
	Saved time.Time // today
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
		return x.showEnrollmentStart(url.Values{"method": {string(f.Sent)}}, failed)
	case err != nil:
		return view{}, x.dropExpiredEnrollment(c, err)
	case e.Method == twofa.SMS && !e.Confirmed && (f.Sent != twofa.SMS || f.isUndelivered(twofa.SMS)): // the text message was never handed over
		v, err := x.showEnrollmentStart(url.Values{"method": {string(e.Method)}, "replaces": {e.Replaces}}, failed)
		if failed == nil {
			v.alert = x.alertOf(f.notSent(twofa.SMS, x.cfg.Now()))
		}
		return v, err
	}
	factors, err := x.m.Factors(x.ctx(), c)
	if err != nil {
		return view{}, x.dropExpiredEnrollment(c, err)
	}
	d, err := enrollmentStep(e, factors, f.kind == kindEnroll, x.cfg.Now())
	d.Next = x.afterEnrollment(f)
	return view{page: "setup", data: d, err: failed}, err
}

// afterEnrollment returns the address that a page has asked to go to after a
// voluntary enrollment. It travels with the forms, so that an enrollment that is
// begun on another page does not end there.
func (x *exchange) afterEnrollment(f flow) string {
	if f.kind == kindEnroll {
		return "" // the flow has the address
	}
	return SafeRedirect(cmp.Or(x.form.Get("next"), x.r.URL.Query().Get("next")), "")
}

// enrollmentURL returns the address of the page "setup".
func (x *exchange) enrollmentURL(q url.Values, f flow) string {
	if next := x.afterEnrollment(f); next != "" {
		q.Set("next", next)
	}
	if len(q) == 0 {
		return x.path("setup")
	}
	return x.path("setup") + "?" + q.Encode()
}

// enrollmentStep returns the data of the step that a pending enrollment has
// reached.
func enrollmentStep(e twofa.Enrollment, factors twofa.Factors, forced bool, now time.Time) (enrollmentData, error) {
	d := enrollmentData{Forced: forced, New: e.Method == twofa.RecoveryCode, Saved: now, Digits: e.Digits,
		Has: len(factors.List) > 0, Old: factorByID(factors.List, e.Replaces), Kept: factors.CodesLeft > 0}
	if len(e.Codes) > 0 && !d.New {
		d.Of, d.Number = 2, 1
		if e.Confirmed || e.Saved {
			d.Number = 2
		}
	}
	switch {
	case len(e.Codes) > 0 && !e.Saved && (forced || e.Confirmed):
		d.Step, d.Codes, d.User = "codes", revealAll(e.Codes), e.UserName
	case e.Method == twofa.SMS:
		d.Step, d.Phone, d.Replaces, d.Valid = "phone", e.Phone, e.Replaces, max(0, e.SentExpires.Sub(now))
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

// showEnrollmentStart shows which factors the user can enroll. After an error, q
// must be that of the page with the form, so that it offers the same again.
func (x *exchange) showEnrollmentStart(q url.Values, failed error) (view, error) {
	c, f := x.enrollmentCaller()
	factors, err := x.m.Factors(x.ctx(), c)
	if err != nil {
		return view{}, x.dropExpiredEnrollment(c, err)
	}
	d := enrollmentData{Step: "start", Forced: f.kind == kindEnroll, Next: x.afterEnrollment(f), Overdue: factors.Overdue, Methods: methodNames(factors.Methods), Method: q.Get("method"),
		Has: len(factors.List) > 0, Name: x.form.Get("name"), Regions: x.cfg.Regions, Region: x.form.Get("region"), Phone: x.form.Get("phone")}
	if old := factorByID(factors.List, q.Get("replaces")); old != nil {
		d.Replaces, d.Old, d.Methods = old.ID, old, []string{string(old.Method)}
	}
	switch {
	case slices.Contains(d.Methods, d.Method) || len(d.Methods) == 0:
	case factors.Assigned != nil:
		d.Method = string(twofa.SMS)
	default:
		d.Method = d.Methods[0]
	}
	if d.Method == string(twofa.SMS) {
		d.Assigned = factors.Assigned
	}
	if d.Assigned != nil && d.Assigned.ID == "" {
		if failed == nil { // the same proof as for any other number, but before the page
			x.retryURL = x.path("setup") + "?start=1&method=sms"
			return view{}, &twofa.DeniedError{Reason: twofa.ReasonMissing, Account: c.Account, Action: twofa.ActionFactors}
		}
		d.Assigned = nil
	}
	return view{page: "setup", data: d, err: failed}, nil
}

// factorByID returns the factor with an ID, or nil.
func factorByID(list []twofa.Factor, id string) *twofa.Factor {
	if i := slices.IndexFunc(list, func(f twofa.Factor) bool { return f.ID == id }); i >= 0 {
		return &list[i]
	}
	return nil
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
// the number that the user has typed or that an admin has assigned.
func (x *exchange) postEnrollment() (view, error) {
	req := twofa.EnrollRequest{Method: twofa.Method(x.form.Get("method")), Name: x.form.Get("name"), Replaces: x.form.Get("replaces"),
		Phone: x.form.Get("phone"), Region: x.form.Get("region"), Assigned: x.form.Get("assigned")}
	again := url.Values{"start": {"1"}, "method": {x.form.Get("method")}, "replaces": {req.Replaces}}
	c, f := x.enrollmentCaller()
	x.retryURL = x.enrollmentURL(maps.Clone(again), f)
	started, err := x.enroll(c, &f, req)
	switch {
	case err != nil && isFormError(err):
		return x.showEnrollmentStart(again, err)
	case err != nil:
		return view{}, x.dropExpiredEnrollment(c, err)
	}
	f.failed, f.retryAt = "", time.Time{}
	to := x.enrollmentURL(url.Values{}, f)
	x.keepEnrollment(f, started.Challenge)
	return redirectTo(to)
}

// enroll starts an enrollment. If the text message could not be sent, it notes
// that in the cookie of the flow.
func (x *exchange) enroll(c twofa.Caller, f *flow, req twofa.EnrollRequest) (twofa.Enrollment, error) {
	if req.Method != twofa.SMS {
		started, err := x.m.Enroll(x.ctx(), c, req)
		return started, about(req.Method, err)
	}
	if err := x.takeSend(); err != nil {
		return twofa.Enrollment{}, about(req.Method, err)
	}
	started, err := x.m.Enroll(x.ctx(), c, req)
	switch {
	case errors.Is(err, twofa.ErrNotAllowed):
		err = about(req.Method, errPhone)
	case errors.Is(err, twofa.ErrNotEnrolled) && req.Assigned != "":
		err = errAssigned
	case err != nil:
		if err = f.failSend(req.Method, err, x.cfg.Now()); isFormError(err) {
			x.setFlow(enrollmentCookie, *f)
		}
	}
	return started, err
}

// postEnrollmentCode checks the first code of the factor that is being enrolled.
func (x *exchange) postEnrollmentCode() (view, error) {
	c, f := x.enrollmentCaller()
	x.retryURL = x.enrollmentURL(url.Values{}, f)
	giveBack, err := x.takeAttempt()
	if err != nil {
		return x.showEnrollment(err)
	}
	pending := x.pendingEnrollment(c)
	result, err := x.m.Confirm(x.ctx(), c, x.form.Get("code"))
	if errors.Is(err, twofa.ErrInvalidCode) {
		if left, ok := twofa.AttemptsLeft(err); ok && left <= 0 {
			err = errEnrollmentOver
		}
		return x.showEnrollment(about(pending.Method, err))
	}
	if err != nil {
		return view{}, x.dropExpiredEnrollment(c, err)
	}
	giveBack()
	x.giveBackSend(f.Sent)
	return x.continueEnrollment(result, f, pending)
}

// pendingEnrollment returns the enrollment before its next step. It is the zero
// Enrollment if that cannot be read, for example because the form is sent again.
func (x *exchange) pendingEnrollment(c twofa.Caller) twofa.Enrollment {
	pending, err := x.m.PendingEnrollment(x.ctx(), c)
	if err != nil {
		x.log(err)
	}
	return pending
}

// postEnrollmentSaved records that the user has saved the codes.
func (x *exchange) postEnrollmentSaved() (view, error) {
	c, f := x.enrollmentCaller()
	x.retryURL = x.enrollmentURL(url.Values{}, f)
	if x.form.Get("saved") != "yes" {
		return x.showEnrollment(errNotSaved)
	}
	pending := x.pendingEnrollment(c)
	result, err := x.m.SaveCodes(x.ctx(), c)
	if err != nil {
		return view{}, x.dropExpiredEnrollment(c, err)
	}
	if result.Next == twofa.NextDone && result.Session.Reveal() == c.Session.Reveal() {
		result.Session, pending.Method = twofa.Session{}, twofa.RecoveryCode // only codes were generated
	}
	return x.continueEnrollment(result, f, pending)
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
// redirects to the settings or to the page that began it, or continues the login that required enrollment. In
// both cases, the user first sees that it succeeded.
func (x *exchange) continueEnrollment(result twofa.Result, f flow, done twofa.Enrollment) (view, error) {
	if result.Next == twofa.NextEnroll {
		to := x.enrollmentURL(url.Values{}, f)
		x.keepEnrollment(f, result.Challenge)
		return redirectTo(to)
	}
	switch {
	case done.Method == twofa.RecoveryCode:
		x.notify("codes_saved")
	case done.Replaces != "":
		x.notify(messageOf("replaced", done.Method).id())
	default:
		x.notify("set_up")
	}
	if f.kind != kindEnroll {
		f.next = cmp.Or(x.afterEnrollment(f), x.path(""))
	}
	v, err := x.proceed(result, f)
	if elsewhere := f.kind == kindEnroll || !strings.HasPrefix(f.next, x.path("")); elsewhere && result.Next == twofa.NextDone && err == nil {
		v.redirect = x.donePage(v.redirect)
	}
	return v, err
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
	return x.showCodes(codesFile, e.UserName, e.Codes)
}
