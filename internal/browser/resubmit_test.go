package browser

import (
	"encoding/csv"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
)

// contactsIn requires that a file is the export of the demo contacts.
func contactsIn(t *testing.T, file string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 13, "a heading and 12 contacts")
}

// The user presses Export once, and the file comes after the code.
func TestS10_ExportIsPressedOnce(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithClock(t)
	eva := s.browser(t)
	eva.setUpPhone()
	clock.Add(time.Hour)
	eva.goTo("/contacts")
	eva.press("Export as CSV")
	eva.at("/contacts/export")
	eva.reads("You asked for: Export contacts")
	eva.readsNot("again")
	eva.picture("resubmit-challenge")
	eva.press("Text me a code")
	eva.fill("6-digit code", "000000")
	eva.press("Continue")
	eva.reads("That code did not work")
	eva.fill("6-digit code", s.textedCode(evasPhone))
	contactsIn(t, eva.download("Continue"))
	eva.reads("If you asked for a file, it’s in your downloads")
	require.False(t, eva.offers("Continue: Export contacts"))
	eva.picture("resubmit")
	eva.press("Go back")
	eva.at("/contacts")
}

// The same without script, with one more button. A double click is told that it
// is already done, because a browser drops the first answer.
func TestS10_ExportWithoutScript(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithClock(t)
	eva := s.browser(t)
	eva.setUpPhone()
	clock.Add(time.Hour)
	eva.forbidScript()
	eva.goTo("/contacts")
	eva.press("Export as CSV")
	eva.press("Text me a code")
	eva.fill("6-digit code", s.textedCode(evasPhone))
	eva.press("Continue")
	eva.reads("Confirmed")
	contactsIn(t, eva.download("Continue: Export contacts"))
	eva.press("Continue: Export contacts")
	eva.reads("This is already done")
	eva.press("Go back")
	eva.at("/contacts")
}

// With script, a double click sends the form once.
func TestS10_DoubleClickOnContinue(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithClock(t)
	eva := s.browser(t)
	eva.setUpPhone()
	clock.Add(time.Hour)
	eva.goTo("/contacts")
	eva.press("Export as CSV")
	eva.press("Text me a code")
	eva.fill("6-digit code", s.textedCode(evasPhone))
	contactsIn(t, eva.download("Continue"))
	eval[bool](eva, `(() => { const f = document.querySelector('form[data-once]'); f.requestSubmit(); f.requestSubmit(); return true })()`)
	eva.reads("If you asked for a file, it’s in your downloads")
	eva.at("/2fa/verify")
}

// Two tabs with a form each, of which one uses another method.
func TestS10_TwoTabs(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithClock(t)
	jon := s.browser(t)
	jon.logIn("jon@brook.example")
	phone, codes := jon.setUpApp()
	clock.Add(time.Hour)
	jon.goTo("/contacts")
	other := jon.newTab()
	other.goTo("/2fa/")
	jon.press("Export as CSV")
	other.press("View codes")
	other.reads("Confirm it’s you")
	jon.reads("You asked for: Export contacts")
	require.False(t, jon.offers("Use a recovery code"), "the rule accepts none")
	clock.Add(30 * time.Second)
	other.fill("6-digit code", phone.code())
	other.press("Continue")
	other.until(`document.querySelectorAll('[data-codes] code').length > 0`)
	require.Equal(t, codes, other.codes())
	clock.Add(30 * time.Second)
	jon.fill("6-digit code", phone.code())
	require.NotEmpty(t, jon.download("Continue"))
}

// The tab that waits for an email link sends the form when the link was opened.
func TestS10_WaitingTabSendsTheForm(t *testing.T) {
	t.Parallel()
	var product *app.App
	s, clock := newSiteWithClock(t, func(next http.Handler) http.Handler { product = next.(*app.App); return next })
	require.Zero(t, product.Operate(t.Context(), []string{"reset", "jon@brook.example", "-yes", "-by", "nora", "-reason", "a test"}, nil, io.Discard, io.Discard))
	clock.Add(time.Minute)
	jon := s.browser(t)
	jon.logIn("jon@brook.example")
	jon.goTo("/2fa/setup?start=1")
	jon.press("Set up authenticator app")
	jon.reads("Check your spam folder")
	mail := jon.newTab()
	mail.goTo(s.mailedLink("jon@brook.example"))
	mail.press("Yes, it’s me")
	jon.until(`!!document.querySelector('.qr')`)
	jon.at("/2fa/setup")
}
