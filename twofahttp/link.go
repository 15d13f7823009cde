package twofahttp

import (
	"errors"
	"net/url"
	"strings"

	"github.com/twofa-go/twofa"
)

// LinkURL makes MailConfig.LinkURL of the Manager for pages that are served at
// base: the whole address of [Config.Prefix], as in
// "https://app.example.com/2fa/". Take it from configuration, never from a
// request.
func LinkURL(base string) func(twofa.LinkRequest) string {
	base = strings.TrimSuffix(base, "/") + "/link?token="
	return func(l twofa.LinkRequest) string { return base + url.QueryEscape(l.Token.Reveal()) }
}

// linkData is what the page "link" gets.
type linkData struct {
	Token     string
	Elsewhere bool // opened in a browser that did not ask for it
	Over      bool // opened again where it has done its work
	StepUp    bool
	Action    string
}

// getLink is where a mailed link lands. Mail scanners and previews come here too:
// it changes nothing, and needs nothing but the browser's cookie to tell whether
// the button would do.
func (x *exchange) getLink() error {
	f := x.flow(challengeCookie)
	d := linkData{StepUp: f.kind == kindAction, Action: x.actionTitle(f.action)}
	switch {
	case f.kind != "":
		d.Token = x.r.URL.Query().Get("token")
	case x.session().IsZero():
		d.Elsewhere = true
	default:
		d.Over = true
	}
	return x.rerender("link", nil, d)
}

// postLink spends the link, in the browser that has the challenge it was sent
// for. In any other nothing is spent, and nobody is signed in.
func (x *exchange) postLink() error {
	f := x.flow(challengeCookie)
	if f.kind == "" && x.session().IsZero() {
		return errOtherBrowser
	}
	if f.kind == "" {
		return errLink
	}
	x.retryURL = x.path("challenge")
	err := x.prove(f, twofa.Proof{Method: twofa.EmailLink, Code: x.form.Get("token")})
	if errors.Is(err, twofa.ErrInvalidCode) {
		return errLink
	}
	return err
}
