package browser

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofahttp"
	"github.com/twofa-go/twofa/twofatest"
)

// plainSessions are the sessions of a host whose SignOut changes no cookie.
type plainSessions struct{ byID sync.Map }

func (s *plainSessions) Session(r *http.Request) twofa.Session {
	if c, err := r.Cookie("session"); err == nil {
		kept, _ := s.byID.Load(c.Value)
		session, _ := kept.(twofa.Session)
		return session
	}
	return twofa.Session{}
}

func (s *plainSessions) SignIn(w http.ResponseWriter, _ *http.Request, session twofa.Session) error {
	id := rand.Text()
	s.byID.Store(id, session)
	http.SetCookie(w, &http.Cookie{Name: "session", Value: id, Path: "/", HttpOnly: true})
	return nil
}

func (s *plainSessions) SignOut(_ http.ResponseWriter, r *http.Request) error {
	if c, err := r.Cookie("session"); err == nil {
		s.byID.Delete(c.Value)
	}
	return nil
}

// newPlainSite serves a host with a login page of its own and the pages that a
// test adds.
func newPlainSite(t *testing.T, add ...func(mux *http.ServeMux, web *twofahttp.Server)) *site {
	t.Helper()
	user := func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id, Name: id}, nil }
	return newSiteOf(t, twofa.Config{Directory: twofa.LookUp(user)}, twofahttp.Config{}, add...)
}

// newSiteOf is like newPlainSite, for a host with a directory and settings of its
// own.
func newSiteOf(t *testing.T, mc twofa.Config, wc twofahttp.Config, add ...func(mux *http.ServeMux, web *twofahttp.Server)) *site {
	t.Helper()
	inChromium.need(t)
	clock := twofatest.NewClock(time.Now())
	mc.Now, mc.Issuer, mc.Store, mc.Keys = clock.Now, "Plain", cmp.Or[twofa.Store](mc.Store, memstore.New()), twofatest.KeyRing(t, "back")
	m, err := twofa.New(mc)
	require.NoError(t, err)
	wc.Now, wc.Manager, wc.Sessions = clock.Now, m, &plainSessions{}
	web, err := twofahttp.New(wc)
	require.NoError(t, err)
	account := "" // of the host's accounts, the one that it signs in to
	if wc.Team != nil {
		account = "acme"
	}
	mux := http.NewServeMux()
	mux.Handle("/2fa/", web.Handler())
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,"><form method="post"><label>User <input name="user"></label><button>Sign in</button></form>`)
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		web.FirstFactor(w, r, twofa.FirstFactor{UserID: r.FormValue("user"), Account: account, By: twofa.ByPassword}, "/2fa/")
	})
	for _, more := range add {
		more(mux, web)
	}
	s := &site{t: t, in: inChromium, now: clock.Now, clock: clock, m: m}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.noCookies.Load() {
			r.Header.Del("Cookie")
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	s.url = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	return s
}

// leftBehind returns why the browser did not keep the page before, after Back. The
// headless shell keeps none, but reports every reason that a browser with windows
// would have, too.
func (b *chromiumTab) leftBehind() (reasons []string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.chromium.ctx, patience)
	defer cancel()
	events := chromedp.Events(ctx, page.BackForwardCacheNotUsed)
	_, err := chromedp.Call(ctx, page.Enable, page.EnableParams{})
	require.NoError(b.t, err)
	eval[bool](b, `setTimeout(() => history.back()) > 0`)
	for e, err := range events {
		require.NoError(b.t, err)
		for _, x := range e.NotRestoredExplanations {
			reasons = append(reasons, string(x.Reason))
		}
		return reasons
	}
	return nil
}

// cookieChanged is the reason that a browser with windows does not keep a page
// that is marked no-store.
const cookieChanged = "CacheControlNoStoreHTTPOnlyCookieModified"

func TestBack_AfterSignOut(t *testing.T) {
	t.Parallel()
	b := newPlainSite(t).browser(t)
	b.goTo("/login")
	b.fill("User", "ada")
	b.press("Sign in")
	b.at("/2fa/")
	b.goTo("/2fa/setup?start=1")
	require.NotContains(t, b.leftBehind(), cookieChanged, "while the user is signed in")
	b.until(`location.pathname === '/2fa/'`)
	b.press("Sign out everywhere")
	b.at("/2fa/revoke")
	b.press("Sign out everywhere")
	b.at("/2fa/done")
	require.Contains(t, b.leftBehind(), cookieChanged)
}

func TestBack_AfterSignOutOfTheExample(t *testing.T) {
	t.Parallel()
	s, _ := newSiteWithClock(t)
	b := s.browser(t)
	b.logIn("jon@brook.example")
	b.at("/contacts")
	b.signOut()
	require.Contains(t, b.leftBehind(), cookieChanged)
}

// A browser that has kept the page even so hides it at once, and loads it again.
func TestBack_FromMemory(t *testing.T) {
	t.Parallel()
	b := newPlainSite(t).browser(t)
	b.goTo("/login")
	b.fill("User", "ada")
	b.press("Sign in")
	b.at("/2fa/")
	b.reads("Sign out everywhere")
	eval[bool](b, `window.fromMemory = dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))`)
	require.False(t, eval[bool](b, `document.body.checkVisibility()`))
	eval[bool](b, `setTimeout(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))) > 0`)
	b.until(`!window.fromMemory`)
	b.at("/2fa/")
	b.reads("Sign out everywhere")
}

// A page that is loaded again stays on this site, even if its path starts like an
// address of another site. Guard answers requests for such paths with pages, too.
func TestBack_FromMemoryStaysHere(t *testing.T) {
	t.Parallel()
	b := newPlainSite(t).browser(t)
	b.goTo("/2fa/link?token=x")
	eval[bool](b, `window.fromMemory = true`)
	eval[bool](b, `history.replaceState(null, '', location.origin + '//localhost:1/') === undefined`)
	eval[bool](b, `setTimeout(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))) > 0`)
	b.until(`!window.fromMemory`)
	require.Equal(t, b.url, eval[string](b, `location.origin`))
}
