package twofahttp

import (
	"errors"
	"net/url"

	"github.com/twofa-go/twofa"
)

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

// stepUpURL is the page that asks for the proof, and what it has to know.
func (v *visit) stepUpURL(d *twofa.DeniedError) string {
	next := v.web.cfg.Actions[d.Action].Page
	if next == "" {
		next = v.here()
	}
	if v.back != "" {
		next = v.back
	}
	return v.pageFor(d) + "&" + url.Values{"next": {next}}.Encode()
}
