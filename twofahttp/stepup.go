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
func (web *Server) RequireAction(action string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := web.visit(w, r)
		let := false
		v.run(func() error {
			err := v.mayDo(action)
			let = err == nil
			if errors.Is(err, errSeePage) {
				return v.redirect(web.cfg.Actions[action].Page)
			}
			return err
		})
		if let {
			next.ServeHTTP(w, r)
		}
	})
}

func (v *visit) mayDo(action string) error {
	c := v.caller()
	if !safeMethod(v.r.Method) {
		if err := v.web.origin.Check(v.r); err != nil {
			return errCrossSite
		}
		return v.m.UseAction(v.ctx(), c, action, "")
	}
	if err := v.m.CheckAction(v.ctx(), c, action, ""); err != nil {
		return err
	}
	p, err := v.m.Policy(v.ctx(), c.Account)
	if err != nil || p.Rule(action).MaxAge > 0 {
		return err
	}
	switch page := v.web.cfg.Actions[action].Page; {
	case page == "":
		return errOnce
	case page[:len(page)-len(afterPath(page))] == v.r.URL.Path:
		return nil
	case v.wantsPage():
		return errSeePage
	}
	return errOnce
}

// stepUp starts a step-up and goes on to the page that asks. Nothing is
// written: a visit from elsewhere leaves no more than a challenge nobody answers.
func (v *visit) stepUp() error {
	q := v.r.URL.Query()
	f := flow{kind: kindAction, action: q.Get("action"), resource: q.Get("resource")}
	f.next = SafeRedirect(q.Get("next"), cmp.Or(v.web.cfg.Actions[f.action].Page, v.web.cfg.HomeURL))
	v.browserToken()
	c := v.caller()
	f.account = c.Account
	login, err := v.m.StepUp(v.ctx(), c, f.action, f.resource)
	if err != nil {
		return err
	}
	if login.Next == twofa.NextDone {
		return v.redirect(f.next)
	}
	f.challenge = login.Challenge
	v.setFlow(challengeCookie, f)
	to := v.path("challenge")
	if m := q.Get("method"); slices.Contains(login.Methods, twofa.Method(m)) {
		to += "?method=" + url.QueryEscape(m)
	}
	return v.redirect(to)
}
