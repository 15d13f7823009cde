package twofahttp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/twofa-go/twofa/internal/known"
)

const (
	maxBody   = 64 << 10
	maxFields = 20 // without those of the rules of actions
)

// readForm checks every POST before its handler is called. The request must come
// from this site, be a URL-encoded form of bounded size with one value for each
// field, and have the form token of this browser. The form never includes the
// query.
func (x *exchange) readForm() error {
	if err := x.crossOrigin.Check(x.r); err != nil && !x.hasNoOrigin() {
		return errCrossSite
	}
	if mediaType, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type")); err != nil || mediaType != "application/x-www-form-urlencoded" {
		return errMediaType
	}
	form, err := x.bodyForm()
	if err != nil {
		return err
	}
	if path := strings.TrimPrefix(x.r.URL.Path, x.cfg.Prefix); path == bouncedPath || path == casePath { // checked there
		x.form = form
		return nil
	}
	if x.readCookie(browserCookie) == "" && form.Get("csrf_token") != "" { // the page with the form has set one
		x.warnOfPlainHTTP()
		return errNoCookies
	}
	if x.browser.IsZero() || !hmac.Equal([]byte(form.Get("csrf_token")), []byte(x.csrfToken())) {
		return errFormToken
	}
	x.form = form
	return nil
}

// hasNoOrigin reports whether a browser without Fetch Metadata sent the form of a
// page with the Referrer-Policy no-referrer, like ours. Then the form token
// decides.
func (x *exchange) hasNoOrigin() bool {
	return x.r.Header.Get("Origin") == "null" && x.r.Header.Get("Sec-Fetch-Site") == ""
}

// bodyForm returns the fields of the body. A middleware may have read it before.
func (x *exchange) bodyForm() (url.Values, error) {
	if x.r.PostForm != nil {
		return checkForm(x.r.PostForm, x.maxFields())
	}
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxBody))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, errTooLarge
		}
		return nil, errBadForm
	}
	return parseForm(string(body), x.maxFields())
}

// maxFields returns how many fields a form may have. The form of the policy has
// two for each action.
func (x *exchange) maxFields() int {
	if x.cfg.Team == nil {
		return maxFields
	}
	return maxFields + 2*len(x.cfg.Actions)
}

// parseForm parses a body with at most one value for each field.
func parseForm(body string, most int) (url.Values, error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return nil, errBadForm
	}
	return checkForm(form, most)
}

func checkForm(form url.Values, most int) (url.Values, error) {
	if len(form) > most {
		return nil, errBadForm
	}
	for _, values := range form {
		if len(values) != 1 {
			return nil, errBadForm
		}
	}
	return form, nil
}

// csrfToken returns the token that each form must contain. It is a hash keyed
// with the browser's secret, which is random, cannot be read by scripts or other
// sites, and cannot be set by a subdomain. The secret never changes, unlike the
// rest of the cookie, so a login in one tab does not invalidate the forms in
// others. The token needs no key of the server and reveals nothing about the
// secret. It is needed in addition to http.CrossOriginProtection, which lets
// requests without Origin and Sec-Fetch-Site pass.
func (x *exchange) csrfToken() string {
	mac := hmac.New(sha256.New, []byte(known.Parse(x.browserToken()).Secret))
	mac.Write([]byte("twofahttp form"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
