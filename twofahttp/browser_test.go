package twofahttp_test

import (
	"crypto/tls"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"
)

// browser is a client with its own cookies.
type browser struct {
	h      *host
	client *http.Client
	jar    *cookiejar.Jar
	csrf   string
	header http.Header // added to every request
}

func (h *host) browser() *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(h, err)
	transport := &http.Transport{TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	if config := h.srv.Client().Transport.(*http.Transport).TLSClientConfig; config != nil { // nil over plain http
		transport.TLSClientConfig = config.Clone()
		transport.TLSClientConfig.NextProtos = nil
	}
	h.Cleanup(transport.CloseIdleConnections)
	return &browser{h: h, jar: jar, header: http.Header{}, client: &http.Client{Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answer is a response with its whole body.
type answer struct {
	*http.Response
	Body string
}

var (
	tokenPattern = regexp.MustCompile(`name="csrf_token" value="([^"]+)"`)
	keyPattern   = regexp.MustCompile(`<p class="key"><code translate="no">([^<]+)</code>`)
	codesPattern = regexp.MustCompile(`<li><code>([^<]+)</code></li>`)
	donePattern  = regexp.MustCompile(`<div class="flow-head" role="status">\s*<h1>[^<]+</h1>\s*<p>[^<]+</p>\s*</div>\s*<a class="btn btn-primary" href="([^"]+)">`)
	onBadge      = "</svg>On</span>" // of the settings page
	idPattern    = regexp.MustCompile(`(?:name="id" value="|[?;](?:id|replaces)=)([^"]+)"`)
)

func (b *browser) do(r *http.Request) answer {
	b.h.Helper()
	for name, values := range b.header {
		r.Header[name] = values
	}
	res, err := b.client.Do(r)
	require.NoError(b.h, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(b.h, err)
	_ = res.Body.Close()
	if m := tokenPattern.FindStringSubmatch(string(body)); m != nil {
		b.csrf = m[1]
	}
	return answer{res, string(body)}
}

func (b *browser) request(method, path, body string) *http.Request {
	r, err := http.NewRequestWithContext(b.h.Context(), method, b.h.srv.URL+path, strings.NewReader(body))
	require.NoError(b.h, err)
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	return r
}

func (b *browser) get(path string) answer { return b.do(b.request("GET", path, "")) }

// post sends a form with the form token of the last page.
func (b *browser) post(path string, pairs ...string) answer {
	if b.csrf == "" {
		prefix, _, _ := strings.Cut(path, "/2fa/")
		b.get(prefix + "/2fa/revoke") // its page has a form, whatever the user has
	}
	form := url.Values{"csrf_token": {b.csrf}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.do(b.request("POST", path, form.Encode()))
}

// follow follows redirects and returns the last response.
func (b *browser) follow(a answer) answer {
	b.h.Helper()
	for range 8 {
		to := a.Header.Get("Location")
		if a.StatusCode != http.StatusSeeOther {
			return a
		}
		require.True(b.h, strings.HasPrefix(to, "/"), "redirected to another site: %s", to)
		a = b.get(to)
	}
	require.Fail(b.h, "redirected in circles")
	return a
}

// finish follows redirects to the page that reports a success, and presses its
// button.
func (b *browser) finish(a answer) answer {
	b.h.Helper()
	page := b.follow(a)
	m := donePattern.FindStringSubmatch(page.Body)
	require.NotNil(b.h, m, "not the page that reports a success: %s", page.Body)
	return b.follow(b.get(html.UnescapeString(m[1])))
}

func (b *browser) login(user string, pairs ...string) answer {
	b.h.Helper()
	return b.follow(b.post("/login", append([]string{"user", user}, pairs...)...))
}

// signedIn reports whether the guarded part of the application is open.
func (b *browser) signedIn() bool { return b.get("/contacts").Body == "contacts page" }

// browserID returns the ID of the first known browser of the user. The page offers
// to forget only those that are remembered.
func (b *browser) browserID() string {
	b.h.Helper()
	list, err := b.h.m.Browsers(b.h.Context(), b.h.web.Caller(mustRequest(b)))
	require.NoError(b.h, err)
	require.NotEmpty(b.h, list)
	return list[0].ID
}

func (b *browser) cookie(name string) string {
	u, _ := url.Parse(b.h.srv.URL)
	for _, c := range b.jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) setCookie(name, value string) {
	u, _ := url.Parse(b.h.srv.URL)
	b.jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

// app is an authenticator app with one key.
type app struct {
	h   *host
	key string
}

func (h *host) scan(page string) app {
	h.Helper()
	m := keyPattern.FindStringSubmatch(page)
	require.NotNil(h, m, "no key on the page: %s", page)
	return app{h, strings.ReplaceAll(m[1], " ", "")}
}

func (a app) code() string {
	code, err := totp.GenerateCode(a.key, a.h.clock.now())
	require.NoError(a.h, err)
	return code
}

// next returns the next code after advancing the clock.
func (a app) next() string {
	a.h.clock.pass(30 * time.Second)
	return a.code()
}

func (a app) wrong() string { return a.wrongs(1)[0] }

// wrongs returns n different wrong codes. The same one would get the same answer
// again for ten seconds.
func (a app) wrongs(n int) (list []string) {
	code := a.code()
	for i := range n {
		list = append(list, string('0'+(code[0]-'0'+byte(1+i%9))%10)+string('0'+(code[1]-'0'+byte(i/9))%10)+code[2:])
	}
	return list
}

// staleProof is how long it takes until the proof of a login or an enrollment
// no longer counts for any action.
const staleProof = 15 * time.Minute

func codesOn(page string) (codes []string) {
	for _, m := range codesPattern.FindAllStringSubmatch(page, -1) {
		codes = append(codes, html.UnescapeString(m[1]))
	}
	return codes
}

// enroll signs in a user who has no factor and enrolls an app.
func (b *browser) enroll(user string, pairs ...string) (app, []string) {
	b.h.Helper()
	b.login(user, pairs...)
	b.get("/2fa/setup?start=1")
	page := b.follow(b.post("/2fa/setup", "method", "totp"))
	phone := b.h.scan(page.Body)
	page = b.follow(b.post("/2fa/setup/confirm", "code", phone.code()))
	codes := codesOn(page.Body)
	if len(codes) > 0 {
		page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	}
	require.Contains(b.h, page.Body, onBadge)
	return phone, codes
}

// enter signs in with an app.
func (b *browser) enter(user string, phone app, pairs ...string) answer {
	b.h.Helper()
	b.login(user)
	return b.follow(b.post("/2fa/verify", append([]string{"method", "totp", "code", phone.next()}, pairs...)...))
}

// prove gives the proof that the last page asked for.
func (b *browser) prove(phone app) answer {
	b.h.Helper()
	return b.follow(b.post("/2fa/verify", "method", "totp", "code", phone.next()))
}

// pending returns a browser in which an enrolled user has typed the password.
func (h *host) pending(user string) (*browser, app, []string) {
	h.Helper()
	phone, codes := h.browser().enroll(user)
	b := h.browser()
	require.Contains(h, b.login(user).Body, "Enter your code")
	return b, phone, codes
}

// api sends a request that does not accept HTML.
func (b *browser) api(method, path string) answer {
	r := b.request(method, path, "")
	r.Header.Set("Accept", "application/json")
	return b.do(r)
}

// raw posts body with the given content type.
func (b *browser) raw(path, kind, body string) answer {
	r := b.request("POST", path, body)
	r.Header.Set("Content-Type", kind)
	if kind == "" {
		r.Header.Del("Content-Type")
	}
	return b.do(r)
}

const formType = "application/x-www-form-urlencoded"
