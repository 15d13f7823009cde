package app

import (
	"database/sql"
	"errors"
	"fmt"
	"net/http"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// httpError is an error whose text is shown to the visitor.
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string { return e.text }

var (
	errNotFound    = &httpError{http.StatusNotFound, "There’s nothing at this address. The link may be old or mistyped."}
	errSignedOut   = &httpError{http.StatusForbidden, "Your session has ended, and nothing was changed. Sign in again to continue."}
	errInternal    = &httpError{http.StatusInternalServerError, "Something went wrong on our side. Please try again."}
	errUnavailable = &httpError{http.StatusServiceUnavailable, "We cannot reach our data at the moment. Nothing was changed and nothing is lost."}
	errHalfDone    = &httpError{http.StatusServiceUnavailable, "We lost touch with our data on the way. What you sent may have been done all the same: look before you send it again."}
)

// shown returns the status and the text for an error. No other function decides
// that. A bug panics or wraps errInternal, so every other error that a page
// returns comes from the database.
func shown(err error) *httpError {
	if e, ok := errors.AsType[*httpError](err); ok {
		return e
	}
	if _, ok := errors.AsType[*twofa.DeniedError](err); ok || errors.Is(err, twofa.ErrNotAllowed) {
		return errSignedOut // by a concurrent request, because the guard has let this one in
	}
	if errors.Is(err, sql.ErrNoRows) { // of a row that must exist
		return errInternal
	}
	return errUnavailable
}

// halfDone wraps an error that occurred after something was changed.
func halfDone(err error) error {
	if _, own := errors.AsType[*httpError](err); own || err == nil {
		return err
	}
	return fmt.Errorf("%w: %w", errHalfDone, err)
}

// unavailable wraps a database error, so that package twofahttp answers it with
// 503.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", twofa.ErrUnavailable, err)
}

// message is the data of the page "message".
type message struct {
	Text   string
	Again  string // URL of the link "Try again"
	SignIn bool   // whether the visitor must sign in again
	Resend bool   // whether the visitor can send the form again
}

// titleOf returns what happened, in a few words.
func titleOf(e *httpError) string {
	switch e.status {
	case http.StatusNotFound:
		return "Page not found"
	case http.StatusServiceUnavailable:
		return "Not available right now"
	}
	if e == errSignedOut {
		return "Sign in again"
	}
	return "That didn’t work"
}

// refuse writes the response for an error of the visitor, with the web session
// and the navigation.
func (a *App) refuse(w http.ResponseWriter, r *http.Request, e *httpError) error {
	return a.identify(func(w http.ResponseWriter, r *http.Request) error {
		return a.render(w, r, e.status, "message", titleOf(e), message{Text: e.text, SignIn: e == errSignedOut})
	})(w, r)
}

// fail writes the response for an error. The cause is logged and never shown.
// It works without a web session, because loading the session may have failed.
func (a *App) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := shown(err)
	if e.status >= http.StatusInternalServerError {
		a.log.ErrorContext(r.Context(), "request failed", "error", err)
	}
	title, m := titleOf(e), message{Text: e.text}
	if e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
		switch {
		case e != errUnavailable:
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			m.Again = twofahttp.SafeRedirect(r.URL.RequestURI(), "/")
		default:
			m.Resend = true
		}
	}
	if wantsJSON(r) {
		w.Header().Set("Content-Type", "application/problem+json")
		writeJSON(w, e.status, map[string]any{"title": e.text, "status": e.status})
		return
	}
	if err := a.write(w, e.status, "message", view{layout: &layout{Demo: a.demo}, Title: title, URL: "/", Data: m}); err != nil {
		a.log.ErrorContext(r.Context(), "request failed", "error", err)
		http.Error(w, http.StatusText(e.status), e.status)
	}
}
