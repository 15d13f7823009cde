package twofahttp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
)

// sample is a page in one of its states.
type sample struct {
	name, page string
	data       any
	alert      *alert
}

// samples returns each page in each state of sampleData. A state of a page with a
// field is also shown with each alert about that field, and the first state of
// each page with an alert about an error and with one about a success.
func (s *Server) samples(c *locale.Catalog) (all []sample) {
	t := s.templates[c]
	for page, states := range sampleData(c) {
		if page == codesFile {
			continue
		}
		for i, data := range states {
			plain := t.shown(page, data, nil)
			for _, a := range sampleAlerts(c) {
				if shownWith(data, a) && t.isLookedAt(page, plain, i, data, a) {
					all = append(all, sample{sampleName(page, i, data, a), page, data, a})
				}
			}
		}
	}
	return all
}

// sampleName returns a name such as "setup-07", "setup-07-invalid_code" or
// "message-expired".
func sampleName(page string, i int, data any, a *alert) string {
	if d, ok := data.(messageData); ok {
		name := page + "-" + messageOf(a.Code, twofa.Method(a.Method)).id()
		if d.SignedIn {
			name += "-signed_in"
		}
		return name
	}
	name := fmt.Sprintf("%s-%02d", page, i+1)
	if a != nil {
		name += "-" + a.Code
	}
	return name
}

// shown returns a page in a state, or nothing if it cannot be shown.
func (t templates) shown(page string, data any, a *alert) string {
	var b bytes.Buffer
	if t.execute(&b, page, pageData{Alert: a, Data: data}) != nil {
		return ""
	}
	return b.String()
}

// isLookedAt reports whether a state of a page, which is plain without an alert, is
// worth a look with one.
func (t templates) isLookedAt(page, plain string, i int, data any, a *alert) bool {
	switch d := data.(type) {
	case messageData:
		return a != nil && a.Code == d.Code // it is always there
	case doneData:
		return a == nil
	}
	switch {
	case a == nil:
		return true
	case a.Method != "":
		return false
	case a.Field != "":
		return strings.Contains(plain, ` name="`+a.Field+`"`)
	case page == "challenge" && a.Code == "locked":
		return true
	}
	return i == 0 && (a.Code == "renamed" || a.Code == "unavailable") && strings.Contains(t.shown(page, data, a), ` id="alert"`)
}

// Samples returns a handler that answers with pages in their states, for people
// and tests that look at them. The path is /samples/, a language and the name of a
// sample. The path /samples.json lists the names. Nothing on the pages works: a
// form gets no answer, and a page that waits for a link waits.
func (s *Server) Samples(languages ...*locale.Catalog) http.Handler {
	all := map[string]map[string]sample{} // by language and name
	for _, c := range languages {
		all[c.Tag()] = map[string]sample{}
		for _, one := range s.samples(c) {
			all[c.Tag()][one.name] = one
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+s.cfg.Prefix, s.Handler())
	mux.HandleFunc("POST /", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET "+s.cfg.Prefix+"status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(statusData{"waiting"})
	})
	mux.HandleFunc("GET /samples.json", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(slices.Sorted(maps.Keys(all[languages[0].Tag()])))
	})
	mux.HandleFunc("GET /samples/{language}/{name}", func(w http.ResponseWriter, r *http.Request) {
		x := s.newExchange(w, r)
		one, ok := all[r.PathValue("language")][r.PathValue("name")]
		if !ok {
			x.respond(view{}, errNotFound)
			return
		}
		x.respond(view{page: one.page, data: one.data, alert: one.alert}, nil)
	})
	return mux
}

// PagesWithoutSamples returns the pages that sampleData lacks.
func (s *Server) PagesWithoutSamples() (missing []string) {
	c := locale.English()
	for page := range s.templates[c].pages {
		if len(sampleData(c)[page]) == 0 {
			missing = append(missing, page)
		}
	}
	return missing
}
