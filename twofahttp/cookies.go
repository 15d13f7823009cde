package twofahttp

import (
	"cmp"
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// Names of the cookies, without what cookieName adds.
const (
	challengeCookie  = "challenge" // pending login or step-up
	enrollmentCookie = "setup"     // required enrollment, or one that waits for a texted code
	browserCookie    = "browser"   // long-lived; binds challenges and identifies a known browser
	noticeCookie     = "notice"    // message about a success that no page has shown yet
	bouncedCookie    = "bounced"   // signedInNow, or a text that differs after each logout, or why the browser was sent to the login page a moment ago although it has a session
)

// cookieName returns the name under which a cookie is both set and read. Because
// of the __Host- prefix, neither a subdomain nor a plain http page can set it (RFC
// 6265bis, section 4.1.3.2). The binding of challenges and the form token depend
// on that.
func (s *Server) cookieName(r *http.Request, name string) string {
	name = s.cfg.CookieName + "-" + name
	if s.SecureCookies(r) {
		return "__Host-" + name
	}
	return name
}

// SecureCookies reports whether the cookies of this package are Secure and have
// the __Host- prefix in the answer to r. Use the same attributes for your own
// session cookie: Safari drops Secure cookies at http://localhost.
//
// They are Secure unless the request is for localhost or another loopback address
// and came neither over TLS nor from a proxy that serves another host. A plain
// cookie is read under the same condition only.
func (s *Server) SecureCookies(r *http.Request) bool {
	// The Host decides. A browser that sends a loopback address as the Host talks
	// to its own machine, so neither a network nor another site can plant a plain
	// cookie. After DNS rebinding, the Host is still the attacker's name. An
	// attacker who forges the Host gets plain cookies in a program of their own.
	// No victim's browser has them, and a public host does not read them.
	//
	// A proxy in front of a public site may replace the Host by the address of
	// this server, as nginx does by default. A subdomain could plant plain cookies
	// there. Such a proxy is recognized by the address of mailed links, by its
	// headers and by HTTP/1.0, which no browser uses. If it has none of these, the
	// Origin of the first form differs, which pages with plain cookies let
	// browsers send. The login then fails instead of being unsafe, because plain
	// cookies are not found. The address of the connection proves nothing: that of
	// a proxy on the same machine is a loopback address, and that of a browser
	// outside of a container is not.
	return r.TLS != nil || s.linksElsewhere || !r.ProtoAtLeast(1, 1) || !isLoopback(r.Host) ||
		slices.ContainsFunc(proxyHeaders, func(name string) bool {
			return slices.ContainsFunc(r.Header.Values(name), namesAnotherHost)
		})
}

// proxyHeaders are the headers that name the host, the scheme or the client of a
// request before a proxy replaced them. Browsers send the Origin.
var proxyHeaders = []string{"Forwarded", "Front-End-Https", "Origin", "X-Forwarded-For", "X-Forwarded-Host",
	"X-Forwarded-Proto", "X-Forwarded-Protocol", "X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Original-Host", "X-Real-Ip", "X-Scheme", "X-Url-Scheme"}

// namesAnotherHost reports whether a value of proxyHeaders names anything except
// plain http or a loopback address.
func namesAnotherHost(values string) bool {
	for value := range strings.SplitSeq(values, ",") {
		value = strings.TrimSpace(value)
		_, host, isOrigin := strings.Cut(value, "://")
		if !isOrigin {
			host = value
		}
		if value != "" && value != "null" && value != "http" && !isLoopback(host) {
			return true
		}
	}
	return false
}

// isLoopback reports whether browsers reach a host, with or without a port, on
// their own machine only.
func isLoopback(host string) bool {
	if addr := parseHop(host); addr.IsValid() {
		return addr.IsLoopback()
	}
	name, _, _ := strings.Cut(strings.ToLower(host), ":")
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// linksElsewhere reports whether mailed links lead to a host that is not on the
// machine of the browser, so that the site is not, either.
func linksElsewhere(m *twofa.Manager) bool {
	info := m.Info()
	u, err := url.Parse(cmp.Or(info.Link, info.Case))
	return err != nil || u.Host != "" && !isLoopback(u.Host)
}

// nameBelow returns the default of Config.CookieName, which differs between
// applications that share a host by their paths.
func nameBelow(basePath string) string {
	return "twofa" + strings.Map(func(c rune) rune {
		if strings.ContainsRune(tokenAlphabet, c) {
			return c
		}
		return '-'
	}, basePath)
}

// isCookieName reports whether a text can be in the name of a cookie.
func isCookieName(name string) bool {
	return name != "" && len(name) <= 64 && strings.Trim(name, tokenAlphabet) == ""
}

// readCookie returns the value of a cookie, or "".
func (x *exchange) readCookie(name string) string {
	c, err := x.r.Cookie(x.cookieName(x.r, name))
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie is the only place that sets a cookie. SameSite is Lax, because the
// cookies must be sent when a link in webmail is clicked.
func (x *exchange) setCookie(name, value string, age time.Duration) {
	c := &http.Cookie{Name: x.cookieName(x.r, name), Value: value, Path: "/", MaxAge: int(age / time.Second),
		Secure: x.SecureCookies(x.r), HttpOnly: true, SameSite: http.SameSiteLaxMode}
	http.SetCookie(x.w, c)
	if x.repeat != nil {
		x.repeat.cookies = append(x.repeat.cookies, c)
	}
}

// expectCookies marks the address to which a browser is redirected with its
// first cookies, so that the page there can see if they did not come back. Anyone
// can write the mark, but it only selects a sentence.
func (x *exchange) expectCookies(to string) string {
	if x.readCookie(browserCookie) != "" {
		return to
	}
	return withParameter(to, cookiesMark, "set")
}

const cookiesMark = "cookies"

// checkCookies returns errNoCookies if the browser was sent its first cookies and
// has not sent them back.
func (x *exchange) checkCookies() error {
	if !x.r.URL.Query().Has(cookiesMark) || x.readCookie(browserCookie) != "" {
		return nil
	}
	x.retryURL = x.cfg.LoginURL
	if !x.session().IsZero() {
		x.retryURL = x.cfg.HomeURL
	}
	return errNoCookies
}

// noteSignIn remembers for a moment that the host has started a session, so that
// the user is told if its cookie does not come back. The login page alone would
// ask again and again. The cookie is deleted as soon as the session came.
func (x *exchange) noteSignIn() { x.setCookie(bouncedCookie, signedInNow, bouncedAge) }

func (x *exchange) noteSession() {
	if x.readCookie(bouncedCookie) == signedInNow && !x.session().IsZero() {
		x.deleteCookie(bouncedCookie)
	}
}

const signedInNow = "signed_in"

// dropPages changes a cookie, because Chromium keeps pages for the Back button
// even if they are marked no-store, until an HttpOnly cookie of the site changes.
// The session cookie of the host may stay as it was. Firefox and Safari keep no
// such page that was sent over https. The script covers the rest.
func (x *exchange) dropPages() { x.setCookie(bouncedCookie, "signed_out_"+rand.Text(), bouncedAge) }

// browserToken returns the token of this browser, after creating one if there is
// none. A challenge that is bound to it cannot be used from another browser.
func (x *exchange) browserToken() string {
	if x.browser.IsZero() {
		x.browser = x.setBefore()
	}
	if x.browser.IsZero() {
		x.browser = twofa.NewSecret(rand.Text() + rand.Text())
		x.setCookie(browserCookie, x.browser.Reveal(), browserAge)
	}
	return x.browser.Reveal()
}

// setBefore returns the browser token that the response sets already, because a
// handler may ask for the client several times. The last one counts.
func (x *exchange) setBefore() (token twofa.Secret) {
	for _, c := range (&http.Response{Header: x.w.Header()}).Cookies() {
		if c.Name == x.cookieName(x.r, browserCookie) {
			token = twofa.NewSecret(c.Value)
		}
	}
	return token
}

func (x *exchange) readBrowser() twofa.Secret {
	value := x.readCookie(browserCookie)
	if len(value) < 32 || len(value) > maxBrowserCookie || strings.Trim(value, tokenAlphabet) != "" {
		return twofa.Secret{}
	}
	return twofa.NewSecret(value)
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
