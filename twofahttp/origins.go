package twofahttp

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// newCrossOrigin returns the check that a request comes from this site or from a
// trusted origin.
func (c *Config) newCrossOrigin() *http.CrossOriginProtection {
	check := http.NewCrossOriginProtection()
	for _, origin := range c.TrustedOrigins {
		_ = check.AddTrustedOrigin(origin) // validate has refused all that this refuses
	}
	return check
}

// isOrigin reports whether a text is an origin as browsers send it, over https or
// from this machine.
func isOrigin(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme+"://"+u.Host != origin || !isHost(u.Host) {
		return false
	}
	switch u.Scheme {
	case "https":
		return u.Port() != "443"
	case "http":
		return u.Port() != "80" && isLoopback(u.Hostname())
	}
	return false
}

// isTrusted reports whether the request comes from one of Config.TrustedOrigins.
func (x *exchange) isTrusted() bool {
	return slices.Contains(x.cfg.TrustedOrigins, x.r.Header.Get("Origin"))
}

// isPreflight reports whether a browser asks if a trusted origin may send a
// request (CORS). It carries no cookies, so a guard could only refuse it.
func (x *exchange) isPreflight() bool {
	return x.r.Method == http.MethodOptions && x.r.Header.Get("Access-Control-Request-Method") != "" && x.isTrusted()
}

// shareWithOrigin lets a trusted origin read the response. Only JSON is shared,
// because a page has a form token.
func (x *exchange) shareWithOrigin(h http.Header) {
	if len(x.cfg.TrustedOrigins) == 0 {
		return
	}
	h.Add("Vary", "Origin")
	if !x.isTrusted() {
		return
	}
	h.Set("Access-Control-Allow-Origin", x.r.Header.Get("Origin"))
	h.Set("Access-Control-Allow-Credentials", "true")
	if x.isPreflight() {
		h.Set("Access-Control-Allow-Methods", x.r.Header.Get("Access-Control-Request-Method"))
		h.Set("Access-Control-Max-Age", "600")
		if names := x.r.Header.Values("Access-Control-Request-Headers"); len(names) > 0 {
			h.Set("Access-Control-Allow-Headers", strings.Join(names, ","))
		}
	}
}
