package browser

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// The other tests pass if the browser reports no error and axe-core finds no
// violation. The tests below check that errors and violations are noticed.

func TestSelf_BrowserErrorsFail(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"policy violated":     `<style>p { color: red }</style>`,
		"style sheet missing": `<link rel="stylesheet" href="/missing.css">`,
		"exception":           `<script src="/throws.js"></script>`,
		"console":             `<script src="/warns.js"></script>`,
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Security-Policy", "default-src 'self'")
				switch r.URL.Path {
				case "/":
					_, _ = w.Write([]byte(`<!doctype html><link rel="icon" href="data:,"><title>x</title>` + body))
				case "/throws.js":
					w.Header().Set("Content-Type", "text/javascript")
					_, _ = w.Write([]byte(`throw new Error('thrown')`))
				case "/warns.js":
					w.Header().Set("Content-Type", "text/javascript")
					_, _ = w.Write([]byte(`console.warn('warned')`))
				default:
					http.NotFound(w, r)
				}
			}))
			t.Cleanup(srv.Close)
			b := (&site{t: t, in: inChromium, url: srv.URL}).browser(t)
			b.goTo("/")
			require.NotEmpty(t, b.chromium.complaints(""))
			b.chromium.forgive()
		})
	}
}

func TestSelf_AxeFindsViolations(t *testing.T) {
	t.Parallel()
	b := (&site{t: t, in: inChromium}).browser(t)
	b.goTo(`data:text/html,<html lang="en"><title>x</title><main><h1>x</h1><p style="color: %23999">too pale</p><input></main>`)
	ids := []string{}
	for _, v := range b.violations() {
		ids = append(ids, v.ID)
	}
	require.ElementsMatch(t, []string{"color-contrast", "label"}, ids)
}
