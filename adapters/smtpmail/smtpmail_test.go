package smtpmail_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/textproto"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/smtpmail"
)

func TestNew_AllProblemsAtOnce(t *testing.T) {
	good := smtpmail.Config{Host: "smtp.acme.example", From: "Acme <login@acme.example>"}
	secret := twofa.NewSecret(password)
	with := func(change func(*smtpmail.Config)) smtpmail.Config {
		cfg := good
		change(&cfg)
		return cfg
	}
	for name, tc := range map[string]struct {
		cfg  smtpmail.Config
		want []string
	}{
		"empty":                   {smtpmail.Config{}, []string{"Host:", "From:"}},
		"host with port":          {with(func(c *smtpmail.Config) { c.Host = "smtp.acme.example:587" }), []string{"Host:"}},
		"host as URL":             {with(func(c *smtpmail.Config) { c.Host = "smtp://acme.example" }), []string{"Host:"}},
		"host with line break":    {with(func(c *smtpmail.Config) { c.Host = "acme.example\r\n" }), []string{"Host:"}},
		"port":                    {with(func(c *smtpmail.Config) { c.Port = 65536 }), []string{"Port:"}},
		"negative port":           {with(func(c *smtpmail.Config) { c.Port = -1 }), []string{"Port:"}},
		"password only":           {with(func(c *smtpmail.Config) { c.Password = secret }), []string{"Username:"}},
		"user name only":          {with(func(c *smtpmail.Config) { c.Username = username }), []string{"Password:"}},
		"login without TLS":       {with(func(c *smtpmail.Config) { c.Username, c.Password, c.InsecurePlaintext = username, secret, true }), []string{"InsecurePlaintext:"}},
		"TLS and no TLS":          {with(func(c *smtpmail.Config) { c.ImplicitTLS, c.InsecurePlaintext = true, true }), []string{"InsecurePlaintext:"}},
		"from: no address":        {with(func(c *smtpmail.Config) { c.From = "Acme" }), []string{"From:"}},
		"from: two addresses":     {with(func(c *smtpmail.Config) { c.From = "a@acme.example, b@acme.example" }), []string{"From:"}},
		"from: line break":        {with(func(c *smtpmail.Config) { c.From = "Acme\r\nBcc: x@y <login@acme.example>" }), []string{"From:"}},
		"from: line break quoted": {with(func(c *smtpmail.Config) { c.From = "\"Acme\r\n x\" <login@acme.example>" }), []string{"From:"}},
		"from: not ASCII":         {with(func(c *smtpmail.Config) { c.From = "login@ácme.example" }), []string{"From:"}},
		"HELO":                    {with(func(c *smtpmail.Config) { c.HELO = "acme example" }), []string{"HELO:"}},
		"HELO with line break":    {with(func(c *smtpmail.Config) { c.HELO = "acme\r\nMAIL FROM:<>" }), []string{"HELO:"}},
		"timeout":                 {with(func(c *smtpmail.Config) { c.Timeout = -1 }), []string{"Timeout:"}},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := smtpmail.New(tc.cfg)
			require.Nil(t, m)
			for _, field := range tc.want {
				require.ErrorContains(t, err, field)
			}
			require.Len(t, strings.Split(err.Error(), "\n"), len(tc.want), err)
		})
	}
	for name, cfg := range map[string]smtpmail.Config{
		"name":           good,
		"IPv6":           with(func(c *smtpmail.Config) { c.Host = "::1" }),
		"bare sender":    with(func(c *smtpmail.Config) { c.From = "login@acme.example" }),
		"name not ASCII": with(func(c *smtpmail.Config) { c.From = "Ácme <login@acme.example>" }),
		"implicit TLS":   with(func(c *smtpmail.Config) { c.ImplicitTLS = true }),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := smtpmail.New(cfg)
			require.NoError(t, err)
		})
	}
}

func TestNew_CopiesTLSConfig(t *testing.T) {
	own := &tls.Config{}
	_, err := smtpmail.New(smtpmail.Config{Host: "smtp.acme.example", From: "login@acme.example", TLSConfig: own})
	require.NoError(t, err)
	require.Empty(t, own.ServerName)
	require.Zero(t, own.MinVersion)
}

func TestSendMail(t *testing.T) {
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + username + "\x00" + password))
	for name, tc := range map[string]struct {
		srv      *server
		change   func(*smtpmail.Config)
		commands []string
	}{
		"STARTTLS and login": {&server{}, func(*smtpmail.Config) {}, []string{
			"EHLO acme.example", "STARTTLS", "EHLO acme.example", "AUTH PLAIN " + plain,
			"MAIL FROM:<login@acme.example> BODY=8BITMIME", "RCPT TO:<jo@example.com>", "DATA", "QUIT",
		}},
		"TLS from the first byte": {&server{implicit: true}, func(*smtpmail.Config) {}, []string{
			"EHLO acme.example", "AUTH PLAIN " + plain,
			"MAIL FROM:<login@acme.example> BODY=8BITMIME", "RCPT TO:<jo@example.com>", "DATA", "QUIT",
		}},
		"no login, own HELO": {&server{}, func(c *smtpmail.Config) {
			c.Username, c.Password, c.HELO = "", twofa.Secret{}, "mx.acme.example"
		}, []string{
			"EHLO mx.acme.example", "STARTTLS", "EHLO mx.acme.example",
			"MAIL FROM:<login@acme.example> BODY=8BITMIME", "RCPT TO:<jo@example.com>", "DATA", "QUIT",
		}},
		"no TLS": {&server{}, func(c *smtpmail.Config) {
			c.Username, c.Password, c.InsecurePlaintext = "", twofa.Secret{}, true
		}, []string{
			"EHLO acme.example", "MAIL FROM:<login@acme.example> BODY=8BITMIME", "RCPT TO:<jo@example.com>", "DATA", "QUIT",
		}},
		"no SMTPUTF8 for an ASCII address": {&server{implicit: true, offer: []string{"SMTPUTF8", "AUTH PLAIN"}}, func(*smtpmail.Config) {}, []string{
			"EHLO acme.example", "AUTH PLAIN " + plain,
			"MAIL FROM:<login@acme.example>", "RCPT TO:<jo@example.com>", "DATA", "QUIT",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := tc.srv.start(t)
			cfg := srv.config()
			tc.change(&cfg)
			m, err := smtpmail.New(cfg)
			require.NoError(t, err)
			require.NoError(t, m.SendMail(t.Context(), email()))
			require.Len(t, srv.messages(), 1)
			require.Equal(t, tc.commands, srv.commands)
		})
	}
}

func TestSendMail_LoginMechanisms(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, prompts := range [][2]string{{"User Name", "Password"}, {"Username:", "Password:"}, {"username", "PASSWORD\x00"}, {"Benutzer", "Kennwort"}, {"", ""}} {
		for _, offer := range []string{"AUTH LOGIN", "AUTH=LOGIN", "AUTH login", "AUTH=NTLM LOGIN"} {
			t.Run(offer+" "+prompts[0], func(t *testing.T) {
				srv := &server{implicit: true, offer: []string{offer}, replies: map[string]string{
					"AUTH": "334 " + b64(prompts[0]), b64(username): "334 " + b64(prompts[1]), b64(password): "235 in",
				}}
				require.NoError(t, srv.start(t).send(t, t.Context(), email()))
			})
		}
	}
	for _, offer := range []string{"AUTH plain login", "AUTH Plain", "AUTH=PLAIN LOGIN", "AUTH CRAM-MD5 plain", "AUTH=NTLM PLAIN", "AUTH  PLAIN "} {
		t.Run(offer, func(t *testing.T) {
			srv := (&server{implicit: true, offer: []string{offer}}).start(t)
			require.NoError(t, srv.send(t, t.Context(), email()))
			require.Contains(t, srv.verbs(), "AUTH")
		})
	}
	t.Run("no supported mechanism", func(t *testing.T) {
		srv := (&server{implicit: true, offer: []string{"AUTH CRAM-MD5 NTLM"}}).start(t)
		requireFailure(t, srv.send(t, t.Context(), email()), "AUTH", 0)
		require.Equal(t, []string{"EHLO"}, srv.verbs())
	})
	t.Run("no AUTH at all", func(t *testing.T) {
		srv := (&server{implicit: true, offer: []string{"8BITMIME"}}).start(t)
		requireFailure(t, srv.send(t, t.Context(), email()), "AUTH", 0)
		require.Equal(t, []string{"EHLO"}, srv.verbs())
	})
}

func TestSendMail_NonASCIIAddress(t *testing.T) {
	e := email()
	e.To = "jö@example.com"
	t.Run("SMTPUTF8 offered", func(t *testing.T) {
		srv := (&server{implicit: true, offer: []string{"SMTPUTF8", "AUTH PLAIN"}}).start(t)
		require.NoError(t, srv.send(t, t.Context(), e))
		require.Contains(t, srv.commands, "MAIL FROM:<login@acme.example> SMTPUTF8")
		require.Contains(t, srv.commands, "RCPT TO:<jö@example.com>")
	})
	t.Run("SMTPUTF8 not offered", func(t *testing.T) {
		srv := (&server{}).start(t)
		requireFailure(t, srv.send(t, t.Context(), e), "MAIL", 0)
		require.NotContains(t, srv.verbs(), "MAIL")
	})
}

// Few servers support SMTPUTF8, but every one delivers to a domain in the ASCII form
// of IDNA.
func TestSendMail_NonASCIIDomain(t *testing.T) {
	for to, want := range map[string]string{
		"mia@bücher.example":        "mia@xn--bcher-kva.example",
		"mia@BÜCHER.example":        "mia@xn--bcher-kva.example",
		"mia@bu\u0308cher.example":  "mia@xn--bcher-kva.example",
		"mia@例え.テスト":                "mia@xn--r8jz45g.xn--zckzah",
		"mia@xn--bcher-kva.example": "mia@xn--bcher-kva.example",
		"mia@under_score.EXAMPLE":   "mia@under_score.EXAMPLE",
	} {
		t.Run(to, func(t *testing.T) {
			srv := (&server{implicit: true, offer: []string{"AUTH PLAIN"}}).start(t)
			e := email()
			e.To = to
			require.NoError(t, srv.send(t, t.Context(), e))
			require.Contains(t, srv.commands, "RCPT TO:<"+want+">")
			require.Contains(t, srv.messages()[0], "To: <"+want+">")
		})
	}
	for _, to := range []string{"mia@b\u00fccher..example", "mia@-ü.example", "mia@ü\u202e.example"} {
		srv := (&server{}).start(t)
		e := email()
		e.To = to
		require.ErrorContains(t, srv.send(t, t.Context(), e), "To: must be one bare address", to)
		require.Empty(t, srv.verbs())
	}
}

// Neither the login nor the message is sent before TLS is established, even if the
// server or an attacker in front of it tries to prevent TLS.
func TestSendMail_TLSRequired(t *testing.T) {
	for name, tc := range map[string]struct {
		srv    *server
		change func(*smtpmail.Config)
		code   int
	}{
		"no STARTTLS, but a login": {&server{offer: []string{"AUTH PLAIN LOGIN"}}, func(*smtpmail.Config) {}, 0},
		"STARTTLS refused":         {&server{replies: map[string]string{"STARTTLS": "454 4.7.0 not now"}}, func(*smtpmail.Config) {}, 454},
		"garbage as handshake":     {&server{replies: map[string]string{"STARTTLS": "220 go\r\n250 AUTH PLAIN\r\n235 in"}}, func(*smtpmail.Config) {}, 0},
		"unknown root":             {&server{}, func(c *smtpmail.Config) { c.TLSConfig = nil }, 0},
		"other name":               {&server{}, func(c *smtpmail.Config) { c.TLSConfig.ServerName = "smtp.acme.example" }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			srv := tc.srv.start(t)
			cfg := srv.config()
			tc.change(&cfg)
			m, err := smtpmail.New(cfg)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			requireFailure(t, m.SendMail(ctx, email()), "STARTTLS", tc.code)
			for _, verb := range srv.verbs() {
				require.NotContains(t, []string{"AUTH", "MAIL", "RCPT", "DATA"}, verb)
			}
		})
	}
	t.Run("no handshake", func(t *testing.T) {
		srv := (&server{}).start(t) // greets in the clear
		cfg := srv.config()
		cfg.ImplicitTLS = true
		m, err := smtpmail.New(cfg)
		require.NoError(t, err)
		requireFailure(t, m.SendMail(t.Context(), email()), "greeting", 0)
	})
}

func requireFailure(t *testing.T, err error, step string, code int) {
	t.Helper()
	got, ok := errors.AsType[*smtpmail.Error](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, step, got.Step, err)
	require.Equal(t, code, got.Code, err)
	requireNothingSecret(t, err.Error())
}

func requireNothingSecret(t *testing.T, printed string) {
	t.Helper()
	for _, secret := range []string{link, "tok-0123", "jo@example.com", password, base64.StdEncoding.EncodeToString([]byte(password))} {
		require.NotContains(t, printed, secret)
	}
}

func TestSendMail_Refused(t *testing.T) {
	// Servers quote addresses, links and logins in their replies.
	const no = "550 5.7.1 <jo@example.com>: https://acme.example/login?token=tok-0123456789 is listed, Y29ycmVjdCBob3JzZQ=="
	for _, tc := range []struct {
		at, step, reply string
		code            int
	}{
		{"greeting", "greeting", "554 5.7.1 go away jo@example.com", 554},
		{"EHLO", "EHLO", "421 4.3.2 closing", 421},
		{"AUTH", "AUTH", "535 5.7.8 Y29ycmVjdCBob3JzZQ== is wrong", 535},
		{"AUTH", "AUTH", "334 not base64: correct horse", 0},
		{"MAIL", "MAIL", no, 550},
		{"RCPT", "RCPT", "451 4.7.1 greylisted jo@example.com", 451},
		{"DATA", "DATA", no, 550},
		{"end", "DATA", no, 550},
		{"end", "DATA", "jo@example.com, that is " + link, 0},
		{"MAIL", "MAIL", "jo@example.com", 0},
		{"RCPT", "RCPT", "99", 0},
		{"greeting", "greeting", "", 0},
		{"EHLO", "EHLO", "", 0},
		{"STARTTLS", "STARTTLS", "", 0},
		{"AUTH", "AUTH", "", 0},
		{"MAIL", "MAIL", "", 0},
		{"RCPT", "RCPT", "", 0},
		{"DATA", "DATA", "", 0},
		{"end", "DATA", "", 0}, // the message may have been accepted
	} {
		t.Run(tc.at+" "+tc.reply, func(t *testing.T) {
			t.Parallel()
			srv := (&server{replies: map[string]string{tc.at: tc.reply}}).start(t)
			err := srv.send(t, t.Context(), email())
			requireFailure(t, err, tc.step, tc.code)
			require.Empty(t, srv.messages())
			if tc.code != 0 {
				answer, ok := errors.AsType[*textproto.Error](err)
				require.True(t, ok)
				require.Contains(t, tc.reply, answer.Msg)
			}
		})
	}
	t.Run("connect", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		srv := &server{port: l.Addr().(*net.TCPAddr).Port}
		require.NoError(t, l.Close())
		requireFailure(t, srv.send(t, t.Context(), email()), "connect", 0)
	})
}

func TestSendMail_FailedQuitIsNoError(t *testing.T) {
	for name, srv := range map[string]*server{
		"QUIT refused": {replies: map[string]string{"QUIT": "500 no"}},
		"QUIT dropped": {replies: map[string]string{"QUIT": ""}},
		"QUIT garbled": {replies: map[string]string{"QUIT": "?"}},
		"QUIT hangs":   {hang: "QUIT"},
		"QUIT ignored": {hang: "QUIT", deaf: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv.start(t)
			start := time.Now()
			require.NoError(t, srv.send(t, t.Context(), email()))
			require.Len(t, srv.messages(), 1)
			require.Less(t, time.Since(start), 10*time.Second, "QUIT must not use up the timeout of 15 s")
		})
	}
	t.Run("ctx ends while QUIT hangs", func(t *testing.T) {
		t.Parallel()
		srv := (&server{hang: "QUIT"}).start(t)
		require.NoError(t, srv.send(t, srv.untilReached(t), email()))
	})
}

var stages = []struct{ hang, step string }{
	{"greeting", "greeting"},
	{"EHLO", "EHLO"},
	{"STARTTLS", "STARTTLS"},
	{"AUTH", "AUTH"},
	{"MAIL", "MAIL"},
	{"RCPT", "RCPT"},
	{"DATA", "DATA"},
	{"end", "DATA"},
}

func TestAbuse_R04_ServerHangs(t *testing.T) {
	t.Run("at every step", func(t *testing.T) {
		for _, stage := range stages {
			for _, deaf := range []bool{false, true} {
				t.Run(fmt.Sprintf("cancel at %s, deaf %v", stage.hang, deaf), func(t *testing.T) {
					t.Parallel()
					srv := (&server{hang: stage.hang, deaf: deaf}).start(t)
					err := srv.send(t, srv.untilReached(t), email())
					require.ErrorIs(t, err, context.Canceled)
					if stage.hang != "greeting" { // at the greeting, the dialer may not have returned yet
						requireFailure(t, err, stage.step, 0)
					}
				})
				t.Run(fmt.Sprintf("deadline at %s, deaf %v", stage.hang, deaf), func(t *testing.T) {
					t.Parallel()
					srv := (&server{hang: stage.hang, deaf: deaf}).start(t)
					ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
					defer cancel()
					require.ErrorIs(t, srv.send(t, ctx, email()), context.DeadlineExceeded)
				})
			}
		}
		t.Run("inside the message", func(t *testing.T) {
			t.Parallel()
			srv := (&server{hang: "message", deaf: true}).start(t)
			e := email()
			e.Text = twofa.NewSecret(strings.Repeat("more than fits into the buffers of the kernel\n", 400_000))
			require.ErrorIs(t, srv.send(t, srv.untilReached(t), e), context.Canceled)
		})
		t.Run("in the handshake", func(t *testing.T) {
			t.Parallel()
			srv := (&server{hang: "greeting"}).start(t)
			cfg := srv.config()
			cfg.ImplicitTLS = true
			m, err := smtpmail.New(cfg)
			require.NoError(t, err)
			require.ErrorIs(t, m.SendMail(srv.untilReached(t), email()), context.Canceled)
		})
		t.Run("Config.Timeout", func(t *testing.T) {
			t.Parallel()
			srv := (&server{hang: "greeting"}).start(t)
			cfg := srv.config()
			cfg.Timeout = 100 * time.Millisecond
			m, err := smtpmail.New(cfg)
			require.NoError(t, err)
			err = m.SendMail(context.Background(), email())
			requireFailure(t, err, "greeting", 0)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	})
	// Each server has waited for its connections to close. No goroutine may be left
	// either.
	require.Eventually(t, func() bool {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return !bytes.Contains(stacks, []byte("smtpmail.(*Mailer)")) && !bytes.Contains(stacks, []byte("go-mail/smtp"))
	}, 5*time.Second, time.Millisecond)
}

func TestAbuse_R09_AlreadyCanceled(t *testing.T) {
	srv := (&server{}).start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, srv.send(t, ctx, email()), context.Canceled)
	require.Empty(t, srv.verbs())
}

func TestPrintsNothingSecret(t *testing.T) {
	cfg := (&server{port: 587}).config()
	m, err := smtpmail.New(cfg)
	require.NoError(t, err)
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "cfg", cfg, "mailer", m)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "cfg", cfg, "mailer", m)
	for _, v := range []any{cfg, &cfg, m, *m} {
		fmt.Fprintf(&logged, "%v %+v %#v %s %q\n", v, v, v, v, v)
		j, _ := json.Marshal(v)
		logged.Write(j)
	}
	requireNothingSecret(t, logged.String())
}
