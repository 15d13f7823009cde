package browser

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/twofa-go/twofa/examples/webapp/app"
)

// slow delays requests that change something, as a bad connection does: by 125
// ms on the way to the product and by 125 ms on the way back. A request that has
// left arrives even if the browser has hung up.
func slow(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		arrived := r.Clone(r.Context())
		arrived.Body = io.NopCloser(strings.NewReader(r.PostForm.Encode()))
		arrived.Form, arrived.PostForm = nil, nil
		answer := httptest.NewRecorder()
		time.Sleep(125 * time.Millisecond)
		next.ServeHTTP(answer, arrived)
		time.Sleep(125 * time.Millisecond)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

// twice sends the form of a button twice, 120 ms apart, as a double click does,
// and waits for the page at a path.
func (b *tab) twice(css, path string) {
	b.t.Helper()
	eval[bool](b, `(() => { const f = document.querySelector(`+"`"+css+"`"+`); f.requestSubmit(); setTimeout(() => f.requestSubmit(), 120); return true })()`)
	b.until(`location.pathname === '` + path + `'`)
	time.Sleep(300 * time.Millisecond) // the other answer may still come
	b.at(path)
}

func TestForms_SentTwice(t *testing.T) {
	t.Parallel()
	s, clock := newSiteWithClock(t, slow)
	ada := s.browser(t)
	ada.goTo("/login")
	ada.fill("E-mail", "ada@harbor.example")
	ada.fill("Password", app.DemoPassword)
	ada.twice(`form[action="/login"]`, "/2fa/challenge")
	ada.reads("Check your mail")
	ada.goTo(s.mailedLink("ada@harbor.example"))
	ada.twice(`form[action="/2fa/link"]`, "/contacts")
	ada.reads("Avery Sample")

	jon := s.browser(t)
	jon.goTo("/login")
	jon.fill("E-mail", "jon@brook.example")
	jon.fill("Password", app.DemoPassword)
	jon.twice(`form[action="/login"]`, "/contacts")
	phone, _ := jon.setUpApp()
	again := s.browser(t)
	again.logIn("jon@brook.example")
	clock.Add(30 * time.Second)
	again.fill("Code", phone.code())
	again.twice(`form[action="/2fa/verify"]`, "/contacts")
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
	hana.reads("Check your mail")
	mail := hana.tab()
	mail.goTo(s.mailedLink("hana@summit.example"))
	mail.press("Sign in")
	mail.at("/2fa/setup")
	hana.until(`location.pathname === '/2fa/setup'`)
	hana.reads("Your account requires a second factor")
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
	cleo.leave(chromedp.Click(chromedp.JSPath(`document.querySelector('input[value="cleo"] ~ button')`)))
	cleo.at("/contacts")
	cleo.reads("Harbor")

	cleo.do(chromedp.Click(chromedp.JSPath(`document.querySelector('details.me summary')`)))
	cleo.press("Switch to Meadow")
	cleo.at("/login")
	cleo.reads("You are signed in as cleo@harbor.example, but Meadow asks you to sign in again")
	cleo.picture("sso-switch")
	cleo.goTo("/settings")
	cleo.at("/settings")
	cleo.reads("Sign in to this account")
	cleo.picture("sign-in-here")
	cleo.press("Sign in")
	cleo.at("/login")

	cleo.do(chromedp.Click(chromedp.JSPath(`document.querySelector('details.me summary')`)))
	cleo.press("Switch to Harbor")
	cleo.at("/contacts")
	cleo.reads("Harbor")
	cleo.goTo("/login")
	cleo.readsNot("asks you to sign in again")
}
