package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
	"github.com/twofa-go/twofa/twofatest"
)

// site is the running example product.
type site struct {
	t   *testing.T
	in  *engine // that the users have
	url string
	now func() time.Time

	clock     *twofatest.Clock // of newPlainSite
	m         *twofa.Manager   // of newPlainSite
	noCookies atomic.Bool      // no cookie comes back to the server of newPlainSite

	pages atomic.Int32 // opened so far

	mailbox *mailbox // behind the SMTP server of newSiteWithSMTP; otherwise nil
}

// newSite starts the program of the example in demo mode, for Chromium, with the
// flags that the test adds.
func newSite(t *testing.T, flags ...string) *site {
	t.Helper()
	return inChromium.newSite(t, flags...)
}

// newSite starts the program of the example for users with this browser.
func (in *engine) newSite(t *testing.T, flags ...string) *site {
	t.Helper()
	in.need(t) // first, so a test that is skipped because there is no browser starts nothing
	program, err := buildExample()
	require.NoError(t, err)
	var log bytes.Buffer
	cmd := exec.Command(program, append([]string{"-addr", "localhost:0", "-data", t.TempDir()}, flags...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TWOFA_KEYS=") || strings.HasPrefix(v, "SMTP_URL=") })
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	url, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, u, ok := strings.Cut(lines.Text(), "Acme Contacts is at  "); ok {
				url <- u
			}
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // its database is deleted with the test
		<-ended
		if t.Failed() {
			t.Logf("log of the example:\n%s", log.String())
		}
	})
	select {
	case u := <-url:
		return &site{t: t, in: in, url: u, now: time.Now}
	case <-ended:
		t.Fatal("the example ended before it printed its address")
	case <-time.After(patience):
		t.Fatalf("the example printed no address within %s", patience)
	}
	return nil
}

// newSiteWithClock serves the same product from this process. Its clock moves
// only when the test moves it, so that a test can do things minutes apart.
func newSiteWithClock(t *testing.T, around ...func(http.Handler) http.Handler) (*site, *twofatest.Clock) {
	t.Helper()
	return inChromium.newSiteWithClock(t, around...)
}

func (in *engine) newSiteWithClock(t *testing.T, around ...func(http.Handler) http.Handler) (*site, *twofatest.Clock) {
	t.Helper()
	return in.newExample(t, func(*app.Config) {}, around...)
}

func (in *engine) newExample(t *testing.T, change func(*app.Config), around ...func(http.Handler) http.Handler) (*site, *twofatest.Clock) {
	t.Helper()
	in.need(t)
	clock := twofatest.NewClock(time.Now())
	db, err := app.OpenDB("", t.TempDir())
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(nil)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	require.NoError(t, err)
	url := "http://localhost:" + port
	cfg := app.Config{DB: db, Keys: twofatest.KeyRing(t, "browser"), BaseURL: url, Demo: true, ViewableCodes: true,
		Now: clock.Now, Logger: slog.New(slog.DiscardHandler)}
	change(&cfg)
	a, err := app.New(cfg)
	require.NoError(t, err)
	srv.Config.Handler = a
	for _, wrap := range around {
		srv.Config.Handler = wrap(srv.Config.Handler)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Close()
		a.Close()
		require.NoError(t, db.Close())
	})
	return &site{t: t, in: in, url: url, now: clock.Now}, clock
}

// sent returns the emails and text messages that the product would have sent to
// an address or a number, oldest first.
func (s *site) sent(to string) []app.Message {
	s.t.Helper()
	if s.mailbox != nil && !strings.HasPrefix(to, "+") {
		return s.mailbox.to(to)
	}
	answer, err := http.Get(s.url + "/dev/outbox.json")
	require.NoError(s.t, err)
	defer answer.Body.Close()
	var all []app.Message
	require.NoError(s.t, json.NewDecoder(answer.Body).Decode(&all))
	return slices.DeleteFunc(all, func(m app.Message) bool { return m.To != to })
}

// newest returns the newest message sent to an address or a number.
func (s *site) newest(to string) app.Message {
	s.t.Helper()
	all := s.sent(to)
	require.NotEmpty(s.t, all, "no message was sent to %s", to)
	return all[len(all)-1]
}

var (
	linkInMail = regexp.MustCompile(`http://\S+/2fa/link\S+`)
	codeInMail = regexp.MustCompile(`(?m)^([0-9]{6})\r?$`)
	codeInText = regexp.MustCompile(`\b[0-9]{6}\b`)
)

// mailedLink returns the link in the newest email that contains one.
func (s *site) mailedLink(to string) string {
	s.t.Helper()
	for _, m := range slices.Backward(s.sent(to)) {
		if link := linkInMail.FindString(m.Text); link != "" {
			return link
		}
	}
	s.t.Fatalf("no email to %s contains a link", to)
	return ""
}

// mailedCode returns the code in the newest email that has one on a line of its own.
func (s *site) mailedCode(to string) string {
	s.t.Helper()
	for _, m := range slices.Backward(s.sent(to)) {
		if code := codeInMail.FindStringSubmatch(m.Text); code != nil {
			return code[1]
		}
	}
	s.t.Fatalf("no email to %s contains a code", to)
	return ""
}

// textedCode returns the code in the newest text message that contains one.
func (s *site) textedCode(to string) string {
	s.t.Helper()
	for _, m := range slices.Backward(s.sent(to)) {
		if code := codeInText.FindString(m.Text); code != "" {
			return code
		}
	}
	s.t.Fatalf("no text message to %s contains a code", to)
	return ""
}
