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
func (web *Server) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := web.visit(w, r)
		if v.run(v.guard) {
			next.ServeHTTP(w, r)
		}
	})
}

func (v *visit) guard() error {
	if err := v.misplaced(); err != nil {
		return err
	}
	return v.m.Check(v.ctx(), v.caller())
}

// misplaced finds the pages that Guard leads to behind Guard, which would send
// people round in circles.
func (v *visit) misplaced() error {
	prefix := v.web.cfg.Prefix
	switch {
	case strings.HasPrefix(v.r.URL.Path, prefix):
		return errMisplaced("a page under " + prefix + " reached Guard; mount web.Handler() at " + prefix + ", outside of it")
	case v.atLogin():
		return errMisplaced("the login page " + v.r.URL.Path + " is behind Guard; mount it in front, or set Config.LoginURL")
	}
	return nil
}

// atLogin reports whether the request is for the login page. Other methods
// than a login page answers may well end here where it is mounted in front.
func (v *visit) atLogin() bool {
	u, err := url.Parse(v.web.cfg.LoginURL)
	if err != nil || u.Path != v.r.URL.Path || (u.Host != "" && u.Host != v.r.Host) {
		return false
	}
	q := v.r.URL.Query()
	for name := range u.Query() { // one path may have several pages
		if u.Query().Get(name) != q.Get(name) {
			return false
		}
	}
	return v.r.Method == http.MethodGet || v.r.Method == http.MethodPost
}

// Error answers a request with what a call to the Manager ended in, as [Server.Guard]
// and the pages do: for handlers that call CheckAction or UseAction themselves.
func (web *Server) Error(w http.ResponseWriter, r *http.Request, err error) {
	v := web.visit(w, r)
	v.run(func() error { return err })
}
