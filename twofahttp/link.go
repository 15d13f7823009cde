package twofahttp

import (
	"errors"
	"net/url"
	"strings"

	"github.com/twofa-go/twofa"
)

// LinkURL returns a function for twofa.MailConfig.LinkURL. base is the absolute
// address of [Config.Prefix], such as "https://app.example.com/2fa/". It must
// come from configuration, never from a request. Otherwise an attacker could
// choose, by the Host header, the site to which mailed links lead.
//
// If users sign in at several hosts, others are the addresses at the other hosts,
// which [Config.Hosts] lists as well. A link leads to the host of the login.
func LinkURL(base string, others ...string) func(twofa.LinkRequest) string {
	return func(l twofa.LinkRequest) string {
		to := base
		for _, other := range others {
			if u, err := url.Parse(other); err == nil && l.Host != "" && strings.ToLower(u.Host) == l.Host {
				to = other
			}
		}
		return strings.TrimSuffix(to, "/") + "/link?token=" + url.QueryEscape(l.Token.Reveal())
	}
}

// CaseURL returns a function for twofa.MailConfig.CaseURL. base is the same as for
// [LinkURL]. The link works in every browser, also for users who cannot sign in, and
// can end one support case, nothing else.
func CaseURL(base string) func(twofa.LinkRequest) string {
	return func(l twofa.LinkRequest) string {
		return strings.TrimSuffix(base, "/") + "/" + casePath + "?token=" + url.QueryEscape(l.Token.Reveal())
	}
}

// linkData is the data of the page "link".
type linkData struct {
	Token     string
	Elsewhere bool // opened in a browser that did not ask for the link
	Code      bool // whether the mail may have a code that can be typed there; false unless Elsewhere
	Over      bool // opened in a browser that is already signed in
	StepUp    bool
	Action    string
}

// getLink shows the page to which a mailed link leads. Mail scanners and previews
// open it too, so it changes nothing. The cookies of the browser are enough to
// decide whether the button would work.
func (x *exchange) getLink() (view, error) {
	f := x.flow(challengeCookie)
	switch {
	case f.kind != "":
		return x.showLink(f, x.r.URL.Query().Get("token"), nil), nil
	case x.session().IsZero():
		x.cfg.Logger.InfoContext(x.ctx(), "twofahttp: link opened without the cookie of its login, in another browser or at another host", "host", x.r.Host)
		return view{page: "link", data: linkData{Elsewhere: true, Code: x.m.Info().CodeBesideLink}}, nil
	}
	return view{page: "link", data: linkData{Over: true}}, nil
}

// postLink uses up the link in the browser with the challenge for which it was
// sent. In any other browser it uses up nothing and signs nobody in.
func (x *exchange) postLink() (view, error) {
	f := x.flow(challengeCookie)
	if f.kind == "" && x.session().IsZero() {
		return view{}, errOtherBrowser
	}
	if f.kind == "" {
		return view{}, errLink
	}
	x.retryURL = x.path("challenge")
	v, err := x.prove(f, twofa.Proof{Method: twofa.EmailLink, Code: twofa.NewSecret(x.form.Get("token"))})
	switch {
	case errors.As(err, new(waitError)), errors.Is(err, twofa.ErrUnavailable): // the link is still valid
		return x.showLink(f, x.form.Get("token"), err), nil
	case errors.Is(err, twofa.ErrInvalidCode):
		return view{}, errLink
	}
	return v, err
}

func (x *exchange) showLink(f flow, token string, failed error) view {
	return view{page: "link", data: linkData{Token: token, StepUp: f.kind == kindAction, Action: x.askedFor(f)}, err: failed}
}
