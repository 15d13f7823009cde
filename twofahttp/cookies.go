package twofahttp

import (
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// The cookies. The __Host- prefix keeps subdomains and plain http from setting
// them (RFC 6265bis, section 4.1.3.2), which is what the binding of challenges
// and the form token stand on.
const (
	challengeCookie  = "__Host-twofa-challenge" // a login or step-up under way
	enrollmentCookie = "__Host-twofa-setup"     // a set-up that was demanded, or waits for a texted code
	browserCookie    = "__Host-twofa-browser"   // long-lived: binds challenges and names a known browser
)

// maxCookie keeps name, value and attributes below the 4096 bytes that
// browsers keep.
const maxCookie = 3900

// setCookie is the one place that sets a cookie. Lax, because the click on a
// link in webmail has to bring them along.
func (x *exchange) setCookie(name, value string, age time.Duration) {
	http.SetCookie(x.w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(age / time.Second),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// browserToken returns the token of this browser, and mints one where there is
// none: what is bound to it cannot be used from another.
func (x *exchange) browserToken() string {
	if x.browser.IsZero() {
		x.browser = twofa.NewSecret(rand.Text() + rand.Text())
		x.setCookie(browserCookie, x.browser.Reveal(), browserAge)
	}
	return x.browser.Reveal()
}

func readBrowser(r *http.Request) twofa.Secret {
	c, err := r.Cookie(browserCookie)
	if err != nil || len(c.Value) < 32 || len(c.Value) > 128 || strings.Trim(c.Value, tokenAlphabet) != "" {
		return twofa.Secret{}
	}
	return twofa.NewSecret(c.Value)
}

const tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

const (
	challengeAge  = 10 * time.Minute
	enrollmentAge = 15 * time.Minute
	browserAge    = 90 * 24 * time.Hour
)
