package webhook_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/webhook"
)

const link = "https://acme.example/login?token=tok-0123456789"

var (
	secret    = twofa.NewSecret("whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 24)))
	newSecret = twofa.NewSecret("whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("n"), 64)))
	mail      = twofa.Email{To: "jo@example.com", Subject: "Ácme", Text: twofa.NewSecret("Open " + link + "\n"), HTML: twofa.NewSecret("<p>" + link + "</p>")}
	sms       = twofa.TextMessage{To: "+41791234567", Body: twofa.NewSecret("135790 is your code.\n@acme.example #135790"), Language: "de", Expires: time.Date(2026, 3, 2, 8, 5, 0, 0, time.UTC)}
)

func config(url string) webhook.Config {
	return webhook.Config{URL: url, Secrets: []twofa.Secret{secret}}
}

func open(t *testing.T, cfg webhook.Config) *webhook.Sender {
	t.Helper()
	s, err := webhook.New(cfg)
	require.NoError(t, err)
	return s
}

// service starts a service that responds with h. calls counts the requests.
func service(t *testing.T, h http.HandlerFunc) (url string, calls *atomic.Int32) {
	t.Helper()
	calls = new(atomic.Int32)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/2fa", calls
}

func respond(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestNew_AllProblemsAtOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  webhook.Config
		want []string
	}{
		"empty":         {webhook.Config{}, []string{"URL:", "Secrets:"}},
		"http":          {config("http://messages.acme.example"), []string{"URL:"}},
		"http by name":  {config("http://localhost/"), []string{"URL:"}},
		"user in URL":   {config("https://u:p@messages.acme.example"), []string{"URL:"}},
		"timeout":       {webhook.Config{URL: "https://a.example", Secrets: []twofa.Secret{secret}, Timeout: -1}, []string{"Timeout:"}},
		"no prefix":     {webhook.Config{URL: "https://a.example", Secrets: []twofa.Secret{twofa.NewSecret(secret.Reveal()[6:])}}, []string{"Secrets[0]:"}},
		"short":         {webhook.Config{URL: "https://a.example", Secrets: []twofa.Secret{secret, twofa.NewSecret("whsec_c2hvcnQ=")}}, []string{"Secrets[1]:"}},
		"not base64":    {webhook.Config{URL: "https://a.example", Secrets: []twofa.Secret{twofa.NewSecret("whsec_" + strings.Repeat("?", 40))}}, []string{"Secrets[0]:"}},
		"empty secrets": {webhook.Config{URL: "https://a.example", Secrets: []twofa.Secret{{}}}, []string{"Secrets[0]:"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := webhook.New(tc.cfg)
			require.Nil(t, s)
			for _, field := range tc.want {
				require.ErrorContains(t, err, field)
			}
			require.Len(t, strings.Split(err.Error(), "\n"), len(tc.want), err)
		})
	}
}

func TestSend_Request(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.FixedZone("", 3600))
	for name, tc := range map[string]struct {
		send func(s *webhook.Sender) error
		want string
	}{
		"email": {func(s *webhook.Sender) error { return s.SendMail(t.Context(), mail) },
			`{"type":"email","timestamp":"2026-03-02T08:00:00Z","data":{"to":"jo@example.com","subject":"Ácme","text":"Open ` + link + `\n","html":"<p>` + link + `</p>"}}`},
		"text message": {func(s *webhook.Sender) error { return s.SendSMS(t.Context(), sms) },
			`{"type":"sms","timestamp":"2026-03-02T08:00:00Z","data":{"to":"+41791234567","text":"135790 is your code.\n@acme.example #135790","language":"de","expires":"2026-03-02T08:05:00Z"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			type request struct {
				line   string
				header http.Header
				body   []byte
			}
			var got []request
			url, _ := service(t, func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = append(got, request{r.Method + " " + r.URL.String(), r.Header, body})
			})
			cfg := config(url)
			cfg.Secrets, cfg.Now = append(cfg.Secrets, newSecret), func() time.Time { return now }
			s := open(t, cfg)
			require.NoError(t, tc.send(s))
			require.NoError(t, tc.send(s))
			require.Len(t, got, 2)
			require.NotEqual(t, got[0].header.Get("webhook-id"), got[1].header.Get("webhook-id"), "each message has an ID of its own")
			r := got[0]
			require.Equal(t, "POST /2fa", r.line)
			require.Equal(t, "application/json", r.header.Get("Content-Type"))
			require.JSONEq(t, tc.want, string(r.body))
			for _, s := range []twofa.Secret{secret, newSecret} {
				require.NoError(t, verify(s, r.header, r.body, now.Add(5*time.Minute)))
			}
			require.Error(t, verify(secret, r.header, r.body, now.Add(6*time.Minute)), "replayed later")
			require.Error(t, verify(secret, r.header, append(r.body, ' '), now), "changed")
			require.Error(t, verify(twofa.NewSecret("whsec_"+strings.Repeat("A", 32)), r.header, r.body, now), "another secret")
			r.header.Set("webhook-id", "msg_other")
			require.Error(t, verify(secret, r.header, r.body, now), "replayed as another message")
		})
	}
}

func TestSend_Refused(t *testing.T) {
	for _, tc := range []struct {
		status        int
		body          string
		undeliverable bool
	}{
		{422, `{"error":"undeliverable","detail":"jo@example.com"}`, true},
		{422, `{"detail":[{"loc":["body","to"]}]}`, false}, // a framework that does not understand the request
		{422, ``, false},
		{400, `{"error":"undeliverable"}`, false},
		{410, `{"error":"undeliverable"}`, false},
		{401, `jo@example.com`, false},
		{302, ``, false},
		{429, ``, false},
		{503, ``, false},
	} {
		t.Run(fmt.Sprint(tc.status, tc.body), func(t *testing.T) {
			url, calls := service(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "0")
				respond(tc.status, tc.body)(w, r)
			})
			err := open(t, config(url)).SendMail(t.Context(), mail)
			got, ok := errors.AsType[*webhook.Error](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, webhook.Error{Status: tc.status, Undeliverable: tc.undeliverable}, *got)
			require.Equal(t, tc.undeliverable, errors.Is(err, twofa.ErrUndeliverable))
			require.Equal(t, tc.status == 401, strings.Contains(err.Error(), "check Secrets"))
			requireNothingSecret(t, err.Error())
			require.EqualValues(t, 1, calls.Load(), "posted once")
		})
	}
	t.Run("every 2xx is accepted", func(t *testing.T) {
		for _, status := range []int{200, 201, 202, 204} {
			url, _ := service(t, respond(status, ""))
			require.NoError(t, open(t, config(url)).SendMail(t.Context(), mail))
		}
	})
	t.Run("redirect", func(t *testing.T) {
		other, reached := service(t, respond(200, ""))
		url, _ := service(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, http.StatusTemporaryRedirect) })
		require.Error(t, open(t, config(url)).SendMail(t.Context(), mail))
		require.Zero(t, reached.Load())
	})
}

func TestAbuse_J10_DestinationNotANumber(t *testing.T) {
	url, calls := service(t, respond(200, ""))
	s := open(t, config(url))
	for _, to := range []string{"", "41791234567", "+41791234567\n", "+4179CALLME"} {
		require.Error(t, s.SendSMS(t.Context(), twofa.TextMessage{To: to, Body: sms.Body}), to)
	}
	for _, subject := range []string{"a\r\nBcc: x@example.com", "a\u2028b", "\xff"} {
		require.Error(t, s.SendMail(t.Context(), twofa.Email{To: mail.To, Subject: subject, Text: mail.Text}))
		require.Error(t, s.SendMail(t.Context(), twofa.Email{To: subject, Text: mail.Text}))
	}
	require.Zero(t, calls.Load())
}

func TestAbuse_R04_GatewayHangs(t *testing.T) {
	over := make(chan struct{})
	url, _ := service(t, func(http.ResponseWriter, *http.Request) { <-over })
	t.Cleanup(func() { close(over) }) // runs before the cleanup that closes the service
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, open(t, config(url)).SendMail(ctx, mail), context.DeadlineExceeded)
	cfg := config(url)
	cfg.Timeout = 50 * time.Millisecond
	require.ErrorIs(t, open(t, cfg).SendSMS(t.Context(), sms), context.DeadlineExceeded)
}

func requireNothingSecret(t *testing.T, printed string) {
	t.Helper()
	for _, s := range []string{"tok-0123", "jo@example.com", "41791234567", "135790", "kkkk", secret.Reveal()[6:]} {
		require.NotContains(t, printed, s)
	}
}

func TestPrintsNothingSecret(t *testing.T) {
	url, _ := service(t, func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		conn, _, _ := w.(http.Hijacker).Hijack()
		_, _ = conn.Write(append(sent, "\r\n\r\n"...)) // an echo of the request
		_ = conn.Close()
	})
	cfg := config(url)
	s := open(t, cfg)
	err := s.SendMail(t.Context(), mail)
	require.Error(t, err)
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "cfg", cfg.Secrets, "sender", s, "error", err)
	for _, v := range []any{cfg, &cfg, s, *s, err} {
		fmt.Fprintf(&logged, "%v %+v %#v %s %q\n", v, v, v, v, v)
		j, _ := json.Marshal(v)
		logged.Write(j)
	}
	requireNothingSecret(t, logged.String())
}
