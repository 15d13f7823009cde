package twofahttp_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// clients lists what clients send, header by header, and whether a page is the
// right answer.
var clients = []struct {
	name    string
	headers string
	page    bool
}{
	{"Chrome", "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document\nSec-Fetch-Site: none", true},
	{"Firefox", "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document", true},
	{"Safari 15, which has no Fetch Metadata", "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true},
	{"Android WebView", "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\nX-Requested-With: com.acme.app", true},
	{"a frame", "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: iframe", true},
	{"a navigation that a service worker passes on", "Accept: text/html,application/xhtml+xml,*/*;q=0.8\nSec-Fetch-Mode: navigate\nService-Worker-Navigation-Preload: true", true},
	{"prerendering", "Accept: text/html,application/xhtml+xml,*/*;q=0.8\nSec-Fetch-Mode: navigate\nSec-Purpose: prefetch;prerender", true},
	{"Lynx", "Accept: text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01", true},
	{"w3m", "Accept: text/html, text/*;q=0.5, image/*, application/*", true},
	{"Turbo, form", "Accept: text/vnd.turbo-stream.html, text/html, application/xhtml+xml\nSec-Fetch-Mode: cors\nX-Turbo-Request-Id: 1", true},
	{"Turbo, frame", "Accept: text/html, application/xhtml+xml\nSec-Fetch-Mode: cors\nTurbo-Frame: list", true},
	{"an Accept header in two lines", "Accept: application/xhtml+xml\nAccept: Text/HTML", true},
	{"a reader that likes HTML more", "Accept: application/json;q=0.5, text/html", true},

	{"Turbo, visit: it loads the page as a whole if it gets no HTML", "Accept: text/html, application/xhtml+xml\nSec-Fetch-Mode: cors\nX-Turbo-Request-Id: 1", false},
	{"fetch", "Accept: */*\nSec-Fetch-Mode: cors\nSec-Fetch-Dest: empty", false},
	{"fetch in Safari 15", "Accept: */*", false},
	{"fetch for HTML", "Accept: text/html\nSec-Fetch-Mode: cors", false},
	{"fetch with mode same-origin", "Accept: text/html\nSec-Fetch-Mode: same-origin", false},
	{"axios", "Accept: application/json, text/plain, */*\nSec-Fetch-Mode: cors", false},
	{"axios in Node.js", "Accept: application/json, text/plain, */*\nUser-Agent: axios/1.7.9", false},
	{"jQuery", "Accept: */*\nX-Requested-With: XMLHttpRequest", false},
	{"jQuery for HTML in Safari 15", "Accept: text/html, */*; q=0.01\nX-Requested-With: XMLHttpRequest", false},
	{"Rails request.js", "Accept: text/vnd.turbo-stream.html, text/html, application/xhtml+xml\nX-Requested-With: XMLHttpRequest\nSec-Fetch-Mode: cors", false},
	{"htmx", "Accept: */*\nHX-Request: true\nSec-Fetch-Mode: cors", false},
	{"htmx for HTML", "Accept: text/html, */*\nHX-Request: true", false},
	{"Unpoly", "Accept: text/html, */*\nX-Up-Version: 3.11.0\nX-Up-Target: main\nSec-Fetch-Mode: cors", false},
	{"an image in Chrome", "Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: image", false},
	{"an image in Safari 15", "Accept: image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5", false},
	{"an image of an old Chrome that accepts anything", "Accept: text/html,*/*\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: image", false},
	{"a style sheet", "Accept: text/css,*/*;q=0.1\nSec-Fetch-Mode: no-cors", false},
	{"a script", "Accept: */*\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: script", false},
	{"a prefetched page", "Accept: text/html,application/xhtml+xml,*/*;q=0.8\nSec-Fetch-Mode: no-cors\nSec-Purpose: prefetch", false},
	{"EventSource", "Accept: text/event-stream\nSec-Fetch-Mode: cors", false},
	{"WebSocket", "Sec-Fetch-Mode: websocket\nUpgrade: websocket", false},
	{"curl", "Accept: */*\nUser-Agent: curl/8.5.0", false},
	{"wget", "Accept: */*\nUser-Agent: Wget/1.21.4", false},
	{"Python requests", "Accept: */*\nUser-Agent: python-requests/2.32", false},
	{"Go", "User-Agent: Go-http-client/2.0", false},
	{"HTTPie", "Accept: application/json, */*;q=0.5", false},
	{"Postman", "Accept: */*", false},
	{"a JSON:API client", "Accept: application/vnd.api+json", false},
	{"an API client that lists both", "Accept: application/json, text/html", false},
	{"an API client that likes JSON more", "Accept: text/html;q=0.5, application/json", false},
	{"a client that refuses HTML", "Accept: application/problem+json, text/html;q=0", false},
	{"a name that only contains it", "Accept: application/x-text/html", false},
	{"a parameter that contains it", `Accept: application/json; profile="text/html"`, false},
	{"an empty header", "Accept: ", false},
	{"a broken header", "Accept: ;;q=,,/", false},

	// A limit that WantsPage documents.
	{"Java's HttpURLConnection", "Accept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2\nUser-Agent: Java/21", true},
}

func TestWantsPage(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			for path, handler := range map[string]http.Handler{"/contacts": h.web.Guard(http.NotFoundHandler()), "/2fa/": h.web.Handler()} {
				r := httptest.NewRequest("GET", "https://app.example.com"+path, nil)
				for line := range strings.Lines(c.headers) {
					name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
					r.Header.Add(name, value)
				}
				require.Equal(t, c.page, twofahttp.WantsPage(r))
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				if c.page {
					require.Equal(t, 303, w.Code)
					continue
				}
				require.Equal(t, 401, w.Code)
				require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
				require.Empty(t, w.Header().Get("Location"))
			}
		})
	}
}

// A host decides itself, for example by path.
func TestWantsPage_OfTheHost(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.WantsPage = func(r *http.Request) bool {
			return !strings.HasPrefix(r.URL.Path, "/api/") && twofahttp.WantsPage(r)
		}
	})
	b := h.browser()
	require.Equal(t, 401, b.get("/api/contacts").StatusCode)
	require.Equal(t, 303, b.get("/contacts").StatusCode)
}

// Turbo shows a page of ours as a whole.
func TestWantsPage_TurboLoadsThePage(t *testing.T) {
	b, _, _ := newHost(t, twofa.PolicyOptional()).pending("ada")
	require.Contains(t, b.get("/2fa/challenge").Body, `<meta name="turbo-visit-control" content="reload">`)
}

// chain wraps a handler in middleware as routers do, the first one outermost.
func chain(next http.Handler, middleware ...func(http.Handler) http.Handler) http.Handler {
	for i := len(middleware) - 1; i >= 0; i-- {
		next = middleware[i](next)
	}
	return next
}

func TestGuardAction_InAChain(t *testing.T) {
	h := newHost(t, stepUpPolicy)
	b := h.browser()
	phone, _ := b.enroll("ada")
	h.clock.pass(staleProof)
	s := &seen{}
	export := chain(s, h.web.Guard, h.web.GuardAction("contacts.export"))
	require.Equal(t, 303, b.visit(export, "POST").Code)
	b.follow(b.get("/2fa/confirm?action=contacts.export"))
	b.prove(phone)
	require.Equal(t, 200, b.visit(export, "POST").Code)
	require.Equal(t, 303, b.visit(export, "POST").Code, "the proof is used up")
	require.Equal(t, 1, s.n)
	require.True(t, s.ok)
	require.Panics(t, func() { h.web.GuardAction("") }, "when the routes are built, not with the first request")
}
