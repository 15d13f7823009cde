package twofahttp

import (
	"net/http"
	"net/url"
	"strings"
)

// Guard keeps next closed until the second factor is done. A person, whose
// browser names text/html in Accept, is led to the page that helps and comes
// back afterwards; everything else gets 401 or 403 with
// application/problem+json, a code (signed_out, second_factor_required or
// mfa_enrollment_required) and the page to send a person to. It costs one read.
//
// Put it in front of everything but the host's login and [Server.Handler]; what it
// does not stand in front of is open. Those two it answers with 500 and says
// so in the log, since behind it nobody could ever sign in.
func (s *Server) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := s.newExchange(w, r)
		if x.run(x.checkSession) {
			next.ServeHTTP(w, r)
		}
	})
}

func (x *exchange) checkSession() (view, error) {
	if err := x.checkMounting(); err != nil {
		return view{}, err
	}
	return view{}, x.m.Check(x.ctx(), x.caller())
}

// checkMounting finds the pages that Guard leads to behind Guard, which would send
// people round in circles.
func (x *exchange) checkMounting() error {
	prefix := x.cfg.Prefix
	switch {
	case strings.HasPrefix(x.r.URL.Path, prefix):
		return misplacedError("a page under " + prefix + " reached Guard; mount web.Handler() at " + prefix + ", outside of it")
	case x.isLoginPage():
		return misplacedError("the login page " + x.r.URL.Path + " is behind Guard; mount it in front, or set Config.LoginURL")
	}
	return nil
}

// isLoginPage reports whether the request is for the login page. Other methods
// than a login page answers may well end here where it is mounted in front.
func (x *exchange) isLoginPage() bool {
	u, err := url.Parse(x.cfg.LoginURL)
	if err != nil || u.Path != x.r.URL.Path || (u.Host != "" && u.Host != x.r.Host) {
		return false
	}
	q := x.r.URL.Query()
	for name := range u.Query() { // one path may have several pages
		if u.Query().Get(name) != q.Get(name) {
			return false
		}
	}
	return x.r.Method == http.MethodGet || x.r.Method == http.MethodPost
}

// Error answers a request with what a call to the Manager ended in, as [Server.Guard]
// and the pages do: for handlers that call CheckAction or UseAction themselves.
func (s *Server) Error(w http.ResponseWriter, r *http.Request, err error) {
	x := s.newExchange(w, r)
	x.run(func() (view, error) { return view{}, err })
}
