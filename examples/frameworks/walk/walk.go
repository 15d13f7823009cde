// Package walk visits the programs of this folder as a browser does, for their tests.
package walk

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/frameworks/product"
	"github.com/twofa-go/twofa/twofatest"
)

// Browser is a browser with its own cookies that follows no redirect.
type Browser struct {
	*testing.T
	URL    string // of the program
	clock  *twofatest.Clock
	client *http.Client
	uri    string // of the authenticator app
}

// Open starts a program and returns a browser. The program ends with the test.
func Open(t *testing.T, newHandler func(now func() time.Time) http.Handler) *Browser {
	t.Helper()
	clock := twofatest.NewClock(time.Now())
	srv := httptest.NewServer(newHandler(clock.Now))
	t.Cleanup(srv.Close)
	b := &Browser{T: t, clock: clock, URL: srv.URL}
	b.forget()
	return b
}

// forget deletes all cookies.
func (b *Browser) forget() {
	jar, err := cookiejar.New(nil)
	require.NoError(b, err)
	b.client = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Answer is a response.
type Answer struct {
	Status   int
	Location string
	Header   http.Header
	Body     string
}

// Send sends a request with a form. header alternates names and values.
func (b *Browser) Send(method, path string, form url.Values, header ...string) Answer {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, b.URL+path, strings.NewReader(form.Encode()))
	require.NoError(b, err)
	req.Header.Set("Accept", "text/html")
	if method == "POST" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", b.URL)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.client.Do(req)
	require.NoError(b, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(b, err)
	return Answer{res.StatusCode, res.Header.Get("Location"), res.Header, string(body)}
}

// Get opens a page.
func (b *Browser) Get(path string) Answer { return b.Send("GET", path, nil) }

var token = regexp.MustCompile(`name="csrf_token" value="([^"]+)"`)

// Submit opens the page and sends a form of it. fields alternates names and values.
func (b *Browser) Submit(page, action string, fields ...string) Answer {
	b.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	if found := token.FindStringSubmatch(b.Get(page).Body); found != nil {
		form.Set("csrf_token", found[1])
	}
	return b.Send("POST", action, form)
}

// Login sends the form of the login page.
func (b *Browser) Login(password string) Answer {
	return b.Send("POST", "/login", url.Values{"name": {product.Name}, "password": {password}})
}

// code returns the next code of the authenticator app.
func (b *Browser) code() string {
	b.clock.Add(30 * time.Second)
	return twofatest.Code(b, b.uri, b.clock.Now())
}

// Enroll enrolls an authenticator app.
func (b *Browser) Enroll() {
	b.Helper()
	require.Equal(b, "/2fa/setup", b.Submit("/2fa/setup?start=1", "/2fa/setup", "method", "totp").Location)
	b.uri = html.UnescapeString(regexp.MustCompile(`otpauth://totp/[^"]+`).FindString(b.Get("/2fa/setup").Body))
	require.Equal(b, "/2fa/setup", b.Submit("/2fa/setup", "/2fa/setup/confirm", "code", b.code()).Location)
	require.Equal(b, "/2fa/", b.Submit("/2fa/setup", "/2fa/setup/saved", "saved", "yes").Location)
}

// All walks through everything that a program must do.
func (b *Browser) All() {
	b.Helper()
	// The guard refuses a browser that is not signed in, and the login page is open.
	a := b.Get("/")
	require.Equal(b, http.StatusSeeOther, a.Status, a.Body)
	require.Equal(b, "/login", a.Location)
	require.NotContains(b, b.Send("POST", "/export", nil).Body, product.Contacts)
	require.Contains(b, b.Get("/login").Body, `name="password"`)

	// A wrong password does not sign in. The right one does, without a factor.
	require.Equal(b, http.StatusOK, b.Login("wrong").Status)
	require.Equal(b, "/login", b.Get("/").Location)
	require.Equal(b, "/", b.Login(product.Password).Location)
	require.Contains(b, b.Get("/").Body, "Hello "+product.Name)
	b.Enroll()

	// After a logout, the login needs a code, also in another browser. The guard
	// refuses until then.
	b.logout()
	b.forget()
	require.Equal(b, "/2fa/challenge?cookies=set", b.Login(product.Password).Location)
	require.Equal(b, "/2fa/challenge", b.Get("/").Location)
	require.Equal(b, http.StatusUnprocessableEntity, b.Submit("/2fa/challenge", "/2fa/verify", "method", "totp", "code", "000000").Status)
	b.Prove()
	require.Contains(b, b.Get("/").Body, "Hello "+product.Name)

	// The action needs a fresh code, once for each time.
	b.Wait()
	for range 2 {
		a = b.Send("POST", "/export", nil, "Referer", b.URL+"/")
		require.Equal(b, http.StatusSeeOther, a.Status, a.Body)
		require.Equal(b, "/2fa/confirm?action=export&resource=&next=%2F", a.Location)
		require.Equal(b, "/2fa/challenge", b.Get(a.Location).Location)
		b.Prove()
		require.Equal(b, product.Contacts, b.Send("POST", "/export", nil).Body)
	}

	// Another site can send no form.
	for _, path := range []string{"/login", "/logout", "/export", "/2fa/cancel"} {
		a = b.Send("POST", path, nil, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
		require.Equal(b, http.StatusForbidden, a.Status, path)
	}
	require.Contains(b, b.Get("/").Body, "Hello "+product.Name)
	b.logout()
}

// Wait lets so much time pass that the proof of the login counts for no action.
func (b *Browser) Wait() { b.clock.Add(16 * time.Minute) }

// Prove sends a code in answer to a challenge.
func (b *Browser) Prove() {
	b.Helper()
	require.Equal(b, "/", b.Submit("/2fa/challenge", "/2fa/verify", "method", "totp", "code", b.code()).Location)
}

func (b *Browser) logout() {
	b.Helper()
	require.Equal(b, "/login", b.Send("POST", "/logout", nil).Location)
	require.Equal(b, "/login", b.Get("/").Location)
}
