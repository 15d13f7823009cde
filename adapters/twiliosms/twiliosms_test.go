package twiliosms_test

import (
	"bytes"
	"cmp"
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
	"github.com/twofa-go/twofa/adapters/twiliosms"
)

const (
	account = "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	apiKey  = "SKbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	service = "MGcccccccccccccccccccccccccccccccc"
	token   = "the-auth-token"
)

var text = twofa.TextMessage{To: "+41791234567", Body: twofa.NewSecret("Acme: 135790 is your code.\n@acme.example #135790")}

func config(base string) twiliosms.Config {
	return twiliosms.Config{AccountSID: account, AuthToken: twofa.NewSecret(token), From: "+14155552345", BaseURL: base}
}

func open(t *testing.T, cfg twiliosms.Config) *twiliosms.Sender {
	t.Helper()
	s, err := twiliosms.New(cfg)
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

func respond(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestNew_AllProblemsAtOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  twiliosms.Config
		want []string
	}{
		"empty":               {twiliosms.Config{}, []string{"AccountSID:", "AuthToken:", "From:"}},
		"malformed ids":       {twiliosms.Config{AccountSID: "AC1/../x", APIKey: account, MessagingServiceSID: apiKey}, []string{"AccountSID:", "APIKey:", "APISecret:", "MessagingServiceSID:"}},
		"secret without key":  {twiliosms.Config{AccountSID: account, APISecret: twofa.NewSecret("s"), From: "Acme"}, []string{"APIKey:"}},
		"two credentials":     {twiliosms.Config{AccountSID: account, AuthToken: twofa.NewSecret("t"), APIKey: apiKey, APISecret: twofa.NewSecret("s"), From: "Acme"}, []string{"AuthToken:"}},
		"two senders":         {twiliosms.Config{AccountSID: account, AuthToken: twofa.NewSecret("t"), From: "Acme", MessagingServiceSID: service}, []string{"From:"}},
		"negative timeout":    {twiliosms.Config{AccountSID: account, AuthToken: twofa.NewSecret("t"), From: "Acme", Timeout: -1}, []string{"Timeout:"}},
		"plain http":          {config("http://api.twilio.com"), []string{"BaseURL:"}},
		"http by name":        {config("http://localhost:4010"), []string{"BaseURL:"}},
		"user in URL":         {config("https://u:p@api.twilio.com"), []string{"BaseURL:"}},
		"query in URL":        {config("https://api.twilio.com?x="), []string{"BaseURL:"}},
		"no host":             {config("https://"), []string{"BaseURL:"}},
		"other scheme":        {config("ftp://127.0.0.1"), []string{"BaseURL:"}},
		"not a URL":           {config("https://%zz"), []string{"BaseURL:"}},
		"line break in a SID": {twiliosms.Config{AccountSID: account + "\n", AuthToken: twofa.NewSecret("t"), From: "Acme"}, []string{"AccountSID:"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := twiliosms.New(tc.cfg)
			require.Nil(t, s)
			for _, field := range tc.want {
				require.ErrorContains(t, err, field)
			}
			require.Len(t, strings.Split(err.Error(), "\n"), len(tc.want), err)
		})
	}
}

func TestSendSMS_Request(t *testing.T) {
	for name, tc := range map[string]struct {
		change     func(*twiliosms.Config)
		user, pass string
		origin     url.Values
	}{
		"auth token and number": {func(*twiliosms.Config) {}, account, token, url.Values{"From": {"+14155552345"}}},
		"API key and messaging service": {func(c *twiliosms.Config) {
			c.AuthToken, c.APIKey, c.APISecret = twofa.Secret{}, apiKey, twofa.NewSecret("s3cret")
			c.From, c.MessagingServiceSID = "", service
		}, apiKey, "s3cret", url.Values{"MessagingServiceSid": {service}}},
		"base URL with a slash": {func(c *twiliosms.Config) { c.BaseURL += "/" }, account, token, url.Values{"From": {"+14155552345"}}},
	} {
		t.Run(name, func(t *testing.T) {
			base, calls := gateway(t, func(w http.ResponseWriter, r *http.Request) {
				user, pass, _ := r.BasicAuth()
				want := url.Values{"To": {text.To}, "Body": {text.Body.Reveal()}}
				for k, v := range tc.origin {
					want[k] = v
				}
				if err := r.ParseForm(); err != nil || r.PostForm.Encode() != want.Encode() || r.URL.RawQuery != "" ||
					r.Method != http.MethodPost || r.URL.Path != "/2010-04-01/Accounts/"+account+"/Messages.json" ||
					user != tc.user || pass != tc.pass {
					w.WriteHeader(http.StatusTeapot)
					return
				}
				respond(http.StatusCreated, `{"sid":"SM1","status":"queued"}`)(w, r)
			})
			cfg := config(base)
			tc.change(&cfg)
			require.NoError(t, open(t, cfg).SendSMS(t.Context(), text))
			require.EqualValues(t, 1, calls.Load())
		})
	}
}

func TestSendSMS_Refused(t *testing.T) {
	const quoting = `{"code":21211,"message":"The 'To' number +41791234567 is not a valid phone number.\r\nBody: 135790","status":400}`
	long := `{"code":20001,"message":"` + strings.Repeat("é", 5000) + `"}`
	for name, tc := range map[string]struct {
		status int
		body   string
		want   twiliosms.Error
	}{
		"bad number":           {400, quoting, twiliosms.Error{Code: 21211, Permanent: true, Message: "The 'To' number +########### is not a valid phone number.  Body: ######"}},
		"wrong credential":     {401, `{"code":20003,"message":"Authenticate"}`, twiliosms.Error{Code: 20003, Permanent: true, Message: "Authenticate"}},
		"not JSON":             {404, `<html>`, twiliosms.Error{Permanent: true}},
		"JSON of another kind": {422, `["1"]`, twiliosms.Error{Permanent: true}},
		"long message":         {400, long, twiliosms.Error{Code: 20001, Permanent: true, Message: strings.Repeat("é", 200)}},
		"request timeout":      {408, ``, twiliosms.Error{}},
		"server error":         {500, `{"code":20500,"message":"Internal"}`, twiliosms.Error{Code: 20500, Message: "Internal"}},
		"unavailable":          {503, ``, twiliosms.Error{}},
		"other success":        {200, `{"sid":"SM1"}`, twiliosms.Error{}},
		"no content":           {204, ``, twiliosms.Error{}},
		"not modified":         {304, ``, twiliosms.Error{}},
	} {
		t.Run(name, func(t *testing.T) {
			base, calls := gateway(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "0")
				respond(tc.status, tc.body)(w, r)
			})
			err := open(t, config(base)).SendSMS(t.Context(), text)
			got, ok := errors.AsType[*twiliosms.Error](err)
			require.True(t, ok, "%v", err)
			tc.want.Status = tc.status
			require.Equal(t, tc.want, *got)
			require.ErrorContains(t, err, fmt.Sprint(tc.status))
			require.Equal(t, tc.status == 401, strings.HasSuffix(err.Error(), "; check AccountSID, and AuthToken or APIKey and APISecret"))
			require.EqualValues(t, 1, calls.Load(), "only status 429 may be retried")
		})
	}
}

// Only a refusal of the number asks the user to correct it.
func TestSendSMS_Undeliverable(t *testing.T) {
	for _, tc := range []struct {
		status, code int
		want         bool
	}{
		{400, 21211, true}, {400, 21614, true}, {400, 21635, true},
		{400, 21610, false}, {400, 21612, false}, {400, 21408, false}, {401, 20003, false}, {429, 20429, false}, {500, 21211, false},
	} {
		cfg := config("")
		cfg.Client = &http.Client{Transport: &script{responses: []http.Response{{StatusCode: tc.status}}, body: fmt.Sprintf(`{"code":%d}`, tc.code)}}
		cfg.Timeout = 400 * time.Millisecond // shorter than the wait before another attempt
		require.Equal(t, tc.want, errors.Is(open(t, cfg).SendSMS(t.Context(), text), twofa.ErrUndeliverable), tc)
	}
}

func TestSendSMS_EndlessResponse(t *testing.T) {
	var written int
	done := make(chan struct{})
	base, _ := gateway(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(done)
		w.WriteHeader(http.StatusBadRequest)
		for chunk := make([]byte, 64<<10); written < 1<<30; {
			n, err := w.Write(chunk)
			if written += n; err != nil {
				return
			}
		}
	})
	got, ok := errors.AsType[*twiliosms.Error](open(t, config(base)).SendSMS(t.Context(), text))
	require.True(t, ok)
	require.Equal(t, http.StatusBadRequest, got.Status)
	<-done
	require.Less(t, written, 100<<20, "SendSMS must stop reading; the rest is in buffers of the kernel")
}

func TestSendSMS_FollowsNoRedirect(t *testing.T) {
	other, reached := gateway(t, respond(http.StatusCreated, "{}"))
	for _, status := range []int{301, 302, 303, 307, 308} {
		base, _ := gateway(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other+r.URL.Path, status) })
		cfg := config(base)
		cfg.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
		got, ok := errors.AsType[*twiliosms.Error](open(t, cfg).SendSMS(t.Context(), text))
		require.True(t, ok)
		require.Equal(t, status, got.Status)
		require.Zero(t, reached.Load())
		require.NoError(t, cfg.Client.CheckRedirect(nil, nil), "the host's client must not be changed")
	}
}

func TestAbuse_J10_DestinationNotANumber(t *testing.T) {
	base, calls := gateway(t, respond(http.StatusCreated, "{}"))
	s := open(t, config(base))
	for _, to := range []string{
		"", "+", "41791234567", "+0791234567", "+1;ext=9", "+" + strings.Repeat("4", 40), "+4179CALLME", "whatsapp:+41791234567",
		"+41791234567\r\nFrom: x", "+41791234567\n", "+41791234567,+41791234568", "+٤١٧٩١٢٣٤٥٦٧", " +41791234567", "messenger:1",
	} {
		err := s.SendSMS(t.Context(), twofa.TextMessage{To: to, Body: twofa.NewSecret("x")})
		require.Error(t, err, to)
		require.NotContains(t, err.Error(), "7912", to)
	}
	require.Zero(t, calls.Load())
}

func TestSendSMS_AcceptedWithTruncatedBody(t *testing.T) {
	base, _ := gateway(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusCreated)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	require.NoError(t, open(t, config(base)).SendSMS(t.Context(), text))
}

func TestSendSMS_NoResponse(t *testing.T) {
	t.Run("connection refused", func(t *testing.T) {
		srv := httptest.NewServer(nil)
		srv.Close()
		err := open(t, config(srv.URL)).SendSMS(t.Context(), text)
		require.ErrorContains(t, err, "connection refused")
	})
	t.Run("connection closed before the status", func(t *testing.T) {
		base, calls := gateway(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		require.ErrorIs(t, open(t, config(base)).SendSMS(t.Context(), text), io.EOF)
		require.EqualValues(t, 1, calls.Load())
	})
	t.Run("response echoes the request", func(t *testing.T) {
		base, _ := gateway(t, func(w http.ResponseWriter, r *http.Request) {
			sent, _ := io.ReadAll(r.Body)
			conn, _, _ := w.(http.Hijacker).Hijack()
			_, _ = conn.Write(append(sent, "\r\n\r\n"...))
			_ = conn.Close()
		})
		err := open(t, config(base)).SendSMS(t.Context(), text)
		require.Error(t, err)
		requireNothingSecret(t, err.Error())
	})
}

func requireNothingSecret(t *testing.T, printed string) {
	t.Helper()
	for _, secret := range []string{"41791234567", "135790", "is your code", token, "QUNhYWFh" /* base64 of AC… */} {
		require.NotContains(t, printed, secret)
	}
}

// hang starts a gateway that does not respond until the test ends.
func hang(t *testing.T) (base string, reached <-chan struct{}) {
	t.Helper()
	arrived, done := make(chan struct{}, 1), make(chan struct{})
	base, _ = gateway(t, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-done
	})
	t.Cleanup(func() { close(done) }) // runs before the cleanup that closes the gateway
	return base, arrived
}

func TestAbuse_R04_GatewayHangs(t *testing.T) {
	t.Run("deadline", func(t *testing.T) {
		base, _ := hang(t)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, open(t, config(base)).SendSMS(ctx, text), context.DeadlineExceeded)
	})
	t.Run("cancel", func(t *testing.T) {
		base, reached := hang(t)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-reached; cancel() }()
		require.ErrorIs(t, open(t, config(base)).SendSMS(ctx, text), context.Canceled)
	})
	t.Run("Config.Timeout", func(t *testing.T) {
		base, _ := hang(t)
		cfg := config(base)
		cfg.Timeout = 50 * time.Millisecond
		require.ErrorIs(t, open(t, cfg).SendSMS(t.Context(), text), context.DeadlineExceeded)
	})
	t.Run("already canceled", func(t *testing.T) {
		base, calls := gateway(t, respond(http.StatusCreated, "{}"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, open(t, config(base)).SendSMS(ctx, text), context.Canceled)
		require.Zero(t, calls.Load())
	})
}

// script is an http.RoundTripper that returns its responses one after another. It
// repeats the last one.
type script struct {
	responses []http.Response
	body      string // if empty, that of a busy gateway
	calls     int
}

func (s *script) RoundTrip(*http.Request) (*http.Response, error) {
	res := s.responses[min(s.calls, len(s.responses)-1)]
	s.calls++
	res.Body = io.NopCloser(strings.NewReader(cmp.Or(s.body, `{"code":20429}`)))
	return &res, nil
}

func busy(after string) http.Response {
	return http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {after}}}
}

func TestSendSMS_RetriesOnlyIfNotAccepted(t *testing.T) {
	accepted := http.Response{StatusCode: 201}
	for name, tc := range map[string]struct {
		responses []http.Response
		timeout   time.Duration // timeout of the caller's context
		calls     int
		took      time.Duration
		status    int // status of the error, 0 for success
	}{
		"busy once":                     {[]http.Response{busy(""), accepted}, time.Minute, 2, 500 * time.Millisecond, 0},
		"busy twice":                    {[]http.Response{busy(""), busy(""), accepted}, time.Minute, 3, 2500 * time.Millisecond, 0},
		"always busy":                   {[]http.Response{busy("")}, time.Minute, 3, 2500 * time.Millisecond, 429},
		"longer wait in Retry-After":    {[]http.Response{busy("3"), accepted}, time.Minute, 2, 3 * time.Second, 0},
		"no wait beyond the context":    {[]http.Response{busy("3"), accepted}, 2 * time.Second, 1, 0, 429},
		"no wait beyond Config.Timeout": {[]http.Response{busy("3600"), accepted}, time.Hour, 1, 0, 429},
		"invalid Retry-After":           {[]http.Response{busy("-7"), accepted}, time.Minute, 2, 500 * time.Millisecond, 0},
		"Retry-After overflows":         {[]http.Response{busy("99999999999999999999"), accepted}, time.Minute, 2, 500 * time.Millisecond, 0},
		"busy, then outcome unknown":    {[]http.Response{busy(""), {StatusCode: 503}}, time.Minute, 2, 500 * time.Millisecond, 503},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gw := &script{responses: tc.responses}
				cfg := config("")
				cfg.Client = &http.Client{Transport: gw}
				ctx, cancel := context.WithTimeout(t.Context(), tc.timeout)
				defer cancel()
				start := time.Now()
				err := open(t, cfg).SendSMS(ctx, text)
				require.Equal(t, tc.took, time.Since(start))
				require.Equal(t, tc.calls, gw.calls)
				if tc.status == 0 {
					require.NoError(t, err)
					return
				}
				got, ok := errors.AsType[*twiliosms.Error](err)
				require.True(t, ok, "%v", err)
				require.Equal(t, tc.status, got.Status)
			})
		})
	}
}

func TestSendSMS_CancelEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := &script{responses: []http.Response{busy("5")}}
		cfg := config("")
		cfg.Client = &http.Client{Transport: gw}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		require.Error(t, open(t, cfg).SendSMS(ctx, text))
		require.Equal(t, time.Second, time.Since(start))
		require.Equal(t, 1, gw.calls)
	})
}

func TestPrintsNothingSecret(t *testing.T) {
	cfg := config("")
	s := open(t, cfg)
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "cfg", cfg, "sender", s)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "cfg", cfg, "sender", s)
	for _, v := range []any{cfg, &cfg, s, *s} {
		fmt.Fprintf(&logged, "%v %+v %#v %s %q\n", v, v, v, v, v)
		j, _ := json.Marshal(v)
		logged.Write(j)
	}
	requireNothingSecret(t, logged.String())
}
