package app

import (
	"database/sql"
	"errors"
	"fmt"
	"net/http"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// httpError is an error that the visitor may read.
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string { return e.text }

var (
	errNotFound    = &httpError{http.StatusNotFound, "There is nothing here."}
	errSignedOut   = &httpError{http.StatusForbidden, "You have been signed out meanwhile. Sign in again."}
	errInternal    = &httpError{http.StatusInternalServerError, "Something went wrong on our side. Please try again."}
	errUnavailable = &httpError{http.StatusServiceUnavailable, "We cannot reach our data at the moment. Nothing was changed and nothing is lost."}
	errHalfDone    = &httpError{http.StatusServiceUnavailable, "We lost touch with our data on the way. What you sent may have been done all the same: look before you send it again."}
)

// shown is the one place where an error gets its status and its words. What is
// wrong with the program panics or names errInternal, so all that pages return
// beside what is named here comes from the database.
func shown(err error) *httpError {
	if e, ok := errors.AsType[*httpError](err); ok {
		return e
	}
	if _, ok := errors.AsType[*twofa.DeniedError](err); ok || errors.Is(err, twofa.ErrNotAllowed) {
		return errSignedOut // by another request meanwhile: guards have let this one in
	}
	if errors.Is(err, sql.ErrNoRows) { // of a row that has to be there
		return errInternal
	}
	return errUnavailable
}

// halfDone is for an error that comes after something was changed.
func halfDone(err error) error {
	if _, own := errors.AsType[*httpError](err); own || err == nil {
		return err
	}
	return fmt.Errorf("%w: %w", errHalfDone, err)
}

// unavailable tells the pages of the second factor what shown tells ours.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", twofa.ErrUnavailable, err)
}

// message is what its page gets.
type message struct {
	Text   string
	Again  string // address to try again at
	Resend bool   // it can be tried again, but not by following a link
}

// fail turns an error into an answer. The visitor learns nothing of its cause,
// which is logged. It needs no session, because that may be what is missing.
func (a *App) fail(w http.ResponseWriter, r *http.Request, err error) {
	e, title := shown(err), "That did not work"
	if e.status >= http.StatusInternalServerError {
		a.log.ErrorContext(r.Context(), "request failed", "error", err)
	}
	m := message{Text: e.text}
	if e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
		title = "Not available right now"
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
	if err := a.write(w, e.status, "message", view{Title: title, Path: r.URL.Path, Demo: a.demo, Data: m}); err != nil {
		a.log.ErrorContext(r.Context(), "request failed", "error", err)
		http.Error(w, http.StatusText(e.status), e.status)
	}
}
