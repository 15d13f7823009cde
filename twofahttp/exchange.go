package twofahttp

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
)

// exchange is one request and its response.
type exchange struct {
	*Server
	m        *twofa.Manager
	w        http.ResponseWriter
	r        *http.Request
	browser  twofa.Secret // token from the browser's cookie, or a new one
	form     url.Values   // fields of a POST after readForm, one value each
	retryURL string       // address at which to try again; empty means currentURL
	held     *heldForm    // form that the page carries; nil if there is none
	repeat   *repeat      // effects so far, of a form that may be sent again; otherwise nil

	streaming bool // whether a download has begun, so that no other answer is possible

	policyInfo twofa.PolicyInfo // policy of the account, on the pages of admins
	adminOf    string           // account on the pages of admins; empty on other pages
}

func (s *Server) newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{Server: s, m: s.cfg.Manager, w: w, r: r}
	x.browser = x.readBrowser()
	return x
}

// run sends the view that handle returns, or the answer to its error or panic.
// For the zero view it sends nothing and reports true.
func (x *exchange) run(handle func() (view, error)) (pass bool) {
	defer x.recoverPanic()
	if x.isPreflight() {
		x.respond(view{preflight: true}, nil)
		return false
	}
	x.noteSession()
	v, err := handle()
	if err == nil && v == (view{}) {
		return true
	}
	x.respond(v, err)
	return false
}

// recoverPanic must be deferred. The log has the type of the panic only,
// because its value may contain a secret.
func (x *exchange) recoverPanic() {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		x.cfg.Logger.ErrorContext(x.ctx(), "twofahttp: panic", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		if x.streaming {
			panic(http.ErrAbortHandler)
		}
		x.w.Header().Del("Set-Cookie") // an unfinished sign-in must not take effect
		x.browser = x.readBrowser()
		x.respond(view{}, errInternal)
	}
}

func (x *exchange) ctx() context.Context { return x.r.Context() }

// session returns the session in the host's. If this form was sent twice, the
// first answer may have ended the host's session and started another one that
// the browser did not know yet.
func (x *exchange) session() twofa.Session {
	session := x.cfg.Sessions.Session(x.r)
	if session.IsZero() && x.repeat != nil {
		return x.repeat.session
	}
	return session
}

// signOut ends the session of the host, and what belongs to ours.
func (x *exchange) signOut() error {
	c := x.caller()
	if err := x.cfg.Sessions.SignOut(x.w, x.r); err != nil {
		return err
	}
	x.dropPages()
	if x.repeat != nil {
		x.repeat.signedOut = true
	}
	if err := x.m.SignedOut(x.ctx(), c); err != nil {
		x.log(err) // the user is signed out even so
	}
	return nil
}

func (x *exchange) client() twofa.Client {
	ip := ""
	if addr := x.clientIP(x.r); addr.IsValid() {
		ip = addr.String()
	}
	client := twofa.Client{IP: ip, UserAgent: x.r.UserAgent(), Language: x.language(), Browser: x.browser}
	if host := strings.ToLower(x.r.Host); slices.Contains(x.cfg.Hosts, host) {
		client.Host = host
	}
	return client
}

func (x *exchange) caller() twofa.Caller {
	c, _ := x.identify()
	return c
}

// identify returns the caller and describes their session. The description is
// zero if the session cannot be read.
func (x *exchange) identify() (twofa.Caller, twofa.SessionInfo) {
	c := twofa.Caller{Session: x.session(), Client: x.client()}
	if x.cfg.Account != nil {
		c.Account = x.cfg.Account(x.r)
	}
	info, err := x.m.DescribeSession(c.Session)
	if err == nil && c.Account == "" {
		c.Account = info.Account
	}
	return c, info
}

// language returns the language that the request asks for, as in Client.Language.
func (x *exchange) language() string {
	if x.cfg.Language != nil {
		return x.cfg.Language(x.r)
	}
	return x.r.Header.Get("Accept-Language")
}

// locale returns the language of the answer.
func (x *exchange) locale() *locale.Catalog { return x.languages.Match(x.language()) }

// path returns the address of one of the handler's pages.
func (x *exchange) path(page string) string { return x.cfg.public(x.cfg.Prefix) + page }

// nextURL returns the address in the parameter next of the query.
func (x *exchange) nextURL() string {
	return SafeRedirect(x.r.URL.Query().Get("next"), x.cfg.HomeURL)
}

// currentURL returns the address to which the user can come back: that of the
// page itself or, for a POST, that of the page with the form.
func (x *exchange) currentURL() string {
	if isSafeMethod(x.r.Method) && !x.isHTMX() {
		return SafeRedirect(x.cfg.public(x.r.URL.RequestURI()), x.cfg.HomeURL)
	}
	if from, err := url.Parse(x.r.Header.Get("HX-Current-URL")); err == nil && x.isHTMX() && from.Host == x.r.Host {
		return SafeRedirect(from.RequestURI(), x.cfg.HomeURL)
	}
	if from, err := url.Parse(x.r.Referer()); err == nil && from.Host != "" && from.Host == x.r.Host {
		return SafeRedirect(from.RequestURI(), x.cfg.HomeURL)
	}
	return x.cfg.HomeURL
}

func isSafeMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

func (x *exchange) wantsPage() bool { return x.cfg.WantsPage(x.r) }

// isHTMX reports whether the htmx library fetches the request. It would put a
// page of ours inside a page of the host.
func (x *exchange) isHTMX() bool { return isHTMX(x.r) }
