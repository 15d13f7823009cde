package twofahttp

import (
	"errors"
	"net/url"
	"time"

	"github.com/twofa-go/twofa"
)

// caseData is the data of the page "case".
type caseData struct {
	Token string
	Facts caseFacts
}

// caseFacts is what users are shown of a support case. The names of the staff and
// their reasons are the host's own.
type caseFacts struct {
	Opened    time.Time
	From      time.Time // time before which nothing changes; zero if it has passed
	Approved  bool      // somebody has approved it
	Suspended bool      // on hold, because the user has signed in since
}

func (x *exchange) factsOf(c twofa.Case) caseFacts {
	facts := caseFacts{c.Opened, c.From, len(c.Approvals) > 0, c.Suspended}
	if !c.From.After(x.cfg.Now()) {
		facts.From = time.Time{}
	}
	return facts
}

// getCase shows the support case to which a mailed link leads. Mail scanners and
// previews open it too, so it changes nothing. It needs neither a session nor a
// cookie, because the user of a case is one who cannot sign in.
func (x *exchange) getCase() (view, error) {
	token := x.r.URL.Query().Get("token")
	c, err := x.m.LinkedCase(x.ctx(), twofa.NewSecret(token))
	if err != nil {
		return view{}, asCaseOver(err)
	}
	return view{page: "case", data: caseData{token, x.factsOf(c)}}, nil
}

// postCase ends the case. The form needs no form token: another site could send it
// only with the token of the link, and whoever has that can end the case anyway.
func (x *exchange) postCase() (view, error) {
	if err := x.m.CancelCase(x.ctx(), x.client(), twofa.NewSecret(x.form.Get("token"))); err != nil {
		x.retryURL = x.path(casePath) + "?" + url.Values{"token": {x.form.Get("token")}}.Encode()
		return view{}, asCaseOver(err)
	}
	if x.browser.IsZero() { // the next page would not find the message
		return doneView(x.alert(problem{message: messageOf("case_stopped", "")}), x.cfg.HomeURL), nil
	}
	x.notify("case_stopped")
	return redirectTo(x.donePage(x.cfg.HomeURL))
}

// asCaseOver replaces ErrExpired by what it means for a case.
func asCaseOver(err error) error {
	if errors.Is(err, twofa.ErrExpired) {
		return errCaseOver
	}
	return err
}

// askedData is the data of the page "asked".
type askedData struct {
	Asked *question
}

// question is the form that asks whether a case is the user's own.
type question struct {
	ID    string // of the case
	Facts caseFacts
	Next  string // address to go to afterwards
}

// questionAbout returns the question about an open case, or nil if there is none.
func (x *exchange) questionAbout(c *twofa.Case, next string) *question {
	if c == nil {
		return nil
	}
	return &question{c.ID, x.factsOf(*c), next}
}

// askedPage returns the address of the page "asked", which leads to next.
func (x *exchange) askedPage(next string) string {
	return x.path("asked") + "?" + url.Values{"next": {next}}.Encode()
}

// getAsked asks a signed-in user, after each login, whether the open support case
// is theirs. If there is none, it goes on.
func (x *exchange) getAsked() (view, error) {
	standing, err := x.m.Standing(x.ctx(), x.caller())
	switch {
	case err != nil:
		return view{}, err
	case standing.Case == nil:
		return redirectTo(x.nextURL())
	}
	return view{page: "asked", data: askedData{x.questionAbout(standing.Case, x.nextURL())}}, nil
}

// postAsked records the answer.
func (x *exchange) postAsked() (view, error) {
	next := SafeRedirect(x.form.Get("next"), x.cfg.HomeURL)
	x.retryURL = x.askedPage(next)
	answer := x.form.Get("mine")
	if answer != "yes" && answer != "no" {
		return view{}, errBadForm
	}
	err := x.m.AnswerCase(x.ctx(), x.caller(), x.form.Get("id"), answer == "yes")
	if d, ok := errors.AsType[*twofa.DeniedError](err); ok && d.Reason == twofa.ReasonSignedOut && d.MaxAge > 0 {
		return view{}, errCaseSignIn // live, but from before the case was opened
	}
	if err != nil {
		return view{}, asCaseOver(err)
	}
	x.notify(map[string]string{"yes": "case_confirmed", "no": "case_stopped"}[answer])
	if next == x.path("") {
		return redirectTo(next) // which shows the message
	}
	return redirectTo(x.donePage(next))
}
