package twofahttp

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/twofa-go/twofa"
)

// visit is one request.
type visit struct {
	web     *Server
	m       *twofa.Manager
	w       http.ResponseWriter
	r       *http.Request
	browser twofa.Secret // token in the browser's cookie, or the one that was minted for it
	form    url.Values   // of a POST that passed readForm: one value a field
	back    string       // where to try again, if not here
}

func (web *Server) visit(w http.ResponseWriter, r *http.Request) *visit {
	return &visit{web: web, m: web.cfg.Manager, w: w, r: r, browser: readBrowser(r)}
}

// run serves and answers every error, a panic among them. It reports whether
// there was none.
func (v *visit) run(serve func() error) (ok bool) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			v.web.cfg.Logger.ErrorContext(v.ctx(), "twofahttp: panic", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			v.w.Header().Del("Set-Cookie") // nothing half done gets out
			v.browser = readBrowser(v.r)
			v.fail(errInternal)
		}
	}()
	if err := serve(); err != nil {
		v.fail(err)
		return false
	}
	return true
}

func (v *visit) ctx() context.Context   { return v.r.Context() }
func (v *visit) session() twofa.Session { return v.web.cfg.Sessions.Session(v.r) }

func (v *visit) client() twofa.Client {
	ip := ""
	if addr := v.web.ip(v.r); addr.IsValid() {
		ip = addr.String()
	}
	return twofa.Client{IP: ip, UserAgent: v.r.UserAgent(), Browser: v.browser}
}

func (v *visit) caller() twofa.Caller {
	c := twofa.Caller{Session: v.session(), Client: v.client()}
	if v.web.cfg.Account != nil {
		c.Account = v.web.cfg.Account(v.r)
	} else if d, err := v.m.DescribeSession(c.Session); err == nil {
		c.Account = d.Account
	}
	return c
}

// path returns the address of one of the handler's pages.
func (v *visit) path(page string) string { return v.web.cfg.Prefix + page }

func (v *visit) redirect(to string) error {
	setHeaders(v.w.Header())
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

// here is where a person is, to come back to: the page itself, or the one with
// the form that was sent.
func (v *visit) here() string {
	if safeMethod(v.r.Method) {
		return SafeRedirect(v.r.URL.RequestURI(), v.web.cfg.HomeURL)
	}
	if from, err := url.Parse(v.r.Referer()); err == nil && from.Host != "" && from.Host == v.r.Host {
		return SafeRedirect(from.RequestURI(), v.web.cfg.HomeURL)
	}
	return v.web.cfg.HomeURL
}

func safeMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// wantsPage tells a person's browser from everything else that asks.
func (v *visit) wantsPage() bool { return strings.Contains(v.r.Header.Get("Accept"), "text/html") }
