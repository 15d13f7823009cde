package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// otherSite serves pages on another site than the host, which is at localhost.
func otherSite(t *testing.T, pages map[string]string) (url string) {
	mux := http.NewServeMux()
	for path, body := range pages {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,">`+body)
		})
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL
}

// hostPage is a page of the host.
func hostPage(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,">`+body)
	}
}

// enrolled signs a user in at the plain site, enrolls an authenticator, and signs
// out again.
func (b *tab) enrolled(user string) *phone {
	b.t.Helper()
	b.goTo("/login")
	b.fill("User", user)
	b.press("Sign in")
	b.at("/2fa/")
	p, _ := b.setUpApp()
	return p
}

// nextCode returns a code that was not used yet.
func (s *site) nextCode(p *phone) string {
	s.clock.Add(30 * time.Second)
	return p.code()
}

// A form of ours may lead to another origin, over any number of hops.
func TestForms_LeadToAnotherOrigin(t *testing.T) {
	t.Parallel()
	other := otherSite(t, map[string]string{"/callback": "signed in elsewhere"})
	s := newPlainSite(t, func(mux *http.ServeMux, web *twofahttp.Server) {
		mux.Handle("/oauth/authorize", web.Guard(http.RedirectHandler(other+"/callback", http.StatusFound)))
		mux.Handle("/oauth/start", web.Guard(http.RedirectHandler("/oauth/authorize", http.StatusSeeOther)))
	})
	phone := s.browser(t).enrolled("ada")
	for _, start := range []string{"/oauth/authorize", "/oauth/start"} {
		b := s.browser(t)
		b.goTo(start)
		b.at("/login")
		b.fill("User", "ada")
		b.press("Sign in")
		b.fill("6-digit code", s.nextCode(phone))
		b.press("Continue")
		b.at("/2fa/") // the login page of this host drops the way back
		b.goTo(start)
		require.Equal(t, other, eval[string](b, `location.origin`))
		b.reads("signed in elsewhere")
	}
}

// An identity provider on another site posts its answer to the host (SAML,
// form_post). The browser remains known, and the user is signed in.
func TestBounce_LoginPostedByAnotherSite(t *testing.T) {
	t.Parallel()
	var cookies atomic.Value
	s := newPlainSite(t, func(mux *http.ServeMux, web *twofahttp.Server) {
		mux.HandleFunc("POST /saml", func(w http.ResponseWriter, r *http.Request) {
			web.FirstFactor(w, r, twofa.FirstFactor{UserID: r.FormValue("user"), By: twofa.BySSO}, "/app")
		})
		mux.Handle("/app", web.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c, err := r.Cookie("twofa-browser"); err == nil {
				cookies.Store(c.Value)
			}
			hostPage("the app")(w, r)
		})))
	})
	provider := otherSite(t, map[string]string{"/": `<form method="post" action="` + s.url + `/saml"><input type="hidden" name="user" value="ada"><button>Sign in to the app</button></form>`})
	b := s.browser(t)
	phone := b.enrolled("ada")
	b.goTo("/app")
	before, _, _ := strings.Cut(cookies.Load().(string), ".")
	b.goTo("/2fa/")
	b.press("Sign out everywhere")
	b.press("Sign out everywhere") // confirmed

	b.goTo(provider + "/")
	b.press("Sign in to the app")
	b.until(`location.pathname === '/2fa/challenge'`)
	b.fill("6-digit code", s.nextCode(phone))
	b.press("Continue")
	b.at("/app")
	after, _, _ := strings.Cut(cookies.Load().(string), ".")
	require.Equal(t, before, after, "the browser keeps its secret")
}

// A login in a popup keeps the window that opened it, also through the challenge.
func TestPopup_KeepsItsOpener(t *testing.T) {
	t.Parallel()
	s := newPlainSite(t, func(mux *http.ServeMux, web *twofahttp.Server) {
		mux.Handle("/popup", web.Guard(hostPage(`<script>opener.postMessage('signed in', '*')</script>done`)))
		mux.Handle("/start", hostPage(`<script>
			let w
			addEventListener('message', (e) => { document.title = e.data })
			const start = () => { w = open('/login', 'login', 'width=500,height=600') }
			const ready = (css) => w && w.document && w.document.readyState === 'complete' && !!w.document.querySelector(css)
			</script>start`))
	})
	phone := s.browser(t).enrolled("ada")
	b := s.browser(t)
	b.goTo("/start")
	eval[bool](b, `(start(), true)`)
	b.until(`ready('input[name=user]')`)
	eval[bool](b, `(w.document.querySelector('input[name=user]').value = 'ada', w.document.forms[0].submit(), true)`)
	b.until(`ready('input[name=code]')`)
	eval[bool](b, `(w.document.querySelector('input[name=code]').value = '`+s.nextCode(phone)+`', w.document.querySelector('form[action="/2fa/verify"]').requestSubmit(), true)`)
	b.until(`w.location.pathname === '/2fa/'`)
	eval[bool](b, `(w.location = '/popup', true)`)
	b.until(`document.title === 'signed in'`)
}

// A browser that keeps no cookies is told so.
func TestCookies_BlockedBrowserIsTold(t *testing.T) {
	t.Parallel()
	s := newPlainSite(t)
	s.browser(t).enrolled("ada")
	s.noCookies.Store(true)
	b := s.browser(t)
	b.goTo("/login")
	b.fill("User", "ada")
	b.press("Sign in")
	b.at("/2fa/challenge")
	b.reads("Your browser does not accept cookies")
	b.picture("cookies-blocked")
}

// A page that htmx has loaded leads to the login page as a whole if the session
// has ended, in both major releases of htmx.
func TestHTMX_EndedSessionOpensTheLoginPage(t *testing.T) {
	t.Parallel()
	for _, release := range []string{"htmx2", "htmx4"} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			script, err := os.ReadFile(filepath.Join(nodeModules(t), release, "dist", "htmx.min.js"))
			require.NoError(t, err)
			s := newPlainSite(t, func(mux *http.ServeMux, web *twofahttp.Server) {
				mux.HandleFunc("/htmx.js", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/javascript")
					_, _ = w.Write(script)
				})
				mux.Handle("/app", web.Guard(hostPage(`<script src="/htmx.js"></script><button hx-get="/part" hx-target="#part">Load</button><div id="part">nothing</div>`)))
				mux.Handle("/part", web.Guard(hostPage("a part of the page")))
			})
			b := s.browser(t)
			b.goTo("/login")
			b.fill("User", "ada")
			b.press("Sign in")
			b.goTo("/app")
			b.click("Load")
			b.until(`document.getElementById('part').innerText.includes('a part of the page')`)
			other := b.newTab()
			other.goTo("/2fa/")
			other.press("Sign out everywhere")
			other.press("Sign out everywhere") // confirmed
			b.click("Load")
			b.until(`location.pathname === '/login'`)
			b.chromium.forgive() // the status of the part
			b.readsNot("nothing")
			require.Contains(t, eval[string](b, `location.search`), "next=%2Fapp")
		})
	}
}
