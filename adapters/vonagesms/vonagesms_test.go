package vonagesms_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/vonagesms"
)

const apiSecret = "abcdef0123456789"

var text = twofa.TextMessage{To: "+41791234567", Body: twofa.NewSecret("Acme: 135790 is your code.\n@acme.example #135790")}

func config(base string) vonagesms.Config {
	return vonagesms.Config{APIKey: "abcd1234", APISecret: twofa.NewSecret(apiSecret), From: "Acme", BaseURL: base}
}

func open(t *testing.T, cfg vonagesms.Config) *vonagesms.Sender {
	t.Helper()
	s, err := vonagesms.New(cfg)
	require.NoError(t, err)
	return s
}

// gateway starts a gateway that responds with h. calls counts the requests.
func gateway(t *testing.T, h http.HandlerFunc) (base string, calls *atomic.Int32) {
	t.Helper()
	calls = new(atomic.Int32)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, calls
}

// parts is a response with a part for each status.
func parts(statuses ...string) string {
	var list []string
	for _, s := range statuses {
		list = append(list, fmt.Sprintf(`{"status":%q,"error-text":"about +41791234567 and 135790"}`, s))
	}
	return fmt.Sprintf(`{"message-count":"%d","messages":[%s]}`, len(list), strings.Join(list, ","))
}

func respond(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestNew_AllProblemsAtOnce(t *testing.T) {
	with := func(change func(*vonagesms.Config)) vonagesms.Config {
		cfg := config("")
		change(&cfg)
		return cfg
	}
	for name, tc := range map[string]struct {
		cfg  vonagesms.Config
		want []string
	}{
		"empty":       {vonagesms.Config{}, []string{"APIKey:", "APISecret:", "From:"}},
		"key":         {with(func(c *vonagesms.Config) { c.APIKey = "abcd1234\n" }), []string{"APIKey:"}},
		"long sender": {with(func(c *vonagesms.Config) { c.From = "Acme Company" }), []string{"From:"}},
		"line break":  {with(func(c *vonagesms.Config) { c.From = "Acme\n" }), []string{"From:"}},
		"plain http":  {config("http://rest.nexmo.com"), []string{"BaseURL:"}},
		"timeout":     {with(func(c *vonagesms.Config) { c.Timeout = -1 }), []string{"Timeout:"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := vonagesms.New(tc.cfg)
			require.Nil(t, s)
			for _, field := range tc.want {
				require.ErrorContains(t, err, field)
			}
			require.Len(t, strings.Split(err.Error(), "\n"), len(tc.want), err)
		})
	}
}

func TestSendSMS_Request(t *testing.T) {
	for name, tc := range map[string]struct{ from, body, wantFrom, wantType string }{
		"name and GSM-7":       {"Acme", text.Body.Reveal(), "Acme", "text"},
		"number and Unicode":   {"+14155552345", "Acme: 日本 135790", "14155552345", "unicode"},
		"extension of GSM-7":   {"14155552345", "{135790} €", "14155552345", "text"},
		"outside the alphabet": {"Acme", "ç 135790", "Acme", "unicode"},
	} {
		t.Run(name, func(t *testing.T) {
			var got url.Values
			base, calls := gateway(t, func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				got = r.PostForm
				if r.URL.String() != "/sms/json" || r.Method != http.MethodPost {
					w.WriteHeader(http.StatusTeapot)
				}
				respond(http.StatusOK, parts("0"))(w, r)
			})
			cfg := config(base + "/")
			cfg.From = tc.from
			require.NoError(t, open(t, cfg).SendSMS(t.Context(), twofa.TextMessage{To: text.To, Body: twofa.NewSecret(tc.body)}))
			require.Equal(t, url.Values{
				"api_key": {"abcd1234"}, "api_secret": {apiSecret}, "from": {tc.wantFrom},
				"to": {"41791234567"}, "text": {tc.body}, "type": {tc.wantType},
			}, got)
			require.EqualValues(t, 1, calls.Load())
		})
	}
}

func TestSendSMS_Refused(t *testing.T) {
	const cleaned = "about +########### and ######"
	for name, tc := range map[string]struct {
		status        int
		body          string
		want          vonagesms.Error
		check         string
		undeliverable bool
	}{
		"wrong credentials":    {200, parts("4"), vonagesms.Error{Code: 4, Permanent: true, Message: cleaned}, "check APIKey and APISecret", false},
		"illegal sender":       {200, parts("15"), vonagesms.Error{Code: 15, Permanent: true, Message: cleaned}, "check From", false},
		"no credit":            {200, parts("9"), vonagesms.Error{Code: 9, Permanent: true, Message: cleaned}, "credit", false},
		"trial account":        {200, parts("29"), vonagesms.Error{Code: 29, Permanent: true, Message: cleaned}, "trial", false},
		"barred number":        {200, parts("7"), vonagesms.Error{Code: 7, Permanent: true, Message: cleaned}, "barred", true},
		"deactivated number":   {200, parts("33"), vonagesms.Error{Code: 33, Permanent: true, Message: cleaned}, "deactivated", true},
		"cannot be routed":     {200, parts("6"), vonagesms.Error{Code: 6, Permanent: true, Message: cleaned}, "code 6", false},
		"internal error":       {200, parts("5"), vonagesms.Error{Code: 5, Message: cleaned}, "code 5", false},
		"unknown code":         {200, parts("99"), vonagesms.Error{Code: 99, Message: cleaned}, "code 99", false},
		"code is not a number": {200, parts("no"), vonagesms.Error{Message: cleaned}, "code 0", false},
		"a part only":          {200, parts("0", "5"), vonagesms.Error{Code: 5, Accepted: 1, Message: cleaned}, "accepted 1 parts", false},
		"throttled later":      {200, parts("0", "1"), vonagesms.Error{Code: 1, Accepted: 1, Message: cleaned}, "accepted 1 parts", false},
		"no parts":             {200, `{"messages":[]}`, vonagesms.Error{}, "", false},
		"not JSON":             {200, `<html>`, vonagesms.Error{}, "", false},
		"other success":        {202, parts("0"), vonagesms.Error{Accepted: 1}, "", false},
		"not found":            {404, ``, vonagesms.Error{Permanent: true}, "", false},
		"server error":         {503, ``, vonagesms.Error{}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			base, calls := gateway(t, respond(tc.status, tc.body))
			err := open(t, config(base)).SendSMS(t.Context(), text)
			got, ok := errors.AsType[*vonagesms.Error](err)
			require.True(t, ok, "%v", err)
			tc.want.Status = tc.status
			require.Equal(t, tc.want, *got)
			require.ErrorContains(t, err, tc.check)
			require.Equal(t, tc.undeliverable, errors.Is(err, twofa.ErrUndeliverable))
			requireNothingSecret(t, err.Error())
			require.EqualValues(t, 1, calls.Load(), "may have been accepted, in whole or in part")
		})
	}
}

// script is an http.RoundTripper that returns its responses one after another.
type script struct {
	bodies []string
	calls  int
}

func (s *script) RoundTrip(*http.Request) (*http.Response, error) {
	body := s.bodies[min(s.calls, len(s.bodies)-1)]
	s.calls++
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func TestSendSMS_ThrottledIsTriedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		bodies []string
		calls  int
		took   time.Duration
		code   int
	}{
		"once":              {[]string{parts("1"), parts("0")}, 2, 500 * time.Millisecond, 0},
		"always":            {[]string{parts("1")}, 3, 2500 * time.Millisecond, 1},
		"every part":        {[]string{parts("1", "1"), parts("0", "0")}, 2, 500 * time.Millisecond, 0},
		"then another code": {[]string{parts("1"), parts("5")}, 2, 500 * time.Millisecond, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gw := &script{bodies: tc.bodies}
				cfg := config("")
				cfg.Client = &http.Client{Transport: gw}
				start := time.Now()
				err := open(t, cfg).SendSMS(t.Context(), text)
				require.Equal(t, tc.took, time.Since(start))
				require.Equal(t, tc.calls, gw.calls)
				got, refused := errors.AsType[*vonagesms.Error](err)
				require.Equal(t, tc.code != 0, refused)
				if refused {
					require.Equal(t, tc.code, got.Code)
				}
			})
		})
	}
}

func TestAbuse_J10_DestinationNotANumber(t *testing.T) {
	base, calls := gateway(t, respond(http.StatusOK, parts("0")))
	s := open(t, config(base))
	for _, to := range []string{"", "+", "41791234567", "+0791234567", "+4179CALLME", "+41791234567\n", "+41791234567,+41791234568", " +41791234567"} {
		err := s.SendSMS(t.Context(), twofa.TextMessage{To: to, Body: twofa.NewSecret("x")})
		require.Error(t, err, to)
		require.NotContains(t, err.Error(), "7912", to)
	}
	require.Zero(t, calls.Load())
}

func TestSendSMS_FollowsNoRedirect(t *testing.T) {
	other, reached := gateway(t, respond(http.StatusOK, parts("0")))
	base, _ := gateway(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other+r.URL.Path, http.StatusTemporaryRedirect)
	})
	require.Error(t, open(t, config(base)).SendSMS(t.Context(), text))
	require.Zero(t, reached.Load())
}

func TestAbuse_R04_GatewayHangs(t *testing.T) {
	over := make(chan struct{})
	base, _ := gateway(t, func(http.ResponseWriter, *http.Request) { <-over })
	t.Cleanup(func() { close(over) }) // runs before the cleanup that closes the gateway
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, open(t, config(base)).SendSMS(ctx, text), context.DeadlineExceeded)
	cfg := config(base)
	cfg.Timeout = 50 * time.Millisecond
	require.ErrorIs(t, open(t, cfg).SendSMS(t.Context(), text), context.DeadlineExceeded)
}

func requireNothingSecret(t *testing.T, printed string) {
	t.Helper()
	for _, secret := range []string{"41791234567", "135790", "is your code", apiSecret} {
		require.NotContains(t, printed, secret)
	}
}

func TestPrintsNothingSecret(t *testing.T) {
	base, _ := gateway(t, func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		conn, _, _ := w.(http.Hijacker).Hijack()
		_, _ = conn.Write(append(sent, "\r\n\r\n"...)) // an echo of the request
		_ = conn.Close()
	})
	cfg := config(base)
	s := open(t, cfg)
	err := s.SendSMS(t.Context(), text)
	require.Error(t, err)
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "cfg", cfg, "sender", s, "error", err)
	for _, v := range []any{cfg, &cfg, s, *s} {
		fmt.Fprintf(&logged, "%v %+v %#v %s %q\n", v, v, v, v, v)
		j, _ := json.Marshal(v)
		logged.Write(j)
	}
	requireNothingSecret(t, logged.String())
}
