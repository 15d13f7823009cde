package twofahttp

import (
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// Names of the cookies. Because of the __Host- prefix, neither a subdomain nor a
// plain http page can set them (RFC 6265bis, section 4.1.3.2). The binding of
// challenges and the form token depend on that.
const (
	challengeCookie  = "__Host-twofa-challenge" // pending login or step-up
	enrollmentCookie = "__Host-twofa-setup"     // required enrollment, or one that waits for a texted code
	browserCookie    = "__Host-twofa-browser"   // long-lived; binds challenges and identifies a known browser
	bouncedCookie    = "__Host-twofa-bounced"   // why the browser was sent to the login page a moment ago although it has a session
)

// setCookie is the only place that sets a cookie. SameSite is Lax, because the
// cookies must be sent when a link in webmail is clicked.
func (x *exchange) setCookie(name, value string, age time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(age / time.Second),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	http.SetCookie(x.w, c)
	if x.repeat != nil {
		x.repeat.cookies = append(x.repeat.cookies, c)
	}
}

// browserToken returns the token of this browser, after creating one if there is
// none. A challenge that is bound to it cannot be used from another browser.
func (x *exchange) browserToken() string {
	if x.browser.IsZero() {
		x.browser = setBefore(x.w)
	}
	if x.browser.IsZero() {
		x.browser = twofa.NewSecret(rand.Text() + rand.Text())
		x.setCookie(browserCookie, x.browser.Reveal(), browserAge)
	}
	return x.browser.Reveal()
}

// setBefore returns the browser token that the response sets already, because a
// handler may ask for the client several times. The last one counts.
func setBefore(w http.ResponseWriter) (token twofa.Secret) {
	for _, c := range (&http.Response{Header: w.Header()}).Cookies() {
		if c.Name == browserCookie {
			token = twofa.NewSecret(c.Value)
		}
	}
	return token
}

func readBrowser(r *http.Request) twofa.Secret {
	c, err := r.Cookie(browserCookie)
	if err != nil || len(c.Value) < 32 || len(c.Value) > maxBrowserCookie || strings.Trim(c.Value, tokenAlphabet) != "" {
		return twofa.Secret{}
	}
	return twofa.NewSecret(c.Value)
}

// maxBrowserCookie is enough for a secret and an entry for each of four users.
const maxBrowserCookie = 512

const tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

// A cookie lives as long as what is in it can: a link for up to an hour, and an
// enrollment for two hours if each step renews it. The sealed challenge may
// expire earlier.
const (
	challengeAge  = time.Hour
	enrollmentAge = 2 * time.Hour
	bouncedAge    = time.Minute
	browserAge    = 90 * 24 * time.Hour
)
