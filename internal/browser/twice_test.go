package browser

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/twofa-go/twofa/examples/webapp/app"
)

// double holds the answer to a form until the browser has sent the form again, as
// over a bad connection. The browser then drops the first answer with its cookies
// and shows only the second.
type double struct {
	mu             sync.Mutex
	left           int // forms of the two that have not arrived
	again, handled chan struct{}
}

func (d *double) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		d.mu.Lock()
		left, again, handled := d.left, d.again, d.handled
		d.left = max(0, left-1)
		d.mu.Unlock()
		if left == 1 {
			close(again)
			<-handled
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		if left == 2 {
			close(handled)
			<-again
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

// send sends a form twice. If the browser drops the first one before it arrives at
// a busy server, it sends a third.
func (d *double) send(b *chromiumTab, css, path string) {
	b.t.Helper()
	d.mu.Lock()
	d.left, d.again, d.handled = 2, make(chan struct{}), make(chan struct{})
	d.mu.Unlock()
	eval[bool](b, "(() => { const f = document.querySelector(`"+css+"`); f.requestSubmit(); setTimeout(() => f.requestSubmit(), 400); setInterval(() => f.requestSubmit(), 10000); return true })()")
	b.until(`location.pathname === '` + path + `'`)
	b.at(path)
}

func TestForms_SentTwice(t *testing.T) {
	t.Parallel()
	d := &double{}
	s, clock := newSiteWithClock(t, d.wrap)
	ada := s.browser(t)
	ada.goTo("/login")
	ada.fill("Email", "ada@harbor.example")
	ada.fill("Password", app.DemoPassword)
	d.send(ada, `form[action="/login"]`, "/2fa/challenge")
	ada.reads("Check your email")
	ada.goTo(s.mailedLink("ada@harbor.example"))
	d.send(ada, `form[action="/2fa/link"]`, "/contacts")
	ada.reads("Avery Sample")

	jon := s.browser(t)
	jon.goTo("/login")
	jon.fill("Email", "jon@brook.example")
	jon.fill("Password", app.DemoPassword)
	d.send(jon, `form[action="/login"]`, "/contacts")
	phone, _ := jon.setUpApp()
	again := s.browser(t)
	again.logIn("jon@brook.example")
	clock.Add(30 * time.Second)
	again.fill("6-digit code", phone.code())
	d.send(again, `form[action="/2fa/verify"]`, "/contacts")
	again.goTo("/settings")
	again.at("/settings")
	again.reads("this session")
}

// The tab that waits for the link goes on even if the login requires enrollment.
func TestS1_WaitingTabGoesOnToSetup(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	hana := s.browser(t)
	hana.logIn("hana@summit.example")
	hana.reads("Check your email")
	mail := hana.newTab()
	mail.goTo(s.mailedLink("hana@summit.example"))
	mail.press("Sign in")
	mail.at("/2fa/setup")
	hana.until(`location.pathname === '/2fa/setup'`)
	hana.reads("Your account requires two-factor authentication")
}

// A user whom one account's provider vouched for is asked to sign in when they
// switch to another account, and can go back.
func TestS6_SwitchAfterSSO(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cleo := s.browser(t)
	cleo.goTo("/sso")
	cleo.fill("Account", "harbor")
	cleo.press("Continue")
	cleo.pressOn(`document.querySelector('input[value="cleo"] ~ button')`)
	cleo.at("/contacts")
	cleo.reads("Harbor")

	cleo.clickOn(`document.querySelector('details.acme-me summary')`)
	cleo.press("Switch to Meadow")
	cleo.at("/login")
	cleo.reads("Meadow asks you to sign in again")
	cleo.picture("sso-switch")
	cleo.goTo("/settings")
	cleo.at("/settings")
	cleo.reads("Sign in to this account")
	cleo.picture("sign-in-here")
	cleo.press("Sign in")
	cleo.at("/login")

	cleo.clickOn(`document.querySelector('details.acme-me summary')`)
	cleo.press("Switch to Harbor")
	cleo.at("/contacts")
	cleo.reads("Harbor")
	cleo.goTo("/login")
	cleo.readsNot("asks you to sign in again")
}
