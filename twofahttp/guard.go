package twofahttp

import "net/http"

// Guard keeps next closed until the second factor is done. A person is led to
// the page that helps and comes back afterwards; everything else gets 401 or
// 403 with application/problem+json and a code: signed_out,
// second_factor_required or mfa_enrollment_required. It costs one read.
//
// Put it in front of everything but the host's login and [Web.Handler]; what it
// does not stand in front of is open.
func (web *Web) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := web.visit(w, r)
		if v.run(func() error { return v.m.Check(v.ctx(), v.caller()) }) {
			next.ServeHTTP(w, r)
		}
	})
}

// Error answers a request with what a call to the Manager ended in, as [Web.Guard]
// and the pages do: for handlers that call CheckAction or UseAction themselves.
func (web *Web) Error(w http.ResponseWriter, r *http.Request, err error) {
	v := web.visit(w, r)
	v.run(func() error { return err })
}
