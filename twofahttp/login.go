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
func (web *Server) FirstFactor(w http.ResponseWriter, r *http.Request, f twofa.FirstFactor, next string) {
	v := web.visit(w, r)
	v.run(func() error {
		setHeaders(w.Header())
		v.warnOfPlainHTTP()
		v.back = v.loginURL(SafeRedirect(next, ""))
		v.browserToken()
		f.Client = v.client()
		return v.begin(f, next)
	})
}

func (v *visit) begin(first twofa.FirstFactor, next string) error {
	login, err := v.m.Begin(v.ctx(), first)
	if errors.Is(err, twofa.ErrNotAllowed) { // the host let in whom its directory does not
		v.web.cfg.Logger.WarnContext(v.ctx(), "twofahttp: FirstFactor refused", "path", v.r.URL.Path, "error", err)
	}
	if err != nil {
		return err
	}
	f := flow{account: first.Account, next: next}
	if login.Next != twofa.NextDone && !v.session().IsZero() {
		// A new login begins with nobody signed in.
		if err := v.web.cfg.Sessions.SignOut(v.w, v.r); err != nil {
			return err
		}
	}
	if login.Next == twofa.NextChallenge && sendable(login.Methods[0]) {
		// What has to be sent leaves now, where the password was just typed.
		// If it cannot, the page that follows says so and has a button.
		if sent, err := v.sendTo(login.Challenge, login.Methods[0]); err == nil {
			login, f.sent = sent, login.Methods[0]
		} else {
			v.log(err)
			if wait := twofa.RetryAfter(err); wait > 0 {
				f.held = v.web.cfg.Now().Add(wait)
			}
		}
	}
	return v.proceed(login, f)
}

// proceed takes the browser to where a login stands.
func (v *visit) proceed(login twofa.Result, f flow) error {
	switch login.Next {
	case twofa.NextDone:
		if err := v.signIn(login); err != nil {
			return err
		}
		return v.redirect(SafeRedirect(f.next, v.web.cfg.HomeURL))
	case twofa.NextChallenge:
		f.kind, f.challenge = kindLogin, login.Challenge
		v.clearFlow(setupCookie)
		v.setFlow(challengeCookie, f)
		return v.redirect(v.path("challenge"))
	case twofa.NextEnroll:
		f.kind, f.challenge = kindEnroll, login.Challenge
		v.clearFlow(challengeCookie)
		v.setFlow(setupCookie, f)
		return v.redirect(v.path("setup"))
	}
	return errInternal
}

// signIn hands over what a login, set-up or step-up ended in. A step-up has no
// new session.
func (v *visit) signIn(login twofa.Result) error {
	if !login.Session.IsZero() {
		if err := v.web.cfg.Sessions.SignIn(v.w, v.r, login.Session); err != nil {
			return err
		}
	}
	if !login.Browser.IsZero() { // only then: of two answers at once the later would put an old token back
		v.browser = login.Browser
		v.setCookie(browserCookie, v.browser.Reveal(), browserAge)
	}
	v.clearFlow(challengeCookie)
	v.clearFlow(setupCookie)
	return nil
}

// resume goes on with a live session that an account asks more of.
func (v *visit) resume() error {
	v.browserToken()
	c := v.caller()
	login, err := v.m.Resume(v.ctx(), c)
	if err != nil {
		return err
	}
	return v.proceed(login, flow{account: c.Account, next: v.here()})
}

// signInAgain ends the session, so that the host's login page asks again: the
// very first factor needs a first factor that is not long ago.
func (v *visit) signInAgain() error {
	if err := v.web.cfg.Sessions.SignOut(v.w, v.r); err != nil {
		return err
	}
	v.clearFlow(challengeCookie)
	v.clearFlow(setupCookie)
	http.Redirect(v.w, v.r, v.loginURL(SafeRedirect(v.form.Get("next"), v.path(""))), http.StatusSeeOther)
	return nil
}

// loginURL is the host's login page with the way back.
func (v *visit) loginURL(next string) string {
	u, err := url.Parse(v.web.cfg.LoginURL)
	if err != nil || next == "" || next == v.web.cfg.HomeURL {
		return v.web.cfg.LoginURL
	}
	q := u.Query()
	q.Set("next", next)
	u.RawQuery = q.Encode()
	return u.String()
}

// warnOfPlainHTTP says once why no login lasts: browsers drop our cookies where
// they were not set over https. The browser itself tells what it used, which
// holds behind any proxy.
func (v *visit) warnOfPlainHTTP() {
	u, err := url.Parse(v.r.Header.Get("Origin"))
	if err != nil || u.Scheme != "http" || u.Host != v.r.Host || loopback(u.Hostname()) {
		return
	}
	v.web.plain.Do(func() {
		v.web.cfg.Logger.WarnContext(v.ctx(), "twofahttp: cookies will not come back over plain http; serve over https, or at http://localhost", "host", u.Host)
	})
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || (err == nil && addr.IsLoopback())
}
