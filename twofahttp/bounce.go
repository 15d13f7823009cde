package twofahttp

import (
	"net/http"
	"net/url"

	"github.com/twofa-go/twofa"
)

// bounceData is the data of the page "bounce".
type bounceData struct {
	Held string // the first factor, sealed
	Next string
}

// bounce answers a login that another site has posted (SAML, form_post) with a
// page that posts the first factor to this site. Browsers send no SameSite
// cookies with the request of another site, so this browser would look unknown,
// and its cookies would be overwritten. The page sets no cookie. Nothing of the
// first factor is in a URL.
func (x *exchange) bounce(f twofa.FirstFactor, next string) (view, error) {
	held, err := x.m.HoldFirstFactor(f)
	if err != nil {
		return view{}, err
	}
	return view{page: "bounce", data: bounceData{held.Reveal(), next}}, nil
}

// isForeignPost reports whether a page of another site has posted the request, or
// may have: an Origin "null" is that of any page with no-referrer.
func (x *exchange) isForeignPost() bool {
	if x.r.Method != http.MethodPost || !x.wantsPage() {
		return false
	}
	if site := x.r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "cross-site"
	}
	origin := x.r.Header.Get("Origin")
	u, err := url.Parse(origin)
	return origin == "null" || err == nil && u.Host != "" && u.Host != x.r.Host
}

// postBounced continues the login with the cookies of this browser. It needs no
// form token, because the page was sent without any cookie; instead, the browser
// must say that the form is of this site. Otherwise, another site could sign a
// user in as somebody else.
func (x *exchange) postBounced() (view, error) {
	if !x.isFromOwnPage() {
		return view{}, errCrossSite
	}
	x.retryURL = x.cfg.LoginURL
	f, err := x.m.HeldFirstFactor(twofa.NewSecret(x.form.Get("held")))
	if err != nil {
		return view{}, err
	}
	return x.firstFactor(f, x.form.Get("next"))
}
