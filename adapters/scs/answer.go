package twofascs

import (
	"maps"
	"net/http"
)

// answer delays the header of a response until the session is stored. If that
// fails, it discards the response, and fail writes another one.
type answer struct {
	http.ResponseWriter
	header http.Header
	save   func() error
	fail   func(error)
	begun  bool
	err    error
}

func (a *answer) begin() error {
	if a.begun {
		return a.err
	}
	a.begun = true
	if a.err = a.save(); a.err != nil {
		a.fail(a.err)
		return a.err
	}
	clear(a.ResponseWriter.Header())
	maps.Copy(a.ResponseWriter.Header(), a.header)
	a.header = a.ResponseWriter.Header() // for trailers
	return nil
}

// Header implements [http.ResponseWriter].
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements [http.ResponseWriter].
func (a *answer) WriteHeader(status int) {
	// An informational response, such as 103, is not the final one.
	if status < http.StatusOK && status != http.StatusSwitchingProtocols || a.begin() == nil {
		a.ResponseWriter.WriteHeader(status)
	}
}

// Write implements [http.ResponseWriter].
func (a *answer) Write(b []byte) (int, error) {
	if err := a.begin(); err != nil {
		return 0, err
	}
	return a.ResponseWriter.Write(b)
}

// FlushError stores the session before it sends anything.
func (a *answer) FlushError() error {
	if err := a.begin(); err != nil {
		return err
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Flush implements [http.Flusher] for code that does not use
// [http.ResponseController].
func (a *answer) Flush() { _ = a.FlushError() }

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
