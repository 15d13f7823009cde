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

// page is what every template gets. Data is the page's own.
type page struct {
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
	Wait    span // zero where waiting does not help
	Clock   span // how far the person's clock is off,
	Behind  bool // and in which direction
}

// span is a length of time, in the largest unit that says it well.
type span struct{ Hours, Minutes, Seconds int }

func spanOf(d time.Duration) span {
	switch d = max(d, -d); {
	case d > 100*time.Minute:
		return span{Hours: int((d + time.Hour - 1) / time.Hour)}
	case d >= time.Minute:
		return span{Minutes: int((d + time.Minute - 1) / time.Minute)}
	}
	return span{Seconds: int((d + time.Second - 1) / time.Second)}
}

func alertOf(err error) *alert {
	if err == nil {
		return nil
	}
	p := problemOf(err)
	return &alert{Code: p.Code, Left: p.Left, Counted: p.Counted, Wait: spanOf(p.Wait), Clock: spanOf(p.Clock), Behind: p.Clock < 0}
}

// render is the one place that writes pages. Nothing leaves before all of it
// is there.
func (v *visit) render(status int, name string, a *alert, data any) error {
	p := page{Issuer: v.web.cfg.Issuer, Base: v.web.cfg.Prefix, Home: v.web.cfg.HomeURL, Login: v.web.cfg.LoginURL,
		CSRF: v.csrfToken(), Alert: a, Data: data}
	var b bytes.Buffer
	if err := v.web.pages[name].ExecuteTemplate(&b, "layout", p); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	h := v.w.Header()
	setHeaders(h)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b.Bytes()) // who does not wait for the answer does not get it
	return nil
}

// rerender shows a form again with what was wrong, under the error's status.
func (v *visit) rerender(name string, err error, data any) error {
	if err == nil {
		return v.render(http.StatusOK, name, nil, data)
	}
	v.log(err)
	p := problemOf(err)
	p.setHeaders(v.w.Header())
	return v.render(p.Status, name, alertOf(err), data)
}

func writeJSON(w http.ResponseWriter, status int, kind string, body any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (v *visit) stylesheet() error { return v.asset("text/css; charset=utf-8", v.web.cfg.Stylesheet) }
func (v *visit) script() error     { return v.asset("text/javascript; charset=utf-8", scriptJS) }

func (v *visit) asset(kind string, body []byte) error {
	v.w.Header().Set("Content-Type", kind)
	_, _ = v.w.Write(body)
	return nil
}
