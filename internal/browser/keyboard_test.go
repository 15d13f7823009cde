package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// focused returns the label or the text of the element that has the focus. It
// requires that an outline makes the focus visible (WCAG 2.2, 2.4.7).
func (b *chromiumTab) focused() string {
	b.t.Helper()
	b.until(`document.activeElement?.matches(':focus-visible')`) // autofocus happens with the first frame
	seen := eval[struct {
		Name          string
		Width         float64
		Visible, Ring bool
	}](b, `(() => { const e = document.activeElement, s = getComputedStyle(e);
		return { Name: (e.labels?.[0] ?? e).innerText.trim(), Visible: e.matches(':focus-visible'), Ring: s.outlineStyle !== 'none', Width: parseFloat(s.outlineWidth) }; })()`)
	require.True(b.t, seen.Visible && seen.Ring && seen.Width >= 2, "the focus on %q must be visible", seen.Name)
	return seen.Name
}

// tabKey presses the Tab key and returns what focused returns.
func (b *chromiumTab) tabKey(modifiers ...kb.Modifier) string {
	b.t.Helper()
	b.do(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(modifiers...)))
	return b.focused()
}

// types types a text into the element that has the focus.
func (b *chromiumTab) types(text string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(text))
}

// enter presses the Enter key, which leads to another page, and waits for that page.
func (b *chromiumTab) enter() {
	b.t.Helper()
	b.leave(func() error {
		_, err := run(b.chromium, chromedp.KeyEvent(kb.Enter))
		return err
	})
}

func TestPages_KeyboardOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	jon := s.browser(t)
	jon.logIn("jon@brook.example")
	phone, codes := jon.setUpApp()

	b := s.browser(t)
	b.goTo("/login")
	require.Equal(t, "Email", b.focused())
	b.types("jon@brook.example")
	require.Equal(t, "Password", b.tabKey())
	b.types("demo-boat-sails-far")
	b.enter()

	b.at("/2fa/challenge")
	require.Equal(t, "6-digit code", b.focused())
	require.Equal(t, "Not you?", b.tabKey(kb.ModifierShift))
	require.Equal(t, "6-digit code", b.tabKey())
	require.Equal(t, "Continue", b.tabKey())
	require.Equal(t, "Use a recovery code", b.tabKey())
	b.enter()
	require.Equal(t, "Recovery code", b.focused())
	b.types(codes[0][:4])
	b.enter()

	// The error is in the description of the focused field and in the title.
	b.reads("That is not a complete code")
	require.Equal(t, "Recovery code", b.focused())
	require.Contains(t, eval[string](b, `document.getElementById(document.activeElement.getAttribute('aria-describedby')).innerText`), "That is not a complete code")
	require.Contains(t, eval[string](b, `document.title`), "Error · ")
	require.Equal(t, "Continue", b.tabKey())
	require.Equal(t, "Use your authenticator app", b.tabKey())
	b.enter()
	require.Equal(t, "6-digit code", b.focused())
	b.types(phone.code())
	b.enter()
	b.at("/contacts")
}
