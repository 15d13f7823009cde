package twofahttp_test

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// below serves a host below "/app": the program sees none of it. The proxy
// removes it, or the program itself does.
var below = map[string]func(h *host, path string) http.Handler{
	"proxy": func(h *host, path string) http.Handler {
		backend, err := url.Parse(h.srv.URL)
		require.NoError(h, err)
		return &httputil.ReverseProxy{Transport: h.srv.Client().Transport, Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(backend)
			r.Out.Host = r.In.Host
			r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, path)
			r.SetXForwarded()
		}}
	},
	"StripPrefix": func(h *host, path string) http.Handler { return http.StripPrefix(path, h.srv.Config.Handler) },
}

// newHostBelow starts a host whose addresses begin with "/app".
func newHostBelow(t *testing.T, by string, policy twofa.Policy, tune ...func(*twofa.Config, *twofahttp.Config)) *host {
	h := newHost(t, policy, append(tune, func(m *twofa.Config, w *twofahttp.Config) {
		w.BasePath = "/app"
		if m.Mail.LinkURL != nil {
			m.Mail.LinkURL = twofahttp.LinkURL("https://app.example.com/app/2fa/")
		}
	})...)
	mux := http.NewServeMux()
	mux.Handle("/app/", below[by](h, "/app"))
	mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s is outside of the application", r.URL) })
	h.srv = httptest.NewTLSServer(mux)
	t.Cleanup(h.srv.Close)
	return h
}

var addressPattern = regexp.MustCompile(`(?:href|src|action|data-poll|data-next|data-self)="([^"#]*)"`)

// addresses checks that each address in an answer is below "/app".
func addresses(t *testing.T, a answer) {
	t.Helper()
	list := []string{a.Header.Get("Location"), a.Header.Get("HX-Redirect")}
	for _, m := range addressPattern.FindAllStringSubmatch(a.Body, -1) {
		list = append(list, m[1])
	}
	for _, to := range list {
		if to == "" || strings.HasPrefix(to, "data:") || strings.HasPrefix(to, "otpauth:") {
			continue
		}
		require.Regexp(t, `^/app/[^/]?`, to)
		require.Equal(t, 1, strings.Count(to, "/app/")-strings.Count(to, "=/app/"), to)
		if next := regexp.MustCompile(`next=([^&]*)`).FindStringSubmatch(to); next != nil {
			require.Regexp(t, `(?i)^(/|%2f)app(/|%2f)`, next[1], to)
		}
	}
}

// walk sends requests and checks the addresses in all answers.
type walk struct {
	*browser
	t *testing.T
}

func (w walk) see(a answer) answer {
	w.t.Helper()
	for range 8 {
		addresses(w.t, a)
		if a.StatusCode != http.StatusSeeOther {
			return a
		}
		a = w.browser.get(a.Header.Get("Location"))
	}
	require.Fail(w.t, "redirected in circles")
	return a
}

func (w walk) open(path string) answer { w.t.Helper(); return w.see(w.browser.get(path)) }

func (w walk) send(path string, pairs ...string) answer {
	w.t.Helper()
	return w.see(w.browser.post(path, pairs...))
}

// enroll enrolls an app for a user who is signed in.
func (w walk) enroll() (app, []string) {
	w.t.Helper()
	w.open("/app/2fa/setup?start=1")
	phone := w.h.scan(w.send("/app/2fa/setup", "method", "totp").Body)
	codes := codesOn(w.send("/app/2fa/setup/confirm", "code", phone.code()).Body)
	require.NotEmpty(w.t, w.open("/app/2fa/setup/codes.txt").Body)
	require.Contains(w.t, w.send("/app/2fa/setup/saved", "saved", "yes").Body, onBadge)
	return phone, codes
}

func TestBasePath_Walk(t *testing.T) {
	for by := range below {
		t.Run(by, func(t *testing.T) {
			h := newHostBelow(t, by, twofa.PolicyOptional())
			w := walk{h.browser(), t}
			require.Equal(t, "login page", w.open("/app/contacts?page=2").Body)
			require.Equal(t, "/app/login?next=%2Fapp%2Fcontacts%3Fpage%3D2", w.get("/app/contacts?page=2").Header.Get("Location"))
			require.Equal(t, "contacts page", w.send("/app/login", "user", "ada", "next", "/app/contacts?page=2").Body)

			// Enrollment and settings.
			phone, codes := w.enroll()
			page := w.open("/app/2fa/")
			for path, kind := range map[string]string{"style.css": "text/css", "twofa.js": "text/javascript"} {
				require.Contains(t, page.Body, `"/app/2fa/`+path)
				require.Contains(t, w.open("/app/2fa/"+path).Header.Get("Content-Type"), kind)
			}
			require.Contains(t, w.send("/app/2fa/factors/rename", "id", idPattern.FindStringSubmatch(page.Body)[1], "name", "Phone").Body, "<bdi>Phone</bdi>")
			w.open("/app/2fa/codes/missing")
			w.open("/app/2fa/link?token=x")

			// Step-up: with the page of the action, and without one.
			h.clock.pass(staleProof)
			require.Contains(t, w.send("/app/contacts/export").Body, "Export contacts")
			require.Equal(t, "contacts page", w.send("/app/2fa/verify", "method", "totp", "code", phone.next()).Body)
			require.Equal(t, secretExport, w.send("/app/contacts/export").Body)
			r := w.request("POST", "/app/report", "")
			r.Header.Set("Referer", h.srv.URL+"/app/contacts?page=3")
			require.Equal(t, "/app/2fa/confirm?action=report&resource=&next=%2Fapp%2Fcontacts%3Fpage%3D3", w.do(r).Header.Get("Location"))
			h.clock.pass(staleProof)
			require.Contains(t, w.send("/app/2fa/codes/new").Body, "<bdi>"+english("page.settings.codes.new")+"</bdi>")
			require.Contains(t, w.send("/app/2fa/cancel").Body, "Recovery codes", "back to the settings")

			// Sign-out, and a login with a recovery code.
			require.Contains(t, w.send("/app/2fa/revoke").Body, `<a class="btn btn-primary" href="/app/login">Sign in</a>`)
			require.Contains(t, w.send("/app/login", "user", "ada", "next", "/app/contacts").Body, "Enter your code")
			w.open("/app/2fa/challenge?method=recovery")
			page = w.send("/app/2fa/verify", "method", "recovery", "code", codes[0])
			require.Contains(t, page.Body, "You used a recovery code")
			require.Contains(t, page.Body, `href="/app/contacts"`)
			require.Equal(t, "login page", w.send("/app/2fa/signin").Body)
			require.Contains(t, w.open("/app/2fa/nothing").Body, `href="/app/"`)

			// A login that another site has posted.
			r = w.request("POST", "/app/login", "user=bob&next=%2Fapp%2Fcontacts")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			page = w.see(w.do(r))
			held := regexp.MustCompile(`name="held" value="([^"]+)"`).FindStringSubmatch(page.Body)[1]
			require.Equal(t, "contacts page", w.send("/app/2fa/login", "held", held, "next", "/app/contacts").Body)
			require.True(t, w.get("/app/contacts").Body == "contacts page")
			for _, c := range w.jar.Cookies(mustURL(t, h.srv.URL)) {
				require.True(t, strings.HasPrefix(c.Name, "__Host-"), c.Name)
			}
		})
	}
}

func TestBasePath_RequiredEnrollmentByLink(t *testing.T) {
	for by := range below {
		t.Run(by, func(t *testing.T) {
			h := newHostBelow(t, by, twofa.PolicyAuthenticator())
			w := walk{h.browser(), t}
			page := w.send("/app/login", "user", "ada", "next", "/app/contacts")
			require.Contains(t, page.Body, `data-poll="/app/2fa/status" data-next="/app/contacts" data-self="/app/2fa/challenge"`)
			require.Equal(t, 200, w.open("/app/2fa/status").StatusCode)
			h.clock.pass(2 * time.Minute)
			w.send("/app/2fa/send", "method", "email")
			link := mustURL(t, h.outbox.link())
			require.Equal(t, "/app/2fa/link", link.Path)
			require.Contains(t, w.open(link.RequestURI()).Body, "csrf_token")
			require.Contains(t, walk{h.browser(), t}.open(link.RequestURI()).Body, `href="/app/login"`, "in another browser")
			page = w.send("/app/2fa/link", "token", link.Query().Get("token"))
			require.Contains(t, page.Body, "Your account requires two-factor authentication")
			require.Equal(t, "/app/2fa/setup", pageOf(t, w.api("GET", "/app/contacts")))
			w.send("/app/2fa/setup", "method", "totp")
			page = w.send("/app/2fa/setup/saved", "saved", "yes")
			page = w.send("/app/2fa/setup/confirm", "code", h.scan(page.Body).code())
			require.Contains(t, page.Body, "Two-factor authentication is on")
			require.Contains(t, page.Body, `href="/app/contacts`)
		})
	}
}

// Every page and every refusal, for each client, has addresses below the path.
func TestBasePath_RouteByRoute(t *testing.T) {
	for by := range below {
		t.Run(by, func(t *testing.T) {
			h := newHostBelow(t, by, stepUpPolicy)
			in, half := walk{h.browser(), t}, walk{h.browser(), t}
			in.send("/app/login", "user", "ada")
			in.enroll()
			half.send("/app/login", "user", "ada")
			require.Equal(t, "/app/2fa/challenge", pageOf(t, half.api("GET", "/app/contacts")))
			h.clock.pass(staleProof)
			require.Equal(t, "/app/2fa/confirm?action=report&resource=", pageOf(t, in.api("POST", "/app/report")))
			for name, w := range map[string]walk{"signed in": in, "password only": half, "stranger": {h.browser(), t}} {
				for _, rt := range twofahttp.Routes() {
					if rt.Method == "POST" && (rt.Path == "revoke" || rt.Path == "signin" || rt.Path == "cancel") {
						continue // in the walk
					}
					addresses(t, w.do(w.request(rt.Method, "/app/2fa/"+rt.Path, "")))
					body := url.Values{"csrf_token": {w.csrf}}.Encode()
					addresses(t, w.do(w.request(rt.Method, "/app/2fa/"+rt.Path, body)))
				}
				for _, path := range []string{"/app/contacts", "/app/contacts/export", "/app/report", "/app/2fa/confirm?action=report"} {
					a := w.api("POST", path)
					var p struct{ Page string }
					if err := json.Unmarshal([]byte(a.Body), &p); err == nil && p.Page != "" {
						require.Regexp(t, "^/app/(2fa|login)", p.Page, name)
					}
					r := w.request("POST", path, "")
					r.Header.Set("HX-Request", "true")
					r.Header.Set("HX-Current-URL", h.srv.URL+"/app/contacts?page=4")
					addresses(t, w.do(r))
				}
			}
			require.Equal(t, "/app/login", pageOf(t, h.browser().api("GET", "/app/contacts")))
		})
	}
}

// GET of the page with the button works, although the program sees another path
// than the browser.
func TestBasePath_PageOfAnAction(t *testing.T) {
	h := newHostBelow(t, "proxy", twofa.PolicyOptional())
	w := walk{h.browser(), t}
	w.send("/app/login", "user", "ada")
	phone, _ := w.enroll()
	w.open("/app/2fa/confirm?action=contacts.export")
	w.send("/app/2fa/verify", "method", "totp", "code", phone.next())
	require.Equal(t, 200, w.visit(h.web.RequireAction("contacts.export", &seen{}), "GET").Code)
}

// Two applications on one host do not overwrite each other's cookies. All have the
// path "/", because browsers refuse any other with __Host-.
func TestBasePath_TwoApplicationsOnOneHost(t *testing.T) {
	for name, cookieNames := range map[string][2]string{"by BasePath": {"", ""}, "by CookieName": {"one", "two"}} {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			var hosts [2]*host
			var phones [2]app
			for i, path := range []string{"/one", "/two"} {
				hosts[i] = newHost(t, twofa.PolicyOptional(), noMail, func(_ *twofa.Config, c *twofahttp.Config) {
					c.BasePath, c.CookieName = path, cookieNames[i]
				})
				mux.Handle(path+"/", below["StripPrefix"](hosts[i], path))
			}
			front := httptest.NewTLSServer(mux)
			t.Cleanup(front.Close)
			for i, path := range []string{"/one", "/two"} {
				hosts[i].srv = front
				b := hosts[i].browser()
				b.post(path+"/login", "user", "ada")
				b.get(path + "/2fa/setup?start=1")
				page := b.follow(b.post(path+"/2fa/setup", "method", "totp"))
				phones[i] = hosts[i].scan(page.Body)
				b.follow(b.post(path+"/2fa/setup/confirm", "code", phones[i].code()))
				b.post(path+"/2fa/setup/saved", "saved", "yes")
			}
			b := hosts[0].browser()
			b.follow(b.post("/one/login", "user", "ada", "next", "/one/contacts"))
			token := b.csrf
			b.follow(b.post("/two/login", "user", "ada", "next", "/two/contacts"))
			require.Equal(t, "/two/contacts", b.post("/two/2fa/verify", "method", "totp", "code", phones[1].next()).Header.Get("Location"))
			b.csrf = token
			require.Equal(t, "/one/contacts", b.post("/one/2fa/verify", "method", "totp", "code", phones[0].next()).Header.Get("Location"))
			names := map[string]bool{}
			for _, c := range b.jar.Cookies(mustURL(t, front.URL)) {
				names[c.Name] = true
			}
			for _, own := range [2]string{cmp.Or(cookieNames[0], "twofa-one"), cmp.Or(cookieNames[1], "twofa-two")} {
				require.True(t, names["__Host-"+own+"-browser"], names)
			}
		})
	}
	for _, bad := range []string{"a b", "a;b", "a=b", "ä", "a/b", "a,b", strings.Repeat("a", 65), "a\r\nb", "a%2f"} {
		require.ErrorContains(t, newWith(t, nil, twofahttp.Config{CookieName: bad}), "CookieName: must be 1 to 64 letters", bad)
	}
	require.ErrorContains(t, newWith(t, nil, twofahttp.Config{BasePath: "/" + strings.Repeat("a", 65)}), "CookieName", "name it")
}

func TestBasePath_OfTheConfiguration(t *testing.T) {
	link := twofahttp.LinkURL("https://app.example.com/app/2fa/")
	require.NoError(t, newWith(t, link, twofahttp.Config{BasePath: "/app"}))
	require.ErrorContains(t, newWith(t, link, twofahttp.Config{}), "Mail.LinkURL leads to /2fa/link")
	require.ErrorContains(t, newWith(t, twofahttp.LinkURL("https://app.example.com/2fa/"), twofahttp.Config{BasePath: "/app"}), "Mail.LinkURL leads to /app/2fa/link")
	for _, bad := range []string{"app", "/app/", "/", "//evil.example", "/a//b", "/a/../b", "https://app.example.com/app", "/app?x", "/app#x", "/my%20app", "/ä", "/\\evil"} {
		require.ErrorContains(t, newWith(t, nil, twofahttp.Config{BasePath: bad}), "BasePath: must be a path such as /app", bad)
	}
}

// The login page is recognized behind the guard by the path that the program sees.
func TestBasePath_LoginPageBehindGuard(t *testing.T) {
	for login, path := range map[string]string{"": "/login", "/signin": "/signin", "https://app.example.com/app/signin": "/signin"} {
		h := newHost(t, twofa.PolicyOptional(), noMail, func(_ *twofa.Config, c *twofahttp.Config) { c.BasePath, c.LoginURL = "/app", login })
		w := httptest.NewRecorder()
		h.web.Guard(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "https://app.example.com"+path, nil))
		require.Equal(t, 500, w.Code)
		require.Contains(t, w.Body.String(), "behind Guard")
	}
}

func mustURL(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u
}
