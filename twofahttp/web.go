// Package twofahttp puts package twofa in front of a net/http application: the
// pages that ask for a second factor, set it up and manage it, and the
// middleware that keeps everything else closed until it is done.
//
//	web, err := twofahttp.New(twofahttp.Config{Manager: m, Sessions: sessions, Issuer: "Acme"})
//	mux.Handle("/2fa/", web.Handler())                              // every page
//	mux.HandleFunc("/login", login)                                 // your own, in front of the guard
//	mux.Handle("/", web.Guard(app))                                 // closed until it is done
//	mux.Handle("POST /export", web.RequireAction("export", export)) // and a fresh code first
//	web.FirstFactor(w, r, twofa.FirstFactor{…}, next)               // in login, after the password
//
// A person is told from everything else by Accept, which names text/html. A
// person is led to the page that helps; everything else gets
// application/problem+json, whose "page" is where its program sends the person,
// with the query parameter "next" added, a local path to come back to:
//
//	/2fa/challenge                         what the login still asks for
//	/2fa/confirm?action=export&resource=   a fresh code before an action
//	/2fa/setup, /2fa/setup?start=1         set-up that is demanded, or wanted
//	/login                                 the host's own page, Config.LoginURL
//
// Beside these, /2fa/ is the settings page, to be linked to.
//
// The pages work without script. Cookies are Secure and carry the __Host-
// prefix: serve over https (browsers accept them from http://localhost too).
package twofahttp

import (
	"errors"
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	text "text/template"

	"github.com/twofa-go/twofa"
)

// Sessions is what the host implements over its own session library. It may be
// called concurrently.
type Sessions interface {
	// Session returns the twofa session kept in the host's session, the zero
	// one if there is none.
	Session(r *http.Request) twofa.Session
	// SignIn is called when all that the account asks for is proven, and
	// whenever a session is upgraded. It gives the host's session a new id, so
	// that nothing planted before lives on, keeps s in it, and marks it signed
	// in; who it is, Manager.DescribeSession(s) tells. After an error nobody is
	// signed in.
	SignIn(w http.ResponseWriter, r *http.Request, s twofa.Session) error
	// SignOut ends the host's session, if there is one.
	SignOut(w http.ResponseWriter, r *http.Request) error
}

// Server serves the pages and guards the rest. Make one with [New] and share it.
type Server struct {
	cfg             Config
	pages           map[string]*template.Template
	codesText       *text.Template
	routes          map[string]map[string]func(*visit) error // path below Prefix, method
	attempts, sends limiter
	origin          *http.CrossOriginProtection
	plain           sync.Once // warns of plain http
}

// route is one way into the handler.
type route struct {
	method, path string // the path below Prefix
	serve        func(*visit) error
}

// routeTable is everything the handler answers. What changes anything is a
// POST, and each POST passes the same checks before it is served.
func routeTable() []route {
	return []route{
		{"GET", "", (*visit).settings},
		{"GET", "challenge", (*visit).challenge},
		{"POST", "verify", (*visit).verify},
		{"POST", "send", (*visit).send},
		{"POST", "cancel", (*visit).cancel},
		{"GET", "status", (*visit).status},
		{"GET", "link", (*visit).link},
		{"POST", "link", (*visit).openLink},
		{"GET", "confirm", (*visit).stepUp},
		{"GET", "recovered", (*visit).recovered},
		{"GET", "setup", (*visit).setup},
		{"POST", "setup", (*visit).startSetup},
		{"POST", "setup/confirm", (*visit).confirmSetup},
		{"POST", "setup/saved", (*visit).savedCodes},
		{"GET", "setup/codes.txt", (*visit).downloadCodes},
		{"POST", "factors/rename", (*visit).renameFactor},
		{"POST", "factors/remove", (*visit).removeFactor},
		{"POST", "codes", (*visit).viewCodes},
		{"POST", "codes/new", (*visit).newCodes},
		{"POST", "browsers/forget", (*visit).forgetBrowser},
		{"POST", "browsers/forget-all", (*visit).forgetBrowsers},
		{"POST", "revoke", (*visit).revoke},
		{"POST", "signin", (*visit).signInAgain},
		{"GET", "style.css", (*visit).stylesheet},
		{"GET", "twofa.js", (*visit).script},
	}
}

// Handler serves every page. Mount it at Config.Prefix, outside of
// [Server.Guard]: these pages let in who is not through yet, and decide for
// themselves.
func (web *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := web.visit(w, r)
		v.run(v.dispatch)
	})
}

func (v *visit) dispatch() error {
	setHeaders(v.w.Header())
	path, ok := strings.CutPrefix(v.r.URL.Path, v.web.cfg.Prefix)
	methods := v.web.routes[path]
	if !ok || methods == nil {
		return errNotFound
	}
	method := v.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	serve := methods[method]
	if serve == nil {
		return notAllowedMethod(methods)
	}
	if method == http.MethodPost {
		if err := v.readForm(); err != nil {
			return err
		}
	}
	return serve(v)
}

// Client returns where a request comes from: its address, by
// Config.TrustedProxies, and the token in its browser cookie.
func (web *Server) Client(r *http.Request) twofa.Client { return web.visit(nil, r).client() }

// Caller returns who makes a request, for calls to the Manager.
func (web *Server) Caller(r *http.Request) twofa.Caller { return web.visit(nil, r).caller() }

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
