package twofahttp

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/twofa-go/twofa"
)

// RequireAction protects next until the user has given a fresh proof for the
// action, with an empty resource. For an action on one resource, call
// Manager.UseAction and pass its error to [Server.Error]. RequireAction also
// checks everything that [Server.Guard] checks, so it can be used without
// Guard.
//
// A browser is redirected to the page that asks for a code and from there back
// to the page with the button (see [Action]). A POST is repeated only if
// Action.Resubmit is set. A user without a factor gets 403 and a page that leads to
// enrollment, even if the policy requires no factor. Other clients get 401 with
// an RFC 9470 challenge and the address of the page to send the user to.
//
// POST, PUT, PATCH and DELETE use up a single-use proof. GET, HEAD and OPTIONS
// never reach next if the action needs a single-use proof, because prefetchers
// and scanners could otherwise fetch the protected data any number of times.
// Even with a proof they get 405, or a browser is redirected to Action.Page if
// that is set. The exception is Action.Page itself, the page with the button. A
// request from another site gets 403 and never uses up a proof.
//
// RequireAction panics if the name of the action is empty or longer than 128
// bytes, because no proof could be given for it. See [Config.Actions] for names
// that differ.
func (s *Server) RequireAction(action string, next http.Handler) http.Handler {
	return s.GuardAction(action)(next)
}

// GuardAction returns [Server.RequireAction] for an action as a middleware, for
// routers that take one: r.With(web.GuardAction("export")).Post("/export", export).
func (s *Server) GuardAction(action string) func(next http.Handler) http.Handler {
	s.mountAction(action)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := s.newExchange(w, r)
			if x.run(func() (view, error) { return x.checkAction(action) }) {
				next.ServeHTTP(w, x.r)
			}
		})
	}
}

func (x *exchange) checkAction(action string) (view, error) {
	c, info := x.identify()
	if isSafeMethod(x.r.Method) {
		if err := x.m.PeekAction(x.ctx(), c, action, ""); err != nil {
			return view{}, err
		}
		x.r = withUser(x.r, info, c.Account)
		return x.checkSafeMethod(c.Account, action)
	}
	if err := x.crossOrigin.Check(x.r); err != nil {
		return view{}, errCrossSite
	}
	c.Form = x.sentFormName(action)
	if err := x.m.UseAction(x.ctx(), c, action, ""); err != nil {
		return view{}, err
	}
	x.r = withUser(x.r, info, c.Account)
	return view{}, nil
}

// checkSafeMethod lets a GET, HEAD or OPTIONS request through if the proof for
// the action can be used more than once, or on the page with the button.
func (x *exchange) checkSafeMethod(account, action string) (view, error) {
	p, err := x.policy(account)
	if err != nil {
		return view{}, err
	}
	page := x.cfg.Actions[action].Page
	switch {
	case p.Rule(action).MaxAge > 0, page != "" && strings.TrimSuffix(page, pathSuffix(page)) == x.cfg.public(x.r.URL.Path):
		return view{}, nil
	case page != "" && x.wantsPage():
		return redirectTo(page)
	}
	return view{}, errPostOnly
}

// getConfirm starts a step-up and redirects to the page that asks for the
// proof. A link is sent at once if the user can prove nothing stronger. Otherwise
// it writes nothing to the store. A request from another site sends nothing and
// leaves only a challenge that nobody answers.
func (x *exchange) getConfirm() (view, error) {
	q := x.r.URL.Query()
	action, resource := q.Get("action"), q.Get("resource")
	f := flow{next: SafeRedirect(q.Get("next"), cmp.Or(x.cfg.Actions[action].Page, x.cfg.HomeURL))}
	x.browserToken()
	c := x.caller()
	result, err := x.m.StepUp(x.ctx(), c, action, resource)
	if err != nil {
		return view{}, err
	}
	if result.Next == twofa.NextDone {
		return redirectTo(f.next)
	}
	x.setFlow(challengeCookie, x.sendStepUp(result, f, c.Account, action, resource))
	to := x.path("challenge")
	if m := q.Get("method"); slices.Contains(result.Methods, twofa.Method(m)) {
		to += "?method=" + url.QueryEscape(m)
	}
	return redirectTo(x.expectCookies(to))
}

// sendStepUp sends the link of a step-up at once if the user can prove nothing
// stronger, and returns the flow with the challenge.
func (x *exchange) sendStepUp(result twofa.Result, f flow, account, action, resource string) flow {
	if result.Methods[0] == twofa.EmailLink && x.isOwnRequest() {
		if old := x.flow(challengeCookie); x.isWaiting(old, account, action, resource) {
			result.Challenge = old.challenge // the page was loaded again
		} else {
			result = x.sendAtOnce(result, &f)
		}
	}
	f.challenge = result.Challenge
	return f
}

// isOwnRequest reports whether the browser does not say that the request comes
// from another site.
func (x *exchange) isOwnRequest() bool {
	site := x.r.Header.Get("Sec-Fetch-Site")
	return site != "cross-site" && site != "same-site"
}

// isWaiting reports whether a link was already sent for the same step-up and can
// still be opened.
func (x *exchange) isWaiting(old flow, account, action, resource string) bool {
	if old.ChallengeInfo != (twofa.ChallengeInfo{Next: twofa.NextChallenge, Account: account, Action: action, Resource: resource, Sent: twofa.EmailLink}) {
		return false
	}
	_, err := x.m.DescribeChallenge(x.ctx(), x.client(), old.challenge)
	return err == nil
}
