package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
)

// start runs the command until the test ends and returns the address it prints.
func start(t *testing.T, o options) string {
	t.Helper()
	t.Setenv("TWOFA_KEYS", "")
	o.data = t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	out, in := io.Pipe()
	go func() {
		err := run(ctx, o, in)
		in.CloseWithError(err)
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, u, ok := strings.Cut(lines.Text(), "is at  "); ok {
			go io.Copy(io.Discard, out)
			return u
		}
	}
	require.Fail(t, "the command printed no address", "%v", lines.Err())
	return ""
}

var csrfField = regexp.MustCompile(`name="csrf_token" value="([^"]+)"`)

// If the system picks the port, the printed address and the links in email
// contain it.
func TestAddress_PickedPort(t *testing.T) {
	for _, c := range []struct{ addr, given, want string }{
		{"127.0.0.1:0", "", `^http://127\.0\.0\.1:[1-9]\d*$`},
		{"localhost:0", "", `^http://localhost:[1-9]\d*$`},
		{"127.0.0.1:0", "https://contacts.example", `^https://contacts\.example$`},
	} {
		base := start(t, options{addr: c.addr, baseURL: c.given, demo: true})
		require.Regexp(t, c.want, base)
		if c.given == "" {
			require.True(t, strings.HasPrefix(mailedLink(t, base), base+"/reset/"))
		}
	}
}

// mailedLink requests a reset link and returns it from the outbox.
func mailedLink(t *testing.T, base string) string {
	t.Helper()
	page := fetch(t, "GET", base+"/forgot", "", nil)
	token := csrfField.FindStringSubmatch(page.body)
	require.NotNil(t, token, page.body)
	form := url.Values{"email": {app.DemoPeople()[0].Email}, "csrf_token": {token[1]}}
	sent := fetch(t, "POST", base+"/forgot", form.Encode(), page.cookies)
	require.Equal(t, http.StatusSeeOther, sent.status, sent.body)
	var outbox []app.Message
	require.NoError(t, json.Unmarshal([]byte(fetch(t, "GET", base+"/dev/outbox.json", "", nil).body), &outbox))
	require.Len(t, outbox, 1)
	return regexp.MustCompile(`https?://\S+`).FindString(outbox[0].Text)
}

type answer struct {
	status  int
	body    string
	cookies []*http.Cookie
}

func fetch(t *testing.T, method, address, form string, cookies []*http.Cookie) answer {
	t.Helper()
	got, err := send(t.Context(), method, address, form, cookies)
	require.NoError(t, err)
	return got
}

// send returns cookies over http, which a cookie jar does not do with Secure
// cookies.
func send(ctx context.Context, method, address, form string, cookies []*http.Cookie) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Accept", "text/html")
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range cookies {
		req.AddCookie(c)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, string(body), res.Cookies()}, err
}

func TestDatabase_UnknownScheme(t *testing.T) {
	for _, dsn := range []string{"mysql://root:hunter22@localhost/acme", "contacts.db", "host=localhost password=hunter22", "postgres:hunter22"} {
		_, err := options{data: t.TempDir(), database: dsn, demo: true}.config(slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, "-database", dsn)
		require.ErrorContains(t, err, "postgres://")
		require.ErrorContains(t, err, "SQLite")
		require.NotContains(t, err.Error(), "hunter22")
	}
	for _, dsn := range []string{"", "postgres://localhost/acme", "postgresql://localhost/acme"} {
		cfg, err := options{data: t.TempDir(), database: dsn, demo: true}.config(slog.New(slog.DiscardHandler))
		require.NoError(t, err, dsn)
		require.NoError(t, cfg.DB.Close())
	}
}

const asProgram = "WEBAPP_TEST_AS_PROGRAM"

// TestMain runs the program itself if the environment asks for it, so that tests
// can start it as another process.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program runs the program in another process, as support does.
func program(t *testing.T, dir, keys string, args ...string) (exit int, stdout, stderr string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, append([]string{"-data", dir}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "TWOFA_KEYS="+keys)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.ExitCode(), out.String(), errs.String()
	}
	require.NoError(t, err)
	return 0, out.String(), errs.String()
}

// Support works over the database of the server, with the program alone.
func TestOperate(t *testing.T) {
	dir, before := t.TempDir(), twofa.GenerateKeyRing().Reveal()
	exit, out, _ := program(t, dir, before, "operate", "help")
	require.Equal(t, 0, exit)
	require.Contains(t, out, "Usage: webapp operate COMMAND [flags]")

	const jon = "jon@brook.example"
	exit, out, errs := program(t, dir, before, "operate", "revoke", jon, "-by", "sam", "-reason", "ticket 4711")
	require.Equal(t, 0, exit, errs)
	require.Contains(t, out, "("+jon+") have ended")
	exit, _, errs = program(t, dir, before, "operate", "reset", jon, "-by", "sam", "-reason", "ticket 4711")
	require.Equal(t, 2, exit)
	require.Contains(t, errs, "-yes: required")
	exit, _, errs = program(t, dir, before, "operate", "status", "nobody@brook.example")
	require.Equal(t, 1, exit)
	require.Contains(t, errs, `there is no user "nobody@brook.example"`)
	exit, _, errs = program(t, dir, before, "oprate")
	require.Equal(t, 2, exit)
	require.Contains(t, errs, "see webapp -help")

	after := twofa.GenerateKeyRing().Reveal()
	exit, out, errs = program(t, dir, after+","+before, "operate", "rekey")
	require.Equal(t, 0, exit, errs)
	require.Regexp(t, `(?m)^Not done +0$`, out)
	require.NotRegexp(t, `(?m)^Encrypted again +0$`, out)
	exit, out, errs = program(t, dir, after, "operate", "status", jon, "-json")
	require.Equal(t, 0, exit, errs)
	var status struct {
		Stored bool
		User   string
	}
	require.NoError(t, json.Unmarshal([]byte(out), &status))
	require.True(t, status.Stored)
	exit, _, errs = program(t, dir, before, "operate", "status", jon)
	require.Equal(t, 1, exit)
	require.Contains(t, errs, "Run this program with the same keys")
	exit, _, errs = program(t, dir, after, "operate", "export", "-user", status.User, "-since", "2020-01-01")
	require.Equal(t, 0, exit, errs)
	require.Contains(t, errs, "The next export continues with -since ")
}
