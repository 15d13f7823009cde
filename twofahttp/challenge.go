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

// challenge shows what a login or step-up asks for.
func (v *visit) challenge() error {
	f := v.flow(challengeCookie)
	if f.kind == "" {
		if !v.session().IsZero() {
			if err := v.m.Check(v.ctx(), v.caller()); err != nil {
				return err // leads on to what is missing, and then back here
			}
			return v.redirect(SafeRedirect(v.r.URL.Query().Get("next"), v.web.cfg.HomeURL))
		}
		v.back = v.web.cfg.LoginURL
		return twofa.ErrExpired
	}
	return v.showChallenge(f, twofa.Method(v.r.URL.Query().Get("method")), nil)
}

// showChallenge shows the page with the method that is wanted, if it is on
// offer, else what was sent, else the strongest.
func (v *visit) showChallenge(f flow, want twofa.Method, failed error) error {
	login, err := v.m.DescribeChallenge(v.ctx(), v.client(), f.challenge)
	if err != nil {
		return v.challengeOver(f, err)
	}
	d := challengeData{StepUp: f.kind == kindAction, Next: f.next}
	if d.StepUp {
		d.Action = v.actionTitle(f.action)
	}
	method := login.Methods[0]
	for _, m := range []twofa.Method{f.sent, want} {
		if slices.Contains(login.Methods, m) {
			method = m
		}
	}
	if method == f.sent {
		d.Sent = login.Sent
	}
	d.Method = string(method)
	d.Others = slices.DeleteFunc(methodNames(login.Methods), func(m string) bool { return m == d.Method })
	if !d.StepUp && (method == twofa.TOTP || method == twofa.SMS) {
		p, err := v.m.Policy(v.ctx(), f.account)
		if err != nil {
			return err
		}
		d.Days = int(p.Remember / (24 * time.Hour))
	}
	return v.rerenderChallenge(f, failed, d)
}

// rerenderChallenge shows the page with what was wrong, or that the login could
// not send anything yet. What was sent for another challenge is worth nothing
// here, so nobody is told to wait for that.
func (v *visit) rerenderChallenge(f flow, failed error, d challengeData) error {
	if wait := f.held.Sub(v.web.cfg.Now()); failed == nil && wait > 0 && d.Sent == "" && sendable(twofa.Method(d.Method)) {
		return v.render(http.StatusOK, "challenge", alertOf(tooSoonError{wait, true}), d)
	}
	if e, ok := errors.AsType[tooSoonError](failed); ok {
		failed = tooSoonError{e.wait, d.Sent == ""}
	}
	return v.rerender("challenge", failed, d)
}

// actionTitle names an action. The built-in one has a name of its own, unless
// the host gives it another.
func (v *visit) actionTitle(action string) string {
	title := v.web.cfg.Actions[action].Title
	if title == "" && action == twofa.ActionFactors {
		title = "your security settings"
	}
	return title
}

// challengeOver forgets a challenge that nothing can be done with.
func (v *visit) challengeOver(f flow, err error) error {
	if errors.Is(err, twofa.ErrExpired) {
		v.clearFlow(challengeCookie)
		if f.kind == kindAction {
			v.back = v.path("confirm") + "?" + url.Values{"action": {f.action}, "resource": {f.resource}, "next": {f.next}}.Encode()
		} else {
			v.back = v.loginURL(f.next)
		}
	}
	return err
}

// verify takes a typed code, for a login or a step-up. What is asked for, of
// whom and for what stands in the challenge alone.
func (v *visit) verify() error {
	v.back = v.path("challenge")
	f := v.flow(challengeCookie)
	p := twofa.Proof{Method: twofa.Method(v.form.Get("method")), Code: v.form.Get("code"), Remember: v.form.Get("remember") == "yes"}
	if p.Method == twofa.EmailLink {
		return errBadForm // a link is opened, not typed
	}
	err := v.prove(f, p)
	if errors.Is(err, twofa.ErrInvalidCode) || errors.Is(err, twofa.ErrLocked) || errors.As(err, new(limitError)) {
		return v.showChallenge(f, p.Method, err)
	}
	return err
}

// prove spends a proof on the challenge of this browser and goes on.
func (v *visit) prove(f flow, p twofa.Proof) error {
	giveBack, err := v.takeAttempt()
	if err != nil {
		return err
	}
	login, err := v.m.Verify(v.ctx(), v.client(), f.challenge, p)
	if err != nil {
		return v.challengeOver(f, err)
	}
	giveBack()
	v.giveBackSend(p.Method)
	if p.Method == twofa.RecoveryCode && login.Next == twofa.NextDone && f.kind == kindLogin {
		f.next = v.path("recovered") + "?" + url.Values{"next": {f.next}}.Encode()
	}
	return v.proceed(login, f)
}

// send sends a link or a code, once more too.
func (v *visit) send() error {
	v.back = v.path("challenge")
	f := v.flow(challengeCookie)
	method := twofa.Method(v.form.Get("method"))
	login, err := v.sendTo(f.challenge, method)
	switch {
	case errors.Is(err, twofa.ErrLocked), errors.As(err, new(limitError)):
		return v.showChallenge(f, method, unsent(err))
	case err != nil:
		return v.challengeOver(f, err)
	}
	f.challenge, f.sent, f.held = login.Challenge, method, time.Time{}
	v.setFlow(challengeCookie, f)
	return v.redirect(v.path("challenge"))
}

func (v *visit) sendTo(ch twofa.Challenge, method twofa.Method) (twofa.Result, error) {
	if err := v.takeSend(); err != nil {
		return twofa.Result{}, err
	}
	return v.m.Send(v.ctx(), v.client(), ch, method)
}

// cancel ends a login or step-up. Where it was over already, that is as well.
func (v *visit) cancel() error {
	to := v.web.cfg.LoginURL
	for _, name := range []string{challengeCookie, setupCookie} {
		f := v.flow(name)
		if f.kind == "" {
			continue
		}
		switch {
		case f.kind == kindAction && f.action == twofa.ActionFactors:
			to = v.path("")
		case f.kind == kindAction:
			to = v.web.cfg.HomeURL
		}
		if err := v.m.Cancel(v.ctx(), v.client(), f.challenge); err != nil && !errors.Is(err, twofa.ErrExpired) {
			return err
		}
		v.clearFlow(name)
	}
	return v.redirect(to)
}

// status tells the waiting page whether the link was opened, which happens in
// another tab of the same browser.
func (v *visit) status() error {
	state, err := v.state()
	if err != nil {
		return err
	}
	writeJSON(v.w, http.StatusOK, "application/json", map[string]string{"state": state})
	return nil
}

func (v *visit) state() (string, error) {
	if f := v.flow(challengeCookie); f.kind != "" {
		_, err := v.m.DescribeChallenge(v.ctx(), v.client(), f.challenge)
		if !errors.Is(err, twofa.ErrExpired) {
			return "waiting", err
		}
	}
	err := v.m.Check(v.ctx(), v.caller())
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
