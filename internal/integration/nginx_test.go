package integration

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/internal/engines"
	"github.com/twofa-go/twofa/twofahttp"
	"github.com/twofa-go/twofa/twofatest"
)

// product is a product behind nginx. Its clock stands still, so no limit refills.
type product struct {
	t        *testing.T
	m        *twofa.Manager
	web      *twofahttp.Server
	clock    *twofatest.Clock
	logs     *logs
	sessions *sessions
	url      string           // address of nginx
	dir      string           // files of nginx
	cert     *httptest.Server // its certificate is that of nginx
}

// newProduct returns a product that does not listen yet. If tune is not nil, it
// changes the settings.
func newProduct(t *testing.T, tune func(*twofahttp.Config)) *product {
	t.Helper()
	p := &product{t: t, dir: engines.NginxDir(t), logs: &logs{}, sessions: &sessions{byID: map[string]string{}},
		clock: twofatest.NewClock(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))}
	// Its certificate is for 127.0.0.1 and example.com.
	p.cert = httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(p.cert.Close)
	logger := slog.New(slog.NewTextHandler(p.logs, nil))
	var err error
	p.m, err = twofa.New(twofa.Config{Issuer: "Acme", Store: memstore.New(), Keys: twofatest.KeyRing(t, "nginx"), Now: p.clock.Now, Logger: logger,
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id, Name: id}, nil })})
	require.NoError(t, err)
	config := twofahttp.Config{Manager: p.m, Sessions: p.sessions, Now: p.clock.Now, Logger: logger,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	if tune != nil {
		tune(&config)
	}
	p.web, err = twofahttp.New(config)
	require.NoError(t, err)
	return p
}

func (p *product) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mux := http.NewServeMux()
	mux.Handle("/2fa/", p.web.Handler())
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "login page") })
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		p.web.FirstFactor(w, r, twofa.FirstFactor{UserID: r.PostFormValue("user"), By: twofa.ByPassword}, r.PostFormValue("next"))
	})
	mux.Handle("/", p.web.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "contacts of "+p.web.Client(w, r).IP)
	})))
	mux.ServeHTTP(w, r)
}

// listen lets the product serve on a TCP port or a Unix socket, and returns what
// nginx passes requests to.
func (p *product) listen(network string) (upstream string) {
	p.t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(p.dir, "app.sock")
	}
	l, err := net.Listen(network, address)
	require.NoError(p.t, err)
	server := httptest.NewUnstartedServer(p)
	require.NoError(p.t, server.Listener.Close())
	server.Listener = l
	server.Start()
	p.t.Cleanup(server.Close)
	if network == "unix" {
		require.NoError(p.t, os.Chmod(address, 0o666)) // nginx runs as another user
		return "unix:" + address
	}
	return l.Addr().String()
}

// documented returns the block of the docs for a TCP port or a Unix socket, with
// the port, the upstream and the certificate of this test.
func (p *product) documented(network, port, upstream string) string {
	p.t.Helper()
	page, err := os.ReadFile("../../docs/live-product.md")
	require.NoError(p.t, err)
	_, block, ok := strings.Cut(string(page), "```nginx\n")
	require.True(p.t, ok, "docs/live-product.md shows no configuration of nginx")
	block, _, _ = strings.Cut(block, "```")
	key, err := x509.MarshalPKCS8PrivateKey(p.cert.TLS.Certificates[0].PrivateKey)
	require.NoError(p.t, err)
	for name, b := range map[string]*pem.Block{
		"pem": {Type: "CERTIFICATE", Bytes: p.cert.TLS.Certificates[0].Certificate[0]},
		"key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		require.NoError(p.t, os.WriteFile(filepath.Join(p.dir, name), pem.EncodeToMemory(b), 0o644))
	}
	for old, new := range map[string]string{
		"listen 443 ssl":               "listen 127.0.0.1:" + port + " ssl",
		"/etc/ssl/app.example.com.pem": filepath.Join(p.dir, "pem"),
		"/etc/ssl/app.example.com.key": filepath.Join(p.dir, "key"),
		"server 127.0.0.1:8080;":       "server " + upstream + ";",
	} {
		require.Equal(p.t, 1, strings.Count(block, old), old)
		block = strings.ReplaceAll(block, old, new)
	}
	if network == "unix" { // the docs describe it as a change of one line
		require.Contains(p.t, string(page), "`server unix:/run/app/app.sock;`")
	}
	p.url = "https://example.com:" + port
	return block
}

// start starts nginx with the lines of the docs. change may replace some of them.
func (p *product) start(network string, change ...string) {
	p.t.Helper()
	port := engines.FreePort(p.t)
	lines := p.documented(network, port, p.listen(network))
	for i := 0; i < len(change); i += 2 {
		require.Contains(p.t, lines, change[i])
		lines = strings.ReplaceAll(lines, change[i], change[i+1])
	}
	engines.Nginx(p.t, p.dir, port, lines)
}

// client is a browser or an attacker with an address and cookies of its own.
type client struct {
	*http.Client
	p      *product
	header http.Header
	token  string
}

// client returns a client that connects to nginx from an address of the loopback
// network.
func (p *product) client(address string, header ...string) *client {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(p.t, err)
	dial := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dial(ctx, network, strings.Replace(address, "example.com", "127.0.0.1", 1))
		},
		TLSClientConfig: &tls.Config{RootCAs: p.cert.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	p.t.Cleanup(transport.CloseIdleConnections)
	c := &client{p: p, header: http.Header{}, Client: &http.Client{Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	for i := 0; i < len(header); i += 2 {
		c.header.Add(header[i], header[i+1])
	}
	return c
}

var formToken = regexp.MustCompile(`name="csrf_token" value="([^"]+)"`)

// do sends a form, or a GET without one, and returns the status, the header and the
// body.
func (c *client) do(path string, form url.Values) (*http.Response, string) {
	t := c.p.t
	t.Helper()
	method, body := "GET", ""
	if form != nil {
		form.Set("csrf_token", c.token)
		method, body = "POST", form.Encode()
	}
	r, err := http.NewRequestWithContext(t.Context(), method, c.p.url+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header = c.header.Clone()
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", c.p.url) // as browsers without Sec-Fetch-Site do
	}
	res, err := c.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	if found := formToken.FindStringSubmatch(string(answer)); found != nil {
		c.token = found[1]
	}
	return res, string(answer)
}

// signIn signs a new user in and returns the page that the user wanted.
func (c *client) signIn() string {
	t := c.p.t
	t.Helper()
	user, uri := c.p.enroll()
	c.begin(user, "/contacts")
	res, body := c.do("/2fa/verify", url.Values{"method": {"totp"}, "code": {twofatest.Code(t, uri, c.p.clock.Now())}})
	require.Equal(t, http.StatusSeeOther, res.StatusCode, body)
	require.Equal(t, "/contacts", res.Header.Get("Location"))
	_, body = c.do("/contacts", nil)
	return body
}

// begin proves the first factor of a user.
func (c *client) begin(user, next string) {
	t := c.p.t
	t.Helper()
	res, body := c.do("/login", url.Values{"user": {user}, "next": {next}})
	require.Equal(t, http.StatusSeeOther, res.StatusCode, body)
	to := res.Header.Get("Location")
	require.True(t, strings.HasPrefix(to, "/2fa/challenge"), to)
	res, body = c.do(to, nil)
	require.Equal(t, http.StatusOK, res.StatusCode, body)
}

// guess tries n wrong codes for a new user and returns how many were refused because
// of the address.
func (c *client) guess(n int) (limited int) {
	t := c.p.t
	t.Helper()
	user, uri := c.p.enroll()
	c.begin(user, "")
	now := c.p.clock.Now()
	accepted := []string{twofatest.Code(t, uri, now.Add(-30*time.Second)), twofatest.Code(t, uri, now), twofatest.Code(t, uri, now.Add(30*time.Second))}
	for code := 0; n > 0; code++ {
		wrong := fmt.Sprintf("%06d", code)
		if slices.Contains(accepted, wrong) {
			continue
		}
		n--
		_, body := c.do("/2fa/verify", url.Values{"method": {"totp"}, "code": {wrong}})
		if strings.Contains(body, "Too many attempts from your network") {
			limited++
		}
	}
	return limited
}

// enroll enrolls an authenticator app for a new user.
func (p *product) enroll() (user, uri string) {
	p.t.Helper()
	user = rand.Text()
	ctx := p.t.Context()
	login, err := p.m.Begin(ctx, twofa.FirstFactor{UserID: user, By: twofa.ByPassword})
	require.NoError(p.t, err)
	caller := twofa.Caller{Session: login.Session}
	e, err := p.m.Enroll(ctx, caller, twofa.EnrollRequest{})
	require.NoError(p.t, err)
	_, err = p.m.Confirm(ctx, caller, twofatest.Code(p.t, e.URI.Reveal(), p.clock.Now().Add(-30*time.Second)))
	require.NoError(p.t, err)
	_, err = p.m.SaveCodes(ctx, caller)
	require.NoError(p.t, err)
	return user, e.URI.Reveal()
}

// sessions is a minimal session library.
type sessions struct {
	mu   sync.Mutex
	byID map[string]string
}

func (s *sessions) Session(r *http.Request) twofa.Session {
	c, err := r.Cookie("__Host-app")
	if err != nil {
		return twofa.Session{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return twofa.ParseSession(s.byID[c.Value])
}

func (s *sessions) SignIn(w http.ResponseWriter, _ *http.Request, session twofa.Session) error {
	id := rand.Text()
	s.mu.Lock()
	s.byID[id] = session.Reveal()
	s.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: "__Host-app", Value: id, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return nil
}

func (s *sessions) SignOut(w http.ResponseWriter, r *http.Request) error {
	return s.SignIn(w, r, twofa.Session{})
}

// logs has the messages that were logged.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// warnings returns how often the limits by address were said not to work.
func (l *logs) warnings() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), "limits by address")
}

const (
	documentedHeader = "proxy_set_header X-Forwarded-For $remote_addr;"
	appendedHeader   = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
)

// One client behind nginx cannot lock out another, and cannot leave its own limit
// by headers that it invents.
func TestNginx_OneLimitForEachClient(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			p := newProduct(t, nil)
			p.start(network)
			require.Equal(t, 1, p.client("127.0.0.21").guess(31))
			forger := p.client("127.0.0.21", "X-Forwarded-For", "127.0.0.99", "X-Forwarded-For", "unix:, 127.0.0.1", "Forwarded", "for=127.0.0.98", "X-Real-Ip", "127.0.0.97")
			require.Equal(t, 3, forger.guess(3))
			require.Equal(t, "contacts of 127.0.0.22", p.client("127.0.0.22", "X-Forwarded-For", "127.0.0.21").signIn())
			require.Zero(t, p.logs.warnings())
		})
	}
}

// If nginx is not in TrustedProxies, or names no client, the limit of one client is
// not that of everybody, and the log has one warning.
func TestNginx_Misconfigured(t *testing.T) {
	unlisted := func(c *twofahttp.Config) { c.TrustedProxies = nil }
	for _, c := range []struct {
		name, network string
		tune          func(*twofahttp.Config)
		forward       string // in place of the line of the docs
		limited       int    // of 31 codes of one client
	}{
		{"not listed", "tcp", unlisted, documentedHeader, 1},
		{"not listed, with a port", "tcp", unlisted, "proxy_set_header X-Forwarded-For $remote_addr:$remote_port;", 1},
		{"no header", "tcp", nil, `proxy_set_header X-Forwarded-For "";`, 0},
		{"unknown", "tcp", nil, "proxy_set_header X-Forwarded-For unknown;", 0},
		{"no header, Unix socket", "unix", nil, `proxy_set_header X-Forwarded-For "";`, 0},
		{"unknown, Unix socket", "unix", nil, "proxy_set_header X-Forwarded-For unknown;", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProduct(t, c.tune)
			p.start(c.network, documentedHeader, c.forward)
			require.Equal(t, c.limited, p.client("127.0.0.21").guess(31))
			p.client("127.0.0.22").signIn()
			require.Equal(t, 1, p.logs.warnings())
		})
	}
}

// A gateway in front of nginx may write the address of the client in any of these
// ways. In the tests it takes the address from a header.
func TestNginx_SpellingsOfGateways(t *testing.T) {
	var servers strings.Builder
	p := newProduct(t, func(c *twofahttp.Config) {
		c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix("127.0.0.9/32"))
	})
	spellings := []struct {
		name, header string
		v4, v6       bool
		port         string
	}{
		{"plain", `proxy_set_header X-Forwarded-For $http_x_client;`, true, true, ""},
		{"port, as of Azure Application Gateway", `proxy_set_header X-Forwarded-For "$http_x_client:$remote_port";`, true, true, ""},
		{"brackets", `proxy_set_header X-Forwarded-For "[$http_x_client]";`, false, true, ""},
		{"brackets and port", `proxy_set_header X-Forwarded-For "[$http_x_client]:$remote_port";`, false, true, ""},
		{"quotes", `proxy_set_header X-Forwarded-For '"$http_x_client"';`, true, true, ""},
		{"quotes, brackets and port", `proxy_set_header X-Forwarded-For '"[$http_x_client]:$remote_port"';`, false, true, ""},
		{"zone", `proxy_set_header X-Forwarded-For "$http_x_client%eth0";`, false, true, ""},
		{"zone, brackets and port", `proxy_set_header X-Forwarded-For "[$http_x_client%eth0]:$remote_port";`, false, true, ""},
		{"IPv4 in IPv6", `proxy_set_header X-Forwarded-For "::ffff:$http_x_client";`, true, false, ""},
		{"IPv4 in IPv6, brackets and port", `proxy_set_header X-Forwarded-For "[::ffff:$http_x_client]:$remote_port";`, true, false, ""},
		{"spaces", `proxy_set_header X-Forwarded-For "  $http_x_client  ";`, true, true, ""},
		{"appended", `proxy_set_header X-Forwarded-For "$http_x_forwarded_for, $http_x_client";`, true, true, ""},
		{"appended without a space", `proxy_set_header X-Forwarded-For "$http_x_forwarded_for,$http_x_client";`, true, true, ""},
		{"header of its own", `proxy_set_header X-Forwarded-For $http_x_forwarded_for; proxy_set_header X-Forwarded-For $http_x_client;`, true, true, ""},
		{"another trusted proxy", `proxy_set_header X-Forwarded-For "$http_x_client, 127.0.0.9";`, true, true, ""},
		{"another proxy with a port", `proxy_set_header X-Forwarded-For "$http_x_client, 127.0.0.9:4711";`, true, true, ""},
		{"another proxy on a Unix socket", `proxy_set_header X-Forwarded-For "$http_x_client, unix:";`, true, true, ""},
		{"unknown before it", `proxy_set_header X-Forwarded-For "unknown, , $http_x_client";`, true, true, ""},
	}
	port := engines.FreePort(t)
	lines := p.documented("tcp", port, p.listen("tcp"))
	for i := range spellings {
		spellings[i].port = engines.FreePort(t)
		fmt.Fprintf(&servers, `server {
	listen 127.0.0.1:%s ssl;
	ssl_certificate %s/pem;
	ssl_certificate_key %s/key;
	location / {
		proxy_pass https://127.0.0.1:%s;
		proxy_bind 127.0.0.9;
		proxy_set_header Host $http_host;
		%s
	}
}
`, spellings[i].port, p.dir, p.dir, port, spellings[i].header)
	}
	require.Contains(t, lines, documentedHeader)
	engines.Nginx(t, p.dir, port, strings.ReplaceAll(lines, documentedHeader, appendedHeader)+servers.String())
	const forged = "192.0.2.1" // what the client sends as well
	for i, c := range spellings {
		for version, is := range map[string]bool{"IPv4": c.v4, "IPv6": c.v6} {
			if !is {
				continue
			}
			t.Run(c.name+", "+version, func(t *testing.T) {
				p := *p
				p.t, p.url = t, "https://example.com:"+c.port
				address := func(n int) string {
					if version == "IPv4" {
						return fmt.Sprintf("198.51.100.%d", 2*i+n)
					}
					return fmt.Sprintf("2001:db8:%x::7", 2*i+n)
				}
				mallory := p.client("127.0.0.1", "X-Client", address(1), "X-Forwarded-For", forged)
				require.Equal(t, 1, mallory.guess(31))
				require.Equal(t, 1, p.client("127.0.0.1", "X-Client", address(1), "X-Forwarded-For", "192.0.2.2, "+forged).guess(1))
				require.Equal(t, "contacts of "+address(2), p.client("127.0.0.1", "X-Client", address(2)).signIn())
			})
		}
	}
	require.Equal(t, 1, p.logs.warnings(), "a forged address looks like that of a proxy that is not listed")
}

// If nginx appends to the header that a client sent, the client can invent
// addresses. With these it gets ten times its limit at most, and it cannot use up
// the limit of another client.
func TestNginx_AppendsToWhatTheClientSent(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			p := newProduct(t, nil)
			p.start(network, documentedHeader, appendedHeader)
			require.Equal(t, 1, p.client("127.0.0.21").guess(31))
			require.Zero(t, p.logs.warnings())
			limited := 0
			for i := range 11 {
				forged := fmt.Sprintf("unix:, 127.0.0.1, 127.0.0.%d, 192.0.2.%d", 30+i, i)
				limited += p.client("127.0.0.21", "X-Forwarded-For", forged).guess(30)
			}
			require.Equal(t, 30, limited, "300 of 330 codes were tried")
			require.Equal(t, "contacts of 127.0.0.22", p.client("127.0.0.22").signIn())
			for i := range 11 { // those whom the client claimed to be
				p.client(fmt.Sprintf("127.0.0.%d", 30+i)).signIn()
			}
			require.Equal(t, 1, p.logs.warnings())
		})
	}
}

// The largest answers and requests have an address of 2,800 bytes, such as a request
// of SAML. It is in the redirect to the login page, and in a cookie for the sign-in
// and one for an enrollment.
func TestNginx_Buffers(t *testing.T) {
	long := "/contacts?q=" + strings.Repeat("%26", (2800-12)/3)
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			p := newProduct(t, nil)
			p.start(network)
			c := p.client("127.0.0.21")
			res, _ := c.do(long, nil)
			require.Equal(t, http.StatusSeeOther, res.StatusCode)
			to := res.Header.Get("Location")
			require.Greater(t, len(to), 4400)
			_, body := c.do(to, nil)
			require.Equal(t, "login page", body)
			user, _ := p.enroll()
			c.begin(user, long)
			var cookies []string
			for name, size := range map[string]int{"challenge": 2000, "challenge-next": 3734, "setup": 2000, "setup-next": 3734, "browser": 512} {
				cookies = append(cookies, "__Host-twofa-"+name+"="+strings.Repeat("x", size))
			}
			_, body = p.client("127.0.0.22", "Cookie", strings.Join(cookies, "; ")).do("/login", nil)
			require.Equal(t, "login page", body)
		})
	}
}

// The default buffers of nginx are enough for addresses of usual length.
func TestNginx_DefaultBuffers(t *testing.T) {
	p := newProduct(t, nil)
	p.start("tcp", "large_client_header_buffers 4 16k;", "", "proxy_buffer_size 16k;", "", "proxy_buffers 8 16k;", "")
	c := p.client("127.0.0.21")
	require.Equal(t, "contacts of 127.0.0.21", c.signIn())
	for address, status := range map[string]int{
		"/contacts?q=" + strings.Repeat("x", 1000):   http.StatusSeeOther,
		"/contacts?q=" + strings.Repeat("%26", 900):  http.StatusBadGateway,        // as the docs say
		"/contacts?q=" + strings.Repeat("%26", 3000): http.StatusRequestURITooLong, // before the product
	} {
		res, _ := p.client("127.0.0.22").do(address, nil)
		require.Equal(t, status, res.StatusCode)
	}
	res, _ := p.client("127.0.0.22", "Cookie", "__Host-twofa-challenge="+strings.Repeat("x", 9000)).do("/login", nil)
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
}

// A host can read the header of RFC 7239, which has another syntax.
func TestNginx_Forwarded(t *testing.T) {
	p := newProduct(t, func(c *twofahttp.Config) {
		c.ClientIP = func(r *http.Request) netip.Addr {
			quoted, _ := strings.CutPrefix(r.Header.Get("Forwarded"), "for=")
			client, _ := netip.ParseAddrPort(strings.Trim(quoted, `"`))
			return client.Addr()
		}
	})
	p.start("tcp", documentedHeader, `proxy_set_header Forwarded 'for="$remote_addr:$remote_port"';`)
	forged := []string{"Forwarded", "for=127.0.0.22", "X-Forwarded-For", "127.0.0.22"}
	require.Equal(t, 1, p.client("127.0.0.21", forged...).guess(31))
	require.Equal(t, 1, p.client("127.0.0.21").guess(1))
	require.Equal(t, "contacts of 127.0.0.22", p.client("127.0.0.22").signIn())
	require.Zero(t, p.logs.warnings())
}
