// Package twofahttp adds package twofa to a net/http application. It has the
// pages on which users give a second factor, enroll one and manage their factors,
// and the middleware that protects all other pages until they have done so.
//
//	web, err := twofahttp.New(twofahttp.Config{Manager: m, Sessions: sessions})
//	mux.Handle("/2fa/", web.Handler())                              // all pages of this package
//	mux.HandleFunc("GET /login", loginPage)                         // your own login page, not guarded
//	mux.HandleFunc("POST /login", login)                            // its form, not guarded
//	mux.Handle("/", web.Guard(app))                                 // needs a complete login
//	mux.Handle("POST /export", web.RequireAction("export", export)) // needs a fresh code, too
//	web.FirstFactor(w, r, twofa.FirstFactor{…}, next)               // in login, after the password
//
// In a handler behind a guard, [User] returns who is signed in.
//
// A request for a page, as [WantsPage] recognizes it, is redirected to the page
// that helps. Any other client gets application/problem+json. The member "page"
// of that document is the path to which the client must send the user, after
// adding the query parameter "next", a local path to return to. Enrollment that
// the user wants ends at the settings instead:
//
//	/2fa/challenge                         completes a login
//	/2fa/confirm?action=export&resource=   asks for a fresh code before an action
//	/2fa/setup                             enrollment that the account requires
//	/2fa/setup?start=1                     enrollment that the user wants
//	/login                                 the host's own page, Config.LoginURL
//
// The address /2fa/ itself is the settings page. Link to it from your own pages.
// With [Config.Team], admins of an account see its members at /2fa/team.
//
// A form that a browser sends twice within ten seconds, as by a double click,
// ends where the first one did. The codes and links of a login also do so if the
// second one reaches another server. For all other forms, what was done is kept
// in the memory of one process, so prefer a load balancer that keeps a browser on
// one server.
//
// The pages work without JavaScript. All cookies are Secure and have the __Host-
// prefix, so the application must be served over https, and a proxy must pass on
// the browser's Host header. The exception is for development: at
// http://localhost, cookies are plain, because Safari drops Secure cookies there.
// See [Server.SecureCookies].
package twofahttp

import (
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
)

// Sessions connects the pages to the host's session library. The host implements
// it. Its methods are called concurrently.
type Sessions interface {
	// Session returns the twofa session that SignIn stored in the host's
	// session, or the zero Session if there is none.
	Session(r *http.Request) twofa.Session
	// SignIn is called when the user has proven everything that the account
	// requires, and again whenever the Manager issues a new session, for
	// example after an enrollment or a step-up. It must store s in the host's
	// session, mark that session as signed in as the user from
	// Manager.DescribeSession, and give it a new ID. With the old ID, an
	// attacker who planted it before the login would be signed in too (session
	// fixation). If SignIn returns an error, nobody may be signed in.
	SignIn(w http.ResponseWriter, r *http.Request, s twofa.Session) error
	// SignOut ends the host's session, if there is one.
	SignOut(w http.ResponseWriter, r *http.Request) error
}

// Server serves the pages and guards the application. Create one with [New]. It is
// safe for concurrent use.
type Server struct {
	cfg             Config
	templates       map[*locale.Catalog]templates
	languages       *locale.Matcher
	routes          map[string]map[string]handler // by path below Config.Prefix and method
	attempts, sends limiter
	repeats         repeats
	crossOrigin     *http.CrossOriginProtection
	actions         actionNames
	linksElsewhere  bool // mailed links do not lead to a loopback address
	listsEvents     bool // the store of the Manager lists events
	warnPlainHTTP   sync.Once
	warnAddress     sync.Once
	warnNoCookie    sync.Once
}

// Handler returns the handler of all pages. Mount it at Config.Prefix and not
// behind [Server.Guard], because users need some of the pages before their login
// is complete. Each page checks by itself that the user may use it.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := s.newExchange(w, r)
		x.run(x.dispatch)
	})
}

// Client describes the client that sent a request: its IP address, determined with
// Config.TrustedProxies, its user agent, and the token in its browser cookie. It
// is for handlers that call Manager.Begin themselves.
//
// If a browser has no such cookie yet, Client sets one in w, so that challenges
// are bound to the browser. A challenge that is not bound can be used in any
// browser. A request for a page or with the header Sec-Fetch-Site is taken to
// come from a browser. Other programs get no cookie, because many do not return it. Call Client before anything is written
// to w. If w is nil, no cookie is set.
func (s *Server) Client(w http.ResponseWriter, r *http.Request) twofa.Client {
	x := s.newExchange(w, r)
	switch fromBrowser := r.Header.Get("Sec-Fetch-Site") != "" || x.wantsPage(); {
	case !fromBrowser || !x.browser.IsZero():
	case w != nil:
		x.browserToken()
	default:
		s.warnNoCookie.Do(func() {
			s.cfg.Logger.ErrorContext(r.Context(), "twofahttp: Client without a ResponseWriter, for a browser without a cookie; pass w, or challenges are valid in every browser", "path", r.URL.Path)
		})
	}
	return x.client()
}

// Caller returns the caller of a request, for calls to the Manager. If an action
// has Resubmit, Caller also names the form that the request sends. For this, it
// reads a body of at most 16 KB and puts it back into r.
func (s *Server) Caller(r *http.Request) twofa.Caller {
	x := s.newExchange(nil, r)
	c := x.caller()
	c.Form = x.sentFormName(slices.Collect(maps.Keys(s.cfg.Actions))...)
	return c
}
