package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// The pages of the example fit the narrowest phone, and what a finger presses
// is at least 44 px high, except links in text.
func TestExample_FitsAPhone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	gus, ida := s.browser(t), s.browser(t)
	gus.logIn("gus@summit.example") // one message for the outbox
	ida.logIn("ida@brook.example")
	ida.do(chromedp.EmulateViewport(320, 700, chromedp.EmulateMobile))
	for _, path := range []string{"/login", "/sso", "/contacts", "/contacts/brook-1/delete", "/members", "/members/jon/manage", "/members/jon/remove", "/members/jon/deactivate",
		"/members/jon/role?role=admin", "/members/leave", "/dev/idp/harbor?state=x", "/settings", "/2fa/revoke", "/dev/outbox", "/dev/support?email=jon@brook.example", "/nowhere", "/2fa/"} {
		ida.goTo(path)
		require.LessOrEqual(t, eval[int](ida, `document.documentElement.scrollWidth`), 320, path)
		require.Empty(t, eval[[]string](ida, `[...document.querySelectorAll('button, a, summary, select, input:not([type=hidden], [tabindex="-1"])')]
			.filter((e) => e.checkVisibility() && !e.closest('.skip, p:not(.row), pre') && e.getBoundingClientRect().height < 44).map((e) => e.outerHTML)`), path)
	}
}
