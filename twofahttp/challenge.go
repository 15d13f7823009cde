package twofahttp

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/twofa-go/twofa"
)

// challengeData is what the page "challenge" gets.
type challengeData struct {
	StepUp bool     // a fresh proof for an action, not a login
	Action string   // what is about to be done, if it has a name
	Method string   // that is asked for
	Others []string // methods on offer beside it
	Sent   string   // where a link or code was sent to, masked; "" if nothing is on its way
	Days   int      // how long this browser would be remembered; 0 means that is not offered
	Next   string   // where it goes on
}

// getChallenge shows what a login or step-up asks for.
func (x *exchange) getChallenge() error {
	f := x.flow(challengeCookie)
	if f.kind == "" {
		if !x.session().IsZero() {
			if err := x.m.Check(x.ctx(), x.caller()); err != nil {
				return err // leads on to what is missing, and then back here
			}
			return x.redirect(SafeRedirect(x.r.URL.Query().Get("next"), x.cfg.HomeURL))
		}
		x.retryURL = x.cfg.LoginURL
		return twofa.ErrExpired
	}
	return x.showChallenge(f, twofa.Method(x.r.URL.Query().Get("method")), nil)
}

// showChallenge shows the page with the method that is wanted, if it is on
// offer, else what was sent, else the strongest.
func (x *exchange) showChallenge(f flow, want twofa.Method, failed error) error {
	result, err := x.m.DescribeChallenge(x.ctx(), x.client(), f.challenge)
	if err != nil {
		return x.challengeOver(f, err)
	}
	d := challengeData{StepUp: f.kind == kindAction, Next: f.next}
	if d.StepUp {
		d.Action = x.actionTitle(f.action)
	}
	method := result.Methods[0]
	for _, m := range []twofa.Method{f.sent, want} {
		if slices.Contains(result.Methods, m) {
			method = m
		}
	}
	if method == f.sent {
		d.Sent = result.Sent
	}
	d.Method = string(method)
	d.Others = slices.DeleteFunc(methodNames(result.Methods), func(m string) bool { return m == d.Method })
	if !d.StepUp && (method == twofa.TOTP || method == twofa.SMS) {
		p, err := x.m.Policy(x.ctx(), f.account)
		if err != nil {
			return err
		}
		d.Days = int(p.Remember / (24 * time.Hour))
	}
	return x.rerenderChallenge(f, failed, d)
}

// rerenderChallenge shows the page with what was wrong, or that the login could
// not send anything yet. What was sent for another challenge is worth nothing
// here, so nobody is told to wait for that.
func (x *exchange) rerenderChallenge(f flow, failed error, d challengeData) error {
	if wait := f.retryAt.Sub(x.cfg.Now()); failed == nil && wait > 0 && d.Sent == "" && sendable(twofa.Method(d.Method)) {
		return x.render(http.StatusOK, "challenge", alertOf(tooSoonError{wait, true}), d)
	}
	if e, ok := errors.AsType[tooSoonError](failed); ok {
		failed = tooSoonError{e.wait, d.Sent == ""}
	}
	return x.rerender("challenge", failed, d)
}

// actionTitle names an action. The built-in one has a name of its own, unless
// the host gives it another.
func (x *exchange) actionTitle(action string) string {
	title := x.cfg.Actions[action].Title
	if title == "" && action == twofa.ActionFactors {
		title = "your security settings"
	}
	return title
}

// challengeOver forgets a challenge that nothing can be done with.
func (x *exchange) challengeOver(f flow, err error) error {
	if errors.Is(err, twofa.ErrExpired) {
		x.clearFlow(challengeCookie)
		if f.kind == kindAction {
			x.retryURL = x.path("confirm") + "?" + url.Values{"action": {f.action}, "resource": {f.resource}, "next": {f.next}}.Encode()
		} else {
			x.retryURL = x.loginURL(f.next)
		}
	}
	return err
}

// postVerify takes a typed code, for a login or a step-up. What is asked for, of
// whom and for what stands in the challenge alone.
func (x *exchange) postVerify() error {
	x.retryURL = x.path("challenge")
	f := x.flow(challengeCookie)
	p := twofa.Proof{Method: twofa.Method(x.form.Get("method")), Code: x.form.Get("code"), Remember: x.form.Get("remember") == "yes"}
	if p.Method == twofa.EmailLink {
		return errBadForm // a link is opened, not typed
	}
	err := x.prove(f, p)
	if errors.Is(err, twofa.ErrInvalidCode) || errors.Is(err, twofa.ErrLocked) || errors.As(err, new(limitError)) {
		return x.showChallenge(f, p.Method, err)
	}
	return err
}

// prove spends a proof on the challenge of this browser and goes on.
func (x *exchange) prove(f flow, p twofa.Proof) error {
	giveBack, err := x.takeAttempt()
	if err != nil {
		return err
	}
	login, err := x.m.Verify(x.ctx(), x.client(), f.challenge, p)
	if err != nil {
		return x.challengeOver(f, err)
	}
	giveBack()
	x.giveBackSend(p.Method)
	if p.Method == twofa.RecoveryCode && login.Next == twofa.NextDone && f.kind == kindLogin {
		f.next = x.path("recovered") + "?" + url.Values{"next": {f.next}}.Encode()
	}
	return x.proceed(login, f)
}

// postSend sends a link or a code, once more too.
func (x *exchange) postSend() error {
	x.retryURL = x.path("challenge")
	f := x.flow(challengeCookie)
	method := twofa.Method(x.form.Get("method"))
	result, err := x.sendTo(f.challenge, method)
	switch {
	case errors.Is(err, twofa.ErrLocked), errors.As(err, new(limitError)):
		return x.showChallenge(f, method, asSendTooSoon(err))
	case err != nil:
		return x.challengeOver(f, err)
	}
	f.challenge, f.sent, f.retryAt = result.Challenge, method, time.Time{}
	x.setFlow(challengeCookie, f)
	return x.redirect(x.path("challenge"))
}

func (x *exchange) sendTo(ch twofa.Challenge, method twofa.Method) (twofa.Result, error) {
	if err := x.takeSend(); err != nil {
		return twofa.Result{}, err
	}
	return x.m.Send(x.ctx(), x.client(), ch, method)
}

// postCancel ends a login or step-up. Where it was over already, that is as well.
func (x *exchange) postCancel() error {
	to := x.cfg.LoginURL
	for _, name := range []string{challengeCookie, enrollmentCookie} {
		f := x.flow(name)
		if f.kind == "" {
			continue
		}
		switch {
		case f.kind == kindAction && f.action == twofa.ActionFactors:
			to = x.path("")
		case f.kind == kindAction:
			to = x.cfg.HomeURL
		}
		if err := x.m.Cancel(x.ctx(), x.client(), f.challenge); err != nil && !errors.Is(err, twofa.ErrExpired) {
			return err
		}
		x.clearFlow(name)
	}
	return x.redirect(to)
}

// getStatus tells the waiting page whether the link was opened, which happens in
// another tab of the same browser.
func (x *exchange) getStatus() error {
	state, err := x.pollState()
	if err != nil {
		return err
	}
	writeJSON(x.w, http.StatusOK, "application/json", map[string]string{"state": state})
	return nil
}

func (x *exchange) pollState() (string, error) {
	if f := x.flow(challengeCookie); f.kind != "" {
		_, err := x.m.DescribeChallenge(x.ctx(), x.client(), f.challenge)
		if !errors.Is(err, twofa.ErrExpired) {
			return "waiting", err
		}
	}
	err := x.m.Check(x.ctx(), x.caller())
	if err == nil {
		return "done", nil
	}
	if errors.Is(err, twofa.ErrUnavailable) || errors.Is(err, context.Canceled) {
		return "", err
	}
	return "over", nil
}

// methodNames lists methods as templates compare them.
func methodNames(methods []twofa.Method) []string {
	names := make([]string, len(methods))
	for i, m := range methods {
		names[i] = string(m)
	}
	return names
}
