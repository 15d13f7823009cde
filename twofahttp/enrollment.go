package twofahttp

import (
	"errors"
	"html/template"
	"net/url"
	"slices"

	"github.com/twofa-go/twofa"
)

// setupData is what the page "setup" gets.
type setupData struct {
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

// setupCaller is who sets up: a live session, or who holds the challenge that
// a login ended in.
func (v *visit) setupCaller() (twofa.Caller, flow) {
	f, c := v.flow(setupCookie), v.caller()
	c.Challenge = f.challenge
	if c.Session.IsZero() {
		c.Account = f.account
	}
	return c, f
}

// setup shows the step that a set-up has come to. It starts none: a visit from
// elsewhere changes nothing.
func (v *visit) setup() error {
	if v.r.URL.Query().Has("start") {
		return v.showStart(v.r.URL.Query(), nil)
	}
	return v.showSetup(nil)
}

func (v *visit) showSetup(failed error) error {
	c, f := v.setupCaller()
	e, err := v.m.PendingEnrollment(v.ctx(), c)
	if errors.Is(err, twofa.ErrExpired) {
		return v.showStart(url.Values{}, failed)
	}
	if err != nil {
		return v.setupOver(c, err)
	}
	d := setupData{Forced: f.kind == kindEnroll, New: e.Method == twofa.RecoveryCode}
	codes := len(e.Codes) > 0 && !e.Saved && (d.Forced || e.Confirmed)
	if len(e.Codes) > 0 && !d.New {
		d.Of, d.Number = 2, 1
		if e.Confirmed || e.Saved {
			d.Number = 2
		}
	}
	switch {
	case e.Method == twofa.SMS && !e.Confirmed && f.sent != twofa.SMS: // nothing was handed over: to be sent anew
		return v.showStart(url.Values{"method": {string(twofa.SMS)}}, failed)
	case codes:
		d.Step, d.Codes = "codes", reveal(e.Codes)
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
	return v.rerender("setup", failed, d)
}

// showStart shows what can be set up.
func (v *visit) showStart(q url.Values, failed error) error {
	c, f := v.setupCaller()
	factors, err := v.m.Factors(v.ctx(), c)
	if err != nil {
		return v.setupOver(c, err)
	}
	d := setupData{Step: "start", Forced: f.kind == kindEnroll, Methods: methodNames(factors.Methods), Regions: v.web.cfg.Regions,
		Region: v.form.Get("region"), Phone: v.form.Get("phone")}
	if m := q.Get("method"); slices.Contains(d.Methods, m) {
		d.Methods, d.Method = []string{m}, m
	}
	for _, old := range factors.List {
		if old.ID == q.Get("replaces") {
			d.Replaces, d.Old, d.Methods = old.ID, old.Name, []string{string(old.Method)}
		}
	}
	return v.rerender("setup", failed, d)
}

// setupOver tells a challenge that is over from a person who is signed out.
func (v *visit) setupOver(c twofa.Caller, err error) error {
	denied, ok := errors.AsType[*twofa.DeniedError](err)
	if ok && denied.Reason == twofa.ReasonSignedOut && c.Session.IsZero() && !c.Challenge.IsZero() {
		v.clearFlow(setupCookie)
		v.back = v.loginURL("")
		return twofa.ErrExpired
	}
	return err
}

// startSetup starts one, with a fresh key or a text to the number.
func (v *visit) startSetup() error {
	e := twofa.EnrollRequest{Method: twofa.Method(v.form.Get("method")), Name: v.form.Get("name"), Replaces: v.form.Get("replaces"),
		Phone: v.form.Get("phone"), Region: v.form.Get("region")}
	again := url.Values{"start": {"1"}, "method": {string(e.Method)}, "replaces": {e.Replaces}}
	v.back = v.path("setup") + "?" + again.Encode()
	c, f := v.setupCaller()
	if e.Method == twofa.SMS {
		if err := v.takeSend(); err != nil {
			return v.showStart(again, err)
		}
	}
	started, err := v.m.Enroll(v.ctx(), c, e)
	switch {
	case e.Method == twofa.SMS && errors.Is(err, twofa.ErrNotAllowed):
		return v.showStart(again, errPhone)
	case errors.Is(err, twofa.ErrLocked):
		return v.showStart(again, unsent(err))
	case err != nil:
		return v.setupOver(c, err)
	}
	if f.kind != kindEnroll {
		f = flow{kind: kindPhone}
	}
	if !started.Challenge.IsZero() {
		f.challenge, f.sent = started.Challenge, twofa.SMS
		v.setFlow(setupCookie, f)
	}
	return v.redirect(v.path("setup"))
}

// confirmSetup takes the first code of what is being set up.
func (v *visit) confirmSetup() error {
	v.back = v.path("setup")
	giveBack, err := v.takeAttempt()
	if err != nil {
		return v.showSetup(err)
	}
	c, f := v.setupCaller()
	login, err := v.m.Confirm(v.ctx(), c, v.form.Get("code"))
	if errors.Is(err, twofa.ErrInvalidCode) {
		if left, ok := twofa.AttemptsLeft(err); ok && left <= 0 {
			err = errSetupOver
		}
		return v.showSetup(err)
	}
	if err != nil {
		return v.setupOver(c, err)
	}
	giveBack()
	v.giveBackSend(f.sent)
	return v.goOn(login, f, "set_up")
}

// savedCodes acknowledges that the person has kept the codes.
func (v *visit) savedCodes() error {
	v.back = v.path("setup")
	if v.form.Get("saved") != "yes" {
		return v.showSetup(errNotSaved)
	}
	c, f := v.setupCaller()
	e, err := v.m.PendingEnrollment(v.ctx(), c)
	if err != nil {
		return v.setupOver(c, err)
	}
	login, err := v.m.SaveCodes(v.ctx(), c)
	if err != nil {
		return v.setupOver(c, err)
	}
	if e.Method == twofa.RecoveryCode { // a new set of codes is all that was made
		return v.goOn(login, f, "codes_saved")
	}
	return v.goOn(login, f, "set_up")
}

// goOn goes to the half that is left, or to where the whole leads.
func (v *visit) goOn(login twofa.Result, f flow, done string) error {
	if login.Next == twofa.NextEnroll {
		if f.kind == kindEnroll && !login.Challenge.IsZero() {
			f.challenge = login.Challenge
			v.setFlow(setupCookie, f)
		}
		return v.redirect(v.path("setup"))
	}
	if f.kind != kindEnroll {
		f.next = v.path("") + "?done=" + done
	}
	return v.proceed(login, f)
}

// downloadCodes gives the codes of a pending set-up as a file. They redeem
// nothing before they are acknowledged.
func (v *visit) downloadCodes() error {
	c, _ := v.setupCaller()
	e, err := v.m.PendingEnrollment(v.ctx(), c)
	if err != nil {
		return v.setupOver(c, err)
	}
	if len(e.Codes) == 0 || e.Saved {
		return errNotFound
	}
	return v.codesFile(reveal(e.Codes))
}
