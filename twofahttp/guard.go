package twofahttp

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/twofa-go/twofa"
)

// Guard protects next until the user has completed the second factor. A browser
// is redirected to the page that helps, and comes back afterwards. Any other
// client gets application/problem+json with a status and a code:
//
//   - 401 with signed_out, session_unreadable, sign_in_here or
//     second_factor_required
//   - 403 with mfa_enrollment_required or support_required, or with not_allowed
//     if the account's ID is malformed
//   - 503 with unavailable if a record or the policy cannot be read
//   - 500 with misplaced or internal.
//
// For 401 and for mfa_enrollment_required, the member "page" is the address of
// the page to send the user to. After session_unreadable and sign_in_here, the
// host must keep its own session, because another server may be able to read
// ours, or because it is valid in another account. Guard costs one read from the
// store. In next, [User] returns the user.
//
// Put it in front of everything except the host's login page and
// [Server.Handler]. Anything not behind it is unprotected. If a request for the
// login page or for Handler reaches it, it answers 500 and logs the mistake,
// because nobody could ever sign in.
func (s *Server) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := s.newExchange(w, r)
		if x.run(x.checkSession) {
			next.ServeHTTP(w, x.r)
		}
	})
}

func (x *exchange) checkSession() (view, error) {
	if err := x.checkMounting(); err != nil {
		return view{}, err
	}
	c, info := x.identify()
	if err := x.m.Check(x.ctx(), c); err != nil {
		return view{}, err
	}
	x.r = withUser(x.r, info, c.Account)
	return view{}, nil
}

// checkMounting returns an error if a page to which Guard redirects is itself
// behind Guard. Browsers would be redirected in circles.
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

// isLoginPage reports whether the request is for the login page. It ignores
// methods that a login page does not handle, because a router may pass those to
// Guard even if the login page is mounted in front of it.
func (x *exchange) isLoginPage() bool {
	u, err := url.Parse(x.cfg.LoginURL)
	if err != nil || u.Path != x.cfg.public(x.r.URL.Path) || (u.Host != "" && u.Host != x.r.Host) {
		return false
	}
	q := x.r.URL.Query()
	for name := range u.Query() { // several pages may share a path
		if u.Query().Get(name) != q.Get(name) {
			return false
		}
	}
	return x.r.Method == http.MethodGet || x.r.Method == http.MethodPost
}

// Error answers a request with an error from the Manager in the same way as
// [Server.Guard]. It is for handlers that call the Manager themselves:
// CheckAction, UseAction, PeekAction, CheckPerson. If CheckPerson refuses a
// session without a first factor of the user's own, the answer is 401 with
// own_sign_in_required, or a page that says so and has a link to the login page.
func (s *Server) Error(w http.ResponseWriter, r *http.Request, err error) {
	if denied, ok := errors.AsType[*twofa.DeniedError](err); ok {
		s.checkDenied(denied.Action)
	}
	x := s.newExchange(w, r)
	x.run(func() (view, error) { return view{}, err })
}
