package twofahttp

import (
	"errors"
	"net/url"

	"github.com/twofa-go/twofa"
)

// refineDenied tells who is signed out from who is half way in.
func (x *exchange) refineDenied(err error) error {
	denied, ok := errors.AsType[*twofa.DeniedError](err)
	if !ok || denied.Reason != twofa.ReasonSignedOut || denied.Action != "" || !x.session().IsZero() {
		return err
	}
	switch {
	case x.flow(enrollmentCookie).kind == kindEnroll:
		return &twofa.DeniedError{Reason: twofa.ReasonEnroll, Account: denied.Account}
	case x.flow(challengeCookie).kind == kindLogin:
		return &twofa.DeniedError{Reason: twofa.ReasonChallenge, Account: denied.Account}
	}
	return err
}

// redirectDenied sends the user to the page on which a denied request can be
// put right. An error is shown to the user instead.
func (x *exchange) redirectDenied(d *twofa.DeniedError) (view, error) {
	live := !x.session().IsZero()
	switch {
	case d.Reason == twofa.ReasonMissing || d.Reason == twofa.ReasonStale:
		return redirectTo(x.stepUpURL(d))
	case d.Action != "", !live && !isSafeMethod(x.r.Method):
		return view{}, d
	case d.Reason == twofa.ReasonSignedOut:
		if live { // revoked: a login page that sends signed-in users home would otherwise redirect in circles
			if err := x.signOut(); err != nil {
				return view{}, err
			}
		}
		return redirectTo(x.loginURL(x.currentURL()))
	case live:
		return x.resumeSession()
	}
	return redirectTo(x.remedyURL(d))
}

// remedyURL is where a person puts right what was denied, without the way back.
// A live session that an account asks more of is resumed by the challenge page.
func (x *exchange) remedyURL(d *twofa.DeniedError) string {
	switch {
	case d.Reason == twofa.ReasonMissing || d.Reason == twofa.ReasonStale:
		return x.path("confirm") + "?" + url.Values{"action": {d.Action}, "resource": {d.Resource}}.Encode()
	case d.Action != "":
		return x.path("setup") + "?start=1"
	case d.Reason == twofa.ReasonSignedOut:
		return x.cfg.LoginURL
	case d.Reason == twofa.ReasonEnroll && x.session().IsZero():
		return x.path("setup")
	}
	return x.path("challenge")
}

// stepUpURL is the page that asks for the proof, and what it has to know.
func (x *exchange) stepUpURL(d *twofa.DeniedError) string {
	next := x.cfg.Actions[d.Action].Page
	if next == "" {
		next = x.currentURL()
	}
	if x.retryURL != "" {
		next = x.retryURL
	}
	return x.remedyURL(d) + "&" + url.Values{"next": {next}}.Encode()
}
