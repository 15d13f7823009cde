package twofahttp

import (
	"cmp"
	"errors"
	"net/url"

	"github.com/twofa-go/twofa"
)

// refineDenied replaces ReasonSignedOut if the cookies show that the user has
// already passed the first factor.
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

// redirectDenied redirects to the page on which the user can give what is
// missing. If it returns an error, that error is shown instead.
func (x *exchange) redirectDenied(d *twofa.DeniedError) (view, error) {
	live := !x.session().IsZero()
	switch {
	case d.Reason == twofa.ReasonMissing || d.Reason == twofa.ReasonStale:
		if v, ok := x.hold(d); ok {
			return v, nil
		}
		return redirectTo(x.stepUpURL(d))
	case d.Action != "", !live && !isSafeMethod(x.r.Method), hasNoRemedy(d):
		return view{}, d
	case d.Reason == twofa.ReasonSignedOut && x.readCookie(bouncedCookie) == signedInNow && !live:
		x.retryURL = x.loginURL(x.currentURL())
		return view{}, errNoCookies
	case d.Reason == twofa.ReasonSignedOut:
		// A revoked session is ended. Otherwise a login page that sends
		// signed-in users home would redirect in circles.
		if live {
			if err := x.signOut(); err != nil {
				return view{}, err
			}
		}
		return redirectTo(x.loginURL(x.currentURL()))
	case d.Reason == twofa.ReasonUnreadable || d.Reason == twofa.ReasonSignInHere:
		// The session is not ended, because another server may read it, or
		// because it is valid in another account. A login page that sends
		// signed-in users home leads back here, where a page explains.
		if x.readCookie(bouncedCookie) == string(d.Reason) {
			return view{}, d
		}
		x.setCookie(bouncedCookie, string(d.Reason), bouncedAge)
		return redirectTo(x.loginURLFor(d.Reason, x.currentURL()))
	case live:
		return x.resumeSession()
	}
	return redirectTo(x.remedyURL(d))
}

// remedyURL returns the address, without the parameter next, at which the user
// can give what is missing. The challenge page also resumes a live session if
// its account requires more than the session has proven.
func (x *exchange) remedyURL(d *twofa.DeniedError) string {
	switch {
	case d.Reason == twofa.ReasonMissing || d.Reason == twofa.ReasonStale:
		return x.path("confirm") + "?" + url.Values{"action": {d.Action}, "resource": {d.Resource}}.Encode()
	case d.Reason == twofa.ReasonSignInHere:
		return x.loginURLFor(d.Reason, "")
	case hasNoRemedy(d), d.Reason == twofa.ReasonAlreadyDone:
		return ""
	case d.Action != "":
		return x.path("setup") + "?start=1"
	case d.Reason == twofa.ReasonSignedOut || d.Reason == twofa.ReasonUnreadable:
		return x.cfg.LoginURL
	case d.Reason == twofa.ReasonEnroll && x.session().IsZero():
		return x.path("setup")
	}
	return x.path("challenge")
}

// stepUpURL returns the address of the page that asks for the proof.
func (x *exchange) stepUpURL(d *twofa.DeniedError) string {
	return x.remedyURL(d) + "&" + url.Values{"next": {x.pageOf(d)}}.Encode()
}

// pageOf returns the address of the page with the button for the action.
func (x *exchange) pageOf(d *twofa.DeniedError) string {
	return cmp.Or(x.retryURL, x.cfg.Actions[d.Action].Page, x.currentURL())
}

// hasNoRemedy reports whether no page helps, because only another person can.
func hasNoRemedy(d *twofa.DeniedError) bool {
	return d.Reason == twofa.ReasonSupport || d.Reason == twofa.ReasonRole || d.Reason == twofa.ReasonSelf || d.Reason == twofa.ReasonCooling
}
