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
	"net/http"
	"sync"

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
	templates       templates
	routes          map[string]map[string]handler // path below Prefix, method
	attempts, sends limiter
	crossOrigin     *http.CrossOriginProtection
	warnPlainHTTP   sync.Once // warns of plain http
}

// Handler serves every page. Mount it at Config.Prefix, outside of
// [Server.Guard]: these pages let in who is not through yet, and decide for
// themselves.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := s.newExchange(w, r)
		x.run(x.dispatch)
	})
}

// Client returns where a request comes from: its address, by
// Config.TrustedProxies, and the token in its browser cookie.
func (s *Server) Client(r *http.Request) twofa.Client { return s.newExchange(nil, r).client() }

// Caller returns who makes a request, for calls to the Manager.
func (s *Server) Caller(r *http.Request) twofa.Caller { return s.newExchange(nil, r).caller() }
