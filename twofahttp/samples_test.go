package twofahttp_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/pseudo"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
	"github.com/twofa-go/twofa/locale/es"
	"github.com/twofa-go/twofa/locale/fr"
	"github.com/twofa-go/twofa/locale/ja"
	"github.com/twofa-go/twofa/locale/ptbr"
	"github.com/twofa-go/twofa/twofahttp"
)

var serveSamples = flag.String("samples.serve", "", "address, such as localhost:8099, at which TestSamples_AreServed serves each page in each state until its standard input ends")

// everyLanguage are the languages of package locale and the two that show mistakes.
func everyLanguage() []*locale.Catalog {
	return []*locale.Catalog{locale.English(), de.Catalog(), fr.Catalog(), es.Catalog(), ptbr.Catalog(), ja.Catalog(), pseudo.Accents(), pseudo.RightToLeft()}
}

// spaceInJapanese matches two Japanese sentences that a space joins.
var spaceInJapanese = regexp.MustCompile(`[。？！] +[\p{Han}\p{Hiragana}\p{Katakana}]`)

// samples returns a handler that serves each page in each state, and the mail with
// a link, in each language.
func samples(t *testing.T) (http.Handler, []*locale.Catalog) {
	t.Helper()
	languages := everyLanguage()
	h := newHost(t, twofa.PolicyEmailLink(), func(c *twofa.Config, w *twofahttp.Config) {
		c.Languages = languages
		c.Mail.Brand = twofa.Brand{Color: "#2c4fc9", SupportURL: "mailto:help@acme.example"}
		w.SupportURL = "mailto:help@acme.example"
		w.Language = func(r *http.Request) string {
			parts := strings.Split(r.URL.Path, "/")
			return parts[min(2, len(parts)-1)]
		}
	})
	require.Empty(t, h.web.PagesWithoutSamples())
	mux := http.NewServeMux()
	mux.Handle("/", h.web.Samples(languages...))
	for _, c := range languages {
		client := twofa.Client{Language: c.Tag(), UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", IP: "192.0.2.17"}
		login, err := h.m.Begin(t.Context(), twofa.FirstFactor{UserID: "user-" + c.Tag(), Account: "acme", By: twofa.ByPassword, Client: client})
		require.NoError(t, err)
		_, err = h.m.Send(t.Context(), client, login.Challenge, twofa.EmailLink)
		require.NoError(t, err)
		mail := h.outbox.mails[len(h.outbox.mails)-1].HTML.Reveal()
		mux.HandleFunc("GET /samples/"+c.Tag()+"/mail", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, mail)
		})
	}
	return mux, languages
}

// Each page has samples, and each sample has an answer in each language. With
//
//	go test ./twofahttp -run TestSamples_AreServed -samples.serve localhost:8099
//
// a browser can look at them at /samples/en/challenge-01. The tests of
// internal/browser do.
func TestSamples_AreServed(t *testing.T) {
	handler, languages := samples(t)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w
	}
	var names []string
	require.NoError(t, json.Unmarshal(get("/samples.json").Body.Bytes(), &names))
	require.NotEmpty(t, names)
	for _, c := range languages {
		for _, name := range append(names, "mail") {
			answer := get("/samples/" + c.Tag() + "/" + name)
			require.Equal(t, http.StatusOK, answer.Code, name)
			require.Contains(t, answer.Body.String(), `<html lang="`+c.Tag()+`"`, name)
			require.NotContains(t, answer.Body.String(), "{{", name)
			require.NotContains(t, answer.Body.String(), "ZgotmplZ", name)
			require.NotRegexp(t, spaceInJapanese, answer.Body.String(), name)
		}
	}
	require.Equal(t, http.StatusNotFound, get("/samples/en/challenge-00").Code)
	if *serveSamples == "" {
		return
	}
	listener, err := net.Listen("tcp", *serveSamples)
	require.NoError(t, err)
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(listener) }()
	fmt.Printf("samples at http://localhost:%d\n", listener.Addr().(*net.TCPAddr).Port)
	_, _ = io.Copy(io.Discard, os.Stdin)
	require.NoError(t, server.Close())
}
