package twofahttp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// setHeaders protects every answer of ours, errors and redirects among them.
// With no-referrer browsers send "Origin: null" along with our own forms; they
// pass http.CrossOriginProtection by Sec-Fetch-Site.
func setHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "+
		"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=(), otp-credentials=(self), clipboard-write=(self)")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// pageData is what every template gets. Data is the page's own.
type pageData struct {
	Issuer string
	Base   string // Config.Prefix
	Home   string
	Login  string
	CSRF   string // value of the hidden field csrf_token that every form carries
	Alert  *alert
	Data   any
}

// alert tells how the last thing that was done went. The words are in
// alert.html.
type alert struct {
	Code    string
	Good    bool
	Left    int
	Counted bool
	Wait    wait // zero where waiting does not help
	Clock   wait // how far the person's clock is off,
	Behind  bool // and in which direction
}

// wait is a length of time, in the largest unit that says it well.
type wait struct{ Hours, Minutes, Seconds int }

func waitOf(d time.Duration) wait {
	switch d = max(d, -d); {
	case d > 100*time.Minute:
		return wait{Hours: int((d + time.Hour - 1) / time.Hour)}
	case d >= time.Minute:
		return wait{Minutes: int((d + time.Minute - 1) / time.Minute)}
	}
	return wait{Seconds: int((d + time.Second - 1) / time.Second)}
}

func alertOf(err error) *alert {
	if err == nil {
		return nil
	}
	p := problemOf(err)
	return &alert{Code: p.Code, Left: p.Left, Counted: p.Counted, Wait: waitOf(p.Wait), Clock: waitOf(p.Clock), Behind: p.Clock < 0}
}

// render is the one place that writes pages. Nothing leaves before all of it
// is there.
func (x *exchange) render(status int, name string, a *alert, data any) error {
	p := pageData{Issuer: x.cfg.Issuer, Base: x.cfg.Prefix, Home: x.cfg.HomeURL, Login: x.cfg.LoginURL,
		CSRF: x.csrfToken(), Alert: a, Data: data}
	var b bytes.Buffer
	if err := x.pages[name].ExecuteTemplate(&b, "layout", p); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	h := x.w.Header()
	setHeaders(h)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	x.w.WriteHeader(status)
	_, _ = x.w.Write(b.Bytes()) // who does not wait for the answer does not get it
	return nil
}

// rerender shows a form again with what was wrong, under the error's status.
func (x *exchange) rerender(name string, err error, data any) error {
	if err == nil {
		return x.render(http.StatusOK, name, nil, data)
	}
	x.log(err)
	p := problemOf(err)
	p.setHeaders(x.w.Header())
	return x.render(p.Status, name, alertOf(err), data)
}

func writeJSON(w http.ResponseWriter, status int, kind string, body any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (x *exchange) getStylesheet() error { return x.asset("text/css; charset=utf-8", x.cfg.Stylesheet) }
func (x *exchange) getScript() error     { return x.asset("text/javascript; charset=utf-8", scriptJS) }

func (x *exchange) asset(kind string, body []byte) error {
	x.w.Header().Set("Content-Type", kind)
	_, _ = x.w.Write(body)
	return nil
}
