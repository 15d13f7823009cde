package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
	"github.com/twofa-go/twofa/twofatest"
)

// Abuse cases of the server: a client must not decide how long a connection
// lasts or how much it costs.

// listen serves the product on a loopback port with the server of the command.
// shorten may change its timeouts.
func listen(t *testing.T, shorten func(*http.Server)) (address string) {
	t.Helper()
	db, err := app.OpenDB("", t.TempDir())
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	logger := slog.New(slog.DiscardHandler)
	a, err := app.New(app.Config{DB: db, Keys: twofatest.KeyRing(t, "webapp"), Demo: true, BaseURL: "http://" + ln.Addr().String(), Logger: logger})
	require.NoError(t, err)
	srv := newServer(a, logger)
	shorten(srv)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
		a.Close()
		require.NoError(t, db.Close())
	})
	return ln.Addr().String()
}

func TestAbuse_P07_EveryTimeoutIsSet(t *testing.T) {
	srv := newServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	for name, d := range map[string]time.Duration{
		"ReadHeaderTimeout": srv.ReadHeaderTimeout, "ReadTimeout": srv.ReadTimeout,
		"WriteTimeout": srv.WriteTimeout, "IdleTimeout": srv.IdleTimeout,
	} {
		require.Positive(t, d, name)
		require.LessOrEqual(t, d, time.Minute, name)
	}
	require.Positive(t, srv.MaxHeaderBytes)
	require.LessOrEqual(t, srv.MaxHeaderBytes, 64<<10)
}

// The server closes the connection of a client that sends one byte at a time,
// or nothing more, when its timeout is over.
func TestAbuse_P07_SlowClientIsCutOff(t *testing.T) {
	const request = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000000\r\n"
	for _, c := range []struct {
		name, first, slowly string
		timeout             func(*http.Server) *time.Duration
	}{
		{"header", "", request + "X-Slow: ", func(s *http.Server) *time.Duration { return &s.ReadHeaderTimeout }},
		{"body", request + "\r\n", "email=", func(s *http.Server) *time.Duration { return &s.ReadTimeout }},
		{"idle", "GET /static/style.css HTTP/1.1\r\nHost: localhost\r\n\r\n", "", func(s *http.Server) *time.Duration { return &s.IdleTimeout }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", listen(t, func(s *http.Server) { *c.timeout(s) = 100 * time.Millisecond }))
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, c.first)
			require.NoError(t, err)
			if c.slowly != "" {
				require.True(t, dribble(conn, c.slowly+strings.Repeat("x", 5000)), "the server read all of it")
			}
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
			_, err = io.Copy(io.Discard, conn)
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection is still open")
		})
	}
}

// dribble sends text one byte at a time, and reports whether the server closed
// the connection before the end.
func dribble(conn net.Conn, text string) bool {
	buf := make([]byte, 4096)
	for i := range len(text) {
		if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
			return true
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := conn.Read(buf); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return true
		}
	}
	return false
}

func TestAbuse_P07_LongHeaderIsRefused(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+listen(t, func(*http.Server) {})+"/login", nil)
	require.NoError(t, err)
	req.Header.Set("X-Long", strings.Repeat("x", 80<<10))
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, res.StatusCode)
}

// Requests of every kind, and the email that they cause, leave no goroutine
// behind.
func TestAbuse_P07_ThousandRequests(t *testing.T) {
	const workers, rounds = 5, 20 // one address may request 100 emails
	base := "http://" + listen(t, func(*http.Server) {})
	login := fetch(t, "GET", base+"/login", "", nil)
	password := url.Values{"csrf_token": csrfField.FindStringSubmatch(login.body)[1:], "email": {"jon@brook.example"}, "password": {app.DemoPassword}}
	in := fetch(t, "POST", base+"/login", password.Encode(), login.cookies)
	require.Equal(t, http.StatusSeeOther, in.status, in.body)
	settings := fetch(t, "GET", base+"/settings", "", in.cookies)
	csrf := url.Values{"csrf_token": csrfField.FindStringSubmatch(settings.body)[1:]}.Encode()
	before := runtime.NumGoroutine()

	calls := []struct {
		method, path, form string
		cookies            []*http.Cookie
		status             int
	}{
		{"GET", "/login", "", nil, 200},
		{"GET", "/contacts", "", nil, 303},
		{"GET", "/contacts", "", in.cookies, 200},
		{"GET", "/settings", "", in.cookies, 200},
		{"GET", "/2fa/", "", in.cookies, 200},
		{"GET", "/reset/x", "", nil, 410},
		{"GET", "/nowhere", "", nil, 404},
		{"GET", "/api/me", "", nil, 401},
		{"POST", "/contacts", "name=x", in.cookies, 403},
		{"POST", "/forgot", csrf + "&email=", in.cookies, 303},
	}
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for round := range rounds {
				for _, c := range calls {
					if c.path == "/forgot" { // one mailbox gets only a few emails
						c.form += fmt.Sprintf("%d-%d@nowhere.example", worker, round)
					}
					got, err := send(t.Context(), c.method, base+c.path, c.form, c.cookies)
					if err == nil && got.status != c.status {
						err = fmt.Errorf("%s %s: %d", c.method, c.path, got.status)
					}
					errs[worker] = errors.Join(errs[worker], err)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, 1000, workers*rounds*len(calls))
	fetch(t, "GET", base+"/dev/outbox.json", "", nil) // waits for the email
	// Each connection has a few goroutines. A call that leaks one each time
	// would leave 100.
	require.Less(t, runtime.NumGoroutine(), before+50)
}
