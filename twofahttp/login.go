package twofahttp

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/twofa-go/twofa"
)

// FirstFactor goes on where the host has just checked a password, or another
// first factor. It fills in f.Client, and signs in or leads to what else is
// needed, then to next, a local path. It answers the request: nothing may
// have been written to w before. Why somebody is refused stands in the log.
func (s *Server) FirstFactor(w http.ResponseWriter, r *http.Request, f twofa.FirstFactor, next string) {
	x := s.newExchange(w, r)
	x.run(func() error {
		setHeaders(w.Header())
		x.warnOfPlainHTTP()
		x.retryURL = x.loginURL(SafeRedirect(next, ""))
		x.browserToken()
		f.Client = x.client()
		return x.begin(f, next)
	})
}

func (x *exchange) begin(first twofa.FirstFactor, next string) error {
	result, err := x.m.Begin(x.ctx(), first)
	if errors.Is(err, twofa.ErrNotAllowed) { // the host let in whom its directory does not
		x.cfg.Logger.WarnContext(x.ctx(), "twofahttp: FirstFactor refused", "path", x.r.URL.Path, "error", err)
	}
	if err != nil {
		return err
	}
	f := flow{account: first.Account, next: next}
	if result.Next != twofa.NextDone && !x.session().IsZero() {
		// A new login begins with nobody signed in.
		if err := x.cfg.Sessions.SignOut(x.w, x.r); err != nil {
			return err
		}
	}
	if result.Next == twofa.NextChallenge && sendable(result.Methods[0]) {
		// What has to be sent leaves now, where the password was just typed.
		// If it cannot, the page that follows says so and has a button.
		if sent, err := x.sendTo(result.Challenge, result.Methods[0]); err == nil {
			result, f.sent = sent, result.Methods[0]
		} else {
			x.log(err)
			if wait := twofa.RetryAfter(err); wait > 0 {
				f.retryAt = x.cfg.Now().Add(wait)
			}
		}
	}
	return x.proceed(result, f)
}

// proceed takes the browser to where a login stands.
func (x *exchange) proceed(result twofa.Result, f flow) error {
	switch result.Next {
	case twofa.NextDone:
		if err := x.signIn(result); err != nil {
			return err
		}
		return x.redirect(SafeRedirect(f.next, x.cfg.HomeURL))
	case twofa.NextChallenge:
		f.kind, f.challenge = kindLogin, result.Challenge
		x.clearFlow(enrollmentCookie)
		x.setFlow(challengeCookie, f)
		return x.redirect(x.path("challenge"))
	case twofa.NextEnroll:
		f.kind, f.challenge = kindEnroll, result.Challenge
		x.clearFlow(challengeCookie)
		x.setFlow(enrollmentCookie, f)
		return x.redirect(x.path("setup"))
	}
	return errInternal
}

// signIn hands over what a login, set-up or step-up ended in. A step-up has no
// new session.
func (x *exchange) signIn(result twofa.Result) error {
	if !result.Session.IsZero() {
		if err := x.cfg.Sessions.SignIn(x.w, x.r, result.Session); err != nil {
			return err
		}
	}
	if !result.Browser.IsZero() { // only then: of two answers at once the later would put an old token back
		x.browser = result.Browser
		x.setCookie(browserCookie, x.browser.Reveal(), browserAge)
	}
	x.clearFlow(challengeCookie)
	x.clearFlow(enrollmentCookie)
	return nil
}

// resumeSession goes on with a live session that an account asks more of.
func (x *exchange) resumeSession() error {
	x.browserToken()
	c := x.caller()
	result, err := x.m.Resume(x.ctx(), c)
	if err != nil {
		return err
	}
	return x.proceed(result, flow{account: c.Account, next: x.currentURL()})
}

// postSignIn ends the session, so that the host's login page asks again: the
// very first factor needs a first factor that is not long ago.
func (x *exchange) postSignIn() error {
	if err := x.cfg.Sessions.SignOut(x.w, x.r); err != nil {
		return err
	}
	x.clearFlow(challengeCookie)
	x.clearFlow(enrollmentCookie)
	http.Redirect(x.w, x.r, x.loginURL(SafeRedirect(x.form.Get("next"), x.path(""))), http.StatusSeeOther)
	return nil
}

// loginURL is the host's login page with the way back.
func (x *exchange) loginURL(next string) string {
	u, err := url.Parse(x.cfg.LoginURL)
	if err != nil || next == "" || next == x.cfg.HomeURL {
		return x.cfg.LoginURL
	}
	q := u.Query()
	q.Set("next", next)
	u.RawQuery = q.Encode()
	return u.String()
}

// warnOfPlainHTTP says once why no login lasts: browsers drop our cookies where
// they were not set over https. The browser itself tells what it used, which
// holds behind any proxy.
func (x *exchange) warnOfPlainHTTP() {
	u, err := url.Parse(x.r.Header.Get("Origin"))
	if err != nil || u.Scheme != "http" || u.Host != x.r.Host || isLoopback(u.Hostname()) {
		return
	}
	x.warnPlainHTTP.Do(func() {
		x.cfg.Logger.WarnContext(x.ctx(), "twofahttp: cookies will not come back over plain http; serve over https, or at http://localhost", "host", u.Host)
	})
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || (err == nil && addr.IsLoopback())
}
