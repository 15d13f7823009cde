package twofahttp

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/twofa-go/twofa"
)

var errSeePage = errors.New("twofahttp: to be confirmed on its page")

// RequireAction lets a request through to next only after all that [Server.Guard]
// asks for, which need not stand in front of it too, and a fresh proof for the
// action. A person, told apart as by Guard, is led to the code page, and from
// there back to the page with the button (see [Action]); a POST is never
// repeated on its own. Who has no factor is shown 403 and the way to set one
// up, also where the policy requires none. Everything that is no person gets
// 401 with a challenge by RFC 9470 and the page to send one to.
//
// Only POST, PUT, PATCH and DELETE use up a proof that serves once. Such an
// action does not reach next by GET, HEAD or OPTIONS at all, since anything
// that prefetches or scans would get what is protected again and again; except
// on Action.Page itself, where the button is. Sent from another site, no
// request uses up anything.
func (s *Server) RequireAction(action string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := s.newExchange(w, r)
		let := false
		x.run(func() error {
			err := x.checkAction(action)
			let = err == nil
			if errors.Is(err, errSeePage) {
				return x.redirect(s.cfg.Actions[action].Page)
			}
			return err
		})
		if let {
			next.ServeHTTP(w, r)
		}
	})
}

func (x *exchange) checkAction(action string) error {
	c := x.caller()
	if !isSafeMethod(x.r.Method) {
		if err := x.crossOrigin.Check(x.r); err != nil {
			return errCrossSite
		}
		return x.m.UseAction(x.ctx(), c, action, "")
	}
	if err := x.m.CheckAction(x.ctx(), c, action, ""); err != nil {
		return err
	}
	p, err := x.m.Policy(x.ctx(), c.Account)
	if err != nil || p.Rule(action).MaxAge > 0 {
		return err
	}
	switch page := x.cfg.Actions[action].Page; {
	case page == "":
		return errPostOnly
	case page[:len(page)-len(pathSuffix(page))] == x.r.URL.Path:
		return nil
	case x.wantsPage():
		return errSeePage
	}
	return errPostOnly
}

// getConfirm starts a step-up and goes on to the page that asks. Nothing is
// written: a visit from elsewhere leaves no more than a challenge nobody answers.
func (x *exchange) getConfirm() error {
	q := x.r.URL.Query()
	f := flow{kind: kindAction, action: q.Get("action"), resource: q.Get("resource")}
	f.next = SafeRedirect(q.Get("next"), cmp.Or(x.cfg.Actions[f.action].Page, x.cfg.HomeURL))
	x.browserToken()
	c := x.caller()
	f.account = c.Account
	login, err := x.m.StepUp(x.ctx(), c, f.action, f.resource)
	if err != nil {
		return err
	}
	if login.Next == twofa.NextDone {
		return x.redirect(f.next)
	}
	f.challenge = login.Challenge
	x.setFlow(challengeCookie, f)
	to := x.path("challenge")
	if m := q.Get("method"); slices.Contains(login.Methods, twofa.Method(m)) {
		to += "?method=" + url.QueryEscape(m)
	}
	return x.redirect(to)
}
