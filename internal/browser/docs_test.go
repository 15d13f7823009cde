package browser

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/internal/engines"
)

// The website of the documentation, as docs/site/build has built it, finds what a
// reader searches for, and each page fits on a phone.
func TestDocs(t *testing.T) {
	inChromium.need(t)
	files := os.DirFS("../../docs/site/out/site")
	pages, err := fs.Glob(files, "*.html")
	require.NoError(t, err)
	if len(pages) == 0 {
		engines.Require(t, "the website of the documentation", "build it with: bash docs/site/build")
	}
	more, err := fs.Glob(files, "docs/*.html")
	require.NoError(t, err)
	srv := httptest.NewServer(http.FileServerFS(files))
	t.Cleanup(srv.Close)
	b := (&site{t: t, in: inChromium, url: srv.URL, now: time.Now}).browser(t)

	for _, scheme := range []string{"light", "dark"} {
		b.prefer("screen", scheme)
		b.goTo("/")
		b.until(`document.querySelector('#app').__vue_app__`) // its scripts run
		b.clickOn(`document.querySelector('.DocSearch-Button')`)
		b.until(`document.querySelector('#localsearch-input')`)
		b.must(b.window.send(`document.querySelector('#localsearch-input')`, "recovery codes"))
		b.until(`document.querySelectorAll('#localsearch-list a').length > 3`)
		if *pictures {
			b.picture("docs-search-" + scheme)
		}
		b.clickOn(`[...document.querySelectorAll('#localsearch-list a')].find((a) => a.innerText.includes('Recovery codes'))`)
		b.until(`document.querySelector('main h1') && !document.querySelector('#localsearch-input')`)
		b.reads("recovery codes")
	}

	b.do(chromedp.EmulateViewport(390, 844))
	for _, page := range append(pages, more...) {
		b.goTo("/" + page)
		require.LessOrEqual(t, eval[int](b, `document.documentElement.scrollWidth`), 390, "%s is wider than a phone", page)
	}
}
