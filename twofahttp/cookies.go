package twofahttp

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// The cookies. The __Host- prefix keeps subdomains and plain http from setting
// them (RFC 6265bis, section 4.1.3.2), which is what the binding of challenges
// and the form token stand on.
const (
	challengeCookie = "__Host-twofa-challenge" // a login or step-up under way
	setupCookie     = "__Host-twofa-setup"     // a set-up that was demanded, or waits for a texted code
	browserCookie   = "__Host-twofa-browser"   // long-lived: binds challenges and names a known browser
)

// maxCookie keeps name, value and attributes below the 4096 bytes that
// browsers keep.
const maxCookie = 3900

// setCookie is the one place that sets a cookie. Lax, because the click on a
// link in webmail has to bring them along.
func (v *visit) setCookie(name, value string, age time.Duration) {
	http.SetCookie(v.w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(age / time.Second),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// browserToken returns the token of this browser, and mints one where there is
// none: what is bound to it cannot be used from another.
func (v *visit) browserToken() string {
	if v.browser.IsZero() {
		v.browser = twofa.NewSecret(rand.Text() + rand.Text())
		v.setCookie(browserCookie, v.browser.Reveal(), browserAge)
	}
	return v.browser.Reveal()
}

func readBrowser(r *http.Request) twofa.Secret {
	c, err := r.Cookie(browserCookie)
	if err != nil || len(c.Value) < 32 || len(c.Value) > 128 || strings.Trim(c.Value, tokenAlphabet) != "" {
		return twofa.Secret{}
	}
	return twofa.NewSecret(c.Value)
}

const tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// What a flow is.
const (
	kindLogin  = "login"
	kindAction = "action"
	kindEnroll = "enroll" // demanded set-up
	kindPhone  = "phone"  // a number to confirm, in a live session
)

// flow is what the browser carries from page to page. Only the challenge is
// sealed. The rest decides what is shown: which account's policy, which
// action's name, where to go afterwards. Who changes it in the own browser
// gains nothing, for what counts is in the challenge and asked at the guard.
type flow struct {
	kind      string
	challenge twofa.Challenge
	account   string
	next      string
	action    string
	resource  string
	sent      twofa.Method // what was sent last
	held      time.Time    // until when the login could not send anything
}

func (v *visit) flow(name string) flow {
	c, err := v.r.Cookie(name)
	if err != nil {
		return flow{}
	}
	q, err := url.ParseQuery(c.Value)
	if err != nil {
		return flow{}
	}
	held, _ := strconv.ParseInt(q.Get("w"), 10, 64)
	return flow{kind: q.Get("k"), held: time.Unix(held, 0), challenge: twofa.ParseChallenge(q.Get("c")), account: q.Get("a"),
		next: SafeRedirect(q.Get("n"), v.web.cfg.HomeURL), action: q.Get("t"), resource: q.Get("r"), sent: twofa.Method(q.Get("s"))}
}

func (v *visit) setFlow(name string, f flow) {
	q := url.Values{"k": {f.kind}, "c": {f.challenge.Reveal()}}
	for key, value := range map[string]string{"a": f.account, "n": f.next, "t": f.action, "r": f.resource, "s": string(f.sent)} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if f.held.Unix() > 0 {
		q.Set("w", strconv.FormatInt(f.held.Unix(), 10))
	}
	if len(q.Encode()) > maxCookie {
		q.Del("n") // ends at home instead
	}
	age := challengeAge
	if name == setupCookie {
		age = setupAge
	}
	v.setCookie(name, q.Encode(), age)
}

// clearFlow ends a flow in this browser, if there is one.
func (v *visit) clearFlow(name string) {
	if _, err := v.r.Cookie(name); err == nil {
		v.setCookie(name, "", -time.Second)
	}
}
