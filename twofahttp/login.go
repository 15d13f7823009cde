package twofahttp

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/twofa-go/twofa"
)

// FirstFactor continues a login after the host has verified a password or
// another first factor. It fills in f.Client and f.Session and then either signs
// the user in and redirects to next, which must be a local path, or redirects to the page
// that asks for what is missing. It sends the response, so nothing may have
// been written to w before. If it refuses the user, the log has the reason.
//
// If the page of an identity provider on another site has posted the login
// (SAML, form_post), it answers with a page that posts the first factor again to
// [Server.Handler], where the cookies of this browser arrive.
func (s *Server) FirstFactor(w http.ResponseWriter, r *http.Request, f twofa.FirstFactor, next string) {
	x := s.newExchange(w, r)
	x.run(func() (view, error) {
		x.warnOfPlainHTTP()
		if x.isForeignPost() {
			return x.bounce(f, next)
		}
		return x.firstFactor(f, next)
	})
}

func (x *exchange) firstFactor(f twofa.FirstFactor, next string) (view, error) {
	x.retryURL = x.loginURL(SafeRedirect(next, ""))
	return x.once(func() (view, error) {
		x.browserToken()
		f.Client, f.Session = x.client(), x.cfg.Sessions.Session(x.r)
		if err := x.endOtherUser(f.UserID); err != nil {
			return view{}, err
		}
		return x.begin(f, next)
	}, "first factor", f.UserID, f.Account, string(f.By), f.ProviderOf, f.SecurityStamp, next)
}

func (x *exchange) begin(first twofa.FirstFactor, next string) (view, error) {
	result, err := x.m.Begin(x.ctx(), first)
	if errors.Is(err, twofa.ErrNotAllowed) { // the host signs in a user whom its own directory refuses
		x.cfg.Logger.WarnContext(x.ctx(), "twofahttp: FirstFactor refused", "path", x.r.URL.Path, "error", err)
	}
	if err != nil {
		return view{}, err
	}
	f := flow{next: next}
	if result.Next == twofa.NextChallenge && sendable(result.Methods[0]) {
		result = x.sendAtOnce(result, &f)
	}
	return x.proceed(result, f)
}

// endOtherUser signs the browser out, unless its session belongs to the user who
// has just given a first factor. It comes before everything that can fail, so
// that nobody acts as a user who has left.
func (x *exchange) endOtherUser(user string) error {
	session := x.session()
	if d, err := x.m.DescribeSession(session); session.IsZero() || err == nil && d.User == user {
		return nil
	}
	return x.signOut()
}

// sendAtOnce sends the link or code before the page that asks for it is shown.
// If sending fails, that page says so and has a button.
func (x *exchange) sendAtOnce(result twofa.Result, f *flow) twofa.Result {
	method := result.Methods[0]
	sent, err := x.sendTo(result.Challenge, method)
	if err == nil {
		return sent
	}
	if old := x.flow(challengeCookie); old.sendFailed(method) { // a login before this one
		f.failed = old.failed
	}
	x.log(f.failSend(method, err, x.cfg.Now()))
	return result
}

// proceed redirects to the next step of a login.
func (x *exchange) proceed(result twofa.Result, f flow) (view, error) {
	switch result.Next {
	case twofa.NextDone:
		if err := x.signIn(result); err != nil {
			return view{}, err
		}
		if x.form.Has("held") && f.kind == kindAction {
			return x.resubmit(f), nil
		}
		next := SafeRedirect(f.next, x.cfg.HomeURL)
		if result.CodesMissing && !strings.HasPrefix(next, x.path("recovered")) { // that page reports it
			next = x.path("codes/missing") + "?" + url.Values{"next": {next}}.Encode()
		}
		if !result.Due.IsZero() {
			next = x.duePage(next)
		}
		if result.Case { // first, because an answer may be urgent
			next = x.askedPage(next)
		}
		return redirectTo(next)
	case twofa.NextChallenge:
		f.challenge = result.Challenge
		x.clearFlow(enrollmentCookie)
		x.setFlow(challengeCookie, f)
		return redirectTo(x.expectCookies(x.path("challenge")))
	case twofa.NextEnroll:
		f.challenge = result.Challenge
		x.clearFlow(challengeCookie)
		x.setFlow(enrollmentCookie, f)
		return redirectTo(x.expectCookies(x.path("setup")))
	}
	return view{}, errInternal
}

// signIn stores the outcome of a login, enrollment or step-up. Only new recovery
// codes lead to no new session.
func (x *exchange) signIn(result twofa.Result) error {
	if !result.Session.IsZero() {
		if x.session().IsZero() {
			x.noteSignIn()
		}
		if err := x.cfg.Sessions.SignIn(x.w, x.r, result.Session); err != nil {
			return err
		}
		if x.repeat != nil {
			x.repeat.session = result.Session
		}
	}
	// The cookie is set only if the token is new. Of two concurrent responses,
	// the later one would otherwise restore an old token.
	if !result.Browser.IsZero() {
		x.browser = result.Browser
		x.setCookie(browserCookie, x.browser.Reveal(), browserAge)
	}
	x.clearFlow(challengeCookie)
	x.clearFlow(enrollmentCookie)
	return nil
}

// resumeSession continues a live session whose account requires more than the
// session has proven.
func (x *exchange) resumeSession() (view, error) {
	x.browserToken()
	c := x.caller()
	result, err := x.m.Resume(x.ctx(), c)
	if err != nil {
		return view{}, err
	}
	return x.proceed(result, flow{next: x.currentURL()})
}

// postSignIn ends the session and redirects to the host's login page, because
// enrolling the very first factor needs a recent first factor.
func (x *exchange) postSignIn() (view, error) {
	if err := x.signOut(); err != nil {
		return view{}, err
	}
	x.clearFlow(challengeCookie)
	x.clearFlow(enrollmentCookie)
	return redirectTo(x.loginURL(SafeRedirect(x.form.Get("next"), x.path(""))))
}

// loginURL returns the address of the host's login page with the parameter next.
func (x *exchange) loginURL(next string) string { return x.withNext(x.cfg.LoginURL, next) }

// loginURLFor also tells the login page if the user is signed in, but not in a
// way that counts.
func (x *exchange) loginURLFor(reason twofa.Reason, next string) string {
	to := x.cfg.LoginURL
	if reason == twofa.ReasonSignInHere {
		to = withParameter(to, "reason", string(reason))
	}
	return x.withNext(to, next)
}

// withNext adds the parameter next, unless users get there without it.
func (x *exchange) withNext(to, next string) string {
	if next == "" || next == x.cfg.HomeURL {
		return to
	}
	return withParameter(to, "next", next)
}

func withParameter(to, name, value string) string {
	u, err := url.Parse(to)
	if err != nil {
		return to
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// warnOfPlainHTTP logs once why no login lasts: browsers drop the cookies of
// this package if they were not set over https, and do not find those that were
// set for another Host. It looks at the Origin header, which is reliable behind
// any proxy because the browser sets it.
func (x *exchange) warnOfPlainHTTP() {
	u, err := url.Parse(x.r.Header.Get("Origin"))
	if err != nil || isLoopback(u.Host) {
		return
	}
	switch {
	case u.Scheme == "http" && u.Host == x.r.Host:
		x.warnPlainHTTP.Do(func() {
			x.cfg.Logger.WarnContext(x.ctx(), "twofahttp: browsers drop Secure cookies over plain http; serve over https, or from http://localhost", "host", u.Host)
		})
	case u.Host != "" && x.r.Header.Get("Sec-Fetch-Site") == "same-origin" && isLoopback(x.r.Host):
		x.warnPlainHTTP.Do(func() {
			x.cfg.Logger.ErrorContext(x.ctx(), "twofahttp: a proxy replaces the Host header; configure it to pass the browser's on", "host", x.r.Host, "origin", u.Host)
		})
	}
}

// SignOut signs the user out, for the host's logout. It calls SignOut of
// Config.Sessions and [twofa.Manager.SignedOut], and sets a cookie so that browsers
// drop the pages that they keep for the Back button. It sends no response, so
// redirect to a page outside the guard. If it returns an error, the user may still
// be signed in. Answer the error with [Server.Error]. Call it for POST only, and
// outside of [Server.Guard].
func (s *Server) SignOut(w http.ResponseWriter, r *http.Request) error {
	return s.newExchange(w, r).signOut()
}
