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
)

const (
	maxBody   = 64 << 10
	maxFields = 20
)

// readForm is what every POST passes before it is served: it comes from this
// site, is a plain form of bounded size, names each field once, and carries
// the token of this browser. Only then is anything in it looked at. The query
// is never part of it.
func (x *exchange) readForm() error {
	if err := x.crossOrigin.Check(x.r); err != nil {
		return errCrossSite
	}
	if kind, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return errMediaType
	}
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxBody))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return errTooLarge
		}
		return errBadForm
	}
	form, err := parseForm(string(body))
	if err != nil {
		return err
	}
	if x.browser.IsZero() || !hmac.Equal([]byte(form.Get("csrf_token")), []byte(x.csrfToken())) {
		return errFormToken
	}
	x.form = form
	return nil
}

// parseForm reads a body with at most one value a field.
func parseForm(body string) (url.Values, error) {
	form, err := url.ParseQuery(body)
	if err != nil || len(form) > maxFields {
		return nil, errBadForm
	}
	for _, values := range form {
		if len(values) != 1 {
			return nil, errBadForm
		}
	}
	return form, nil
}

// csrfToken is what forms carry: a hash keyed with this browser's token, which
// is random, out of reach of scripts and of other sites, and cannot be set by
// a subdomain. It needs no key of the server's and tells nothing of the token.
// http.CrossOriginProtection alone lets requests without Origin and
// Sec-Fetch-Site pass.
func (x *exchange) csrfToken() string {
	mac := hmac.New(sha256.New, []byte(x.browserToken()))
	mac.Write([]byte("twofahttp form"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
