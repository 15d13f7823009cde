package browser

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
	"github.com/twofa-go/twofa/locale/ja"
)

// speaks requires that the page and its skip link are in a language.
func (b *tab) speaks(c *locale.Catalog) {
	b.t.Helper()
	require.Equal(b.t, c.Tag(), eval[string](b, `document.documentElement.lang`))
	require.Equal(b.t, c.Text("page.common.skip", nil), eval[string](b, `document.querySelector('.skip').textContent`))
}

// The switch of the example changes the pages of the second factor and the
// mail, at once and on the same page. Later, the user's own language decides,
// also in a browser that asks for another one.
func TestLanguage_Switch(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithClock(t)
	subject := func(c *locale.Catalog) string {
		return c.Text("link.login.subject", locale.Args{"issuer": "Acme Contacts"})
	}
	b := s.browser(t)
	b.goTo("/login")
	b.press("Deutsch")
	b.at("/login")
	b.logIn("ada@harbor.example")
	b.at("/2fa/challenge")
	b.speaks(de.Catalog())
	require.Equal(t, subject(de.Catalog()), s.newest("ada@harbor.example").Subject)
	b.picture("frame-challenge-de")

	b.press("日本語")
	b.at("/2fa/challenge")
	b.speaks(ja.Catalog())
	b.logIn("ben@harbor.example")
	require.Equal(t, subject(ja.Catalog()), s.newest("ben@harbor.example").Subject)
	b.picture("frame-challenge-ja")
	b.goTo(s.mailedLink("ben@harbor.example"))
	b.speaks(ja.Catalog())
	b.pressOn(`document.querySelector("main form button")`)
	b.at("/contacts")
	require.Equal(t, "en", eval[string](b, `document.documentElement.lang`), "the product's own pages are in English")

	b.goTo("/2fa/")
	b.speaks(ja.Catalog())
	require.True(t, b.offers("Members"), "the page must have the navigation of the product")
	require.True(t, b.offers("Open the outbox"))
	b.press("Deutsch")
	b.at("/2fa/")
	b.speaks(de.Catalog())
	b.picture("frame-settings-de")
	b.do(chromedp.EmulateViewport(320, 700, chromedp.EmulateMobile))
	require.LessOrEqual(t, eval[int](b, `document.documentElement.scrollWidth`), 320)
	require.Empty(t, eval[[]string](b, `[...document.querySelectorAll('.acme-bar a, .acme-bar summary, .acme-foot button')]
		.filter((e) => e.checkVisibility() && (e.getBoundingClientRect().height < 44 || e.getBoundingClientRect().width < 44)).map((e) => e.textContent)`))
	b.picture("frame-settings-de-phone")

	clock.Add(2 * time.Minute) // the shortest time between two emails
	other := s.browser(t)      // it asks for English
	other.logIn("ben@harbor.example")
	require.Equal(t, subject(de.Catalog()), s.newest("ben@harbor.example").Subject)
}
