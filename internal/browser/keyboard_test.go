package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// focused is what the keyboard acts on, by its label or the words on it. It
// must be seen to have the focus: by a line around it (WCAG 2.2, 2.4.7).
func (b *tab) focused() string {
	b.t.Helper()
	b.until(`document.activeElement?.matches(':focus-visible')`) // autofocus comes with the first frame
	seen := eval[struct {
		Name          string
		Width         float64
		Visible, Ring bool
	}](b, `(() => { const e = document.activeElement, s = getComputedStyle(e);
		return { Name: (e.labels?.[0] ?? e).innerText.trim(), Visible: e.matches(':focus-visible'), Ring: s.outlineStyle !== 'none', Width: parseFloat(s.outlineWidth) }; })()`)
	require.True(b.t, seen.Visible && seen.Ring && seen.Width >= 2, "%q has the focus, and nobody sees it", seen.Name)
	return seen.Name
}

func (b *tab) tabKey(modifiers ...kb.Modifier) string {
	b.t.Helper()
	b.do(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(modifiers...)))
	return b.focused()
}

func (b *tab) types(text string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(text))
}

func (b *tab) enter() {
	b.t.Helper()
	b.leave(chromedp.KeyEvent(kb.Enter))
}

func TestPages_KeyboardAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	jon := s.browser(t)
	jon.logIn("jon@brook.example")
	phone, codes := jon.setUpApp()

	b := s.browser(t)
	b.goTo("/login")
	require.Equal(t, "E-mail", b.focused())
	b.types("jon@brook.example")
	require.Equal(t, "Password", b.tabKey())
	b.types("demo-boat-sails-far")
	b.enter()

	b.at("/2fa/challenge")
	require.Equal(t, "Code", b.focused())
	require.Equal(t, "Acme Contacts", b.tabKey(kb.ModifierShift))
	require.Equal(t, "Code", b.tabKey())
	require.Equal(t, "Continue", b.tabKey())
	require.Equal(t, "One of your recovery codes", b.tabKey())
	require.Equal(t, "Cancel", b.tabKey())
	b.tabKey(kb.ModifierShift)
	b.enter()
	require.Equal(t, "Recovery code", b.focused())
	b.types(codes[0][:4])
	b.enter()

	// What went wrong is said where the focus is, and in the title.
	b.reads("That code did not work")
	require.Equal(t, "Recovery code", b.focused())
	require.Contains(t, eval[string](b, `document.getElementById(document.activeElement.getAttribute('aria-describedby')).innerText`), "That code did not work")
	require.Contains(t, eval[string](b, `document.title`), "Error: ")
	require.Equal(t, "Continue", b.tabKey())
	require.Equal(t, "Code from your authenticator app", b.tabKey())
	b.enter()
	require.Equal(t, "Code", b.focused())
	b.types(phone.code())
	b.enter()
	b.at("/contacts")
}
