package twofahttp

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/twofa-go/twofa"
)

// challengeData is the data of the page "challenge".
type challengeData struct {
	StepUp bool          // a fresh proof for an action, not a login
	Action string        // title of the action, if it has one
	User   string        // account name of the user; empty if the host has none
	Method string        // method that the page asks for
	Others []string      // other methods that the user can choose
	Sent   string        // masked destination of the link or code; empty if none was sent
	Valid  time.Duration // time until the link or code expires, if Sent is not empty
	Days   int           // days for which this browser can be remembered; zero if it cannot
	Code   bool          // whether the email that was sent also has a code that can be typed
	Digits int           // digits of the code; zero if unknown
	Ticked bool          // the user has ticked the box for that before
	Next   string        // address to go to afterwards
	Held   string        // form to be sent after the proof, sealed; empty if there is none
	Again  bool          // whether the user must press the button for the action again
}

// getChallenge shows what a login or step-up asks for.
func (x *exchange) getChallenge() (view, error) {
	f := x.flow(challengeCookie)
	switch {
	case f.kind != "":
		v, err := x.showChallenge(f, twofa.Method(x.r.URL.Query().Get("method")), nil)
		if err == nil && x.readCookie(noticeCookie) == lostNotice {
			v.alert = x.takeNotice()
		}
		return v, err
	case x.session().IsZero():
		x.retryURL = x.cfg.LoginURL
		return view{}, twofa.ErrExpired
	}
	if err := x.m.Check(x.ctx(), x.caller()); err != nil {
		return view{}, err // redirects to what is missing, and then back to this page
	}
	return redirectTo(x.nextURL())
}

// showChallenge shows the page with the wanted method if the user can use it,
// otherwise with the one that a message was sent for, otherwise with the
// strongest. failed is the reason why the page is shown again, or nil.
func (x *exchange) showChallenge(f flow, wanted twofa.Method, failed error) (view, error) {
	result, err := x.m.DescribeChallenge(x.ctx(), x.client(), f.challenge)
	if err != nil {
		return view{}, x.dropExpiredChallenge(f, err)
	}
	method := result.Methods[0]
	for _, m := range []twofa.Method{f.Sent, wanted} {
		if slices.Contains(result.Methods, m) {
			method = m
		}
	}
	d := challengeData{StepUp: f.kind == kindAction, User: result.UserName, Method: string(method), Ticked: x.form.Get("remember") == "yes", Next: f.next}
	d.Others = slices.DeleteFunc(methodNames(result.Methods), func(m string) bool { return m == d.Method })
	if method == f.Sent {
		d.Sent, d.Valid = result.Sent, result.SentExpires.Sub(x.cfg.Now())
	}
	switch method {
	case twofa.TOTP:
		d.Digits = result.Digits
	case twofa.SMS:
		d.Digits = textDigits
	}
	if d.Code = method == f.Sent && result.SentCode; d.Code {
		d.Digits = textDigits
	}
	if x.held != nil {
		d.Held = x.held.text.Reveal()
	}
	if d.StepUp {
		d.Action = x.askedFor(f)
		d.Again = x.held == nil && f.next == x.cfg.Actions[f.Action].Page
	} else if d.Days, err = x.rememberDays(f.Account, method); err != nil {
		return view{}, err
	}
	v := x.challengeView(f, d, failed)
	if until, locked := result.Locked[method]; locked && failed == nil {
		v.alert = x.lockAlert(method, until)
	}
	return v, nil
}

const textDigits = 6 // digits of a code by text message or mail

// lockAlert returns the alert of a page that would ask for a code although none is
// accepted until then. If until is zero, waiting does not help.
func (x *exchange) lockAlert(method twofa.Method, until time.Time) *alert {
	if until.IsZero() {
		return x.alertOf(about(method, waitError{code: "method_off"}))
	}
	return x.alertOf(about(method, waitError{"locked", max(time.Second, until.Sub(x.cfg.Now()))}))
}

// rememberDays returns for how many days a browser is remembered if the user
// proves the method.
func (x *exchange) rememberDays(account string, method twofa.Method) (int, error) {
	if method != twofa.TOTP && method != twofa.SMS {
		return 0, nil
	}
	p, err := x.policy(account)
	return int(p.Remember / (24 * time.Hour)), err
}

// policy returns the policy in force for an account.
func (x *exchange) policy(account string) (twofa.Policy, error) {
	info, err := x.m.Account(twofa.AsHost("page"), account).Policy(x.ctx())
	x.checkPolicy(info.Policy)
	return info.Policy, err
}

// challengeView reports on the page what failed, or why nothing could be sent
// before the page was shown. It never tells the user to wait for a message of an
// earlier challenge, because such a message is not valid for this one.
func (x *exchange) challengeView(f flow, d challengeData, failed error) view {
	method := twofa.Method(d.Method)
	if e, ok := errors.AsType[waitError](failed); ok && e.code == "too_soon" && d.Sent == "" {
		failed = about(method, waitError{"not_sent", e.wait})
	}
	v := view{page: "challenge", data: d, err: failed}
	if failed == nil && d.Sent == "" && sendable(method) {
		v.alert = x.alertOf(f.notSent(method, x.cfg.Now()))
	}
	return v
}

// actionTitle returns the title of an action. A built-in action has one even if
// the host does not set it.
func (x *exchange) actionTitle(action string) string {
	title := x.cfg.Actions[action].Title
	if title == "" && isBuiltIn(action) {
		title = x.locale().Text(builtInActions[action].title, nil)
	}
	return title
}

// dropExpiredChallenge deletes the cookie if err is ErrExpired. It returns err.
func (x *exchange) dropExpiredChallenge(f flow, err error) error {
	if errors.Is(err, twofa.ErrExpired) {
		x.clearFlow(challengeCookie)
		if f.kind == kindAction {
			x.retryURL = x.path("confirm") + "?" + url.Values{"action": {f.Action}, "resource": {f.Resource}, "next": {f.next}}.Encode()
		} else {
			x.retryURL = x.loginURL(f.next)
		}
	}
	return err
}

// postVerify checks a typed code for a login or step-up. Which user, account and
// action the code is for is determined by the challenge alone.
func (x *exchange) postVerify() (view, error) {
	x.retryURL = x.path("challenge")
	f := x.pending()
	p := twofa.Proof{Method: twofa.Method(x.form.Get("method")), Code: twofa.NewSecret(x.form.Get("code")), Remember: x.form.Get("remember") == "yes"}
	v, err := x.prove(f, p)
	if isChallengeError(err) {
		return x.showChallenge(f, p.Method, err)
	}
	return v, err
}

// isChallengeError reports whether the page "challenge" is shown again after an
// error. It is not after ErrNotAllowed, whose answer must not depend on the
// factors of the user.
func isChallengeError(err error) bool {
	return err != nil && isFormError(err) && !errors.Is(err, twofa.ErrNotAllowed)
}

// prove verifies a proof for the challenge of this browser and continues the
// login or step-up.
func (x *exchange) prove(f flow, p twofa.Proof) (view, error) {
	giveBack, err := x.takeAttempt()
	if err != nil {
		return view{}, err
	}
	result, err := x.m.Verify(x.ctx(), x.caller(), f.challenge, p)
	if errors.Is(err, twofa.ErrNotEnrolled) {
		err = twofa.ErrNotAllowed // an attacker who has the password must not learn which factors exist
	}
	if err != nil {
		return view{}, x.dropExpiredChallenge(f, about(p.Method, err))
	}
	giveBack()
	x.giveBackSend(p.Method)
	if p.Method == twofa.RecoveryCode && result.Next == twofa.NextDone && f.kind == kindLogin {
		f.next = x.path("recovered") + "?" + url.Values{"next": {f.next}}.Encode()
	}
	return x.proceed(result, f)
}

// postSend sends a link or code, for the first time or again.
func (x *exchange) postSend() (view, error) {
	x.retryURL = x.path("challenge")
	f := x.pending()
	if again := x.repeatedFlow(); again.kind != "" && x.held != nil {
		return x.showHeld(again)
	}
	method := twofa.Method(x.form.Get("method"))
	result, err := x.sendTo(f.challenge, method)
	if err != nil {
		err = f.failSend(method, err, x.cfg.Now())
	}
	switch {
	case isChallengeError(err):
		x.setFlow(challengeCookie, f)
		return x.showChallenge(f, method, err)
	case err != nil:
		return view{}, x.dropExpiredChallenge(f, err)
	}
	f.challenge, f.retryAt, f.failed = result.Challenge, time.Time{}, ""
	if x.held != nil {
		return x.showHeld(f)
	}
	x.setFlow(challengeCookie, f)
	return redirectTo(x.path("challenge"))
}

func (x *exchange) sendTo(ch twofa.Challenge, method twofa.Method) (twofa.Result, error) {
	if err := x.takeSend(); err != nil {
		return twofa.Result{}, err
	}
	return x.m.Send(x.ctx(), x.client(), ch, method)
}

// postCancel ends a login or step-up. One that has already ended is no error.
// With "Not you?", it also ends the session that a login would complete, because
// the next user of the browser must not continue in it.
func (x *exchange) postCancel() (view, error) {
	to := x.cfg.LoginURL
	for _, name := range []string{challengeCookie, enrollmentCookie} {
		f := x.flow(name)
		if name == challengeCookie {
			f = x.pending()
		}
		if f.kind == "" {
			continue
		}
		switch {
		case f.kind == kindAction && f.Action == twofa.ActionFactors:
			to = x.path("")
		case f.kind == kindAction && builtInActions[f.Action].ofAdmin && x.cfg.Team != nil:
			to = f.next
		case f.kind == kindAction:
			to = x.cfg.HomeURL
		}
		if err := x.m.Cancel(x.ctx(), x.client(), f.challenge); err != nil && !errors.Is(err, twofa.ErrExpired) {
			return view{}, err
		}
		x.clearFlow(name)
	}
	if x.form.Get("signout") == "yes" && !x.session().IsZero() {
		if err := x.signOut(); err != nil {
			return view{}, err
		}
	}
	x.repeats.forget(x.browser)
	return redirectTo(to)
}

// statusData is the answer to the waiting page.
type statusData struct {
	// State is "waiting", "over", or "done" if the login or step-up is complete
	// or continues with enrollment.
	State string `json:"state"`
}

// getStatus reports to the waiting page whether the link has been opened, which
// happens in another tab of the same browser.
func (x *exchange) getStatus() (view, error) {
	state, err := x.pollState()
	return view{data: statusData{state}}, err
}

func (x *exchange) pollState() (string, error) {
	if f := x.flow(challengeCookie); f.kind != "" {
		_, err := x.m.DescribeChallenge(x.ctx(), x.client(), f.challenge)
		if !errors.Is(err, twofa.ErrExpired) {
			return "waiting", err
		}
	}
	err := x.m.Check(x.ctx(), x.caller())
	if c, f := x.enrollmentCaller(); f.kind == kindEnroll && err != nil {
		_, err = x.m.Factors(x.ctx(), c)
	}
	if err == nil {
		return "done", nil
	}
	if errors.Is(err, twofa.ErrUnavailable) || errors.Is(err, context.Canceled) {
		return "", err
	}
	return "over", nil
}

// methodNames returns methods as strings, which templates can compare.
func methodNames(methods []twofa.Method) []string {
	names := make([]string, len(methods))
	for i, m := range methods {
		names[i] = string(m)
	}
	return names
}
