package twofahttp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/twofa-go/twofa"
)

// view is the answer of a handler: a page, a redirect, a file or, without any of
// these, data that is sent as JSON. Handlers write no response themselves, so
// that one place can decide on the form of an answer. In middleware, the zero
// view lets the request through.
type view struct {
	page     string             // template to render
	data     any                // given to the template
	alert    *alert             // shown on the page; nil means the one for err
	err      error              // reason why the page is shown; sets the status and the alert
	redirect string             // address to go to
	denied   *twofa.DeniedError // sets the status of a page that asks for what is missing
	file     *file
	stream   *stream

	preflight bool // no content, only headers
}

// file is a fixed response body.
type file struct {
	contentType string
	body        []byte
}

// stream is a download that is written while it is read. If write returns an
// error, the connection is aborted, so that the client does not take the download
// for complete.
type stream struct {
	contentType string
	name        string // of the file
	write       func(io.Writer) error
}

func redirectTo(address string) (view, error) { return view{redirect: address}, nil }

// pageData is what every template is given. Data depends on the page.
type pageData struct {
	Issuer  string
	Base    string // public address of Config.Prefix
	Home    string
	Login   string
	URL     string // address at which the browser can load the page again
	Logo    string // address of the product's logo; empty if there is none
	Support string // Config.SupportURL
	Events  bool   // whether the store lists events, so that the pages "activity" and "history" exist
	Account string // account that a page of admins is about, which its forms name; empty on other pages
	CSRF    string // value of the hidden field csrf_token that every form carries
	Alert   *alert
	Layout  any // result of Config.LayoutData
	Data    any
}

// alert reports how the user's last action went.
type alert struct {
	Code    string
	Method  string // method that the code or message was for; empty if none
	Good    bool
	Title   string
	Text    string
	Field   string // name of the input that must be corrected; empty if none
	Next    string // what the page "message" or "done" offers
	Left    int    // wrong codes left, if Counted
	Counted bool
}

// alertOf returns nil if err is nil.
func (x *exchange) alertOf(err error) *alert {
	if err == nil {
		return nil
	}
	return x.alert(problemOf(err))
}

func (x *exchange) alert(p problem) *alert {
	return &alert{Code: p.Code, Method: string(p.About), Good: p.good(), Title: p.title(x.locale()), Text: p.text(x.locale(), x.cfg.Issuer, x.actionOf(p)),
		Field: p.Field, Next: string(p.Next), Left: p.Left, Counted: p.Counted}
}

// respond sends what a handler returned.
func (x *exchange) respond(v view, err error) {
	if err == nil && v.err != nil && !x.wantsPage() {
		err = v.err // the page with the form is of no use
	}
	if err == nil {
		err = x.write(v)
	}
	if err == nil {
		return
	}
	v = x.errorView(err)
	if err := x.write(v); err != nil {
		x.cfg.Logger.ErrorContext(x.ctx(), "twofahttp: error page failed", "error", err)
		status := problemOf(v.err).Status
		http.Error(x.w, http.StatusText(status), status)
	}
}

// write is the only place that writes a response. It writes nothing before the
// whole body has been rendered, except for a stream.
func (x *exchange) write(v view) error {
	h := x.w.Header()
	setSecurityHeaders(h, originOf(x.cfg.Logo))
	if v.page == "setup" || v.page == "codes" {
		h.Set("Cross-Origin-Opener-Policy", "same-origin") // these show secrets, so no other window may hold a reference
	}
	if v.page == "resubmit" || v.page == "bounce" || !x.SecureCookies(x.r) {
		// The form of "resubmit" goes to a handler of the host, which may check its
		// Origin, and that of "bounce" has no token. The forms of pages with plain
		// cookies must show if the site is not on this machine; see SecureCookies.
		h.Set("Referrer-Policy", "strict-origin")
	}
	if v.redirect != "" {
		http.Redirect(x.w, x.r, v.redirect, http.StatusSeeOther)
		return nil
	}
	if v.page == "" && v.file == nil && v.stream == nil {
		x.shareWithOrigin(h)
	}
	if v.preflight {
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if v.stream != nil {
		x.send(v.stream)
		return nil
	}
	contentType, body, err := x.encode(v)
	if err != nil {
		return fmt.Errorf("page %s: %w", v.page, err)
	}
	status := http.StatusOK
	if v.err != nil {
		x.log(v.err)
		p := problemOf(v.err)
		p.setHeaders(h)
		status = p.Status
	}
	if v.page != "" {
		h.Set("Content-Language", x.locale().Tag())
		h.Add("Vary", "Accept-Language")
	}
	if v.denied != nil && v.err == nil {
		p := problemOf(v.denied)
		p.setHeaders(h)
		status = p.Status
	}
	if v.page == codesFile {
		h.Set("Content-Disposition", `attachment; filename="recovery-codes.txt"`)
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // fails only if the client is gone
	return nil
}

// send writes a download. It panics with http.ErrAbortHandler if that fails in
// the middle.
func (x *exchange) send(s *stream) {
	h := x.w.Header()
	h.Set("Content-Type", s.contentType)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": s.name}))
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method == http.MethodHead {
		return
	}
	x.streaming = true
	if err := s.write(x.w); err != nil {
		if x.ctx().Err() == nil { // otherwise the client has hung up
			x.cfg.Logger.ErrorContext(x.ctx(), "twofahttp: download aborted", "path", x.r.URL.Path, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// partSent sends on what a download has written. A long one may then take longer than
// http.Server.WriteTimeout, while a client that stops reading does not hold it forever.
func (x *exchange) partSent() {
	connection := http.NewResponseController(x.w) // one that can do neither is left as it is
	_ = connection.Flush()
	_ = connection.SetWriteDeadline(time.Now().Add(time.Minute))
}

func (x *exchange) encode(v view) (contentType string, body []byte, err error) {
	var b bytes.Buffer
	switch {
	case v.file != nil:
		return v.file.contentType, v.file.body, nil
	case v.page == codesFile:
		contentType, err = "text/plain; charset=utf-8", x.templates[x.locale()].execute(&b, v.page, pageData{Data: v.data})
	case v.page != "":
		contentType, err = "text/html; charset=utf-8", x.templates[x.locale()].execute(&b, v.page, x.pageData(v))
	case v.err != nil:
		contentType, err = "application/problem+json", json.NewEncoder(&b).Encode(v.data)
	default:
		contentType, err = "application/json", json.NewEncoder(&b).Encode(v.data)
	}
	return contentType, b.Bytes(), err
}

func (x *exchange) pageData(v view) pageData {
	if v.alert == nil {
		v.alert = x.alertOf(v.err)
	}
	d := pageData{Issuer: x.cfg.Issuer, Base: x.path(""), Home: x.cfg.HomeURL, Login: x.cfg.LoginURL, URL: x.pageURL(), Account: x.adminOf, Logo: x.cfg.Logo, Support: x.cfg.SupportURL, Events: x.listsEvents, Alert: v.alert, Data: v.data}
	if v.page != "bounce" { // it must set no cookie
		d.CSRF = x.csrfToken()
		if x.cfg.LayoutData != nil {
			d.Layout = x.cfg.LayoutData(x.r)
		}
	}
	return d
}

// originOf returns the origin of an https address as a further source of a
// Content-Security-Policy, or "" for a local path.
func originOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return " https://" + u.Host
	}
	return ""
}

// pageURL returns the address at which the browser can load the page again. A
// page that answers a form has none of its own, so it is that of the form.
func (x *exchange) pageURL() string {
	if isSafeMethod(x.r.Method) {
		return x.currentURL()
	}
	return cmp.Or(x.retryURL, x.currentURL())
}

// setSecurityHeaders protects every response, including errors and redirects.
// Because of no-referrer, browsers send "Origin: null" with the forms of these
// pages. Such forms pass http.CrossOriginProtection by their Sec-Fetch-Site.
//
// There is no form-action, because Chromium and WebKit also apply it to the
// redirects that follow a form: the right code would do nothing if the page that
// the user wanted redirects to another origin, as one of OAuth does. There is no
// Cross-Origin-Opener-Policy either, except on pages with secrets, because it
// would cut a login popup off from the page that opened it.
//
// Images may also come from the origin of the logo, if that is not empty.
func setSecurityHeaders(h http.Header, logo string) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:"+logo+"; "+
		"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=(), otp-credentials=(self), clipboard-write=(self)")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}
