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

// link is where a mailed link lands. Mail scanners and previews come here too:
// it changes nothing, and needs nothing but the browser's cookie to tell whether
// the button would do.
func (v *visit) link() error {
	f := v.flow(challengeCookie)
	d := linkData{StepUp: f.kind == kindAction, Action: v.actionTitle(f.action)}
	switch {
	case f.kind != "":
		d.Token = v.r.URL.Query().Get("token")
	case v.session().IsZero():
		d.Elsewhere = true
	default:
		d.Over = true
	}
	return v.rerender("link", nil, d)
}

// openLink spends the link, in the browser that has the challenge it was sent
// for. In any other nothing is spent, and nobody is signed in.
func (v *visit) openLink() error {
	f := v.flow(challengeCookie)
	if f.kind == "" && v.session().IsZero() {
		return errElsewhere
	}
	if f.kind == "" {
		return errLink
	}
	v.back = v.path("challenge")
	err := v.prove(f, twofa.Proof{Method: twofa.EmailLink, Code: v.form.Get("token")})
	if errors.Is(err, twofa.ErrInvalidCode) {
		return errLink
	}
	return err
}
